"""Everything that is looked for: each a small function and a line of `EXAMINATIONS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pix2pix_tf.data import images
from pix2pix_tf.data.doctor import contents, copies, problems, sizes
from pix2pix_tf.data.doctor.chart import Chart, item_of
from pix2pix_tf.data.doctor.findings import Finding, Found, Severity
from pix2pix_tf.data.folder import ONE_NODATA_LEVEL
from pix2pix_tf.files import printable
from pix2pix_tf.wording import counted


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
    find: Callable[[Chart], Iterable[Found]]
    message: str
    fix: str

    def findings(self, chart: Chart) -> Iterator[Finding]:
        """Yields what there is of this kind."""
        skipped = chart.data.skip_bad_images and self.code in _OF_SINGLE_IMAGES
        for cases, given in self.find(chart):
            count = len(cases)
            facts = {
                "count": count,
                "images": counted(count, "image"),
                "items": counted(count, item_of(chart)),
                "or_skip": "" if skipped else ", or leave out with --skip-bad-images",
            }
            facts |= given
            yield Finding(
                "warning" if skipped else self.severity,
                self.code,
                tuple(cases),
                printable(self.message.format(**facts)) + (", left out" if skipped else ""),
                printable(self.fix.format(**facts)),
            )


# What `skip_bad_images` leaves out.
_OF_SINGLE_IMAGES = ("unreadable", "too-few-pixels")

EXAMINATIONS = (
    Examination("layout", "error", problems.layout, "{what}", "{fix}"),
    Examination(
        "same-name",
        "error",
        problems.of_code("same-name", problems.together),
        "{images} with the name of another in its folder",
        "keep one of each",
    ),
    Examination(
        "missing-partner",
        "error",
        problems.of_code("missing-partner"),
        "{images} without one of the same name on the other side",
        "{fix}",
    ),
    Examination(
        "unread-kind",
        "error",
        problems.of_code("unread-kind"),
        f"{{images}} of a kind that can't be read ({images.KINDS} can), needed as partner",
        "{fix}",
    ),
    Examination(
        "unreadable",
        "error",
        problems.of_code("unreadable"),
        "{images} that can't be decoded",
        "replace or convert{or_skip}",
    ),
    Examination(
        "too-few-pixels",
        "error",
        problems.of_code("too-few-pixels"),
        "{images} of too few pixels",
        "replace or delete{or_skip}",
    ),
    Examination(
        "other-bands",
        "error",
        problems.of_code("other-bands", problems.with_bands),
        "{images} of other channels than the first of their side, or of measurements where that has levels",
        "give all images of a side the same",
    ),
    Examination(
        "other-nodata",
        "error",
        problems.of_code("other-nodata", problems.together),
        "{images} of one side with different nodata levels: what is missing in one is a value in another",
        ONE_NODATA_LEVEL,
    ),
    Examination(
        "different-sizes",
        "error",
        problems.of_code("different-sizes", problems.with_sizes),
        "{items} whose sides differ in size, so that no pixel has its counterpart",
        "crop or resize both to one size",
    ),
    Examination(
        "not-pairs",
        "warning",
        sizes.not_pairs,
        "{why}: are they pairs, side by side?",
        "if they are, give --layout side-by-side; else put A on the left and B on the right of one image, or "
        "into folders A/ and B/, or give a --task that makes pairs of photos",
    ),
    Examination(
        "in-two-splits",
        "warning",
        copies.in_two_splits,
        "{items} in more than one split, the same pixels: figures of held-out images will be too good",
        "keep each in one split only",
    ),
    Examination(
        "nearly-in-two-splits",
        "warning",
        copies.nearly_in_two_splits,
        "{items} nearly like one of another split, as if saved anew or resized: figures of held-out images "
        "will be too good",
        "keep each in one split only",
    ),
    Examination(
        "resized",
        "warning",
        copies.resized,
        "{items} nearly like one of another size in its split, as thumbnails are: they count twice",
        "keep one of each",
    ),
    Examination(
        "duplicates",
        "warning",
        copies.duplicates,
        "{copies} too many, the same pixels within a split: they count more than the others",
        "keep one of each",
    ),
    Examination(
        "swapped",
        "warning",
        contents.swapped,
        "{items} with the {what} on side {other}, where {many} others have it on side {usual}: swapped?",
        "swap their sides; training would learn both directions at once",
    ),
    Examination(
        "constant",
        "warning",
        contents.constant,
        "{images}{side} of one colour from edge to edge: nothing to learn from",
        "replace or delete, with the other side",
    ),
    Examination(
        "sentinel",
        "warning",
        contents.of_doubt("sentinel"),
        "{what}",
        "{fix}",
    ),
    Examination(
        "faint",
        "warning",
        contents.of_doubt("faint"),
        "{what}",
        "{fix}",
    ),
    Examination(
        "missing-pixels",
        "note",
        contents.missing,
        "{share:.2%} of the pixels{side} have no value, in {images}: no loss and no metric counts them",
        "nothing, unless they should have one",
    ),
    Examination(
        "mixed-channels",
        "warning",
        contents.mixed_channels,
        "{count} {what} among {others} images{side}: all are read as RGB",
        "make all of them grey, or all RGB, if the others are no mistake",
    ),
    Examination(
        "blurred-label-maps",
        "warning",
        contents.blurred_label_maps,
        "{images}{side} look like label maps with mixed colours between the flat ones, as JPEG and smooth "
        "resizing leave them: colours of no class",
        "make them anew, as PNG; --label-maps {letter} only keeps training from mixing their colours further",
    ),
    Examination(
        "too-few",
        "warning",
        sizes.too_few,
        "only {few} to train on: at most learned by heart, rather than understood",
        "collect more; hundreds are usual",
    ),
    Examination(
        "enlarged",
        "warning",
        sizes.enlarged,
        "{images} much smaller than the {size} of training: enlarged they are blurred, as outputs will be",
        "take larger ones, or {other}",
    ),
    Examination(
        "distorted",
        "warning",
        sizes.distorted,
        "{images} of quite another shape than the {size} of training: squeezed into it",
        "crop them, or {other}",
    ),
    Examination(
        "band-as-alpha",
        "warning",
        contents.bands_as_alpha,
        "{images}{side} whose channel {bands} is alpha by name, but neither opaque nor transparent in most "
        "pixels, as a band (near infrared) is: the others are laid over white by it",
        "if it is a band, --input-channels {bands} (of targets --output-channels) reads it as it is",
    ),
    Examination(
        "pages-as-bands",
        "note",
        contents.pages_as_bands,
        "TIFFs of {pages} pages{side}: each page is read as a band",
        "if they are no bands, save the one that is meant as an image of its own",
    ),
    Examination(
        "undeclared-label-maps",
        "note",
        contents.undeclared_label_maps,
        "{side} like label maps: a few flat colors or numbers, the same in all",
        "if they are, --label-maps {letters} resizes them without mixing colours",
    ),
    Examination(
        "nothing-held-out",
        "note",
        sizes.nothing_held_out,
        "none is held out: samples and figures will be of images that training sees",
        "move some into val/",
    ),
    Examination(
        "passed-over",
        "note",
        sizes.passed_over,
        "{images} passed over, of a kind that can't be read ({kinds} can)",
        "{fix}, if they belong to the data",
    ),
)
"""Everything that is looked for, the gravest first."""
