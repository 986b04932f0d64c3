"""Depth by public networks through transformers: Depth Anything (Yang et al. 2024), DPT (Ranftl et al. 2021)."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srkit.encoders.depth import COMPACT, normalised, resized
from srkit.errors import ResourceError, first_line
from srkit.ops.resize import bicubic
from srkit.progress import Progress, Silent
from srkit.zoo.connectivity import check_may_fetch, offline_variable
from srkit.zoo.source import hub_endpoint

_TYPES = {"depth-anything": "depth_anything", "dpt": "dpt"}
"""Names of the architectures in transformers, by the provider's kind."""
_LICENCES = {
    "depth-anything/Depth-Anything-V2-Small-hf": "licence Apache-2.0",
    "Intel/dpt-swinv2-tiny-256": "licence MIT",
}
_MAX_RATIO = 4  # maximum ratio of the longer to the shorter side
_MIN_DISTANCE = 1e-3  # metres; nearer distances are clipped


class PublicDepth:
    """`DepthProvider` by a frozen network of transformers, in fp32.

    Images are rounded to 8 bit and preprocessed by the network's image processor, which upscales small ones to the size
    of training. Weights are read from safetensors only; no code is run.

    Args:
        kind: `depth-anything` or `dpt`.
        source: a folder written by `save_pretrained` or downloaded, else a repository of the Hugging Face Hub, read
            from its client's cache or downloaded there.
        device: device of the network, which runs in fp32, or in the dtype of a surrounding autocast.
        progress: display of downloads.

    Raises:
        ResourceError: transformers is not installed, or the weights are missing, damaged, unavailable, or of another
            kind.
    """

    sees_images = True

    def __init__(
        self, kind: str, source: str, device: torch.device, progress: Progress | None = None
    ) -> None:
        transformers = import_transformers()
        self.name, self._device = f"{kind}:{source}", device
        folder = Path(source).expanduser()
        where, is_folder = (str(folder), True) if folder.is_dir() else (source, False)
        if is_folder or _is_cached(where):
            config, network, processor = _load(transformers, where, kind, here=True)
        else:
            config, network, processor = _fetched(transformers, where, kind, progress or Silent())
        self.version = _version(folder if is_folder else None, config)
        self._metric = getattr(config, "depth_estimation_type", "relative") == "metric"
        self._network: Any = network.float().eval().requires_grad_(False).to(device)
        self._processor = processor

    @torch.no_grad()
    def estimate(self, image: Tensor, name: str | None = None) -> Tensor:
        """Estimate depth; see `DepthProvider`. Metric depth is inverted."""
        size = (int(image.shape[2]), int(image.shape[3]))
        seen = _less_narrow(image.float()).clamp(0, 1)
        pixels = (seen[0] * 255).round().to("cpu", torch.uint8).permute(1, 2, 0)
        # Explicit, because an image three pixels high would be taken for channels first.
        prepared = self._processor(
            images=pixels.numpy(), return_tensors="pt", input_data_format="channels_last"
        )
        found: Tensor = self._network(prepared["pixel_values"].to(self._device)).predicted_depth
        depth = found.float()[:, None]
        if self._metric:
            depth = 1 / depth.clamp_min(_MIN_DISTANCE)
        return normalised(resized(depth, size))


def _less_narrow(image: Tensor) -> Tensor:
    """Stretch (1, 3, h, w) if a side is too short for the image processor."""
    height, width = image.shape[2:]
    side = math.ceil(max(height, width) / _MAX_RATIO)
    return bicubic(image, (max(height, side), max(width, side))) if min(height, width) < side else image


def import_transformers() -> Any:
    """Import transformers.

    Raises:
        ResourceError: it is not installed.
    """
    offline_variable()  # before its client of the Hub is imported
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ResourceError(
            f"This depth provider needs the package 'transformers', and '{error.name}' is not installed; run "
            f"pip install 'srkit[depth]', or use the provider {COMPACT}."
        ) from error
    return transformers


def _load(transformers: Any, where: str, kind: str, *, here: bool) -> tuple[Any, Any, Any]:
    """Load configuration, network and image processor; `here`: without a network connection."""
    try:
        config = transformers.AutoConfig.from_pretrained(where, local_files_only=here)
        if config.model_type != _TYPES[kind]:
            raise ResourceError(
                f"'{where}' holds a network of the kind '{config.model_type}'; expected '{_TYPES[kind]}'."
            )
        network = transformers.AutoModelForDepthEstimation.from_pretrained(
            where, config=config, local_files_only=here, use_safetensors=True
        )
        processor = transformers.AutoImageProcessor.from_pretrained(where, local_files_only=here)
    except ResourceError:
        raise
    except Exception as error:  # errors of transformers' readers, the Hub's client and torch
        raise ResourceError(
            f"The depth network '{where}' cannot be loaded ({first_line(error)}); expected a folder or a repository "
            f"with config.json, preprocessor_config.json and model.safetensors, or use the provider {COMPACT}."
        ) from error
    return config, network, processor


def _fetched(transformers: Any, repository: str, kind: str, progress: Progress) -> tuple[Any, Any, Any]:
    """`_load` from a repository that the Hub's client downloads, with its own locks and checksums."""
    from huggingface_hub.constants import HF_HUB_CACHE

    endpoint = hub_endpoint()
    check_may_fetch(
        f"The depth network '{repository}' (no folder, and not in the Hugging Face cache)",
        endpoint,
        f"srkit estimate-kernel INPUT kernels.npz --depth {kind}:{repository}",
        Path(HF_HUB_CACHE),
        f"name a folder that it was downloaded to, or use {COMPACT}",
    )
    licence = _LICENCES.get(repository, f"licence: see {endpoint}/{repository}")
    progress.say(f"fetching {repository} ({licence}) from {endpoint} to {HF_HUB_CACHE}")
    return _load(transformers, repository, kind, here=False)


def _is_cached(repository: str) -> bool:
    """Return whether the weights of a repository are in the cache of the Hub's client."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(repository, "model.safetensors"), str)
    except HFValidationError as error:
        raise ResourceError(
            f"'{repository}' is no folder, and no name of a repository of the Hugging Face Hub (OWNER/NAME); check it."
        ) from error


def _version(folder: Path | None, config: Any) -> str:
    """Commit of a repository, or checksum of a folder's weights."""
    if folder is None:
        return f"commit {str(getattr(config, '_commit_hash', None))[:12]}"
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return f"sha256 {digest.hexdigest()[:12]}"
