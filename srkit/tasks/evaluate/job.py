"""Job of an evaluation, and checks of its consistency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from srkit.data.finished import DEFAULT_PATTERN
from srkit.errors import UsageError
from srkit.io.names import shown
from srkit.io.remote import Remote
from srkit.metrics.table import METRICS, Metric
from srkit.recipes.engine import EngineRecipe
from srkit.recipes.evaluate import EvalRecipe
from srkit.recipes.shard import Shard

BICUBIC = "bicubic"


@dataclass(frozen=True)
class EvalJob:
    """Recipe, images, gates and outputs of an evaluation.

    One of four forms: `datasets`; `sr` with `hr` (and the recipe's scale); `sr` alone; `merge`.
    """

    recipe: EvalRecipe
    datasets: tuple[str, ...] = ()
    sr: Path | Remote | None = None
    """Folder of finished SR images."""
    hr: Path | Remote | None = None
    """Folder of their references."""
    pattern: str = DEFAULT_PATTERN
    """Pattern of an SR image's name without extension; `{name}` is the reference's name."""
    prompts: Path | None = None
    """Captions of the references (`srkit.data.captions.find_captions`), for networks that are conditioned on text."""
    allow_crop: bool = False
    """Compare images whose sizes differ by a few pixels, aligned at the top left."""
    data_root: Path | Remote | None = None
    weights_dir: Path | None = None
    save_images: Path | None = None
    """Folder for SR images: DIR/DATASET/NAME.png, or with several models DIR/MODEL/DATASET/NAME.png."""
    with_gallery: bool = False
    """Collect images for the HTML report."""
    gates: tuple[str, ...] = ()
    baseline: Path | None = None
    update_baseline: bool = False
    """Create or replace the baseline with this run's results."""
    shard: Shard | None = None
    """Evaluate only this part of each set; gates and baselines apply to whole sets."""
    merge: tuple[Path, ...] = ()
    """JSON Lines of all shards, which are merged instead of an evaluation."""
    engine: EngineRecipe = field(default_factory=EngineRecipe)
    """Engine; with Ray, as with `merge`, reports contain no images."""


def check_form(job: EvalJob) -> None:
    """Raise UsageError if parts of a job contradict each other or are missing."""
    if job.merge:
        if job.datasets or job.sr or job.hr or job.shard or job.engine.name != "local":
            raise UsageError(
                "`merge` reads what was measured; leave out `dataset`, `sr`, `hr`, `shard` and `engine`."
            )
        return
    if job.engine.name != "local" and job.recipe.shots:
        raise UsageError("`shots` adapts a network in one process; leave out `shots`, or `engine`.")
    if job.shard is not None and (job.gates or job.baseline or job.recipe.shots):
        raise UsageError(
            "`shard` measures a part of each set; leave out `fail_if` and `baseline`, which go with `merge`, and "
            "`shots`."
        )
    if job.datasets and (job.sr or job.hr):
        raise UsageError(
            "`dataset` and `sr` or `hr` exclude each other; give data sets, or folders of images."
        )
    if not job.datasets and job.sr is None:
        raise UsageError(
            "Nothing to evaluate was given; add `dataset` NAME, or `sr` DIR with `hr` DIR or alone."
        )
    if len(set(job.datasets)) < len(job.datasets):
        raise UsageError("`dataset` names one set twice; name each once.")
    if job.recipe.shots and (job.sr is not None or BICUBIC in job.recipe.models):
        raise UsageError("`shots` adapts networks; leave it out with `sr` and with `model` bicubic.")
    if job.prompts is not None and (job.sr is not None or job.recipe.shots):
        raise UsageError(
            f"`prompts` is {shown(job.prompts)}; it is for networks on data sets: leave it out with `sr` and `shots`."
        )
    if job.prompts is not None and isinstance(job.data_root, Remote):
        raise UsageError(
            f"`prompts` is for images in folders, and `data_root` is {shown(job.data_root)}; give a folder."
        )
    if job.prompts is None and job.recipe.prompt_controls != ("right",):
        raise UsageError(
            f"`prompt_control` is {','.join(job.recipe.prompt_controls)}; it needs the images' prompts: add `prompts`."
        )
    if job.hr is not None and job.recipe.scale is None:
        raise UsageError("`sr` and `hr` need the scale between LR and HR; add `scale` N.")
    if job.sr is not None and job.save_images is not None:
        raise UsageError("`save_images` is for images that a model makes; leave it out with `sr`.")
    if job.sr is not None and job.hr is None and job.recipe.scale is not None:
        raise UsageError(
            "`scale` says nothing about images without references; add `hr` DIR, or leave it out."
        )


def check_references(asked: Sequence[Metric], job: EvalJob) -> None:
    """Raise UsageError if metrics need references and there are none."""
    if job.datasets or job.hr is not None:
        return
    if needy := [metric.name for metric in asked if metric.reference is not None]:
        free = [metric.name for metric in METRICS.values() if metric.reference is None]
        raise UsageError(
            f"{', '.join(needy)} need references; add `hr` DIR, or choose `metrics` {','.join(free)} or one of them."
        )
