"""Fine-tuning of a loaded model on low-resolution images alone, through a frozen reconstructor."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from srkit.archs.info import ArchInfo
from srkit.archs.reconstructor import MIN_SIDE, DegradationEstimate
from srkit.conditioning.makers import Conditioning, ModelProviders
from srkit.data.examples import Split
from srkit.data.pairs import Batch, CropPlan
from srkit.data.unlabelled import Part, UnpairedCrops, UnpairedDomain, UnpairedImage, parts_of, split_unpaired
from srkit.engine.device import Dtype
from srkit.inference.degrader import Degrader
from srkit.losses.reconstruction import ReconstructionLoss
from srkit.metrics.iqa import Niqe, niqe_is_here
from srkit.metrics.traces import Traces, traces_of
from srkit.ops.geometry import rounded_up
from srkit.ops.layout import as_tensor, channels_last
from srkit.progress import Progress
from srkit.recipes.self_supervised import Control, LoopPart
from srkit.tasks.adapt.fit import Fitted, autocast_for, overwrites_itself, settings_of
from srkit.training.adapt import Interpolation, adapt, lower_bound_of_gain, unchanged
from srkit.training.closed_loop import ClosedLoop
from srkit.training.controller import Controller, Factor, no_factor
from srkit.training.inner import ADAM, uniform_rates
from srkit.training.loop_validator import LoopValidator, Measures, spread_of
from srkit.zoo.loaded import LoadedModel

RATE = 2e-6
"""Adam's default learning rate."""
ALPHAS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.12)
ENDS = RAW, AVERAGE = Interpolation("raw", 1.0), Interpolation("average", 1.0)
INTERPOLATIONS = (*(Interpolation("raw", alpha) for alpha in ALPHAS), AVERAGE)
"""Validated states: the weights, interpolations of them with the base, and their moving average."""
MIN_GAIN = 0.002
"""Minimal lower confidence bound of the score's gain; below, the base is kept."""
VALIDATION_SIDE = 48
"""Longest side of the validation parts, in LR pixels."""
MIN_PARTS = 6
"""Number of validation images below which they are cut into parts, to estimate the variation of the gain."""
_CALIBRATING = 4  # batches over which the gradients' norms are averaged
_ESTIMATED_SIDE = 96  # side in LR pixels of the centre crops from which degradations are estimated


@dataclass(frozen=True)
class LoopFit:
    """Settings of a fine-tuning, and its device."""

    loop: LoopPart
    device: torch.device
    dtype: Dtype
    seed: int

    def autocast(self, info: ArchInfo | None = None) -> torch.dtype | None:
        """Autocast dtype of a network; without `info`, of the frozen networks, which support bf16."""
        return autocast_for(self.dtype, self.device, info.bf16_ok if info is not None else True)


@dataclass(frozen=True)
class State:
    """Scores of the last weights, or of their moving average; means over the validation parts."""

    reconstruction: float
    neutral: float
    far: float
    change: float
    """PSNR in dB between the base's images and those of this state."""

    @classmethod
    def of(cls, found: Measures) -> State:
        means = [sum(of) / len(of) for of in (found.reconstruction, found.neutral, found.far)]
        return cls(means[0], means[1], means[2], found.change)


@dataclass(frozen=True)
class PairFindings:
    """Findings of adaptation on pairs with matched degradations."""

    gain: float
    """Mean gain in PSNR (dB) of the kept weights over the base on held-out pairs; 0 if the base was kept."""
    drawn: int
    """Number of degradation settings that were drawn; 0 if the reconstructor degrades."""
    kept: int
    """Number of these that were used, or of the estimates that the reconstructor applies."""
    distance: float | None
    """Mean distance of the kept settings to the folder's images, in units of the spread of all drawn settings."""
    usual: float | None
    """Mean distance of all drawn settings."""


