"""One small case for each network and for each of its variants that computes differently.

Every test in test_networks.py runs on every case; a new network adds a line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.diffusion import DiffusionSR
from srkit.archs.info import ArchInfo
from srkit.archs.table import build, info_of
from srkit.conditioning.values import Condition, Coordinates, Noise
from srkit.degradation.kernels import gaussian_map
from srkit.degradation.pca import encode, kernel_basis, sample_covariance
from srkit.ops.geometry import position_grid

Conditions = dict[str, Tensor]


def _none(_count: int, _height: int, _width: int) -> Conditions:
    return {}


def _semantic(count: int, height: int, width: int) -> Conditions:
    """A vector of 6, tokens of 5 channels on a grid of 2 x 3, and positions; the same for every image."""
    generator = torch.Generator().manual_seed(0)
    vector = F.normalize(torch.randn(1, 6, generator=generator))
    return {
        "semantic": vector.expand(count, -1),
        "tokens": torch.randn(1, 5, 2, 3, generator=generator).expand(count, -1, -1, -1),
        "position": position_grid(height, width).expand(count, -1, -1, -1),
    }


def _codes(count: int, height: int, width: int) -> Conditions:
    """Codes of 4 numbers, others at every pixel; the same for every image."""
    generator = torch.Generator().manual_seed(0)
    return {"codes": torch.randn(1, 4, height, width, generator=generator).expand(count, -1, -1, -1)}


def _fused(scale: int) -> Callable[[int, int, int], Conditions]:
    """Codes of Gaussian kernels, depth and noise; the same for every image."""

    def given(count: int, height: int, width: int) -> Conditions:
        generator = torch.Generator().manual_seed(1)
        covariance = sample_covariance(scale, height * width, generator).T.view(1, 3, height, width)
        codes = encode(gaussian_map(covariance.float(), scale), kernel_basis(scale, 4))
        depth = torch.rand(1, 1, height, width, generator=generator)
        noise = (
            Noise(5, scale)
            .part((height, width), slice(0, height), slice(0, width), torch.device("cpu"))
            .value
        )
        given = {"codes": codes, "depth": depth, "noise": noise}
        return {name: value.expand(count, -1, -1, -1) for name, value in given.items()}

    return given


def _text(count: int, height: int, width: int) -> Conditions:
    """A guide of 3 channels, a sentence of 6, three words of 5 channels, one of them missing, and positions."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(1, 3, 5, generator=generator)
    words[:, 2] = 0
    return {
        "guide": torch.randn(1, 3, 4, 4, generator=generator).expand(count, -1, -1, -1),
        "sentence": torch.randn(1, 6, generator=generator).expand(count, -1),
        "words": words.expand(count, -1, -1),
        "position": position_grid(height, width).expand(count, -1, -1, -1),
    }


