"""Base of trainings of SR networks (kinds `sr`, `gan`, `reconstructor`): images, validation, weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.archs.info import ArchInfo
from srkit.archs.table import build, info_of
from srkit.conditioning.makers import SEMANTIC, UNCONDITIONED, Conditioning, Sources, roles_of
from srkit.conditioning.values import whole
from srkit.data.captioned import render_captioned
from srkit.data.pairs import CropPlan, JoinedPairs, MemoryPairs, PairSource, crop_to_multiple, make_lr
from srkit.data.photographs import PhotographReader, fits_in_memory
from srkit.data.real_pairs import RealPairs, RealPlan, make_real_lr
from srkit.data.streamed import StreamedPairs
from srkit.engine.overlap import measure_overlap
from srkit.errors import SrkitError, UsageError
from srkit.ops.geometry import rounded_up
from srkit.ops.layout import channels_last
from srkit.recipes.train import DataPart, ModelPart, TeacherPart, degradation_of
from srkit.tasks.train.experiment import Experiment, R, Setting, blank_network, check_domains, check_holdout
from srkit.tasks.train.job import TrainJob, split_files
from srkit.tasks.train.providers import Providers, check_providers, load_providers
from srkit.tasks.train.teachers import NamedTeacher, load_teacher
from srkit.training.state import TrainState
from srkit.training.teacher import TaughtPairs
from srkit.training.trainer import PSNR, Validation
from srkit.training.validation import Lower, psnr_validator
from srkit.zoo.manifest import HELD_OUT

_VALIDATION_SEED = 1 << 20  # of the validation's degradation, independent of the recipe's seed
_OVERLAP_SAMPLES = 6
_OVERLAP_SIDE = 160  # LR pixels


@dataclass(frozen=True)
class Images:
    """Training and validation images of a run."""

    pairs: PairSource
    """Training pairs; `srkit.data.real_pairs.RealPairs` if the recipe names a degradation."""
    count: int
    held_out: tuple[str, ...]
    validation: list[NDArray[np.uint8]]
    """The held-out images, (H, W, 3)."""


def check_images(job: TrainJob[Any]) -> None:
    """Check the part `data` of a recipe.

    Raises:
        UsageError: the part is invalid.
    """
    data: DataPart = job.recipe.data
    check_holdout(data.holdout_every, "data.holdout_every", job)
    if not data.sizes:
        raise UsageError("'data.sizes' is []; it must name at least one factor above 0 and at most 1.")
    if degradation_of(data) is not None and data.residency == "stream":
        raise UsageError(
            f"'data.degradation' is '{data.degradation}' and 'data.residency' is 'stream'; crops are degraded of "
            "images held in memory alone: set data.residency=memory, or give fewer images."
        )
    if data.rendered or data.rendered_batch:
        _check_rendered(data, model_info(job.recipe.model).scale)


def _check_rendered(data: DataPart, scale: int) -> None:
    check_domains(data.rendered, "data.rendered")
    if data.rendered_batch >= data.batch or bool(data.rendered_batch) != bool(data.rendered):
        raise UsageError(
            f"'data.rendered_batch' is {data.rendered_batch}, 'data.batch' {data.batch}, and 'data.rendered' names "
            f"{len(data.rendered)} domains; a step needs crops of photographs too, and of rendered images where "
            "there are any."
        )
    side = (RealPlan if data.degradation else CropPlan)(scale, data.patch, data.batch, 0).smallest_side
    if min(data.rendered_sides, default=0) < side:
        raise UsageError(
            f"'data.rendered_sides' is {list(data.rendered_sides)}, and 'data.patch' {data.patch} needs "
            f"{side} pixels; every side must be as large."
        )


def model_info(model: ModelPart) -> ArchInfo:
    """Facts about a recipe's network, without allocating its tensors.

    Raises:
        UsageError: the network does not exist.
    """
    return info_of(blank_network(model))


def conditioned(network: nn.Module, arch: str, providers: Providers, device: torch.device) -> Conditioning:
    """Conditioning of a network on a device, tested once, to find a mismatched encoder before the first image.

    Args:
        arch: name of the network, for the message.

    Raises:
        UsageError: the network does not accept the encoder's output.
    """
    info, encoder = info_of(network), providers.semantic
    conditioning = Conditioning(info.conditioning, Sources(network, {SEMANTIC: encoder}, device=device))
    if not conditioning.of_content or encoder is None:
        return conditioning
    side = rounded_up(max(16, info.min_size), info.multiple_of)
    lr = torch.zeros(1, 3, side, side, device=device)
    try:
        with torch.no_grad():
            network(lr, **whole(conditioning(np.zeros((side, side, 3), np.uint8)), (side, side), device))
    except RuntimeError as error:
        raise UsageError(
            f"The network '{arch}' does not take what the encoder '{encoder.name}' gives: vectors of {encoder.dim} "
            f"numbers and tokens of {encoder.token_channels} channels; set semantic_dim and token_channels in "
            "model.arguments to these, or choose another providers.semantic."
        ) from error
    return conditioning


class ImageExperiment(Experiment[R]):
    """Training of an SR network, for recipes with `model`, `data`, `run` and `providers`."""

    images: Images
    providers: Providers
    conditioning: Conditioning
    teacher: NamedTeacher | None = None

    @classmethod
    def needed_providers(cls, recipe: R) -> frozenset[str]:
        """Providers that the recipe's network and loss need."""
        return roles_of(model_info(recipe.model).conditioning)

    @classmethod
    def check(cls, job: TrainJob[R]) -> None:
        check_images(job)
        check_providers(job.recipe.providers, cls.needed_providers(job.recipe))

    def network(self) -> nn.Module:
        """The network on its device, with its initial weights; sets `info` and the providers.

        Raises:
            UsageError, ResourceError: weights or providers cannot be used.
        """
        recipe, setting = self.recipe, self.setting
        network = build(recipe.model.arch, recipe.model.arguments)
        self.info = info_of(network)
        self.start(network)
        channels_last(network, setting.device)
        needed = self.needed_providers(recipe)
        self.providers = load_providers(recipe.providers, needed, setting.device, setting.progress)
        self.conditioning = conditioned(network, recipe.model.arch, self.providers, setting.device)
        return network

    def validation(self) -> Callable[[nn.Module], Validation]:
        """PSNR of the held-out images; see `srkit.training.validation.psnr_validator`."""
        images, device = self.images.validation, self.setting.device
        lower = _lower(self.recipe.data, self.info.scale)
        scored = psnr_validator(images, self.info.scale, device, self.autocast, self.conditioning, lower)
        return PSNR.of(scored)

    def export(self, state: TrainState) -> None:
        network = self.trained(state)
        self.setting.progress.info("measuring how far tiles must overlap")
        psnr = {"psnr": round(state.best_score, 3)}
        self.save(
            network,
            state,
            scale=self.info.scale,
            overlap=self._overlap(network),
            providers=self.providers.header | self.further_providers(),
            scores={"classical": {self.held_out_name: psnr}, **self.further_scores(network.eval())},
            **self.further_facts(network),
        )

    @property
    def held_out_name(self) -> str:
        """Name of the held-out images in the header."""
        data = self.recipe.data
        return f"{HELD_OUT}, degraded ({data.degradation})" if data.degradation else HELD_OUT

    def held_out_lr(self) -> list[Tensor]:
        """LR of corner crops of the largest held-out images, degraded as in the recipe, (1, 3, h, w) in [0, 1], CPU."""
        scale = self.info.scale
        lower, side = (
            _lower(self.recipe.data, scale) or (lambda hr, _: make_lr(hr, scale)),
            _OVERLAP_SIDE * scale,
        )
        corners = [crop_to_multiple(image[:side, :side], scale) for image in self._largest()]
        made = (lower(corner, number) for number, corner in enumerate(corners))
        return [torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 255 for lr in made]

    def further_scores(self, network: nn.Module) -> dict[str, Any]:
        """Further scores for the header, of the final network on the CPU."""
        return {}

    def further_facts(self, network: nn.Module) -> dict[str, Any]:
        """Further fields of the header, for the final network."""
        if self.teacher is None:
            return {}
        words = "; ".join(text for text in (self.setting.job.data_words, self.teacher.words) if text)
        return {"teacher": self.teacher.header, "training_data": words}

    def taught_by(self, part: TeacherPart) -> PairSource:
        """The training pairs, with the results of the recipe's teacher, if any, which the header then names.

        Raises:
            UsageError, ResourceError: as in `load_teacher`.
        """
        self.teacher, pairs = load_teacher(part, self.info, self.setting), self.images.pairs
        if self.teacher is None:
            return pairs
        seed, device = self.recipe.seed, self.setting.device
        return TaughtPairs(pairs, self.teacher.teacher, part.reuse, part.kept, seed, device)

    def further_providers(self) -> dict[str, str]:
        """Header entries of providers beside those of the recipe's part."""
        return {}

    def _overlap(self, network: nn.Module) -> int:
        samples = [_lr_sample(image, self.info.scale) for image in self._largest()]
        return measure_overlap(
            network, self.info, samples, torch.device("cpu"), self.conditioning_of(network)
        )

    def _largest(self) -> list[NDArray[np.uint8]]:
        largest = sorted(self.images.validation, key=lambda image: min(image.shape[:2]), reverse=True)
        return largest[:_OVERLAP_SAMPLES]

    def conditioning_of(self, network: nn.Module) -> Conditioning:
        """Conditioning of the final network."""
        return self.conditioning


