"""Scores of models for real images: degraded benchmarks with references, and old images without.

    SRKIT_DATA=... SRKIT_WEIGHTS=... python experiments/real_scores.py [-m real-x4 ...] [--limit 25] [--write]

Images of Set14, BSD100 and Urban100, spread over each set, under the three hidden degradations of
`experiments/presets.py`: PSNR (classical protocol) and the shipped perceptual distance `judge`, which no model was
trained against, of every model, and the differences of the first one to the others with 95 % intervals. Then, on
RealSRSet, NIQE where it is available (lower is better in principle, but it rewards noise) and the largest difference of
a mean colour to that of the input.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.ablations import interval_text
from experiments.images import RGB, data_root, named_benchmark, photographs, read_rgb8
from experiments.presets import PRESETS, preset
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.data.benchmarks import rgb8
from srkit.engine.resample import resample
from srkit.errors import ResourceError
from srkit.inference.upscaler import Upscaler
from srkit.inference.work import Work
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.metrics.bootstrap import compare, paired_bootstrap
from srkit.metrics.results import SetResult
from srkit.recipes.evaluate import EvalRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.evaluate.run import BICUBIC, EvalJob, evaluate

SCALE = 4
SETS = ("Set14", "BSD100", "Urban100")
METRICS = ("psnr", "judge")


def main() -> None:
    parser = study_parser(__doc__, limit=25)
    parser.add_argument("--model", "-m", action="append", help="by default real-x4; repeatable")
    options = read_options(parser)
    models = (*(options.model or ["real-x4"]), "cdasr-x4", BICUBIC)
    with tempfile.TemporaryDirectory() as folder:
        degrade_sets(Path(folder), options.limit)
        publish("hidden degradations", hidden(Path(folder), models), write=options.write)
        real = data_root() / "real" / "RealSRSet"
        publish("RealSRSet", unreferenced(real, Path(folder), models), write=options.write)


def degrade_sets(root: Path, limit: int) -> None:
    """Write ROOT/PRESET/HR and ROOT/PRESET/LR/X4, the same images in each."""
    for name in PRESETS:
        (root / name / "HR").mkdir(parents=True)
        (root / name / "LR" / f"X{SCALE}").mkdir(parents=True)
    for name in SETS:
        for seed, (image, hr) in enumerate(named_benchmark([name], SCALE, limit=limit)):
            for degradation in PRESETS:
                lr = preset(degradation, hr, SCALE, seed)
                for pixels, place in ((hr, "HR"), (lr, f"LR/X{SCALE}")):
                    write_image(
                        DecodedImage(pixels), root / degradation / place / f"{image}.png", format="png"
                    )


def hidden(root: Path, models: Sequence[str]) -> Iterator[str]:
    """Markdown: scores by degradation, and the differences of the first model to the others over all of them."""
    results = evaluate(
        EvalJob(
            EvalRecipe(models=tuple(models), scale=SCALE, metrics=METRICS, device="cpu"),
            datasets=tuple(PRESETS),
            data_root=root,
        )
    ).results
    count = len(PRESETS)  # results come model by model
    by_model = {model: results[i * count : (i + 1) * count] for i, model in enumerate(models)}
    yield from table_head(["model", *(f"{name}: PSNR, judge" for name in PRESETS), "all"])
    for model, found in by_model.items():
        cells = [", ".join(f"{r.mean[metric]:.3f}" for metric in METRICS) for r in found]
        means = [np.mean([r.mean[metric] for r in found]) for metric in METRICS]
        yield table_row([model, *cells, f"{means[0]:.3f}, {means[1]:.3f}"])
    first, *others = models
    yield ""
    for other in others:
        for metric in METRICS:
            yield f"- {first} less {other}, {metric}: {pooled(by_model, first, other, metric)}"


def pooled(by_model: dict[str, tuple[SetResult, ...]], first: str, other: str, metric: str) -> str:
    """The mean difference over all degradations, and each one's."""
    parts, each = [], []
    for ours, theirs in zip(by_model[first], by_model[other], strict=True):
        (found,) = compare(ours, theirs, [metric])
        each.append(f"{ours.dataset} {found.interval.mean:+.3f}")
        their_values = {image.name: image.values[metric] for image in theirs.images}
        parts += [image.values[metric] - their_values[image.name] for image in ours.images]
    return f"{interval_text(paired_bootstrap(np.array(parts)))}; {', '.join(each)}"


def unreferenced(folder: Path, work: Path, models: Sequence[str]) -> Iterator[str]:
    """Markdown: NIQE and the shift of colours on images without references."""
    images = {path.stem: read_rgb8(path) for path in photographs(folder)}
    yield from table_head(["model", f"NIQE, {len(images)} images", "largest shift of a mean colour, of 255"])
    for model in models:
        target = work / "real" / model.replace("/", "-")
        target.mkdir(parents=True)
        shifts = []
        for name, sr in upscaled(model, images):
            shifts.append(float(np.abs(sr.mean((0, 1)) - images[name].mean((0, 1))).max()))
            write_image(DecodedImage(sr), target / f"{name}.png", format="png")
        yield table_row([model, niqe(target), f"{max(shifts):.2f}"])


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


def upscaled(model: str, images: dict[str, RGB]) -> Iterator[tuple[str, RGB]]:
    if model == BICUBIC:
        for name, lr in images.items():
            yield name, resample(lr, lr.shape[0] * SCALE, lr.shape[1] * SCALE)
        return
    upscaler = Upscaler(UpscaleRecipe(model=model, device="cpu"))
    works = (
        Work(name, DecodedImage(lr), lr.shape[1] * SCALE, lr.shape[0] * SCALE) for name, lr in images.items()
    )
    for done in upscaler.run(works):
        if done.image is None:
            raise SystemExit(str(done.error))
        yield done.tag, rgb8(done.image)


if __name__ == "__main__":
    main()
