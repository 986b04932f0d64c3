"""Perceptual distance of images by features of a trained network."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srkit.encoders.weight_files import FoundWeights, WeightFile, find_weights, is_here, load_tensors
from srkit.errors import ResourceError
from srkit.progress import Progress

LPIPS_SMALLEST = 32
"""Shortest side that AlexNet's strides support."""
_NET, _VERSION = "alex", "0.1"
_LENGTH = 1e-10  # lower bound of the norm of a position's features
_TRUNK = WeightFile(
    name="alexnet-owt-7be5be79.pth",
    purpose="AlexNet, the trunk of LPIPS",
    source="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    hub_folder="checkpoints",
    licence="BSD-3-Clause (torchvision)",
)


class Lpips:
    """Learned perceptual image patch similarity (Zhang et al. 2018, CVPR): net alex, version 0.1; lower is closer.

    The linear layers are part of the `lpips` package; the trunk is torchvision's AlexNet, found or downloaded.

    Args:
        device: device of the network, which runs in fp32.
        weights: folder that is searched first for the trunk.

    Raises:
        ResourceError: the trunk is unavailable or damaged.
    """

    def __init__(
        self, device: torch.device, weights: Path | None = None, progress: Progress | None = None
    ) -> None:
        found = find_weights(_TRUNK, weights, progress)
        import lpips

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it builds its trunk with a deprecated argument of torchvision
            network = lpips.LPIPS(net=_NET, version=_VERSION, pnet_rand=True, verbose=False)
        _fill_trunk(network.net, found)
        self._network: Any = network.to(device).requires_grad_(False)
        self._device = device
        self.version = f"lpips {version('lpips')}, net {_NET}, v{_VERSION}, {found.label}"

    @torch.inference_mode()
    def distance(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Distances (N,) of images (N, 3, H, W) in [0, 1], sides at least 32; 0 for identical images."""
        sr, hr = (x.to(self._device, torch.float32) for x in (sr, hr))
        # TF32 would change the third decimal.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            distance: Tensor = self._network(sr, hr, normalize=True)
        return distance.flatten()

    def layers(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """Maps of the five layers (N, 1, h_i, w_i), whose means sum to the distance; differentiable.

        Args:
            a, b: (N, 3, H, W), in [0, 1], sides at least 32.
        """
        network = self._network
        units = [
            [_unit(maps) for maps in network.net(network.scaling_layer(2 * x.to(self._device).float() - 1))]
            for x in (a, b)
        ]
        return [linear((x - y).square()).float() for linear, x, y in zip(network.lins, *units, strict=True)]


def lpips_is_here(weights: Path | None = None) -> bool:
    """Return whether LPIPS works without downloads: the package and its trunk are on this machine.

    Raises:
        UsageError: `weights` is no folder.
    """
    return find_spec("lpips") is not None and is_here(_TRUNK, weights)


def _unit(maps: Tensor) -> Tensor:
    """Normalise the channels to unit length. Unlike in the package, the gradient exists where all of them are 0."""
    maps = maps.float()
    return maps * torch.rsqrt(maps.square().sum(1, keepdim=True) + _LENGTH**2)


def _fill_trunk(trunk: torch.nn.Module, found: FoundWeights) -> None:
    """Load `features.N.weight` of torchvision's file into `sliceK.N.weight` of the package's trunk."""
    tensors = load_tensors(found)
    try:
        state = {name: tensors["features." + name.partition(".")[2]] for name in trunk.state_dict()}
        trunk.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise ResourceError(f"'{found.path}' holds no AlexNet of torchvision's; fetch it again.") from error