@dataclass(frozen=True)
class Findings:
    """Findings of self-supervised adaptation beside the weights."""

    best: str
    """Kept state: `base`, `average`, `raw`, or an interpolation with the base, such as `0.35 raw`."""
    raw: State | None
    """Scores of the last weights; None without training."""
    average: State | None
    """Scores of the last moving average; None without training."""
    far_weight: float
    """lambda_ft."""
    spread: float
    """Spread of the degradations of all images (`srkit.training.loop_validator.spread_of`)."""
    traces: Traces
    clean: bool
    """True if the images looked clean, so that no training took place."""
    pairs: PairFindings | None = None
    """Findings of the method `pairs`."""


@dataclass(frozen=True)
class LoopFitted(Fitted):
    """Result of fine-tuning in the closed loop, with its measures."""

    base: Measures
    """Measures of the base on the validation parts."""
    best: Measures
    """Measures of the kept weights."""
    parts: tuple[Part, ...]
    """Validation parts."""
    findings: Findings


def min_side(model: LoadedModel, degrader: Degrader) -> int:
    """Minimal shorter side of a usable image, in LR pixels."""
    shortest = max(MIN_SIDE, degrader.distance.smallest, model.info.min_size)
    return rounded_up(shortest, model.info.multiple_of)


def split_for(
    domain: UnpairedDomain, model: LoadedModel, degrader: Degrader, holdout: float | None, max_pixels: int
) -> Split[UnpairedImage]:
    """Support and validation images for a model: see `srkit.data.unlabelled.split_unpaired`."""
    return split_unpaired(domain, holdout, min_side(model, degrader), max_pixels)


def fit(
    model: LoadedModel, degrader: Degrader, split: Split[UnpairedImage], options: LoopFit, progress: Progress
) -> LoopFitted:
    """Fine-tune a copy of a model's network on the support set, with validation on the other images.

    The model is not changed.

    Raises:
        UsageError: the network needs a condition that adaptation cannot provide.
        ResourceError: the encoder that the network was trained with is unavailable.
    """
    info, part, device = model.info, options.loop, options.device
    network = placed(model.network, device)
    conditioning = ModelProviders(device, progress).conditioning(model)
    autocast = options.autocast(info)
    patch = _patch(split.support, part, info.multiple_of)
    crops = UnpairedCrops(
        split.support,
        CropPlan(info.scale, patch, part.batch, options.seed, augment=part.turns),
        device,
        conditioning,
    )
    loop = closed_loop(degrader, part)
    first = list(itertools.islice(crops.batches(0), _CALIBRATING))
    loop = loop.calibrated(network, first, part.far_share, autocast)
    parts, score = loop_validator(model, network, degrader, loop, split, conditioning, options)
    images = (*split.support, *split.validation)
    traces = traces_of([image.lr for image in images])
    clean = traces.clean and not part.even_clean
    rate = part.rate or RATE
    chosen = part.keep == "judged"
    # Every state gains in this case (`_any_gain`), so the first validated one is kept.
    interpolations = INTERPOLATIONS if chosen else tuple(sorted(ENDS, key=lambda end: end.of != part.keep))
    settings = settings_of(
        part,
        autocast,
        rates=uniform_rates(network, rate),
        rule=ADAM,
        loss=loop.loss(options.seed),
        ema_warmup=False,
        interpolations=interpolations,
        all_interpolations=True,
        judge_every=part.judge_every if chosen else part.most_steps,
        gain=lower_bound_of_gain if chosen else _any_gain,
        min_gain=MIN_GAIN,
        unit="times what the base has",
        training_mode=overwrites_itself(network, info),
    )
    found = (
        unchanged(network, score)
        if clean
        else adapt(network, crops, part.most_steps, score, settings, progress)
    )
    fresh = copy.deepcopy(model.network)
    fresh.load_state_dict(found.state_dict)
    last = {
        one.interpolation: measures for one, measures in zip(found.validated, score.seen[1:], strict=True)
    }
    ends = [State.of(last.get(end, score.base)) if found.validated and not clean else None for end in ENDS]
    return LoopFitted(
        model=replace(model, network=fresh),
        adapted=found,
        rates=f"{rate:g} ({ADAM.kind})",
        base=score.base,
        best=score.measure(placed(fresh, device)) if found.kept else score.base,
        parts=parts,
        findings=Findings(
            best=best_words(found.best_interpolation),
            raw=ends[0],
            average=ends[1],
            far_weight=loop.far_weight,
            spread=spread_of(estimates(images, degrader, device).embedding.cpu()),
            traces=traces,
            clean=clean,
        ),
    )


