"""Files for open_clip's encoders: found, read as what they are, and never with the wrong activation in silence."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.encoders.open_clip import OpenClip
from srkit.encoders.open_clip_weights import _in_hub_cache
from srkit.encoders.semantic import semantic_encoder
from srkit.errors import ResourceError, UsageError
from tests.encoders import clip_files
from tests.helpers import refused

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    clip_files.register(folder)
    return folder


@pytest.fixture(scope="module")
def image() -> Tensor:
    """Of the small models' own size, so that nothing is resized."""
    return torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def vectors(image: Tensor, *, quick_gelu: bool) -> Tensor:
    """Of open_clip's network with the weights that the files below hold."""
    import open_clip

    network = clip_files.network("tiny-vit", quick_gelu=quick_gelu)
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    return F.normalize(network.visual((image - mean) / std), dim=1)


def near(a: Tensor, b: Tensor) -> bool:
    """As fp16 leaves them; the other activation moves them five times as far, at least."""
    return float((a - b).norm()) < 0.002


def embedded(model: str, file: Path, image: Tensor) -> Tensor:
    return OpenClip(model, str(file), CPU).embed(image).vector


def save(path: Path, **changes: Any) -> Path:
    """The state dict of the small transformer, changed as `changes` say."""
    state = clip_files.network("tiny-vit").state_dict()
    if changes.get("wrapped"):
        torch.save(
            {"epoch": 3, "name": "run", "state_dict": {f"module.{k}": v for k, v in state.items()}}, path
        )
    elif path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        torch.save(state, path)
    return path


def test_the_activation_matters(image: Tensor, folder: Path) -> None:
    """What the other tests rest on: the wrong one gives other vectors, by far more than fp16 does."""
    apart = (vectors(image, quick_gelu=True) - vectors(image, quick_gelu=False)).norm()
    assert float(apart) > 0.01


def test_openai_s_archive_is_quickgelu_s(folder: Path, image: Tensor) -> None:
    """Its own form: TorchScript, fp16 but for the norms, marks beside the weights. No activation need be named."""
    path = folder / "ViT-B-32.pt"
    clip_files.save_as_openai(clip_files.network("tiny-vit"), path)
    encoder = OpenClip("tiny-vit", str(path), CPU)
    assert "with QuickGELU" in encoder.version
    assert {p.dtype for p in encoder._network.parameters()} == {torch.float32}
    wanted = vectors(image, quick_gelu=True)
    assert near(encoder.embed(image).vector, wanted)
    assert near(embedded("tiny-vit-quickgelu", path, image), wanted)
    with refused(UsageError, "tiny-vit-gelu", "GELU", path, "QuickGELU", "tiny-vit"):
        OpenClip("tiny-vit-gelu", str(path), CPU)


def test_a_state_dict_saved_from_openai_s_package(folder: Path, image: Tensor) -> None:
    """Without the archive's marks, but in half precision except for the norms."""
    import open_clip

    network = clip_files.network("tiny-vit")
    open_clip.convert_weights_to_fp16(network)
    path = folder / "from-package.pt"
    torch.save(network.state_dict(), path)
    assert near(embedded("tiny-vit", path, image), vectors(image, quick_gelu=True))
    assert torch.allclose(embedded("tiny-vit-gelu", path, image), vectors(image, quick_gelu=False), atol=1e-3)


@pytest.mark.parametrize("name", ["bare.pt", "bare.safetensors", "open_clip_pytorch_model.bin", "wrapped.pt"])
def test_a_file_that_does_not_tell_is_asked_about(folder: Path, image: Tensor, name: str) -> None:
    path = save(folder / name, wrapped=name.startswith("wrapped"))
    with refused(UsageError, path, "open_clip:tiny-vit-quickgelu:FILE", "open_clip:tiny-vit-gelu:FILE"):
        OpenClip("tiny-vit", str(path), CPU)
    for model, quick in (("tiny-vit-gelu", False), ("tiny-vit-quickgelu", True)):
        wanted = vectors(image, quick_gelu=quick)
        assert torch.allclose(embedded(model, path, image), wanted, atol=1e-5)


def test_version_and_name(folder: Path) -> None:
    path = save(folder / "named.pt")
    encoder = semantic_encoder(f"open_clip:tiny-vit-gelu:{path}", CPU)
    assert encoder.name == f"open_clip:tiny-vit-gelu:{path}"
    assert encoder.version.startswith("open_clip ")
    assert encoder.version.endswith(hashlib.sha256(path.read_bytes()).hexdigest()[:12])


