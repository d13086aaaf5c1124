"""Image quality metrics. A new metric is an entry of `METRICS`.

A measure maps an image and its target to a few numbers. A metric is a function of their means over images.
A data set is therefore measured image by image in little memory, and its measurements can be resampled for
intervals (see :mod:`pix2pix_tf.evaluation.intervals`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

import numpy as np

# Maps an image and its target, float32 [height, width, channels] in [0, 1], and the mask of valid target
# pixels, bool [height, width] or None, to float64 [k]. Invalid pixels are equal in both images. Both sides of
# the images are at least as long as the metric's `smallest`.
Measure = Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]
# Maps means [..., k] to metric values [...].
Value = Callable[[np.ndarray], np.ndarray]

PERIODS = (2, 4, 8, 16)
"""Periods in pixels of the checkerboard artifacts that upsampling can leave."""

CONFUSION = "confusion"
"""Key of the flat confusion matrices that segmentation metrics are computed from."""

_BEST_PSNR = 100.0
_WINDOW = 11  # pixels of the window of SSIM
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents of MS-SSIM's scales, finest first
_SMALLEST_FOR_MS_SSIM = 176  # pixels; at the coarsest scale, 1/16 of it is the width of a window
_SPECTRUM_BINS = 64
_COLOR_BINS = 50
_LAB_RANGES = ((0.0, 100.0), (-100.0, 100.0), (-100.0, 100.0))
_XYZ_OF_RGB = np.array(  # of linear sRGB
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_LUMA = np.array([0.299, 0.587, 0.114])

_DIRECTIONS = {
    "lower": "lower is better",
    "higher": "higher is better",
    "one": "closer to 1 is better",
    "target": "best up to the targets’ value",
}

Number = TypeVar("Number", float, np.ndarray)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of a model's images.

    ``better`` is 'lower' or 'higher' if such values are better, 'one' if values close to 1 are best, and
    'target' if values up to the targets' value are best. ``help`` explains the metric and its range.
    """

    name: str
    label: str
    help: str
    better: Literal["lower", "higher", "one", "target"]

    @property
    def direction(self) -> str:
        """Explains which values are better."""
        return _DIRECTIONS[self.better]

    def badness(self, value: Number, target_value: Number) -> Number:
        """Returns a number that is higher for worse values; ``target_value`` is the metric of the targets."""
        match self.better:
            case "lower":
                return value
            case "higher":
                return -value
            case "one":
                return abs(value - 1)
            case "target":  # artifacts weaker than in the targets are not better
                return np.maximum(value - target_value, 0.0)


@dataclasses.dataclass(frozen=True)
class ImageMetric(Metric):
    """A metric that is measured on each image.

    Args:
        measure: the measure to average over the images, or `CONFUSION`.
        seed_effect: the largest difference between runs that only differ in their seeds. Smaller differences
            don't distinguish methods, for any number of images.
        value: computes the metric from the means.
        smallest: shortest side in pixels of images that the metric is defined for.
        in_training: whether the metric is also used for validation during training.
    """

    measure: Measure | str
    seed_effect: float
    value: Value = lambda means: means[..., 0]
    smallest: int = 1
    in_training: bool = False


def luma(image: np.ndarray) -> np.ndarray:
    """Converts RGB to BT.601 luma, and other channels to their mean: float64 [height, width]."""
    return image @ _LUMA if image.shape[-1] == 3 else image.mean(axis=-1, dtype=np.float64)


# ---------------------------------------------------------------- distances


