"""The precision that is fastest on this machine's devices."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from pix2pix_tf.config import Precision

_BFLOAT16_TILES = "amx_bf16"
# AVX-512 multiplies bfloat16 faster than float32 on AMD's CPUs (1.6 times, Zen 4), and slower on Intel's
# (0.7 times, Sapphire Rapids without AMX).
_BFLOAT16_VECTORS = {"avx512_bf16", "AuthenticAMD"}
_BFLOAT16_COMPUTE_CAPABILITY = (8, 0)


def resolve_precision(precision: Precision) -> Precision:
    """Resolves 'auto' for this machine; returns other precisions unchanged."""
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if is_bfloat16_fast() else "float32"


def is_bfloat16_fast() -> bool:
    """Whether all GPUs multiply bfloat16 faster than float32; checks the CPU if there are no GPUs.

    CPUs are only checked on Linux, because TensorFlow has no bfloat16 CPU kernels on other systems.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capabilities = (
            tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus
        )
        return all(found is not None and found >= _BFLOAT16_COMPUTE_CAPABILITY for found in capabilities)
    return has_bfloat16_tiles() or _cpu_words() >= _BFLOAT16_VECTORS


def has_bfloat16_tiles() -> bool:
    """Whether the CPU has AMX, which multiplies bfloat16 several times faster than float32."""
    return _BFLOAT16_TILES in _cpu_words()


def _cpu_words() -> frozenset[str]:
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return frozenset()
