"""How good pictures are, beside their targets: a new metric is an entry of `METRICS`.

A measurement turns a picture and its target into a few numbers. A metric is a function of their means over
the pictures, so that a set is measured picture by picture, in little memory, and any sample of it can be
drawn again for an interval (see :mod:`pix2pix_tf.evaluation.intervals`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pixels import as_rgb

# From a picture and its target, float32 [height, width, channels] in [0, 1], and which pixels of the target
# have a value, bool [height, width] or None for all, to float64 numbers [k]. Elsewhere both are alike.
Measure = Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]
# From means [..., k] to values [...].
Value = Callable[[np.ndarray], np.ndarray]

PERIODS = (2, 4, 8, 16)
"""Pixels between two lines of the grids that are looked for: what doubling an image can leave."""

CONFUSION = "confusion"
"""The measurement that a segmenter makes: a flat confusion matrix."""

_BEST_PSNR = 100.0
_SMALLEST_FOR_SSIM = 11  # pixels, as the window
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # powers of MS-SSIM's, from the finest
_SMALLEST_FOR_MS_SSIM = 176  # pixels, so that a window of 11 fits into a sixteenth
_SPECTRUM_BINS = 64
_COLOUR_BINS = 50
_LAB_RANGES = ((0.0, 100.0), (-100.0, 100.0), (-100.0, 100.0))
_XYZ_OF_RGB = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)  # of linear sRGB
_WHITE = np.array([0.95047, 1.0, 1.08883])
_GREY = np.array([0.299, 0.587, 0.114])

Better = Literal["lower", "higher", "one", "target"]
Number = TypeVar("Number", float, np.ndarray)


def badness(better: Better, value: Number, of_targets: Number) -> Number:
    """Returns how bad a value is: the more, the worse.

    Args:
        better: what is better, as in :class:`Metric`.
        value: of a model's pictures.
        of_targets: the targets' own value, which only 'target' reads.
    """
    match better:
        case "lower":
            return value
        case "higher":
            return -value
        case "one":
            return abs(value - 1)
        case "target":  # less of a grid than photographs have is no merit
            return np.maximum(value - of_targets, 0.0)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number that says how good pictures are.

    Args:
        name: in metrics.json.
        label: on the page.
        help: what it means, and its range.
        better: whether a lower or a higher value is better, one nearer to 1, or nearer to the targets' own.
        measurement: which of a picture's measurements it is made from.
        value: what makes it from their means.
        seeds: by how much it may differ between two runs that differ in their seed only; no smaller
            difference tells methods apart, however many pictures show it.
        smallest: shorter side of the smallest picture that it is defined for.
    """

    name: str
    label: str
    help: str
    better: Better
    measurement: str
    value: Value
    seeds: float
    smallest: int = 1

    @property
    def of_targets(self) -> bool:
        """Whether the targets have a value of their own that is worth knowing."""
        return self.better == "target" or self.measurement == CONFUSION


def grey(image: np.ndarray) -> np.ndarray:
    """Returns the luma (ITU-R BT.601) of an image [height, width, channels] as float64 [height, width].

    Of another number of channels than grey and RGB have, that is their mean.
    """
    return image @ _GREY if image.shape[-1] == 3 else image.mean(axis=-1, dtype=np.float64)


# ---------------------------------------------------------------- distances


Valid = np.ndarray | None


def absolute_error(picture: np.ndarray, target: np.ndarray, valid: Valid = None) -> np.ndarray:
    """Returns [mean absolute difference]."""
    return np.array([np.abs(picture - target, dtype=np.float64)[... if valid is None else valid].mean()])


def peak_signal_to_noise_ratio(picture: np.ndarray, target: np.ndarray, valid: Valid = None) -> np.ndarray:
    """Returns [10 log10(1 / mean squared difference)] in dB, of equal images 100."""
    error = np.square(picture - target, dtype=np.float64)[... if valid is None else valid].mean()
    return np.array([min(_BEST_PSNR, -10 * np.log10(max(error, 1e-300)))])


