"""Tables of all networks by the name in the header of their weights. A new network adds a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from torch import Tensor, nn

from srkit.archs.cdasr import CDASR
from srkit.archs.clipsr import CLIPSR
from srkit.archs.compact import CompactEncoder
from srkit.archs.cria import Cria
from srkit.archs.cria_released import CriaReleased
from srkit.archs.depth import CompactDepth
from srkit.archs.diagnose import DiagnoseNetwork
from srkit.archs.diffusion import DiffusionSR
from srkit.archs.discriminators import PatchGAN, UNetSN
from srkit.archs.dkenet import DKENet
from srkit.archs.edsr import EDSR
from srkit.archs.esrgan import RRDBNet
from srkit.archs.info import ArchInfo
from srkit.archs.judge import JudgeNetwork
from srkit.archs.latent_fusion import LatentFusion
from srkit.archs.nbsr import NBSR
from srkit.archs.reconstructor import Reconstructor
from srkit.archs.srvgg import SRVGG
from srkit.archs.words import WordsNetwork
from srkit.errors import UsageError, check_known


class Network(Protocol):
    """Interface of a network that the engine runs: an `nn.Module` with an `ArchInfo`."""

    info: ArchInfo

    def __call__(self, x: Tensor, **conditions: Tensor) -> Tensor: ...


ARCHS: Mapping[str, Callable[..., nn.Module]] = {
    "cdasr": CDASR,
    "clipsr": CLIPSR,
    "cria": Cria,
    "cria_released": CriaReleased,
    "diffusion": DiffusionSR,
    "edsr": EDSR,
    "esrgan": RRDBNet,
    "nbsr": NBSR,
    "srvgg": SRVGG,
}

ENCODERS: Mapping[str, Callable[..., nn.Module]] = {
    "compact": CompactEncoder,
    "judge": JudgeNetwork,
    "words": WordsNetwork,
}
"""Networks that output features, not images; the task of their weights is not `sr`."""

ESTIMATORS: Mapping[str, Callable[..., nn.Module]] = {
    "depth": CompactDepth,
    "dkenet": DKENet,
}
"""Networks that estimate a value per pixel, not images; the task of their weights is not `sr`."""

CLASSIFIERS: Mapping[str, Callable[..., nn.Module]] = {
    "diagnose": DiagnoseNetwork,
}
"""Networks that classify images; the task of their weights is not `sr`."""

DISCRIMINATORS: Mapping[str, Callable[..., nn.Module]] = {
    "patchgan": PatchGAN,
    "unet_sn": UNetSN,
}
"""Discriminators between real and generated images that output a map of logits; used only in training."""

DEGRADERS: Mapping[str, Callable[..., nn.Module]] = {
    "reconstructor": Reconstructor,
}
"""Networks that make low-resolution images from high-resolution ones; the task of their weights is not `sr`."""


LATENT: Mapping[str, Callable[..., nn.Module]] = {
    "latent_fusion": LatentFusion,
}
"""Networks that run with a frozen latent diffusion model, which is not part of their weights."""


def built_arguments(network: nn.Module, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a network for a header, with the `blocks_between` in use instead of the requested number."""
    if "blocks_between" not in arguments:
        return dict(arguments)
    return {**arguments, "blocks_between": getattr(network, "blocks_between", arguments["blocks_between"])}


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build the network `name` with `arguments`, randomly initialised.

    Raises:
        UsageError: unknown network, or arguments that it does not take.
    """
    known = {**ARCHS, **ENCODERS, **ESTIMATORS, **CLASSIFIERS, **DISCRIMINATORS, **DEGRADERS, **LATENT}
    check_known("network", name, known)
    try:
        return known[name](**arguments)
    except TypeError as error:
        raise UsageError(f"Network '{name}' does not take these arguments: {error}.") from error


def info_of(network: nn.Module) -> ArchInfo:
    """`ArchInfo` of a network."""
    return cast(Network, network).info
