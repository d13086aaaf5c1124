// The drawing on the page: tools, colors, pointer and keyboard, images to start from.

import { Drawing } from "./drawing.js";
import { startersFor } from "./samples.js";

const BACKGROUNDS = ["background", "sky"];
// The commonest colors of flat emoji, and black.
const COLORS = {
  yellow: [255, 176, 46], lemon: [252, 213, 63], orange: [255, 130, 45], red: [248, 49, 47], pink: [249, 47, 96],
  purple: [141, 101, 197], blue: [0, 166, 237], green: [0, 210, 106], navy: [0, 116, 186], forest: [0, 132, 99],
  brown: [125, 69, 51], violet: [50, 27, 65], black: [0, 0, 0], gray: [155, 155, 155], white: [255, 255, 255],
};
const GRAYS = { white: [255, 255, 255], light: [192, 192, 192], gray: [128, 128, 128], dark: [64, 64, 64], black: [0, 0, 0] };
const MOST_SCALE = 4, MOST_SIDE = 1024;  // of antialiased drawings
const TOLERANCE = 32;  // of fills, for the edges of opened images; similar colors of the palette differ by more
const NEARLY_A_CIRCLE = 0.85;

const by = (id) => document.getElementById(id);

export class Editor {
  // changed: called when the drawing changes.
  constructor(changed) {
    this.changed = changed;
    this.context = by("drawing").getContext("2d");
    this.#listen();
  }

  // strip: an image of held-out inputs, one below the other; or null.
  open(model, strip) {
    this.model = model;
    this.hasClasses = model.classes.length > 0;
    const colors = this.hasClasses
      ? model.classes.map(({ name, color }) => [name, color.length === 1 ? Array(3).fill(color[0]) : color])
      : Object.entries(model.input_channels === 1 ? GRAYS : COLORS);
    this.brushes = colors.map(([name, color]) => ({ name, color }));
    this.background = this.hasClasses
      ? (this.brushes.find(({ name }) => BACKGROUNDS.includes(name)) ?? this.brushes[0]).color
      : [255, 255, 255];
    const scale = Math.min(Math.max(Math.floor(MOST_SIDE / Math.max(model.width, model.height)), 1), MOST_SCALE);
    this.drawing = new Drawing(model.width, model.height, this.background, this.hasClasses ? 1 : scale);
    this.cursor = { x: this.drawing.width >> 1, y: this.drawing.height >> 1 };
    this.started = null;  // start of the current shape
    Object.assign(by("drawing"), { width: this.drawing.width, height: this.drawing.height });
    by("drawing").classList.toggle("pixelated", this.hasClasses);
    this.#offerColors();
    this.#offerStarters(startersFor(model, (name) => this.colorOf(name), strip));
    this.chooseTool(this.hasClasses ? "rectangle" : "brush");
    this.chooseBrush(["window", "yellow", "black"].find((name) => this.colorOf(name)) ?? this.brushes.at(-1).name);
    this.show();
  }

  get input() {
    return this.drawing.input;
  }

  colorOf(name) {
    return this.brushes.find((brush) => brush.name === name)?.color;
  }

  // ---------------------------------------------------------------- choosing

