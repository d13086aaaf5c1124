"""What is wrong with a user's folder of images, what it means, and what to do about it.

Each finding is a small function and a line of `EXAMINATIONS`.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from pix2pix_tf.config import IMAGE_SIDE, DataConfig
from pix2pix_tf.data import images
from pix2pix_tf.data.checking import CheckedImage
from pix2pix_tf.data.copies import near_copies
from pix2pix_tf.data.flat_colours import MOST_STRAYS, look_like_label_maps, recurring_colours
from pix2pix_tf.data.folder import Item, Problem, Survey, sides_of, survey_folder, walk
from pix2pix_tf.data.looks import Look, joined, thumbnail_of
from pix2pix_tf.data.sets import ITEMS, Kind
from pix2pix_tf.files import printable
from pix2pix_tf.wording import counted

Severity = Literal["error", "warning", "note"]

_FEW = 50  # the paper's smallest set has 400
_MOST_ENLARGED = 2.0
_MOST_DISTORTED = 2.0
_MOST = 0.8  # of the pictures, where most are meant
_LEAST_ORIENTED = 5  # pairs, before a side is called the usual one
_FAINT = 1 / 8  # of the range
_GREY, _COLOURED = 6, 30  # levels between the channels of a thumbnail: at most, at least


class Case(NamedTuple):
    """Where a finding was made: a file, or some that belong together; and what is to be said of them."""

    files: tuple[Path, ...]
    remark: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong with a folder, or may be.

    Args:
        severity: an error can't be trained on; a note may be meant so.
        code: what it is, in a word or two: ``missing-partner``.
        cases: where.
        message: what it is and what it means, without the files; settings in `backticks`.
        fix: what to do.
    """

    severity: Severity
    code: str
    cases: tuple[Case, ...]
    message: str
    fix: str

    @property
    def files(self) -> list[str]:
        """All files concerned; those that belong together stand together."""
        return [printable(os.fspath(file)) for case in self.cases for file in case.files]


@dataclasses.dataclass(frozen=True)
class Report:
    """What `check_folder` found.

    Args:
        kind: what the folder has of what was asked for: pairs, if its images hold two side by side.
        layout: in words.
        counts: the usable images or pairs of each split; A's and B's where these are apart.
        sizes: of each side's pictures, how many have each size (width, height), most frequent first.
        channels: of each side, 1 (grey), 3 (RGB) or as many bands.
        bits: 8 or 16, of each side.
        findings: the gravest first.
    """

    kind: Kind
    layout: str
    counts: Mapping[str, tuple[int, ...]]
    sizes: Sequence[Mapping[tuple[int, int], int]]
    channels: tuple[int, ...]
    bits: tuple[int, ...]
    findings: Sequence[Finding]

    @property
    def is_good(self) -> bool:
        """Whether the folder can be trained on."""
        return all(finding.severity != "error" for finding in self.findings)


class Picture(NamedTuple):
    """An image of one side: a file, or half of one.

    Args:
        file: where it is.
        split: where it belongs.
        width: in pixels.
        height: likewise.
        look: what it looks like.
        image: what is known of the file.
    """

    file: Path
    split: str
    width: int
    height: int
    look: Look
    image: CheckedImage


@dataclasses.dataclass(frozen=True)
class Chart:
    """What is examined.

    Args:
        folder: the folder.
        kind: what it has.
        survey: what was found out by opening it.
        data: how it is to be used.
        sides: the pictures of A and B, which stand in one order where they are pairs; or of the one side.
    """

    folder: Path
    kind: Kind
    survey: Survey
    data: DataConfig
    sides: tuple[tuple[Picture, ...], ...]

    def named_sides(self) -> Iterator[tuple[str, tuple[Picture, ...]]]:
        """Yields A and B, or the images, as they are called."""
        yield from zip(
            (" on side A", " on side B") if len(self.sides) == 2 else ("",), self.sides, strict=True
        )

    def sets(self) -> list[list[tuple[Picture, ...]]]:
        """Returns what is drawn by one number, of each set: pairs of pictures, or single ones."""
        if self.kind == "pairs":
            return [list(zip(*self.sides, strict=True))]
        return [[(picture,) for picture in side] for side in self.sides]

    @functools.cached_property
    def label_maps(self) -> tuple[np.ndarray, ...]:
        """Which pictures of each side look like label maps, bool [count]; measurements never do."""
        looks = [[picture.look for picture in side] for side in self.sides]
        if self.kind == "pairs":  # a pair may be swapped
            palettes = [recurring_colours([*looks[0], *looks[1]])] * 2
        else:
            palettes = [recurring_colours(each) for each in looks]
        return tuple(
            look_like_label_maps(*each) & [picture.image.has_colours for picture in side]
            for each, side in zip(zip(looks, palettes, strict=True), self.sides, strict=True)
        )

    @functools.cached_property
    def has_label_maps(self) -> tuple[bool, ...]:
        """Which sides are label maps: those that are said to be, else those that look so."""
        said = {"auto": None, "none": "", "A": "A", "B": "B", "both": "AB"}[self.data.label_maps]
        if said is not None:
            return tuple(name in said for name in "AB"[: len(self.sides)])
        return tuple(bool(each.mean() >= _MOST) for each in self.label_maps)


