"""Accuracy of estimated kernels and what it is worth in PSNR: known blurs on BSD100 and Set14.

    SRKIT_DATA=... python experiments/kernel_checks.py [--scale 4] [--limit 25] [--sets BSD100,Set14] [--write]

For each kind of blur and level of noise: the mean absolute error of the taps, in thousandths, and the mean error of the
two widths (roots of the eigenvalues of the covariance, HR pixels), beside those of the best single kernel (the mean of
the true ones, an oracle); and the PSNR of NBSR with estimated and with true kernels, and of EDSR, in dB. Kinds are
those of `experiments/degrade.py`; `defocus` is a layered scene cut from images of the sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from experiments.ablations import interval_text
from experiments.degrade import KINDS, Degraded, degrade
from experiments.images import batch, benchmark, levels
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.conditioning.makers import basis_of
from srkit.data.scenes import layered_scene
from srkit.degradation.kernels import axes, moments
from srkit.degradation.pca import decode
from srkit.inference.kernel_estimator import KernelEstimator
from srkit.io.image import DecodedImage
from srkit.metrics.bootstrap import paired_bootstrap
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.table import METRICS, Sample, Setup
from srkit.ops.layout import RGB
from srkit.recipes.estimate import EstimateRecipe
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

NOISES = (0.0, 5.0)  # standard deviation, of 255
VARIANT = ("mode1", "mode2", "mode3", "mode4", "mode5", "mode6", "defocus")
HEAD = (
    *("blur", "noise", "taps: estimated / one kernel", "wide axis", "narrow axis"),
    *("NBSR, estimated", "NBSR, true", "EDSR"),
)
Values = dict[str, float]


def main() -> None:
    parser = study_parser(__doc__, limit=25)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--sets", default="BSD100,Set14")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--depth", default="auto", help="provider of depth")
    parser.add_argument("--refine", type=int, default=EstimateRecipe().refine, help="rounds of refinement")
    parser.add_argument("--model", "-m", default="auto", help="a DKENet")
    parser.add_argument("--restorer", default="auto", help="an NBSR")
    options = read_options(parser)
    publish(f"kernels x{options.scale}", table(options), write=options.write)


def table(options: argparse.Namespace) -> Iterator[str]:
    """Markdown: a row for each blur and noise, then the means."""
    recipe = EstimateRecipe(
        scale=options.scale,
        model=options.model,
        restorer=options.restorer,
        depth=options.depth,
        refine=options.refine,
        device="cpu",
    )
    bench = Bench(KernelEstimator(recipe), load_model(f"edsr-x{options.scale}"))
    images = benchmark(options.sets.split(","), options.scale, limit=options.limit)
    found: dict[tuple[str, float], list[Values]] = {}
    yield from table_head(HEAD)
    for kind in options.kinds.split(","):
        for noise in NOISES:
            values = [bench.measure(hr, kind, noise, seed, images) for seed, hr in enumerate(images)]
            found[kind, noise] = values
            yield row(kind, noise, values)
    yield from ("", *summary(found), "", f"{len(images)} images of {options.sets}, x{options.scale}.")


def degraded(
    hr: RGB, kind: str, scale: int, noise: float, seed: int, images: Sequence[RGB]
) -> tuple[RGB, Degraded]:
    """HR and its degraded LR; for `defocus`, a layered scene of the size of the image in its place."""
    if kind != "defocus":
        return hr, degrade(hr, kind, scale, noise=noise, seed=seed)
    scene = layered_scene(images, hr.shape[0], hr.shape[1], seed)
    return scene.image, degrade(scene.image, kind, scale, noise=noise, seed=seed, depth=scene.depth)


class Bench:
    """The networks that are compared."""

    def __init__(self, estimator: KernelEstimator, edsr: LoadedModel) -> None:
        self.estimator, self.edsr = estimator, edsr
        self.scale = estimator.scale
        self._psnr = METRICS["psnr"].make(Setup(torch.device("cpu")))

    def measure(self, hr: RGB, kind: str, noise: float, seed: int, images: Sequence[RGB]) -> Values:
        hr, made = degraded(hr, kind, self.scale, noise, seed, images)
        found = self.estimator.estimate(DecodedImage(made.lr)).kernels
        codes, basis = torch.from_numpy(found.codes)[None], torch.from_numpy(found.basis)
        true_codes = made.field.codes(basis_of(self.estimator.restorer.network, "").float())
        values = errors(decode(codes, basis), torch.from_numpy(found.covariance)[None], made)
        x = batch(made.lr)
        return values | {
            "estimated": self.psnr(self.estimator.restorer, hr, x, codes),
            "true": self.psnr(self.estimator.restorer, hr, x, true_codes),
            "edsr": self.psnr(self.edsr, hr, x),
        }

    @torch.inference_mode()
    def psnr(self, model: LoadedModel, hr: RGB, x: Tensor, *conditions: Tensor) -> float:
        with torch.autocast("cpu", torch.bfloat16):
            sr = model.network.eval()(x, *conditions)
        rounded = (sr.float().clamp(0, 1) * 255).round().to(torch.uint8)
        return self._psnr.score(Sample(rounded, levels(hr), None, PROTOCOLS["classical"], self.scale))


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
    return table_row([kind, f"{noise:g}", *cells])


def summary(found: dict[tuple[str, float], list[Values]]) -> list[str]:
    """Means over the kinds of blur, a line each."""
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
                f"axis {ratios[1]}, narrow axis {ratios[2]}; NBSR with estimated kernels against EDSR "
                f"{interval_text(gain, 2, ' dB')}, against true kernels {loss:+.2f} dB."
            )
        if invariant := found.get(("invariant", noise)):
            within = np.mean([v["width"] <= 0.15 for v in invariant])
            lines.append(
                f"- noise {noise:g}, invariant: width off by {100 * mean(invariant, 'width'):.1f} % on average, "
                f"within 15 % for {100 * within:.0f} % of the images."
            )
        if bicubic := found.get(("bicubic", noise)):
            difference = mean(bicubic, "estimated") - mean(bicubic, "edsr")
            lines.append(
                f"- noise {noise:g}, bicubic: NBSR with estimated kernels against EDSR {difference:+.2f} dB."
            )
    return lines


if __name__ == "__main__":
    main()
