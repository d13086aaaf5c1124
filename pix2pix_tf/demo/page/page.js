// The page: brushes, pointer and keyboard input, and live translation of the drawing.

import { Drawing } from "./drawing.js";
import { drawSample, SAMPLES } from "./samples.js";

const TOOLS = { rectangle: "Rectangle", brush: "Brush", fill: "Fill", eraser: "Eraser" };
const WITHOUT_CLASSES = [
  { name: "white", color: [255, 255, 255] },
  { name: "black", color: [0, 0, 0] },
  { name: "gray", color: [128, 128, 128] },
];
const BACKGROUNDS = ["background", "sky"];

const by = (id) => document.getElementById(id);

async function main() {
  if (typeof WebAssembly !== "object") throw new Error("this browser has no WebAssembly");
  const model = await (await fetch("/model.json")).json();
  document.title = `${model.name} – pix2pix`;
  const { Network } = await import("./network.js");
  const page = new Page(model, await Network.load(model));
  if (await Network.hasGpu()) page.offerDevices(Network);
  page.begin();
}

class Page {
  constructor(model, network) {
    this.model = model;
    this.network = network;
    this.hasClasses = model.classes.length > 0;
    this.brushes = this.hasClasses
      ? model.classes.map(({ name, color }) => ({ name, color: color.length === 1 ? Array(3).fill(color[0]) : color }))
      : WITHOUT_CLASSES;
    const background = this.brushes.find(({ name }) => BACKGROUNDS.includes(name)) ?? this.brushes[0];
    this.background = background.color;
    this.drawing = new Drawing(model.width, model.height, this.background);
    this.tool = "rectangle";
    this.brush = this.brushes.find(({ name }) => name === "window") ?? this.brushes.at(-1);
    this.cursor = { x: model.width >> 1, y: model.height >> 1 };
    this.started = null;  // start of the current shape
    this.busy = this.changed = false;
    for (const id of ["drawing", "output"]) Object.assign(by(id), { width: model.width, height: model.height });
  }

  begin() {
    this.#radios(by("tools"), Object.entries(TOOLS).map(([name, label]) => ({ name, label })), (name) => this.chooseTool(name));
    this.#radios(by("colors"), this.brushes.map(({ name, color }) => ({ name, label: name, color })), (name) => this.chooseBrush(name));
    this.chooseTool(this.tool);
    this.chooseBrush(this.brush.name);
    this.#listen();
    const offered = Object.entries(SAMPLES).filter(([, shapes]) => shapes.some(([name]) => this.colorOf(name)));
    by("samples").append(new Option("Samples", ""), ...offered.map(([name]) => new Option(name)));
    by("samples").hidden = !offered.length;
    if (offered.length) drawSample(this.drawing, offered[0][1], (name) => this.colorOf(name));
    this.show();
  }

  colorOf(name) {
    return this.brushes.find((brush) => brush.name === name)?.color;
  }

