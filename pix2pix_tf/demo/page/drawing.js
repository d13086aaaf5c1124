// A drawing without antialiasing, so that fills leave no seams and label maps stay valid. Drawings for networks that
// take any colors have several pixels for each of the network's; their average antialiases the edges.

const MOST_REMEMBERED_BYTES = 100e6;
const MOST_OFF = 8;  // of a mixture of colors, in a channel

export class Drawing {
  // width, height: size of the network's input. color: [red, green, blue] of the background.
  // scale: pixels of the drawing along one pixel of the input.
  constructor(width, height, color, scale = 1) {
    this.width = width * scale;
    this.height = height * scale;
    this.scale = scale;
    this.empty = packed(color);
    this.pixels = new Uint32Array(this.width * this.height).fill(this.empty);
    this.average = scale > 1 ? new Uint32Array(width * height) : null;
    this.past = [];
    this.future = [];
  }

  // The pixels in the format of ImageData: red, green, blue, 255.
  get bytes() {
    return new Uint8ClampedArray(this.pixels.buffer);
  }

  // The network's input in the same format.
  get input() {
    if (this.scale === 1) return this.bytes;
    const { pixels, average, width, scale } = this;
    const share = 1 / (scale * scale);
    for (let place = 0, top = 0; place < average.length; top += scale * width) {
      for (let left = top; left < top + width; left += scale) {
        let redAndBlue = 0, green = 0;  // the first is two sums of 16 bits
        for (let row = left; row < left + scale * width; row += width) {
          for (let at = row; at < row + scale; at++) {
            redAndBlue += pixels[at] & 0xff00ff;
            green += pixels[at] & 0xff00;
          }
        }
        const mean = (sum) => sum * share + 0.5 | 0;
        average[place++] = 255 << 24 | mean(redAndBlue >>> 16) << 16 | mean(green >>> 8) << 8 | mean(redAndBlue & 0xffff);
      }
    }
    return new Uint8ClampedArray(average.buffer);
  }

  // Call this before a change; undo reverts to this state.
  remember() {
    this.past.push(this.pixels.slice());
    if (this.past.length * this.pixels.byteLength > MOST_REMEMBERED_BYTES) this.past.shift();
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
    const [left, right] = sorted(from.x, to.x), [top, bottom] = sorted(from.y, to.y);
    for (let y = top; y <= bottom; y++) this.#span(y, left, right, packed(color));
  }

  // Fills the ellipse in a rectangle.
  ellipse(from, to, color) {
    const [left, right] = sorted(from.x, to.x), [top, bottom] = sorted(from.y, to.y);
    const middle = (left + right) / 2, width = (right - left + 1) / 2, height = (bottom - top + 1) / 2;
    for (let y = top; y <= bottom; y++) {
      const half = width * Math.sqrt(1 - ((y - (top + bottom) / 2) / height) ** 2);
      this.#span(y, Math.ceil(middle - half), Math.floor(middle + half), packed(color));
    }
  }

  // Draws a line with a round brush; width is its diameter in pixels.
  line(from, to, width, color) {
    const radius = Math.max(width / 2, 0.5), filled = packed(color);
    const [left, right] = sorted(from.x, to.x), [top, bottom] = sorted(from.y, to.y);
    const [across, down] = [to.x - from.x, to.y - from.y], length = across ** 2 + down ** 2 || 1;
    for (let y = Math.max(Math.ceil(top - radius), 0); y <= Math.min(bottom + radius, this.height - 1); y++) {
      for (let x = Math.max(Math.ceil(left - radius), 0); x <= Math.min(right + radius, this.width - 1); x++) {
        const part = Math.min(Math.max(((x - from.x) * across + (y - from.y) * down) / length, 0), 1);
        const near = (x - from.x - part * across) ** 2 + (y - from.y - part * down) ** 2 <= radius ** 2;
        if (near) this.pixels[y * this.width + x] = filled;
      }
    }
  }

