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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

Matrix = np.ndarray[Any, Any]
Parts = list[tf.Tensor]
Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Filter:
    """A minimal filter in one dimension: result = resultᵀ ((kernel w) · (image x)).

    Attributes:
        image: [products, values of an image tile].
        kernel: [products, taps].
        result: [products, values of a result tile].
    """

    image: Matrix
    kernel: Matrix
    result: Matrix

    @property
    def step(self) -> int:
        """Distance between tiles: the number of values of a result tile."""
        return self.result.shape[1]

    @property
    def overlap(self) -> int:
        """Number of values that an image tile shares with the next."""
        return self.image.shape[1] - self.step

    def within(self, inner: Filter) -> Filter:
        """Returns this filter applied to blocks, with ``inner`` computing each product of blocks."""
        blocks = self.image.shape[1]
        shifted = [
            np.pad(inner.image, [(0, 0), (inner.step * block, inner.step * (blocks - 1 - block))])
            for block in range(blocks)
        ]
        image = np.einsum("ab,bpi->api", self.image, shifted)
        return Filter(
            image.reshape(-1, image.shape[-1]),
            np.kron(self.kernel, inner.kernel),
            np.kron(self.result, inner.result),
        )


_TWO_TAPS = Filter(
    image=np.array([[1, -1, 0], [0, 1, 0], [0, -1, 1]]),
    kernel=np.array([[1, 0], [1, 1], [0, 1]]),
    result=np.array([[1, 0], [1, 1], [0, 1]]),
)
_BY_STRIDE = {2: _TWO_TAPS, 1: _TWO_TAPS.within(_TWO_TAPS)}


