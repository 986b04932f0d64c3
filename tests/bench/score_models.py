"""Score every shipped model on the four sets at its scale, and write the scores where users read them.

    SRKIT_DATA=../shared/data python tests/bench/score_models.py [MODEL ...]

Writes `scores` of each model in weights/manifest.json, and the table between the two marks in weights/README.md.
Bicubic upscaling is scored beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from marks import write_between_marks

from srkit.io.atomic import atomic_path
from srkit.metrics.results import SetResult
from srkit.recipes.evaluate import EvalRecipe
from srkit.tasks.evaluate import BICUBIC, EvalJob, evaluate
from srkit.zoo.manifest import MANIFEST_NAME, Entry, format_entries, read_entries, weights_dir

SETS = ("Set5", "Set14", "BSD100", "Urban100")
PROTOCOL = "classical"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", help="names; by default all that are shipped")
    chosen = parser.parse_args().models
    folder = weights_dir()
    entries = read_entries(folder / MANIFEST_NAME)
    able = [
        entry for entry in entries if entry.task == "sr" and entry.arch != "nbsr"
    ]  # it needs a kernel map
    scored = [entry for entry in able if not chosen or entry.name in chosen]
    if missing := set(chosen) - {entry.name for entry in scored}:
        raise SystemExit(f"no shipped model for super-resolution is named {', '.join(sorted(missing))}")
    results = {entry.name: measure(entry.name, entry.scale) for entry in scored}
    bicubic = {
        scale: measure(BICUBIC, scale) for scale in sorted({e.scale for e in entries if e.task == "sr"})
    }
    updated = [with_scores(entry, results.get(entry.name, ())) for entry in entries]
    with atomic_path(folder / MANIFEST_NAME) as temporary:
        temporary.write_text(format_entries(updated), encoding="utf-8")
    table = markdown(updated, bicubic)
    print(table)
    write_between_marks("scores", "score_models.py", table)


def measure(model: str, scale: int) -> tuple[SetResult, ...]:
    print(f"{model} x{scale}", flush=True)
    return evaluate(
        EvalJob(EvalRecipe(models=(model,), scale=scale, protocol=PROTOCOL), datasets=SETS)
    ).results


def with_scores(entry: Entry, results: Sequence[SetResult]) -> Entry:
    if not results:
        return entry
    return replace(entry, scores=entry.scores | {PROTOCOL: rounded(results)})


def rounded(results: Sequence[SetResult]) -> dict[str, dict[str, float]]:
    """Mean PSNR and SSIM by set."""
    if failed := [f"{r.dataset}/{f.name}: {f.error}" for r in results for f in r.failed]:
        raise SystemExit("; ".join(failed))
    return {r.dataset: {"psnr": round(r.mean["psnr"], 3), "ssim": round(r.mean["ssim"], 4)} for r in results}


def markdown(entries: Sequence[Entry], bicubic: dict[int, tuple[SetResult, ...]]) -> str:
    """A row a model, by scale, bicubic first; `PSNR / SSIM` of each set."""
    rows = [(scale, 0, BICUBIC, rounded(results)) for scale, results in bicubic.items()]
    rows += [(e.scale, 1, e.name, e.scores[PROTOCOL]) for e in entries if PROTOCOL in e.scores]
    lines = [f"| model | scale | {' | '.join(SETS)} |", "|---|---|" + "---|" * len(SETS)]
    for scale, _, name, scores in sorted(rows, key=lambda row: row[:3]):
        cells = (f"{scores[s]['psnr']:.2f} / {scores[s]['ssim']:.4f}" if s in scores else "" for s in SETS)
        lines.append(f"| {name} | x{scale} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
