"""open_clip's encoders against open_clip itself: small models with random weights, and ViT-B-32 once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from srkit.encoders.open_clip import OpenClip, squash
from srkit.encoders.semantic import semantic_encoder
from srkit.errors import UsageError
from srkit.losses.table import LossContext, build_losses
from srkit.ops.layout import RGB
from tests.encoders import clip_files
from tests.encoders.public_files import save_openai_clip
from tests.helpers import refused

BICUBIC = Image.Resampling.BICUBIC
CPU = torch.device("cpu")
BOTH_ROUNDINGS = 1.2
"""8-bit steps: Pillow rounds each of its two passes, and the second weighs the first's errors by up to 1.3."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of state dicts by the names of the small models, which it makes known."""
    folder = tmp_path_factory.mktemp("clip")
    clip_files.register(folder)
    for config in ("tiny-vit", "tiny-resnet", "tiny-timm"):
        torch.save(clip_files.network(config).state_dict(), folder / f"{config}.pt")
    return folder


def load(files: Path, config: str) -> OpenClip:
    suffix = "-gelu" if config == "tiny-vit" else ""
    return OpenClip(config + suffix, str(files / f"{config}.pt"), CPU)


def prepared(image: RGB, side: int, mode: str) -> Tensor:
    """By open_clip, normalised: (1, 3, side, side)."""
    import open_clip

    transform = open_clip.image_transform(side, is_train=False, resize_mode=mode)
    result: Tensor = transform(Image.fromarray(image))[None]
    return result


def steps_apart(image: RGB, side: int, mode: str) -> Tensor:
    """Differences of the two preparations before normalisation, in 8-bit steps."""
    import open_clip

    std = torch.tensor(open_clip.OPENAI_DATASET_STD).view(1, 3, 1, 1)
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(1, 3, 1, 1)
    wanted = prepared(image, side, mode) * std + mean
    return 255 * (squash(as_tensor(image), (side, side)) - wanted).abs()


def check_prepared(image: RGB) -> None:
    """That the preparations are the same up to rounding.

    Of oblong images Pillow 13 resizes some along the columns first, which moves what overshoots in between.
    """
    if image.shape[0] == image.shape[1]:
        for mode in ("squash", "shortest"):
            assert float(steps_apart(image, 224, mode).max()) <= BOTH_ROUNDINGS
    else:
        apart = steps_apart(image, 224, "squash")
        assert float(apart.max()) <= 12
        assert float((apart > BOTH_ROUNDINGS).float().mean()) < 0.01
        height = image.shape[0]
        rows_first = Image.fromarray(image).resize((224, height), BICUBIC).resize((224, 224), BICUBIC)
        ours = squash(as_tensor(image), (224, 224))
        assert 255 * float((ours - as_tensor(np.asarray(rows_first))).abs().max()) <= BOTH_ROUNDINGS


def as_tensor(image: RGB) -> Tensor:
    return torch.tensor(image).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(
    "shape", [(256, 256), (200, 200), (48, 48), (224, 224), (1, 1), (256, 100), (97, 256), (40, 31), (3, 250)]
)
def test_preparation_is_open_clip_s(shape: tuple[int, int], rendered: Callable[..., RGB]) -> None:
    check_prepared(rendered(*shape))


