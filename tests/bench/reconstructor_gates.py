"""What must hold of a reconstructor before anything is adapted with it, on pictures that it was not trained on.

    SRKIT_DATA=... python tests/bench/reconstructor_gates.py [--model FILE] [--scale 4] [--count 40] [--write]

(i) FAR tells pictures from blurred, noisy and compressed ones: AUC of each, as trained, and for every stage of the
encoder with T_a and T_m fitted to clean pictures alone, by ridge regression. (ii) LR made once more from pictures
between HR and its enlarged LR: PSNR must not rise towards the latter with the controller. (iii) What doubling the
controller's factor changes. (iv) Embeddings exchanged between pictures change noise and blur the right way. The same
numbers are asserted in tests/tasks/test_reconstructor_gates.py. With --write they are put into weights/README.md.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from srkit.data.photographs import find_photographs, read_rgb8
from srkit.degradation.filters import filtered
from srkit.degradation.jpeg import jpegs
from srkit.degradation.second_order import second_order
from srkit.encoders.stages import STAGES, encoder_stage
from srkit.losses.far import Far, far
from srkit.metrics.psnr import psnr
from srkit.ops.gram import gram_descriptors
from srkit.ops.resize import bicubic, upscale
from srkit.recipes.degradation import second_order_settings
from srkit.recipes.self_supervised import Control
from srkit.tasks.degrader import Degrader, load_degrader
from srkit.tasks.self_adapt_fit import factor_of

CPU = torch.device("cpu")
SETS = ("BSD100", "Urban100")
SIDE = 128  # of the middles of the pictures, in HR pixels
FLAWS = {
    "blur, sigma 1 px": lambda x, rng: filtered(x, gaussian(1.0)),
    "blur, sigma 2 px": lambda x, rng: filtered(x, gaussian(2.0)),
    "noise, sigma 10": lambda x, rng: noisy(x, 10, rng),
    "noise, sigma 25": lambda x, rng: noisy(x, 25, rng),
    "JPEG, quality 30": lambda x, rng: jpegs([x], [30])[0],
    "JPEG, quality 10": lambda x, rng: jpegs([x], [10])[0],
}
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the enlarged LR in gate (ii)."""
_RIDGE = 1e-2
_BATCH = 8


def gaussian(sigma: float) -> Tensor:
    offset = torch.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1)
    taps = (-0.5 * (offset / sigma).square()).softmax(0)
    return torch.outer(taps, taps)


def noisy(x: Tensor, sigma: float, rng: torch.Generator) -> Tensor:
    return (x + torch.randn(x.shape, generator=rng) * sigma / 255).clamp(0, 1)


