"""Scores of models for real images: degraded benchmarks with references, and old images without.

    SRKIT_DATA=... SRKIT_WEIGHTS=... python experiments/real_scores.py -m real-x4 [-m FILE ...] [--scale 4] \\
        [--limit 25] [--write]

Images of Set14, BSD100 and Urban100, spread over each set, under the hidden degradations of `experiments/presets.py`:
PSNR (classical protocol), SSIM, the shipped perceptual distance `judge`, LPIPS and a distance of VGG16's features where
their weights are available, of every model, and the differences of the first one to the others with 95 % intervals.
CPU seconds are those of the whole process while the model upscales, in the same run. Then, at x4, on RealSRSet: NIQE
where it is available (lower is better in principle, but it rewards noise), the largest difference of a mean colour to
that of the input, and the deviation of the highest band of frequencies in flat parts of four noisy images: what noise
is left.

The first model is compared with all others; `bicubic` is always among them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from experiments.ablations import Values, interval_text, made_scorers
from experiments.images import batch, data_root, levels, named_benchmark, photographs, read_rgb8
from experiments.presets import PRESETS, preset
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.data.benchmarks import rgb8
from srkit.degradation.filters import filtered, gaussian_kernel
from srkit.encoders.features import perceptual_features
from srkit.engine.resample import resample
from srkit.errors import ResourceError
from srkit.inference.upscaler import Upscaler
from srkit.inference.work import Work
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.losses.images import feature_l1
from srkit.metrics.bootstrap import paired_bootstrap
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.table import Sample, Scorer
from srkit.ops.layout import RGB
from srkit.recipes.evaluate import EvalRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.evaluate.run import BICUBIC, EvalJob, evaluate

SCALE = 4
SETS = ("Set14", "BSD100", "Urban100")
METRICS = ("psnr", "ssim", "judge", "lpips")
VGG16 = "vgg16"
VGG16_LAYERS = "vgg16:conv1_2,conv2_2,conv3_3,conv4_3,conv5_3"
FLAT = {
    "dog": (275, 25, 315, 75),
    "frog": (206, 18, 236, 46),
    "building": (35, 30, 62, 50),
    "oldphoto2": (3, 108, 25, 140),
}
"""Flat parts of noisy images of RealSRSet: left, top, right, bottom, in LR pixels."""


def main() -> None:
    parser = study_parser(__doc__, limit=25)
    parser.add_argument("--model", "-m", action="append", help="by default real-x4; repeatable")
    parser.add_argument("--scale", type=int, default=SCALE, choices=(2, 3, 4), help="(%(default)s)")
    options = read_options(parser)
    models = (*(options.model or ["real-x4"]), BICUBIC)
    name = "hidden degradations" if options.scale == SCALE else f"hidden degradations x{options.scale}"
    publish(name, hidden(options, models), write=options.write)
    if options.scale != SCALE:
        return
    publish("RealSRSet", unreferenced(data_root() / "real" / "RealSRSet", models), write=options.write)


def hidden(options: argparse.Namespace, models: Sequence[str]) -> Iterator[str]:
    """Markdown: scores by degradation, and the differences of the first model to the others."""
    scale = options.scale
    found = [hr for name in SETS for _, hr in named_benchmark([name], scale, limit=options.limit)]
    scorers = made_scorers(METRICS) | vgg16_scorer()
    scores: dict[str, dict[str, Values]] = {}
    yield from table_head(["model", *(f"{name}: {', '.join(scorers)}" for name in PRESETS), "CPU s"])
    for model in models:
        spent, scores[model] = 0.0, {}
        for degradation in PRESETS:
            pairs = {f"{n}": (hr, preset(degradation, hr, scale, n)) for n, hr in enumerate(found)}
            started = time.process_time()
            made = dict(upscaled(model, {name: lr for name, (_, lr) in pairs.items()}, scale))
            spent += time.process_time() - started
            scores[model][degradation] = scored(pairs, made, scorers, scale)
        cells = [
            ", ".join(f"{values.mean():.3f}" for values in by_metric.values())
            for by_metric in scores[model].values()
        ]
        yield table_row([Path(model).name, *cells, f"{spent:.0f}"])
    first, *others = models
    yield ""
    for other in others:
        for metric in scorers:
            yield f"- {Path(first).name} less {Path(other).name}, {metric}: " + "; ".join(
                f"{name} {interval_text(paired_bootstrap(scores[first][name][metric] - scores[other][name][metric]))}"
                for name in PRESETS
            )
    yield from ("", f"{len(found)} images under each of {len(PRESETS)} degradations.")


def scored(
    pairs: Mapping[str, tuple[RGB, RGB]], made: Mapping[str, RGB], scorers: Mapping[str, Scorer], scale: int
) -> Values:
    """Every score of every image, HR and LR by name and what was made of it."""
    values: dict[str, list[float]] = {name: [] for name in scorers}
    for name, (hr, lr) in pairs.items():
        sample = Sample(levels(made[name]), levels(hr), levels(lr), PROTOCOLS["classical"], scale)
        for metric, scorer in scorers.items():
            values[metric].append(scorer.score(sample))
    return {name: np.array(found) for name, found in values.items()}


def vgg16_scorer() -> dict[str, Scorer]:
    """Mean absolute difference of VGG16's features before activation, where its weights are available."""
    try:
        network = perceptual_features(VGG16_LAYERS, torch.device("cpu"))
    except ResourceError as error:
        print(f"without {VGG16}: {error}")
        return {}

    def score(sample: Sample) -> float:
        assert sample.hr is not None
        with torch.inference_mode():
            sr, hr = (network.features(image.float() / 255) for image in (sample.sr, sample.hr))
            return float(feature_l1(sr, hr))

    return {VGG16: Scorer(score, network.version)}


