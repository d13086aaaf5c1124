"""Spectral normalization (Miyato et al. 2018): kernels divided by their largest singular value."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from pix2pix_tf.networks.fast.convolutions import FlatConvolution, HalvingConvolution

_EPSILON = 1e-12


class _SpectrallyNormalized(layers.Conv2D):
    """Convolves with kernel / σ, where σ is the kernel's largest singular value.

    The kernel is treated as a matrix W [taps times channels, filters]. Its first right singular vector u is a
    non-trainable weight, and each call in training makes one power iteration. σ = ‖W u‖; gradients with
    respect to W also flow through σ, with u constant, as in the paper (section 2.1, appendix A). σ is
    computed in float32 with every dtype policy, from the kernel as rounded by that policy.
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
            self.u.assign(_unit(ops.matmul(ops.transpose(matrix), ops.matmul(matrix, self.u))))
        return super().call(x, training=training)

    @property
    def kernel(self) -> Any:
        """The kernel divided by σ, in the compute dtype."""
        matrix = self._matrix()
        sigma = _norm(ops.matmul(matrix, self.u))
        return ops.cast(ops.reshape(matrix / sigma, super().kernel.shape), self.compute_dtype)

    def _matrix(self) -> Any:
        return ops.cast(ops.reshape(super().kernel, (-1, self.filters)), self.variable_dtype)

    # Keras' convolutions save and load ``self.kernel``, which isn't the weight here.

    def save_own_variables(self, store: Any) -> None:
        layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        layers.Layer.load_own_variables(self, store)


def _norm(vector: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(vector)) + _EPSILON)


def _unit(vector: Any) -> Any:
    return vector / _norm(vector)


class _Convolution(layers.Conv2D):
    def call(self, x: Any, training: bool | None = None) -> Any:
        return super().call(x)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class SpectralConvolution(_SpectrallyNormalized, _Convolution):
    """`keras.layers.Conv2D` with spectral normalization."""


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class SpectralHalvingConvolution(_SpectrallyNormalized, HalvingConvolution):
    """`HalvingConvolution` with spectral normalization."""


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class SpectralFlatConvolution(_SpectrallyNormalized, FlatConvolution):
    """`FlatConvolution` with spectral normalization."""
