"""Foreign networks written back: under the names of their own files, and loaded again as what was learned."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from srkit.errors import SrkitError
from srkit.zoo import foreign_save
from srkit.zoo.foreign_save import ADAPTED_KEY, save_foreign
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from tests.helpers import refused

pytest.importorskip("spandrel")
from spandrel.architectures import ESRGAN, SPAN, Compact, SwinIR

Make = Callable[[], nn.Module]

NETWORKS: dict[str, Make] = {
    "Compact": lambda: Compact.Compact(num_feat=8, num_conv=2, upscale=4),
    "ESRGAN": lambda: ESRGAN.ESRGAN(num_filters=8, num_blocks=1, scale=4),
    "SPAN": lambda: SPAN.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=48, upscale=2),
    "SwinIR": lambda: SwinIR.SwinIR(
        upscale=2,
        embed_dim=12,
        depths=[2],
        num_heads=[2],
        window_size=8,
        upsampler="pixelshuffledirect",
        mlp_ratio=2,
    ),
}


def state_of(name: str) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {key: tensor.clone() for key, tensor in NETWORKS[name]().eval().state_dict().items()}


def learned(model: LoadedModel) -> dict[str, Tensor]:
    """Each parameter moved by a little, differently."""
    network = copy.deepcopy(model.network)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=random)
        network(torch.zeros(1, 3, 32, 32))  # those that compute parameters from others do so now
    return network.state_dict()


def result(model: LoadedModel, state: dict[str, Tensor]) -> Tensor:
    network = copy.deepcopy(model.network)
    network.load_state_dict(state)
    x = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        y: Tensor = network(x)
    return y


@pytest.mark.parametrize("name", NETWORKS)
def test_loads_as_what_was_learned(name: str, tmp_path: Path) -> None:
    torch.save(state_of(name), tmp_path / "base.pth")
    base = load_model(tmp_path / "base.pth")
    state = learned(base)
    save_foreign(tmp_path / "adapted.safetensors", base, state, {"sha256": base.sha256})
    again = load_model(tmp_path / "adapted.safetensors")
    assert (again.architecture, again.info, again.overlap) == (base.architecture, base.info, base.overlap)
    wanted = result(base, state)
    torch.testing.assert_close(result(again, again.network.state_dict()), wanted)
    assert float((wanted - result(base, base.network.state_dict())).abs().max()) > 1e-3
    with safe_open(tmp_path / "adapted.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(state_of(name))
        assert json.loads(file.metadata()[ADAPTED_KEY]) == {"sha256": base.sha256}


def _wrapped(state: dict[str, Tensor]) -> dict[str, Any]:
    return {"params_ema": state, "iter": 500}


def _prefixed(state: dict[str, Tensor]) -> dict[str, Any]:
    return {f"module.{name}": tensor for name, tensor in state.items()}


def _new_esrgan_names(state: dict[str, Tensor]) -> dict[str, Any]:
    """As BasicSR calls the tensors that the first ESRGAN called otherwise."""
    parts = {
        "model.0": "conv_first",
        "model.1.sub.1": "conv_body",
        "model.3": "conv_up1",
        "model.6": "conv_up2",
    }
    parts |= {"model.8": "conv_hr", "model.10": "conv_last"}
    renamed = {}
    for name, tensor in state.items():
        new = name
        for old, better in parts.items():
            if name.startswith(f"{old}."):
                new = better + name.removeprefix(old)
        new = new.replace("model.1.sub.0.", "body.0.").replace(".RDB", ".rdb").replace(".0.weight", ".weight")
        renamed[new.replace(".0.bias", ".bias") if new.startswith("body") else new] = tensor
    return renamed


@pytest.mark.parametrize("form", [_wrapped, _prefixed, _new_esrgan_names])
def test_the_files_own_names_are_kept(
    form: Callable[[dict[str, Tensor]], dict[str, Any]], tmp_path: Path
) -> None:
    original = form(state_of("ESRGAN"))
    torch.save(original, tmp_path / "base.pth")
    base = load_model(tmp_path / "base.pth")
    state = learned(base)
    save_foreign(tmp_path / "adapted.safetensors", base, state, {})
    with safe_open(tmp_path / "adapted.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(original.get("params_ema", original))
    again = load_model(tmp_path / "adapted.safetensors")
    torch.testing.assert_close(result(again, again.network.state_dict()), result(base, state))


def test_precision_is_that_of_the_file(tmp_path: Path) -> None:
    half = {name: tensor.half() for name, tensor in state_of("Compact").items()}
    save_file(half, tmp_path / "base.safetensors")
    base = load_model(tmp_path / "base.safetensors")
    save_foreign(tmp_path / "same.safetensors", base, base.network.state_dict(), {})
    with safe_open(tmp_path / "same.safetensors", framework="pt") as file:
        assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in half.items())


def test_what_would_not_load_again_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(state_of("Compact"), tmp_path / "base.pth")
    base = load_model(tmp_path / "base.pth")
    real = foreign_save.describe

    def forgetful(path: Path, state: dict[str, Any]) -> Any:
        """A loader that starts a tensor anew, whatever the file holds."""
        descriptor = real(path, state)
        with torch.no_grad():
            next(iter(descriptor.model.parameters())).fill_(0.125)
        return descriptor

    monkeypatch.setattr(foreign_save, "describe", forgetful)
    with refused(SrkitError, tmp_path / "base.pth"):
        save_foreign(tmp_path / "adapted.safetensors", base, learned(base), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.pth"]