@dataclass(frozen=True)
class Case:
    """A network by its name in `srkit.archs.table`, with arguments that keep it tiny."""

    arch: str
    arguments: dict[str, Any]
    given: Callable[[int, int, int], Conditions] = _none
    """(N, h, w) of a batch to what it can be conditioned on."""
    apart: tuple[str, ...] = ()
    """Parts that only make conditions, once for each image; their own tests are elsewhere."""

    def build(self, seed: int = 0) -> nn.Module:
        """The network, in evaluation mode; the same for the same seed.

        What a network leaves at zero for training to begin with is given values: else nothing behind it would count.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build(self.arch, self.arguments).eval()
            for parameter in network.parameters():
                if not parameter.any():
                    torch.nn.init.normal_(parameter, std=0.05)
            if isinstance(network, DiffusionSR):  # which blurs with what codes stand for
                network.basis.copy_(kernel_basis(network.scale, len(network.basis)))
        return network

    def conditions(self, count: int, height: int, width: int) -> Conditions:
        """What the network takes beside a batch of that size."""
        given = self.given(count, height, width)
        return {name: given[name] for name in self.info.conditioning}

    def engine_conditions(self, height: int, width: int) -> dict[str, Condition | Coordinates | Noise]:
        """The same for the engine and an image of that size; it makes positions and noise itself."""
        known = self.conditions(1, height, width)
        found = {name: Condition(value, name in ("codes", "depth")) for name, value in known.items()}
        made = {"position": Coordinates(), "noise": Noise(5, self.info.scale)}
        return {name: made.get(name, found[name]) for name in found}

    @property
    def info(self) -> ArchInfo:
        return info_of(self.build())


def _cdasr(**changes: Any) -> Case:
    arguments = {
        "scale": 4,
        "features": 8,
        "blocks": 1,
        "upsampler": "single",
        "semantic_dim": 6,
        "token_channels": 5,
        "hidden": 16,
        "aligned": 12,
        "token_features": 4,
        "token_grid": 2,
    }
    return Case("cdasr", arguments | changes, _semantic)


def _clipsr(**changes: Any) -> Case:
    arguments = {
        "scale": 4,
        "features": 8,
        "blocks": 1,
        "stages": [12, 10],
        "sentence_dim": 6,
        "word_channels": 5,
        "map_channels": 8,
        "widths": [4, 5, 6],
        "prompts": 3,
        "guide_features": 3,
        "reading_blocks": 1,
        "heads": 2,
        "side": 16,
    }
    return Case("clipsr", arguments | changes, _text, ("guidance",))


def _nbsr(**changes: Any) -> Case:
    arguments = {"scale": 4, "features": 8, "blocks": 1, "code": 4, "growth": 4, "hidden": 6}
    return Case("nbsr", arguments | changes, _codes)


def _diffusion(**changes: Any) -> Case:
    nbsr = {"features": 8, "blocks": 1, "trunk": "edsr", "code": 4, "sft_size": 1, "hidden": 6}
    arguments = {
        "scale": 4,
        "nbsr": nbsr,
        "widths": [6, 8],
        "blocks": 1,
        "width": 5,
        "hidden": 7,
        "steps": 1,
    }
    case = arguments | changes
    return Case("diffusion", case, _fused(case["scale"]))


def _cria(**changes: Any) -> Case:
    arguments = {"scale": 4, "features": 8, "blocks": 1, "growth": 4, "width": 6, "mask_width": 5}
    return Case("cria", arguments | changes)


def _esrgan(**changes: Any) -> Case:
    return Case("esrgan", {"scale": 4, "features": 8, "blocks": 1, "growth": 4} | changes)


CASES = {
    "diffusion-x2": _diffusion(scale=2, fusion="concat"),
    "diffusion-x4": _diffusion(widths=[6, 8, 4]),
    "diffusion-x4-batch": _diffusion(fusion="batch", modalities=["kernels", "lr"], consistent=False),
    "edsr-x2-single": Case("edsr", {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}),
    "edsr-x3": Case("edsr", {"scale": 3, "features": 8, "blocks": 1, "residual_scale": 0.5}),
    "edsr-x4": Case("edsr", {"scale": 4, "features": 8, "blocks": 2}),
    "edsr-x4-single": Case("edsr", {"scale": 4, "features": 8, "blocks": 2, "upsampler": "single"}),
    "edsr-x8": Case("edsr", {"scale": 8, "features": 4, "blocks": 1}),
    "cdasr-x2-constant": _cdasr(scale=2, condition="constant"),
    "cdasr-x3": _cdasr(scale=3, upsampler="edsr"),
    "cdasr-x4": _cdasr(),
    "cdasr-x4-global": _cdasr(spatial="global"),
    "cdasr-x4-global-constant": _cdasr(spatial="global", condition="constant"),
    "cdasr-x8": _cdasr(scale=8, features=4, upsampler="edsr", blocks_between=1),
    "clipsr-x4": _clipsr(),
    "clipsr-x4-bag": _clipsr(text="bag", text_norm="softmax"),
    "clipsr-x4-constant": _clipsr(text="constant", fused_skips=False, mapped=False),
    "clipsr-x8": _clipsr(scale=8, stages=[12, 10, 8]),
    "clipsr-x8-glyphs": _clipsr(scale=8, stages=[12, 10, 8], glyphs=6),
    "clipsr-x16-unread": _clipsr(scale=16, stages=[12, 10, 8, 8], readings=0),
    "cria-x3": _cria(scale=3),
    "cria-x4": _cria(),
    "cria-x4-single": _cria(upsampler="single"),
    "cria-x4-edsr-trunk": _cria(trunk="edsr", blocks=2, upsampler="single"),
    "cria-released-x1": Case("cria_released", {"scale": 1, "features": 6, "blocks": 1, "growth": 4}),
    "cria-released-x4": Case("cria_released", {"scale": 4, "features": 6, "blocks": 1, "growth": 4}),
    "cria-x8-edsr": _cria(scale=8, upsampler="edsr"),
    "esrgan-x1": _esrgan(scale=1, skip=True),
    "esrgan-x2": _esrgan(scale=2),
    "esrgan-x4": _esrgan(),
    "esrgan-x4-skip": _esrgan(skip=True),
    "nbsr-x2": _nbsr(scale=2),
    "nbsr-x3-edsr": _nbsr(scale=3, trunk="edsr", blocks=3, every=2, upsampler="edsr"),
    "nbsr-x4-edsr-1x1": _nbsr(trunk="edsr", blocks=2, sft_size=1),
    "srvgg-x3": Case("srvgg", {"scale": 3, "features": 8, "convs": 3}),
    "srvgg-x4": Case("srvgg", {"scale": 4, "features": 8, "convs": 2, "slope": 0.0}),
}
