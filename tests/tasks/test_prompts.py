"""Prompts through upscaling and evaluation: which image gets which, that they count, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from srkit.encoders.text import text_encoder
from srkit.errors import ResourceError, UsageError
from srkit.metrics.reports import Report, html_page, jsonl
from srkit.recipes.adapt import AdaptRecipe, TunePart
from srkit.recipes.engine import EngineRecipe
from srkit.recipes.evaluate import EvalRecipe
from srkit.recipes.shard import Shard
from srkit.recipes.upscale import UpscaleRecipe
from srkit.rendered import render
from srkit.tasks.adapt import run as adapt
from srkit.tasks.evaluate.merge import merge
from srkit.tasks.evaluate.run import EvalJob, Evaluation
from srkit.tasks.prompts import controlled, prompts_of
from srkit.tasks.upscale.plan import plan_upscale
from srkit.tasks.upscale.run import UpscaleJob, run
from srkit.tasks.upscale.streamed import run_streamed
from tests.encoders import clip_files
from tests.helpers import Listening, refused
from tests.tasks.guided import save


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("weights") / "guided.safetensors", "random")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images, two of which have a caption beside them."""
    root = tmp_path_factory.mktemp("images") / "set" / "HR"
    root.mkdir(parents=True)
    for i in range(3):
        cv2.imwrite(str(root / f"{i}.png"), render("screen", 64, 64, i)[:, :, ::-1])
    (root / "0.txt").write_text("a sign that reads BAKERY")
    (root / "1.txt").write_text("看板\x1b 😀")
    return root


def upscaled(
    weights: Path, source: Path, output: Path, prompts: Path | None = None, **recipe: Any
) -> list[Any]:
    wanted = UpscaleRecipe(model=str(weights), device="cpu", dtype="fp32", **recipe)
    job = UpscaleJob(wanted, str(source), output, prompts=prompts, save_recipe=True, existing="overwrite")
    return list(run(job, Listening()))


def pixels(path: Path) -> Any:
    return cv2.imread(str(path)).astype(int)


def test_the_prompt_counts_and_is_recorded(weights: Path, folder: Path, tmp_path: Path) -> None:
    for name, prompt in (("none", ""), ("one", "a sign that reads BAKERY"), ("other", "three cats")):
        (record,) = upscaled(weights, folder / "0.png", tmp_path / f"{name}.png", prompt=prompt)
        assert record.error is None
        assert record.prompt == (prompt or None)
        kept = json.loads((tmp_path / f"{name}.png.srkit.json").read_text())
        assert kept["settings"]["prompt"] == prompt
        assert kept.get("prompt", "") == prompt
    none, one, other = (pixels(tmp_path / f"{name}.png") for name in ("none", "one", "other"))
    assert (none != one).any()
    assert (one != other).any()


def test_tiles_do_not_show(weights: Path, folder: Path, tmp_path: Path) -> None:
    for name, tile in (("whole", "off"), ("tiled", 16)):
        upscaled(weights, folder / "0.png", tmp_path / f"{name}.png", prompt="a sign", tile=tile)
    assert np.abs(pixels(tmp_path / "whole.png") - pixels(tmp_path / "tiled.png")).max() <= 1


def test_each_image_has_its_own_prompt(weights: Path, folder: Path, tmp_path: Path) -> None:
    records = upscaled(weights, folder, tmp_path / "out", prompts=folder)
    assert [r.prompt for r in records] == ["a sign that reads BAKERY", "看板\x1b 😀", None]
    for i, prompt in enumerate(("a sign that reads BAKERY", "看板\x1b 😀", "")):
        upscaled(weights, folder / f"{i}.png", tmp_path / "alone.png", prompt=prompt)
        assert (pixels(tmp_path / "alone.png") == pixels(tmp_path / "out" / f"{i}.png")).all()


def test_the_plan_holds_the_prompts(weights: Path, folder: Path, tmp_path: Path) -> None:
    recipe = UpscaleRecipe(model=str(weights), device="cpu", dtype="fp32")
    plan = plan_upscale(UpscaleJob(recipe, str(folder), tmp_path / "out", prompts=folder))
    assert [one.prompt for one in plan.pictures] == ["a sign that reads BAKERY", "看板\x1b 😀", None]


