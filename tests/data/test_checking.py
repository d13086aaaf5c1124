"""What `data check` finds in folders of images: nothing in good ones, and every fault with its files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from pix2pix_tf.errors import DataError
from tests.data.folders import check_folder, open_folder

SIZE = 64
COUNT = 60
CLASSES = [(0, 0, 170), (0, 85, 255), (0, 170, 255), (255, 85, 0), (170, 0, 0), (255, 255, 0)]


def check(folder, kind="pairs", label_maps="none", image_size=SIZE, **settings):
    return check_folder(folder, kind, label_maps=label_maps, image_size=image_size, **settings)


def photo(seed, width=SIZE, height=SIZE, mode="RGB"):
    """Something with the colors, the contrast and the grain of a photo."""
    draw = np.random.default_rng(seed)
    large = Image.fromarray(draw.integers(0, 256, (5, 5, 3), np.uint8)).resize((width, height), 3)
    grain = draw.normal(0, 9, (height, width, 1))
    return Image.fromarray((np.asarray(large) + grain).clip(0, 255).astype(np.uint8)).convert(mode)


def other_photo(seed):
    return photo(seed + 1000)


def gray(seed):
    return photo(seed, mode="L")


def label_map(seed, width=SIZE, height=SIZE):
    draw = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), CLASSES[0])
    for number in range(9):
        x, y, w, h = (int(each) for each in draw.integers(4, SIZE // 2, 4))
        box = (x, y, min(x + w, width - 1), min(y + h, height - 1))
        ImageDraw.Draw(image).rectangle(box, fill=CLASSES[number % 6])
    return image


def sketch(seed):
    edges = gray(seed).filter(ImageFilter.GaussianBlur(1)).filter(ImageFilter.FIND_EDGES)
    return edges.point(lambda level: 0 if level > 12 else 255)


def beside(a, b):
    pair = Image.new("RGB", (a.width + b.width, a.height))
    pair.paste(a, (0, 0))
    pair.paste(b, (a.width, 0))
    return pair


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, np.ndarray):
        np.save(path.with_suffix(".npy"), image)
    else:
        image.save(path, **options)


def save_all(make, pattern, count=COUNT, **options):
    """Saves ``make(number)`` at a path that contains {} for the number."""
    for number in range(count):
        save(make(number), Path(str(pattern).format(number)), **options)


def path_of(folder, number):
    return folder / ("train" if number < COUNT - 8 else "val") / f"{number}.png"


@pytest.fixture
def folder(tmp_path):
    """A good folder: label maps on the left, photos on the right, some held out."""
    for number in range(COUNT):
        save(beside(label_map(number), photo(number)), path_of(tmp_path / "pairs", number))
    return tmp_path / "pairs"


def in_two_folders(place, make_a, make_b, suffix="png", count=COUNT, **options):
    for number in range(count):
        split = "train" if number < count - 8 else "val"
        for side, make in (("A", make_a), ("B", make_b)):
            save(make(number), place / f"{split}{side}" / f"{number}.{suffix}", **options)
    return place


def examine(folder, *kind, **settings):
    """What was found: the names of the files by code."""
    report = check(folder, *kind, **settings)
    return {
        finding.code: [[file.relative_to(folder).as_posix() for file in case.files] for case in finding.cases]
        for finding in report.findings
    }


# ---------------------------------------------------------------- nothing


def test_good_pairs_have_at_most_undeclared_label_maps(folder, tmp_path):
    assert examine(folder, label_maps="A") == {}
    assert examine(folder, label_maps="auto") == {"undeclared-label-maps": []}
    # Different photos of the same map are not copies.
    in_two_folders(tmp_path / "two", lambda seed: label_map(seed // 2), photo)
    assert examine(tmp_path / "two", label_maps="auto") == {"undeclared-label-maps": []}


@pytest.mark.parametrize(
    ("make_a", "make_b", "options"),
    [
        (photo, other_photo, {}),
        (gray, photo, {}),
        (sketch, photo, {}),
        (gray, photo, {"suffix": "jpg", "quality": 15}),
    ],
    ids=["photos", "coloring", "sketches", "poor photos"],
)
def test_nothing_is_found_in_good_pairs_in_two_folders(tmp_path, make_a, make_b, options):
    assert examine(in_two_folders(tmp_path, make_a, make_b, **options), label_maps="auto") == {}


# ---------------------------------------------------------------- copies


def test_copies_in_a_split_and_in_two(folder):
    save(Image.open(path_of(folder, 3)), folder / "train" / "again.png")
    save(Image.open(path_of(folder, 4)), folder / "val" / "seen.bmp")
    save(beside(label_map(999), photo(5)), folder / "val" / "seen with another map.png")
    assert examine(folder) == {
        "duplicates": [["train/3.png", "train/again.png"]],
        "in-two-splits": [["train/4.png", "val/seen.bmp"], ["train/5.png", "val/seen with another map.png"]],
    }


@pytest.mark.parametrize(("quality", "size"), [(80, SIZE), (95, SIZE), (80, 3 * SIZE)])
def test_pairs_that_were_saved_again_in_another_split(tmp_path, quality, size):
    place = in_two_folders(tmp_path, photo, other_photo)
    for number, add in ((2, 0), (9, 0), (20, 500)):  # of the last only one side
        for side, seed in (("A", number), ("B", number + 1000 + add)):
            path = place / f"val{side}" / f"again {number}.jpg"
            save(photo(seed).resize((size, size)), path, quality=quality)
    assert examine(place) == {
        "nearly-in-two-splits": [[f"trainA/{n}.png", f"valA/again {n}.jpg"] for n in (2, 9)]
    }


def test_thumbnails_in_the_split_of_their_images(tmp_path):
    def large(seed):
        return photo(seed, 2 * SIZE, 2 * SIZE)

    place = in_two_folders(tmp_path, large, lambda seed: large(seed + 1000), count=20)
    for side, seed in (("A", 2), ("B", 1002)):
        save(large(seed).resize((SIZE, SIZE)), place / f"train{side}" / "small.jpg")
    assert examine(place) == {"resized": [["trainA/2.png", "trainA/small.jpg"]], "too-few": []}


def test_many_images_that_are_nearly_alike_are_compared_at_once(tmp_path):
    blank = Image.new("RGB", (SIZE, SIZE), "white")
    for number in range(COUNT):
        image = blank.copy()
        image.paste(photo(number, 20, 20), (10, 30))  # products on white
        save(image, tmp_path / ("train" if number % 2 else "val") / f"{number}.jpg")
    assert set(examine(tmp_path, kind="images")) == {"too-few"}


# ---------------------------------------------------------------- what images show


@pytest.mark.parametrize("make", [label_map, sketch])
def test_swapped_sides(tmp_path, make):
    in_two_folders(tmp_path, make, photo)
    for side, other in (("A", photo), ("B", make)):
        save(other(5).convert("RGB"), tmp_path / f"train{side}" / "5.png")
    assert examine(tmp_path)["swapped"] == [["trainA/5.png"]]


def test_images_of_one_color(folder):
    path_of(folder, 1).unlink()
    red = Image.new("RGB", (SIZE, SIZE), (200, 10, 10))
    save(beside(label_map(1), red), folder / "train" / "1.jpg", subsampling="4:2:0")
    save(beside(Image.new("RGB", (SIZE, SIZE), CLASSES[0]), photo(2)), path_of(folder, 2))  # a map may
    assert examine(folder, label_maps="A") == {
        "constant": [["train/1.jpg"]],
        "blurred-label-maps": [["train/1.jpg"]],
    }


def test_gray_among_colors_and_the_reverse(tmp_path):
    in_two_folders(tmp_path, gray, photo)
    save(gray(4), tmp_path / "trainB" / "4.png")
    assert examine(tmp_path)["mixed-channels"] == [["trainB/4.png"]]
    save(photo(4), tmp_path / "trainB" / "4.png")
    save(gray(6).convert("RGB"), tmp_path / "trainA" / "6.png")
    assert examine(tmp_path) == {"mixed-channels": [["trainA/6.png"]]}


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_label_maps_that_went_through_jpeg(tmp_path, quality):
    pattern = tmp_path / "train" / "{}.jpg"
    save_all(lambda seed: beside(photo(seed), label_map(seed)), pattern, quality=quality)
    save(beside(photo(COUNT), label_map(COUNT)), tmp_path / "val" / "1.jpg", quality=quality)
    found = examine(tmp_path, label_maps="auto")
    assert set(found) == {"blurred-label-maps", "undeclared-label-maps"}
    assert len(found["blurred-label-maps"]) >= 0.9 * COUNT
    assert set(examine(tmp_path, label_maps="B")) == {"blurred-label-maps"}
    assert examine(tmp_path) == {}


@pytest.mark.parametrize("is_band", [False, True])
def test_a_band_that_is_declared_as_alpha(tmp_path, is_band):
    alpha = gray(1) if is_band else gray(1).point(lambda level: 255 * (level > 127))
    save_all(lambda seed: Image.merge("RGBA", (*photo(seed).split(), alpha)), tmp_path / "train" / "{}.png")
    assert ("band-as-alpha" in examine(tmp_path, kind="images")) is is_band
    assert "band-as-alpha" not in examine(tmp_path, kind="images", input_channels=4)


def test_measurements_are_no_label_maps_and_may_have_missing_pixels(tmp_path):
    for number in range(COUNT):
        bands = np.random.default_rng(number).random((64, 64, 5), np.float32)
        bands[:, :32] = (0.0, 0.1, 0.9, 0.5, 1.0)  # flat, and the same in all
        bands[0, 0, 0] = np.nan if number == 3 else 0.0
        save(photo(number), tmp_path / "A" / f"{number}.png")
        save(bands, tmp_path / "B" / f"{number}")
    assert examine(tmp_path) == {"missing-pixels": [["B/3.npy"]], "too-few": []}


# ---------------------------------------------------------------- sizes and counts


def test_sizes_that_do_not_fit(folder):
    assert len(examine(folder, image_size=128)["enlarged"]) == COUNT
    save(beside(label_map(5, 170), photo(5, 170)), path_of(folder, 5))
    assert examine(folder) == {"distorted": [["train/5.png"]]}
    sizes = check(folder).summary[2]
    assert sizes.split(maxsplit=1)[1] == f"64x64 ({COUNT - 1}), 170x64 (1)"


@pytest.mark.parametrize(
    ("files", "size", "codes"),
    [
        (["1.png"], (8, 8), {"too-few", "tall-pairs", "nothing-held-out"}),
        (["train/1.png", "train/2.png", "val/1.png"], (16, 8), {"too-few"}),
        (["train/1.png", "train/2.png", "val/1.png", "val/2.heic"], (16, 8), {"too-few", "passed-over"}),
        (["train/1.png", "train/2.png"], (16, 8), {"too-few", "nothing-held-out"}),
        (["val/1.png", "test/2.png"], (16, 8), {"no-training"}),
    ],
)
def test_what_may_not_be_intended(tmp_path, files, size, codes):
    for seed, name in enumerate(files):
        if name.endswith("png"):
            save(photo(seed, *size), tmp_path / name)
        else:
            (tmp_path / name).write_bytes(b"some other format")
    assert check(tmp_path).is_good
    assert set(examine(tmp_path)) - {"enlarged", "distorted"} == codes


# ---------------------------------------------------------------- what can't be trained on


@pytest.mark.parametrize("size", [(96, 64), (128, 64), (65, 90)])
def test_photos_are_not_taken_for_pairs(tmp_path, size):
    save_all(lambda seed: photo(seed, *size), tmp_path / "{}.png", 12)
    assert "not-pairs" in examine(tmp_path)
    with pytest.raises(DataError, match="layout"):
        open_folder(tmp_path)
    single = open_folder(tmp_path, "images")
    assert [len(single.sides), sum(len(sets[0]) for sets in single.splits.values())] == [1, 12]
    assert len(open_folder(tmp_path, layout="side-by-side").sides) == 2
    assert "not-pairs" not in examine(tmp_path, layout="side-by-side")
    with pytest.raises(DataError):
        open_folder(tmp_path, layout="folders")


PAIRS = {
    "gray and colors": lambda seed: beside(gray(seed).convert("RGB"), photo(seed)),
    "blurred and sharp": lambda seed: beside(photo(seed).filter(ImageFilter.GaussianBlur(2)), photo(seed)),
    "edges": lambda seed: beside(sketch(seed), photo(seed)),
    "600": lambda seed: beside(photo(seed, 600, 600), label_map(seed, 600, 600)),
    "label maps": lambda seed: beside(label_map(seed), label_map(seed + 99)),
    "tall": lambda seed: beside(photo(seed, 48, 64), photo(seed + 99, 48, 64)),
    "noise": lambda seed: Image.effect_noise((128, 64), 60).convert("RGB"),
}


@pytest.mark.parametrize("quality", [None, 75])
@pytest.mark.parametrize("kind", PAIRS)
def test_pairs_are_not_taken_for_photos(tmp_path, kind, quality):
    if quality:
        save_all(PAIRS[kind], tmp_path / "{}.jpg", 10, quality=quality)
    else:
        save_all(PAIRS[kind], tmp_path / "{}.png", 10)
    assert len(open_folder(tmp_path).sides) == 2


def test_unpaired_sets_are_counted_and_compared_each_with_itself(tmp_path):
    save_all(photo, tmp_path / "trainA" / "horse {}.png")
    save_all(lambda seed: photo(seed + 100, 90), tmp_path / "trainB" / "zebra {}.png")
    save(photo(3), tmp_path / "testA" / "again.png")
    save(photo(999), tmp_path / "testB" / "other.png")
    report = check(tmp_path, "unpaired")
    assert report.counts == {"train": (COUNT, COUNT), "test": (1, 1)}
    assert [line.split()[1::2] for line in report.summary[2:4]] == [["64x64"], ["90x64", "64x64"]]
    assert examine(tmp_path, kind="unpaired") == {
        "in-two-splits": [["trainA/horse 3.png", "testA/again.png"]]
    }


@pytest.mark.parametrize("other", [np.zeros((8, 8, 5), np.uint8), np.zeros((8, 8, 4))])
def test_arrays_that_do_not_fit_are_named_with_the_reason(tmp_path, other):
    for number in range(4):
        save(photo(number, 8, 8), tmp_path / "A" / f"{number}.png")
        save(other if number == 2 else np.zeros((8, 8, 4), np.uint8), tmp_path / "B" / f"{number}")
    (finding,) = [each for each in check(tmp_path).findings if each.severity == "error"]
    assert (finding.code, finding.files) == ("other-bands", [str(tmp_path / "B" / "2.npy")])
    assert finding.cases[0].remark
    with pytest.raises(DataError, match=r"2\.npy"):
        open_folder(tmp_path)