  #radios(group, choices, choose) {
    for (const { name, label, color } of choices) {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.setAttribute("role", "radio");
      button.dataset.name = name;
      if (color) {
        const swatch = document.createElement("i");
        swatch.style.background = `rgb(${color})`;
        button.append(swatch);
      }
      button.append(label);
      button.addEventListener("click", () => choose(name));
      group.append(button);
    }
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
    this.brush = this.brushes.find((brush) => brush.name === name);
    if (this.tool === "eraser") this.chooseTool("rectangle");
    this.#check(by("colors"), name);
  }

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
    canvas.addEventListener("blur", () => this.show());
    canvas.addEventListener("focus", () => this.show());
    document.addEventListener("keydown", (event) => this.#chooseByKey(event));
    for (const id of ["undo", "redo"]) by(id).addEventListener("click", () => this.#undoOrRedo(id));
    by("clear").addEventListener("click", () => this.#change(() => this.drawing.clear()));
    by("samples").addEventListener("change", ({ target }) => {
      const sample = SAMPLES[target.value];
      target.value = "";
      if (sample) this.#change(() => (this.drawing.clear(), drawSample(this.drawing, sample, (name) => this.colorOf(name))));
    });
    by("upload").addEventListener("change", (event) => this.#upload(event.target));
    by("save-drawing").addEventListener("click", () => save(this.drawing.bytes, this.model, "drawing.png"));
    by("save-output").addEventListener("click", () => this.output && save(this.output, this.model, "output.png"));
  }

  #place(event) {
    const frame = by("drawing").getBoundingClientRect();
    const along = (position, size, count) => Math.min(Math.max(Math.floor((position / size) * count), 0), count - 1);
    return {
      x: along(event.clientX - frame.left, frame.width, this.model.width),
      y: along(event.clientY - frame.top, frame.height, this.model.height),
    };
  }

  // ---------------------------------------------------------------- drawing

  get color() {
    return this.tool === "eraser" ? this.background : this.brush.color;
  }

  start(place) {
    this.drawing.remember();
    this.started = this.last = place;
    if (this.tool === "fill") {
      this.drawing.fill(place, this.color);
      this.end();
      return;
    }
    this.move(place);
  }

  move(place) {
    if (!this.started) return;
    if (this.tool === "rectangle") {
      this.drawing.revert();
      this.drawing.rectangle(this.started, place, this.color);
    } else {
      this.drawing.line(this.last, place, Number(by("width").value), this.color);
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

  #drawByKey(event) {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (x || y) {
      const step = event.shiftKey ? 1 : 4;
      const within = (value, size) => Math.min(Math.max(value, 0), size - 1);
      this.cursor = { x: within(this.cursor.x + x * step, this.model.width), y: within(this.cursor.y + y * step, this.model.height) };
      if (this.started) this.move(this.cursor);
      this.show();
    } else if (event.key === " " || event.key === "Enter") {
      if (this.started) this.end();
      else this.start(this.cursor);
    } else if (event.key === "Escape") this.cancel();
    else return;
    event.preventDefault();
  }

  #chooseByKey(event) {
    if (event.target.closest("input, select")) return;
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      const change = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : null;
      if (!change) return;
      event.preventDefault();
      this.#undoOrRedo(change);
      return;
    }
    if (event.altKey) return;
    const tool = Object.keys(TOOLS).find((name) => name[0] === key);
    if (tool) this.chooseTool(tool);
    else if (this.brushes[key - 1]) this.chooseBrush(this.brushes[key - 1].name);
  }

  async #upload(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    try {
      const image = await createImageBitmap(file, { colorSpaceConversion: "none" });
      const canvas = new OffscreenCanvas(this.model.width, this.model.height);
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = !this.hasClasses;  // classes must not mix
      context.imageSmoothingQuality = "high";
      context.fillStyle = "#fff";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
      const colors = this.hasClasses ? this.brushes.map(({ color }) => color) : null;
      this.#change(() => this.drawing.load(pixels, colors));
    } catch {
      showError(`${file.name} is not an image, or this browser can't read it.`);
    }
  }

  // ---------------------------------------------------------------- showing

  show() {
    by("undo").disabled = !this.drawing.past.length;
    by("redo").disabled = !this.drawing.future.length;
    const context = by("drawing").getContext("2d");
    context.putImageData(new ImageData(this.drawing.bytes, this.model.width), 0, 0);
    if (document.activeElement === by("drawing") && by("drawing").matches(":focus-visible")) this.#showCursor(context);
    this.changed = true;
    delete document.body.dataset.ready;
    if (!this.busy) this.#translate();
  }

  #showCursor(context) {
    const { x, y } = this.cursor;
    for (const [style, offset] of [["#fff", 0], ["#000", 1]]) {
      context.strokeStyle = style;
      context.strokeRect(x - 3.5 - offset, y - 3.5 - offset, 7 + 2 * offset, 7 + 2 * offset);
    }
  }

  // Translates the drawing; repeats this if it changes meanwhile.
  async #translate() {
    this.busy = true;
    try {
      while (this.changed) {
        this.changed = false;
        const begin = performance.now();
        this.output = await this.network.translate(this.drawing.bytes);
        by("trouble").hidden = true;
        const taken = performance.now() - begin;
        by("output").getContext("2d").putImageData(new ImageData(this.output, this.model.width), 0, 0);
        by("status").textContent = `${this.model.name}, ${this.model.width}×${this.model.height}: ${taken.toFixed(0)} ms`;
        await new Promise(requestAnimationFrame);
      }
      document.body.dataset.ready = "yes";
    } catch (error) {
      showError(`The network failed: ${error.message ?? error}`);
    } finally {
      this.busy = false;
    }
  }

  offerDevices(Network) {
    by("device").parentElement.hidden = false;
    by("device").addEventListener("change", async ({ target }) => {
      try {
        const former = this.network;
        this.network = await Network.load(this.model, target.value);
        while (this.busy) await new Promise(requestAnimationFrame);
        former.delete();
        this.show();
      } catch (error) {
        showError(`The GPU can't run this network: ${error.message ?? error}`);
        target.value = "wasm";
      }
    });
  }
}

function save(bytes, { width, height }, name) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").putImageData(new ImageData(bytes.slice(), width), 0, 0);
  canvas.toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);  // some browsers read the URL later
  });
}

function showError(text) {
  by("trouble").textContent = text;
  by("trouble").hidden = false;
}

main().catch((error) => {
  by("status").textContent = "";
  showError(`This browser can't run the network: ${error.message ?? error}. Use a recent Chrome, Edge, Firefox or Safari.`);
});