def test_an_activation_that_is_not_the_tag_s() -> None:
    for model, tag in (("ViT-B-32-gelu", "openai"), ("ViT-B-32-quickgelu", "laion2b_s34b_b79k")):
        with refused(UsageError, model, tag, "GELU", "QuickGELU", "ViT-B-32"):
            OpenClip(model, tag, CPU)
    # Right so far, and not on this machine; the second's architecture says QuickGELU, its tag nothing.
    for model, tag in (("ViT-B-32-quickgelu", "openai"), ("roberta-ViT-B-32", "laion2b_s12b_b32k")):
        with refused(ResourceError, f"open_clip-{model.removesuffix('-quickgelu')}-{tag}.safetensors"):
            OpenClip(model, tag, CPU)


def test_missing_weights_say_how_to_get_them(tmp_path: Path) -> None:
    with refused(
        ResourceError,
        "open_clip-ViT-B-32-openai.safetensors",
        "hf:timm/vit_base_patch32_clip_224.openai/open_clip_model.safetensors",
        "SRKIT_OFFLINE",
        tmp_path / "cache",
    ):
        semantic_encoder("open_clip:ViT-B-32:openai", CPU)


@pytest.mark.parametrize(
    ("model", "pretrained", "error", "named"),
    [
        ("ViT-B-23", "openai", UsageError, ("ViT-B-23", "ViT-B-32")),
        ("ViT-B/32", "opena", ResourceError, ("opena", "ViT-B-32", "openai")),
        ("ViT-B-32", "/none/there.pt", ResourceError, ("/none/there.pt", "ViT-B-32", "openai")),
        ("tiny-timm", "/none/there.pt", ResourceError, ("/none/there.pt", "tiny-timm")),
        ("coca_ViT-B-32", "laion2b_s13b_b90k", UsageError, ("coca_ViT-B-32", "ViT-B-32")),
    ],
)
def test_names_that_are_none(
    model: str, pretrained: str, error: type[Exception], named: tuple[str, ...], folder: Path
) -> None:
    with refused(error, *named):
        OpenClip(model, pretrained, CPU)


def test_weights_of_another_model(folder: Path) -> None:
    path = save(folder / "other.pt")
    with refused(ResourceError, path, "tiny-resnet"):
        OpenClip("tiny-resnet", str(path), CPU)
    state = torch.load(path)
    torch.save({**state, "visual.proj": torch.zeros(3, 4)}, path)
    with refused(ResourceError, path, "visual.proj", (3, 4), (64, 24)):
        OpenClip("tiny-vit-gelu", str(path), CPU)
    torch.save({**state, "more": torch.zeros(1)}, path)
    with refused(ResourceError, path, "more"):
        OpenClip("tiny-vit-gelu", str(path), CPU)


@pytest.mark.parametrize("name", ["damaged.pt", "damaged.safetensors"])
def test_damaged_files(folder: Path, name: str) -> None:
    for content in (b"", b"no weights", save(folder / name).read_bytes()[:2000]):
        (folder / name).write_bytes(content)
        with refused(ResourceError, folder / name):
            OpenClip("tiny-vit-gelu", str(folder / name), CPU)


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


def test_nothing_in_a_file_is_executed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": {"visual.proj": _Runs()}}, folder / "runs.pt")
    with refused(ResourceError, folder / "runs.pt"):
        OpenClip("tiny-vit-gelu", str(folder / "runs.pt"), CPU)
    assert "executed" not in capsys.readouterr().out


def test_a_tower_without_a_map_is_refused(folder: Path) -> None:
    """Five queries pooled from nine patches say nothing of where."""
    path = folder / "pooled.pt"
    torch.save(clip_files.network("tiny-pooled").state_dict(), path)
    with refused(UsageError, "tiny-pooled"):
        OpenClip("tiny-pooled", str(path), CPU)


def test_what_open_clip_fetched_earlier_is_used_if_whole(tmp_path: Path) -> None:
    """The cache of the Hub's client: files under their checksum, and links to them."""
    content = b"weights"
    snapshot = tmp_path / "hub" / "models--timm--some.openai" / "snapshots" / ("0" * 40)
    blobs = snapshot.parents[1] / "blobs"
    for folder in (snapshot, blobs, snapshot.parents[1] / "refs"):
        folder.mkdir(parents=True)
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    name = hashlib.sha256(content).hexdigest()
    (blobs / name).write_bytes(content)
    (snapshot / "open_clip_model.safetensors").symlink_to(blobs / name)
    found = _in_hub_cache("timm/some.openai", "open_clip_model.safetensors")
    assert found is not None
    assert found.sha256 == name
    (blobs / name).write_bytes(content[:3])
    assert _in_hub_cache("timm/some.openai", "open_clip_model.safetensors") is None
    assert _in_hub_cache("timm/other", "open_clip_model.safetensors") is None
