"""Reads generators of pytorch-CycleGAN-and-pix2pix (Zhu, Park et al.).

Depth, width and normalization are inferred from the entries of the file. Missing or additional entries are
errors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pix2pix_tf.config import Normalization
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.files import first_line
from pix2pix_tf.formats.translator import read_model

_SUPPORTED = "pytorch-CycleGAN-and-pix2pix (unet_128, unet_256, resnet_6blocks or resnet_9blocks)"
# Image size by the number of residual blocks: our ResNet chooses the number by the size.
_SIZE_FOR_BLOCKS = {6: (128, 128), 9: (256, 256)}
# Supported depths of U-Nets; the image size is 2**levels pixels.
_LEVELS = (6, 7, 8)

State = Mapping[str, np.ndarray]
# For each block: our name, PyTorch's convolution, PyTorch's normalization.
Blocks = list[tuple[str, str, str]]
Kind = Literal["unet_of_pytorch", "resnet_of_pytorch"]


@dataclasses.dataclass(frozen=True)
class Generator:
    """An imported generator; ``description`` is its PyTorch name, ``weights`` have our names."""

    kind: Kind
    description: str
    image_size: tuple[int, int]
    base_filters: int
    norm: Normalization
    input_channels: int
    output_channels: int
    weights: Mapping[str, np.ndarray]


def read_generator(path: Path, eval_mode: bool) -> Generator:
    """Reads a generator from a PyTorch checkpoint."""
    state = _load(path)
    kind: Kind = "unet_of_pytorch" if "model.model.0.weight" in state else "resnet_of_pytorch"
    if kind == "unet_of_pytorch":
        blocks, levels = _unet_blocks(state)
        size = (2**levels, 2**levels) if levels in _LEVELS else None
        name, ends = f"unet_{2**levels}", ("down_1", "up_1")
    elif any(".conv_block." in name for name in state):
        blocks, count = _resnet_blocks(state)
        size = _SIZE_FOR_BLOCKS.get(count)
        name, ends = f"resnet_{count}blocks", ("in", "out")
    else:
        outputs = [len(value) for value in state.values() if value.ndim == 4][-1:]
        is_discriminator = "net.0.weight" in state or ("model.0.weight" in state and outputs == [1])
        found = "a discriminator" if is_discriminator else "another network"
        raise RunError(f"{path}: is {found}, not a generator of {_SUPPORTED}; give a latest_net_G.pth")
    if size is None:
        raise RunError(f"{path}: is a {name}, an unsupported depth; give a generator of {_SUPPORTED}")
    try:
        weights, norm = _weights(state, blocks, ends[1], eval_mode)
    except ValueError as error:
        raise RunError(f"{path}: is a modified {name}: {error}; give one of {_SUPPORTED}") from error
    if kind == "unet_of_pytorch":  # PyTorch's U-Net concatenates the skip connection first
        for level in range(1, levels):
            kernel = weights[f"up_{level}_conv/kernel"]
            weights[f"up_{level}_conv/kernel"] = np.roll(kernel, kernel.shape[3] // 2, axis=3)
    wrong = next((name for name, value in weights.items() if not np.isfinite(value).all()), None)
    if wrong is not None:
        raise RunError(f"{path}: '{wrong}' has values that are not finite; give another checkpoint")
    first, last = (weights[f"{end}_conv/kernel"] for end in ends)
    return Generator(
        kind,
        name,
        size,
        base_filters=first.shape[3],
        norm=norm,
        input_channels=first.shape[2],
        output_channels=last.shape[2 if _is_transposed(ends[1]) else 3],
        weights=weights,
    )


def _load(path: Path) -> State:
    try:
        import torch
    except ImportError:
        raise ConfigError(
            "PyTorch checkpoints can't be read without PyTorch; pip install 'pix2pix-tf[torch]'"
        ) from None
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise RunError(f"{path}: {problem}; give a checkpoint file such as latest_net_G.pth")
    content = io.BytesIO(read_model(path))
    try:
        # Loads only tensors and plain containers: no code from the file runs.
        stored = torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling and unzipping raise many types of errors
        objects: list[str] = []
        with contextlib.suppress(Exception):  # lists names without running code
            objects = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        # PyTorch's own message recommends to run the file's code.
        raise RunError(
            f"{path}: has Python objects ({objects[0]}), which can't be loaded without running code; "
            "save the network's state_dict() instead"
            if objects
            else f"{path}: not a PyTorch checkpoint, or damaged; give a latest_net_G.pth"
        ) from error

    def is_network(found: Any) -> bool:
        return isinstance(found, Mapping) and all(
            isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
        )

    # The network may be nested, as in {"state_dict": ..., "epoch": 200}.
    networks = {"": stored}
    if not is_network(stored) and isinstance(stored, Mapping):
        networks = {name: each for name, each in stored.items() if is_network(each) and each}
    if len(networks) != 1 or not is_network(network := next(iter(networks.values()))):
        several = f"several networks ({', '.join(map(str, networks))})" if len(networks) > 1 else ""
        raise RunError(f"{path}: has {several or 'no network'}; give a latest_net_G.pth")

    def array(name: str, value: Any) -> np.ndarray:
        try:
            return value.detach().to(torch.float32).resolve_neg().numpy()
        except (TypeError, RuntimeError) as error:  # sparse, quantized or without data
            raise RunError(
                f"{path}: '{name}' is not a plain tensor ({first_line(error)}); save the network's "
                "state_dict() in float32"
            ) from error

    # Removes prefixes of compiled networks and of networks on several GPUs.
    return {
        re.sub(r"^(module\.|_orig_mod\.)+", "", name): array(name, value) for name, value in network.items()
    }


def _unet_blocks(state: State) -> tuple[Blocks, int]:
    """Lists a U-Net's blocks. Each level nests a convolution, the next level and a transposed convolution."""
    blocks = [("down_1", "model.model.0", ""), ("up_1", "model.model.3", "")]
    level, inside = 2, "model.model.1.model."
    while f"{inside}5.weight" in state:
        blocks += [(f"down_{level}", f"{inside}1", f"{inside}2"), (f"up_{level}", f"{inside}5", f"{inside}6")]
        level, inside = level + 1, f"{inside}3.model."
    blocks += [(f"down_{level}", f"{inside}1", ""), (f"up_{level}", f"{inside}3", f"{inside}4")]
    return blocks, level