  #offerColors() {
    document.querySelector(".palette").classList.toggle("free", !this.hasClasses);
    document.querySelector(".palette").classList.toggle("classes", this.hasClasses);
    by("picker").hidden = this.hasClasses || this.model.input_channels === 1;
    by("colors").replaceChildren(...this.brushes.map(({ name, color }) => {
      const button = Object.assign(document.createElement("button"), { type: "button", title: name });
      button.setAttribute("role", "radio");
      button.setAttribute("aria-label", name);
      button.dataset.name = name;
      const swatch = document.createElement("i");
      swatch.style.background = `rgb(${color})`;
      button.append(swatch, ...(this.hasClasses ? [name] : []));
      return button;
    }));
  }

  #offerStarters(starters) {
    by("starters").replaceChildren(...starters.map((starter) => {
      const button = Object.assign(document.createElement("button"), { type: "button", title: starter.name });
      button.setAttribute("aria-label", starter.name);
      const { width, height } = this.model;
      button.append(this.#paint(starter.paint, width, height));
      button.addEventListener("click", () => this.#change(() => this.#load(starter.paint)));
      return button;
    }));
    if (starters.length) this.#load(starters[0].paint);
  }

  // Paints on a canvas in the background's color.
  #paint(paint, width, height) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingEnabled = false;  // classes must not mix, and samples stay what they are
    context.imageSmoothingQuality = "high";
    context.fillStyle = `rgb(${this.background})`;
    context.fillRect(0, 0, width, height);
    paint(context, width, height);
    return canvas;
  }

  #load(paint) {
    const { width, height } = this.drawing;
    const pixels = this.#paint(paint, width, height).getContext("2d").getImageData(0, 0, width, height);
    this.drawing.load(pixels, this.hasClasses ? this.brushes.map(({ color }) => color) : null);
  }

  async openFile(file) {
    const image = await createImageBitmap(file, { colorSpaceConversion: "none" });
    this.#change(() => this.#load((context, width, height) => {
      if (this.hasClasses) {
        context.drawImage(image, 0, 0, width, height);
        return;
      }
      context.imageSmoothingEnabled = image.width !== this.model.width || image.height !== this.model.height;
      const scale = Math.max(width / image.width, height / image.height);
      const [shownWidth, shownHeight] = [scale * image.width, scale * image.height];
      context.drawImage(image, (width - shownWidth) / 2, (height - shownHeight) / 2, shownWidth, shownHeight);
    }));
  }

  #check(group, name) {
    for (const button of group.children) {
      button.setAttribute("aria-checked", button.dataset.name === name);
      button.tabIndex = button.dataset.name === name ? 0 : -1;
    }
  }

  chooseTool(name) {
    this.tool = name;
    this.#check(by("tools"), name);
  }

  chooseBrush(name) {
    this.#chooseColor(name, this.colorOf(name));
  }

  #choosePicked() {
    const value = Number.parseInt(by("picker").firstElementChild.value.slice(1), 16);
    this.#chooseColor(null, [value >> 16, value >> 8 & 255, value & 255]);
  }

  #chooseColor(name, color) {
    this.color = color;
    if (this.tool === "eraser") this.chooseTool(this.hasClasses ? "rectangle" : "brush");
    this.#check(by("colors"), name);
    by("picker").classList.toggle("chosen", name === null);
  }

  // ---------------------------------------------------------------- listening

  #listen() {
    const canvas = by("drawing");
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.started) return;
      canvas.setPointerCapture(event.pointerId);
      this.pointer = event.pointerId;
      this.start(this.#place(event));
    });
    const forPointer = (react) => (event) => event.pointerId === this.pointer && react(event);
    canvas.addEventListener("pointermove", forPointer((event) => {
      for (const each of event.getCoalescedEvents?.() ?? [event]) this.move(this.#place(each));
    }));
    canvas.addEventListener("pointerup", forPointer(() => this.end()));
    canvas.addEventListener("pointercancel", forPointer(() => this.cancel()));
    canvas.addEventListener("keydown", (event) => this.#drawByKey(event));
    canvas.addEventListener("blur", () => this.#showLater());
    canvas.addEventListener("focus", () => this.#showLater());
    document.addEventListener("keydown", (event) => this.#chooseByKey(event));
    this.#listenToRadios(by("tools"), (name) => this.chooseTool(name));
    this.#listenToRadios(by("colors"), (name) => this.chooseBrush(name));
    for (const kind of ["input", "click"]) by("picker").addEventListener(kind, () => this.#choosePicked());
    for (const id of ["undo", "redo"]) by(id).addEventListener("click", () => this.#undoOrRedo(id));
    by("clear").addEventListener("click", () => this.#change(() => this.drawing.clear()));
  }

  #listenToRadios(group, choose) {
    group.addEventListener("click", ({ target }) => {
      const button = target.closest("[role=radio]");
      if (button) choose(button.dataset.name);
    });
    group.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const buttons = [...group.children];
      const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
      next.focus();
      next.click();
    });
  }

  #place(event) {
    const frame = by("drawing").getBoundingClientRect();
    const along = (position, size, count) => Math.min(Math.max(Math.floor((position / size) * count), 0), count - 1);
    return {
      x: along(event.clientX - frame.left, frame.width, this.drawing.width),
      y: along(event.clientY - frame.top, frame.height, this.drawing.height),
    };
  }

  #drawByKey(event) {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (x || y) {
      const step = (event.shiftKey ? 1 : 4) * this.drawing.scale;
      const within = (value, size) => Math.min(Math.max(value, 0), size - 1);
      this.cursor = { x: within(this.cursor.x + x * step, this.drawing.width), y: within(this.cursor.y + y * step, this.drawing.height) };
      if (this.started) this.move(this.cursor);
      this.#showLater();
    } else if (event.key === " " || event.key === "Enter") {
      if (this.started) this.end();
      else this.start(this.cursor);
    } else if (event.key === "Escape") this.cancel();
    else return;
    event.preventDefault();
  }

  #chooseByKey(event) {
    if (!this.drawing || document.body.dataset.tab !== "draw" || event.target.closest("input, select")) return;
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      const change = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : null;
      if (!change) return;
      event.preventDefault();
      this.#undoOrRedo(change);
      return;
    }
    if (event.altKey) return;
    const tool = [...by("tools").children].find(({ dataset }) => dataset.name[0] === key);
    if (tool) this.chooseTool(tool.dataset.name);
    else if (this.brushes[key - 1]) this.chooseBrush(this.brushes[key - 1].name);
  }

  // ---------------------------------------------------------------- drawing

  start(place) {
    this.drawing.remember();
    this.started = this.last = place;
    if (this.tool === "fill") {
      this.drawing.fill(place, this.color, this.hasClasses ? 0 : TOLERANCE);
      this.end();
      return;
    }
    this.move(place);
  }

  move(place) {
    if (!this.started) return;
    const color = this.tool === "eraser" ? this.background : this.color;
    if (this.tool === "rectangle" || this.tool === "circle") {
      this.drawing.revert();
      if (this.tool === "rectangle") this.drawing.rectangle(this.started, place, color);
      else this.drawing.ellipse(this.started, rounded(this.started, place), color);
    } else {
      this.drawing.line(this.last, place, (Number(by("width").value) / 256) * Math.max(this.drawing.width, this.drawing.height), color);
    }
    this.last = place;
    this.show();
  }

  end() {
    this.drawing.clearRedo();
    this.#stop();
  }

  #stop() {
    this.started = this.pointer = null;
    this.show();
  }

  cancel() {
    if (!this.started) return;
    this.drawing.discard();
    this.#stop();
  }

  // change: "undo" or "redo". While a shape is being drawn, both cancel it.
  #undoOrRedo(change) {
    if (this.started) this.cancel();
    else if (this.drawing[change]()) this.show();
  }

  #change(change) {
    this.cancel();
    this.drawing.remember();
    change();
    this.drawing.clearRedo();
    this.show();
  }

  // ---------------------------------------------------------------- showing

  show() {
    by("undo").disabled = !this.drawing.past.length;
    by("redo").disabled = !this.drawing.future.length;
    this.#showLater();
    this.changed();
  }

  // Shows the drawing once per frame of the screen.
  #showLater() {
    this.awaited ??= requestAnimationFrame(() => {
      this.awaited = null;
      this.context.putImageData(new ImageData(this.drawing.bytes, this.drawing.width), 0, 0);
      if (document.activeElement === by("drawing") && by("drawing").matches(":focus-visible")) this.#showCursor();
    });
  }

  #showCursor() {
    const { cursor: { x, y }, drawing: { scale }, context } = this;
    context.lineWidth = scale;
    for (const [style, half] of [["#fff", 3.5 * scale], ["#000", 4.5 * scale]]) {
      context.strokeStyle = style;
      context.strokeRect(x - half, y - half, 2 * half, 2 * half);
    }
  }
}

// Moves the end of an ellipse so that it becomes a circle, if it nearly is one.
function rounded(from, to) {
  const [across, down] = [to.x - from.x, to.y - from.y];
  const size = Math.max(Math.abs(across), Math.abs(down));
  if (Math.min(Math.abs(across), Math.abs(down)) < NEARLY_A_CIRCLE * size) return to;
  return { x: from.x + Math.sign(across) * size, y: from.y + Math.sign(down) * size };
}