@pytest.mark.data
def test_preparation_of_real_images_is_open_clip_s(data_root: Path) -> None:
    paths = [
        path
        for name in ("Set5/HR/*.png", "Set5/LR_bicubic/X4/*.png")
        for path in sorted((data_root / "benchmarks").glob(name))
    ]
    assert len(paths) == 10
    for path in paths:
        check_prepared(np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize(
    ("interpolation", "same"), [("bilinear", Image.Resampling.BILINEAR), ("bicubic", BICUBIC)]
)
def test_overshoot_is_clipped(interpolation: str, same: Image.Resampling) -> None:
    board = (np.indices((64, 64)).sum(0) // 7 % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    wanted = np.asarray(Image.fromarray(board).resize((50, 64), same).resize((50, 90), same))
    found = squash(as_tensor(board), (90, 50), interpolation)[0].permute(1, 2, 0) * 255
    assert float(np.abs(found.numpy() - wanted).max()) <= BOTH_ROUNDINGS
    assert 0 <= float(found.min()) <= float(found.max()) <= 255


def test_squash_has_the_gradient_of_finite_differences() -> None:
    x = 0.2 + 0.6 * torch.rand(1, 2, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda p: squash(p, (5, 11)), x.requires_grad_(), fast_mode=True)


def test_vectors_and_tokens_are_open_clip_s(files: Path, rendered: Callable[..., RGB]) -> None:
    encoder, network = load(files, "tiny-vit"), clip_files.network("tiny-vit")
    network.visual.output_tokens = True
    for side, tolerance in ((48, 1e-5), (60, 0.02)):  # in the second Pillow rounds, on the way to 48
        images = [rendered(side, side, seed=seed) for seed in (0, 1)]
        found = encoder.embed(torch.cat([as_tensor(p) for p in images]))
        pooled, tokens = network.visual(torch.cat([prepared(p, 48, "shortest") for p in images]))
        assert found.vector.shape == (2, encoder.dim) == (2, 24)
        assert found.tokens.shape == (2, encoder.token_channels, 3, 3) == (2, 64, 3, 3)
        assert float((found.vector - F.normalize(pooled, dim=1)).norm(dim=1).max()) <= tolerance
        apart = found.tokens.flatten(2).transpose(1, 2) - tokens
        assert float(apart.square().mean().sqrt()) <= tolerance * float(tokens.square().mean().sqrt())


def test_tokens_lie_where_the_image_has_them(files: Path) -> None:
    """A change in the top right corner changes that token the most."""
    encoder = load(files, "tiny-vit")
    image = torch.full((1, 3, 48, 48), 0.5)
    changed = image.clone()
    changed[..., :16, 32:] = torch.rand(3, 16, 16)
    difference = (encoder.embed(changed).tokens - encoder.embed(image).tokens).square().sum(1)[0]
    assert int(difference.argmax()) == 2


@pytest.mark.parametrize(("config", "channels"), [("tiny-resnet", 256), ("tiny-timm", 64)])
def test_other_towers(files: Path, config: str, channels: int, rendered: Callable[..., RGB]) -> None:
    encoder, network = load(files, config), clip_files.network(config)
    image = rendered(100, 100)
    found = encoder.embed(as_tensor(image))
    wanted = network.encode_image(prepared(image, 64, "squash"), normalize=True)
    assert torch.allclose(found.vector, wanted, atol=0.01)
    assert found.tokens.shape == (1, encoder.token_channels, 2, 2) == (1, channels, 2, 2)


def test_stages_of_a_resnet(files: Path) -> None:
    encoder, visual = load(files, "tiny-resnet"), clip_files.network("tiny-resnet").visual
    image = torch.rand(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    stages = encoder.stages(image)
    assert [s.shape[1:] for s in stages] == [(32, 24, 16), (64, 12, 8), (128, 6, 4), (256, 3, 2)]
    x = visual.stem((image - encoder._mean) / encoder._std)
    for layer, stage in zip(
        (visual.layer1, visual.layer2, visual.layer3, visual.layer4), stages, strict=True
    ):
        x = layer(x)
        assert torch.allclose(stage, x, atol=1e-5)
    with refused(UsageError, "tiny-vit-gelu", "open_clip:RN50:openai"):
        load(files, "tiny-vit").stages(image)


def test_gradient_reaches_the_images_and_nothing_else(files: Path) -> None:
    encoder = load(files, "tiny-vit")
    image = (
        0.2 + 0.6 * torch.rand(1, 3, 40, 52, generator=torch.Generator().manual_seed(0))
    ).requires_grad_()
    target = F.normalize(torch.ones(1, 24), dim=1)
    torch.autograd.backward((encoder.embed(image).vector * target).sum())
    slope = image.grad
    assert slope is not None
    assert bool((slope != 0).any(1).all())  # the whole image, to its last row and column
    assert not any(p.requires_grad or p.grad is not None for p in encoder._network.parameters())
    direction = slope / slope.norm()
    with torch.no_grad():
        ahead, behind = (
            float((encoder.embed(image + step * direction).vector * target).sum()) for step in (0.02, -0.02)
        )
    assert (ahead - behind) / 0.04 == pytest.approx(float(slope.norm()), rel=0.05)


def test_semantic_loss_through_it(files: Path) -> None:
    """2 - 2 cos, its gradient into sr alone; bf16 comes near."""
    encoder = load(files, "tiny-vit")
    generator = torch.Generator().manual_seed(1)
    sr, hr = (p.requires_grad_() for p in torch.rand(2, 2, 3, 48, 48, generator=generator))
    a, b = encoder.embed(sr.detach()).vector, encoder.embed(hr.detach()).vector
    wanted = float((2 - 2 * (a * b).sum(1)).mean())
    for dtype, tolerance in ((None, 1e-4), (torch.bfloat16, 0.1)):
        sr.grad = None
        losses = build_losses({"semantic": 1.0}, LossContext(CPU, semantic=encoder, autocast=dtype))
        total, _ = losses(sr, hr)
        torch.autograd.backward(total)
        assert total.dtype == torch.float32
        assert float(total.detach()) == pytest.approx(wanted, rel=tolerance)
        assert sr.grad is not None
        assert float(sr.grad.norm()) == pytest.approx(losses.gradient_norms(sr, hr)["semantic"], rel=1e-3)
        assert hr.grad is None


def test_images_of_other_shapes_are_refused(files: Path) -> None:
    encoder = load(files, "tiny-vit")
    for shape in ((3, 8, 8), (1, 1, 8, 8), (1, 3, 0, 8)):
        with refused(UsageError, encoder.name, shape):
            encoder.embed(torch.zeros(shape))


def test_building_draws_no_random_numbers(files: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    load(files, "tiny-timm")
    assert torch.equal(torch.rand(3), wanted)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with random fp16 weights in place of OpenAI's ViT-B-32, and open_clip's network with the same."""
    folder = tmp_path_factory.mktemp("published")
    return folder, save_openai_clip("ViT-B-32", folder)


def test_the_paper_s_encoder(
    published: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch, rendered: Callable[..., RGB]
) -> None:
    """ViT-B-32 by its tag: found, of QuickGELU, in fp32, and of the shapes that the networks are built for."""
    folder, network = published
    monkeypatch.setenv("SRKIT_WEIGHTS", str(folder))
    encoder = semantic_encoder("open_clip:ViT-B-32:openai", CPU)
    assert isinstance(encoder, OpenClip)
    assert encoder.name == "open_clip:ViT-B-32:openai"
    assert encoder.version.startswith("open_clip ViT-B-32")
    assert "QuickGELU, sha256 " in encoder.version
    assert (encoder.dim, encoder.token_channels) == (512, 768)
    assert {p.dtype for p in encoder._network.parameters()} == {torch.float32}
    image = rendered(224, 224)  # nothing to resize, so nothing is rounded
    with torch.no_grad():
        found = encoder.embed(as_tensor(image))
        network.visual.output_tokens = True
        pooled, tokens = network.visual(prepared(image, 224, "shortest"))
    assert found.tokens.shape == (1, 768, 7, 7)
    assert torch.allclose(found.tokens.flatten(2).transpose(1, 2), tokens, atol=1e-3)
    assert torch.allclose(found.vector, F.normalize(pooled, dim=1), atol=1e-4)
