"""Trained, frozen reconstructor with its providers, which gives the cycle loss of self-supervised adaptation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from srkit.archs.reconstructor import DegradationEstimate, Reconstructor
from srkit.encoders.distance import PerceptualDistance, perceptual_distance
from srkit.encoders.stages import EncoderStage, encoder_stage
from srkit.errors import ResourceError, UsageError
from srkit.losses.reconstruction import Far
from srkit.ops.layout import channels_last, in_precision
from srkit.progress import Progress
from srkit.training.controller import Controller, quality_distance
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.manifest import Manifest

TASK = "reconstructor"
AUTO = "auto"


@dataclass(frozen=True)
class Degrader:
    """Frozen networks that estimate the degradation of images and apply it again."""

    model: LoadedModel
    network: Reconstructor
    """Network on the device, in evaluation mode, channels_last."""
    distance: PerceptualDistance
    stage: EncoderStage
    controller: Controller | None
    """Controller, or None if the reconstructor was trained without one; embeddings are then used unscaled."""
    autocast: torch.dtype | None

    @property
    def far(self) -> Far:
        """Regulariser that the reconstructor was trained with."""
        return Far(self.stage, self.autocast)

    @property
    def header(self) -> dict[str, str]:
        """Header entries for weights that are adapted with this degrader."""
        return {
            "reconstructor": self.model.name,
            "reconstructor version": f"sha256 {self.model.sha256[:12]}",
            "distance": self.distance.name,
            "distance version": self.distance.version,
        }

    def estimate(self, lr: Tensor) -> DegradationEstimate:
        """Estimate the degradation of images (N, 3, h, w) in [0, 1]."""
        with in_precision(lr, self.autocast):
            return self.network.estimate(lr)

    def image_features(self, images: Tensor) -> Tensor:
        """Image features e_im (N, F, s h, s w) of images (N, 3, s h, s w)."""
        with in_precision(images, self.autocast):
            return self.network.image_features(images)

    def reconstruct(self, embedding: Tensor, features: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See `Reconstructor.reconstruct`."""
        with in_precision(features, self.autocast):
            return self.network.reconstruct(embedding, features, rng)

    def quality_distance(self, lr: Tensor, hr: Tensor) -> Tensor:
        """Quality distance l (N,); see `srkit.training.controller.quality_distance`."""
        return quality_distance(self.distance, lr, hr, self.autocast)


def load_degrader(
    source: str,
    scale: int,
    device: torch.device,
    autocast: torch.dtype | None,
    progress: Progress | None = None,
) -> Degrader:
    """Load a reconstructor for a scale, with its providers.

    Args:
        source: name of a model, a file, or `auto` for the shipped one of that scale.
        autocast: precision of all computations; None: fp32.
        progress: display of downloads.

    Raises:
        ResourceError: it is missing, damaged, or for another scale or task, or a provider is unavailable or of
            another version than in training.
    """
    model = load_model(_shipped(scale) if source == AUTO else source, task=TASK, progress=progress)
    network = model.network
    if not isinstance(network, Reconstructor) or model.header is None:
        raise ResourceError(f"'{model.path}' holds a network '{model.architecture}'; expected '{TASK}'.")
    if model.info.scale != scale:
        raise ResourceError(
            f"The reconstructor '{model.name}' is for x{model.info.scale}, and x{scale} is needed; choose one for that "
            f"scale, or train it with `srkit train reconstructor --set model.arguments.scale={scale}`."
        )
    named = model.header.providers
    try:
        distance = perceptual_distance(named.get("distance", ""), device, progress=progress)
        stage = encoder_stage(named.get("far", ""), named.get("far stage", ""), device, progress=progress)
    except UsageError as error:
        raise ResourceError(
            f"The weights '{model.path}' name a provider that is unavailable: {error}"
        ) from error
    for role, version in (("distance", distance.version), ("far", stage.version)):
        _check_version(model, role, version)
    channels_last(network, device)
    return Degrader(model, network, distance, stage, _controller(model), autocast)


def shipped_reconstructors() -> dict[int, str]:
    """Names of the shipped reconstructors by scale."""
    return {entry.scale: entry.name for entry in Manifest.load().shipped() if entry.task == TASK}


def _shipped(scale: int) -> str:
    known = shipped_reconstructors()
    if scale not in known:
        scales = " and ".join(f"x{one}" for one in sorted(known)) or "no scale"
        raise ResourceError(
            f"There is no shipped reconstructor for x{scale} (there are for {scales}); train one with `srkit train "
            f"reconstructor --set model.arguments.scale={scale}` and name its file."
        )
    return known[scale]


def _controller(model: LoadedModel) -> Controller | None:
    found = model.header.controller if model.header is not None else {}
    if not found:
        return None
    try:
        return Controller(float(found["noise_std"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ResourceError(
            f"The header of '{model.path}' says of its controller {found!r}; expected 'noise_std': fetch or train the "
            "weights anew."
        ) from error


def _check_version(model: LoadedModel, role: str, found: str) -> None:
    named = model.header.providers if model.header is not None else {}
    wanted = named.get(f"{role} version", "")
    if found != wanted:
        raise ResourceError(
            f"The reconstructor '{model.path}' was trained with '{named.get(role)}' ({wanted}), and here it is another "
            f"({found}); use the version of srkit and the weights that they came with."
        )
