"""report.html: one small file, whatever names are in it; and the answers that its game saves."""

import base64
import dataclasses
import html.parser
import io
import itertools
import json
import math

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import metrics
from pix2pix_tf.errors import DataError
from pix2pix_tf.evaluation import report
from pix2pix_tf.evaluation.intervals import Comparison, Estimate
from pix2pix_tf.evaluation.report import ReportImage, write_report
from pix2pix_tf.evaluation.report.answers import TAKEN_FOR_REAL, read_answers, wilson_interval
from pix2pix_tf.evaluation.results import Evaluation, Result

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp; {x} 건물"
METRICS = tuple(
    metric for metric in metrics.METRICS if metric.name in ("l1", "ssim", "sharpness", "checkerboard_2")
)


def estimate(value):
    return Estimate(value, value - 0.0123, value + 0.0321, 9)


def evaluation(*names, better="", **others):
    """An evaluation in which earlier models have better values; ``better`` wins all of its comparisons."""
    models = [
        Result(
            name=name,
            path=f"runs/{name}",
            step=4000,
            trained_on=0,
            values={
                "l1": estimate(0.17 + place / 9),
                "ssim": estimate(0.27 - place / 9),
                "sharpness": estimate(1.3 + place / 9),
                "checkerboard_2": estimate(1.1 + place),
            },
            spectrum=[0.0, 3.0, 0.2, 0.01],
        )
        for place, name in enumerate(names)
    ]
    comparisons = [
        Comparison(
            metric,
            pair,
            Estimate(-0.0111, -0.0222, 0.0033, 9),
            larger_than_chance=better in pair,
            better=better if better in pair else None,
        )
        for pair in itertools.combinations(names, 2)
        for metric in METRICS
    ]
    given = {
        "dataset": "facades",
        "split": "val",
        "direction": "BtoA",
        "count": 9,
        "image_size": (32, 32),
        "packages": {"keras": "3.13.0"},
        "metrics": METRICS,
        "models": models,
        "targets": Result("targets", "", None, 0, {"checkerboard_2": estimate(0.85)}, [5.0, 4.0, 0.4, 0.05]),
        "frequencies": [0.0, 0.125, 0.25, 0.5],
        "comparisons": comparisons,
        "left_out": {"FID": "there are no weights"},
    }
    return Evaluation(**{**given, **others})