def structural_similarity(picture: np.ndarray, target: np.ndarray, valid: Valid = None) -> np.ndarray:
    """Returns [SSIM] (Wang et al. 2004): a Gaussian window of 11 pixels, σ 1.5, mean over the channels.

    NaN of pictures smaller than the window. Windows with a missing pixel don't count, unless all have one.
    """
    if min(picture.shape[:2]) < _SMALLEST_FOR_SSIM:
        return np.array([np.nan])
    if valid is not None:
        of_windows = tf.image.ssim(picture, target, max_val=1.0, return_index_map=True).numpy()
        size = (_SMALLEST_FOR_SSIM, _SMALLEST_FOR_SSIM)
        whole = np.lib.stride_tricks.sliding_window_view(valid, size).all(axis=(-2, -1))
        return np.array([of_windows[whole if whole.any() else ...].mean()], np.float64)
    return np.array([tf.image.ssim(picture, target, max_val=1.0).numpy()], np.float64)


def multiscale_similarity(picture: np.ndarray, target: np.ndarray, valid: Valid = None) -> np.ndarray:
    """Returns [MS-SSIM] (Wang et al. 2003), on five scales; NaN of pictures below 176 pixels.

    Missing pixels have no weight in a window's means, nor in those of smaller scales; windows count by their
    weight.
    """
    if min(picture.shape[:2]) < _SMALLEST_FOR_MS_SSIM:
        return np.array([np.nan])
    if valid is not None:
        return np.array([_weighted_multiscale_similarity(picture, target, valid)])
    return np.array([tf.image.ssim_multiscale(picture, target, max_val=1.0).numpy()], np.float64)


def _weighted_multiscale_similarity(picture: np.ndarray, target: np.ndarray, valid: np.ndarray) -> float:
    weight = valid[..., np.newaxis].astype(np.float64)
    x, y = picture.astype(np.float64), target.astype(np.float64)
    similarity = np.ones(picture.shape[2])
    for scale, power in enumerate(_SCALES):
        if scale:
            whole = np.maximum(_halved(weight), 1e-12)
            x, y, weight = _halved(weight * x) / whole, _halved(weight * y) / whole, _halved(weight)
        of_windows = _smoothed(weight)
        mean_x, mean_y, squares, products = (
            _smoothed(weight * each) / np.maximum(of_windows, 1e-12) for each in (x, y, x * x + y * y, x * y)
        )
        means = mean_x**2 + mean_y**2
        found = (2 * (products - mean_x * mean_y) + 0.03**2) / (squares - means + 0.03**2)
        if scale == len(_SCALES) - 1:
            found *= (2 * mean_x * mean_y + 0.01**2) / (means + 0.01**2)
        mean = (of_windows * found).sum((0, 1)) / of_windows.sum()
        similarity *= np.maximum(mean, 0.0) ** power
    return float(similarity.mean())