def load_images(setting: Setting[Any], info: ArchInfo, conditioning: Conditioning = UNCONDITIONED) -> Images:
    """Load the job's images; unusable images are skipped and reported.

    Raises:
        SrkitError: no image is usable, or the images do not fit into memory with residency `memory`.
    """
    data, scale, progress = setting.recipe.data, info.scale, setting.progress
    degradation = degradation_of(data)
    plan = crop_plan(setting, scale)
    if degradation is not None:
        plan = RealPlan(**vars(plan), degradation=degradation)
    plan, of_rendered = split_plan(data, plan)

    def in_memory(images: Sequence[NDArray[np.uint8]], plan: CropPlan) -> PairSource:
        if isinstance(plan, RealPlan):
            return RealPairs(images, plan, setting.device, conditioning, progress)
        return MemoryPairs(images, plan, setting.device, conditioning, progress)

    # Large enough for crops at one size at least; degradations need colour images.
    reader = PhotographReader(math.ceil(plan.smallest_side / max(data.sizes)), gray=degradation is None)
    split = split_files(setting.job, data.holdout_every, reader, 4 * scale, progress)
    fits = data.residency == "auto" and fits_in_memory(split.rest, scale, setting.device, data.sizes)
    files = split.rest
    pairs: PairSource
    if degradation is None and not fits and data.residency != "memory":
        reader.report(progress)
        pairs = StreamedPairs(files, plan, setting.device, data.workers, conditioning, progress)
    elif data.residency == "auto" and not fits:
        raise SrkitError(
            "The images take more than half of the free memory, and those that are to be degraded must be held "
            "in it; give fewer to `data`, or set data.residency=memory to try all the same."
        )
    else:
        files, images = reader.read_all(files, progress)
        pairs = in_memory(images, plan)
    if data.rendered:
        drawn = render_captioned(data.rendered, data.rendered_sides, "train", 0, progress)
        pairs = JoinedPairs((pairs, in_memory([image.pixels for image in drawn], of_rendered)))
    return Images(
        pairs,
        len(files) + sum(data.rendered.values()),
        tuple(file.name for file in split.files),
        split.images,
    )


def crop_plan(setting: Setting[Any], scale: int) -> CropPlan:
    """Crops as in the recipe's part `data`."""
    data, world = setting.recipe.data, setting.world
    return CropPlan(
        scale,
        data.patch,
        data.batch,
        setting.recipe.seed,
        data.augment,
        world.rank,
        world.size,
        data.sizes,
        data.best_of,
    )


def split_plan(data: DataPart, plan: CropPlan) -> tuple[CropPlan, CropPlan]:
    """Crops of photographs, and those of rendered images, which are not resized."""
    return (
        replace(plan, batch=data.batch - data.rendered_batch),
        replace(plan, batch=data.rendered_batch, sizes=(1.0,), seed=plan.seed + 1),
    )


def _lower(data: DataPart, scale: int) -> Lower | None:
    """Degradation of validation images to LR; None for bicubic."""
    degradation = degradation_of(data)
    if degradation is None:
        return None

    def lower(image: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        rng = torch.Generator().manual_seed(_VALIDATION_SEED + number)
        return make_real_lr(image, scale, degradation, rng, torch.device("cpu"))

    return lower


def _lr_sample(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    side = _OVERLAP_SIDE * scale
    return make_lr(crop_to_multiple(image[:side, :side], scale), scale)
