"""Checks that a reconstructor must pass before models are adapted with it, on images outside its training data.

    SRKIT_DATA=... python experiments/reconstructor_gates.py [--model FILE] [--scale 4] [--count 40] [--write]

(i) FAR separates clean images from blurred, noisy and compressed ones: AUC of each, as trained, and for every stage of
the encoder with T_a and T_m fitted to clean images alone, by ridge regression. (ii) LR reconstructed from mixtures of
HR and the upsampled LR: with the controller, PSNR must not rise towards the latter. (iii) The change of the output when
the factor of the controller is doubled. (iv) Embeddings swapped between images change noise and blur in the right
direction. tests/experiments/test_reconstructor_gates.py asserts these numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.ablations import auc
from experiments.images import batch, middles
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.degradation.filters import filtered
from srkit.degradation.jpeg import jpegs
from srkit.degradation.second_order import second_order
from srkit.encoders.stages import STAGES, encoder_stage
from srkit.inference.degrader import Degrader, load_degrader
from srkit.losses.reconstruction import Far, far
from srkit.metrics.psnr import psnr
from srkit.ops.descriptors import gram_descriptors
from srkit.ops.resize import bicubic, upscale
from srkit.recipes.degradation import second_order_settings
from srkit.recipes.self_supervised import Control
from srkit.tasks.adapt.loop import factor_of

CPU = torch.device("cpu")
SETS = ("BSD100", "Urban100")
SIDE = 128  # of the centre crops, in HR pixels
FLAWS = {
    "blur, sigma 1 px": lambda x, rng: filtered(x, gaussian(1.0)),
    "blur, sigma 2 px": lambda x, rng: filtered(x, gaussian(2.0)),
    "noise, sigma 10": lambda x, rng: noisy(x, 10, rng),
    "noise, sigma 25": lambda x, rng: noisy(x, 25, rng),
    "JPEG, quality 30": lambda x, rng: jpegs([x], [30])[0],
    "JPEG, quality 10": lambda x, rng: jpegs([x], [10])[0],
}
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Alphas of gate (ii): 0 is HR, 1 the upsampled LR."""
_RIDGE = 1e-2
_BATCH = 8


def gaussian(sigma: float) -> Tensor:
    offset = torch.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1)
    taps = (-0.5 * (offset / sigma).square()).softmax(0)
    return torch.outer(taps, taps)


def noisy(x: Tensor, sigma: float, rng: torch.Generator) -> Tensor:
    return (x + torch.randn(x.shape, generator=rng) * sigma / 255).clamp(0, 1)


def held_out_images(count: int) -> Tensor:
    """Centre crops (count, 3, SIDE, SIDE) of benchmarks, in [0, 1]."""
    return torch.cat([batch(image) for image in middles(SETS, count, SIDE)])


def flawed(images: Tensor, flaw: str) -> Tensor:
    return torch.cat(
        [FLAWS[flaw](one, torch.Generator().manual_seed(n)) for n, one in enumerate(torch.split(images, 1))]
    )


def _in_batches(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    parts = torch.split(images, _BATCH)
    return torch.cat([function(part.contiguous(memory_format=torch.channels_last)) for part in parts])


@torch.inference_mode()
def far_aucs(degrader: Degrader, images: Tensor) -> dict[str, float]:
    """Gate (i): AUC of FAR, as trained, between images and the same with each of `FLAWS`."""

    def score(x: Tensor) -> Tensor:
        return degrader.far(degrader.network, x)

    clean = _in_batches(score, images)
    return {flaw: auc(clean, _in_batches(score, flawed(images, flaw))) for flaw in FLAWS}


@torch.inference_mode()
def fitted_aucs(degrader: Degrader, images: Tensor, encoder: str) -> dict[str, dict[str, float]]:
    """The same for every stage, T_a and T_m fitted to one half of the clean images; AUC on the other half."""
    found: dict[str, dict[str, float]] = {}
    own = {
        flaw: _descriptors(degrader, x)
        for flaw, x in (("", images), *((flaw, flawed(images, flaw)) for flaw in FLAWS))
    }
    for name in STAGES:
        regulariser = Far(encoder_stage(encoder, name, CPU), degrader.autocast)
        scores = {}
        theirs = {"": _encoded(regulariser, images)}
        fits = [Ridge(a[::2], b[::2]) for a, b in zip(own[""], theirs[""], strict=True)]
        for flaw, mine in own.items():
            seen = theirs.get(flaw) or _encoded(regulariser, flawed(images, flaw))
            pairs = [fit(a, b) for fit, a, b in zip(fits, mine, seen, strict=True)]
            scores[flaw] = far((pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]))[1::2]
        found[name] = {flaw: auc(scores[""], scores[flaw]) for flaw in FLAWS}
    return found


