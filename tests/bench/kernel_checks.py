"""How well kernels are estimated, and what they gain: known blurs on BSD100 and Set14.

    SRKIT_DATA=... python tests/bench/kernel_checks.py [--scale 4] [--limit 25] [--sets BSD100,Set14]

For each kind of blur and each noise: the mean absolute error of the taps, in thousandths, and the mean error of the two
widths (roots of the covariance's eigenvalues, HR pixels), beside those of the best single kernel (the mean of the true
ones, which nobody knows); and the PSNR of NBSR with the estimated and with the true kernels, and of edsr, in dB. Kinds
are those of `srkit.degradation.degrade`; `defocus` is a layered scene cut from the set's pictures. Writes the table
between its marks in weights/README.md.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from marks import write_between_marks
from numpy.typing import NDArray
from torch import Tensor

from srkit.data.benchmarks import find_dataset, rgb8
from srkit.data.pairs import crop_to_multiple
from srkit.data.scenes import layered_scene
from srkit.degradation.degrade import KINDS, Degraded, degrade
from srkit.degradation.kernels import axes, moments
from srkit.degradation.pca import decode
from srkit.io.picture import Picture
from srkit.io.read import read_picture
from srkit.metrics.bootstrap import paired_bootstrap
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.table import METRICS, Sample, Setup
from srkit.recipes.estimate import EstimateRecipe
from srkit.tasks.conditions import basis_of
from srkit.tasks.kernel_estimator import KernelEstimator
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

CPU = torch.device("cpu")
NOISES = (0.0, 5.0)  # standard deviation, of 255
VARIANT = ("mode1", "mode2", "mode3", "mode4", "mode5", "mode6", "defocus")
RGB = NDArray[np.uint8]
Values = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--sets", default="BSD100,Set14")
    parser.add_argument("--limit", type=int, default=25, help="pictures of each set, at most")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--depth", default="auto")
    parser.add_argument("--refine", type=int, default=EstimateRecipe().refine)
    parser.add_argument("--model", default="auto", help="a DKENet")
    parser.add_argument("--restorer", default="auto", help="an NBSR")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--dry", action="store_true", help="do not write weights/README.md")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    recipe = EstimateRecipe(
        scale=chosen.scale,
        model=chosen.model,
        restorer=chosen.restorer,
        depth=chosen.depth,
        refine=chosen.refine,
        device="cpu",
    )
    bench = Bench(KernelEstimator(recipe), load_model(f"edsr-x{chosen.scale}"))
    pictures = benchmark(chosen.sets.split(","), chosen.scale, chosen.limit)
    found: dict[tuple[str, float], list[Values]] = {}
    lines = [*HEAD]
    for kind in chosen.kinds.split(","):
        for noise in NOISES:
            found[kind, noise] = [
                bench.measure(hr, kind, noise, seed, pictures) for seed, hr in enumerate(pictures)
            ]
            lines.append(row(kind, noise, found[kind, noise]))
            print(lines[-1], flush=True)
    lines += ["", *summary(found), "", f"{len(pictures)} pictures of {chosen.sets}, x{chosen.scale}."]
    print("\n".join(lines))
    if not chosen.dry:
        write_between_marks(f"kernels x{chosen.scale}", "kernel_checks.py", "\n".join(lines))


HEAD = (
    "| blur | noise | taps: estimated / one kernel | wide axis | narrow axis | NBSR, estimated | NBSR, true | edsr |",
    "|---|---|---|---|---|---|---|---|",
)


def benchmark(sets: Sequence[str], scale: int, limit: int) -> list[RGB]:
    """Pictures whose sides are multiples of the scale, spread over each set."""
    found = []
    for name in sets:
        items = find_dataset(name, Path(os.environ["SRKIT_DATA"])).pairs(scale)
        for item in items[:: max(1, len(items) // limit)][:limit]:
            found.append(np.ascontiguousarray(crop_to_multiple(rgb8(read_picture(item.hr)), scale)))
    return found


def degraded(
    hr: RGB, kind: str, scale: int, noise: float, seed: int, pictures: Sequence[RGB]
) -> tuple[RGB, Degraded]:
    """HR and what became of it; for `defocus`, a scene of the size of the picture in its place."""
    if kind != "defocus":
        return hr, degrade(hr, kind, scale, noise=noise, seed=seed)
    scene = layered_scene(pictures, hr.shape[0], hr.shape[1], seed)
    return scene.picture, degrade(scene.picture, kind, scale, noise=noise, seed=seed, depth=scene.depth)


class Bench:
    """The networks that are compared."""

    def __init__(self, estimator: KernelEstimator, edsr: LoadedModel) -> None:
        self.estimator, self.edsr = estimator, edsr
        self.scale = estimator.scale
        self._psnr = METRICS["psnr"].make(Setup(CPU))

    def measure(self, hr: RGB, kind: str, noise: float, seed: int, pictures: Sequence[RGB]) -> Values:
        hr, made = degraded(hr, kind, self.scale, noise, seed, pictures)
        found = self.estimator.estimate(Picture(made.lr)).kernels
        codes, basis = torch.from_numpy(found.codes)[None], torch.from_numpy(found.basis)
        true_codes = made.field.codes(basis_of(self.estimator.restorer).float())
        values = errors(decode(codes, basis), torch.from_numpy(found.covariance)[None], made)
        x = torch.from_numpy(made.lr).permute(2, 0, 1)[None].float() / 255
        return values | {
            "estimated": self.psnr(self.estimator.restorer, hr, x, codes),
            "true": self.psnr(self.estimator.restorer, hr, x, true_codes),
            "edsr": self.psnr(self.edsr, hr, x),
        }

    @torch.inference_mode()
    def psnr(self, model: LoadedModel, hr: RGB, x: Tensor, *conditions: Tensor) -> float:
        with torch.autocast("cpu", torch.bfloat16):
            sr = model.network.eval()(x, *conditions)
        levels = (sr.float().clamp(0, 1) * 255).round().to(torch.uint8)
        reference = torch.from_numpy(hr).permute(2, 0, 1)[None]
        return self._psnr.score(Sample(levels, reference, None, PROTOCOLS["classical"], self.scale))


def errors(kernels: Tensor, covariance: Tensor, made: Degraded) -> Values:
    """Of estimated kernels (1, 441, h, w) and their covariance (1, 3, h, w), and of the mean of the true kernels."""
    true = made.field.rows(0, made.field.size[0])
    mean = true.mean((2, 3), keepdim=True)
    spread = moments(mean.view(21, 21))[1].view(1, 3, 1, 1).expand_as(covariance)
    wide, narrow = widths(made.field.covariance())
    values = {
        "taps": float((kernels - true).abs().mean()) * 1e3,
        "one taps": float((mean - true).abs().mean()) * 1e3,
    }
    for name, found in (("", covariance), ("one ", spread)):
        found_wide, found_narrow = widths(found)
        values[f"{name}wide"] = float((found_wide - wide).abs().mean())
        values[f"{name}narrow"] = float((found_narrow - narrow).abs().mean())
    found_width, width = (
        float(c[:, (0, 2)].mean(1).clamp_min(0).sqrt().mean()) for c in (covariance, made.field.covariance())
    )
    values["width"] = abs(found_width / width - 1) if width else np.nan  # bicubic's lobes leave it none
    return values


def widths(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Roots of the eigenvalues of (1, 3, h, w), the larger first."""
    first, second, _ = axes(covariance.movedim(1, -1))
    return first.clamp_min(0).sqrt(), second.clamp_min(0).sqrt()