def test_what_is_cut_off_or_empty_is_said(weights: Path, folder: Path, tmp_path: Path) -> None:
    recipe = UpscaleRecipe(model=str(weights), device="cpu", dtype="fp32", prompt="far \x1btoo long " * 60)
    listening = Listening()
    job = UpscaleJob(recipe, str(folder / "0.png"), tmp_path / "a.png")
    list(run(job, listening))
    (said,) = [text for text in listening.warned if "160" in text]
    assert "far \\x1btoo long" in said
    job = UpscaleJob(replace(recipe, prompt=" \n"), str(folder / "0.png"), tmp_path / "b.png")
    list(run(job, listening))
    assert len(listening.warned) == 2


def test_prompts_without_an_image_and_the_reverse_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "spare.txt").write_text("x")
    listening = Listening()
    found = prompts_of([folder / "0.png"], "", tmp_path, listening)
    assert found == {}
    assert any("spare.txt" in text for text in listening.warned)
    assert any("0.png" in text for text in listening.warned)


def test_a_shard_does_not_name_the_captions_of_the_others(
    weights: Path, folder: Path, tmp_path: Path
) -> None:
    """Nor do its images lose theirs where the captions lie in folders as the images do."""
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "texts" / name).mkdir(parents=True)
        shutil.copy(folder / "0.png", tmp_path / "in" / name / f"{name}.png")
        (tmp_path / "texts" / name / f"{name}.txt").write_text(f"a sign that reads {name}")
    (tmp_path / "texts" / "spare.txt").write_text("x")
    recipe = UpscaleRecipe(model=str(weights), device="cpu", dtype="fp32")
    found = {}
    for index in range(1, 4):
        job = UpscaleJob(
            recipe, str(tmp_path / "in"), tmp_path / "out", recursive=True, shard=Shard(index, 3)
        )
        listening = Listening()
        plan = plan_upscale(replace(job, prompts=tmp_path / "texts"), listening)
        assert ["spare.txt" in text for text in listening.warned] == [True]
        assert not any("a.txt" in text or "b.txt" in text for text in listening.warned)
        found |= {Path(one.input).name: one.prompt for one in plan.pictures}
        target = f"memory://shards/{tmp_path.name}/{index}"
        prompted, listening = replace(job, prompts=tmp_path / "texts"), Listening()
        for record in run_streamed(prompted, target, EngineRecipe(), listening):
            assert record.prompt == found[Path(record.input).name]
        assert ["spare.txt" in text for text in listening.warned] == [True]
    assert found == {"a.png": "a sign that reads a", "b.png": "a sign that reads b"}


def test_refusals(weights: Path, folder: Path, tmp_path: Path, edsr_weights: Path) -> None:
    image = folder / "0.png"
    with refused(UsageError, edsr_weights.stem):
        upscaled(edsr_weights, image, tmp_path / "x.png", prompt="a")
    with refused(UsageError, "--prompt", "--prompts"):
        upscaled(weights, image, tmp_path / "x.png", prompt="a", prompts=folder)
    with refused(UsageError, "--tta"):
        upscaled(weights, image, tmp_path / "x.png", prompt="a", tta=True)
    with refused(UsageError, "nowhere.tsv"):
        upscaled(weights, image, tmp_path / "x.png", prompts=tmp_path / "nowhere.tsv")
    job = UpscaleJob(
        UpscaleRecipe(model=str(weights), device="cpu"),
        "-",
        tmp_path / "x.png",
        data=image.read_bytes(),
        prompts=folder,
    )
    with refused(UsageError, "--prompts", "--prompt"):
        list(run(job))


