"""4×4 convolutions by minimal filtering, with fewer products (Winograd 1980; Lavin and Gray 2016).

Two outputs of a filter with two taps take three products instead of four:

    y0 = x0 w0 + x1 w1 = (x0 - x1) w0 + x1 (w0 + w1)
    y1 = x1 w0 + x2 w1 =                x1 (w0 + w1) + (x2 - x1) w1

In two dimensions that makes 9 products instead of 16. At stride 2, a 4×4 kernel has 2×2 taps for each of the
image's four phases, so 9/16 of the products remain. At stride 1 the scheme is applied to blocks of two taps
and again within each block: 81/256. Image, kernel and result are each transformed into sums and differences,
called *parts*. In terms of parts, the convolution and both gradients are matrix products, one per part.

In exact arithmetic the result is the same, but sums and differences add rounding errors. In bfloat16 the
random error is 0.6 % (stride 2) or 1.2 % (stride 1) instead of 0.2 %; in float32 it is about 1e-6.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Matrix = np.ndarray[Any, Any]
Parts = list[tf.Tensor]
Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


# A minimal filter in one dimension is result = TAPSᵀ ((TAPS kernel) · (IMAGE x)). IMAGE is [products, values
# of an image tile], TAPS is [products, taps of the kernel or values of a result tile].
_IMAGE = np.array([[1, -1, 0], [0, 1, 0], [0, -1, 1]])
_TAPS = np.array([[1, 0], [1, 1], [0, 1]])
# For four taps, the filter is applied to blocks of two values, which are 2 apart, and within each block.
_BLOCKS = [np.pad(_IMAGE, [(0, 0), (2 * block, 4 - 2 * block)]) for block in range(3)]
_BY_STRIDE = {
    2: (_IMAGE, _TAPS),
    1: (np.einsum("ab,bpi->api", _IMAGE, _BLOCKS).reshape(9, 7), np.kron(_TAPS, _TAPS)),
}


class Winograd:
    """A 4×4 convolution with stride 2 and "SAME" padding, or stride 1 and "VALID" padding.

    Layers with equal sizes share an instance, because it owns compiled functions. ``image`` is height
    and width. Parts of the image are [tiles, stride² channels], of the kernel [stride² channels,
    filters], of the result [tiles, filters].
    """

    def __init__(self, stride: int, image: tuple[int, int]):
        matrix, taps = _BY_STRIDE[stride]
        step = taps.shape[1]
        self.result = tuple(-(-side // 2) if stride == 2 else side - 3 for side in image)
        tiles = [-(-side // step) for side in self.result]
        # At stride 2, "SAME" puts a zero before the image.
        self._images = _Tiling(matrix, step, tiles, image, phases=stride, before=stride - 1)
        self._results = _Tiling(taps, step, tiles, self.result)
        self._kernels = _Tiling(taps, step, [1, 1], (4, 4), phases=stride)

    def convolve(self, image: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        """Returns the convolution [batch, *result, filters] and its gradient, for `tf.custom_gradient`."""
        batch, images, kernels = image.shape[0], self._images.split(image), self._kernel_parts(kernel)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            results = self._results.split(upstream)
            return (
                self._images.join(_products(results, kernels, transpose_b=True), batch),
                self._to_kernel(_products(images, results, transpose_a=True), kernel.shape),
            )

        return self._results.join(_products(images, kernels), batch), gradient

    def transpose(self, result: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        """Returns the transposed convolution [batch, *image, channels] and its gradient function."""
        batch, results, kernels = result.shape[0], self._results.split(result), self._kernel_parts(kernel)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            images = self._images.split(upstream)
            return (
                self._results.join(_products(images, kernels), batch),
                self._to_kernel(_products(images, results, transpose_a=True), kernel.shape),
            )

        return self._images.join(_products(results, kernels, transpose_b=True), batch), gradient

    def _kernel_parts(self, kernel: tf.Tensor) -> Parts:
        parts = self._kernels.split(tf.reshape(kernel, [1, 4, 4, -1]))
        return [tf.reshape(part, [-1, kernel.shape[3]]) for part in parts]

    def _to_kernel(self, parts: Parts, shape: tuple[int, ...]) -> tf.Tensor:
        return tf.reshape(self._kernels.join(parts, 1), shape)


class _Tiling:
    """Converts tensors [batch, height, width, channels] to parts [tiles, phases² channels] and back.

    XLA compiles each step to a loop that reads every value once, instead of dozens of passes.

    Args:
        matrix: One of the matrices above, [products, values of a tile].
        step: Distance between tiles.
        tiles: Numbers of tiles in both dimensions.
        sides: Height and width of the tensor.
        phases: Number of phases in each dimension, each of which is tiled separately.
        before: Number of zeros before the tensor in each dimension.
    """

    def __init__(
        self,
        matrix: Matrix,
        step: int,
        tiles: Sequence[int],
        sides: Sequence[int],
        phases: int = 1,
        before: int = 0,
    ):
        self._matrix, self._step, self._tiles, self._sides = matrix, step, tiles, sides
        self._phases, self._before = phases, before
        compiled = functools.partial(tf.function, jit_compile=True, autograph=False)
        self._split = compiled(self._split_loop)
        self._join_width, self._join_height = compiled(self._width_loop), compiled(self._height_loop)

    def split(self, x: tf.Tensor) -> Parts:
        """Returns a tensor for each product, [batch · tiles, phases² channels]."""
        padding = []
        for tiles, side in zip(self._tiles, self._sides, strict=True):
            covered = self._phases * (self._step * (tiles - 1) + self._matrix.shape[1])
            padding.append((self._before, covered - side - self._before))
        if any(map(any, padding)):
            x = tf.pad(x, [(0, 0), *padding, (0, 0)])
        return [tf.reshape(part, [-1, self._phases**2 * x.shape[3]]) for part in self._split(x)]

    def _split_loop(self, x: tf.Tensor) -> Parts:
        (batch, height, width, channels), phases = x.shape, self._phases
        x_phases = tf.reshape(x, [batch, height // phases, phases, width // phases, phases, channels])
        rows = self._split_axis(x_phases, 1, self._tiles[0])
        parts = [part for row in rows for part in self._split_axis(row, 3, self._tiles[1])]
        return [tf.cast(tf.transpose(part, [0, 1, 3, 2, 4, 5]), x.dtype) for part in parts]

    def _split_axis(self, x: tf.Tensor, axis: int, tiles: int) -> Parts:
        before, reach = (slice(None),) * axis, self._step * (tiles - 1) + 1
        # For each position in a tile, the values of all tiles.
        positions = range(self._matrix.shape[1])
        values = [x[(*before, slice(first, first + reach, self._step))] for first in positions]
        return _combine(self._matrix, values)

    def join(self, parts: Parts, batch: int) -> tf.Tensor:
        """Reverses `split`, except that it sums where tiles overlap."""
        shape = [batch, *self._tiles, self._phases, self._phases, -1]
        rows = self._join_width([tf.reshape(part, shape) for part in parts])
        joined = self._join_height(rows, parts[0].dtype)
        overlapping = self._matrix.shape[1] > self._step  # `overlap_added` adds a tile
        sides = [self._phases * self._step * (tiles + overlapping) for tiles in self._tiles]
        x, first, (height, width) = tf.reshape(joined, [batch, *sides, -1]), self._before, self._sides
        return x[:, first : first + height, first : first + width]

    def _width_loop(self, parts: Parts) -> list[Parts]:
        side = math.isqrt(len(parts))
        rows = [parts[start : start + side] for start in range(0, len(parts), side)]
        return [overlap_added(_combine(self._matrix.T, row), self._step, axis=2) for row in rows]

    def _height_loop(self, rows: list[Parts], dtype: tf.DType) -> tf.Tensor:
        columns = [
            overlap_added(_combine(self._matrix.T, column), self._step, axis=1)
            for column in zip(*rows, strict=True)
        ]
        # [batch, tiles, phases, tiles, phases, channels]; stacking inserts an axis for the position in a tile
        # after each axis of tiles.
        columns = [[tf.transpose(each, [0, 1, 3, 2, 4, 5]) for each in column] for column in columns]
        return tf.cast(tf.stack([tf.stack(column, axis=2) for column in columns], axis=5), dtype)


def _combine(matrix: Matrix, values: Any) -> Parts:
    """Multiplies a matrix of 0, 1 and -1, with a 1 in every row, by a list of tensors, in float32."""
    values = [tf.cast(value, tf.float32) for value in values]
    combined = []
    for row in matrix:
        first, *others = np.flatnonzero(row > 0)
        total = values[first]
        for index in others:
            total += values[index]
        for index in np.flatnonzero(row < 0):
            total -= values[index]
        combined.append(total)
    return combined


def overlap_added(values: Parts, step: int, axis: int) -> Parts:
    """Adds overlapping tiles that are ``step`` values apart.

    ``values`` has a tensor for each position in a tile, and ``axis`` counts the tiles. Returns the positions
    of tiles of ``step`` values without overlap. If tiles overlap, there is one more of them.
    """

    def shifted(value: tf.Tensor, by: int) -> tf.Tensor:
        return tf.pad(value, [(by, 1 - by) if each == axis else (0, 0) for each in range(value.shape.rank)])

    own, overlap = values[:step], values[step:]
    if not overlap:
        return values
    added = [shifted(one, 0) + shifted(previous, 1) for one, previous in zip(own, overlap, strict=False)]
    return added + [shifted(one, 0) for one in own[len(overlap) :]]


def _products(one: Parts, other: Parts, **transposed: bool) -> Parts:
    return [tf.matmul(a, b, **transposed) for a, b in zip(one, other, strict=True)]
