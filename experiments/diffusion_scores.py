"""What a diffusion model gains over its NBSR, and what it pays: perceptual distance, NIQE, PSNR, spectrum, spread.

    SRKIT_DATA=... python experiments/diffusion_scores.py [-m diffusion-x4] [--limit 21] [--steps 4] [--write]

Images are the middles of BSD100, blurred by MANet's modes and, as layered scenes, by a lens; kernels and depth are as
the shipped networks estimate them. Rows of steps are the model's sampler; rows of kernels and depth have
`--steps` steps and other conditions. Differences have a paired bootstrap interval over the images. Below the table:

- band: energy of the highest wavelet band (finer than 2 pixels) as a multiple of HR's;
- re-blurred: PSNR of the result, blurred by the true kernels, to LR;
- spread: correlation over pixels between the standard deviation of the samples and the error of their mean;
- flat: mean difference of two seeds where HR's deviation in 9 x 9 pixels is below one level.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.ablation_diffusion import (
    NOISE,
    SCALE,
    SEED,
    SIDE,
    Case,
    estimated,
    middle,
    model,
    other_conditions,
    sampled,
    scores,
)
from experiments.ablations import Values, made_scorers, score_table
from experiments.images import batch, benchmark
from experiments.study import publish, read_options, study_parser
from srkit.archs.diffusion import MAX_STEPS, DiffusionSR
from srkit.degradation.kernels import RADIUS
from srkit.degradation.spatially_variant import blur_window
from srkit.metrics.psnr import psnr
from srkit.ops.wavelets import low_pass

METRIC_NAMES = ("psnr", "judge", "niqe")
STEPS = (1, 2, 4, MAX_STEPS)
_FLAT = 9  # side of the window, HR pixels
_LEVEL = 1 / 255


def main() -> None:
    parser = study_parser(__doc__, limit=21)
    parser.add_argument("--model", "-m", default=f"diffusion-x{SCALE}", help="name or file (%(default)s)")
    parser.add_argument("--samples", type=int, default=8, help="for the spread (%(default)s)")
    parser.add_argument(
        "--steps",
        type=int,
        default=4,
        choices=STEPS,
        help="for other conditions and below the table (%(default)s)",
    )
    options = read_options(parser)
    publish("scores of diffusion x4", table(options), write=options.write)


def table(options: argparse.Namespace) -> Iterator[str]:
    """Markdown: a row for NBSR, each number of steps and each change of conditions, then the other measures."""
    network = model(options.model)
    scorers = made_scorers(METRIC_NAMES)
    images = [middle(image) for image in benchmark(["BSD100"], SCALE, limit=options.limit)]
    cases = estimated(images, network.basis, refine=0)
    rows: dict[str, Values] = {"NBSR": scores(network, cases, scorers, samples=False)}
    for steps in STEPS:
        network.steps = steps
        rows[_row(steps)] = scores(network, cases, scorers)
    network.steps = options.steps
    controls = {"NBSR": ""} | {_row(steps): "NBSR" for steps in STEPS}
    for name, changed in other_conditions(cases, network.basis).items():
        rows[name], controls[name] = scores(network, changed, scorers), _row(options.steps)
    yield from score_table(rows, controls, "difference", named=True)
    yield ""
    yield from measures(network, cases, options.samples)
    yield ""
    shown = f"{options.model}, below the table {options.steps} steps"
    yield f"{len(cases)} images of BSD100, x{SCALE}, noise {NOISE:g}; {shown}."


def measures(network: DiffusionSR, cases: Sequence[Case], count: int) -> Iterator[str]:
    """The lines below the table, of the model at the steps that are set and of its NBSR."""
    bands: dict[str, list[float]] = {"model": [], "NBSR": []}
    blurred: dict[str, list[float]] = {"model": [], "NBSR": []}
    correlations, flats = [], []
    for case in cases:
        hr = batch(case.hr)
        samples = [sampled(network, case, SEED + number) for number in range(count)]
        for name, sr in (("model", samples[0]), ("NBSR", sampled(network, case, None))):
            bands[name].append(_band(sr) / _band(hr))
            blurred[name].append(_reblurred(sr, case))
        stack = torch.cat(samples)
        spread, error = stack.std(0).mean(0), (stack.mean(0) - hr[0]).abs().mean(0)
        correlations.append(float(np.corrcoef(spread.flatten(), error.flatten())[0, 1]))
        flat = _deviation(hr) < _LEVEL
        if bool(flat.any()):
            flats.append(float((samples[0] - samples[1]).abs().mean(1, keepdim=True)[flat].mean()) / _LEVEL)
    for label, found, unit in (("band", bands, ""), ("re-blurred", blurred, " dB")):
        yield f"- {label}: {np.mean(found['model']):.2f}{unit}, NBSR {np.mean(found['NBSR']):.2f}{unit}"
    yield f"- spread of {count} samples: correlation {np.mean(correlations):.2f} with the error"
    yield f"- flat: {np.mean(flats) if flats else float('nan'):.2f} levels between two seeds, {len(flats)} images"


def _row(steps: int) -> str:
    return f"{steps} step{'s' if steps > 1 else ''}"


def _band(image: Tensor) -> float:
    return float((image - low_pass(image, 1)).square().mean())


def _reblurred(sr: Tensor, case: Case) -> float:
    """PSNR of the result, blurred and subsampled as HR was, to LR, without the border that the kernels reach over."""
    around = F.pad(sr * 255, (RADIUS,) * 4, mode="replicate")
    lr = blur_window(around, case.made.field.rows(0, SIDE // SCALE), SCALE, RADIUS)
    inner = (..., slice(3, -3), slice(3, -3))
    return float(psnr((lr / 255).clamp(0, 1)[inner], batch(case.made.lr)[inner]).mean())


def _deviation(image: Tensor) -> Tensor:
    """(1, 1, H, W): standard deviation of the gray values around each pixel."""
    gray = image.mean(1, keepdim=True)
    mean, square = (
        F.avg_pool2d(v, _FLAT, 1, _FLAT // 2, count_include_pad=False) for v in (gray, gray.square())
    )
    return (square - mean.square()).clamp_min(0).sqrt()


if __name__ == "__main__":
    main()
