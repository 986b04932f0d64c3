"""Published checkpoints of Cria-CL, written with random values and read as a user's file is.

Names and shapes are those of `models/ccl_RRDB.py` in github.com/House-Leo/RealSR-CCL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.archs.cria_released import CriaReleased, is_released, released_name
from srkit.errors import ResourceError
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.recipes.adapt import AdaptRecipe, TunePart
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.adapt.run import AdaptJob
from srkit.tasks.adapt.run import run as adapt
from srkit.tasks.models import show_model
from srkit.tasks.upscale.run import UpscaleJob, run
from srkit.zoo.load import load_model
from tests.helpers import refused

NF, NB, GC = 8, 2, 4
_TILES: tuple[Any, ...] = ("off", 16)
State = dict[str, Tensor]


def published(nf: int = NF, nb: int = NB, gc: int = GC, seed: int = 0) -> State:
    """A checkpoint's tensors under the published names; the image they make is near what they are shown."""
    layers: dict[str, tuple[int, int, int]] = {"conv_first": (3, nf, 3), "trunk_conv": (nf, nf, 3)}
    for block in range(nb):
        for dense in (1, 2, 3):
            for i in range(5):
                layers[f"RRDB_trunk.{block}.RDB{dense}.conv{i + 1}"] = (nf + i * gc, gc if i < 4 else nf, 3)
    layers |= dict.fromkeys(("upconv1", "upconv2", "HRconv"), (nf, nf, 3)) | {"conv_last": (nf, 3, 3)}
    for branch in ("branch1", "branch2", "sm"):
        for unit in range(3):
            first = 3 if unit == 0 else nf
            layers[f"{branch}.{unit}.block.0"] = (first, nf, 3)
            layers[f"{branch}.{unit}.block.2"] = (nf, nf, 3)
            layers[f"{branch}.{unit}.conv"] = (first, nf, 1)
    layers |= {"tail_conv1": (nf, 3, 3), "tail_conv2": (nf, 3, 3)}
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for name, (before, after, side) in layers.items():
        weight = torch.randn(after, before, side, side, generator=generator)
        state[f"{name}.weight"] = weight / (before * side * side) ** 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(after, generator=generator)
    return state


