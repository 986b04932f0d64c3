"""RRDBNet: published weights under each of their three sets of names give what a published implementation gives."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from srkit.archs.blocks import centred
from srkit.archs.esrgan import SCALES, RRDBNet, centred_trunk, own_names
from srkit.archs.trunks import RRDBTrunk
from srkit.errors import ResourceError
from tests.helpers import refused

State = dict[str, Tensor]


def _basicsr(scale: int = 4) -> State:
    """Real-ESRGAN's names (BasicSR), spelled out here; random weights that are far from where training begins."""
    generator = torch.Generator().manual_seed(scale)
    features, growth, channels = 8, 32, {4: 3, 2: 12, 1: 48}[scale]  # spandrel's is defined for growth 32
    shapes = {"conv_first": (features, channels), "conv_body": (features, features)}
    for i in range(2):
        for j in range(1, 4):
            for k in range(1, 6):
                out = growth if k < 5 else features
                shapes[f"body.{i}.rdb{j}.conv{k}"] = (out, features + (k - 1) * growth)
    shapes |= dict.fromkeys(("conv_up1", "conv_up2", "conv_hr"), (features, features))
    shapes |= {"conv_last": (3, features)}
    state = {}
    for name, shape in shapes.items():
        deviation = (2 / (9 * shape[1])) ** 0.5
        state[f"{name}.weight"] = deviation * torch.randn(*shape, 3, 3, generator=generator)
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=generator)
    return state


def _of_2019(state: State) -> State:
    renamed = (
        ("body", "RRDB_trunk"),
        ("rdb", "RDB"),
        ("conv_body", "trunk_conv"),
        ("conv_up", "upconv"),
        ("conv_hr", "HRconv"),
    )
    found = {}
    for name, tensor in state.items():
        for new, old in renamed:
            name = re.sub(rf"(^|\.){new}(?=[.\d])", rf"\1{old}", name)
        found[name] = tensor
    assert "RRDB_trunk.1.RDB3.conv5.bias" in found
    return found


def _of_2018(state: State) -> State:
    plain = {
        "conv_first": "model.0",
        "conv_body": "model.1.sub.2",
        "conv_up1": "model.3",
        "conv_up2": "model.6",
        "conv_hr": "model.8",
        "conv_last": "model.10",
    }
    found = {}
    for name, tensor in state.items():
        layer, kind = name.rsplit(".", 1)
        if layer in plain:
            found[f"{plain[layer]}.{kind}"] = tensor
        else:
            _, block, dense, conv = layer.split(".")
            found[f"model.1.sub.{block}.{dense.upper()}.{conv}.0.{kind}"] = tensor
    return found


def _same(state: State) -> State:
    return state


NAMES: dict[str, Callable[[State], State]] = {"2018": _of_2018, "2019": _of_2019, "basicsr": _same}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("scale", SCALES)
@torch.inference_mode()
def test_published_weights_give_what_spandrel_makes_of_them(names: str, scale: int) -> None:
    from spandrel import ModelLoader

    published = NAMES[names](_basicsr(scale))
    network = RRDBNet(scale, 8, 2).eval()
    network.load_state_dict(own_names(published))
    assert (network.info.scale, network.info.multiple_of) == (scale, {4: 1, 2: 2, 1: 4}[scale])
    x = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    reference = ModelLoader().load_from_state_dict(dict(published)).model.eval()
    found, wanted = network(x), reference(x)
    assert found.shape == wanted.shape == (1, 3, 8 * scale, 12 * scale)
    assert float(wanted.std()) > 0.05
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("key", ["params_ema", "params", "state_dict"])
def test_weights_within_a_checkpoint(key: str) -> None:
    state = _basicsr()
    found = own_names({key: {f"module.{name}": tensor for name, tensor in state.items()}, "step": 3})
    assert set(found) == set(RRDBNet(4, 8, 2).state_dict())
    assert found["trunk.head.weight"] is state["conv_first.weight"]


def test_size_is_that_of_the_published_network() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in RRDBNet().parameters()) == 16_697_987  # as Real-ESRGAN's log prints it


@torch.inference_mode()
def test_a_trunk_for_centred_images_gives_the_same_features_inside() -> None:
    state = _basicsr()
    as_it_is, moved = RRDBTrunk(8, 2, 32), RRDBTrunk(8, 2, 32)
    trunk = {name: t for name, t in own_names(state).items() if name.startswith("trunk.")}
    as_it_is.load_state_dict({name.removeprefix("trunk."): t for name, t in trunk.items()})
    moved.load_state_dict({name.removeprefix("trunk."): t for name, t in centred_trunk(state).items()})
    x = torch.rand(1, 3, 80, 80, generator=torch.Generator().manual_seed(0))
    inner = (slice(None), slice(None), slice(33, 47), slice(33, 47))
    torch.testing.assert_close(moved(centred(x))[inner], as_it_is(x)[inner], atol=1e-4, rtol=1e-4)


def test_a_folded_trunk_serves_no_other_network() -> None:
    for state in (_basicsr(2), {}):
        with refused(ResourceError, "ESRGAN"):
            centred_trunk(state)
