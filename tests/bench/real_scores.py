"""Models for real pictures: degraded benchmarks with references, and old pictures without.

    SRKIT_DATA=... SRKIT_WEIGHTS=... python tests/bench/real_scores.py [-m real-x4 ...] [--limit 25]

Pictures of Set14, BSD100 and Urban100, spread over each set, through the three hidden degradations of
`srkit.degradation.presets`: PSNR (classical protocol) and the distance `judge`, which no model was trained against, of
every model, and the differences of the first one to the others with 95 % intervals. Then NIQE (lower is said to be
better, but it rewards noise) on the pictures of RealSRSet, where its parameters are there, and how far the mean colour
of each of these is from the input's. Writes the tables between their marks in weights/README.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from marks import write_between_marks
from numpy.typing import NDArray

from srkit.data.benchmarks import find_dataset, rgb8
from srkit.data.pairs import crop_to_multiple
from srkit.degradation.presets import PRESETS, preset
from srkit.engine.resample import resample
from srkit.io.picture import Picture
from srkit.io.read import read_picture
from srkit.io.write import write_picture
from srkit.metrics.bootstrap import compare, paired_bootstrap
from srkit.metrics.results import SetResult
from srkit.recipes.evaluate import EvalRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.evaluate import BICUBIC, EvalJob, evaluate
from srkit.tasks.upscaler import Upscaler, Work

SCALE = 4
SETS = ("Set14", "BSD100", "Urban100")
METRICS = ("psnr", "judge")
RGB = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", "-m", action="append", help="by default real-x4")
    parser.add_argument("--limit", type=int, default=25, help="pictures of each set, at most")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--dry", action="store_true", help="do not write weights/README.md")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    models = (*(chosen.model or ["real-x4"]), "cdasr-x4", BICUBIC)
    data = Path(os.environ["SRKIT_DATA"])
    with tempfile.TemporaryDirectory() as folder:
        degrade_sets(data, Path(folder), chosen.limit)
        table = hidden(Path(folder), models)
        print(table)
        real = old(data / "real" / "RealSRSet", Path(folder), models)
        print(real)
    if not chosen.dry:
        write_between_marks("hidden degradations", "real_scores.py", table)
        write_between_marks("RealSRSet", "real_scores.py", real)


def degrade_sets(data: Path, root: Path, limit: int) -> None:
    """ROOT/PRESET/HR and ROOT/PRESET/LR/X4, the same pictures in each."""
    for name in PRESETS:
        (root / name / "HR").mkdir(parents=True)
        (root / name / "LR" / f"X{SCALE}").mkdir(parents=True)
    for name in SETS:
        items = find_dataset(name, data).pairs(SCALE)
        for seed, item in enumerate(items[:: max(1, len(items) // limit)][:limit]):
            hr = np.ascontiguousarray(crop_to_multiple(rgb8(read_picture(item.hr)), SCALE))
            for degradation in PRESETS:
                lr = preset(degradation, hr, SCALE, seed)
                for pixels, place in ((hr, "HR"), (lr, f"LR/X{SCALE}")):
                    path = root / degradation / place / f"{name}-{item.name}.png"
                    write_picture(Picture(pixels), path, format="png")


def hidden(root: Path, models: Sequence[str]) -> str:
    """Markdown: scores by degradation, and how the first model differs from the others over all of them."""
    results = evaluate(
        EvalJob(
            EvalRecipe(models=tuple(models), scale=SCALE, metrics=METRICS, device="cpu"),
            datasets=tuple(PRESETS),
            data_root=root,
        )
    ).results
    count = len(PRESETS)  # results come model by model
    by_model = {model: results[i * count : (i + 1) * count] for i, model in enumerate(models)}
    lines = [
        f"| model | {' | '.join(f'{name}: PSNR, judge' for name in PRESETS)} | all |",
        "|---|" + "---|" * (len(PRESETS) + 1),
    ]
    for model, found in by_model.items():
        cells = [", ".join(f"{r.mean[metric]:.3f}" for metric in METRICS) for r in found]
        means = [np.mean([r.mean[metric] for r in found]) for metric in METRICS]
        lines.append(f"| {model} | {' | '.join(cells)} | {means[0]:.3f}, {means[1]:.3f} |")
    first, *others = models
    lines.append("")
    for other in others:
        for metric in METRICS:
            lines.append(f"- {first} less {other}, {metric}: {pooled(by_model, first, other, metric)}")
    return "\n".join(lines)


def pooled(by_model: dict[str, tuple[SetResult, ...]], first: str, other: str, metric: str) -> str:
    """The mean difference over all degradations, and each one's."""
    parts, each = [], []
    for ours, theirs in zip(by_model[first], by_model[other], strict=True):
        (found,) = compare(ours, theirs, [metric])
        each.append(f"{ours.dataset} {found.interval.mean:+.3f}")
        old_values = {image.name: image.values[metric] for image in theirs.images}
        parts += [image.values[metric] - old_values[image.name] for image in ours.images]
    found_all = paired_bootstrap(np.array(parts))
    bounds = f"{found_all.mean:+.3f} ({found_all.low:+.3f} to {found_all.high:+.3f})"
    return f"{bounds}; {', '.join(each)}"


def old(folder: Path, work: Path, models: Sequence[str]) -> str:
    """Markdown: NIQE and the shift of colours on pictures without references."""
    pictures = {path.stem: rgb8(read_picture(path)) for path in sorted(folder.iterdir())}
    lines = [
        f"| model | NIQE, {len(pictures)} pictures | largest shift of a mean colour, of 255 |",
        "|---|---|---|",
    ]
    for model in models:
        target = work / "real" / model.replace("/", "-")
        target.mkdir(parents=True)
        shifts = []
        for name, sr in upscaled(model, pictures):
            shifts.append(float(np.abs(sr.mean((0, 1)) - pictures[name].mean((0, 1))).max()))
            write_picture(Picture(sr), target / f"{name}.png", format="png")
        niqe = "not measured: no parameters"
        if os.environ.get("SRKIT_WEIGHTS"):
            recipe = EvalRecipe(metrics=("niqe",), protocol="real", device="cpu")
            (result,) = evaluate(
                EvalJob(recipe, sr=target, weights_dir=Path(os.environ["SRKIT_WEIGHTS"]))
            ).results
            niqe = f"{result.mean['niqe']:.2f}"
        lines.append(f"| {model} | {niqe} | {max(shifts):.2f} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def upscaled(model: str, pictures: dict[str, RGB]) -> Iterator[tuple[str, RGB]]:
    if model == BICUBIC:
        for name, lr in pictures.items():
            yield name, resample(lr, lr.shape[0] * SCALE, lr.shape[1] * SCALE)
        return
    upscaler = Upscaler(UpscaleRecipe(model=model, device="cpu"))
    works = (
        Work(name, Picture(lr), lr.shape[1] * SCALE, lr.shape[0] * SCALE) for name, lr in pictures.items()
    )
    for done in upscaler.run(works):
        if done.picture is None:
            raise SystemExit(str(done.error))
        yield done.tag, done.picture.pixels


if __name__ == "__main__":
    main()
