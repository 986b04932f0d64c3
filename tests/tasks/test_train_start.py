"""What a network takes over from the weights that its training starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from srkit.archs.blocks import centred
from srkit.archs.cria import Cria
from srkit.archs.edsr import EDSR
from srkit.archs.esrgan import RRDBNet
from srkit.errors import ResourceError, UsageError
from srkit.progress import Silent
from srkit.tasks.train.start import copy_start
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights
from tests.helpers import Listening, refused

pytest.importorskip("spandrel")
from spandrel.architectures import ESRGAN


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def _image() -> Tensor:
    return torch.rand(1, 3, 44, 44, generator=torch.Generator().manual_seed(1))


def _published(path: Path, **changes: Any) -> ESRGAN.ESRGAN:
    """ESRGAN's network, and a file of it as Real-ESRGAN publishes one."""
    network = ESRGAN.ESRGAN(num_filters=8, num_blocks=1, scale=4, **changes).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    torch.save({"params_ema": network.state_dict()}, path)
    return network


@torch.inference_mode()
def test_cria_starts_as_what_an_edsr_is(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"scale": 2, "features": 8, "blocks": 2, "upsampler": "single"}
    edsr, path, listening = EDSR(**arguments), tmp_path / "e.safetensors", Listening()
    save_weights(path, edsr, Header(arch="edsr", arguments=arguments, scale=2), dtype=torch.float32)
    cria = Cria(**arguments, trunk="edsr", width=8, mask_width=4)
    copy_start(cria, str(path), listening)
    torch.testing.assert_close(cria(_image()), edsr(_image()), atol=1e-6, rtol=0)
    # All but the mask's tensors and the first convolution of each head's units.
    kept = len([n for n in cria.state_dict() if n.startswith("mask.") or (".units." in n and ".conv1." in n)])
    count = len(cria.state_dict())
    assert listening.said == listening.about(count - kept, count, path)
    assert len(listening.said) == 1


@torch.inference_mode()
def test_cria_takes_the_trunk_of_a_published_esrgan(tmp_path: Path) -> None:
    network = _published(tmp_path / "x.pth")
    cria = Cria(features=8, blocks=1, width=8, mask_width=4)
    copy_start(cria, str(tmp_path / "x.pth"), Silent())
    shown: list[Tensor] = []
    network.model[1].register_forward_hook(lambda _module, _input, out: shown.append(out))
    x = _image()
    network(x)
    inner = (slice(None), slice(None), slice(18, 26), slice(18, 26))  # beyond what zeros at the border reach
    torch.testing.assert_close(cria.trunk(centred(x))[inner], shown[0][inner], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_same_network_takes_all_of_a_published_esrgan(tmp_path: Path) -> None:
    published = _published(tmp_path / "x.pth")
    network, listening = RRDBNet(features=8, blocks=1), Listening()
    copy_start(network, str(tmp_path / "x.pth"), listening)
    torch.testing.assert_close(network(_image()), published(_image()), atol=1e-5, rtol=1e-4)
    count = len(network.state_dict())
    assert listening.about(f"{count} of {count}")
    residual, listening = RRDBNet(features=8, blocks=1, skip=True), Listening()
    copy_start(residual, str(tmp_path / "x.pth"), listening)
    trunk = len([name for name in residual.state_dict() if name.startswith("trunk.")])
    assert listening.about(f"{trunk} of {count}")


def test_what_does_not_serve_is_refused(tmp_path: Path) -> None:
    _published(tmp_path / "folded.pth", in_nc=12, shuffle_factor=2)
    with refused(ResourceError, tmp_path / "folded.pth", "ESRGAN"):
        copy_start(Cria(features=8, blocks=1), str(tmp_path / "folded.pth"), Silent())
    _published(tmp_path / "x.pth")
    with refused(UsageError, tmp_path / "x.pth", "model.start"):
        copy_start(Cria(features=12, blocks=1, trunk="edsr"), str(tmp_path / "x.pth"), Silent())
