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
from pix2pix_tf.formats.tflite import samples_file
from pix2pix_tf.formats.tflite.conversion import convert
from tests.formats.models import untrained

webdriver = pytest.importorskip("selenium.webdriver", reason="the extra browser-test is not installed")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402
from selenium.webdriver.common.actions.pointer_input import PointerInput  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402
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
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    fake_camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1280,860", *fake_camera):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    with webdriver.Chrome(options=options) as driver:
        yield driver


@pytest.fixture(scope="module")
def float_model(tiny_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "façades.tflite"
    path.write_bytes(convert(load(tiny_run.path), (SIDE, SIDE), "none", classes=PALETTE))
    return path


@pytest.fixture(scope="module")
def free_model(tiny_run, tmp_path_factory):
    """A model without classes, and two held-out samples of it."""
    path = tmp_path_factory.mktemp("free") / "free.tflite"
    path.write_bytes(convert(load(tiny_run.path), (SIDE, SIDE), "none"))
    samples = np.random.default_rng(0).integers(0, 255, (2 * SIDE, SIDE, 3), np.uint8)
    Image.fromarray(samples).save(samples_file(path))
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

    def saved(self, button, downloads):
        """The image that a button saves."""
        [path.unlink() for path in downloads.iterdir()]
        self.click(button)
        file = downloads / f"{button.removeprefix('#save-')}.png"
        # Chromium creates an empty file of this name before it writes the image.
        WebDriverWait(self.browser, 10).until(lambda browser: file.exists() and file.stat().st_size)
        with Image.open(file) as image:
            return np.asarray(image)

    def click(self, *selectors):
        for selector in selectors:
            self.browser.find_element(By.CSS_SELECTOR, selector).click()
        return self

    def canvas(self):
        return self.browser.find_element(By.ID, "drawing")

    def to_screen(self, x, y):
        """From a pixel of the network's input to its place on the screen, from the canvas' middle."""
        size = self.canvas().size
        side = self.pixels("output").shape[0]
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


def test_free_drawings_are_translated_as_predict_translates_the_saved_ones(
    opened, free_model, tiny_run, downloads
):
    page = opened(free_model)
    page.click("#clear").settled()
    blank = page.pixels("output")
    page.click("[data-name=circle]", "[data-name=yellow]").drag((8, 8), (30, 30), (56, 54))
    page.browser.execute_script(
        "const picker = document.querySelector('#picker input'); picker.value = '#123456';"
        "picker.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    page.click("[data-name=brush]").drag((20, 28), (24, 28))
    drawing, output = page.saved("#save-input", downloads)[..., :3], page.saved("#save-output", downloads)
    assert tuple(drawing[40, 32]) == (255, 176, 46)
    assert tuple(drawing[28, 22]) == (0x12, 0x34, 0x56)
    for model in (free_model, tiny_run.path):
        apart = np.abs(load(model)(drawing).astype(int) - output[..., :3])
        assert (apart <= 1).mean() >= 0.999
    assert np.abs(blank.astype(int) - output[..., :3]).mean() > 1


def test_edges_of_free_drawings_are_antialiased_and_filled_without_seams(opened, free_model, downloads):
    page = opened(free_model)
    page.click("#clear", "[data-name=circle]", "[data-name=black]").drag((8, 8), (30, 30), (56, 55))
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    drawing = page.saved("#save-input", downloads)[..., 0]
    distance = np.hypot(rows - 32.5, columns - 32.5)
    assert (drawing[distance < 22] == 0).all()
    assert (drawing[distance > 27] == 255).all()
    levels = np.unique(drawing)
    assert len(levels) > 8
    page.click("[data-name=fill]", "[data-name=white]").drag((32, 32))
    assert (page.saved("#save-input", downloads) == 255).all()


def test_fills_recolor_the_antialiased_edges_of_opened_images(opened, free_model, downloads, tmp_path):
    rows, columns = np.mgrid[: 8 * SIDE, : 8 * SIDE] / 8
    is_outside = np.hypot(rows - 32, columns - 32) > 20
    outside = is_outside.reshape(SIDE, 8, SIDE, 8).mean((1, 3))[..., np.newaxis]
    Image.fromarray(np.repeat(np.round(255 * outside), 3, 2).astype(np.uint8)).save(tmp_path / "disc.png")
    page = opened(free_model)
    page.browser.find_element(By.ID, "upload").send_keys(str(tmp_path / "disc.png"))
    WebDriverWait(page.browser, 10).until(lambda browser: page.pixels("drawing")[0, 0].min() == 255)
    page.click("[data-name=fill]", "[data-name=blue]").drag((2, 2))
    off = np.abs(page.saved("#save-input", downloads)[..., :3] - outside * (0, 166, 237)).max(-1)
    assert (off <= 2).mean() > 0.99


def test_held_out_samples_are_offered_as_they_are(opened, free_model, downloads):
    samples = np.asarray(Image.open(samples_file(free_model)))
    page = opened(free_model)
    np.testing.assert_array_equal(page.saved("#save-input", downloads)[..., :3], samples[:SIDE])
    page.click("#starters button:nth-child(2)").settled()
    np.testing.assert_array_equal(page.saved("#save-input", downloads)[..., :3], samples[SIDE:])


def test_the_menu_switches_the_model(opened, free_model):
    page = opened(free_model)
    for name, side in (("procedural-small", 128), ("free", SIDE)):
        Select(page.browser.find_element(By.ID, "model")).select_by_visible_text(name)
        WebDriverWait(page.browser, 60).until(
            lambda browser, side=side: page.pixels("output").shape[0] == side
        )
        page.settled()
    Select(page.browser.find_element(By.ID, "model")).select_by_visible_text("procedural-small")
    WebDriverWait(page.browser, 60).until(lambda browser: page.pixels("output").shape[0] == 128)
    page.settled().click("[data-name=roof]").drag((5, 5), (60, 60))
    assert not page.browser.find_element(By.ID, "tabs").is_displayed()
    apart = np.abs(load("procedural-small")(page.pixels("drawing")).astype(int) - page.pixels("output"))
    assert apart.mean() < 1


def test_frames_of_the_camera_are_translated_until_it_is_frozen(opened, free_model):
    page = opened(free_model)
    page.click("[data-name=camera]")
    frames = set()

    def moves(browser):
        frames.add(page.pixels("output").tobytes())
        return len(frames) > 3

    WebDriverWait(page.browser, 30).until(moves)
    page.click("#freeze").settled()
    photo, output = page.pixels("camera"), page.pixels("output")
    assert (np.abs(load(free_model)(photo).astype(int) - output) <= 1).mean() >= 0.999
    assert photo.std() > 1
    page.browser.execute_async_script("setTimeout(arguments[0], 300)")
    np.testing.assert_array_equal(page.pixels("output"), output)
    page.click("#freeze")
    WebDriverWait(page.browser, 30).until(lambda browser: (page.pixels("output") != output).any())
    page.browser.execute_script(
        "window.seen = []; const { prototype } = HTMLVideoElement, { requestVideoFrameCallback } = prototype;"
        "prototype.requestVideoFrameCallback = function (react) { return requestVideoFrameCallback.call("
        "  this, (now, frame) => { seen.push(frame.presentedFrames); react(now, frame); }); };"
        "for (let count = 0; count < 6; count++) freeze.click();"
    )
    WebDriverWait(page.browser, 30).until(lambda browser: browser.execute_script("return seen.length > 4"))
    seen = page.browser.execute_script("return seen")
    assert len(seen) == len(set(seen))  # each frame is translated once
    page.click("[data-name=draw]").settled()


def test_a_denied_camera_is_reported_and_drawing_goes_on(opened, free_model):
    page = opened(free_model)
    page.browser.execute_script("navigator.mediaDevices.getUserMedia = () => Promise.reject(Error('denied'))")
    page.click("[data-name=camera]")
    WebDriverWait(page.browser, 10).until(lambda browser: "denied" in page.trouble())
    page.click("[data-name=black]").drag((5, 5), (20, 20))
    assert not page.trouble()


def test_only_errors_of_the_camera_that_is_shown_are_reported(opened, free_model):
    page = opened(free_model)
    run = page.browser.execute_script
    run(
        "window.camera = navigator.mediaDevices.getUserMedia;"
        "navigator.mediaDevices.getUserMedia = () => new Promise((_, reject) => { window.refuse = reject; })"
    )
    page.click("[data-name=camera]", "[data-name=draw]")
    run("refuse(Error('late'))")
    page.browser.execute_async_script("setTimeout(arguments[0], 100)")
    assert not page.trouble()
    run("navigator.mediaDevices.getUserMedia = window.camera")
    page.click("[data-name=camera]")
    WebDriverWait(page.browser, 30).until(lambda browser: page.pixels("camera").std() > 1)
    run("navigator.mediaDevices.getUserMedia = () => Promise.reject(Error('in use'))")
    run("turn.disabled = false")  # as with two cameras
    page.click("#turn")
    WebDriverWait(page.browser, 10).until(lambda browser: "in use" in page.trouble())
    page.click("[data-name=black]").drag((5, 5), (20, 20))


def test_dropped_files_are_cropped_and_opened(opened, free_model, downloads, tmp_path):
    page = opened(free_model)
    stripes = np.zeros((64, 128, 3), np.uint8)
    stripes[:, 32:64], stripes[:, 64:96] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    page.browser.execute_script(
        "const bytes = Uint8Array.from(atob(arguments[0]), (each) => each.charCodeAt());"
        "const dataTransfer = new DataTransfer();"
        "dataTransfer.items.add(new File([bytes], 'stripes.png', {type: 'image/png'}));"
        "delete document.body.dataset.ready;"
        "document.body.dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true}))",
        base64.b64encode((tmp_path / "stripes.png").read_bytes()).decode(),
    )
    assert not page.settled().trouble()
    drawing = page.saved("#save-input", downloads)
    assert (drawing[:, 2:30, :3] == (255, 0, 0)).all()
    assert (drawing[:, 34:-2, :3] == (0, 0, 255)).all()


def test_transparent_outputs_keep_their_alpha(opened, tmp_path, downloads):
    path = tmp_path / "sprites.tflite"
    path.write_bytes(convert(untrained(output_channels=4), (SIDE, SIDE), "none"))
    page = opened(path)
    drawing = page.saved("#save-input", downloads)[..., :3]
    expected, output = load(path)(drawing), page.saved("#save-output", downloads)
    assert np.abs(expected[..., 3].astype(int) - output[..., 3]).max() <= 1
    opaque = expected[..., 3] > 128  # browsers store colors multiplied by alpha, which rounds them
    assert np.abs(expected[opaque].astype(int) - output[opaque]).max() <= 3


@pytest.mark.parametrize("size", [(1280, 860), (820, 1180), (390, 844), (390, 664)])
def test_drawing_and_output_fit_on_every_screen(opened, browser, size):
    screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        page = opened("facades-small")
        output, drawing = page.pixels("output"), page.pixels("drawing")
        apart = np.abs(load("facades-small")(drawing).astype(int) - output)
        # Its convolutions are in int8, whose sums browsers and processors round each in their own way.
        assert apart.mean() < 1
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(wide) <= 0
        for name in ("drawing", "output"):
            frame = browser.find_element(By.ID, name).rect
            assert min(frame["width"], frame["height"]) > 200
            assert frame["x"] + frame["width"] <= size[0]
            assert frame["y"] + frame["height"] <= size[1]
        for control in browser.find_elements(By.CSS_SELECTOR, "button, select, label.button"):
            assert not control.is_displayed() or min(control.size.values()) >= 40
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