def reference(state: State, x: Tensor, scale: int) -> Tensor:
    """The released graph, written out tensor by tensor (spec: nearest x2 before either upconv, or none at x1)."""

    def conv(name: str, h: Tensor) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(h, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def lrelu(h: Tensor) -> Tensor:
        return F.leaky_relu(h, 0.2)

    def larger(h: Tensor) -> Tensor:
        return h.repeat_interleave(2, 2).repeat_interleave(2, 3) if scale == 4 else h

    def branch(name: str, h: Tensor) -> Tensor:
        for i in range(3):
            deep = lrelu(conv(f"{name}.{i}.block.2", lrelu(conv(f"{name}.{i}.block.0", h))))
            h = deep + conv(f"{name}.{i}.conv", h)
        return h

    shallow = conv("conv_first", x)
    h = shallow
    for block in range(NB):
        start = h
        for dense in (1, 2, 3):
            seen = [h]
            for i in range(1, 5):
                seen.append(lrelu(conv(f"RRDB_trunk.{block}.RDB{dense}.conv{i}", torch.cat(seen, 1))))
            h = h + 0.2 * conv(f"RRDB_trunk.{block}.RDB{dense}.conv5", torch.cat(seen, 1))
        h = start + 0.2 * h
    h = shallow + conv("trunk_conv", h)
    h = lrelu(conv("upconv2", larger(lrelu(conv("upconv1", larger(h))))))
    image = conv("conv_last", lrelu(conv("HRconv", h)))
    mask = branch("sm", image).softmax(1)
    return conv("tail_conv1", mask * branch("branch1", image)) + conv(
        "tail_conv2", (1 - mask) * branch("branch2", image)
    )


def written(path: Path, state: dict[str, Any]) -> Path:
    torch.save(state, path)
    return path


@pytest.mark.parametrize(("file", "scale"), [("NTIRE.pth", 4), ("RealSR.pth", 4), ("CameraSR.pth", 1)])
def test_it_gives_what_the_released_graph_gives(file: str, scale: int, tmp_path: Path) -> None:
    state = published()
    model = load_model(written(tmp_path / file, state))
    assert (model.source, model.architecture, model.name) == ("published", "cria_released", Path(file).stem)
    assert (model.info.scale, model.task) == (scale, "sr" if scale == 4 else "restoration")
    assert 1 <= model.overlap <= model.info.receptive_field
    assert not any(p.requires_grad for p in model.network.parameters())
    x = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found, wanted = model.network(x), reference(state, x, scale)
    assert wanted.shape == (2, 3, 7 * scale, 9 * scale)
    assert float(wanted.std()) > 0.01
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("around", [None, "params_ema", "params", "state_dict"])
def test_what_training_puts_around_the_tensors(around: str | None, tmp_path: Path) -> None:
    state = published()
    given = state if around is None else {around: {f"module.{k}": v for k, v in state.items()}, "iter": 3}
    model = load_model(written(tmp_path / "x.pth", given))
    assert torch.equal(model.network.state_dict()["align.1.skip.weight"], state["branch1.1.conv.weight"])


def test_the_whole_network_has_the_published_names_and_size() -> None:
    with torch.device("meta"):
        network = CriaReleased()
        names = {released_name(name) for name in network.state_dict()}
    assert names == set(published(64, 23, 32))
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == 17.29


def test_the_command_line_s_way_tiled_or_not(rendered: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "NTIRE.pth", published())
    lr = rendered(40, 50)
    write_image(DecodedImage(lr), tmp_path / "a.png", format="png")
    results = []
    for tile in _TILES:
        recipe = UpscaleRecipe(model=str(path), tile=tile, device="cpu", dtype="fp32")
        (record,) = run(UpscaleJob(recipe, str(tmp_path / "a.png"), tmp_path / f"{tile}.png"))
        assert (record.status, record.models, record.scale) == ("done", ("NTIRE",), 4.0)
        results.append(read_image(tmp_path / f"{tile}.png").pixels.astype(int))
    x = torch.from_numpy(lr.copy()).permute(2, 0, 1)[None] / 255
    wanted = (reference(published(), x, 4)[0].permute(1, 2, 0) * 255).round().clamp(0, 255).numpy()
    assert abs(results[0] - wanted).max() <= 1
    assert abs(results[0] - results[1]).max() <= 1


def test_it_is_adapted_into_a_file_of_our_own(rendered: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "NTIRE.pth", published(seed=3))
    (tmp_path / "in").mkdir()
    for i in range(3):
        write_image(DecodedImage(rendered(96, 96, i)), tmp_path / "in" / f"{i}.png", format="png")
    tune = TunePart(steps=2, patch=16, batch=2)
    recipe = AdaptRecipe(model=str(path), shots=2, tune=tune, device="cpu", dtype="fp32")
    result = adapt(AdaptJob(recipe, tmp_path / "in", tmp_path / "own.safetensors"))
    again = load_model(tmp_path / "own.safetensors")
    assert (again.source, again.architecture, again.info.scale) == ("srkit", "cria_released", 4)
    assert result.steps == 2


def test_it_is_shown(tmp_path: Path) -> None:
    facts = show_model(str(written(tmp_path / "CameraSR.pth", published())))
    assert (facts.arch, facts.scale, facts.state) == ("cria_released", 1, "file")
    assert facts.parameters == sum(t.numel() for t in published().values())


def _without(*names: str) -> State:
    return {name: tensor for name, tensor in published().items() if name not in names}


@pytest.mark.parametrize(
    ("state", "named"),
    [
        (_without("sm.2.conv.bias"), ("sm.2.conv.bias",)),
        (_without("conv_first.weight"), ()),
        (_without("RRDB_trunk.0.RDB2.conv3.weight"), ("RRDB_trunk.0.RDB2.conv3.weight",)),
        (published() | {"upconv3.weight": torch.zeros(8, 8, 3, 3)}, ("upconv3.weight",)),
        (
            published() | {"conv_first.weight": torch.zeros(8, 1, 3, 3)},
            ("conv_first.weight", (8, 1, 3, 3), (8, 3, 3, 3)),
        ),
        (
            published() | {"tail_conv2.weight": torch.zeros(1, 8, 3, 3)},
            ("tail_conv2.weight", (1, 8, 3, 3), (3, 8, 3, 3)),
        ),
    ],
    ids=["incomplete", "headless", "holes", "more", "gray in", "gray out"],
)
def test_what_is_wrong_is_named(state: State, named: tuple[object, ...], tmp_path: Path) -> None:
    path = written(tmp_path / "NTIRE.pth", state)
    with refused(ResourceError, path, "Cria-CL", *named):
        load_model(path)


def test_an_esrgan_is_no_cria() -> None:
    rest = {k: v for k, v in published().items() if not k.startswith(("branch", "sm.", "tail_conv"))}
    assert is_released(published())
    assert not is_released(rest)
    assert not is_released({"branch1.weight": torch.zeros(1)})
    assert not is_released({})
