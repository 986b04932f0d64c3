"""CDASR against its paper, and against the EDSR that it starts from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import ResidualBlock
from srkit.archs.cdasr import CDASR, GlobalAlignment, TokenAlignment
from srkit.archs.edsr import EDSR
from srkit.archs.table import build, built_arguments
from srkit.errors import UsageError
from srkit.ops.geometry import TURNS, position_grid, turn, turn_back
from tests.helpers import refused

SMALL: dict[str, Any] = {
    "features": 8,
    "blocks": 2,
    "upsampler": "single",
    "semantic_dim": 6,
    "token_channels": 5,
    "hidden": 16,
    "aligned": 12,
    "token_features": 4,
    "token_grid": 3,
}


def random_conditions(height: int, width: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "semantic": F.normalize(torch.randn(1, 6, generator=generator)),
        "tokens": torch.randn(1, 5, 3, 4, generator=generator),
        "position": position_grid(height, width),
    }


def needed(network: CDASR, height: int, width: int, seed: int = 0) -> dict[str, Tensor]:
    given = random_conditions(height, width, seed)
    return {name: given[name] for name in network.info.conditioning}


def trained(**changes: Any) -> CDASR:
    """A network whose alignment does something."""
    torch.manual_seed(0)
    network = CDASR(**SMALL | changes).eval()
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


VARIANTS = [
    {},
    {"spatial": "global"},
    {"condition": "constant"},
    {"spatial": "global", "condition": "constant"},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_it_starts_as_the_edsr_whose_weights_it_takes(variant: dict[str, Any], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    edsr = EDSR(4, 8, 2, "single")
    network = CDASR(**SMALL | variant)
    missing, unexpected = network.load_state_dict(edsr.state_dict(), strict=False)
    assert unexpected == []
    assert all(name.split(".")[0] in ("alignment", "semantic", "tokens") for name in missing)
    x = torch.rand(1, 3, 9, 13)
    sr = network.to(dtype)(x, **needed(network, 9, 13))
    assert torch.equal(sr, edsr.to(dtype)(x))


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_trunk_and_reconstruction_are_named_like_edsr(scale: int) -> None:
    own = CDASR(scale, 8, 2, "edsr", blocks_between=0).state_dict()
    shapes = {name: own[name].shape for name in own if not name.startswith("alignment.")}
    assert shapes == {name: tensor.shape for name, tensor in EDSR(scale, 8, 2, "edsr").state_dict().items()}


@pytest.mark.parametrize(("scale", "between"), [(2, 0), (4, 0), (8, 2 * 2), (16, 3 * 2)])
def test_residual_blocks_stand_between_the_stages_from_x8_on(scale: int, between: int) -> None:
    layers = CDASR(scale, 4, 1).reconstruction.layers
    assert sum(type(layer).__name__ == "ResidualBlock" for layer in layers) == between


@pytest.mark.parametrize("arch", ["cdasr", "edsr"])
@pytest.mark.parametrize(
    ("scale", "upsampler", "built"),
    [(4, "edsr", 0), (8, "single", 0), (16, "single", 0), (8, "edsr", 3), (16, "edsr", 3)],
)
def test_the_arguments_say_what_was_built(arch: str, scale: int, upsampler: str, built: int) -> None:
    asked = {"scale": scale, "features": 4, "blocks": 1, "upsampler": upsampler, "blocks_between": 3}
    with torch.device("meta"):
        network = build(arch, asked)
        said = built_arguments(network, asked)
        again = build(arch, said)
    assert said == asked | {"blocks_between": built}
    stages = {8: 3, 16: 4}.get(scale, 1)
    layers = list(network.get_submodule("reconstruction.layers").children())
    assert sum(isinstance(layer, ResidualBlock) for layer in layers) == built * (stages - 1)
    assert {n: t.shape for n, t in again.state_dict().items()} == {
        n: t.shape for n, t in network.state_dict().items()
    }
    assert built_arguments(network, {"scale": scale}) == {"scale": scale}


@pytest.mark.parametrize(
    ("spatial", "condition", "names"),
    [
        ("tokens", "encoder", ("semantic", "tokens", "position")),
        ("global", "encoder", ("semantic",)),
        ("tokens", "constant", ("position",)),
        ("global", "constant", ()),
    ],
)
def test_conditions(spatial: Any, condition: Any, names: tuple[str, ...]) -> None:
    assert CDASR(**SMALL, spatial=spatial, condition=condition).info.conditioning == names


@torch.inference_mode()
def test_every_condition_counts() -> None:
    x = torch.rand(1, 3, 12, 15)
    for variant in VARIANTS[:2]:
        network = trained(**variant)
        first, other = needed(network, 12, 15, 0), needed(network, 12, 15, 1)
        if "position" in first:
            other["position"] = turn(first["position"], 4)
        for name in first:
            changed = network(x, **first | {name: other[name]})
            assert not torch.allclose(changed, network(x, **first), atol=1e-4), name


@torch.inference_mode()
def test_images_of_a_batch_have_their_own_conditions() -> None:
    for variant in VARIANTS[:2]:
        network = trained(**variant)
        x = torch.rand(2, 3, 7, 9)
        both = [needed(network, 7, 9, seed) for seed in (0, 1)]
        together = network(x, **{name: torch.cat([one[name] for one in both]) for name in both[0]})
        for i in (0, 1):
            torch.testing.assert_close(
                together[i : i + 1], network(x[i : i + 1], **both[i]), atol=1e-5, rtol=0
            )


# -- the paper's own module ---------------------------------------------------------------------------------


@torch.inference_mode()
def test_global_is_equation_4_with_replicate_padding() -> None:
    """Eqs. 3 to 5 step by step on the whole grid, each convolution of the spread vector padded by replication."""
    alignment = trained(spatial="global").alignment
    assert isinstance(alignment, GlobalAlignment)
    features, semantic = torch.randn(2, 8, 6, 9), F.normalize(torch.randn(2, 6))
    p = alignment.mlp(semantic)[:, :, None, None].expand(-1, -1, 6, 9)
    there = alignment.spread(p)
    # Constant over the image: all that the paper's module can do is a shift per channel.
    torch.testing.assert_close(there, there[:, :, :1, :1].expand_as(there))
    padded = torch.cat([F.pad(features, (1, 1, 1, 1)), F.pad(there, (1, 1, 1, 1), mode="replicate")], dim=1)
    fused = F.conv2d(padded, alignment.fuse.weight, alignment.fuse.bias)
    torch.testing.assert_close(alignment(features, semantic), features + fused)
    shift = alignment(features, semantic) - alignment(features, F.normalize(torch.randn(2, 6)))
    torch.testing.assert_close(shift, shift[:, :, :1, :1].expand_as(shift), atol=1e-5, rtol=0)
    assert float(shift.abs().max()) > 1e-3


def test_the_mlp_has_the_papers_widths() -> None:
    with torch.device("meta"):
        mlp = CDASR(4).alignment.mlp
    kinds = [type(layer).__name__ for layer in mlp]
    assert kinds == ["Linear", "ReLU", "Linear", "ReLU", "LayerNorm"]
    assert [(layer.in_features, layer.out_features) for layer in mlp if isinstance(layer, nn.Linear)] == [
        (512, 1024),
        (1024, 512),
    ]


# -- tokens -------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_tokens_say_what_lies_where() -> None:
    """Changing the token of one corner changes the features there, and not in the opposite corner."""
    alignment = trained().alignment
    assert isinstance(alignment, TokenAlignment)
    tokens = torch.randn(1, 5, 8, 8)
    other = tokens.clone()
    other[:, :, 0, 0] += 1
    position = position_grid(64, 64)
    change = (alignment.place(other, position) - alignment.place(tokens, position)).abs().sum(1)[0]
    assert float(change[:8, :8].max()) > 0.01
    assert float(change[24:].max()) == float(change[:, 24:].max()) == 0


@torch.inference_mode()
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_pieces_of_an_image_give_the_whole(variant: dict[str, Any]) -> None:
    network = trained(**variant)
    reach = network.info.receptive_field
    height, width = 2 * reach + 21, 2 * reach + 30
    x = torch.rand(1, 3, height, width)
    conditions = needed(network, height, width)
    whole = network(x, **conditions)
    rows, columns = slice(6, 6 + 2 * reach + 5), slice(11, 11 + 2 * reach + 9)
    cut = {n: v[:, :, rows, columns] if n == "position" else v for n, v in conditions.items()}
    piece = network(x[:, :, rows, columns], **cut)
    s, inner = network.scale, network.scale * reach
    expected = whole[:, :, s * rows.start : s * rows.stop, s * columns.start : s * columns.stop]
    torch.testing.assert_close(
        piece[:, :, inner:-inner, inner:-inner], expected[:, :, inner:-inner, inner:-inner], atol=1e-5, rtol=0
    )


@torch.inference_mode()
@pytest.mark.parametrize("kind", range(TURNS))
def test_a_turned_image_is_told_the_same(kind: int) -> None:
    """With convolutions that do not tell directions apart, turning an image and its positions turns the result."""
    network = trained(condition="encoder")
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module is not network.alignment.project[2]:  # type: ignore[union-attr,index]
            w = module.weight
            module.weight.data = torch.stack([turn(w, k) for k in range(TURNS)]).mean(0)
    # The last convolution's channels are places within a pixel: let it give one value for all of them.
    last = network.reconstruction.layers[0]
    for parameter in last.parameters():
        per_colour = parameter.unflatten(0, (3, -1))
        parameter.data = per_colour.mean(1, keepdim=True).expand_as(per_colour).flatten(0, 1)
    x, conditions = torch.rand(1, 3, 10, 14), random_conditions(10, 14)
    straight = network(x, **conditions)
    turned = network(turn(x, kind), **conditions | {"position": turn(conditions["position"], kind)})
    torch.testing.assert_close(turn_back(turned, kind), straight, atol=1e-5, rtol=0)
    if kind:
        unaware = network(turn(x, kind), **conditions | {"position": position_grid(*turn(x, kind).shape[2:])})
        assert not torch.allclose(turn_back(unaware, kind), straight, atol=1e-3)


# -- training -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_training_leaves_the_start(variant: dict[str, Any]) -> None:
    """Two steps: the first moves what is zero, the second everything behind it."""
    torch.manual_seed(0)
    network = CDASR(**SMALL | variant)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    x, hr = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 32, 32)
    for _ in range(2):
        optimizer.zero_grad()
        torch.autograd.backward((network(x, **needed(network, 8, 8)) - hr).abs().mean())
        optimizer.step()
    assert [name for name, tensor in network.state_dict().items() if torch.equal(tensor, before[name])] == []


def test_steps_can_be_differentiated_through() -> None:
    """Second order, as meta-learning of the weights through inner steps needs."""
    network = trained()
    names = list(dict(network.named_parameters()))
    values = [p.detach().clone().requires_grad_(True) for p in network.parameters()]
    x, conditions = torch.rand(1, 3, 6, 6), random_conditions(6, 6)

    def loss(parameters: list[Tensor]) -> Tensor:
        sr: Tensor = torch.func.functional_call(
            network, dict(zip(names, parameters, strict=True)), (x,), conditions
        )
        return (sr - 0.5).square().mean()

    gradients = torch.autograd.grad(loss(values), values, create_graph=True)
    stepped = [v - 0.1 * g for v, g in zip(values, gradients, strict=True)]
    outer = torch.autograd.grad(loss(stepped), values)
    assert all(bool(g.isfinite().all()) for g in outer)
    assert any(bool((a != b).any()) for a, b in zip(outer, gradients, strict=True))


@pytest.mark.parametrize("variant", VARIANTS[:3], ids=str)
def test_conditions_that_are_missing(variant: dict[str, Any]) -> None:
    network = CDASR(**SMALL | variant)
    with refused(UsageError, "CDASR", *network.info.conditioning):
        network(torch.rand(1, 3, 4, 4))