class Ridge:
    """Linear prediction of descriptors, both standardised on the images that it is fitted to."""

    def __init__(self, own: Tensor, theirs: Tensor) -> None:
        self._own, self._theirs = ((x.mean(0), x.std(0).clamp_min(1e-6)) for x in (own, theirs))
        x, y = self._relative(own, theirs)
        square = x.T @ x + _RIDGE * len(x) * torch.eye(x.shape[1])
        self._map = torch.linalg.solve(square, x.T @ y)

    def _relative(self, own: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
        return (own - self._own[0]) / self._own[1], (theirs - self._theirs[0]) / self._theirs[1]

    def __call__(self, own: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted and actual."""
        x, y = self._relative(own, theirs)
        return x @ self._map, y


def _descriptors(degrader: Degrader, images: Tensor) -> tuple[Tensor, Tensor]:
    both = _in_batches(
        lambda x: torch.cat(gram_descriptors(degrader.image_features(x)), dim=1), images
    ).chunk(2, dim=1)
    return both[0], both[1]


def _encoded(regulariser: Far, images: Tensor) -> tuple[Tensor, Tensor]:
    both = _in_batches(lambda x: torch.cat(regulariser.descriptors(x), dim=1), images).chunk(2, dim=1)
    return both[0], both[1]


@torch.inference_mode()
def curves(degrader: Degrader, images: Tensor, settings: str = "mild") -> dict[str, list[float]]:
    """Gate (ii): PSNR of LR reconstructed from Y_i = i up(X) + (1 - i) Y, for each i of `STEPS`.

    By the factor of the embedding: `adapting`, the controller's while a network is adapted; `true`, the same with the
    true l*; `pretraining`, the controller's while the reconstructor was trained; `neutral`, l*.
    """
    scale = degrader.model.info.scale
    lr = degraded(degrader, images, settings)
    large = upscale(lr, scale).clamp(0, 1)
    estimate, true = degrader.estimate(lr), degrader.quality_distance(lr, images)
    factors: dict[str, tuple[Control, Tensor]] = {
        "adapting": ("adapting", estimate.distance),
        "true": ("adapting", true),
        "pretraining": ("reversed", estimate.distance),
        "neutral": ("off", estimate.distance),
    }
    found: dict[str, list[float]] = {name: [] for name in factors}
    for alpha in STEPS:
        y = torch.lerp(images, large, alpha)
        features, distance = degrader.image_features(y), degrader.quality_distance(lr, y)
        for name, (control, expected) in factors.items():
            factor = factor_of(degrader.controller, control)(distance, expected, 1, None)
            made = degrader.reconstruct(estimate.embedding * factor, features)
            found[name].append(float(psnr(made.clamp(0, 1), lr).mean()))
    return found


def degraded(degrader: Degrader, images: Tensor, settings: str) -> Tensor:
    """LR by the second-order degradation, the same for the same images."""
    rng = torch.Generator().manual_seed(0)
    return second_order(images, degrader.model.info.scale, second_order_settings(settings), rng)[0]


@torch.inference_mode()
def distance_error(degrader: Degrader, images: Tensor, settings: str = "mild") -> tuple[float, float]:
    """RMSE of the estimated l*, and the standard deviation of l, which is the RMSE of the best constant."""
    lr = degraded(degrader, images, settings)
    true = degrader.quality_distance(lr, images)
    error = (degrader.estimate(lr).distance - true).square().mean().sqrt()
    return float(error), float(true.std(correction=0))


@torch.inference_mode()
def reaction(degrader: Degrader, images: Tensor, settings: str = "mild") -> float:
    """Gate (iii): |R(2 s) - R(s)| / |R(s)|, s the factor of the controller in training."""
    lr = degraded(degrader, images, settings)
    features, estimate = degrader.image_features(images), degrader.estimate(lr)
    factor = factor_of(degrader.controller, "reversed")
    distance = degrader.quality_distance(lr, images)
    embedding = estimate.embedding * factor(distance, estimate.distance, 1, None)
    once, twice = (degrader.reconstruct(times * embedding, features) for times in (1, 2))
    return float((twice - once).norm() / once.norm())


@dataclass(frozen=True)
class Swap:
    """The effect of the embedding of another image."""

    right: float
    """Fraction of the images whose detail changes in the right direction."""
    ratio: float
    """Median of the detail with the embedding of a degraded image over that with the embedding of a clean one."""
    own: float
    """The same of the degraded and the clean images themselves."""


SWAPS: dict[str, tuple[Callable[[Tensor, int, torch.Generator], Tensor], bool]] = {
    "noise, sigma 20 in LR": (lambda hr, s, rng: noisy(_shrunk(hr, s), 20, rng), True),
    "blur, sigma 1.5 LR pixels": (lambda hr, s, rng: _shrunk(_blurred(hr, 1.5 * s), s), False),
}
"""Degradations: HR, the scale and a generator to LR; and whether this adds detail."""


def _shrunk(hr: Tensor, scale: int) -> Tensor:
    return bicubic(hr, (hr.shape[2] // scale, hr.shape[3] // scale)).clamp(0, 1)


def _blurred(hr: Tensor, sigma: float) -> Tensor:
    return torch.cat([filtered(one, gaussian(sigma)) for one in torch.split(hr, 1)])


def _detail(x: Tensor) -> Tensor:
    """Mean absolute Laplacian of each image (N,)."""
    inner = x[:, :, 1:-1, 1:-1]
    around = x[:, :, :-2, 1:-1] + x[:, :, 2:, 1:-1] + x[:, :, 1:-1, :-2] + x[:, :, 1:-1, 2:]
    return (4 * inner - around).abs().mean((1, 2, 3))


@torch.inference_mode()
def swap(degrader: Degrader, images: Tensor, kind: str) -> Swap:
    """Gate (iv): every image reconstructed with the embeddings of another one, with and without the degradation."""
    degrade, adds = SWAPS[kind]
    scale = degrader.model.info.scale
    better, worse = _shrunk(images, scale), degrade(images, scale, torch.Generator().manual_seed(0))
    features = degrader.image_features(images)
    usual = factor_of(degrader.controller, "off")
    details = []
    for lr in (better, worse):
        others = degrader.estimate(lr.roll(1, 0))
        rng = torch.Generator().manual_seed(0)
        embedding = others.embedding * usual(others.distance, others.distance, 1, None)
        details.append(_detail(degrader.reconstruct(embedding, features, rng)))
    ratio = details[1] / details[0]
    right = (ratio > 1) if adds else (ratio < 1)
    own = _detail(worse) / _detail(better)
    return Swap(float(right.double().mean()), float(ratio.median()), float(own.median()))


def table(degrader: Degrader, images: Tensor) -> Iterator[str]:
    """Markdown: all gates."""
    yield from table_head(["AUC of FAR against clean images", *FLAWS])
    stage = degrader.stage
    yield _row(f"as trained, {stage.encoder} {stage.stage}", far_aucs(degrader, images))
    for name, values in fitted_aucs(degrader, images, stage.encoder).items():
        yield _row(f"fitted to clean images alone, {name}", values)
    yield ""
    yield from table_head(["PSNR of LR reconstructed from i up(X) + (1 - i) Y, i =", *map(str, STEPS)])
    for settings in ("mild", "real-esrgan"):
        for name, psnrs in curves(degrader, images, settings).items():
            yield table_row([f"{settings}, s {name}", *(f"{value:.2f}" for value in psnrs)])
    yield ""
    for settings in ("mild", "real-esrgan"):
        error, constant = distance_error(degrader, images, settings)
        yield f"- Estimate of l*, {settings}: RMSE {error:.3f}, of the best constant {constant:.3f}."
    yield f"- Doubling the factor of the controller changes the output by {reaction(degrader, images):.1%}."
    for kind in SWAPS:
        found = swap(degrader, images, kind)
        yield (
            f"- Embedding of another image, {kind}: detail times {found.ratio:.3f} (of the degraded images themselves "
            f"{found.own:.3f}), in the right direction for {found.right:.0%}."
        )


def _row(name: str, values: dict[str, float]) -> str:
    return table_row([name, *(f"{values[flaw]:.3f}" for flaw in FLAWS)])


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--model", default="auto", help="a name or a file")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--count", type=int, default=40, help="images (%(default)s)")
    options = read_options(parser)
    degrader = load_degrader(options.model, options.scale, CPU, None)
    lines = table(degrader, held_out_images(options.count))
    publish(f"reconstructor x{options.scale}", lines, write=options.write)


if __name__ == "__main__":
    main()