class _Found(NamedTuple):
    """What a function of `EXAMINATIONS` has found, and the facts that its wording names."""

    cases: Sequence[Case]
    facts: Mapping[str, Any] = {}


def check_folder(
    folder: Path, data: DataConfig, seed: int, cache_dir: Path | None, kind: Kind = "pairs"
) -> Report:
    """Finds everything that is wrong with a folder.

    Args:
        folder: the folder.
        data: the size, label maps and whether bad images are left out.
        seed: as `open_folder_dataset` has it, like the others.
        cache_dir: likewise.
        kind: likewise.

    Raises:
        SystemFault: the folder or a file in it can't be read.
    """
    survey = survey_folder(folder, seed, cache_dir, kind, with_looks=True)
    used = survey.used()
    if any(item.is_halved for items in used for item in items):
        kind = "pairs"
    sides = tuple(side for number in range(len(used)) for side in _pictures(survey, number))
    chart = Chart(folder, kind, survey, data, sides)
    # Errors are known from opening the folder; the rest is about pictures.
    examinations = [each for each in EXAMINATIONS if sides or each.severity == "error"]
    facts = [side for items in used for side in sides_of(items, survey.checked)]
    return Report(
        kind=kind,
        layout=survey.layout,
        counts={name: tuple(map(len, sets)) for name, sets in survey.splits.items()},
        sizes=[
            dict(Counter((picture.width, picture.height) for picture in side).most_common()) for side in sides
        ],
        channels=tuple(side.channels for side in facts),
        bits=tuple(side.bits for side in facts),
        findings=[finding for each in examinations for finding in each.findings(chart)],
    )


def _pictures(survey: Survey, number: int) -> list[tuple[Picture, ...]]:
    """The pictures of a set, for each side that it has."""

    def of_item(item: Item, split: str) -> list[Picture]:
        found = []
        for file in item.files:
            image = survey.checked[file]
            assert image.looks is not None  # of what can be used
            for look in image.looks if item.is_halved else (joined(*image.looks),):
                width = image.width // (2 if item.is_halved else 1)
                found.append(Picture(file, split, width, image.height, look, image))
        return found

    items = [of_item(item, split) for split, sets in survey.splits.items() for item in sets[number]]
    return list(zip(*items, strict=True))


# ---------------------------------------------------------------- what can't be trained on


def _problems(
    code: str, cases_of: Callable[[Chart, Problem], list[Case]] | None = None
) -> Callable[[Chart], Iterator[_Found]]:
    """Returns what collects the problems of one code that opening the folder has met.

    Args:
        code: of the problems.
        cases_of: what a problem shows; by default each of its files with the reason.
    """

    def find(chart: Chart) -> Iterator[_Found]:
        every = [*chart.survey.problems, *chart.survey.bad_files.values()]
        cases = [
            case
            for problem in every
            if problem.code == code
            for case in (cases_of or _each_file)(chart, problem)
        ]
        if cases:
            yield _Found(cases)

    return find


def _each_file(chart: Chart, problem: Problem) -> list[Case]:
    """Returns each file and its reason, without what its finding says: the name, and what to do."""

    def reason(file: Path) -> str:
        name = f"{file}: "
        is_named = problem.line.startswith(name)
        return problem.line.removeprefix(name).partition("; ")[0] if is_named else ""

    return [Case((file,), reason(file)) for file in problem.files]