def absolute_error(image: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Returns [mean absolute difference]."""
    return np.array([np.abs(image - target, dtype=np.float64)[... if valid is None else valid].mean()])


def psnr(image: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Returns [10 log10(1 / mean squared difference)] in dB, at most 100."""
    error = np.square(image - target, dtype=np.float64)[... if valid is None else valid].mean()
    return np.array([min(_BEST_PSNR, -10 * np.log10(max(error, 1e-300)))])


def ssim(image: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Returns [SSIM] (Wang et al. 2004), with an 11-pixel Gaussian window, σ 1.5, averaged over channels.

    Windows with a missing pixel don't count, unless all windows have one.
    """
    import tensorflow as tf

    if valid is not None:
        windows = tf.image.ssim(image, target, max_val=1.0, return_index_map=True).numpy()
        whole = np.lib.stride_tricks.sliding_window_view(valid, (_WINDOW,) * 2).all(axis=(-2, -1))
        return np.array([windows[whole if whole.any() else ...].mean()], np.float64)
    return np.array([tf.image.ssim(image, target, max_val=1.0).numpy()], np.float64)


def ms_ssim(image: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Returns [MS-SSIM] (Wang et al. 2003) on five scales.

    Missing pixels have no weight in windows and in downsampling. Windows are averaged by their weight.
    """
    if valid is None:
        import tensorflow as tf

        return np.array([tf.image.ssim_multiscale(image, target, max_val=1.0).numpy()], np.float64)
    weight = valid[..., np.newaxis].astype(np.float64)
    x, y = image.astype(np.float64), target.astype(np.float64)
    similarity = np.ones(image.shape[2])
    for scale, power in enumerate(_SCALES):
        if scale:
            smaller = _downsampled(weight)
            x, y = (_downsampled(weight * each) / np.maximum(smaller, 1e-12) for each in (x, y))
            weight = smaller
        window_weights = _smoothed(weight)
        mean_x, mean_y, squares, products = (
            _smoothed(weight * each) / np.maximum(window_weights, 1e-12)
            for each in (x, y, x * x + y * y, x * y)
        )
        means = mean_x**2 + mean_y**2
        found = (2 * (products - mean_x * mean_y) + 0.03**2) / (squares - means + 0.03**2)
        if scale == len(_SCALES) - 1:
            found *= (2 * mean_x * mean_y + 0.01**2) / (means + 0.01**2)
        mean = (window_weights * found).sum((0, 1)) / window_weights.sum()
        similarity *= np.maximum(mean, 0.0) ** power
    return np.array([similarity.mean()])


def _smoothed(image: np.ndarray) -> np.ndarray:
    """Returns the weighted means in SSIM's Gaussian windows, [height - 10, width - 10, channels]."""
    window = np.exp(-np.square((np.arange(_WINDOW) - _WINDOW // 2) / 1.5) / 2)
    for _ in range(2):  # rows, then columns
        count = len(image) - len(window) + 1
        image = sum(part * image[at : at + count] for at, part in enumerate(window / window.sum()))
        image = image.swapaxes(0, 1)
    return image


def _downsampled(image: np.ndarray) -> np.ndarray:
    """Averages blocks of 2x2 pixels; for odd sizes, the last row or column is repeated."""
    odd = [(0, side % 2) for side in image.shape[:2]]
    image = np.pad(image, [*odd, (0, 0)], mode="symmetric")
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4


# ---------------------------------------------------------------- texture


def gradients(image: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Returns the mean gradient magnitude of the luma, by forward differences: [image, target].

    Differences to or from a missing pixel don't count, unless no others exist.
    """
    known = np.array(True) if valid is None else valid[:-1, :-1] & valid[1:, :-1] & valid[:-1, 1:]
    counted = known if known.ndim and known.any() else ...

    means = []
    for gray in (luma(image), luma(target)):
        down, right = np.diff(gray, axis=0)[:, :-1], np.diff(gray, axis=1)[:-1]
        means.append(np.hypot(down, right)[counted].mean())
    return np.array(means)


def checkerboard_power(image: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Returns the luma's spectral power [at 1 / period, at neighboring frequencies] for each of `PERIODS`.

    It is the mean power of rows and columns, without their means. Neighboring frequencies are two to four
    steps away.
    """
    gray = luma(image)
    powers = np.zeros((len(PERIODS), 2))
    for lines in (gray, gray.T):
        length = lines.shape[1] - lines.shape[1] % max(PERIODS)
        lines = lines[:, :length] - lines[:, :length].mean(axis=1, keepdims=True)
        power = np.square(np.abs(np.fft.rfft(lines, axis=1))).mean(axis=0) / length
        measured = {length // period for period in PERIODS}
        for row, period in zip(powers, PERIODS, strict=True):
            at = length // period
            near = (at + away for away in (-4, -3, -2, 2, 3, 4))
            # In small images, neighboring frequencies can include another period's.
            neighbors = [place for place in near if 0 < place < len(power) and place not in measured]
            row += power[at] / 2, power[neighbors].mean() / 2
    return powers.reshape(-1)


def radial_power(image: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Returns the luma's power spectrum at `spectrum_frequencies`, averaged over all directions.

    It is NaN at frequencies that a small image lacks.
    """
    gray = luma(image)
    power = np.square(np.abs(np.fft.fft2(gray - gray.mean()))) / gray.size
    frequency = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, gray.shape), indexing="ij"))
    places = (frequency * 2 * _SPECTRUM_BINS).astype(int).ravel()
    inside = (places < _SPECTRUM_BINS) & (frequency.ravel() > 0)
    counts = np.bincount(places[inside], minlength=_SPECTRUM_BINS)
    sums = np.bincount(places[inside], power.ravel()[inside], _SPECTRUM_BINS)
    return np.where(counts, sums / np.maximum(counts, 1), np.nan)


def spectrum_frequencies() -> np.ndarray:
    """Returns the centers of the spectrum's bins, float64 [64], from 0 to ½ cycles per pixel."""
    return (np.arange(_SPECTRUM_BINS) + 0.5) / (2 * _SPECTRUM_BINS)


# ---------------------------------------------------------------- colors


def lab(image: np.ndarray) -> np.ndarray:
    """Converts sRGB [height, width, 1 or 3] in [0, 1] to CIE L*a*b* (D65), float64 [height, width, 3]."""
    from pix2pix_tf.data.pixels import as_rgb

    rgb = as_rgb(image).astype(np.float64)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _XYZ_OF_RGB.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    )


def color_histograms(image: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Returns normalized histograms of L, a and b, of the image and then of the target."""
    shares = []
    for each in (image, target):
        for channel, limits in zip(np.moveaxis(lab(each), -1, 0), _LAB_RANGES, strict=True):
            channel = channel[... if valid is None else valid]
            counts, _ = np.histogram(channel, _COLOR_BINS, limits)
            shares.append(counts / channel.size)
    return np.concatenate(shares)


def histogram_overlap(means: np.ndarray) -> np.ndarray:
    """Returns the mean intersection of histograms over L, a and b (Isola et al. 2017, figure 7)."""
    ours, theirs = np.split(means, 2, axis=-1)
    return np.minimum(ours, theirs).sum(axis=-1) / len(_LAB_RANGES)


# ---------------------------------------------------------------- segmentation: from confusion matrices


def pixel_accuracy(counts: np.ndarray) -> np.ndarray:
    """Returns the share of correctly classified pixels; ``counts`` are flat matrices [..., classes²]."""
    matrix, *_ = _by_class(counts)
    return np.trace(matrix, axis1=-2, axis2=-1) / np.maximum(counts.sum(-1), 1e-300)


def class_accuracy(counts: np.ndarray) -> np.ndarray:
    """Returns the share of correct pixels of a class, averaged over the classes."""
    _, hits, truth = _by_class(counts)
    return _mean_share(hits, truth, truth)


def miou(counts: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of a class, averaged over the classes."""
    matrix, hits, truth = _by_class(counts)
    return _mean_share(hits, truth + matrix.sum(-2) - hits, truth)


def _by_class(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns matrices [..., true class, predicted class], and the correct and true pixels per class."""
    side = round(np.sqrt(counts.shape[-1]))
    matrix = counts.reshape(*counts.shape[:-1], side, side)
    return matrix, np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1)


def _mean_share(hits: np.ndarray, total: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns the mean of ``hits / total`` over the classes with true pixels."""
    occurs = truth > 0
    shares = np.divide(hits, total, out=np.zeros_like(hits, float), where=total > 0)
    return np.where(occurs, shares, 0).sum(-1) / np.maximum(occurs.sum(-1), 1)


# ---------------------------------------------------------------- the table of metrics


def _ratio(at: int) -> Value:
    return lambda means: means[..., at] / np.maximum(means[..., at + 1], 1e-12)


def _of_confusion(value: Value, label: str, explanation: str) -> ImageMetric:
    return ImageMetric(value.__name__, label, explanation, "higher", CONFUSION, 0.02, value)


METRICS: tuple[ImageMetric, ...] = (
    ImageMetric(
        "l1", "L1", "mean absolute difference, 0 to 1", "lower", absolute_error, 0.002, in_training=True
    ),
    ImageMetric("psnr", "PSNR", "peak signal-to-noise ratio in dB", "higher", psnr, 0.15, in_training=True),
    ImageMetric(
        "ssim",
        "SSIM",
        "structural similarity, up to 1",
        "higher",
        ssim,
        0.008,
        smallest=_WINDOW,
        in_training=True,
    ),
    ImageMetric(
        "ms_ssim",
        "MS-SSIM",
        "structural similarity on five scales, up to 1",
        "higher",
        ms_ssim,
        0.01,
        smallest=_SMALLEST_FOR_MS_SSIM,
    ),
    ImageMetric(
        "sharpness",
        "sharpness",
        "mean gradient divided by the targets'; 1 is equally sharp, but checkerboards also raise it",
        "one",
        gradients,
        0.05,
        _ratio(0),
        smallest=2,
        in_training=True,
    ),
    *(
        ImageMetric(
            f"checkerboard_{period}",
            f"{period} px checkerboard",
            f"spectral power at a period of {period} pixels over neighboring power; no artifact up to 1",
            "target",
            checkerboard_power,
            1.5,  # three runs with default settings had 0.8, 1.6 and 2.1 at 2 pixels
            _ratio(2 * place),
            smallest=max(PERIODS),
            in_training=True,
        )
        for place, period in enumerate(PERIODS)
    ),
    ImageMetric(
        "colors",
        "colors",
        "overlap of Lab histograms with the targets', 0 to 1",
        "higher",
        color_histograms,
        0.02,
        histogram_overlap,
    ),
    _of_confusion(
        pixel_accuracy, "pixel accuracy", "share of pixels that a segmentation network classifies correctly"
    ),
    _of_confusion(
        class_accuracy,
        "class accuracy",
        "share of correctly classified pixels of a class, averaged over the classes",
    ),
    _of_confusion(miou, "mIoU", "intersection over union of a class, averaged over the classes"),
)


def measures_of(metrics: Iterable[ImageMetric]) -> list[Measure]:
    """Returns the distinct measures of metrics, without keys like `CONFUSION`."""
    return [each for each in dict.fromkeys(metric.measure for metric in metrics) if not isinstance(each, str)]


BEST_METRICS = tuple(m.name for m in METRICS if m.in_training and m.better in ("lower", "higher"))
"""Metrics that can select the best checkpoint."""
