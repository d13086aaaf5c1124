// Runs an exported .tflite model with LiteRT.js.

import { isWebGPUSupported, loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

export class Network {
  // model: an entry of /models.json. device: "wasm" or "webgpu".
  static async load(model, device = "wasm") {
    await (Network.runtime ??= loadRuntime());
    return new Network(model, await loadAndCompile(model.url, { accelerator: device }));
  }

  static async hasGpu() {
    const adapter = isWebGPUSupported() ? navigator.gpu.requestAdapter() : null;
    return (await Promise.resolve(adapter).catch(() => null)) !== null;
  }

  constructor(model, compiled) {
    this.model = model;
    this.compiled = compiled;
    const count = model.height * model.width;
    this.takesBytes = compiled.getInputDetails()[0].dtype === "uint8";
    this.values = new (this.takesBytes ? Uint8Array : Float32Array)(count * model.input_channels);
    this.output = new Uint8ClampedArray(4 * count).fill(255);
  }

  delete() {
    this.compiled.delete();
  }

  // Converts the RGBA bytes of an image to those of the output, which the next call overwrites.
  async translate(bytes) {
    const { height, width, input_channels: channels } = this.model;
    this.#readInput(bytes);
    const input = Tensor.fromTypedArray(this.values, [1, height, width, channels]);
    const outputs = await this.compiled.run([input]);
    this.#readOutput(await outputs[0].data());
    for (const tensor of [input, ...outputs]) tensor.delete();
    return this.output;
  }

  #readInput(bytes) {
    const { values, takesBytes, model: { input_channels: channels } } = this;
    for (let from = 0, to = 0; to < values.length; from += 4) {
      for (let channel = 0; channel < channels; channel++) {
        const level = channels === 1 ? gray(bytes, from) : bytes[from + channel];
        values[to++] = takesBytes ? level : level / 127.5 - 1;
      }
    }
  }

  #readOutput(values) {
    const { output, model: { output_channels: channels } } = this;
    const isByte = values instanceof Uint8Array;
    for (let from = 0, to = 0; to < output.length; from += channels, to += 4) {
      for (let channel = 0; channel < Math.max(channels, 3); channel++) {
        const value = values[channels === 1 ? from : from + channel];
        output[to + channel] = isByte ? value : (value + 1) * 127.5;  // Uint8ClampedArray rounds and clamps
      }
    }
  }
}

// Threads need shared memory, which browsers only allow on cross-origin isolated pages. In LiteRT.js they also
// need relaxed SIMD.
async function loadRuntime() {
  const folder = "/litert/core/wasm/";
  if (self.crossOriginIsolated) {
    try {
      return await loadLiteRt(folder, { threads: true });
    } catch (error) {
      console.info("using one thread:", error);
    }
  }
  return loadLiteRt(folder);
}

function gray(bytes, at) {
  return Math.round(0.2989 * bytes[at] + 0.587 * bytes[at + 1] + 0.114 * bytes[at + 2]);
}