def unreferenced(folder: Path, models: Sequence[str]) -> Iterator[str]:
    """Markdown: NIQE, the shift of colours and what noise is left on images without references."""
    images = {path.stem: read_rgb8(path) for path in photographs(folder)}
    yield from table_head(
        [
            "model",
            f"NIQE, {len(images)} images",
            "largest shift of a mean colour, of 255",
            *(f"noise left, {name}" for name in FLAT),
            "CPU s",
        ]
    )
    with tempfile.TemporaryDirectory() as work:
        for number, model in enumerate(models):
            (target := Path(work) / str(number)).mkdir()
            started = time.process_time()
            made = dict(upscaled(model, images))
            spent = time.process_time() - started
            for name, sr in made.items():
                write_image(DecodedImage(sr), target / f"{name}.png", format="png")
            shift = max(
                float(np.abs(sr.mean((0, 1)) - images[name].mean((0, 1))).max()) for name, sr in made.items()
            )
            left = [f"{highest_band(flat_part(made[name], *FLAT[name])):.2f}" for name in FLAT]
            yield table_row([Path(model).name, niqe(target), f"{shift:.2f}", *left, f"{spent:.0f}"])


def flat_part(sr: RGB, left: int, top: int, right: int, bottom: int) -> RGB:
    return sr[top * SCALE : bottom * SCALE, left * SCALE : right * SCALE]


def highest_band(image: RGB) -> float:
    """Deviation, in levels of 8 bit, of what a Gaussian of sigma 2 pixels takes away."""
    x = batch(image)
    return float((x - filtered(x, gaussian_kernel(2.0))).std() * 255)


def niqe(folder: Path) -> str:
    """Mean NIQE of the images of a folder, where the package and the parameters are available."""
    if not (weights := os.environ.get("SRKIT_WEIGHTS")):
        return "not measured: no parameters"
    recipe = EvalRecipe(metrics=("niqe",), protocol="real", device="cpu")
    try:
        (result,) = evaluate(EvalJob(recipe, sr=folder, weights_dir=Path(weights))).results
    except ResourceError as error:
        return f"not measured: {error}"
    return f"{result.mean['niqe']:.2f}"


def upscaled(model: str, images: Mapping[str, RGB], scale: int = SCALE) -> Iterator[tuple[str, RGB]]:
    """Every image at `scale` times its size, by name."""
    if model == BICUBIC:
        for name, lr in images.items():
            yield name, resample(lr, lr.shape[0] * scale, lr.shape[1] * scale)
        return
    upscaler = Upscaler(UpscaleRecipe(model=model, device="cpu"))
    works = (
        Work(name, DecodedImage(lr), lr.shape[1] * scale, lr.shape[0] * scale) for name, lr in images.items()
    )
    for done in upscaler.run(works):
        if done.image is None:
            raise SystemExit(str(done.error))
        yield done.tag, rgb8(done.image)


if __name__ == "__main__":
    main()
