// The camera's frames, as inputs of the network.

const by = (id) => document.getElementById(id);

export class Camera {
  // changed: called when there is a new input. failed: called with an error if the camera can't be used.
  constructor(changed, failed) {
    Object.assign(this, { changed, failed });
    this.video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
    this.facing = "user";
    this.context = by("camera").getContext("2d", { willReadFrequently: true });
    by("freeze").addEventListener("click", () => this.#setFrozen(!this.frozen));
    by("turn").addEventListener("click", () => {
      this.facing = this.facing === "user" ? "environment" : "user";
      this.start();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== " " || !this.stream || event.target.closest("button, input, select")) return;
      event.preventDefault();
      this.#setFrozen(!this.frozen);
    });
  }

  open({ width, height }) {
    this.size = { width, height };
    Object.assign(by("camera"), this.size);
    if (this.stream) this.#setFrozen(false);
  }

  async start() {
    this.stop();
    const asked = this.asked = {};
    try {
      await this.#open(asked);
    } catch (error) {
      if (asked === this.asked) this.failed(error);  // else stopped meanwhile
    }
  }

  async #open(asked) {
    const video = { facingMode: this.facing, width: { ideal: 640 }, height: { ideal: 480 } };
    const stream = await navigator.mediaDevices.getUserMedia({ video });
    const stopTracks = () => stream.getTracks().forEach((track) => track.stop());
    if (asked !== this.asked) return stopTracks();  // stopped meanwhile
    this.stream = { stopTracks, isMirrored: stream.getVideoTracks()[0].getSettings().facingMode !== "environment" };
    this.video.srcObject = stream;
    this.#setFrozen(false);
    await this.video.play();
    const devices = await navigator.mediaDevices.enumerateDevices();
    by("turn").disabled = devices.filter(({ kind }) => kind === "videoinput").length < 2;
  }

  stop() {
    this.asked = null;
    this.stream?.stopTracks();
    this.stream = this.video.srcObject = null;
  }

  #setFrozen(frozen) {
    this.frozen = frozen;
    by("freeze").setAttribute("aria-pressed", frozen);
    if (frozen) this.changed();
    else this.#awaitFrame();
  }

  #awaitFrame() {
    this.video.cancelVideoFrameCallback(this.awaited);
    this.awaited = this.video.requestVideoFrameCallback(() => {
      if (this.frozen || !this.stream) return;
      this.changed();
      this.#awaitFrame();
    });
  }

  // The middle of the newest frame in the network's size; of the frozen one, what is shown.
  get input() {
    const { video, context, size: { width, height } } = this;
    if (!this.frozen && video.videoWidth) {
      const scale = Math.max(width / video.videoWidth, height / video.videoHeight);
      const [shownWidth, shownHeight] = [scale * video.videoWidth, scale * video.videoHeight];
      context.setTransform(this.stream.isMirrored ? -1 : 1, 0, 0, 1, this.stream.isMirrored ? width : 0, 0);
      context.imageSmoothingQuality = "high";
      context.drawImage(video, (width - shownWidth) / 2, (height - shownHeight) / 2, shownWidth, shownHeight);
      context.resetTransform();
    }
    return context.getImageData(0, 0, width, height).data;
  }
}
