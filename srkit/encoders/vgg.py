"""Feature maps of VGG16 and VGG19, as used for perceptual losses since Johnson et al. 2016."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.encoders.weight_files import FoundWeights, WeightFile, find_weights, load_tensors
from srkit.errors import ResourceError, UsageError, nearest
from srkit.ops.layout import channels_last
from srkit.progress import Progress


@dataclass(frozen=True)
class _Kind:
    """Network of Simonyan and Zisserman 2015."""

    blocks: tuple[int, ...]
    """Number of convolutions between the poolings (Table 1)."""
    default: str
    """Default tap."""
    file: WeightFile

    def convolutions(self) -> dict[str, int]:
        """Convolutions by name, with their indices in torchvision's `features` (which include ReLUs and poolings)."""
        numbers, at = {}, 0
        for block, count in enumerate(self.blocks, start=1):
            for i in range(1, count + 1):
                numbers[f"conv{block}_{i}"] = at
                at += 2
            at += 1
        return numbers


def _published(name: str, purpose: str) -> WeightFile:
    return WeightFile(
        name=name,
        purpose=purpose,
        source=f"https://download.pytorch.org/models/{name}",
        hub_folder="checkpoints",
        licence="BSD-3-Clause (torchvision)",
    )


_KINDS = {
    "vgg19": _Kind(
        (2, 2, 4, 4, 4), "conv5_4", _published("vgg19-dcbb9e9d.pth", "VGG19 for perceptual losses")
    ),
    "vgg16": _Kind(
        (2, 2, 3, 3, 3), "conv5_3", _published("vgg16-397923af.pth", "VGG16 for perceptual losses")
    ),
}
_WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the blocks."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as torchvision's weights require


class Vgg:
    """`PerceptualFeatures`: convolutions of torchvision's VGG16 or VGG19 (IMAGENET1K_V1), each before its ReLU.

    Args:
        device: device of the network, which runs in fp32, or in the dtype of a surrounding autocast.
        kind: `vgg19` or `vgg16`.
        taps: names of the convolutions, from `conv1_1` on; the network ends at the last of them. None: the network's
            last, as in ESRGAN (Wang et al. 2018, Section 3.3).
        weights: folder that is searched first for the file.
        progress: display of downloads.

    Raises:
        UsageError: no taps, or unknown taps.
        ResourceError: the weights are unavailable or damaged.
    """

    def __init__(
        self,
        device: torch.device,
        kind: str = "vgg19",
        taps: Sequence[str] | None = None,
        weights: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        made = _KINDS[kind]
        convolutions = made.convolutions()
        taps = (made.default,) if taps is None else taps
        _check(kind, taps, convolutions)
        found = find_weights(made.file, weights, progress)
        self._taps = [tap for tap in convolutions if tap in taps]
        self.name = kind if self._taps == [made.default] else f"{kind}:{','.join(self._taps)}"
        self.version = found.label
        network = _filled(found, kind, convolutions, self._taps[-1]).requires_grad_(False)
        self._network = channels_last(network, device)
        self._device = device
        self._smallest = 2 ** (int(self._taps[-1][4]) - 1)
        self._mean, self._std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (_MEAN, _STD))

    def features(self, images: Tensor) -> list[Tensor]:
        """Maps of the taps, from bottom to top: convB_I gives (N, C, H // 2^(B-1), W // 2^(B-1)).

        Raises:
            UsageError: images too small for the poolings: for conv5_4, a side below 16.
        """
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < self._smallest:
            raise UsageError(
                f"The features '{self.name}' were asked of a tensor of shape {tuple(images.shape)}; they take "
                f"(N, 3, H, W), H and W at least {self._smallest}: use larger crops or lower taps."
            )
        x = (images.to(self._device, torch.float32) - self._mean) / self._std
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


def _check(kind: str, taps: Sequence[str], convolutions: Mapping[str, int]) -> None:
    if not taps:
        example = f"{kind}:{_KINDS[kind].default}"
        raise UsageError(f"'{kind}:' names no convolution; name one, for example {example}.")
    for tap in taps:
        if tap not in convolutions:
            raise UsageError(
                f"{kind.upper()} has no convolution '{tap}'; it has {', '.join(convolutions)}."
                f"{nearest(tap, convolutions)}"
            )


def _filled(found: FoundWeights, kind: str, convolutions: Mapping[str, int], last: str) -> nn.Module:
    """Convolutions up to `last`, by name, with the weights of torchvision's file."""
    tensors = load_tensors(found)
    network = nn.Module()
    before = 3
    for name, number in convolutions.items():
        width = _WIDTHS[int(name[4]) - 1]
        layer = nn.Conv2d(before, width, 3, padding=1, device="meta").to_empty(device="cpu")
        try:
            layer.load_state_dict({part: tensors[f"features.{number}.{part}"] for part in ("weight", "bias")})
        except (KeyError, RuntimeError) as error:
            raise ResourceError(
                f"'{found.path}' holds no {kind.upper()} of torchvision's; fetch it again."
            ) from error
        network.add_module(name, layer)
        if name == last:
            break
        before = width
    return network
