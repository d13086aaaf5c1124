// Runs an exported .tflite model with LiteRT.js.

import { isWebGPUSupported, loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

export class Network {
  // model: the content of /model.json. device: "wasm" or "webgpu".
  static async load(model, device = "wasm") {
    await (Network.runtime ??= loadRuntime());
    const compiled = await loadAndCompile("/model.tflite", { accelerator: device });
    return new Network(model, compiled);
  }

  static async hasGpu() {
    const adapter = isWebGPUSupported() ? navigator.gpu.requestAdapter() : null;
    return (await Promise.resolve(adapter).catch(() => null)) !== null;
  }

  delete() {
    this.compiled.delete();
  }

  constructor(model, compiled) {
    this.model = model;
    this.compiled = compiled;
    this.takesBytes = compiled.getInputDetails()[0].dtype === "uint8";
  }

  // Converts the RGBA bytes of an image to the RGBA bytes of the output.
  async translate(bytes) {
    const { height, width, input_channels: channels } = this.model;
    const input = Tensor.fromTypedArray(this.#values(bytes), [1, height, width, channels]);
    const outputs = await this.compiled.run([input]);
    const values = await outputs[0].data();
    const output = this.#output(values);
    for (const tensor of [input, ...outputs]) tensor.delete();
    return output;
  }

  #values(bytes) {
    const channels = this.model.input_channels;
    const count = bytes.length / 4;
    const values = this.takesBytes ? new Uint8Array(count * channels) : new Float32Array(count * channels);
    for (let pixel = 0; pixel < count; pixel++) {
      for (let channel = 0; channel < channels; channel++) {
        const level = channels === 1 ? gray(bytes, 4 * pixel) : bytes[4 * pixel + channel];
        values[pixel * channels + channel] = this.takesBytes ? level : level / 127.5 - 1;
      }
    }
    return values;
  }

  #output(values) {
    const channels = this.model.output_channels;
    const bytes = new Uint8ClampedArray(4 * (values.length / channels)).fill(255);
    const isByte = values instanceof Uint8Array;
    for (let pixel = 0; pixel < bytes.length / 4; pixel++) {
      for (let channel = 0; channel < 3; channel++) {
        const value = values[pixel * channels + (channels === 1 ? 0 : channel)];
        bytes[4 * pixel + channel] = isByte ? value : (value + 1) * 127.5;  // Uint8ClampedArray rounds and clamps
      }
    }
    return bytes;
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