  #span(y, left, right, color) {
    if (y < 0 || y >= this.height || right < 0) return;
    const row = y * this.width;
    this.pixels.fill(color, row + Math.max(left, 0), row + Math.min(right, this.width - 1) + 1);
  }

  // Flood fill: recolors the connected area of similar color around a pixel.
  // tolerance: largest difference of a channel; 0 fills one color. Otherwise antialiased edges are recolored, too.
  fill(at, color, tolerance = 0) {
    const { pixels, width } = this;
    const former = tolerance ? pixels.slice() : null;
    const before = pixels[at.y * width + at.x], after = packed(color);
    const belongs = (place) => pixels[place] !== after && similar(pixels[place], before, tolerance);
    const open = [at.y * width + at.x];
    while (open.length) {
      const place = open.pop();
      if (!belongs(place)) continue;
      const row = place - (place % width);
      let left = place, right = place;
      while (left > row && belongs(left - 1)) left--;
      while (right < row + width - 1 && belongs(right + 1)) right++;
      pixels.fill(after, left, right + 1);
      for (const step of [-width, width]) {
        if (row + step < 0 || row + step >= pixels.length) continue;
        for (let next = left + step, inside = false; next <= right + step; next++) {
          const was = inside;
          inside = belongs(next);
          if (inside && !was) open.push(next);
        }
      }
    }
    if (former) this.#recolorEdges(former, channels(before), color);
  }

  // Edges of opened images are mixtures of the colors of two areas. Where a filled area is one of the two, replaces its
  // color by the new one.
  #recolorEdges(former, before, color) {
    const { pixels, width, height, scale } = this;
    const margin = 2 * scale;
    const filled = (place) => pixels[place] !== former[place];
    const steps = [-1, 0, 1].flatMap((down) => [-1, 0, 1].map((across) => scale * (down * width + across))).filter(Boolean);
    const recolored = [];
    for (let y = margin; y < height - margin; y++) {
      for (let place = y * width + margin; place < (y + 1) * width - margin; place++) {
        if (filled(place)) continue;
        for (const step of steps) {
          if (!filled(place + step)) continue;
          // The farther pixel of the other area is less likely to be a mixture.
          for (const inner of [place - 2 * step, place - step]) {
            const other = channels(former[inner]);
            const share = filled(inner) ? 0 : shareOf(before, other, channels(former[place]));
            if (share) recolored.push([place, packed(other.map((level, at) => Math.round(level + share * (color[at] - level))))]);
            if (share) break;
          }
        }
      }
    }
    for (const [place, mixed] of recolored) pixels[place] = mixed;
  }

  // Replaces the drawing by an image of the same size; with colors, each pixel gets the nearest one.
  load(image, colors = null) {
    this.pixels.set(new Uint32Array(image.data.buffer));
    if (!colors) return;
    for (let place = 0; place < this.pixels.length; place++) {
      this.pixels[place] = packed(nearest(image.data.subarray(4 * place, 4 * place + 3), colors));
    }
  }
}

function packed([red, green, blue]) {
  return (255 << 24 | blue << 16 | green << 8 | red) >>> 0;  // ImageData's byte order on little-endian CPUs
}

function channels(pixel) {
  return [pixel & 255, pixel >> 8 & 255, pixel >> 16 & 255];
}

// Returns how much of one color is in its mixture with another; 0 if the given color isn't such a mixture.
function shareOf(one, other, color) {
  const length = one.reduce((sum, level, at) => sum + (level - other[at]) ** 2, 0);
  const share = one.reduce((sum, level, at) => sum + (level - other[at]) * (color[at] - other[at]), 0) / (length || 1);
  const isMixed = one.every((level, at) => Math.abs(other[at] + share * (level - other[at]) - color[at]) <= MOST_OFF);
  return isMixed && share > 0 && share <= 1 ? share : 0;
}

function sorted(one, other) {
  return one < other ? [one, other] : [other, one];
}

function similar(one, other, tolerance) {
  if (one === other || !tolerance) return one === other;
  return [0, 8, 16].every((shift) => Math.abs((one >> shift & 255) - (other >> shift & 255)) <= tolerance);
}

function nearest(pixel, colors) {
  const distance = (color) => color.reduce((sum, level, at) => sum + (level - pixel[at]) ** 2, 0);
  return colors.reduce((best, color) => (distance(color) < distance(best) ? color : best));
}