def mean(values: Sequence[Values], name: str) -> float:
    return float(np.mean([v[name] for v in values]))


def row(kind: str, noise: float, values: Sequence[Values]) -> str:
    cells = [f"{mean(values, n):.3f} / {mean(values, 'one ' + n):.3f}" for n in ("taps", "wide", "narrow")]
    cells += [f"{mean(values, n):.2f}" for n in ("estimated", "true", "edsr")]
    return f"| {kind} | {noise:g} | {' | '.join(cells)} |"


def summary(found: dict[tuple[str, float], list[Values]]) -> list[str]:
    """The numbers that are asked for, one a line."""
    lines = []
    for noise in NOISES:
        variant = [v for (kind, n), values in found.items() if kind in VARIANT and n == noise for v in values]
        if variant:
            ratios = [
                f"{mean(variant, n) / mean(variant, 'one ' + n):.2f}" for n in ("taps", "wide", "narrow")
            ]
            gain = paired_bootstrap(np.array([v["estimated"] - v["edsr"] for v in variant]))
            loss = mean(variant, "estimated") - mean(variant, "true")
            lines.append(
                f"- noise {noise:g}, spatially variant: error against the best single kernel's: taps {ratios[0]}, wide "
                f"axis {ratios[1]}, narrow axis {ratios[2]}; NBSR with estimated kernels against edsr "
                f"{gain.mean:+.2f} dB ({gain.low:+.2f} to {gain.high:+.2f}), against true kernels {loss:+.2f} dB."
            )
        if invariant := found.get(("invariant", noise)):
            within = np.mean([v["width"] <= 0.15 for v in invariant])
            lines.append(
                f"- noise {noise:g}, invariant: width off by {100 * mean(invariant, 'width'):.1f} % on average, "
                f"within 15 % for {100 * within:.0f} % of the pictures."
            )
        if bicubic := found.get(("bicubic", noise)):
            difference = mean(bicubic, "estimated") - mean(bicubic, "edsr")
            lines.append(
                f"- noise {noise:g}, bicubic: NBSR with estimated kernels against edsr {difference:+.2f} dB."
            )
    return lines


if __name__ == "__main__":
    main()