def image(seed, shape=(32, 32, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def report_image(place, *models, name="", size=32, **others):
    values = {"l1": place / 100, "ssim": 0.5, "sharpness": 1.1, "checkerboard_2": 1.0}
    given = {
        "input": image([place, 101], (size, size, 1)),
        "target": image([place, 100], (size, size, 3)),
        "outputs": {model: image([place, number], (size, size, 3)) for number, model in enumerate(models)},
        "values": dict.fromkeys(models, values),
    }
    return ReportImage(name or f"{place}.jpg", **{**given, **others})


class Page(html.parser.HTMLParser):
    """A parsed page: its elements, the texts by element, and the data of its script."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags, self.texts, self._open = [], {}, None
        self.feed(self.source)
        self.data = json.loads(self.texts["script"][0])

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        self.texts.setdefault(self._open, []).append(data)

    def attributes(self, tag, name):
        return [attributes[name] for each, attributes in self.tags if each == tag and name in attributes]

    def headline(self):
        return "".join(self.texts["h1"])

    def pixels(self, index):
        kind, content = self.data["uris"][index].split(",")
        assert kind.startswith("data:image/")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


@pytest.fixture
def page(tmp_path):
    def write(given, images=(), curves=None):
        path = tmp_path / "report.html"
        write_report(path, given, images, curves or {})
        return Page(path)

    return write


def test_every_number_is_on_the_page(page):
    given = evaluation("a", "b")
    shown = {float(value) for value in page(given).attributes("data", "value")}
    estimates = [value for result in (*given.models, given.targets) for value in result.values.values()]
    for each in (*estimates, *(comparison.difference for comparison in given.comparisons)):
        assert {each.value, each.low, each.high} <= shown
    given = evaluation("a", "b", metrics=(*METRICS, TAKEN_FOR_REAL))
    given.models[0].values["taken_for_real"] = estimate(3.5)
    found = page(given)
    assert "3.5" in found.attributes("data", "value")
    assert "missing" in found.attributes("span", "class")  # a dash for the model that lacks it


def test_the_headline_names_the_better_model(page):
    a, b = (page(evaluation("anna", "otto", better=name)).headline() for name in ("anna", "otto"))
    assert a.startswith("anna")
    assert b == a.replace("anna", "?").replace("otto", "anna").replace("?", "otto")
    names = ("anna", "otto", "ida")
    for name in names:
        headline = page(evaluation(*names, better=name)).headline()
        assert [each for each in names if each in headline] == [name]


def test_without_a_better_model_the_headline_says_why(page):
    given = evaluation("anna", "otto")
    differ = [dataclasses.replace(each, larger_than_chance=True) for each in given.comparisons]
    found = [
        page(dataclasses.replace(given, comparisons=each)).headline()
        for each in (given.comparisons, differ, [])
    ]
    for words, headline in zip(("No difference", "neither is better", "too few"), found, strict=True):
        assert words in headline
    assert all(text in page(evaluation("anna")).headline() for text in ("anna", "L1", "0.170"))


def test_only_a_best_that_is_beyond_chance_is_marked_as_such(page):
    for given, mark in (
        (evaluation("a", "b", better="a"), ["tag ahead"] * 4),
        (evaluation("a", "b"), ["tag"] * 4),
        (evaluation("a", "b", comparisons=[]), []),
        (evaluation("a"), []),
    ):
        marks = page(given).attributes("span", "class")
        assert [kind for kind in marks if kind.startswith("tag")] == mark


def test_names_are_escaped_everywhere(page):
    models = (f"1 {EVIL}", f"2 {EVIL}")
    given = evaluation(*models, better=models[0], dataset=EVIL, packages={EVIL: EVIL})
    given = dataclasses.replace(
        given,
        left_out={EVIL: EVIL},
        metrics=[dataclasses.replace(metric, label=EVIL, help=EVIL) for metric in METRICS],
    )
    found = page(given, [report_image(1, *models, name=EVIL)], {models[0]: [{"step": 1, EVIL: 2.0}]})
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert found.data["images"][0]["name"] == EVIL
    assert [model["name"] for model in found.data["models"]] == list(models)
    assert models[0] in found.headline()
    found = page(evaluation("run \udcff", "real"), [report_image(1, "run \udcff", "real", name="\udce9.jpg")])
    assert found.data["images"][0]["name"] == "\udce9.jpg"
    # A model with the name of the real images isn't taken for them.
    assert found.data["models"][1]["key"] == "real (model)"


def test_the_page_makes_no_requests(page):
    found = page(evaluation("a"), [report_image(1, "a")])
    addresses = [
        value for tag, _ in found.tags for key in ("src", "href") for value in found.attributes(tag, key)
    ]
    assert {address[0] if address[0] == "#" else address for address in addresses} == {"#", "data:,"}
    assert "url(" not in found.source
    assert "@import" not in found.source


def test_images_are_embedded_nearly_unchanged(page):
    smooth = np.broadcast_to(np.arange(0, 256, 8, np.uint8)[:, None, None], (32, 32, 3))
    labels = np.repeat(255 * (image(0, (32, 32, 1)) // 128), 3, axis=2)
    given = report_image(
        1, "a", "b", input=labels, target=smooth, outputs={"a": 255 - smooth, "b": smooth[:, ::-1] // 2}
    )
    found = page(evaluation("a", "b"), [given])
    [entry] = found.data["images"]
    labels_shown, *shown = (found.pixels(index) for index in entry["views"])
    np.testing.assert_array_equal(labels_shown, labels)  # lossless, because it has few colors
    for pixels, expected in zip(shown, (*given.outputs.values(), given.target), strict=True):
        assert np.abs(pixels.astype(int) - expected).mean() < 3


def test_equal_images_are_embedded_once_and_large_ones_are_scaled_down(page):
    same = image(0, (30, 1200, 1))
    images = [
        report_image(place, "a", "b", input=same, outputs={"a": image(place), "b": same})
        for place in (1, 2, 3)
    ]
    found = page(evaluation("a", "b"), images)
    assert len(found.data["uris"]) == len(set(found.data["uris"])) == 1 + 3 + 3
    assert found.source.count("data:image/") == 7
    [index] = {entry["views"][0] for entry in found.data["images"]}
    assert found.pixels(index).shape == (13, report.LONGEST_SIDE, 3)


def test_a_page_stays_below_its_limit_and_shows_the_worst_and_the_best(page, monkeypatch):
    assert report.LIMIT <= 5_000_000
    monkeypatch.setattr(report, "LIMIT", len(page(evaluation("a", "b")).source.encode()) + 200_000)
    images = [report_image(place, "a", "b", size=48) for place in range(60)]
    found = page(evaluation("a", "b"), images)
    assert len(found.source.encode()) <= report.LIMIT
    names = [entry["name"] for entry in found.data["images"]]
    assert 10 < len(names) < 60
    assert {"59.jpg", "58.jpg", "1.jpg", "0.jpg"} <= set(names)
    places = np.array([int(name[:-4]) for name in names])
    assert (places > 45).sum() > (places < 14).sum()
    assert ((places >= 20) & (places < 40)).sum() > 2
    assert sum(len(uri) for uri in found.data["uris"]) > 150_000
    monkeypatch.setattr(report, "LIMIT", 1000)
    assert page(evaluation("a"), [report_image(1, "a")]).data["images"] == []


def lines(found, mark):
    return [points for kind, points in polylines(found) if kind == f"mark-{mark}"]


def polylines(found):
    return zip(found.attributes("polyline", "class"), found.attributes("polyline", "points"), strict=True)


def test_spectra_are_drawn_with_logarithmic_axes_beside_the_targets(page):
    found = page(evaluation("a", "b"))
    # Frequency 0 is left out. The others are one octave apart.
    for mark in (0, 1, "targets"):
        power, share = lines(found, mark)
        assert [point.split(",")[0] for point in power.split()] == ["0", "500", "1000"]
        assert [point.split(",")[0] for point in share.split()] == ["0", "500", "1000"]
    heights = [int(point.split(",")[1]) for point in lines(found, 0)[0].split()]
    # 3, 0.2 and 0.01 between 4 at the top and 0.01 at the bottom.
    assert heights == [round(1000 * math.log(4 / power) / math.log(400)) for power in (3, 0.2, 0.01)]
    assert "47% of the targets’ power" in found.source


def test_curves_are_drawn_for_every_model_and_value(page):
    log = [{"step": step, "loss": 1 / step, "rate": 0.1} for step in range(1, 1001)]
    unfinished = [*log[:3], {"step": 4, "loss": math.inf}, {"step": 5}]
    found = page(evaluation("a", "b", frequencies=[0.0] * 4), [], {"a": log, "b": unfinished})
    means = [points for kind, points in polylines(found) if kind != "mark-0 faint"]
    assert len(means) == 2 * 2
    assert len(lines(found, "0 faint")) == 2
    assert all(1 < len(points.split()) <= 250 for _, points in polylines(found))


def test_wilsons_interval_is_as_published():
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for taken, shown, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        assert wilson_interval(taken, shown) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson_interval(29, 29)[1] == 1


def answers(**changes):
    given = [("facades", True), ("facades", False), ("real", True), ("real", True)]
    return {
        "format": 1,
        "answers": [
            {"image": f"{EVIL}.jpg", "model": model, "real": model == "real", "taken_for_real": taken}
            for model, taken in given
        ],
        **changes,
    }


def test_answers_are_counted_with_intervals(tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(answers()))
    for count in (1, 2):  # the answers of two people are added up
        found = read_answers([path] * count)
        assert found.keys() == {"facades", "real"}
        assert found["facades"] == Estimate(0.5, *wilson_interval(count, 2 * count), 2 * count)


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "[" * 100_000,
        "\udcff",
        "[]",
        answers(format=2),
        answers(answers={"a": 1}),
        answers(answers=[{"model": "facades"}]),
        answers(answers=[{**answers()["answers"][0], "real": True}]),
        answers(answers=[{**answers()["answers"][0], "taken_for_real": 1}]),
    ],
)
def test_damaged_answers_are_refused_in_one_line(content, tmp_path):
    path = tmp_path / "answers.json"
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as refusal:
        read_answers([path])
    assert str(path) in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
