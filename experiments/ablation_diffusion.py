"""Ablation of the diffusion model (Lin et al. 2024, Table 2 and Figures 8 and 9): what is fused, how, and around what.

    SRKIT_DATA=... python experiments/ablation_diffusion.py --data photos/ [--steps 4000] [--limit 20] [--write]

Models are trained jointly (U-Net and fusion), all with as many steps: `K + D` with everything, the others with one
thing changed. The rows below it are the same model with other conditions: true kernels, those of another image, the
bicubic kernel, widths times 0.7 and 1.4; likewise depth; kernels with two rounds of refinement; other steps of the
sampler. `--before FILE --after FILE` adds a model before and after its adversarial stage. Images are the middles of
BSD100, blurred by MANet's modes and, as layered scenes, by a lens. Differences have a paired bootstrap interval over
the images.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from experiments.ablations import Values, score_table
from experiments.degrade import Degraded
from experiments.images import batch, benchmark, levels
from experiments.kernel_checks import VARIANT, degraded
from experiments.study import publish, read_options, study_parser, trained
from srkit.archs.diffusion import DiffusionSR
from srkit.degradation.kernels import bicubic_kernel, gaussian_map
from srkit.degradation.pca import encode
from srkit.inference.kernel_estimator import KernelEstimator
from srkit.io.image import DecodedImage
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.table import METRICS, Sample, Scorer, Setup
from srkit.ops.layout import RGB
from srkit.ops.noise_field import noise_field
from srkit.recipes.estimate import EstimateRecipe
from srkit.zoo.load import load_model

SCALE, SIDE, NOISE, SEED = 4, 256, 2.0, 7
FULL, LR_ONLY = "K + D", "LR only"
TRAINED: Mapping[str, str] = {
    FULL: "",
    LR_ONLY: 'model.arguments.modalities=["lr"]',
    "K": 'model.arguments.modalities=["kernels","lr"]',
    "D": 'model.arguments.modalities=["depth","lr"]',
    "concatenation": "model.arguments.fusion=concat",
    "batch normalisation": "model.arguments.fusion=batch",
    "lambda 0": "loss.features=0.0",
    "lambda 1e-2": "loss.features=1e-2",
    "bicubic as the base": "model.arguments.base=bicubic",
    "no consistency": "model.arguments.consistent=false",
}
"""Rows that are trained, with the setting that makes each."""


@dataclass(frozen=True)
class Case:
    """An image, what was made of it, and what a model is conditioned on."""

    hr: RGB
    made: Degraded
    codes: Tensor
    depth: Tensor


def main() -> None:
    parser = study_parser(__doc__, work="runs/ablation-diffusion", limit=20)
    parser.add_argument("--steps", type=int, default=4000, help="training steps of each model (%(default)s)")
    parser.add_argument(
        "--set", action="append", default=[], help="a further setting of every recipe; repeatable"
    )
    parser.add_argument("--rows", default=",".join(TRAINED), help="models to train (%(default)s)")
    parser.add_argument("--before", type=Path, help="a model before its adversarial stage")
    parser.add_argument("--after", type=Path, help="the same behind it")
    options = read_options(parser)
    publish("ablation of diffusion x4", table(options), write=options.write)


def table(options: argparse.Namespace) -> Iterator[str]:
    """Markdown: a row for each model and each change of conditions, then what it was measured on."""
    scorers = {name: METRICS[name].make(Setup(torch.device("cpu"))) for name in ("psnr", "judge")}
    images = [middle(image) for image in benchmark(["BSD100"], SCALE, limit=options.limit)]
    names = [name for name in options.rows.split(",") if name]
    models = {name: model(trained_row(options, name)) for name in names}
    basis = next(iter(models.values())).basis
    cases = estimated(images, basis, refine=0)
    rows: dict[str, Values] = {"NBSR": scores(models[names[0]], cases, scorers, samples=False)}
    rows |= {name: scores(network, cases, scorers) for name, network in models.items()}
    if FULL in models:
        network = models[FULL]
        rows["K + D with SVKR"] = scores(network, estimated(images, basis, refine=2), scorers)
        for name, changed in other_conditions(cases, basis).items():
            rows[name] = scores(network, changed, scorers)
        for steps in (1, 2, 8):
            network.steps = steps
            rows[f"{steps} step{'s' if steps > 1 else ''}"] = scores(network, cases, scorers)
    for name, file in (("before the adversary", options.before), ("behind the adversary", options.after)):
        if file is not None:
            rows[name] = scores(model(file), cases, scorers)
    controls = dict.fromkeys(rows, FULL if FULL in rows else "NBSR")
    controls |= {"NBSR": "", FULL: "NBSR"} | dict.fromkeys({"K", "D"} & rows.keys(), LR_ONLY)
    controls |= {LR_ONLY: "NBSR", "behind the adversary": "before the adversary"}
    controls = {name: controls[name] if controls[name] in rows else "" for name in rows}
    yield from score_table(rows, controls, "difference", named=True)
    yield ""
    yield f"{len(cases)} images of BSD100, x{SCALE}, noise {NOISE:g}; {options.steps} steps each."


def trained_row(options: argparse.Namespace, name: str) -> Path:
    """The weights of a row of `TRAINED`."""
    changed = [TRAINED[name]] if TRAINED[name] else []
    settings = ["learned=all", "nbsr=nbsr-x4", f"optim.steps={options.steps}", *options.set, *changed]
    folder = options.work / name.replace(" ", "-").replace("+", "and")
    return trained(options, folder, "diffusion-x4-fusion", settings)


def model(file: Path | str) -> DiffusionSR:
    network = load_model(str(file)).network
    if not isinstance(network, DiffusionSR):
        raise SystemExit(f"{file} is no diffusion model.")
    return network


def middle(image: RGB) -> RGB:
    """(SIDE, SIDE, 3): of one size, so that kernels and depth of one image serve another."""
    top, left = ((side - SIDE) // 2 for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + SIDE, left : left + SIDE])


def estimated(images: Sequence[RGB], basis: Tensor, refine: int) -> list[Case]:
    """The images, one kind of blur after another, with kernels and depth as the shipped networks estimate them."""
    estimator = KernelEstimator(EstimateRecipe(scale=SCALE, refine=refine, device="cpu"))
    cases = []
    for seed, image in enumerate(images):
        hr, made = degraded(image, VARIANT[seed % len(VARIANT)], SCALE, NOISE, seed, images)
        found = estimator.kernels(DecodedImage(made.lr))
        own = torch.from_numpy(found.basis).flatten(1)
        codes = torch.einsum("jk,khw->jhw", basis.flatten(1) @ own.T, torch.from_numpy(found.codes))
        cases.append(Case(hr, made, codes[None], torch.from_numpy(found.depth).float()[None, None]))
    return cases


def other_conditions(cases: Sequence[Case], basis: Tensor) -> dict[str, list[Case]]:
    """The cases with other kernels, or another depth, by the names of the rows."""
    shifted = [*cases[1:], cases[0]]
    flat = encode(bicubic_kernel(SCALE).float().reshape(1, -1, 1, 1), basis)

    def with_codes(change: float) -> list[Case]:
        wide = [gaussian_map(case.made.field.covariance() * change**2, SCALE).float() for case in cases]
        return [
            replace(case, codes=encode(kernels, basis)) for case, kernels in zip(cases, wide, strict=True)
        ]

    def with_depth(change: float) -> list[Case]:
        return [replace(case, depth=(case.depth + change).clamp(0, 1)) for case in cases]

    return {
        "true K": [replace(case, codes=case.made.field.codes(basis)) for case in cases],
        "bicubic K": [replace(case, codes=flat.expand_as(case.codes)) for case in cases],
        "shuffled K": [replace(case, codes=other.codes) for case, other in zip(cases, shifted, strict=True)],
        "true K, widths x 0.7": with_codes(0.7),
        "true K, widths x 1.4": with_codes(1.4),
        "true D": [replace(case, depth=case.made.depth) for case in cases],
        "zero D": [replace(case, depth=torch.zeros_like(case.depth)) for case in cases],
        "shuffled D": [replace(case, depth=other.depth) for case, other in zip(cases, shifted, strict=True)],
        "D + 0.2": with_depth(0.2),
        "D - 0.2": with_depth(-0.2),
    }


@torch.inference_mode()
def sampled(network: DiffusionSR, case: Case, seed: int | None) -> Tensor:
    """(1, 3, SIDE, SIDE) in whole levels of 8 bit, in [0, 1]: the model's result; None: that of its NBSR."""
    x, rows = batch(case.made.lr), torch.arange(SIDE)
    with torch.autocast("cpu", torch.bfloat16):
        if seed is None:
            sr: Tensor = network.nbsr(x, case.codes)
        else:
            sr = network(x, case.codes, case.depth, noise_field(seed, rows, rows, 3))
    return (sr.float().clamp(0, 1) * 255).round() / 255


def scores(
    network: DiffusionSR, cases: Sequence[Case], scorers: Mapping[str, Scorer], *, samples: bool = True
) -> Values:
    """Every score of every image; without `samples`, of the network's NBSR."""
    values: dict[str, list[float]] = {name: [] for name in scorers}
    for case in cases:
        sr = (sampled(network, case, SEED if samples else None) * 255).round().to(torch.uint8)
        sample = Sample(sr, levels(case.hr), levels(case.made.lr), PROTOCOLS["classical"], SCALE)
        for name, scorer in scorers.items():
            values[name].append(scorer.score(sample))
    return {name: np.array(found) for name, found in values.items()}


if __name__ == "__main__":
    main()
