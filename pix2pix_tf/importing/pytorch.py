"""Reads the generators that pytorch-CycleGAN-and-pix2pix saves (Zhu, Park et al.).

Their modules have numbers for names; what stands where follows from numbers and shapes alone, so that a file
needs no word beside it: how deep and wide the network is, how it normalises, whether it has dropout.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from pix2pix_tf.config import Normalization
from pix2pix_tf.errors import ConfigError, RunError, SystemFault

_BLOCKS_AT = {6: (128, 128), 9: (256, 256)}  # residual blocks, and a size of images that has so many
_LEVELS = (6, 7, 8)  # of a U-Net; images of 2**levels pixels have so many

State = Mapping[str, np.ndarray]
Kind = Literal["unet_of_pytorch", "resnet_of_pytorch"]


@dataclasses.dataclass(frozen=True)
class Generator:
    """A generator as read.

    Args:
        kind: what `pix2pix_tf.networks` builds it by.
        description: what its authors call it.
        image_size: a size of images that it has its depth for.
        base_filters: channels of its first convolution.
        norm: how it normalises.
        input_channels: of the images it takes.
        output_channels: of those it paints.
        weights: float32, by the names that the built network has.
    """

    kind: Kind
    description: str
    image_size: tuple[int, int]
    base_filters: int
    norm: Normalization
    input_channels: int
    output_channels: int
    weights: Mapping[str, np.ndarray]


def read_generator(path: Path, eval_mode: bool) -> Generator:
    """Reads a generator's checkpoint.

    Args:
        path: the file.
        eval_mode: see `pix2pix_tf.importing.import_checkpoint`.

    Raises:
        RunError: it holds no such generator, or is damaged.
        ConfigError: PyTorch isn't installed.
        SystemFault: it can't be read.
    """
    state = _load(path)
    norm = _normalization(state, eval_mode)
    if "model.model.0.weight" in state:
        generator = _unet(state, norm)
    elif any(".conv_block." in name for name in state):
        generator = _resnet(state, norm)
    else:
        generator = None
    if generator is None:
        raise RunError(
            f"{path}: no generator of pytorch-CycleGAN-and-pix2pix (unet_128, unet_256, resnet_6blocks or "
            "resnet_9blocks); give its latest_net_G.pth"
        )
    wrong = next((name for name, value in generator.weights.items() if not np.isfinite(value).all()), None)
    if wrong is not None:
        raise RunError(f"{path}: '{wrong}' holds values that are no finite numbers; give another checkpoint")
    return generator


def _load(path: Path) -> State:
    try:
        import torch
    except ImportError:
        raise ConfigError(
            "reading PyTorch's checkpoints needs PyTorch; pip install 'pix2pix-tf[torch]'"
        ) from None
    try:
        with path.open("rb") as file:
            # Tensors and plain containers only: no code that a file names is called.
            stored = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; check the path") from None
    except OSError as error:
        if path.is_dir():
            raise RunError(f"{path}: a folder; give a checkpoint's file, latest_net_G.pth") from None
        raise SystemFault(f"{path}: can't be read ({error.strerror or error})") from None
    except Exception as error:  # unpickling and zip files fail in many ways
        # PyTorch's own words tell how to run a file's code all the same.
        raise RunError(
            f"{path}: no checkpoint of PyTorch, a damaged one, or one with more than weights in it; give a "
            "latest_net_G.pth"
        ) from error
    if not isinstance(stored, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in stored.items()
    ):
        raise RunError(f"{path}: holds more than a network's weights; give a latest_net_G.pth")
    # As networks on several GPUs are saved.
    return {name.removeprefix("module."): value.to(torch.float32).numpy() for name, value in stored.items()}


def _normalization(state: State, eval_mode: bool) -> Normalization:
    """Tells how a generator normalises, which instance normalisation leaves no trace of but for biases.

    Their networks give convolutions a bias where instance normalisation follows, which makes it useless.
    """
    convolutions = [name for name, value in state.items() if name.endswith("weight") and value.ndim == 4]
    # The outermost of either network has a bias in any case.
    biases = sum(name.replace("weight", "bias") in state for name in convolutions)
    has_stored = any(name.endswith("running_mean") for name in state)
    if has_stored and biases <= 1:
        return "batch" if eval_mode else "instance"
    return "instance" if biases > 1 else "none"


def _unet(state: State, norm: Normalization) -> Generator | None:
    """Walks into the nested blocks: each a convolution, the block inside and a transposed convolution."""
    down, up = [("model.model.0", "")], [("model.model.3", "")]
    inside = "model.model.1.model."
    while f"{inside}5.weight" in state:
        down.append((f"{inside}1", f"{inside}2"))
        up.append((f"{inside}5", f"{inside}6"))
        inside += "3.model."
    down.append((f"{inside}1", ""))
    up.append((f"{inside}3", f"{inside}4"))
    if len(down) not in _LEVELS:
        return None
    size = 2 ** len(down)
    weights: dict[str, np.ndarray] = {}
    for level, ((halving, its_norm), (doubling, norm_of_doubling)) in enumerate(
        zip(down, up, strict=True), 1
    ):
        _take(weights, f"down_{level}", state, halving, its_norm, norm)
        _take(weights, f"up_{level}", state, doubling, norm_of_doubling, norm)
        kernel = weights.get(f"up_{level}_conv/kernel")
        if (
            kernel is not None and level < len(down) and kernel.shape[3] % 2 == 0
        ):  # they concatenate what is skipped before what is decoded
            weights[f"up_{level}_conv/kernel"] = np.concatenate(np.split(kernel, 2, axis=3)[::-1], axis=3)
    return _generator("unet_of_pytorch", f"unet_{size}", (size, size), norm, weights, ("down_1", "up_1"))


def _resnet(state: State, norm: Normalization) -> Generator | None:
    """Takes the convolutions in their order: in, two that halve, residual blocks, two that double, out."""
    outside = list(_convolutions(state, r"model\.(\d+)"))
    names = ("in", "down_1", "down_2", "up_2", "up_1", "out")
    places = {int(found[1]) for name in state if (found := re.match(r"model\.(\d+)\.conv_block\.", name))}
    if len(outside) != len(names) or len(places) not in _BLOCKS_AT:
        return None
    weights: dict[str, np.ndarray] = {}
    for name, place in zip(names, outside, strict=True):
        its_norm = "" if name == "out" else f"model.{place + 1}"
        _take(weights, name, state, f"model.{place}", its_norm, norm)
    for number, place in enumerate(sorted(places), 1):
        block = f"model.{place}.conv_block"
        for part, inner in enumerate(_convolutions(state, rf"model\.{place}\.conv_block\.(\d+)"), 1):
            its_norm = f"{block}.{inner + 1}"
            _take(weights, f"residual_{number}_{part}", state, f"{block}.{inner}", its_norm, norm)
    description, size = f"resnet_{len(places)}blocks", _BLOCKS_AT[len(places)]
    return _generator("resnet_of_pytorch", description, size, norm, weights, ("in", "out"))


def _convolutions(state: State, pattern: str) -> Iterator[int]:
    """Yields the numbers of the convolutions in a sequence of modules, in order."""
    found = (
        (int(match[1]), value)
        for name, value in state.items()
        if (match := re.fullmatch(rf"{pattern}\.weight", name))
    )
    yield from sorted(number for number, value in found if value.ndim == 4)


def _take(
    weights: dict[str, np.ndarray],
    name: str,
    state: State,
    convolution: str,
    its_norm: str,
    norm: Normalization,
) -> None:
    """Adds a convolution, and its normalisation, to the weights, as Keras has them.

    Args:
        weights: is added to.
        name: of the block in the network here.
        state: theirs.
        convolution: the module's name.
        its_norm: that of the normalisation behind it; empty where there is none.
        norm: which one.
    """
    kernel = state.get(f"{convolution}.weight")
    if kernel is None or kernel.ndim != 4:
        return  # it is missed where the network is built
    # [out, in, y, x], transposed [in, out, y, x], become [y, x, in, out] and [y, x, out, in].
    weights[f"{name}_conv/kernel"] = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))
    channels = kernel.shape[1 if _is_transposed(name) else 0]
    zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    if not its_norm or norm == "none":
        weights[f"{name}_conv/bias"] = state.get(f"{convolution}.bias", zeros)
        return
    # A bias before a normalisation is taken away by it.
    weights[f"{name}_norm/gamma"] = state.get(f"{its_norm}.weight", ones)
    weights[f"{name}_norm/beta"] = state.get(f"{its_norm}.bias", zeros)
    if norm == "batch":
        weights[f"{name}_norm/moving_mean"] = state.get(f"{its_norm}.running_mean", zeros)
        weights[f"{name}_norm/moving_variance"] = state.get(f"{its_norm}.running_var", ones)


def _generator(
    kind: Kind,
    description: str,
    image_size: tuple[int, int],
    norm: Normalization,
    weights: Mapping[str, np.ndarray],
    ends: tuple[str, str],
) -> Generator | None:
    """Returns what was read, with the width and the channels that the convolutions at both ends tell."""
    first, last = (weights.get(f"{name}_conv/kernel") for name in ends)
    if first is None or last is None:
        return None
    return Generator(
        kind,
        description,
        image_size,
        base_filters=first.shape[3],
        norm=norm,
        input_channels=first.shape[2],
        output_channels=last.shape[2 if _is_transposed(ends[1]) else 3],
        weights=weights,
    )


def _is_transposed(block: str) -> bool:
    return block.startswith("up_")
