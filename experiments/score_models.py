"""Score every shipped model on the four sets at its scale, with bicubic upscaling beside them.

    SRKIT_DATA=... python experiments/score_models.py [MODEL ...]

Writes `scores` of each model into weights/manifest.json, and the table into weights/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from experiments.images import SETS
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.io.atomic import atomic_path
from srkit.metrics.results import SetResult
from srkit.recipes.evaluate import EvalRecipe
from srkit.tasks.evaluate.run import BICUBIC, EvalJob, evaluate
from srkit.zoo.manifest import MANIFEST_NAME, Entry, format_entries, read_entries, weights_dir

PROTOCOL = "classical"


def main() -> None:
    parser = study_parser(__doc__, writes=False)
    parser.add_argument("models", nargs="*", help="names; by default all that are shipped")
    chosen = read_options(parser).models
    folder = weights_dir()
    entries = read_entries(folder / MANIFEST_NAME)
    # NBSR is left out: it needs a kernel map.
    able = [entry for entry in entries if entry.task == "sr" and entry.arch != "nbsr"]
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
    publish("scores", table(updated, bicubic), write=True, file=folder / "README.md")


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


def table(entries: Sequence[Entry], bicubic: dict[int, tuple[SetResult, ...]]) -> Iterator[str]:
    """Markdown: a row for each model, by scale, bicubic first; `PSNR / SSIM` of each set."""
    rows = [(scale, 0, BICUBIC, rounded(results)) for scale, results in bicubic.items()]
    scored = [(e, e.scores.get(PROTOCOL, {})) for e in entries]
    rows += [(e.scale, 1, e.name, scores) for e, scores in scored if not scores.keys().isdisjoint(SETS)]
    yield from table_head(["model", "scale", *SETS])
    for scale, _, name, scores in sorted(rows, key=lambda row: row[:3]):
        cells = (f"{scores[s]['psnr']:.2f} / {scores[s]['ssim']:.4f}" if s in scores else "" for s in SETS)
        yield table_row([name, f"x{scale}", *cells])


if __name__ == "__main__":
    main()