def _together(chart: Chart, problem: Problem) -> list[Case]:
    return [Case(problem.files)]


def _with_bands(chart: Chart, problem: Problem) -> list[Case]:
    def bands(file: Path) -> str:
        image = chart.survey.checked[file]
        return f"{image.channels}{' of measurements' if image.values else ''}"

    file, other = problem.files
    return [Case((file,), f"{bands(file)}, not {bands(other)}")]


def _with_sizes(chart: Chart, problem: Problem) -> list[Case]:
    checked = [chart.survey.checked[file] for file in problem.files]
    return [Case(problem.files, " and ".join(f"{image.width}x{image.height}" for image in checked))]


def _layout(chart: Chart) -> Iterator[_Found]:
    for problem in chart.survey.problems:
        if problem.code == "layout":
            what, _, expected = problem.line.partition("; ")
            yield _Found([Case(problem.files)], {"what": what, "expected": expected})


# ---------------------------------------------------------------- copies


def _informative(chart: Chart) -> Iterator[list[tuple[tuple[Picture, ...], tuple[int, ...]]]]:
    """Yields of each set its pairs, or images, with the sides that tell them from others.

    Two photos may well have one label map; where both sides are maps, both count.
    """
    for number, members in enumerate(chart.sets()):
        masks = chart.label_maps if chart.kind == "pairs" else chart.label_maps[number : number + 1]
        yield [
            (
                pictures,
                tuple(at for at, mask in enumerate(masks) if not mask[place]) or tuple(range(len(masks))),
            )
            for place, pictures in enumerate(members)
        ]


def _key(pictures: tuple[Picture, ...], sides: tuple[int, ...]) -> tuple[Any, ...]:
    return (sides, *(pictures[side].look.digest for side in sides))


def _is_blank(pictures: tuple[Picture, ...], sides: tuple[int, ...]) -> bool:
    return all(pictures[side].look.is_constant for side in sides)


def _duplicates(chart: Chart) -> Iterator[_Found]:
    cases = []
    for members in chart.sets():
        alike = collections.defaultdict(list)
        for pictures in members:
            if not _is_blank(pictures, tuple(range(len(pictures)))):
                digests = tuple(picture.look.digest for picture in pictures)
                alike[pictures[0].split, digests].append(pictures[0].file)
        cases += [Case(tuple(files)) for files in alike.values() if len(files) > 1]
    if cases:
        yield _Found(cases, {"copies": counted(sum(len(case.files) - 1 for case in cases), _item(chart))})


def _in_two_splits(chart: Chart) -> Iterator[_Found]:
    cases = []
    for members in _informative(chart):
        firsts: dict[Any, dict[str, Path]] = collections.defaultdict(dict)
        for pictures, sides in members:
            if not _is_blank(pictures, sides):
                firsts[_key(pictures, sides)].setdefault(pictures[0].split, pictures[0].file)
        cases += [Case(tuple(files.values())) for files in firsts.values() if len(files) > 1]
    if cases:
        yield _Found(cases)


def _nearly_in_two_splits(chart: Chart) -> Iterator[_Found]:
    splits = {name: place for place, name in enumerate(chart.survey.splits)}
    cases = []
    for members in _informative(chart):
        once = {_key(*member): member for member in members}  # copies are another finding
        alike = collections.defaultdict(list)
        for pictures, sides in once.values():
            alike[sides].append(pictures)
        for sides, every in alike.items():
            every.sort(key=lambda pictures: splits[pictures[0].split])
            thumbnails = np.array([[thumbnail_of(each[side].look) for side in sides] for each in every])
            pairs = near_copies(thumbnails, [splits[pictures[0].split] for pictures in every])
            cases += [Case((every[b][0].file, every[a][0].file)) for a, b in pairs.items()]
    if cases:
        yield _Found(cases)


# ---------------------------------------------------------------- what the pictures show


