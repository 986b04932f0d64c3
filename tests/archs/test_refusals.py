"""Constructor arguments and inputs that networks refuse, and what the error names."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from srkit.archs.nbsr import NBSR
from srkit.archs.reconstructor import Reconstructor
from srkit.archs.table import DISCRIMINATORS, build
from srkit.errors import UsageError
from tests.archs.cases import CASES
from tests.helpers import refused

USUAL = {"cria": CASES["cria-x4"].arguments, "edsr": {"scale": 2}}
ARGUMENTS: list[tuple[str, dict[str, Any], tuple[object, ...]]] = [
    ("esdr", {}, ("esdr", "edsr", "cdasr")),
    ("edsr", {"scale": 5}, ("EDSR", 5, 2, 3, 4, 8, 16)),
    ("edsr", {"features": 0}, ("EDSR", 0)),
    ("edsr", {"blocks": -1}, ("EDSR", -1)),
    ("edsr", {"upsampler": "singel"}, ("singel", "edsr", "single")),
    ("edsr", {"colour": 3}, ("edsr", "colour")),
    ("edsr", {"features": "many"}, ("edsr",)),
    ("cdasr", {"scale": 5}, ("CDASR", 5, 2, 3, 4, 8, 16)),
    ("cdasr", {"token_features": 0}, ("CDASR", 0)),
    ("cdasr", {"blocks": -1}, ("CDASR", -1)),
    ("cdasr", {"spatial": "token"}, ("token", "tokens", "global")),
    ("cdasr", {"condition": "none"}, ("none", "encoder", "constant")),
    ("cdasr", {"colour": 3}, ("cdasr", "colour")),
    ("cria", {"scale": 5}, (5, 2, 3, 4, 8)),
    ("cria", {"mask_width": 0}, (0,)),
    ("cria", {"trunk": "esdr"}, ("esdr", "rrdb", "edsr")),
    ("cria", {"upsampler": "neares"}, ("neares", "nearest")),
    ("esrgan", {"scale": 3}, ("RRDBNet", 3, 4, 2, 1)),
    ("esrgan", {"features": 0}, ("RRDBNet", 0)),
    ("esrgan", {"blocks": 0}, ("RRDBNet", 0)),
    ("esrgan", {"growth": 0}, ("RRDBNet", 0)),
    ("nbsr", {"scale": 1}, ("NBSR", 1, 2, 3, 4)),
    ("nbsr", {"consistency": -1}, ("NBSR", -1)),
    ("nbsr", {"polish": 2}, ("NBSR", 0, 2)),
    ("nbsr", {"blocks": 0}, ("NBSR", 0)),
    ("nbsr", {"sft_size": 2}, ("NBSR", "sft_size", 2)),
    ("nbsr", {"trunk": "esdr"}, ("esdr", "edsr")),
    ("diffusion", {"scale": 3}, (3, 2, 4)),
    ("diffusion", {"widths": [8, 0]}, (0,)),
    ("diffusion", {"modalities": ["kernels", "dept"]}, ("kernels", "dept", "lr")),
    ("diffusion", {"modalities": ["lr", "lr"]}, ("lr",)),
    ("diffusion", {"base": "edsr"}, ("edsr", "nbsr", "bicubic")),
    ("diffusion", {"fusion": "afm"}, ("afm", "amf", "batch", "concat")),
    ("diffusion", {"steps": 0}, (0, 1, 8)),
    ("diffusion", {"steps": 9}, (9, 1, 8)),
    ("dkenet", {"scale": 8}, ("DKENet", 8, 2, 3, 4)),
    ("dkenet", {"features": 6}, ("DKENet", 6)),
    ("dkenet", {"depth_features": 0}, ("DKENet", 0)),
    ("dkenet", {"energies": [3, 0]}, ("DKENet", "energies", "[3, 0]")),
    ("depth", {"widths": [8]}, ("widths", "[8]")),
    ("depth", {"side": 0}, ("side", 0)),
    ("compact", {"widths": [8, 8], "blocks": [1]}, ("widths", "[8, 8]", "blocks", "[1]")),
    ("compact", {"widths": [], "blocks": []}, ("widths", "[]")),
    ("compact", {"widths": [8], "blocks": [-1]}, ("blocks", "[-1]")),
    ("compact", {"widths": [8], "blocks": [1], "dim": 0}, ("dim", 0)),
    ("judge", {"widths": []}, ("widths", "[]")),
    ("judge", {"widths": [8, 0]}, ("widths", "[8, 0]")),
    ("reconstructor", {"scale": 3}, (3, 2, 4)),
    ("reconstructor", {"features": 0}, (0,)),
    ("reconstructor", {"blocks": -1}, (-1,)),
    ("reconstructor", {"modulation": "stylgan2"}, ("stylgan2", "stylegan2")),
    ("patchgan", {"features": 0}, ("PatchGAN", 0)),
    ("patchgan", {"features": 4, "layers": 0}, ("PatchGAN", 0)),
    ("unet_sn", {"features": 0}, ("UNetSN", 0)),
]


@pytest.mark.parametrize(("arch", "arguments", "named"), ARGUMENTS, ids=lambda x: str(x)[:40])
def test_arguments(arch: str, arguments: dict[str, Any], named: tuple[object, ...]) -> None:
    with refused(UsageError, *named), torch.device("meta"):
        build(arch, USUAL.get(arch, {}) | arguments)


@pytest.mark.parametrize("shape", [(2, 3, 7, 40), (2, 1, 40, 40), (3, 40, 40)])
@pytest.mark.parametrize("arch", DISCRIMINATORS)
def test_inputs_of_discriminators(arch: str, shape: tuple[int, ...]) -> None:
    network = build(arch, {"features": 4})
    with refused(UsageError, shape, DISCRIMINATORS[arch].__name__):
        network(torch.zeros(shape))


def test_other_inputs() -> None:
    with refused(UsageError, "codes"):
        NBSR(features=8, blocks=1)(torch.rand(1, 3, 4, 4))
    network = Reconstructor(features=4, blocks=1, described=4)
    with refused(UsageError, (2, 3, 21, 40), 22):
        network.estimate(torch.rand(2, 3, 21, 40))
