"""A loaded model, fine-tuned on examples: what `srkit adapt` and `srkit eval --shots` share."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from srkit.archs.clipsr import takes_text
from srkit.archs.info import ArchInfo
from srkit.conditioning.makers import SEMANTIC, Conditioning, ModelProviders
from srkit.data.examples import Domain, Example, Needs, Split, extras_of, min_validation_side, split_examples
from srkit.data.pairs import CropPlan
from srkit.data.support import SupportPairs, Variety, validation_batches
from srkit.encoders.semantic import SemanticEncoder
from srkit.engine.device import Dtype, has_fast_bf16
from srkit.errors import ResourceError, UsageError
from srkit.losses.table import LossContext, build_losses, needs_of
from srkit.metrics.protocols import DEFAULT_PROTOCOL, find_protocol
from srkit.metrics.ssim import WINDOW
from srkit.ops.geometry import rounded_up
from srkit.ops.layout import channels_last
from srkit.progress import Progress
from srkit.recipes.adapt import Learning, TunePart
from srkit.training.adapt import Adapted, AdaptSettings, Score, adapt, pairs_loss
from srkit.training.inner import ADAM, MUON, SGD, InnerRule, Rates, check_rates, uniform_rates
from srkit.training.rate_probe import best_rate, probe_rates
from srkit.training.validation import psnr_of
from srkit.zoo.loaded import LoadedModel

MIN_PATCH = 16
"""Side in LR pixels that a crop may shrink to where the examples are small."""
OWN_RATE, FOREIGN_RATE = 5e-4, 1e-4
"""Adam's learning rate where the recipe gives none; foreign networks may bear only a tenth of that they were
trained with."""
MIN_PARTS = 4
"""Fewer validation images are cut into parts, so that it shows how much a gain differs from place to place."""
VALIDATION_PIXELS = 1_500_000
"""HR pixels to validate on while adapting goes on, over all images: their middles, so that it takes little time."""


@dataclass(frozen=True)
class Fit:
    """How to fine-tune, and where."""

    tune: TunePart
    device: torch.device
    dtype: Dtype
    seed: int


@dataclass(frozen=True)
class Fitted:
    """The model with its new weights (the base's where adapting did not help), and what came of it."""

    model: LoadedModel
    adapted: Adapted
    rates: str
    """Which rates were used: `learned`, or `0.0005 (adam)`."""
    probe: Mapping[float, float] = field(default_factory=dict, kw_only=True)
    """Mean gain of each rate that was tried first, in dB; empty: none was."""


def split_for(
    domain: Domain, model: LoadedModel, shots: int, holdout: float | None, patch: int, max_pixels: int
) -> Split[Example]:
    """Support and validation examples for a model: see `srkit.data.examples.split_examples`."""
    info = model.info
    border = find_protocol(DEFAULT_PROTOCOL).border(info.scale)
    shortest = max(info.min_size, info.multiple_of)
    needs = Needs(
        scale=info.scale,
        support=rounded_up(max(shortest, min(patch, MIN_PATCH)), info.multiple_of),
        validation=rounded_up(
            max(shortest, min_validation_side(info.scale, border, WINDOW)), info.multiple_of
        ),
        max_pixels=max_pixels,
    )
    return split_examples(domain, shots, holdout, needs)


def fit(model: LoadedModel, split: Split[Example], options: Fit, progress: Progress) -> Fitted:
    """Fine-tune a copy of a model's network on the support, validated on the rest; the model is not changed.

    A network that is conditioned on text is given the captions that lie beside the images; its guide stays as it is.

    Raises:
        UsageError: a loss that this model has no provider for, or learned rates that were asked for and are missing.
        ResourceError: a feature provider that is unavailable, is not the model's own, or rates that do not fit.
    """
    info, tune, device = model.info, options.tune, options.device
    network = channels_last(copy.deepcopy(model.network), device)
    weights = loss_weights(model, tune)
    providers = ModelProviders(device, progress)
    conditioning = providers.conditioning(model)
    encoder = _loss_encoder(model, weights, providers)
    rule, rates, candidates = _rates(model, tune)
    autocast = autocast_for(options.dtype, device, info.bf16_ok)
    losses = build_losses(weights, LossContext(device, semantic=encoder, autocast=autocast))
    settings = settings_of(
        tune,
        autocast,
        rates=rates or uniform_rates(network, candidates[0]),
        rule=rule,
        loss=pairs_loss(lambda sr, hr: losses(sr, hr)[0]),
        training_mode=overwrites_itself(network, info),
    )
    plan = CropPlan(info.scale, _patch(split, tune, info), tune.batch, options.seed)
    # Letters that are turned are others.
    variety = Variety(tune.turns and not takes_text(info), tune.phases, tune.colours)
    extras = [extras_of(one, info) for one in split.support]
    pairs = SupportPairs(split.support, plan, device, conditioning, variety, extras=extras)
    score = _validate(split, info, device, conditioning, autocast)
    gains: dict[float, float] = {}
    if len(candidates) > 1:
        settings, gains = _probed(network, pairs, candidates, tune, score, settings, progress)
    found = adapt(network, pairs, tune.most_steps, score, settings, progress)
    fresh = copy.deepcopy(model.network)
    fresh.load_state_dict(found.state_dict)
    words = f"{best_rate(gains) if gains else candidates[0]:g}" if candidates else "learned"
    return Fitted(replace(model, network=fresh), found, f"{words} ({rule.kind})", probe=gains)


def settings_of(part: Learning, autocast: torch.dtype | None, **others: Any) -> AdaptSettings:
    """What a recipe's part says of how to adapt; `others` are fields beside and over these."""
    said = {
        "minutes": part.minutes,
        "warmup_steps": min(part.warmup_steps, part.most_steps // 10),
        "ema": part.ema,
        "judge_every": part.judge_every,
        "patience": part.patience,
        "autocast": autocast,
    }
    return AdaptSettings(**{**said, **others})


def _probed(
    network: nn.Module,
    pairs: SupportPairs,
    rates: Sequence[float],
    tune: TunePart,
    score: Score,
    settings: AdaptSettings,
    progress: Progress,
) -> tuple[AdaptSettings, dict[float, float]]:
    """The settings with the best of some rates, and what each gained; of the minutes at most a quarter is used up."""
    progress.info(
        f"{tune.probe_steps} steps at each of the rates {', '.join(f'{rate:g}' for rate in rates)} come first; the "
        "best by the validation images is taken"
    )
    started = time.monotonic()
    limited = replace(settings, minutes=None if tune.minutes is None else tune.minutes / 4)
    gains = probe_rates(network, pairs, rates, tune.probe_steps, score, limited, progress)
    rate = best_rate(gains)
    progress.info(f"rate {rate:g} of {', '.join(f'{one:g} ({gain:+.3f} dB)' for one, gain in gains.items())}")
    left = tune.minutes
    if left is not None:
        left = max(left / 2, left - (time.monotonic() - started) / 60)
    return replace(settings, rates=uniform_rates(network, rate), minutes=left), gains


def _loss_encoder(
    model: LoadedModel, weights: Mapping[str, float], providers: ModelProviders
) -> SemanticEncoder | None:
    """The encoder that the model was trained with, where the loss needs one.

    Raises:
        UsageError: the loss needs one, and the model was trained with none.
    """
    if SEMANTIC not in needs_of(weights):
        return None
    if model.header is None or SEMANTIC not in model.header.providers:
        raise UsageError(
            f"The loss 'semantic' needs an encoder, and '{model.name}' was trained with none; leave loss.semantic out."
        )
    encoder: SemanticEncoder = providers.of(model)
    return encoder


def loss_weights(model: LoadedModel, tune: TunePart) -> dict[str, float]:
    """Those that learned rates were learned with, where these are used; else the recipe's."""
    if tune.optimiser == "auto" and model.rates and model.header is not None:
        learned = model.header.rates.get("loss")
        if isinstance(learned, dict) and learned:
            return {str(name): float(weight) for name, weight in learned.items()}
    return dict(tune.loss)


def _rates(model: LoadedModel, tune: TunePart) -> tuple[InnerRule, Rates | None, list[float]]:
    """The direction of a step, and the learned rates, or uniform ones that are to be tried."""
    if tune.optimiser != "auto" or not model.rates:
        rule = {"sgd": SGD, "muon": MUON}.get(tune.optimiser, ADAM)
        if tune.rate is not None:
            return rule, None, [tune.rate]
        usual = OWN_RATE if model.source == "srkit" else FOREIGN_RATE
        rates = [usual * factor for factor in tune.probe] or [usual]
        is_long = tune.most_steps >= 2 * len(rates) * tune.probe_steps
        return rule, None, rates if is_long else rates[:1]
    check_rates(model.network, model.rates, f"'{model.name}'")
    kind = "sgd" if model.header is None else model.header.rates.get("rule", "sgd")
    known = next((rule for rule in (ADAM, SGD) if rule.kind == kind), None)
    if known is None:
        raise ResourceError(
            f"'{model.name}' holds rates for an inner step '{kind}', which this srkit does not know; update srkit."
        )
    return known, model.rates, []


def autocast_for(dtype: Dtype, device: torch.device, bf16_ok: bool) -> torch.dtype | None:
    """bf16 where it is fast and the network bears it; fp16 has too little range for gradients."""
    wanted = dtype == "bf16" or (dtype == "auto" and has_fast_bf16(device))
    return torch.bfloat16 if wanted and bf16_ok else None


def _patch(split: Split[Example], tune: TunePart, info: ArchInfo) -> int:
    """The recipe's, or as large as the smallest example allows, in whole multiples that the network takes."""
    side = min(tune.patch, *(min(example.lr.shape[:2]) for example in split.support))
    return int(max(info.multiple_of, side // info.multiple_of * info.multiple_of, info.min_size))


def _validate(
    split: Split[Example],
    info: ArchInfo,
    device: torch.device,
    conditioning: Conditioning,
    autocast: torch.dtype | None,
) -> Score:
    shortest = rounded_up(
        max(info.min_size, min_validation_side(info.scale, info.scale, WINDOW)), info.multiple_of
    )
    wanted = -(-MIN_PARTS // len(split.validation))
    parts = [max(1, min(wanted, max(one.lr.shape[:2]) // shortest)) for one in split.validation]
    largest = max(shortest, math.isqrt(VALIDATION_PIXELS // sum(parts)) // info.scale)
    batches = [
        batch
        for one, count in zip(split.validation, parts, strict=True)
        for batch in validation_batches(
            one, count, largest, info.multiple_of, device, conditioning, extras_of(one, info)
        )
    ]
    return lambda network: [psnr_of(network, batch, info.scale, autocast) for batch in batches]


@torch.no_grad()
def overwrites_itself(network: nn.Module, info: ArchInfo) -> bool:
    """Whether a network, in evaluation mode, computes parameters from others as it runs (SPAN does).

    What is learned of the computed ones would be lost; in training mode such networks use the others.
    """
    if info.conditioning:  # our own, which do not
        return False
    probe = copy.deepcopy(network).eval()
    parameters = list(probe.parameters())
    for parameter in parameters:
        parameter.add_(1e-3)
    before = [parameter.clone() for parameter in parameters]
    side = rounded_up(max(info.min_size, 16), info.multiple_of)
    probe(torch.full((1, 3, side, side), 0.5, device=parameters[0].device))
    return any(not torch.equal(a, b) for a, b in zip(before, probe.parameters(), strict=True))