def _swapped(chart: Chart) -> Iterator[_Found]:
    """Pairs whose label map, or whose grey side, is where the others have theirs not."""
    if chart.kind != "pairs":
        return
    is_grey, is_coloured = ([_are(test, side) for side in chart.sides] for test in (_is_grey, _is_coloured))
    for what, left, right in (
        ("label map", chart.label_maps[0] & ~chart.label_maps[1], chart.label_maps[1] & ~chart.label_maps[0]),
        ("grey image", is_grey[0] & is_coloured[1], is_grey[1] & is_coloured[0]),
    ):
        few, many = sorted((left, right), key=np.sum)
        if few.any() and few.sum() + many.sum() >= max(_LEAST_ORIENTED, _MOST * len(few)):
            usual, other = ("A", "B") if many is left else ("B", "A")
            cases = [Case((chart.sides[0][at].file,)) for at in np.flatnonzero(few)]
            yield _Found(cases, {"what": what, "usual": usual, "other": other, "many": int(many.sum())})
            return


def _are(test: Callable[[Look], bool], side: Sequence[Picture]) -> np.ndarray:
    return np.array([test(picture.look) for picture in side], bool)


def _chroma(look: Look) -> int:
    return int(np.ptp(thumbnail_of(look).astype(np.int16), axis=-1).max())


def _is_grey(look: Look) -> bool:
    return _chroma(look) <= _GREY


def _is_coloured(look: Look) -> bool:
    return _chroma(look) >= _COLOURED


def _constant(chart: Chart) -> Iterator[_Found]:
    for (name, side), is_map in zip(chart.named_sides(), chart.has_label_maps, strict=True):
        cases = [Case((picture.file,)) for picture in side if picture.look.is_constant]
        if cases and not is_map:  # a map may well have one class
            yield _Found(cases, {"side": name})


def _not_numbers(chart: Chart) -> Iterator[_Found]:
    files = dict.fromkeys(
        picture.file for side in chart.sides for picture in side if not picture.image.is_finite
    )
    if files:
        yield _Found([Case((file,)) for file in files])


def _faint(chart: Chart) -> Iterator[_Found]:
    """Sides whose images use a fraction of the range, as class numbers do."""
    for name, side in chart.named_sides():
        low = min(min(picture.look.low) / (2**picture.image.bits - 1) for picture in side)
        high = max(max(picture.look.high) / (2**picture.image.bits - 1) for picture in side)
        if 0 < high - low < _FAINT:
            yield _Found([], {"side": name, "low": low, "high": high})


def _mixed_channels(chart: Chart) -> Iterator[_Found]:
    for name, side in chart.named_sides():
        grey = [Case((picture.file,)) for picture in side if picture.image.channels == 1]
        coloured = [Case((picture.file,)) for picture in side if picture.image.channels == 3]
        few, what, others = min(
            (grey, "grey", "RGB"), (coloured, "RGB", "grey"), key=lambda each: len(each[0])
        )
        is_both = side[0].file == chart.sides[-1][0].file
        if few:
            yield _Found(few, {"side": "" if is_both else name, "what": what, "others": others})
        if is_both:
            return


def _blurred_label_maps(chart: Chart) -> Iterator[_Found]:
    for (name, side), letter, is_map in zip(chart.named_sides(), "AB", chart.has_label_maps, strict=False):
        cases = [Case((picture.file,)) for picture in side if picture.look.strays > MOST_STRAYS]
        if is_map and cases:
            yield _Found(cases, {"side": name, "letter": letter})


def _undeclared_label_maps(chart: Chart) -> Iterator[_Found]:
    is_asked = chart.data.label_maps == "auto" and chart.data.task == "pairs"
    if is_asked and any(chart.has_label_maps):
        letters = [name for name, is_map in zip("AB", chart.has_label_maps, strict=False) if is_map]
        side = f"side {letters[0]} looks" if len(letters) == 1 else "both sides look"
        yield _Found([], {"side": side, "letters": letters[0] if len(letters) == 1 else "both"})


# ---------------------------------------------------------------- sizes and counts


def _enlarged(chart: Chart) -> Iterator[_Found]:
    height, width = chart.data.size
    small = {
        picture.file: picture
        for side in chart.sides
        for picture in side
        if max(height / picture.height, width / picture.width) >= _MOST_ENLARGED
    }
    if small:
        usual = Counter((each.height, each.width) for each in small.values()).most_common(1)[0][0]
        cases = [Case((file,), f"{each.width}x{each.height}") for file, each in small.items()]
        yield _Found(cases, {"size": f"{width}x{height}", "other": _other_size(chart, small, *usual)})