def _smoothed(image: np.ndarray) -> np.ndarray:
    """Returns the means of SSIM's windows, [height - 10, width - 10, channels]."""
    window = np.exp(-np.square((np.arange(_SMALLEST_FOR_SSIM) - _SMALLEST_FOR_SSIM // 2) / 1.5) / 2)
    for _ in range(2):  # rows, then columns
        count = len(image) - len(window) + 1
        image = sum(part * image[at : at + count] for at, part in enumerate(window / window.sum()))
        image = image.swapaxes(0, 1)
    return image


def _halved(image: np.ndarray) -> np.ndarray:
    """Returns the means of 2x2 pixels, of an odd size the last ones doubled."""
    odd = [(0, side % 2) for side in image.shape[:2]]
    image = np.pad(image, [*odd, (0, 0)], mode="symmetric")
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4


# ---------------------------------------------------------------- texture


def gradients(picture: np.ndarray, target: np.ndarray, valid: Valid = None) -> np.ndarray:
    """Returns [the picture's mean gradient, the target's]: of the luma, by differences to the next pixel.

    Those to or from a missing pixel don't count, unless all are such.
    """
    known = np.array(True) if valid is None else valid[:-1, :-1] & valid[1:, :-1] & valid[:-1, 1:]
    counted = known if known.ndim and known.any() else ...

    def mean_gradient(image: np.ndarray) -> float:
        luma = grey(image)
        down, right = np.diff(luma, axis=0)[:, :-1], np.diff(luma, axis=1)[:-1]
        return float(np.hypot(down, right)[counted].mean())

    return np.array([mean_gradient(picture), mean_gradient(target)])


def lattice_power(picture: np.ndarray, target: np.ndarray, valid: Valid = None) -> np.ndarray:
    """Returns, for each period, the luma's spectral power on its lattice and beside it.

    The power of columns and rows, each line's mean removed, at the frequency 1 / period; and the mean at the
    frequencies two to four steps away from it, on the side that there is.

    Returns:
        [on lattice, beside it] for each of ``PERIODS``; NaN of pictures smaller than one of them.
    """
    luma = grey(picture)
    if min(luma.shape) < max(PERIODS):
        return np.full(2 * len(PERIODS), np.nan)
    found = np.zeros((len(PERIODS), 2))
    for lines in (luma, luma.T):
        length = lines.shape[1] - lines.shape[1] % max(PERIODS)
        lines = lines[:, :length] - lines[:, :length].mean(axis=1, keepdims=True)
        power = np.square(np.abs(np.fft.rfft(lines, axis=1))).mean(axis=0) / length
        lattices = {length // period for period in PERIODS}
        for row, period in zip(found, PERIODS, strict=True):
            at = length // period
            near = (at + away for away in (-4, -3, -2, 2, 3, 4))
            # In small pictures the lattice of another period may be among them.
            beside = [place for place in near if 0 < place < len(power) and place not in lattices]
            row += power[at] / 2, power[beside].mean() / 2
    return found.reshape(-1)


def radial_power(picture: np.ndarray, target: np.ndarray, valid: Valid = None) -> np.ndarray:
    """Returns the luma's power spectrum, averaged over all directions, at `spectrum_frequencies`.

    NaN where a picture is too small to have a frequency.
    """
    luma = grey(picture)
    power = np.square(np.abs(np.fft.fft2(luma - luma.mean()))) / luma.size
    frequency = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, luma.shape), indexing="ij"))
    places = (frequency * 2 * _SPECTRUM_BINS).astype(int).ravel()
    inside = (places < _SPECTRUM_BINS) & (frequency.ravel() > 0)
    counts = np.bincount(places[inside], minlength=_SPECTRUM_BINS)
    sums = np.bincount(places[inside], power.ravel()[inside], _SPECTRUM_BINS)
    return np.where(counts, sums / np.maximum(counts, 1), np.nan)


def spectrum_frequencies() -> np.ndarray:
    """Returns the middles of the spectrum's bins in cycles a pixel, float64 [64], up to ½."""
    return (np.arange(_SPECTRUM_BINS) + 0.5) / (2 * _SPECTRUM_BINS)


# ---------------------------------------------------------------- colours


def lab(image: np.ndarray) -> np.ndarray:
    """Returns an sRGB image [height, width, 1 or 3] in [0, 1] in CIE L*a*b* (D65), float64 [..., 3]."""
    rgb = as_rgb(image).astype(np.float64)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _XYZ_OF_RGB.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    )


def colour_histograms(picture: np.ndarray, target: np.ndarray, valid: Valid = None) -> np.ndarray:
    """Returns the shares of pixels in bins of L, a and b: the picture's, then the target's."""
    found = []
    for image in (picture, target):
        for channel, (low, high) in zip(np.moveaxis(lab(image), -1, 0), _LAB_RANGES, strict=True):
            channel = channel[... if valid is None else valid]
            counts, _ = np.histogram(channel, _COLOUR_BINS, (low, high))
            found.append(counts / channel.size)
    return np.concatenate(found)


def histogram_overlap(means: np.ndarray) -> np.ndarray:
    """Returns the intersection of both histograms, its mean over L, a and b (Isola et al. 2017, figure 7)."""
    ours, theirs = np.split(means, 2, axis=-1)
    return np.minimum(ours, theirs).sum(axis=-1) / len(_LAB_RANGES)


# ---------------------------------------------------------------- segmentation, of confusion matrices


def _square(counts: np.ndarray) -> np.ndarray:
    """Returns confusion matrices [..., truth, found] of flat ones."""
    side = round(np.sqrt(counts.shape[-1]))
    return counts.reshape(*counts.shape[:-1], side, side)


