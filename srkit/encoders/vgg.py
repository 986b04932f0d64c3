"""Feature maps of VGG19, as perceptual losses have used them since Johnson et al. 2016."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.encoders.weight_files import FoundWeights, WeightFile, find_weights, load_tensors
from srkit.errors import ResourceError, UsageError, nearest
from srkit.ops.layout import channels_last
from srkit.progress import Progress

NAME = "vgg19"
DEFAULT_TAPS = ("conv5_4",)
"""ESRGAN's (Wang et al. 2018, Section 3.3)."""

_BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
"""Convolutions and their channels between the poolings (Simonyan and Zisserman 2015, Table 1, E)."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as torchvision's weights want
_FILE = WeightFile(
    name="vgg19-dcbb9e9d.pth",
    purpose="VGG19 for perceptual losses",
    source="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    hub_folder="checkpoints",
    licence="BSD-3-Clause (torchvision)",
)


class Vgg19:
    """`PerceptualFeatures`: convolutions of torchvision's VGG19 (IMAGENET1K_V1), each before its ReLU, as they are.

    Args:
        device: where it runs; in fp32, or in the dtype of an autocast around the call.
        taps: which convolutions, from `conv1_1` to `conv5_4`; the network ends at the last one.
        weights: a folder that may hold the file, before the usual places.
        progress: shows a download.

    Raises:
        UsageError: no taps, or unknown ones.
        ResourceError: the weights are not to be had, or are damaged.
    """

    def __init__(
        self,
        device: torch.device,
        taps: Sequence[str] = DEFAULT_TAPS,
        weights: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        _check(taps)
        found = find_weights(_FILE, weights, progress)
        self._taps = [tap for tap in _CONVOLUTIONS if tap in taps]
        self.name = NAME if tuple(self._taps) == DEFAULT_TAPS else f"{NAME}:{','.join(self._taps)}"
        self.version = found.label
        network = _filled(found, self._taps[-1]).requires_grad_(False)
        self._network = channels_last(network, device)
        self._device = device
        self._smallest = 2 ** (int(self._taps[-1][4]) - 1)
        self._mean, self._std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (_MEAN, _STD))

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Maps of the taps, from bottom to top: convB_I gives (N, C, H // 2^(B-1), W // 2^(B-1)).

        Raises:
            UsageError: pictures so small that nothing is left of them: for conv5_4, a side below 16.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or min(pictures.shape[2:]) < self._smallest:
            raise UsageError(
                f"The features '{self.name}' were asked of a tensor of shape {tuple(pictures.shape)}; they take "
                f"(N, 3, H, W), H and W at least {self._smallest}: use larger crops or lower taps."
            )
        x = (pictures.to(self._device, torch.float32) - self._mean) / self._std
        x = x.contiguous(memory_format=torch.channels_last)
        found = []
        for name, layer in self._network.named_children():
            if name.endswith("_1") and name != "conv1_1":
                x = F.max_pool2d(x, 2)
            x = layer(x)
            if name in self._taps:
                found.append(x)
            x = F.relu(x, inplace=name not in self._taps)
        return found


def _convolutions() -> dict[str, int]:
    """Convolutions by name, with their numbers among torchvision's `features` (which count ReLUs and poolings)."""
    numbers, at = {}, 0
    for block, (count, _) in enumerate(_BLOCKS, start=1):
        for i in range(1, count + 1):
            numbers[f"conv{block}_{i}"] = at
            at += 2
        at += 1
    return numbers


_CONVOLUTIONS = _convolutions()


def _check(taps: Sequence[str]) -> None:
    if not taps:
        raise UsageError(f"'{NAME}:' names no convolution; name one, for example {NAME}:conv5_4.")
    for tap in taps:
        if tap not in _CONVOLUTIONS:
            raise UsageError(
                f"VGG19 has no convolution '{tap}'; it has {', '.join(_CONVOLUTIONS)}.{nearest(tap, _CONVOLUTIONS)}"
            )


def _filled(found: FoundWeights, last: str) -> nn.Module:
    """The convolutions up to `last`, under their names, with the weights of torchvision's file."""
    tensors = load_tensors(found)
    network = nn.Module()
    before = 3
    for name, number in _CONVOLUTIONS.items():
        width = _BLOCKS[int(name[4]) - 1][1]
        layer = nn.Conv2d(before, width, 3, padding=1, device="meta").to_empty(device="cpu")
        try:
            layer.load_state_dict({part: tensors[f"features.{number}.{part}"] for part in ("weight", "bias")})
        except (KeyError, RuntimeError) as error:
            raise ResourceError(f"'{found.path}' holds no VGG19 of torchvision's; fetch it again.") from error
        network.add_module(name, layer)
        if name == last:
            break
        before = width
    return network
