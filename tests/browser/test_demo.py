"""The page of ``pix2pix demo`` in a real browser: drawn on by mouse, finger and keys, its pictures compared.

Needs selenium (the extra browser-test), Chromium with its driver, and ``npm ci`` in web/.
"""

import base64
import hashlib
import io
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import load
from pix2pix_tf.data.procedural.canvas import PALETTE
from pix2pix_tf.demo import Demo
from pix2pix_tf.demo.runtime import _FILES, runtime_files
from pix2pix_tf.formats.tflite.conversion import convert

webdriver = pytest.importorskip("selenium.webdriver", reason="the extra browser-test is not installed")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402
from selenium.webdriver.common.actions.pointer_input import PointerInput  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

RUNTIME = Path(__file__).parents[2] / "web" / "node_modules" / "@litertjs"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or not shutil.which("chromedriver"), reason="there is no Chromium"),
    pytest.mark.skipif(not RUNTIME.is_dir(), reason="npm ci in web/ brings LiteRT.js"),
]
SIDE = 64


def test_the_pinned_files_are_those_of_npm():
    for name, path in runtime_files(RUNTIME).items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == _FILES[name]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1280,860"):
        options.add_argument(argument)
    with webdriver.Chrome(options=options) as driver:
        yield driver


@pytest.fixture(scope="module")
def float_model(tiny_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "façades.tflite"
    path.write_bytes(convert(load(tiny_run.path), (SIDE, SIDE), "none", classes=PALETTE))
    return path


@pytest.fixture
def opened(browser):
    """Opens the page for a model; returns it when its first output is there."""
    demos = []

    def at(model):
        demos.append(Demo(model, runtime=RUNTIME))
        threading.Thread(target=demos[-1].serve_forever, daemon=True).start()
        browser.get(demos[-1].url)
        return Page(browser).settled()

    yield at
    for demo in demos:
        demo.shutdown()
        demo.server_close()


class Page:
    def __init__(self, browser):
        self.browser = browser

    def settled(self):
        """Waits until the newest drawing is translated."""
        WebDriverWait(self.browser, 60).until(
            lambda browser: browser.execute_script("return document.body.dataset.ready") or self.trouble()
        )
        return self

    def trouble(self):
        return self.browser.find_element(By.ID, "trouble").text

    def pixels(self, canvas):
        """The pixels of a canvas, uint8 [height, width, 3]."""
        script = "return document.getElementById(arguments[0]).toDataURL('image/png').split(',')[1]"
        png = base64.b64decode(self.browser.execute_script(script, canvas))
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def click(self, *selectors):
        for selector in selectors:
            self.browser.find_element(By.CSS_SELECTOR, selector).click()
        return self

    def canvas(self):
        return self.browser.find_element(By.ID, "drawing")

    def to_screen(self, x, y):
        """From a pixel of the drawing to its place on the screen, from the canvas' middle."""
        size = self.canvas().size
        side = self.pixels("drawing").shape[0]
        return [
            round((at + 0.5) / side * size[key] - size[key] / 2) for at, key in ((x, "width"), (y, "height"))
        ]

    def drag(self, *places, kind="mouse"):
        actions = ActionBuilder(self.browser, mouse=PointerInput(kind, kind))
        for number, place in enumerate(places):
            actions.pointer_action.move_to(self.canvas(), *self.to_screen(*place))
            if number == 0:
                actions.pointer_action.pointer_down()
        actions.pointer_action.pointer_up()
        actions.perform()
        return self.settled()


def rectangle(drawing, left, top, right, bottom, name):
    drawing[top : bottom + 1, left : right + 1] = PALETTE[name]
    return drawing


def test_what_is_drawn_by_mouse_is_translated_as_predict_does(opened, float_model, tiny_run):
    page = opened(float_model)
    page.click("#clear").settled()
    page.click("[data-name=wall]").drag((4, 8), (30, 20), (59, 63))
    page.click("[data-name=door]").drag((40, 63), (30, 40))
    expected = np.full((SIDE, SIDE, 3), PALETTE["sky"], np.uint8)
    rectangle(rectangle(expected, 4, 8, 59, 63, "wall"), 30, 40, 40, 63, "door")
    drawing, output = page.pixels("drawing"), page.pixels("output")
    np.testing.assert_array_equal(drawing, expected)
    for model in (float_model, tiny_run.path):
        apart = np.abs(load(model)(drawing).astype(int) - output)
        assert (apart <= 1).mean() >= 0.999
    assert output.std() > 1


def test_brush_fill_and_eraser_leave_even_colors_and_undo_takes_them_back(opened, float_model):
    page = opened(float_model)
    begun = page.pixels("drawing")
    page.click("[data-name=brush]", "[data-name=shutter]").drag((5, 5), (50, 20), (20, 50))
    stroke = page.pixels("drawing")
    page.click("[data-name=fill]", "[data-name=roof]").drag((63, 63))
    page.click("[data-name=eraser]").drag((0, 30), (63, 30))
    drawn = page.pixels("drawing")
    colors = {tuple(color) for color in drawn.reshape(-1, 3).tolist()}
    assert colors <= set(PALETTE.values())
    assert {PALETTE["shutter"], PALETTE["roof"], PALETTE["sky"]} <= colors
    assert tuple(drawn[30, 10]) == PALETTE["sky"]
    for _ in range(2):
        page.click("#undo").settled()
    np.testing.assert_array_equal(page.pixels("drawing"), stroke)
    page.click("#undo").settled()
    np.testing.assert_array_equal(page.pixels("drawing"), begun)
    page.click("#redo").settled()
    np.testing.assert_array_equal(page.pixels("drawing"), stroke)


def test_a_finger_and_the_keys_draw_too(opened, float_model):
    page = opened(float_model)
    page.click("#clear").settled()
    page.click("[data-name=pillar]").drag((2, 2), (9, 60), kind="touch")
    expected = np.full((SIDE, SIDE, 3), PALETTE["sky"], np.uint8)
    np.testing.assert_array_equal(page.pixels("drawing"), rectangle(expected, 2, 2, 9, 60, "pillar"))

    page.browser.execute_script("document.getElementById('drawing').focus()")
    window, moves = "3", [*[Keys.ARROW_RIGHT] * 3, *[Keys.ARROW_DOWN] * 2]
    ActionChains(page.browser).send_keys(window, " ", *moves, " ", Keys.TAB).perform()
    page.settled()
    middle = SIDE // 2
    rectangle(expected, middle, middle, middle + 12, middle + 8, "window")
    np.testing.assert_array_equal(page.pixels("drawing"), expected)


def test_an_opened_label_map_of_another_size_gets_the_colors_of_classes(opened, float_model, tmp_path):
    page = opened(float_model)
    stripes = np.zeros((100, 100, 3), np.uint8)
    stripes[:, :50], stripes[:, 50:] = (3, 2, 250), (4, 130, 251)  # as JPEG leaves them
    Image.fromarray(stripes).save(tmp_path / "map.png")
    page.browser.find_element(By.ID, "upload").send_keys(str(tmp_path / "map.png"))
    page.settled()
    drawing = page.pixels("drawing")
    assert (drawing[:, :32] == PALETTE["wall"]).all()
    assert (drawing[:, 32:] == PALETTE["window"]).all()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    page.browser.find_element(By.ID, "upload").send_keys(str(tmp_path / "broken.png"))
    WebDriverWait(page.browser, 10).until(lambda browser: "broken.png" in page.trouble())


def test_a_browser_without_webassembly_is_told(opened, float_model, browser):
    hide = {"source": "delete self.WebAssembly"}
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", hide)
    try:
        assert "WebAssembly" in opened(float_model).trouble()
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


@pytest.mark.parametrize("size", [(1280, 860), (820, 1180), (390, 844)])
def test_the_model_that_comes_along_fits_on_every_screen(opened, browser, size):
    browser.set_window_size(*size)
    try:
        page = opened("facades-small")
        output, drawing = page.pixels("output"), page.pixels("drawing")
        apart = np.abs(load("facades-small")(drawing).astype(int) - output)
        # Its convolutions are in int8, whose sums browsers and processors round each in their own way.
        assert apart.mean() < 1
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(wide) <= 0
    finally:
        browser.set_window_size(1280, 860)