def _over_classes(hits: np.ndarray, of: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The mean of hits / of over the classes that occur in the truth."""
    occurs = truth > 0
    shares = np.divide(hits, of, out=np.zeros_like(hits, float), where=of > 0)
    return np.where(occurs, shares, 0).sum(-1) / np.maximum(occurs.sum(-1), 1)


def pixel_accuracy(counts: np.ndarray) -> np.ndarray:
    """Returns the share of pixels whose class is right, of flat confusion matrices [..., classes²]."""
    matrix = _square(counts)
    return np.trace(matrix, axis1=-2, axis2=-1) / np.maximum(counts.sum(-1), 1e-300)


def class_accuracy(counts: np.ndarray) -> np.ndarray:
    """Returns the same share of each class, its mean over the classes."""
    matrix = _square(counts)
    truth = matrix.sum(-1)
    return _over_classes(np.diagonal(matrix, axis1=-2, axis2=-1), truth, truth)


def class_iou(counts: np.ndarray) -> np.ndarray:
    """Returns intersection over union, its mean over the classes."""
    matrix = _square(counts)
    hits, truth = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1)
    return _over_classes(hits, truth + matrix.sum(-2) - hits, truth)


# ---------------------------------------------------------------- all of them


MEASUREMENTS: Mapping[str, Measure] = {
    "l1": absolute_error,
    "psnr": peak_signal_to_noise_ratio,
    "ssim": structural_similarity,
    "ms_ssim": multiscale_similarity,
    "gradients": gradients,
    "lattice": lattice_power,
    "colours": colour_histograms,
    "spectrum": radial_power,
}


def _mean(means: np.ndarray) -> np.ndarray:
    return means[..., 0]


def _ratio(at: int) -> Value:
    return lambda means: means[..., at] / np.maximum(means[..., at + 1], 1e-12)


METRICS: tuple[Metric, ...] = (
    Metric("l1", "L1", "mean absolute difference, 0 to 1", "lower", "l1", _mean, seeds=0.002),
    Metric("psnr", "PSNR", "peak signal-to-noise ratio in dB", "higher", "psnr", _mean, seeds=0.15),
    Metric(
        "ssim", "SSIM", "structural similarity, up to 1", "higher", "ssim", _mean, 0.008, _SMALLEST_FOR_SSIM
    ),
    Metric(
        "ms_ssim",
        "MS-SSIM",
        "structural similarity on five scales, up to 1",
        "higher",
        "ms_ssim",
        _mean,
        seeds=0.01,
        smallest=_SMALLEST_FOR_MS_SSIM,
    ),
    Metric(
        "sharpness",
        "sharpness",
        "mean gradient over the targets': 1 is as sharp as they are; a grid counts as sharpness",
        "one",
        "gradients",
        _ratio(0),
        seeds=0.05,
    ),
    *(
        Metric(
            f"grid_{period}",
            f"{period} px grid",
            f"spectral power at a period of {period} pixels over that beside it: 1 and less is no grid",
            "target",
            "lattice",
            _ratio(2 * place),
            seeds=1.5,  # three runs of the default had 0.8, 1.6 and 2.1 at 2 pixels
            smallest=max(PERIODS),
        )
        for place, period in enumerate(PERIODS)
    ),
    Metric(
        "colours",
        "colours",
        "overlap of the histograms of all pixels in Lab with the targets': 1 is the same colours",
        "higher",
        "colours",
        histogram_overlap,
        seeds=0.02,
    ),
    Metric(
        "pixel_accuracy",
        "pixel accuracy",
        "share of pixels whose class a segmentation network finds as labelled",
        "higher",
        CONFUSION,
        pixel_accuracy,
        seeds=0.02,
    ),
    Metric(
        "class_accuracy",
        "class accuracy",
        "the same share of each class, its mean",
        "higher",
        CONFUSION,
        class_accuracy,
        seeds=0.02,
    ),
    Metric(
        "class_iou",
        "class IoU",
        "intersection over union of each class, its mean",
        "higher",
        CONFUSION,
        class_iou,
        seeds=0.02,
    ),
)
