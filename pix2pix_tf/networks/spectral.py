"""Convolutions with spectral normalization (Miyato et al. 2018)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from pix2pix_tf.networks.fast.convolutions import DownsamplingConvolution, FlatConvolution


class _SpectrallyNormalized(layers.Conv2D):
    """Divides its kernel by the kernel's largest singular value σ.

    The kernel is treated as a matrix W [taps times channels, filters]. Its first right singular vector u is a
    non-trainable weight. Each call in training makes one power iteration. σ = ‖W u‖. Gradients with respect
    to W also flow through σ, with constant u, as in the paper (section 2.1, appendix A). σ is computed in
    float32 with every dtype policy, from the kernel as rounded by that policy.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        # An orthogonal matrix with one column is a unit vector.
        self.u = self.add_weight(
            name="u", shape=(self.filters, 1), initializer="orthogonal", trainable=False, autocast=False
        )

    def call(self, x: Any, training: bool | None = None) -> Any:
        if training:
            matrix = ops.stop_gradient(self._matrix())
            u = ops.matmul(ops.transpose(matrix), ops.matmul(matrix, self.u))
            self.u.assign(u / _norm(u))
        return super().call(x, training=training)

    @property
    def kernel(self) -> Any:
        """The kernel divided by σ, in the compute dtype."""
        matrix = self._matrix()
        sigma = _norm(ops.matmul(matrix, self.u))
        return ops.cast(ops.reshape(matrix / sigma, super().kernel.shape), self.compute_dtype)

    def _matrix(self) -> Any:
        return ops.cast(ops.reshape(super().kernel, (-1, self.filters)), self.variable_dtype)

    # Keras' convolutions save and load ``self.kernel``, but here the weight is ``super().kernel``.

    def save_own_variables(self, store: Any) -> None:
        layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        layers.Layer.load_own_variables(self, store)


def _norm(vector: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(vector)) + 1e-12)


class _Convolution(layers.Conv2D):
    def call(self, x: Any, training: bool | None = None) -> Any:
        return super().call(x)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class SpectralConvolution(_SpectrallyNormalized, _Convolution):
    """`keras.layers.Conv2D` with spectral normalization."""


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class SpectralDownsamplingConvolution(_SpectrallyNormalized, DownsamplingConvolution):
    """`DownsamplingConvolution` with spectral normalization."""


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class SpectralFlatConvolution(_SpectrallyNormalized, FlatConvolution):
    """`FlatConvolution` with spectral normalization."""