def _resnet_blocks(state: State) -> tuple[Blocks, int]:
    """Lists a ResNet's blocks: input, two downsampling, residual blocks, two upsampling, output."""
    places = {found[1] for name in state if (found := re.match(r"model\.(\d+)\.conv_block\.", name))}
    end = 10 + len(places)
    numbers = {"in": 1, "down_1": 4, "down_2": 7, "up_2": end, "up_1": end + 3, "out": end + 7}
    blocks = [
        (name, f"model.{number}", "" if name == "out" else f"model.{number + 1}")
        for name, number in numbers.items()
    ]
    second = 5 if "model.10.conv_block.5.weight" in state else 6  # after dropout
    for number, place in enumerate(range(10, end), 1):
        for part, inner in enumerate((1, second), 1):
            block = f"model.{place}.conv_block."
            blocks.append((f"residual_{number}_{part}", f"{block}{inner}", f"{block}{inner + 1}"))
    return blocks, len(places)


def _weights(
    state: State, blocks: Blocks, last: str, eval_mode: bool
) -> tuple[dict[str, np.ndarray], Normalization]:
    """Returns the weights in Keras' layout, and the normalization."""
    if any(name.endswith(".conv_block.0.weight") for name in state):
        raise ValueError("its residual blocks use zero padding instead of reflection padding (padding_type)")
    left = dict(state)

    def take(name: str, *shape: int) -> np.ndarray:
        value = left.pop(name, None)
        if value is None or (value.shape != shape if shape else value.ndim != 4):
            found = "missing" if value is None else f"of shape {list(value.shape)}"
            raise ValueError(f"'{name}' is {found}")
        return value

    # Instance normalization has no weights. It is recognized by the convolutions' biases.
    _, convolution, its_norm = next(block for block in blocks if block[2])
    is_instance = f"{convolution}.bias" in state
    is_batch = not is_instance and f"{its_norm}.running_mean" in state
    weights: dict[str, np.ndarray] = {}
    for name, convolution, its_norm in blocks:
        kernel = take(f"{convolution}.weight")
        # [out, in, y, x], transposed [in, out, y, x], become [y, x, in, out] and [y, x, out, in].
        weights[f"{name}_conv/kernel"] = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))
        channels = kernel.shape[1 if _is_transposed(name) else 0]
        zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
        has_bias = is_instance or name == last
        bias = take(f"{convolution}.bias", channels) if has_bias else zeros
        if not its_norm or not (is_instance or is_batch):
            weights[f"{name}_conv/bias"] = bias
            continue
        is_affine = is_batch or f"{its_norm}.weight" in state
        weights[f"{name}_norm/gamma"] = take(f"{its_norm}.weight", channels) if is_affine else ones
        weights[f"{name}_norm/beta"] = take(f"{its_norm}.bias", channels) if is_affine else zeros
        if is_batch or (not is_affine and f"{its_norm}.running_mean" in state):  # PyTorch before 0.4
            left.pop(f"{its_norm}.num_batches_tracked", None)
            weights[f"{name}_norm/moving_mean"] = take(f"{its_norm}.running_mean", channels)
            weights[f"{name}_norm/moving_variance"] = take(f"{its_norm}.running_var", channels)
    if left:
        raise ValueError(f"'{next(iter(left))}' is not part of this network")
    if is_batch and eval_mode:
        return weights, "batch"
    return weights, "instance" if is_batch or is_instance else "none"


def _is_transposed(block: str) -> bool:
    return block.startswith("up_")