def _other_size(chart: Chart, files: Iterable[Path], height: float, width: float) -> str:
    """What to do about files that don't fit: where they are most of all, train at their size."""
    every = {picture.file for side in chart.sides for picture in side}
    if len(set(files)) < len(every) / 2:
        return "leave them out"
    smallest, largest = IMAGE_SIDE.low or 0, IMAGE_SIDE.high or math.inf
    sides = [round(min(max(side, smallest), largest)) for side in (height, width)]
    words = "" if sides[0] == sides[1] else " (height and width)"
    return f"train with `image_size` {' '.join(map(str, dict.fromkeys(sides)))}{words}"


def _distorted(chart: Chart) -> Iterator[_Found]:
    height, width = chart.data.size
    bent = {}
    for picture in (picture for side in chart.sides for picture in side):
        by = (picture.width / picture.height) / (width / height)
        if max(by, 1 / by) > _MOST_DISTORTED:
            bent[picture.file] = picture
    if bent:
        ratio = float(np.median([picture.width / picture.height for picture in bent.values()]))
        sides = [32 * max(1, round(side / 32)) for side in (height / ratio**0.5, width * ratio**0.5)]
        cases = [Case((file,), f"{each.width}x{each.height}") for file, each in bent.items()]
        yield _Found(cases, {"size": f"{width}x{height}", "other": _other_size(chart, bent, *sides)})


def _not_pairs(chart: Chart) -> Iterator[_Found]:
    halves = [item for items in chart.survey.used() for item in items if item.is_halved]
    if halves and all(picture.height >= 2 * picture.width for picture in chart.sides[0]):
        yield _Found([])


def _too_few(chart: Chart) -> Iterator[_Found]:
    counts = [len(items) for items in chart.survey.splits.get("train", ())]
    if counts and min(counts) < _FEW:
        yield _Found([], {"few": counted(min(counts), _item(chart))})


def _nothing_held_out(chart: Chart) -> Iterator[_Found]:
    if not {"val", "test"} & chart.survey.splits.keys():
        yield _Found([])


def _passed_over(chart: Chart) -> Iterator[_Found]:
    named = {file for problem in chart.survey.problems for file in problem.files}
    cases = [Case((path,)) for path in walk(chart.folder, images.is_unread_image) if path not in named]
    if cases:
        yield _Found(cases, {"kinds": images.KINDS})


def _item(chart: Chart) -> str:
    return ITEMS[chart.kind].removeprefix("unpaired ")


# ---------------------------------------------------------------- the table


class Examination(NamedTuple):
    """A kind of finding.

    Args:
        code: its name.
        severity: how grave it is.
        find: looks for it; what it yields are findings of their own.
        message: what it is and what it means, with ``{count}``, ``{images}``, ``{items}`` and what facts
            ``find`` gives.
        fix: what to do, likewise.
    """

    code: str
    severity: Severity
    find: Callable[[Chart], Iterable[_Found]]
    message: str
    fix: str

    def findings(self, chart: Chart) -> Iterator[Finding]:
        """Yields what there is of this kind."""
        skipped = chart.data.skip_bad_images and self.code in _OF_SINGLE_IMAGES
        for cases, given in self.find(chart):
            count = len(cases)
            facts = {"count": count, "images": counted(count, "image"), "items": counted(count, _item(chart))}
            facts |= given
            yield Finding(
                "warning" if skipped else self.severity,
                self.code,
                tuple(cases),
                printable(self.message.format(**facts)) + (", left out" if skipped else ""),
                self.fix.partition(", or leave out")[0] if skipped else self.fix.format(**facts),
            )


# What `skip_bad_images` leaves out.
_OF_SINGLE_IMAGES = ("unreadable", "too-few-pixels")