def _one_loop(method: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a method with XLA, so that it reads every value once instead of making dozens of passes.

    Layers of equal shape share the compiled function.
    """

    @functools.cache
    def compiled(self: Winograd, dtype: tf.DType) -> Any:
        return tf.function(functools.partial(method, self, dtype=dtype), jit_compile=True, autograph=False)

    @functools.wraps(method)
    def call(self: Winograd, values: Any, dtype: tf.DType) -> Any:
        return compiled(self, dtype)(values)

    return call


@dataclass(frozen=True)
class Winograd:
    """A 4×4 convolution with stride 2 and "SAME" padding or stride 1 and "VALID" padding.

    Parts of the image are [tiles, stride² channels], of the kernel [stride² channels, filters], of the result
    [tiles, filters]. ``image`` is height and width.
    """

    stride: int
    image: tuple[int, int]

    @property
    def result(self) -> tuple[int, int]:
        height, width = (-(-side // 2) if self.stride == 2 else side - 3 for side in self.image)
        return height, width

    def convolve(self, image: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        """Returns the convolution [batch, *result, filters] and its gradient, for `tf.custom_gradient`."""
        images, kernels = self._image_parts(image), self._kernel_parts(kernel)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            results = self._result_parts(upstream)
            return (
                self._to_image(_products(results, kernels, transpose_b=True), image.shape),
                self._to_kernel(_products(images, results, transpose_a=True), kernel.shape),
            )

        shape = (image.shape[0], *self.result, kernel.shape[3])
        return self._to_result(_products(images, kernels), shape), gradient

    def transpose(self, result: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        """Returns the transposed convolution [batch, *image, channels] and its gradient function."""
        results, kernels = self._result_parts(result), self._kernel_parts(kernel)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            images = self._image_parts(upstream)
            return (
                self._to_result(_products(images, kernels), result.shape),
                self._to_kernel(_products(images, results, transpose_a=True), kernel.shape),
            )

        shape = (result.shape[0], *self.image, kernel.shape[2])
        return self._to_image(_products(results, kernels, transpose_b=True), shape), gradient

    # ---------------------------------------------------------------- geometry

    @property
    def _filter(self) -> Filter:
        return _BY_STRIDE[self.stride]

    @property
    def _tiles(self) -> tuple[int, int]:
        rows, columns = (-(-side // self._filter.step) for side in self.result)
        return rows, columns

    @property
    def _before(self) -> int:
        return self.stride - 1  # the zeros that "SAME" puts before an image at stride 2

    # ---------------------------------------------------------------- the image

    def _image_parts(self, image: tf.Tensor) -> Parts:
        rows, columns = (
            (
                self._before,
                self.stride * (self._filter.step * tiles + self._filter.overlap) - side - self._before,
            )
            for tiles, side in zip(self._tiles, self.image, strict=True)
        )
        parts = self._split_image(tf.pad(image, [(0, 0), rows, columns, (0, 0)]), image.dtype)
        return [tf.reshape(part, [-1, self.stride**2 * image.shape[3]]) for part in parts]

    @_one_loop
    def _split_image(self, padded: tf.Tensor, dtype: tf.DType) -> Parts:
        matrix, step, stride = self._filter.image, self._filter.step, self.stride
        batch, height, width, channels = padded.shape
        x = tf.reshape(padded, [batch, height // stride, stride, width // stride, stride, channels])
        rows = _combine(matrix, _tiled(x, 1, step, self._tiles[0], matrix.shape[1]))
        parts = [
            part
            for row in rows
            for part in _combine(matrix, _tiled(row, 3, step, self._tiles[1], matrix.shape[1]))
        ]
        return [tf.cast(tf.transpose(part, [0, 1, 3, 2, 4, 5]), dtype) for part in parts]

    def _to_image(self, parts: Parts, shape: tuple[int, ...]) -> tf.Tensor:
        batch, height, width, channels = shape
        stride, before = self.stride, self._before
        parts = [tf.reshape(part, [batch, *self._tiles, stride, stride, channels]) for part in parts]
        sides = (stride * self._filter.step * (tiles + 1) for tiles in self._tiles)
        rows = self._join_image_rows(parts, tf.float32)
        padded = tf.reshape(self._join_image(rows, parts[0].dtype), [batch, *sides, channels])
        return padded[:, before : before + height, before : before + width]

    @_one_loop
    def _join_image_rows(self, parts: Parts, dtype: tf.DType) -> list[Parts]:
        matrix, step = self._filter.image.T, self._filter.step
        rows = [_overlapped(_combine(matrix, row), step, axis=2) for row in _square(parts)]
        return [[tf.cast(each, dtype) for each in row] for row in rows]

    @_one_loop
    def _join_image(self, rows: list[Parts], dtype: tf.DType) -> tf.Tensor:
        matrix, step = self._filter.image.T, self._filter.step
        columns = [_overlapped(_combine(matrix, column), step, axis=1) for column in zip(*rows, strict=True)]
        # [batch, tiles, phases, tiles, phases, channels]; stacking inserts an axis for the position in a tile
        # after each axis of tiles.
        columns = [[tf.transpose(each, [0, 1, 3, 2, 4, 5]) for each in column] for column in columns]
        return tf.cast(tf.stack([tf.stack(column, axis=2) for column in columns], axis=5), dtype)

    # ---------------------------------------------------------------- the result

    def _result_parts(self, result: tf.Tensor) -> Parts:
        after = [
            tiles * self._filter.step - side for tiles, side in zip(self._tiles, self.result, strict=True)
        ]
        if any(after):
            result = tf.pad(result, [(0, 0), *((0, missing) for missing in after), (0, 0)])
        parts = self._split_result(result, result.dtype)
        return [tf.reshape(part, [-1, result.shape[3]]) for part in parts]

    @_one_loop
    def _split_result(self, padded: tf.Tensor, dtype: tf.DType) -> Parts:
        matrix, step = self._filter.result, self._filter.step
        rows = _combine(matrix, _tiled(padded, 1, step, self._tiles[0], step))
        parts = [
            part for row in rows for part in _combine(matrix, _tiled(row, 2, step, self._tiles[1], step))
        ]
        return [tf.cast(part, dtype) for part in parts]

    def _to_result(self, parts: Parts, shape: tuple[int, ...]) -> tf.Tensor:
        batch, height, width, filters = shape
        parts = [tf.reshape(part, [batch, *self._tiles, filters]) for part in parts]
        sides = (self._filter.step * tiles for tiles in self._tiles)
        rows = self._join_result_rows(parts, tf.float32)
        padded = tf.reshape(self._join_result(rows, parts[0].dtype), [batch, *sides, filters])
        return padded[:, :height, :width]

    @_one_loop
    def _join_result_rows(self, parts: Parts, dtype: tf.DType) -> list[Parts]:
        rows = [_combine(self._filter.result.T, row) for row in _square(parts)]
        return [[tf.cast(each, dtype) for each in row] for row in rows]

    @_one_loop
    def _join_result(self, rows: list[Parts], dtype: tf.DType) -> tf.Tensor:
        columns = [_combine(self._filter.result.T, column) for column in zip(*rows, strict=True)]
        return tf.cast(tf.stack([tf.stack(column, axis=2) for column in columns], axis=4), dtype)

    # ---------------------------------------------------------------- the kernel

    def _kernel_parts(self, kernel: tf.Tensor) -> Parts:
        parts = self._split_kernel(kernel, kernel.dtype)
        return [tf.reshape(part, [-1, kernel.shape[3]]) for part in parts]

    @_one_loop
    def _split_kernel(self, kernel: tf.Tensor, dtype: tf.DType) -> Parts:
        matrix, stride = self._filter.kernel, self.stride
        taps = matrix.shape[1]
        w = tf.reshape(kernel, [taps, stride, taps, stride, *kernel.shape[2:]])
        rows = _combine(matrix, tf.unstack(w))
        parts = [part for row in rows for part in _combine(matrix, tf.unstack(row, axis=1))]
        return [tf.cast(part, dtype) for part in parts]

    def _to_kernel(self, parts: Parts, shape: tuple[int, ...]) -> tf.Tensor:
        parts = [tf.reshape(part, [self.stride, self.stride, *shape[2:]]) for part in parts]
        rows = self._join_kernel_rows(parts, tf.float32)
        return tf.reshape(self._join_kernel(rows, parts[0].dtype), shape)

    @_one_loop
    def _join_kernel_rows(self, parts: Parts, dtype: tf.DType) -> list[Parts]:
        rows = [_combine(self._filter.kernel.T, row) for row in _square(parts)]
        return [[tf.cast(each, dtype) for each in row] for row in rows]

    @_one_loop
    def _join_kernel(self, rows: list[Parts], dtype: tf.DType) -> tf.Tensor:
        columns = [_combine(self._filter.kernel.T, column) for column in zip(*rows, strict=True)]
        # [taps, phases, taps, phases, channels, filters]
        return tf.cast(tf.stack([tf.stack(column) for column in columns], axis=2), dtype)


def _combine(matrix: Matrix, values: Any) -> Parts:
    """Multiplies a matrix of 0, 1 and -1, with a 1 in every row, by a list of tensors, in float32."""
    values = [tf.cast(value, tf.float32) for value in values]
    combined = []
    for row in matrix:
        first, *others = np.argsort(-row, kind="stable")[: np.count_nonzero(row > 0)]
        total = values[first]
        for place in others:
            total += values[place]
        for place in np.flatnonzero(row < 0):
            total -= values[place]
        combined.append(total)
    return combined


def _tiled(x: tf.Tensor, axis: int, step: int, tiles: int, size: int) -> Parts:
    """Returns, for each of ``size`` positions in a tile, the values of all tiles (``step`` apart)."""
    before = (slice(None),) * axis
    return [x[(*before, slice(place, place + step * (tiles - 1) + 1, step))] for place in range(size)]


def _overlapped(values: Parts, step: int, axis: int) -> Parts:
    """Reverses `_tiled`, summing where tiles overlap; one extra tile holds the last tile's overlap."""

    def shifted(value: tf.Tensor, by: int) -> tf.Tensor:
        return tf.pad(value, [(by, 1 - by) if each == axis else (0, 0) for each in range(value.shape.rank)])

    own, reaching = values[:step], values[step:]
    added = [shifted(one, 0) + shifted(previous, 1) for one, previous in zip(own, reaching, strict=False)]
    return added + [shifted(one, 0) for one in own[len(reaching) :]]


def _square(parts: Parts) -> list[Parts]:
    side = math.isqrt(len(parts))
    return [parts[start : start + side] for start in range(0, len(parts), side)]


def _products(one: Parts, other: Parts, **transposed: bool) -> Parts:
    return [tf.matmul(a, b, **transposed) for a, b in zip(one, other, strict=True)]
