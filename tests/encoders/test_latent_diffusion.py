"""Latent diffusion models as priors: diffusers' own results to the bit, and folders that are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from srkit.archs.latent_fusion import LatentFusion, latent_noise, windows
from srkit.degradation.pca import kernel_basis
from srkit.encoders.latent_diffusion import LatentPrior
from srkit.errors import ResourceError, UsageError
from tests.helpers import refused
from tests.latent_files import WIDTHS, write_pipeline

pytestmark = pytest.mark.diffusers
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("latent") / "tiny"
    write_pipeline(place)
    return place


@pytest.fixture(scope="module")
def prior(folder: Path) -> LatentPrior:
    return LatentPrior(str(folder), CPU)


def _fusion(prior: LatentPrior, *, trained: bool = False) -> LatentFusion:
    torch.manual_seed(1)
    network = LatentFusion(WIDTHS, code=5, width=4, hidden=4, steps=3).eval()
    network.basis.copy_(kernel_basis(4, 5))
    if trained:
        for parameter in network.fusion.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    network.attach(prior)
    return network


@torch.no_grad()
def test_at_the_start_it_is_diffusers_own_pipeline_to_the_bit(folder: Path, prior: LatentPrior) -> None:
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(folder / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(folder / "unet"),
        scheduler=DDIMScheduler.from_pretrained(folder / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    network = _fusion(prior)
    noise = latent_noise(torch.randn(1, 3, 64, 96))
    expected = pipeline(
        "",
        latents=noise,
        guidance_scale=1.0,
        num_inference_steps=3,
        height=64,
        width=96,
        output_type="latent",
    ).images
    maps = network.maps(torch.rand(1, 3, 64, 96), torch.randn(1, 5, 16, 24), None)
    assert torch.equal(network.sample(noise, maps), expected)
    trained = _fusion(prior, trained=True)
    maps = trained.maps(torch.rand(1, 3, 64, 96), torch.randn(1, 5, 16, 24), None)
    assert not torch.allclose(trained.sample(noise, maps), expected, atol=1e-3)


@torch.no_grad()
def test_every_condition_counts_and_colours_are_kept(prior: LatentPrior) -> None:
    network, x = _fusion(prior, trained=True), torch.rand(1, 3, 16, 16)
    given = {
        "codes": torch.randn(1, 5, 16, 16),
        "depth": torch.rand(1, 1, 16, 16),
        "noise": torch.randn(1, 3, 64, 64),
    }
    usual = network(x, **given)
    assert usual.shape == (1, 3, 64, 64)
    for name, value in given.items():
        assert not torch.allclose(network(x, **{**given, name: value.flip(3)}), usual, atol=1e-4), name
    torch.testing.assert_close(usual.mean((2, 3)), x.mean((2, 3)), atol=0.05, rtol=0)


@torch.no_grad()
def test_windows_cover_and_are_averaged(prior: LatentPrior) -> None:
    parts = list(windows(100, 72, 2))
    seen = torch.zeros(100, 72)
    for rows, columns in parts:
        assert rows.start % 2 == columns.start % 2 == 0
        assert (rows.stop - rows.start, columns.stop - columns.start) == (64, 64)
        seen[rows, columns] += 1
    assert int(seen.min()) >= 1
    network = _fusion(prior)
    network.steps = 1
    noise = torch.randn(1, 4, 72, 8)
    maps = network.maps(torch.rand(1, 3, 576, 64), torch.randn(1, 5, 144, 16), None)
    found = network.sample(noise, maps)
    first = network.sample(
        noise[:, :, :64], [[m[:, :, : 64 >> i] for m in one] for i, one in enumerate(maps)]
    )
    torch.testing.assert_close(found[:, :, :2], first[:, :, :2])  # where one window alone is seen
    assert found.shape == noise.shape


@torch.no_grad()
def test_v_prediction_estimates_the_noise(tmp_path: Path) -> None:
    write_pipeline(tmp_path / "v", prediction="v_prediction")
    prior = LatentPrior(str(tmp_path / "v"), CPU)
    z, (time, *_) = torch.randn(1, 4, 8, 8), prior.times(4)
    eps = prior.epsilon(z, torch.tensor([time]))
    after = prior.step(eps, time, z)
    alpha = prior._alphas(z)[time]
    clean = (z - (1 - alpha).sqrt() * eps) / alpha.sqrt()
    later = prior._alphas(z)[time - 1000 // 4]
    torch.testing.assert_close(after, later.sqrt() * clean + (1 - later).sqrt() * eps, atol=1e-4, rtol=1e-4)


def test_another_prior_has_another_version(folder: Path, prior: LatentPrior, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    assert LatentPrior(str(tmp_path / "copy"), CPU).version == prior.version
    path = tmp_path / "copy/unet/diffusion_pytorch_model.safetensors"
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    state["conv_in.bias"] += 1
    save_file(state, path)
    assert LatentPrior(str(tmp_path / "copy"), CPU).version != prior.version


def test_a_prior_of_other_levels_is_refused(prior: LatentPrior) -> None:
    with refused(UsageError, "[8, 16]", "[8, 8]"):
        LatentFusion((8, 8), code=5, width=4, hidden=4).attach(prior)
    with refused(ResourceError, "trained with"):
        LatentFusion((8, 8), code=5, width=4, hidden=4).prior.times(2)


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("unet/config.json", "unet"),
        ("vae/diffusion_pytorch_model.safetensors", "vae"),
        ("scheduler/scheduler_config.json", "scheduler/scheduler_config.json"),
        ("tokenizer/tokenizer_config.json", "tokenizer/tokenizer_config.json"),
        ("text_encoder/model.safetensors", "text_encoder"),
    ],
)
def test_incomplete_folders_are_refused(folder: Path, tmp_path: Path, lost: str, named: str) -> None:
    shutil.copytree(folder, tmp_path / "part")
    (tmp_path / "part" / lost).unlink()
    with refused(ResourceError, tmp_path / "part", named):
        LatentPrior(str(tmp_path / "part"), CPU)


def test_pickles_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "part")
    (tmp_path / "part/unet/diffusion_pytorch_model.safetensors").rename(
        tmp_path / "part/unet/diffusion_pytorch_model.bin"
    )
    with refused(ResourceError, "diffusion_pytorch_model.bin", "safetensors"):
        LatentPrior(str(tmp_path / "part"), CPU)


def test_damaged_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "part")
    (tmp_path / "part/vae/diffusion_pytorch_model.safetensors").write_bytes(b"no tensors")
    with refused(ResourceError, tmp_path / "part"):
        LatentPrior(str(tmp_path / "part"), CPU)


def test_another_latent_size_is_refused(tmp_path: Path) -> None:
    write_pipeline(tmp_path / "other", latent=8)
    with refused(ResourceError, tmp_path / "other", 8, 4):
        LatentPrior(str(tmp_path / "other"), CPU)


def test_offline_says_how_to_get_it() -> None:
    with refused(ResourceError, "owner/model", "hf download owner/model", "SRKIT_OFFLINE"):
        LatentPrior("owner/model", CPU)
    with refused(ResourceError, "no such/place/at all"):
        LatentPrior("no such/place/at all", CPU)