def middles(root: Path, count: int) -> Tensor:
    """Middles (count, 3, SIDE, SIDE) of benchmark pictures, evenly from the sets."""
    files = [find_photographs([root / "benchmarks" / name / "HR"]) for name in SETS]
    found = []
    for number in range(count):
        of = files[number % len(files)]
        picture = read_rgb8(of[number // len(files) * len(files) * len(of) // count])
        top, left = ((side - SIDE) // 2 for side in picture.shape[:2])
        crop = np.ascontiguousarray(picture[top : top + SIDE, left : left + SIDE])
        found.append(torch.from_numpy(crop).permute(2, 0, 1))
    return torch.stack(found).float() / 255


def auc(low: Tensor, high: Tensor) -> float:
    """Probability that a value of `high` is above one of `low`."""
    difference = high[:, None] - low[None, :]
    return float((difference > 0).double().mean() + 0.5 * (difference == 0).double().mean())


def flawed(pictures: Tensor, flaw: str) -> Tensor:
    return torch.cat(
        [FLAWS[flaw](one, torch.Generator().manual_seed(n)) for n, one in enumerate(torch.split(pictures, 1))]
    )


def _in_batches(function: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    parts = torch.split(pictures, _BATCH)
    return torch.cat([function(part.contiguous(memory_format=torch.channels_last)) for part in parts])


@torch.inference_mode()
def far_aucs(degrader: Degrader, pictures: Tensor) -> dict[str, float]:
    """Gate (i): how well FAR, as trained, tells pictures from those with each of `FLAWS`."""

    def score(x: Tensor) -> Tensor:
        return degrader.far(degrader.network, x)

    clean = _in_batches(score, pictures)
    return {flaw: auc(clean, _in_batches(score, flawed(pictures, flaw))) for flaw in FLAWS}


@torch.inference_mode()
def fitted_aucs(degrader: Degrader, pictures: Tensor, encoder: str) -> dict[str, dict[str, float]]:
    """The same for every stage, T_a and T_m fitted to one half of the clean pictures and judged on the other."""
    found: dict[str, dict[str, float]] = {}
    own = {
        flaw: _descriptors(degrader, x)
        for flaw, x in (("", pictures), *((flaw, flawed(pictures, flaw)) for flaw in FLAWS))
    }
    for name in STAGES:
        regulariser = Far(encoder_stage(encoder, name, CPU), degrader.autocast)
        scores = {}
        theirs = {"": _encoded(regulariser, pictures)}
        fits = [Ridge(a[::2], b[::2]) for a, b in zip(own[""], theirs[""], strict=True)]
        for flaw, mine in own.items():
            seen = theirs.get(flaw) or _encoded(regulariser, flawed(pictures, flaw))
            pairs = [fit(a, b) for fit, a, b in zip(fits, mine, seen, strict=True)]
            scores[flaw] = far((pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]))[1::2]
        found[name] = {flaw: auc(scores[""], scores[flaw]) for flaw in FLAWS}
    return found


class Ridge:
    """Linear prediction of descriptors, both standardised by the pictures that it is fitted to."""

    def __init__(self, own: Tensor, theirs: Tensor) -> None:
        self._own, self._theirs = ((x.mean(0), x.std(0).clamp_min(1e-6)) for x in (own, theirs))
        x, y = self._relative(own, theirs)
        square = x.T @ x + _RIDGE * len(x) * torch.eye(x.shape[1])
        self._map = torch.linalg.solve(square, x.T @ y)

    def _relative(self, own: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
        return (own - self._own[0]) / self._own[1], (theirs - self._theirs[0]) / self._theirs[1]

    def __call__(self, own: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted and found."""
        x, y = self._relative(own, theirs)
        return x @ self._map, y


def _descriptors(degrader: Degrader, pictures: Tensor) -> tuple[Tensor, Tensor]:
    both = _in_batches(
        lambda x: torch.cat(gram_descriptors(degrader.image_features(x)), dim=1), pictures
    ).chunk(2, dim=1)
    return both[0], both[1]


def _encoded(regulariser: Far, pictures: Tensor) -> tuple[Tensor, Tensor]:
    both = _in_batches(lambda x: torch.cat(regulariser.descriptors(x), dim=1), pictures).chunk(2, dim=1)
    return both[0], both[1]


@torch.inference_mode()
def curves(degrader: Degrader, pictures: Tensor, settings: str = "mild") -> dict[str, list[float]]:
    """Gate (ii): PSNR of LR made once more from Y_i = i up(X) + (1 - i) Y, for each i of `STEPS`.

    By what the embedding is multiplied with: `adapting`, the controller's factor when a network is adapted; `true`, the
    same were l* told without error; `pretraining`, as it was trained; `neutral`, l*.
    """
    scale = degrader.model.info.scale
    rng = torch.Generator().manual_seed(0)
    lr, _ = second_order(pictures, scale, second_order_settings(settings), rng)
    large = upscale(lr, scale).clamp(0, 1)
    told, true = degrader.tell(lr), degrader.quality_distance(lr, pictures)
    ways: dict[str, tuple[Control, Tensor]] = {
        "adapting": ("adapting", told.distance),
        "true": ("adapting", true),
        "pretraining": ("reversed", told.distance),
        "neutral": ("off", told.distance),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for share in STEPS:
        y = torch.lerp(pictures, large, share)
        features, seen = degrader.image_features(y), degrader.quality_distance(lr, y)
        for name, (control, expected) in ways.items():
            factor = factor_of(degrader.controller, control)(seen, expected, 1, None)
            made = degrader.reconstruct(told.embedding * factor, features)
            found[name].append(float(psnr(made.clamp(0, 1), lr).mean()))
    return found


@torch.inference_mode()
def untold(degrader: Degrader, pictures: Tensor, settings: str = "mild") -> tuple[float, float]:
    """Root mean square error of l*, and the deviation of l, which is that of the best one number for all."""
    lr, _ = second_order(
        pictures,
        degrader.model.info.scale,
        second_order_settings(settings),
        torch.Generator().manual_seed(0),
    )
    true = degrader.quality_distance(lr, pictures)
    error = (degrader.tell(lr).distance - true).square().mean().sqrt()
    return float(error), float(true.std(correction=0))


@torch.inference_mode()
def reaction(degrader: Degrader, pictures: Tensor, settings: str = "mild") -> float:
    """Gate (iii): |R(2 s) - R(s)| / |R(s)|, s the controller's factor as it was trained."""
    lr, _ = second_order(
        pictures,
        degrader.model.info.scale,
        second_order_settings(settings),
        torch.Generator().manual_seed(0),
    )
    features, told = degrader.image_features(pictures), degrader.tell(lr)
    seen = degrader.quality_distance(lr, pictures)
    embedding = told.embedding * factor_of(degrader.controller, "reversed")(seen, told.distance, 1, None)
    once, twice = (degrader.reconstruct(times * embedding, features) for times in (1, 2))
    return float((twice - once).norm() / once.norm())


@dataclass(frozen=True)
class Swap:
    """What another picture's embedding changes."""

    right: float
    """Share of the pictures whose detail changes in the right direction."""
    ratio: float
    """Median of detail with the embedding of the worse picture over detail with that of the better one."""
    own: float
    """The same of the pictures that the embeddings are of."""


SWAPS: dict[str, tuple[Callable[[Tensor, int, torch.Generator], Tensor], bool]] = {
    "noise, sigma 20 in LR": (lambda hr, s, rng: noisy(_shrunk(hr, s), 20, rng), True),
    "blur, sigma 1.5 LR pixels": (lambda hr, s, rng: _shrunk(_blurred(hr, 1.5 * s), s), False),
}
"""What is done to a picture: HR, the scale and a generator to LR; and whether that adds detail."""


def _shrunk(hr: Tensor, scale: int) -> Tensor:
    return bicubic(hr, (hr.shape[2] // scale, hr.shape[3] // scale)).clamp(0, 1)


def _blurred(hr: Tensor, sigma: float) -> Tensor:
    return torch.cat([filtered(one, gaussian(sigma)) for one in torch.split(hr, 1)])


def _detail(x: Tensor) -> Tensor:
    """Mean absolute Laplacian of each picture (N,)."""
    inner = x[:, :, 1:-1, 1:-1]
    around = x[:, :, :-2, 1:-1] + x[:, :, 2:, 1:-1] + x[:, :, 1:-1, :-2] + x[:, :, 1:-1, 2:]
    return (4 * inner - around).abs().mean((1, 2, 3))


@torch.inference_mode()
def swap(degrader: Degrader, pictures: Tensor, kind: str) -> Swap:
    """Gate (iv): every picture degraded with the embeddings of another one, with and without the degradation."""
    degrade, adds = SWAPS[kind]
    scale = degrader.model.info.scale
    better, worse = _shrunk(pictures, scale), degrade(pictures, scale, torch.Generator().manual_seed(0))
    features = degrader.image_features(pictures)
    usual = factor_of(degrader.controller, "off")
    details = []
    for lr in (better, worse):
        others = degrader.tell(lr.roll(1, 0))
        rng = torch.Generator().manual_seed(0)
        embedding = others.embedding * usual(others.distance, others.distance, 1, None)
        details.append(_detail(degrader.reconstruct(embedding, features, rng)))
    ratio = details[1] / details[0]
    right = (ratio > 1) if adds else (ratio < 1)
    own = _detail(worse) / _detail(better)
    return Swap(float(right.double().mean()), float(ratio.median()), float(own.median()))


def table(degrader: Degrader, pictures: Tensor) -> Iterator[str]:
    """The gates as Markdown."""
    yield "| FAR tells from clean, AUC | " + " | ".join(FLAWS) + " |"
    yield "|---" * (len(FLAWS) + 1) + "|"
    stage = degrader.stage
    yield _row(f"as trained, {stage.encoder} {stage.stage}", far_aucs(degrader, pictures))
    for name, values in fitted_aucs(degrader, pictures, stage.encoder).items():
        yield _row(f"fitted to clean pictures alone, {name}", values)
    yield ""
    yield "| PSNR of LR made once more from i up(X) + (1 - i) Y, i = | " + " | ".join(map(str, STEPS)) + " |"
    yield "|---" * (len(STEPS) + 1) + "|"
    for settings in ("mild", "real-esrgan"):
        for name, values in curves(degrader, pictures, settings).items():
            yield f"| {settings}, s {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |"
    yield ""
    for settings in ("mild", "real-esrgan"):
        yield "l* of the true pictures, {}: error {:.3f}, of the best number for all {:.3f}.".format(
            settings, *untold(degrader, pictures, settings)
        )
    yield f"Doubling the controller's factor changes what is made by {reaction(degrader, pictures):.1%}."
    for kind in SWAPS:
        found = swap(degrader, pictures, kind)
        yield (
            f"Another picture's embedding, {kind}: detail times {found.ratio:.3f} (of these pictures themselves "
            f"{found.own:.3f}), the right way for {found.right:.0%}."
        )


def _row(name: str, values: dict[str, float]) -> str:
    return f"| {name} | " + " | ".join(f"{values[flaw]:.3f}" for flaw in FLAWS) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="auto", help="a name or a file")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--count", type=int, default=40, help="pictures")
    parser.add_argument("--write", action="store_true", help="put the numbers into weights/README.md")
    chosen = parser.parse_args(arguments)
    degrader = load_degrader(chosen.model, chosen.scale, CPU, None)
    pictures = middles(Path(os.environ["SRKIT_DATA"]), chosen.count)
    lines = []
    for line in table(degrader, pictures):
        print(line, flush=True)
        lines.append(line)
    if chosen.write:
        from marks import write_between_marks

        write_between_marks(f"reconstructor x{chosen.scale}", "reconstructor_gates.py", "\n".join(lines))


if __name__ == "__main__":
    main()