def loop_validator(
    model: LoadedModel,
    network: nn.Module,
    degrader: Degrader,
    loop: ClosedLoop,
    split: Split[UnpairedImage],
    conditioning: Conditioning,
    options: LoopFit,
) -> tuple[tuple[Part, ...], LoopValidator]:
    """Validation parts, and the validator on them.

    Args:
        network: the model's network, on the device.
    """
    shortest, device = min_side(model, degrader), options.device
    parts = tuple(parts_of(split.validation, MIN_PARTS, VALIDATION_SIDE, shortest, model.info.multiple_of))
    return parts, LoopValidator(
        loop,
        factor_of(degrader.controller, "off"),
        network,
        _batches(parts, device, conditioning),
        options.loop.most_change,
        options.autocast(model.info),
        _niqe(device),
    )


def best_words(interpolation: Interpolation | None) -> str:
    if interpolation is None:
        return "base"
    return interpolation.of if interpolation.alpha == 1 else f"{interpolation.alpha:g} {interpolation.of}"


def closed_loop(degrader: Degrader, part: LoopPart) -> ClosedLoop:
    """Closed loop with the recipe's settings; lambda is not set yet."""
    return ClosedLoop(
        network=degrader.network,
        reconstruction=ReconstructionLoss(degrader.distance, part.perceptual, degrader.autocast),
        far=degrader.far,
        factor=factor_of(degrader.controller, part.control, part.noise_std),
        draws=part.draws,
        autocast=degrader.autocast,
    )


def factor_of(controller: Controller | None, control: Control, noise_std: float | None = None) -> Factor:
    """Factor of the embeddings, from a reconstructor's controller.

    Args:
        noise_std: replaces the controller's value.
    """
    if controller is None:
        return no_factor
    if noise_std is not None:
        controller = Controller(noise_std)
    factors: dict[Control, Factor] = {
        "adapting": controller.adapting,
        "paper": controller.paper,
        "reversed": controller.pretraining,
        "off": controller.neutral,
    }
    return factors[control]


@torch.no_grad()
def estimates(
    images: Sequence[UnpairedImage], degrader: Degrader, device: torch.device
) -> DegradationEstimate:
    """Degradation estimates of centre crops of images."""
    parts = parts_of(images, len(images), _ESTIMATED_SIDE, MIN_SIDE, 1)
    found = [degrader.estimate(as_tensor(part.pixels, device)) for part in parts]
    return DegradationEstimate(*map(torch.cat, zip(*found, strict=True)))


def _any_gain(before: Sequence[float], after: Sequence[float]) -> float:
    return math.inf


def _niqe(device: torch.device) -> Callable[[Tensor], float] | None:
    """NIQE of an image (1, 3, H, W) in [0, 1]; None if its parameters are not available."""
    if not niqe_is_here():
        return None
    metric = Niqe(device)
    return metric.score


def _batches(parts: Sequence[Part], device: torch.device, conditioning: Conditioning) -> list[Batch]:
    known = {part.image.name: part.image.lr for part in parts}
    conditions = {name: conditioning(lr) for name, lr in known.items()}
    return [part.batch(device, conditions[part.image.name]) for part in parts]


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy of the network on a device."""
    return channels_last(copy.deepcopy(network), device)


def _patch(images: Sequence[UnpairedImage], part: LoopPart, multiple: int) -> int:
    """Side of a crop: the recipe's, or as large as the smallest image allows, in multiples that the network takes."""
    side = min(part.patch, *(min(image.lr.shape[:2]) for image in images))
    return int(side // multiple * multiple)
