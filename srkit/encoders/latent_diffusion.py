"""Stable Diffusion as a frozen prior through diffusers, which only this module imports."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srkit.archs.latent_fusion import FACTOR, LATENT, Fuse
from srkit.errors import ResourceError, first_line
from srkit.progress import Progress, Silent
from srkit.zoo.connectivity import check_may_fetch, offline_variable
from srkit.zoo.source import hub_endpoint

_PARTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}
"""Folders of weights, and the stems of the files in them."""
_FILES = (
    ("scheduler/scheduler_config.json",),
    ("tokenizer/tokenizer_config.json",),
    ("tokenizer/vocab.json", "tokenizer/tokenizer.json"),
)
"""Other required files; of those in one line, any suffices."""
_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth")
_WANTED = "expected a folder that `save_pretrained` of diffusers' StableDiffusionPipeline wrote"


class LatentPrior:
    """`srkit.archs.latent_fusion.Prior`: U-Net, autoencoder and the embedding of an empty prompt; frozen, fp32.

    Weights are read from safetensors only; no code is run.

    Args:
        source: a folder written by `save_pretrained` or downloaded, else a repository of the Hugging Face Hub, read
            from its client's cache or downloaded there.
        device: device of the networks.
        progress: display of downloads.

    Raises:
        ResourceError: diffusers is not installed; the folder is incomplete, damaged, or without safetensors; its latent
            images have another size; the model is neither on this machine nor downloadable.
    """

    def __init__(self, source: str, device: torch.device, progress: Progress | None = None) -> None:
        offline_variable()  # before the client of the Hub is imported
        diffusers, transformers = import_diffusers()
        folder = Path(source).expanduser()
        folder = folder if folder.is_dir() else _from_hub(source, progress or Silent())
        _check_folder(folder)
        self.name, self.version = source, _version(folder)
        self._device = device
        try:
            unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet", use_safetensors=True)
            vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae", use_safetensors=True)
            self._scheduler = diffusers.DDIMScheduler.from_pretrained(folder / "scheduler")
            self._prompt = _empty_prompt(transformers, folder).to(device)
        except Exception as error:  # errors of diffusers' readers and torch
            raise ResourceError(
                f"The latent diffusion model '{folder}' cannot be loaded ({first_line(error)}); {_WANTED}."
            ) from error
        _check_sizes(folder, unet, vae)
        self._unet, self._vae = (m.float().eval().requires_grad_(False).to(device) for m in (unet, vae))
        self.widths: tuple[int, ...] = tuple(unet.config.block_out_channels)
        self._scaling = float(vae.config.scaling_factor)

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """Encode an image; see `Prior`. Uses the mean of the autoencoder's distribution."""
        found: Tensor = self._vae.encode(image.float() * 2 - 1).latent_dist.mean
        return found * self._scaling

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Decode a latent image; see `Prior`."""
        found: Tensor = self._vae.decode(latent.float() / self._scaling).sample
        return found / 2 + 0.5

    def epsilon(self, latent: Tensor, time: Tensor, fuse: Fuse | None = None) -> Tensor:
        """Estimate the noise; see `Prior`. `fuse` is applied after the last residual block of each encoder level."""
        hooks = []
        if fuse is not None:
            for level, block in enumerate(self._unet.down_blocks):
                hook = _Hook(fuse, level)
                hooks.append(block.resnets[-1].register_forward_hook(hook))
        try:
            prompt = self._prompt.expand(len(latent), -1, -1)
            found: Tensor = self._unet(latent, time, encoder_hidden_states=prompt).sample
        finally:
            for handle in hooks:
                handle.remove()
        if self._scheduler.config.prediction_type == "v_prediction":
            alpha = self._alphas(latent)[time.long()].view(-1, 1, 1, 1)
            return alpha.sqrt() * found + (1 - alpha).sqrt() * latent
        return found

    def times(self, steps: int) -> list[int]:
        """Timesteps of the sampler; see `Prior`."""
        self._scheduler.set_timesteps(steps)
        return [int(time) for time in self._scheduler.timesteps]

    def step(self, eps: Tensor, time: int, latent: Tensor) -> Tensor:
        """Deterministic DDIM step; see `Prior`."""
        if self._scheduler.config.prediction_type == "v_prediction":
            alpha = self._alphas(latent)[time]
            eps = (eps - (1 - alpha).sqrt() * latent) / alpha.sqrt()
        found: Tensor = self._scheduler.step(eps, time, latent, eta=0.0).prev_sample
        return found

    def noised(self, latent: Tensor, eps: Tensor, time: Tensor) -> Tensor:
        """Add noise to a latent image; see `Prior`."""
        found: Tensor = self._scheduler.add_noise(latent, eps, time.long())
        return found

    def _alphas(self, like: Tensor) -> Tensor:
        alphas: Tensor = self._scheduler.alphas_cumprod
        return alphas.to(like)


class _Hook:
    """Forward hook that replaces a module's output by fused features."""

    def __init__(self, fuse: Fuse, level: int) -> None:
        self._fuse, self._level = fuse, level

    def __call__(self, _module: Any, _inputs: Any, h: Tensor) -> Tensor:
        return self._fuse(self._level, h)


