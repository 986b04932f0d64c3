"""What depth and refinement are worth to the estimate of kernels, with controls (systems of Lin et al. 2024, Table 2).

    SRKIT_DATA=... python tests/bench/ablation_kernels.py [--scale 4] [--scenes 60]

On layered scenes of BSD100's pictures blurred by a lens (`defocus`): no depth, the true one, another scene's, and the
shipped provider's; each without refinement. Then rounds of refinement with the shipped provider, and one kernel for the
whole picture (the mean of those estimated); these against no rounds, in the taps as well as in PSNR. Differences come
with their paired bootstrap interval over the scenes; a row that includes zero is undecided. Writes the tables between
their marks in weights/README.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from ablations import cells, markdown_head, markdown_row
from kernel_checks import RGB, Bench, benchmark, errors
from marks import write_between_marks
from numpy.typing import NDArray
from torch import Tensor

from srkit.data.scenes import layered_scene
from srkit.degradation.degrade import Degraded, degrade
from srkit.degradation.pca import decode
from srkit.encoders.depth import NoDepth
from srkit.io.kernel_map import KernelMap
from srkit.io.picture import Picture
from srkit.recipes.estimate import EstimateRecipe
from srkit.tasks.kernel_estimator import KernelEstimator
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

NOISE = 2.0  # standard deviation, of 255
SIDE = 320
NO_ROUNDS = "the provider compact, no rounds"
ROUNDS = {NO_ROUNDS: 0, "the provider compact, 1 round": 1, "the provider compact, 2 rounds": 2}
MEAN = "its mean for all pixels, 2 rounds"
TAPS, PSNR = range(2)  # rows of what is measured


@dataclass
class Given:
    """The depth that is handed to it, whatever the picture."""

    depth: Tensor
    name: str = "given"
    version: str = "given"
    sees_pictures: bool = False

    def estimate(self, picture: Tensor, name: str | None = None) -> Tensor:
        return self.depth


@dataclass(frozen=True)
class Case:
    hr: RGB
    made: Degraded
    other: Tensor
    """Depth of another scene."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--dry", action="store_true", help="do not write weights/README.md")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    started = time.process_time()
    cases = scenes(chosen.scale, chosen.scenes)
    edsr = load_model(f"edsr-x{chosen.scale}")
    found: dict[str, NDArray[np.float64]] = {}
    for name, refine in (("no depth", 0), ("true depth", 0), ("another scene's depth", 0)):
        found[name] = measured(name, cases, chosen.scale, refine, edsr)
    for name, refine in (ROUNDS | {MEAN: 2}).items():
        found[name] = measured(name, cases, chosen.scale, refine, edsr)
    rounds = {name: found[name] for name in (*ROUNDS, MEAN)}
    lines = [
        *table(found, "no depth", TAPS),
        "",
        *table(rounds, NO_ROUNDS, TAPS),
        "",
        *table(found, NO_ROUNDS, PSNR),
    ]
    minutes = (time.process_time() - started) / 60
    lines += [
        "",
        f"{len(cases)} scenes of {SIDE} x {SIDE}, x{chosen.scale}, noise {NOISE:g}; {minutes:.0f} CPU minutes.",
    ]
    print("\n".join(lines))
    if not chosen.dry:
        write_between_marks(f"ablation of kernels x{chosen.scale}", "ablation_kernels.py", "\n".join(lines))


def scenes(scale: int, count: int) -> list[Case]:
    pictures = benchmark(["BSD100"], scale, 100)
    side = SIDE // scale * scale
    made = []
    for seed in range(count):
        scene = layered_scene(pictures, side, side, 10_000 + seed)
        made.append(
            (
                scene.picture,
                degrade(scene.picture, "defocus", scale, noise=NOISE, seed=seed, depth=scene.depth),
            )
        )
    return [Case(hr, one, made[i - 1][1].depth) for i, (hr, one) in enumerate(made)]


def measured(name: str, cases: list[Case], scale: int, refine: int, edsr: LoadedModel) -> NDArray[np.float64]:
    """(2, scenes): mean absolute error of the taps in thousandths, and PSNR of NBSR."""
    recipe = EstimateRecipe(
        scale=scale, refine=refine, device="cpu", depth="none" if "depth" in name else "auto"
    )
    shared = KernelEstimator(recipe)
    bench = Bench(shared, edsr)
    values = []
    for case in cases:
        depths: Mapping[str, Tensor] = {"true depth": case.made.depth, "another scene's depth": case.other}
        if name in depths:
            shared.depth = Given(depths[name])
        elif name == "no depth":
            shared.depth = NoDepth()
        values.append(one(bench, case, averaged=name == MEAN))
    result = np.array(values).T
    print(f"{name}: taps {result[0].mean():.4f}, PSNR {result[1].mean():.3f}", flush=True)
    return result


def one(bench: Bench, case: Case, *, averaged: bool) -> tuple[float, float]:
    found: KernelMap = bench.estimator.estimate(Picture(case.made.lr)).kernels
    codes = torch.from_numpy(found.codes)[None]
    if averaged:
        codes = codes.mean((2, 3), keepdim=True).expand_as(codes)
    kernels = decode(codes, torch.from_numpy(found.basis))
    x = torch.from_numpy(case.made.lr).permute(2, 0, 1)[None].float() / 255
    taps = errors(kernels, torch.from_numpy(found.covariance)[None], case.made)["taps"]
    return taps, bench.psnr(bench.estimator.restorer, case.hr, x, codes.contiguous())


def table(found: dict[str, NDArray[np.float64]], first: str, which: int) -> list[str]:
    """Markdown: every row against the row `first`, in the error of the taps (lower is better) or in PSNR."""
    what = ("error of the taps, thousandths", "PSNR of NBSR, dB")[which]
    lines = markdown_head(["kernels", what, f"against {first}, 95 % interval", ""])
    for name, values in found.items():
        between = values[which] - found[first][which] if name != first else None
        texts = cells(values[which], between, decimals=4, lower_is_better=which == TAPS)
        lines.append(markdown_row([name, *texts]))
    return lines


if __name__ == "__main__":
    main()
