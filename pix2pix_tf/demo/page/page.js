// The page: the menu of models, the tabs, and live translation of the drawing or of the camera's frames.

import { Camera } from "./camera.js";
import { Editor } from "./editor.js";

const by = (id) => document.getElementById(id);

async function main() {
  if (typeof WebAssembly !== "object") throw new Error("this browser has no WebAssembly");
  const models = await (await fetch("/models.json")).json();
  const { Network } = await import("./network.js");
  const page = new Page(models, Network);
  await page.load(models[0]);
  by("device").parentElement.hidden = !await Network.hasGpu();
}

class Page {
  constructor(models, Network) {
    this.Network = Network;
    this.editor = new Editor(() => this.translateFrom(this.editor));
    this.camera = new Camera(() => this.translateFrom(this.camera), (error) => {
      this.chooseTab("draw");
      showError(`The camera can't be used: ${error.message ?? error}`);
    });
    this.source = this.editor;
    this.busy = this.changed = false;
    by("model").append(...models.map(({ name }) => new Option(name)));
    for (const id of ["model", "device"]) {
      by(id).addEventListener("change", () => this.load(models[by("model").selectedIndex], by("device").value));
    }
    by("tabs").addEventListener("click", ({ target }) => target.dataset.name && this.chooseTab(target.dataset.name));
    by("upload").addEventListener("change", ({ target }) => {
      this.#openFile(target.files[0]);
      target.value = "";
    });
    this.#listenToDrops();
    by("save-output").addEventListener("click", () => save(by("output"), "output.png"));
    by("save-input").addEventListener("click", () => this.#saveInput());
  }

  // Replaces the network, and the drawing if the model changes.
  async load(model, device = "wasm") {
    const asked = this.asked = {};
    delete document.body.dataset.ready;
    let network, strip;
    try {
      strip = model.samples && await createImageBitmap(await (await fetch(model.samples)).blob(), { colorSpaceConversion: "none" });
      network = await this.Network.load(model, device);
    } catch (error) {
      if (asked !== this.asked) return;
      if (!this.network) throw error;
      showError(`${device === "webgpu" ? "The GPU" : "This browser"} can't run ${model.name}: ${error.message ?? error}`);
      by("device").value = this.device;
      by("model").value = this.model.name;
      this.#wake();
      return;
    }
    while (this.busy && asked === this.asked) {
      this.isSwitching = true;
      await new Promise(requestAnimationFrame);
    }
    this.isSwitching = false;
    if (asked !== this.asked) {  // another was chosen meanwhile
      network.delete();
      return;
    }
    this.network?.delete();
    const former = this.model;
    Object.assign(this, { network, model, device });
    if (model !== former) this.#show(model, strip);
    this.#wake();
  }

  #show(model, strip) {
    for (const part of document.querySelectorAll("[inert]")) part.inert = false;
    document.title = `${model.name} – pix2pix`;
    const hasClasses = model.classes.length > 0;
    by("tabs").hidden = hasClasses;
    for (const id of ["drawing", "camera", "output"]) {
      by(id).style.width = `${100 * Math.min(1, model.width / model.height)}%`;
      by(id).style.height = `${100 * Math.min(1, model.height / model.width)}%`;
    }
    Object.assign(by("output"), { width: model.width, height: model.height });
    by("output").classList.toggle("transparent", model.output_channels === 4);
    this.camera.open(model);
    if (hasClasses) this.chooseTab("draw");
    this.editor.open(model, strip);
  }

  chooseTab(name) {
    if (name === document.body.dataset.tab) return;
    document.body.dataset.tab = name;
    for (const tab of by("tabs").children) tab.setAttribute("aria-selected", tab.dataset.name === name);
    by("save-input").textContent = name === "camera" ? "Save photo" : "Save drawing";
    this.source = this[name === "camera" ? "camera" : "editor"];
    if (name === "camera") {
      this.camera.start();
      return;
    }
    this.camera.stop();
    this.#wake();
  }

  async #openFile(file) {
    if (!file || !this.model) return;
    try {
      await this.editor.openFile(file);
      this.chooseTab("draw");
    } catch {
      showError(`${file.name} is not an image, or this browser can't read it.`);
    }
  }

  #listenToDrops() {
    for (const kind of ["dragover", "dragleave", "drop"]) {
      document.addEventListener(kind, (event) => {
        event.preventDefault();
        document.body.classList.toggle("dropping", kind === "dragover");
        if (kind === "drop") this.#openFile(event.dataTransfer.files[0]);
      });
    }
  }

  // Called for each new input.
  translateFrom(source) {
    if (source === this.editor) by("trouble").hidden = true;
    if (source === this.source) this.#wake();
  }

  #wake() {
    this.changed = true;
    delete document.body.dataset.ready;
    if (!this.busy && this.network) this.#translate();
  }

  // Translates the newest input; repeats this if it changes meanwhile.
  async #translate() {
    this.busy = true;
    try {
      while (this.changed && !this.isSwitching) {
        this.changed = false;
        const begin = performance.now();
        const output = await this.network.translate(this.source.input);
        by("output").getContext("2d").putImageData(new ImageData(output, this.model.width), 0, 0);
        by("status").textContent = `${(performance.now() - begin).toFixed(0)} ms`;
        await new Promise(requestAnimationFrame);
      }
      if (!this.changed) document.body.dataset.ready = "yes";
    } catch (error) {
      showError(`The network failed: ${error.message ?? error}`);
    } finally {
      this.busy = false;
    }
  }

  #saveInput() {
    const { width, height } = this.model;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    canvas.getContext("2d").putImageData(new ImageData(this.source.input, width), 0, 0);
    save(canvas, "input.png");
  }
}

function save(canvas, name) {
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
