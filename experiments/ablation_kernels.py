"""Ablation of depth and refinement in kernel estimation, with controls (systems of Lin et al. 2024, Table 2).

    SRKIT_DATA=... python experiments/ablation_kernels.py [--scale 4] [--scenes 60] [--write]

On layered scenes cut from BSD100 and blurred by a lens (`defocus`): no depth, true depth, the depth of another scene,
and that of the shipped provider, each without refinement. Then rounds of refinement with the shipped provider, and one
kernel for the whole image (the mean of the estimated ones), against no rounds, in the taps and in PSNR. Last, the
errors of depth and of kernels after each round: whether they improve each other, as the paper says. Differences have a
paired bootstrap interval over the scenes; where it includes zero, the row is undecided.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.ablations import cells
from experiments.degrade import Degraded, degrade
from experiments.images import batch, benchmark
from experiments.kernel_checks import Bench, errors
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.conditioning.makers import basis_of
from srkit.data.scenes import layered_scene
from srkit.degradation.pca import decode
from srkit.encoders.depth import NoDepth
from srkit.inference.kernel_estimator import KernelEstimator
from srkit.io.image import DecodedImage
from srkit.io.kernel_map import KernelMap
from srkit.losses.maps import aligned_distance
from srkit.ops.layout import RGB
from srkit.recipes.estimate import EstimateRecipe
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

NOISE = 2.0  # standard deviation, of 255
SIDE = 320
NONE, TRUE, OTHER = "no depth", "true depth", "another scene's depth"
NO_ROUNDS = "the provider compact, no rounds"
ROUNDS = {NO_ROUNDS: 0, "the provider compact, 1 round": 1, "the provider compact, 2 rounds": 2}
MEAN = "its mean for all pixels, 2 rounds"
TAPS, PSNR = range(2)  # rows of `measured`


@dataclass
class Given:
    """A provider of one depth map, whatever the image."""

    depth: Tensor
    name: str = "given"
    version: str = "given"
    sees_images: bool = False

    def estimate(self, image: Tensor, name: str | None = None) -> Tensor:
        return self.depth


@dataclass(frozen=True)
class Case:
    hr: RGB
    made: Degraded
    other: Tensor
    """Depth of another scene."""


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--scenes", type=int, default=60)
    options = read_options(parser)
    started = time.process_time()
    cases = scenes(options.scale, options.scenes)
    edsr = load_model(f"edsr-x{options.scale}")
    found: dict[str, NDArray[np.float64]] = {}
    for name, refine in ({NONE: 0, TRUE: 0, OTHER: 0} | ROUNDS | {MEAN: 2}).items():
        found[name] = measured(name, cases, options.scale, refine, edsr)
    rounds = {name: found[name] for name in (*ROUNDS, MEAN)}
    lines = [
        *table(found, NONE, TAPS),
        "",
        *table(rounds, NO_ROUNDS, TAPS),
        "",
        *table(found, NO_ROUNDS, PSNR),
    ]
    lines += ["", *per_round(cases, options.scale)]
    minutes = (time.process_time() - started) / 60
    lines += [
        "",
        f"{len(cases)} scenes of {SIDE} x {SIDE}, x{options.scale}, noise {NOISE:g}; {minutes:.0f} CPU minutes.",
    ]
    publish(f"ablation of kernels x{options.scale}", lines, write=options.write)


def scenes(scale: int, count: int) -> list[Case]:
    images = benchmark(["BSD100"], scale, limit=100)
    side = SIDE // scale * scale
    made = []
    for seed in range(count):
        scene = layered_scene(images, side, side, 10_000 + seed)
        made.append(
            (
                scene.image,
                degrade(scene.image, "defocus", scale, noise=NOISE, seed=seed, depth=scene.depth),
            )
        )
    return [Case(hr, one, made[i - 1][1].depth) for i, (hr, one) in enumerate(made)]


def measured(name: str, cases: list[Case], scale: int, refine: int, edsr: LoadedModel) -> NDArray[np.float64]:
    """(2, scenes): mean absolute error of the taps in thousandths, and PSNR of NBSR."""
    recipe = EstimateRecipe(
        scale=scale, refine=refine, device="cpu", depth="none" if name in (NONE, TRUE, OTHER) else "auto"
    )
    shared = KernelEstimator(recipe)
    bench = Bench(shared, edsr)
    values = []
    for case in cases:
        depths: Mapping[str, Tensor] = {TRUE: case.made.depth, OTHER: case.other}
        if name in depths:
            shared.depth = Given(depths[name])
        elif name == NONE:
            shared.depth = NoDepth()
        values.append(one(bench, case, averaged=name == MEAN))
    result = np.array(values).T
    print(f"{name}: taps {result[0].mean():.4f}, PSNR {result[1].mean():.3f}", flush=True)
    return result


def per_round(cases: list[Case], scale: int, rounds: int = 2) -> list[str]:
    """Markdown: the errors of depth (aligned to the true one) and of the taps, at the start and after each round."""
    estimator = KernelEstimator(EstimateRecipe(scale=scale, refine=rounds, device="cpu"))
    errors = np.empty((2, rounds + 1, len(cases)))
    for number, case in enumerate(cases):
        seen: list[tuple[float, float]] = []

        def watch(codes: Tensor, depth: Tensor, case: Case = case, seen: list[Any] = seen) -> None:
            basis = basis_of(estimator.restorer.network, "").float()
            true = case.made.field.rows(0, case.made.field.size[0])
            taps = float((decode(codes[None], basis) - true).abs().mean()) * 1e3
            seen.append((float(aligned_distance(depth, case.made.depth)), taps))

        estimator.estimate(DecodedImage(case.made.lr), watch=watch)
        errors[:, :, number] = np.array(seen).T
    lines = table_head(
        ["after", "error of depth", "against the start", "", "error of the taps", "against the start", ""]
    )
    for number in range(rounds + 1):
        texts = []
        for found in errors:
            between = found[number] - found[0] if number else None
            texts += cells(found[number], between, decimals=4, lower_is_better=True)
        lines.append(table_row([f"{number} rounds" if number else "the start", *texts]))
    return lines


def one(bench: Bench, case: Case, *, averaged: bool) -> tuple[float, float]:
    found: KernelMap = bench.estimator.estimate(DecodedImage(case.made.lr)).kernels
    codes = torch.from_numpy(found.codes)[None]
    if averaged:
        codes = codes.mean((2, 3), keepdim=True).expand_as(codes)
    kernels = decode(codes, torch.from_numpy(found.basis))
    taps = errors(kernels, torch.from_numpy(found.covariance)[None], case.made)["taps"]
    return taps, bench.psnr(bench.estimator.restorer, case.hr, batch(case.made.lr), codes.contiguous())


def table(found: dict[str, NDArray[np.float64]], first: str, which: int) -> list[str]:
    """Markdown: every row against the row `first`, by the error of the taps (lower is better) or by PSNR."""
    what = ("error of the taps, thousandths", "PSNR of NBSR, dB")[which]
    lines = table_head(["kernels", what, f"against {first}, 95 % interval", ""])
    for name, values in found.items():
        between = values[which] - found[first][which] if name != first else None
        texts = cells(values[which], between, decimals=4, lower_is_better=which == TAPS)
        lines.append(table_row([name, *texts]))
    return lines


if __name__ == "__main__":
    main()
