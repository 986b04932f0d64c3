"""Fine-tuning of a loaded model on examples, for `srkit adapt` and `srkit eval --shots`."""

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
"""Minimal side of a crop in LR pixels, for small examples."""
OWN_RATE, FOREIGN_RATE = 5e-4, 1e-4
"""Adam's default learning rate; foreign networks may tolerate only a tenth of the rate that they were trained with."""
MIN_PARTS = 4
"""Number of validation images below which they are cut into parts, to estimate the variation of the gain."""
VALIDATION_PIXELS = 1_500_000
"""Total number of HR pixels for validation during adaptation; centre crops are used, to save time."""


@dataclass(frozen=True)
class Fit:
    """Settings of a fine-tuning, and its device."""

    tune: TunePart
    device: torch.device
    dtype: Dtype
    seed: int


@dataclass(frozen=True)
class Fitted:
    """The model with its new weights (the base's if adaptation did not help), and the result of the fine-tuning."""

    model: LoadedModel
    adapted: Adapted
    rates: str
    """Description of the rates: `learned`, or `0.0005 (adam)`."""
    probe: Mapping[float, float] = field(default_factory=dict, kw_only=True)
    """Mean gain in dB of each rate that was tried first; empty without trials."""


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
    """Fine-tune a copy of a model's network on the support set with validation; the model is not changed.

    A network that is conditioned on text uses the captions beside the images; its guide stays fixed.

    Raises:
        UsageError: a loss for which this model has no provider, or learned rates that are requested but missing.
        ResourceError: a feature provider that is unavailable or not the model's own, or rates that do not fit.
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
    # Flips and rotations turn letters into others.
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
    """Settings of the adaptation from a recipe's part; `others` are further fields, which take precedence."""
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
    """Settings with the best of some rates, and the gain of each; trials use at most a quarter of the minutes."""
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
    """The encoder that the model was trained with, if the loss needs one.

    Raises:
        UsageError: the loss needs one, but the model was trained without.
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
    """Weights of the loss terms: those that learned rates were trained with, if these are used; else the recipe's."""
    if tune.optimiser == "auto" and model.rates and model.header is not None:
        learned = model.header.rates.get("loss")
        if isinstance(learned, dict) and learned:
            return {str(name): float(weight) for name, weight in learned.items()}
    return dict(tune.loss)


def _rates(model: LoadedModel, tune: TunePart) -> tuple[InnerRule, Rates | None, list[float]]:
    """Direction of a step, and the learned rates, or candidates for a uniform rate."""
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
    """bf16 if it is fast and the network supports it; the range of fp16 is too small for gradients."""
    wanted = dtype == "bf16" or (dtype == "auto" and has_fast_bf16(device))
    return torch.bfloat16 if wanted and bf16_ok else None


def _patch(split: Split[Example], tune: TunePart, info: ArchInfo) -> int:
    """Side of a crop: the recipe's, or as large as the smallest example allows, in multiples that the network takes."""
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
    """True if a network in evaluation mode computes parameters from others at run time (SPAN does).

    Training would be lost for the computed parameters; in training mode such networks use the others.
    """
    if info.conditioning:  # this project's networks, which do not
        return False
    probe = copy.deepcopy(network).eval()
    parameters = list(probe.parameters())
    for parameter in parameters:
        parameter.add_(1e-3)
    before = [parameter.clone() for parameter in parameters]
    side = rounded_up(max(info.min_size, 16), info.multiple_of)
    probe(torch.full((1, 3, side, side), 0.5, device=parameters[0].device))
    return any(not torch.equal(a, b) for a, b in zip(before, probe.parameters(), strict=True))
