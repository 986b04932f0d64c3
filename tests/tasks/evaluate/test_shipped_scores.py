"""The manifest tells the truth: every shipped model scores on Set5 what its entry says, if it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from srkit.recipes.evaluate import EvalRecipe
from srkit.tasks.evaluate.run import EvalJob, evaluate
from srkit.zoo.manifest import Entry, Manifest

SHIPPED = [entry for entry in Manifest.load().shipped() if "Set5" in entry.scores.get("classical", {})]


def test_the_default_models_tell_their_scores() -> None:
    names = {entry.name for entry in SHIPPED}
    assert names >= {f"cdasr-x{scale}" for scale in (2, 4, 8, 16)} | {f"edsr-x{scale}" for scale in (2, 4, 8)}


@pytest.mark.data
@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_set5_is_what_the_manifest_says(entry: Entry, data_root: Path) -> None:
    claimed = entry.scores["classical"]["Set5"]
    job = EvalJob(
        EvalRecipe(models=(entry.name,), scale=entry.scale), datasets=("Set5",), data_root=data_root
    )
    [result] = evaluate(job).results
    assert result.mean["psnr"] == pytest.approx(claimed["psnr"], abs=0.01)
    assert result.mean["ssim"] == pytest.approx(claimed["ssim"], abs=0.001)
    assert result.model_sha256 == entry.sha256
