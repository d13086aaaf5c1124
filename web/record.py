"""Records the drawing of an emoji on the demo page: ``python web/record.py docs/images/demo.gif``."""

import io
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

from pix2pix_tf.demo import Demo
from pix2pix_tf.formats.shipped import shipped_models

SCREEN = {"width": 900, "height": 616, "deviceScaleFactor": 1, "mobile": False}
WIDTH, FRAME_MILLISECONDS, MOST_BYTES = 640, 80, 1_000_000
LEAST_CHANGE = 4  # smaller changes of a pixel are left out, which makes the file smaller
MOUTH = [(31, 70), (33, 73), (36, 76), (40, 79), (45, 81), (50, 82), (55, 81), (60, 79), (64, 76), (67, 73)]
STEPS = [  # tool, color, and the way of the mouse in percent of the drawing
    ("circle", "yellow", [(14, 22), (86, 94)]),
    ("circle", "violet", [(33, 45), (44, 63)]),
    ("circle", "violet", [(56, 45), (67, 63)]),
    ("circle", "orange", [(18, 63), (28, 73)]),
    ("circle", "orange", [(72, 63), (82, 73)]),
    ("brush", "violet", [*MOUTH, (69, 70)]),
    ("rectangle", "navy", [(20, 22), (80, 30)]),
    ("rectangle", "navy", [(31, 3), (69, 24)]),
    ("rectangle", "red", [(31, 15), (69, 22)]),
]
POINTER = np.array([(0, 0), (0, 20), (5, 16), (9, 24), (12, 22), (9, 15), (15, 15)])


class Recorder:
    def __init__(self, browser: webdriver.Chrome):
        self.browser, self.place, self.frames = browser, np.array([450, 300]), []

    def mouse(self, event: str) -> None:
        """Sends a mouse event, and takes a frame when the drawing is translated."""
        where = {"x": float(self.place[0]), "y": float(self.place[1])}
        button = {"type": event, "button": "left", "clickCount": 1}
        self.browser.execute_cdp_cmd("Input.dispatchMouseEvent", {**button, **where})
        WebDriverWait(self.browser, 60).until(
            lambda b: b.execute_script("return document.body.dataset.ready")
        )
        image = Image.open(io.BytesIO(self.browser.get_screenshot_as_png())).convert("RGB")
        ImageDraw.Draw(image).polygon([tuple(each) for each in POINTER + self.place], "black", "white")
        size = WIDTH, round(image.height * WIDTH / image.width)
        self.frames.append(np.asarray(image.resize(size, Image.Resampling.LANCZOS)))

    def move(self, selector: str, across: float, down: float, frames: int) -> None:
        """Moves the mouse to a place in percent of an element."""
        script = "const f = document.querySelector(arguments[0]).getBoundingClientRect();"
        x, y, *size = self.browser.execute_script(f"{script} return [f.x, f.y, f.width, f.height]", selector)
        start, end = self.place, np.array([x, y]) + np.array([across, down]) / 100 * size
        for part in range(1, frames + 1):
            self.place = start + (end - start) * part / frames
            self.mouse("mouseMoved")

    def drag(self, selector: str, way: list[tuple[float, float]]) -> None:
        self.move(selector, *way[0], frames=3)
        self.mouse("mousePressed")
        for place in way[1:]:
            self.move(selector, *place, frames=max(1, 8 // len(way[1:])))
        self.mouse("mouseReleased")

    def write(self, path: str) -> None:
        shown = self.frames[:1]
        for frame in self.frames[1:]:
            changes = (np.abs(frame.astype(int) - shown[-1]) >= LEAST_CHANGE).any(-1, keepdims=True)
            shown.append(np.where(changes, frame, shown[-1]))
        several = Image.fromarray(np.concatenate(shown[:: len(shown) // 8]))
        durations = [FRAME_MILLISECONDS] * (len(shown) - 1) + [2500]
        for colors in (192, 128, 96, 64):
            palette = several.quantize(colors)
            first, *others = (Image.fromarray(each).quantize(palette=palette, dither=0) for each in shown)
            first.save(path, save_all=True, append_images=others, duration=durations, loop=0)
            if Path(path).stat().st_size <= MOST_BYTES:
                return


def main(path: str, model: str = shipped_models()[0]) -> None:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    runtime = Path(__file__).parent / "node_modules" / "@litertjs"
    with Demo(model, runtime=runtime) as demo, webdriver.Chrome(options=options) as browser:
        threading.Thread(target=demo.serve_forever, daemon=True).start()
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SCREEN)
        browser.get(demo.url)
        recorder = Recorder(browser)
        buttons = ["#clear"]
        for tool, color, way in STEPS:
            for button in (*buttons, f"[data-name={tool}]", f"[data-name={color}]"):
                if browser.find_element("css selector", button).get_attribute("aria-checked") != "true":
                    recorder.drag(button, [(50, 50)])
            buttons = []
            recorder.drag("#drawing", way)
        demo.shutdown()
    recorder.write(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