def test_another_text_encoder_than_it_was_trained_with(folder: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other.safetensors", "random", version="older")
    with refused(ResourceError, "random", "older"):
        upscaled(other, folder / "0.png", tmp_path / "x.png", prompt="a")


def test_public_clip_and_its_weights_of_another_size(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of the real format, small; then the file is replaced by one of another size."""
    clip_files.register(tmp_path)
    clip = tmp_path / "clip.pt"
    torch.save(clip_files.network("tiny-vit").state_dict(), clip)
    guided = save(tmp_path / "guided.safetensors", f"open_clip:tiny-vit-gelu:{clip}")
    for name, prompt in (("one", "a cat"), ("other", "a house")):
        (record,) = upscaled(guided, folder / "0.png", tmp_path / f"{name}.png", prompt=prompt)
        assert record.error is None
    assert (pixels(tmp_path / "one.png") != pixels(tmp_path / "other.png")).any()
    torch.save(clip_files.network("tiny-deep").state_dict(), clip)
    with refused(ResourceError, "clip.pt"):
        upscaled(guided, folder / "0.png", tmp_path / "x.png", prompt="a cat")


def test_adapting_reads_the_captions_beside_the_images(
    weights: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same images without their captions another network comes."""
    read: list[str] = []
    encoder = type(text_encoder("random", torch.device("cpu")))
    usual = encoder.read
    monkeypatch.setattr(encoder, "read", lambda self, texts: (read.extend(texts), usual(self, texts))[1])
    recipe = AdaptRecipe(
        model=str(weights), shots=2, tune=TunePart(steps=3, batch=2, patch=8), device="cpu", dtype="fp32"
    )
    adapt.run(adapt.AdaptJob(recipe, folder, tmp_path / "adapted.safetensors"))
    assert {"a sign that reads BAKERY", "看板\x1b 😀", ""} <= set(read)


def test_controls() -> None:
    a, b, c = map(Path, "abc")
    own = {a: "A", c: "C"}
    images = [a, b, c]
    assert controlled(own, images, "right") == own
    assert controlled(own, images, "none") == {}
    assert controlled(own, images, "shuffled") == {a: "C", c: "A"}
    assert controlled(own, images, "=X, Y") == dict.fromkeys(images, "X, Y")


def evaluation(weights: Path, folder: Path, *controls: str, **changes: Any) -> Evaluation:
    recipe = EvalRecipe(
        metrics=("psnr",),
        models=(str(weights),),
        device="cpu",
        dtype="fp32",
        prompt_controls=controls,
        scale=4,
    )
    usual = {"datasets": ("set",), "data_root": folder.parents[1], "prompts": folder, "with_gallery": True}
    return Evaluation(EvalJob(recipe, **(usual | changes)), Listening())


def test_evaluation_under_each_control(weights: Path, folder: Path, tmp_path: Path) -> None:
    controls = ("right", "none", "shuffled", "=three cats, asleep")
    work = evaluation(weights, folder, *controls, save_images=tmp_path / "sr")
    results = work.run()
    assert [len(result.images) for result in results] == [3, 3, 3, 3]
    for result, control in zip(results, ("right", "none", "shuffled", "three cats, asleep"), strict=True):
        assert control in result.model
    assert results[0].prompts == {"0": "a sign that reads BAKERY", "1": "看板\x1b 😀"}
    assert results[2].prompts == {"1": "a sign that reads BAKERY", "0": "看板\x1b 😀"}
    report = work.judge(results)
    compared = [c for c in report.comparisons if c.metric == "psnr"]
    assert all(c.interval.count == 3 for c in compared)
    assert [(c.result.model, c.other.model) for c in compared] == [
        (results[0].model, other.model) for other in results[1:]
    ]
    values = {r.model: [image.values["psnr"] for image in r.images] for r in results}
    assert len({tuple(v) for v in values.values()}) == 4
    assert (
        len({v[2] for v in list(values.values())[:3]}) == 1
    )  # the third has no prompt, whatever the control
    check_page(report, tmp_path / "page.html")
    jsonl.write(report, tmp_path / "all.jsonl")
    assert [one.prompts for one in merge([tmp_path / "all.jsonl"])] == [one.prompts for one in results]


def check_page(report: Report, path: Path) -> None:
    html_page.write(report, path)
    page = path.read_text()
    assert "a sign that reads BAKERY" in page
    assert "\\x1b" in page
    assert "\x1b" not in page
    table = page.partition("side by side")[2]
    assert table.count("<tr>") == 3
    assert table.count("<figure>") == 3 * (1 + 4 + 1)
    assert table.count("(no prompt)") == 3 + 2 * 1


def test_evaluation_refuses(weights: Path, folder: Path, edsr_weights: Path) -> None:
    with refused(UsageError, edsr_weights.stem):
        evaluation(edsr_weights, folder, "right", "none")
    with refused(UsageError, "--prompt-control", "--prompts"):
        evaluation(weights, folder, "right", "none", prompts=None)
    with refused(UsageError, "wrong", "shuffled"):
        evaluation(weights, folder, "wrong")
    with refused(UsageError, "--prompt-control"):
        evaluation(weights, folder, "none", "none")
    with refused(UsageError, "--prompts", "--sr"):
        recipe = EvalRecipe(scale=4)
        Evaluation(EvalJob(recipe, sr=folder, hr=folder, prompts=Path(os.devnull)))
