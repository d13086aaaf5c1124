// A drawing without antialiasing, so that it stays a valid label map.

const MOST_REMEMBERED = 100;

export class Drawing {
  // color: [red, green, blue] of the background.
  constructor(width, height, color) {
    this.width = width;
    this.height = height;
    this.empty = packed(color);
    this.pixels = new Uint32Array(width * height).fill(this.empty);
    this.past = [];
    this.future = [];
  }

  // The pixels in the format of ImageData: red, green, blue, 255.
  get bytes() {
    return new Uint8ClampedArray(this.pixels.buffer);
  }

  // Call this before a change; undo reverts to this state.
  remember() {
    this.past.push(this.pixels.slice());
    if (this.past.length > MOST_REMEMBERED) this.past.shift();
  }

  // Call this after a change; it discards the states for redo.
  clearRedo() {
    this.future = [];
  }

  undo() {
    return this.#exchange(this.past, this.future);
  }

  redo() {
    return this.#exchange(this.future, this.past);
  }

  #exchange(from, to) {
    if (!from.length) return false;
    to.push(this.pixels);
    this.pixels = from.pop();
    return true;
  }

  // Reverts to the last remembered state and discards it; redo isn't possible.
  discard() {
    this.pixels = this.past.pop();
  }

  // Restores the last remembered state, so that a shape can be redrawn while it is dragged.
  revert() {
    this.pixels.set(this.past.at(-1));
  }

  clear() {
    this.pixels.fill(this.empty);
  }

  // Fills a rectangle, including both corners.
  rectangle(from, to, color) {
    const [left, right] = inside(from.x, to.x, this.width);
    const [top, bottom] = inside(from.y, to.y, this.height);
    for (let y = top; y <= bottom; y++) {
      this.pixels.fill(packed(color), y * this.width + left, y * this.width + right + 1);
    }
  }

  // Draws a line with a round brush; width is its diameter in pixels.
  line(from, to, width, color) {
    const steps = Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y), 1);
    for (let step = 0; step <= steps; step++) {
      const part = step / steps;
      this.#dot(from.x + part * (to.x - from.x), from.y + part * (to.y - from.y), width / 2, packed(color));
    }
  }

  #dot(x, y, radius, color) {
    const [left, right] = inside(Math.round(x - radius), Math.round(x + radius), this.width);
    const [top, bottom] = inside(Math.round(y - radius), Math.round(y + radius), this.height);
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        const near = (column - x) ** 2 + (row - y) ** 2 <= radius ** 2;
        if (near || (row === Math.round(y) && column === Math.round(x))) {
          this.pixels[row * this.width + column] = color;
        }
      }
    }
  }

  // Flood fill: recolors the connected area of one color around a pixel.
  fill(at, color) {
    const before = this.pixels[at.y * this.width + at.x], after = packed(color);
    if (before === after) return;
    const open = [at.y * this.width + at.x];
    while (open.length) {
      const place = open.pop();
      if (this.pixels[place] !== before) continue;
      this.pixels[place] = after;
      const column = place % this.width;
      if (column > 0) open.push(place - 1);
      if (column < this.width - 1) open.push(place + 1);
      if (place >= this.width) open.push(place - this.width);
      if (place < this.pixels.length - this.width) open.push(place + this.width);
    }
  }

  // Replaces the drawing by an image of the same size; with colors, each pixel gets the nearest one.
  load(image, colors = null) {
    const bytes = image.data;
    for (let place = 0; place < this.pixels.length; place++) {
      const pixel = bytes.subarray(4 * place, 4 * place + 3);
      this.pixels[place] = packed(colors ? nearest(pixel, colors) : pixel);
    }
  }
}

function packed([red, green, blue]) {
  return (255 << 24 | blue << 16 | green << 8 | red) >>> 0;  // ImageData's byte order on little-endian CPUs
}

function inside(one, other, size) {
  return [Math.max(Math.min(one, other), 0), Math.min(Math.max(one, other), size - 1)];
}

function nearest(pixel, colors) {
  const distance = (color) => color.reduce((sum, level, at) => sum + (level - pixel[at]) ** 2, 0);
  return colors.reduce((best, color) => (distance(color) < distance(best) ? color : best));
}
