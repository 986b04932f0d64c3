"""Public depth networks through transformers: tiny random ones, saved to a folder and loaded as the real ones are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from srkit.encoders.depth import DepthProvider, depth_provider
from srkit.errors import ResourceError
from tests.helpers import refused

transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed; pip install 'srkit[depth]'"
)
CPU = torch.device("cpu")


def _depth_anything(**changes: Any) -> Any:
    backbone = transformers.Dinov2Config(
        image_size=28,
        patch_size=14,
        hidden_size=8,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=8,
        neck_hidden_sizes=[4, 4, 8, 8],
        fusion_hidden_size=4,
        head_hidden_size=4,
        **changes,
    )
    return transformers.DepthAnythingForDepthEstimation(config)


def _dpt() -> Any:
    config = transformers.DPTConfig(
        image_size=32,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[4, 4, 8, 8],
        fusion_hidden_size=4,
        is_hybrid=False,
        use_auxiliary_head=False,
    )
    return transformers.DPTForDepthEstimation(config)


PROCESSORS: dict[str, dict[str, Any]] = {
    "depth-anything": {
        "size": {"height": 56, "width": 56},
        "keep_aspect_ratio": True,
        "ensure_multiple_of": 14,
    },
    "dpt": {"size": {"height": 32, "width": 32}},
}


def _saved(kind: str, network: Any, folder: Path) -> Path:
    """As `save_pretrained` leaves it, with weights that depend on the image."""
    network.eval().save_pretrained(folder)
    transformers.DPTImageProcessor(**PROCESSORS[kind]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("public")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = {"depth-anything": _depth_anything(), "dpt": _dpt()}
        for network in made.values():
            for parameter in network.parameters():
                if parameter.dim() > 1:
                    torch.nn.init.normal_(parameter, std=0.3)
            # The heads end in a ReLU: without a shift, a random network may give zeros alone.
            list(network.head.parameters())[-1].data.fill_(20.0)
    return {kind: _saved(kind, network, root / kind) for kind, network in made.items()}


@pytest.fixture(params=["depth-anything", "dpt"])
def provider(request: pytest.FixtureRequest, folders: dict[str, Path]) -> DepthProvider:
    return depth_provider(f"{request.param}:{folders[request.param]}", CPU)


def _image(rendered: Callable[..., Any], height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(rendered(height, width)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("size", [(48, 64), (3, 50), (1, 1), (1, 120)])
def test_a_map_of_the_images_size(
    provider: DepthProvider, rendered: Callable[..., Any], size: tuple[int, int]
) -> None:
    assert provider.sees_images
    found = provider.estimate(_image(rendered, *size))
    assert found.shape == (1, 1, *size)
    assert found.dtype == torch.float32
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_it_is_what_the_network_says(folders: dict[str, Path], rendered: Callable[..., Any]) -> None:
    """By the library's own way, on an image of the size that the network takes."""
    x = _image(rendered, 56, 56)
    provider = depth_provider(f"depth-anything:{folders['depth-anything']}", CPU)
    network = transformers.DepthAnythingForDepthEstimation.from_pretrained(folders["depth-anything"]).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folders["depth-anything"])
    with torch.no_grad():
        inputs = processor(images=rendered(56, 56), return_tensors="pt")
        raw = network(**inputs).predicted_depth[0]
    found = provider.estimate(x)[0, 0]
    low, high = torch.quantile(raw, torch.tensor([0.02, 0.98]))
    assert float(high) > float(low)
    torch.testing.assert_close(found, ((raw - low) / (high - low)).clamp(0, 1), atol=1e-4, rtol=0)


def test_metres_are_turned_round(tmp_path: Path, rendered: Callable[..., Any]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = _depth_anything(depth_estimation_type="metric", max_depth=20)
        for parameter in network.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    folder = _saved("depth-anything", network, tmp_path / "metric")
    x = _image(rendered, 56, 56)
    near = depth_provider(f"depth-anything:{folder}", CPU).estimate(x).flatten()
    with torch.no_grad():
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
        metres = network(**processor(images=rendered(56, 56), return_tensors="pt")).predicted_depth.flatten()
    order = metres.argsort()
    assert float(near[order[0]]) == 1  # what is nearest in metres
    assert float(near[order[-1]]) == 0


def test_names_and_versions(folders: dict[str, Path]) -> None:
    names = {kind: f"{kind}:{folder}" for kind, folder in folders.items()}
    made = {kind: depth_provider(name, CPU) for kind, name in names.items()}
    assert {kind: p.name for kind, p in made.items()} == names
    versions = {p.version for p in made.values()}
    assert len(versions) == 2
    assert all(version.startswith("sha256 ") for version in versions)


def test_folders_that_do_not_serve(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the other kind; empty; weights cut short; pickled weights, which are not read; none of that name."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    empty, cut, pickled = (tmp_path / name for name in ("empty", "cut", "pickled"))
    for folder in (empty, cut, pickled):
        folder.mkdir()
    for file in folders["dpt"].iterdir():
        content = file.read_bytes()
        half = len(content) // 2 if file.suffix == ".safetensors" else len(content)
        (cut / file.name).write_bytes(content[:half])
        if file.suffix == ".json":
            (pickled / file.name).write_bytes(content)
    torch.save({"head": torch.zeros(1)}, pickled / "pytorch_model.bin")
    assert json.loads((pickled / "config.json").read_text())["model_type"] == "dpt"
    other = folders["depth-anything"]
    for source in (other, empty, cut, pickled, "nobody/no-such-network", "not/a/name/at/all"):
        with refused(ResourceError, source, *(("depth_anything", "dpt") if source == other else ())):
            depth_provider(f"dpt:{source}", CPU)
