"""CLIP's text tower, and prompts inside its image tower, against open_clip itself: small models with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from srkit.encoders.open_clip import squash
from srkit.encoders.open_clip_text import OpenClipText
from srkit.encoders.text import TextEmbedding, TextEncoder, text_encoder
from srkit.errors import ResourceError, UsageError
from tests.encoders import clip_files
from tests.helpers import refused

CPU = torch.device("cpu")
CONFIGS = ("tiny-vit", "tiny-deep")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    clip_files.register(folder)
    for config in (*CONFIGS, "tiny-resnet"):
        torch.save(clip_files.network(config).state_dict(), folder / f"{config}.pt")
    return folder


def load(files: Path, config: str = "tiny-deep") -> OpenClipText:
    found = text_encoder(f"open_clip:{config}-gelu:{files / f'{config}.pt'}", CPU)
    assert isinstance(found, OpenClipText)
    return found


def test_text_lies_in_the_space_of_the_images(files: Path) -> None:
    import open_clip

    encoder, network = load(files), clip_files.network("tiny-deep")
    texts = ["a photograph of a bird", "a page of text " * 100]
    codes, found = open_clip.tokenize(texts), encoder.read(texts)
    assert torch.allclose(found.sentence, network.encode_text(codes), atol=1e-5)
    assert found.sentence.shape == (2, encoder.dim)
    assert found.words.shape == (2, encoder.length, encoder.word_channels) == (2, 77, 16)
    for row, code in zip(found.words, codes, strict=True):
        assert torch.equal((row != 0).any(1), code != 0)
    end = int(codes[0].argmax())
    pooled = found.words[0, end] @ network.text_projection
    assert torch.allclose(pooled, found.sentence[0], atol=1e-5)
    assert [encoder.fits(text) for text in texts] == [True, False]


def test_a_text_without_characters_is_zeros(files: Path) -> None:
    encoder = load(files)
    found, none = encoder.read(["", " \x00\n", "a"]), TextEmbedding.none(encoder, CPU, 2)
    assert torch.equal(found.sentence[:2], none.sentence)
    assert torch.equal(found.words[:2], none.words)
    assert bool(found.sentence[2].any())


@pytest.mark.parametrize("config", CONFIGS)
def test_blocks_without_prompts_are_open_clips_tower(files: Path, config: str) -> None:
    encoder, visual = load(files, config), clip_files.network(config).visual
    visual.output_tokens = True
    images = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    x = (images - encoder._mean) / encoder._std
    maps = visual.conv1(x)
    found = encoder.prompted(maps, torch.zeros(2, 0, encoder.map_channels))
    assert found.shape == maps.shape
    _, wanted = visual(x)
    normed = visual.ln_post(found.flatten(2).transpose(1, 2))
    assert torch.allclose(normed, wanted, atol=1e-4)


def test_each_prompt_stands_beside_one_block_and_is_dropped(files: Path) -> None:
    """Against the tower's own blocks, called one by one."""
    encoder, visual = load(files), clip_files.network("tiny-deep").visual
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 64, 3, 3, generator=generator)
    prompts = torch.randn(1, 8, 64, generator=generator, requires_grad=True)
    tokens = torch.cat([visual.class_embedding.view(1, 1, -1), maps.flatten(2).transpose(1, 2)], 1)
    h = visual.ln_pre(tokens + visual.positional_embedding)
    for i, block in enumerate(visual.transformer.resblocks):
        beside = prompts[:, i - 1 : i] if 1 <= i <= 8 else prompts[:, :0]
        h = block(torch.cat([h, beside], 1))[:, :10]
    found = encoder.prompted(maps, prompts)
    assert torch.allclose(found.flatten(2).transpose(1, 2), h[:, 1:], atol=1e-4)
    torch.autograd.backward(found.square().sum())
    assert prompts.grad is not None
    assert bool((prompts.grad.abs().sum((0, 2)) > 0).all())
    assert not any(p.requires_grad for p in encoder._network.parameters())


def test_maps_of_another_grid_come_back_in_it(files: Path) -> None:
    encoder = load(files)
    assert encoder.prompted(torch.randn(1, 64, 7, 5), torch.zeros(1, 8, 64)).shape == (1, 64, 7, 5)


def test_levels_are_what_the_blocks_give(files: Path) -> None:
    encoder, visual = load(files), clip_files.network("tiny-deep").visual
    images = torch.rand(2, 3, 60, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    levels = encoder.levels(images)
    assert [level.shape[1] for level in levels] == list(encoder.level_channels) == [64, 64, 64]
    h = visual._embeds((squash(images, (48, 48)) - encoder._mean) / encoder._std)
    wanted = []
    for i, block in enumerate(visual.transformer.resblocks):
        h = block(h)
        if i in (1, 4, 8):
            wanted.append(h[:, 1:].transpose(1, 2).unflatten(2, (3, 3)))
    for found, one in zip(levels, wanted, strict=True):
        assert torch.allclose(found, one, atol=1e-4)
    (slope,) = torch.autograd.grad(levels[0].square().sum(), images)
    assert bool((slope != 0).any())


def test_weights_of_another_size_are_refused(files: Path) -> None:
    with refused(ResourceError, "tiny-vit.pt", "tiny-deep"):
        text_encoder(f"open_clip:tiny-deep-gelu:{files / 'tiny-vit.pt'}", CPU)


@pytest.mark.parametrize(
    ("name", "named"),
    [("wordz", "words"), ("open_clip:ViT-B-32", "open_clip:MODEL:PRETRAINED_OR_FILE"), ("compact", "words")],
)
def test_unknown_encoders_are_refused(name: str, named: str) -> None:
    with refused(UsageError, name, named):
        text_encoder(name, CPU)


def test_a_tower_that_takes_no_prompts_is_refused(files: Path) -> None:
    with refused(UsageError, "tiny-resnet", "ViT-B-32"):
        text_encoder(f"open_clip:tiny-resnet-gelu:{files / 'tiny-resnet.pt'}", CPU)


def test_it_is_a_text_encoder(files: Path) -> None:
    encoder: TextEncoder = load(files)
    found = F.normalize(encoder.read(["a"]).sentence)
    assert found.shape == encoder.embed(torch.rand(1, 3, 20, 20)).vector.shape