EXAMINATIONS = (
    Examination("layout", "error", _layout, "{what}", "{expected}"),
    Examination(
        "same-name",
        "error",
        _problems("same-name", _together),
        "{images} with the name of another in its folder",
        "keep one of each",
    ),
    Examination(
        "missing-partner",
        "error",
        _problems("missing-partner"),
        "{images} without one of the same name on the other side",
        "add it, or delete the one that is alone",
    ),
    Examination(
        "unread-kind",
        "error",
        _problems("unread-kind"),
        f"{{images}} of a kind that can't be read ({images.KINDS} can), needed as partner",
        "convert to PNG",
    ),
    Examination(
        "unreadable",
        "error",
        _problems("unreadable"),
        "{images} that can't be decoded",
        "replace or delete, or leave out with `skip_bad_images`",
    ),
    Examination(
        "too-few-pixels",
        "error",
        _problems("too-few-pixels"),
        "{images} of too few pixels",
        "replace or delete, or leave out with `skip_bad_images`",
    ),
    Examination(
        "other-bands",
        "error",
        _problems("other-bands", _with_bands),
        "{images} of other channels than the first of their side, or of measurements where that has levels",
        "give all images of a side the same",
    ),
    Examination(
        "different-sizes",
        "error",
        _problems("different-sizes", _with_sizes),
        "{items} whose sides differ in size, so that no pixel has its counterpart",
        "crop or resize both to one size",
    ),
    Examination(
        "not-pairs",
        "warning",
        _not_pairs,
        "no image is wider than high: are they pairs, side by side?",
        "put A on the left and B on the right of one image, or into folders A/ and B/",
    ),
    Examination(
        "in-two-splits",
        "warning",
        _in_two_splits,
        "{items} in more than one split, the same pixels: figures of held-out images will be too good",
        "keep each in one split only",
    ),
    Examination(
        "nearly-in-two-splits",
        "warning",
        _nearly_in_two_splits,
        "{items} nearly like one of another split, as if saved anew: figures of held-out images will be too "
        "good",
        "keep each in one split only",
    ),
    Examination(
        "duplicates",
        "warning",
        _duplicates,
        "{copies} too many, the same pixels within a split: they count more than the others",
        "keep one of each",
    ),
    Examination(
        "swapped",
        "warning",
        _swapped,
        "{items} with the {what} on side {other}, where {many} others have it on side {usual}: swapped?",
        "swap their sides; training would learn both directions at once",
    ),
    Examination(
        "constant",
        "warning",
        _constant,
        "{images}{side} of one colour from edge to edge: nothing to learn from",
        "replace or delete, with the other side",
    ),
    Examination(
        "faint",
        "warning",
        _faint,
        "all samples{side} are from {low:.0%} to {high:.0%} of the range: nearly one colour to a network. "
        "Class numbers?",
        "paint classes in colours that differ, or scale the samples to the whole range",
    ),
    Examination(
        "not-numbers",
        "warning",
        _not_numbers,
        "{images} with values that are no finite numbers: taken for the lowest or the highest",
        "replace these by what they stand for",
    ),
    Examination(
        "mixed-channels",
        "warning",
        _mixed_channels,
        "{count} {what} among {others} images{side}: all are read as RGB",
        "make all of them grey, or all RGB, if the others are no mistake",
    ),
    Examination(
        "blurred-label-maps",
        "warning",
        _blurred_label_maps,
        "{images}{side} look like label maps with mixed colours between the flat ones, as JPEG and smooth "
        "resizing leave them: colours of no class",
        "make them anew, as PNG; `label_maps` {letter} only keeps training from mixing their colours further",
    ),
    Examination(
        "too-few",
        "warning",
        _too_few,
        "only {few} to train on: learnt by heart rather than understood",
        "collect more; hundreds are usual",
    ),
    Examination(
        "enlarged",
        "warning",
        _enlarged,
        "{images} much smaller than the {size} of training: enlarged they are blurred, as outputs will be",
        "take larger ones, or {other}",
    ),
    Examination(
        "distorted",
        "warning",
        _distorted,
        "{images} of quite another shape than the {size} of training: squeezed into it",
        "crop them, or {other}",
    ),
    Examination(
        "undeclared-label-maps",
        "note",
        _undeclared_label_maps,
        "{side} like label maps: a few flat colours, the same in all",
        "if they are, `label_maps` {letters} resizes them without mixing colours",
    ),
    Examination(
        "nothing-held-out",
        "note",
        _nothing_held_out,
        "none is held out: samples and figures will be of images that training sees",
        "move some into val/",
    ),
    Examination(
        "passed-over",
        "note",
        _passed_over,
        "{images} passed over, of a kind that can't be read ({kinds} can)",
        "convert to PNG, if they belong to the data",
    ),
)
"""Everything that is looked for, the gravest first."""