def import_diffusers() -> tuple[Any, Any]:
    """Import diffusers and transformers.

    Raises:
        ResourceError: one of them is not installed.
    """
    try:
        import diffusers
        import transformers
    except ModuleNotFoundError as error:
        raise ResourceError(
            f"Latent diffusion models need diffusers and transformers, and '{error.name}' is not installed; run "
            "pip install 'srkit[diffusion]', or use the model 'diffusion-x4'."
        ) from error
    return diffusers, transformers


def _empty_prompt(transformers: Any, folder: Path) -> Tensor:
    """Embedding of the empty prompt, (1, tokens, channels)."""
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder", use_safetensors=True)
    length = tokenizer.model_max_length
    tokens = tokenizer("", padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    with torch.no_grad():
        found: Tensor = encoder.float().eval()(tokens.input_ids)[0]
    return found


def _check_folder(folder: Path) -> None:
    for part, stem in _PARTS.items():
        place = folder / part
        if (place / "config.json").is_file() and any(place.glob(f"{stem}*.safetensors")):
            continue
        pickles = [file.name for pattern in _PICKLES for file in place.glob(pattern)]
        if pickles:
            raise ResourceError(
                f"'{place}' holds {pickles[0]}, a pickle, which can run any code; weights in safetensors "
                f"({stem}.safetensors) are wanted: fetch those of the same model."
            )
        raise ResourceError(
            f"'{place}' lacks config.json or {stem}.safetensors, so the latent diffusion model is incomplete; "
            f"{_WANTED}."
        )
    for names in _FILES:
        if not any((folder / name).is_file() for name in names):
            raise ResourceError(
                f"'{folder}' lacks {names[0]}, so the latent diffusion model is incomplete; {_WANTED}."
            )


def _check_sizes(folder: Path, unet: Any, vae: Any) -> None:
    factor = 1 << (len(vae.config.block_out_channels) - 1)
    found = (unet.config.in_channels, vae.config.latent_channels, factor)
    if found != (LATENT, LATENT, FACTOR):
        raise ResourceError(
            f"The latent diffusion model '{folder}' works on latent images of {found[0]} channels in the U-Net and "
            f"{found[1]} in the autoencoder, at 1/{found[2]} of the size; expected {LATENT} at 1/{FACTOR}, as of "
            "Stable Diffusion 1.5 and 2.1-base."
        )


def _version(folder: Path) -> str:
    """Checksum of all weights and configurations."""
    digest = hashlib.sha256()
    for part in _PARTS:
        config = json.loads((folder / part / "config.json").read_text(encoding="utf-8"))
        kept = {key: value for key, value in config.items() if not key.startswith("_")}
        digest.update(json.dumps(kept, sort_keys=True).encode())
        for file in sorted((folder / part).glob("*.safetensors")):
            with file.open("rb") as stream:
                hashlib.file_digest(stream, lambda: digest)
    return f"sha256 {digest.hexdigest()[:12]}"


def _from_hub(repository: str, progress: Progress) -> Path:
    """Folder of a repository in the cache of the Hub's client, downloaded if absent."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    patterns = [f"{part}/{name}" for part in _PARTS for name in ("config.json", "*.safetensors")]
    patterns += ["scheduler/*", "tokenizer/*", "model_index.json"]
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns, local_files_only=True))
    except HFValidationError as error:
        raise ResourceError(
            f"'{repository}' is no folder, and no name of a repository of the Hugging Face Hub (OWNER/NAME); check it."
        ) from error
    except LocalEntryNotFoundError:
        pass
    endpoint = hub_endpoint()
    check_may_fetch(
        f"The latent diffusion model '{repository}' (no folder, and not in the Hugging Face cache)",
        endpoint,
        f"hf download {repository}",
        Path(HF_HUB_CACHE),
        "name a folder that it was downloaded to",
    )
    progress.say(f"fetching {repository} (licence: see {endpoint}/{repository}) to {HF_HUB_CACHE}")
    return Path(snapshot_download(repository, allow_patterns=patterns))
