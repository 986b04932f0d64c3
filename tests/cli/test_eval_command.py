"""`srkit eval`: its three forms, what it prints, and the exit code of everything that can go wrong."""

from __future__ import annotations

import html
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import srkit_cli

from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.metrics.reports import FORMATS
from tests.helpers import assert_message, missing

SCHEMA = json.loads((Path(srkit_cli.__file__).parent / "schemas" / "eval.json").read_text())
NAMES = ("alpha", "beta", "gamma")


@pytest.fixture
def root(tmp_path: Path, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with the set `Small`: colour, gray, 16 bit, sides that are no multiples of 2."""
    folder = tmp_path / "data" / "Small" / "HR"
    save(folder / "alpha.png", 64, 48, seed=1)
    save(folder / "beta.png", 51, 67, bands=1, seed=2)
    save(folder / "gamma.png", 40, 61, depth=16, seed=3)
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("SRKIT_DATA", raising=False)
    monkeypatch.delenv("SRKIT_WEIGHTS", raising=False)
    return tmp_path / "data"


@pytest.fixture
def evaluate(call: Callable[..., Any], root: Path) -> Callable[..., Any]:
    """Runs `srkit eval` with the data root."""
    return lambda *arguments: call("eval", "--data-root", root, *arguments)


def documents(ran: Any) -> list[dict[str, Any]]:
    [content] = ran.records
    jsonschema.validate(content, SCHEMA)
    assert isinstance(content, list)
    return content


@pytest.fixture
def finished(root: Path, tmp_path: Path, evaluate: Callable[..., Any], edsr_weights: Path) -> Path:
    """SR images of the tiny network."""
    saved = tmp_path / "saved"
    ran = evaluate("--dataset", "Small", "-m", edsr_weights, "--save-images", saved)
    assert ran.code == 0, ran.err
    return saved / "Small"


# -- what it says ---------------------------------------------------------------------------------------------


def test_bicubic_table(evaluate: Callable[..., Any]) -> None:
    ran = evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2, "-v")
    assert ran.code == 0
    head, *rows = [line.split("\t") for line in ran.out.splitlines()]
    assert head == ["data set", "scale", "model", "protocol", "LR", "PSNR", "SSIM", "LR PSNR", "images"]
    assert [row[-1] for row in rows] == [*NAMES, "mean of 3"]
    assert rows[-1][:5] == ["Small", "x2", "bicubic", "classical", "made: bicubic uint8"]
    for column in (5, 6, 7):
        values = [float(row[column]) for row in rows]
        assert values[-1] == pytest.approx(np.mean(values[:-1]), abs=0.01)
    assert "limited range, 2 pixels of border" in ran.err
    assert "gamma: 'gamma.png' has 16 bit" in ran.err


def test_json_of_a_model(evaluate: Callable[..., Any], edsr_weights: Path) -> None:
    ran = evaluate("--dataset", "Small", "-m", edsr_weights, "--json", "--dtype", "fp32")
    [result] = documents(ran)
    assert ran.code == 0
    assert (result["dataset"], result["scale"], result["model"], result["count"]) == (
        "Small",
        2,
        "tiny-x2",
        3,
    )
    assert len(result["model_sha256"]) == 64
    assert result["versions"]["dtype"] == "float32"
    assert list(result["images"][0]) == ["name", "psnr", "ssim", "lr_psnr"]


def test_on_the_fly_equals_saved_to_the_last_digit(
    evaluate: Callable[..., Any], edsr_weights: Path, finished: Path, root: Path
) -> None:
    for protocol in ("classical", "rgb", "div2k"):
        [there] = documents(
            evaluate("--dataset", "Small", "-m", edsr_weights, "--json", "--protocol", protocol)
        )
        arguments = ("--sr", finished, "--hr", root / "Small/HR", "-s", 2, "--json", "--protocol", protocol)
        [saved] = documents(evaluate(*arguments))
        assert saved["images"] == there["images"]
        assert saved["mean"] == there["mean"]
        assert saved["dataset"] == there["dataset"] == "Small"


def test_saved_images_are_what_upscale_makes(
    call: Callable[..., Any], tmp_path: Path, edsr_weights: Path, finished: Path, root: Path
) -> None:
    """Of a colour image whose sides are whole: the network is run in the same way."""
    from srkit.data.pairs import make_lr

    hr = read_image(root / "Small/HR/alpha.png")
    write_image(DecodedImage(make_lr(np.ascontiguousarray(hr.pixels), 2)), tmp_path / "lr.png", format="png")
    assert call("upscale", tmp_path / "lr.png", tmp_path / "sr.png", "-m", edsr_weights, "-s", 2).code == 0
    upscaled, saved = (read_image(path).pixels for path in (tmp_path / "sr.png", finished / "alpha.png"))
    assert np.array_equal(upscaled, saved)


def test_identical_images_are_infinite(evaluate: Callable[..., Any], root: Path) -> None:
    folder = root / "Small/HR"
    ran = evaluate("--sr", folder, "--hr", folder, "-s", 2)
    assert "\tinf\t1.0000\t" in ran.out
    [result] = documents(evaluate("--sr", folder, "--hr", folder, "-s", 2, "--json"))
    assert result["mean"]["psnr"] is None
    assert result["mean"]["psnr_is_infinite"] is True
    assert result["mean"]["ssim"] == 1
    assert result["infinite"]["psnr"] == list(NAMES)
    assert any("PSNR is infinite" in remark for remark in result["remarks"])
    assert "PSNR is infinite" in ran.err


@pytest.mark.parametrize(
    ("gate", "code"), [("psnr<30", 4), ("psnr.min<30", 4), ("psnr.max<30", 4), ("psnr<1", 0)]
)
def test_an_identical_image_hides_no_other(
    evaluate: Callable[..., Any], root: Path, finished: Path, gate: str, code: int
) -> None:
    (finished / "beta.png").write_bytes((root / "Small/HR/beta.png").read_bytes())
    ran = evaluate("--sr", finished, "--hr", root / "Small/HR", "-s", 2, "--json", "--fail-if", gate)
    assert ran.code == code
    [result] = documents(ran)
    assert result["infinite"]["psnr"] == ["beta"] == result["gates"][0]["left_out"]
    others = [image["psnr"] for image in result["images"] if image["name"] != "beta"]
    assert result["mean"]["psnr"] == pytest.approx(np.mean(others))
    assert "beta" in ran.err


def _cut_out(path: Path, alpha: Any, hidden: int = 0, shown: int = 120) -> Path:
    """An image of noise; what is transparent has the colour `hidden`."""
    noise = np.random.default_rng(0).integers(-40, 40, (48, 64, 1))
    colour = np.repeat(np.where(alpha[..., None] > 0, shown + noise, hidden), 3, axis=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(DecodedImage(np.dstack([colour, alpha]).astype(np.uint8)), path, format="png")
    return path


def test_alpha_is_scored_and_hidden_colours_are_not(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    """Whatever the colour over the background: each change of alpha counts, and nothing that is not seen."""
    alpha = np.zeros((48, 64), np.uint8)
    alpha[12:36, 16:48] = 255
    arguments = ("--sr", tmp_path / "sr", "--hr", tmp_path / "hr", "-s", 2, "--json")
    for shown in (44, 120, 211):
        _cut_out(tmp_path / "hr/a.png", alpha, shown=shown)
        _cut_out(tmp_path / "sr/a.png", alpha, hidden=200, shown=shown)
        ran = evaluate(*arguments)
        [same] = documents(ran)
        assert same["infinite"]["psnr"] == ["a"]
        assert "transparent" in ran.err
        for wrong in (np.full_like(alpha, 255), np.zeros_like(alpha), np.roll(alpha, 8), alpha // 2):
            sr = read_image(_cut_out(tmp_path / "sr/a.png", alpha, shown=shown)).pixels.copy()
            sr[..., 3] = wrong
            write_image(DecodedImage(sr), tmp_path / "sr/a.png", format="png")
            ran = evaluate(*arguments, "--fail-if", "psnr<30")
            assert ran.code == 4
            [result] = documents(ran)
            assert result["mean"]["psnr"] < 20


def test_a_model_is_run_on_transparent_images_as_they_are_seen(
    evaluate: Callable[..., Any], root: Path, edsr_weights: Path
) -> None:
    alpha = np.zeros((48, 64), np.uint8)
    alpha[12:36, 16:48] = 255
    scores = []
    for hidden in (0, 200):
        _cut_out(root / "Cut/HR/a.png", alpha, hidden)
        ran = evaluate("--dataset", "Cut", "-m", edsr_weights, "--json")
        scores += [result["images"] for result in documents(ran)]
        assert "transparent" in ran.err
    assert scores[0] == scores[1]


def test_given_lr_is_used_and_named(
    evaluate: Callable[..., Any], root: Path, finished: Path, save: Callable[..., Path]
) -> None:
    for i, (name, size) in enumerate((("alpha", (32, 24)), ("betax2", (25, 33)), ("gamma", (20, 30)))):
        save(root / "Small/LR_bicubic/X2" / f"{name}.png", *size, seed=i)
    [result] = documents(evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2, "--json"))
    assert result["lr_source"] == "LR_bicubic/X2"
    assert result["mean"]["psnr"] < 25, "it is made of other images"
    [result] = documents(evaluate("--sr", finished, "--hr", root / "Small/HR", "-s", 2, "--json"))
    assert result["lr_source"] == "LR_bicubic/X2"
    save(root / "Small/LR_bicubic/X2/alpha.png", 33, 24)
    ran = evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2)
    ran.refused(2, "'alpha'", "33 x 24", "32 x 24")


def test_protocols_that_take_given_lr_do_not_make_it(
    evaluate: Callable[..., Any], finished: Path, root: Path
) -> None:
    ran = evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2, "--protocol", "ntire")
    assert ran.code == 5
    assert "LR_bicubic/X2" in ran.err
    [result] = documents(
        evaluate("--sr", finished, "--hr", root / "Small/HR", "-s", 2, "--json", "--protocol", "real")
    )
    assert (result["lr_source"], list(result["mean"])) == ("none", ["psnr", "ssim"])


def test_two_models_are_compared(evaluate: Callable[..., Any], edsr_weights: Path) -> None:
    ran = evaluate("--dataset", "Small", "-m", edsr_weights, "-m", "bicubic", "-s", 2, "--json")
    ours, bicubic = documents(ran)
    assert bicubic["comparisons"] == []
    psnr = ours["comparisons"][0]
    assert [c["metric"] for c in ours["comparisons"]] == ["psnr", "ssim", "lr_psnr"]
    assert (psnr["metric"], psnr["other_model"], psnr["count"]) == ("psnr", "bicubic", 3)
    assert psnr["difference"] == pytest.approx(ours["mean"]["psnr"] - bicubic["mean"]["psnr"], abs=1e-9)
    assert psnr["low"] <= psnr["difference"] <= psnr["high"]
    assert "95 % low" in evaluate("--dataset", "Small", "-m", edsr_weights, "-m", "bicubic", "-s", 2).out


def test_pattern(evaluate: Callable[..., Any], finished: Path, root: Path) -> None:
    for name in NAMES:
        (finished / f"{name}.png").rename(finished / f"{name}_x2_tiny.png")
    form = ("--sr", finished, "--hr", root / "Small/HR", "-s", 2)
    assert evaluate(*form).code == 2
    assert evaluate(*form, "--pattern", "{name}_x{scale}_tiny").code == 0
    for wrong in ("tiny", "{name}_{model}"):
        assert evaluate(*form, "--pattern", wrong).code == 2


def test_every_report_is_written(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    files = {f: tmp_path / f"r.{f}" for f in ("report", "jsonl", "csv", "junit", "markdown")}
    options = [part for form, path in files.items() for part in (f"--{form}", path)]
    assert evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2, *options).code == 0
    for path in files.values():
        assert "gamma" in path.read_text(encoding="utf-8"), path
    assert files["report"].read_text().count("data:image/png") >= 9, "LR, SR and HR of three images"
    ran = evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2, "--csv", tmp_path / "none" / "r.csv")
    ran.refused(2, tmp_path / "none" / "r.csv")


# -- gates ----------------------------------------------------------------------------------------------------


def test_gates(evaluate: Callable[..., Any], tmp_path: Path, edsr_weights: Path) -> None:
    form = ("--dataset", "Small", "-m", "bicubic", "-s", 2)
    assert evaluate(*form, "--fail-if", "psnr<5", "--fail-if", "ssim.min<0.01").code == 0
    ran = evaluate(*form, "--fail-if", "psnr<99", "--fail-if", "psnr.min<98", "--fail-if", "ssim<0.01")
    assert ran.code == 4
    assert [line for line in ran.err.splitlines() if "broken" in line and "psnr<99" in line]
    assert len([line for line in ran.err.splitlines() if "broken" in line]) == 2
    baseline = tmp_path / "b.json"
    assert evaluate(*form, "--fail-if", "psnr<-0.05").code == 2, "relative without baseline"
    assert evaluate(*form, "--fail-if", "psnr<-0.05", "--baseline", baseline).code == 2, "no such file"
    assert evaluate(*form, "--fail-if", "psnr<-0.05", "--baseline", baseline, "--update-baseline").code == 0
    assert evaluate(*form, "--fail-if", "psnr<-0.05", "--baseline", baseline).code == 0
    ours = ("--dataset", "Small", "-m", edsr_weights, "-s", 2)
    ran = evaluate(*ours, "--fail-if", "ssim.max<+9", "--baseline", baseline)
    assert ran.code == 4
    assert "from baseline bicubic" in ran.err
    assert evaluate(*form, "--update-baseline").code == 2


@pytest.mark.parametrize(
    "gate", ["psnr", "psnr<", "psnr<=3", "pnsr<3", "psnr.median<3", "lpips<1", "psnr<nan"]
)
def test_gates_that_make_no_sense(evaluate: Callable[..., Any], gate: str) -> None:
    assert evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2, "--fail-if", gate).code == 2


def test_a_baseline_of_something_else_is_refused_before_any_work(
    evaluate: Callable[..., Any], tmp_path: Path, root: Path, save: Callable[..., Path]
) -> None:
    baseline, saved = tmp_path / "b.json", tmp_path / "pictures"
    form = ("--dataset", "Small", "-m", "bicubic", "-s", 2, "--baseline", baseline)
    assert evaluate(*form, "--update-baseline").code == 0
    ran = evaluate(*form, "--protocol", "rgb", "--save-images", saved)
    assert ran.code == 2
    assert "'classical'" in ran.err and "'rgb'" in ran.err
    save(root / "Small/HR/delta.png", 40, 40)
    ran = evaluate(*form, "--save-images", saved)
    assert ran.code == 2
    assert "delta" in ran.err
    assert not saved.exists()


# -- bad input ------------------------------------------------------------------------------------------------


def test_one_broken_image(evaluate: Callable[..., Any], root: Path, tmp_path: Path) -> None:
    broken = root / "Small/HR/alpha.png"
    broken.write_bytes(broken.read_bytes()[:300])
    ran = evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2, "--json", "--junit", tmp_path / "j.xml")
    assert ran.code == 3
    [result] = documents(ran)
    assert (result["count"], result["failed"][0]["name"]) == (2, "alpha")
    assert "alpha" in ran.err and "means over 2 images, 1 failed" in ran.err
    assert "alpha" in (tmp_path / "j.xml").read_text()
    assert "mean of 2 of 3" in evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2).out
    baseline = tmp_path / "b.json"
    ran = evaluate(
        "--dataset", "Small", "-m", "bicubic", "-s", 2, "--baseline", baseline, "--update-baseline"
    )
    assert ran.code == 1
    assert not baseline.exists()
    assert "mean of 2 of 3" in ran.out, "what was measured is printed all the same"
    for name in NAMES:
        (root / f"Small/HR/{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2).code == 1


def test_every_report_names_flags(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    files = {form.option: tmp_path / f"r{form.suffix}" for form in FORMATS}
    written = [word for option, path in files.items() for word in (f"--{option}", path)]
    ran = evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2, "--max-pixels", 3100, *written)
    assert ran.code == 3
    for text in (ran.err, *(path.read_text(encoding="utf-8") for path in files.values())):
        plain = html.unescape(text).replace("\\", "")  # Markdown's and JSON's own signs
        assert "--max-pixels" in plain and "`max_pixels`" not in plain


def test_an_image_that_is_too_small(
    evaluate: Callable[..., Any], root: Path, save: Callable[..., Path]
) -> None:
    save(root / "Small/HR/tiny.png", 12, 12)
    save(root / "Small/HR/dot.png", 1, 1)
    ran = evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2)
    assert ran.code == 3
    assert [line for line in ran.err.splitlines() if not missing(line, ("tiny", "12 x 12", "'classical'"))]
    assert [line for line in ran.err.splitlines() if not missing(line, ("dot", "1 x 1"))]


def test_pairs_that_do_not_match(evaluate: Callable[..., Any], finished: Path, root: Path) -> None:
    form = ("--sr", finished, "--hr", root / "Small/HR", "-s", 2)
    (finished / "beta.png").rename(finished / "betta.png")
    ran = evaluate(*form)
    ran.refused(2, "'beta'", "'betta'")
    (finished / "betta.png").rename(finished / "beta.png")
    (finished / "alpha.jpg").write_bytes((finished / "alpha.png").read_bytes())
    ran = evaluate(*form)
    ran.refused(2, finished, "'alpha'")


def test_sizes_that_do_not_match(
    evaluate: Callable[..., Any], finished: Path, root: Path, save: Callable[..., Path]
) -> None:
    form = ("--sr", finished, "--hr", root / "Small/HR", "-s", 2)
    save(finished / "alpha.png", 66, 45, seed=1)
    ran = evaluate(*form)
    ran.refused(2, "'alpha'", "66 x 45", "64 x 48", "--allow-crop")
    [result] = documents(evaluate(*form, "--allow-crop", "--json"))
    assert result["count"] == 3
    assert result["images"][0]["psnr"] > 20, "the same image, from its top left"
    save(finished / "alpha.png", 128, 96, seed=1)
    ran = evaluate(*form, "--allow-crop")
    ran.refused(2, "128 x 96", 16)


def test_a_finished_image_of_the_whole_reference_size_is_cut_with_it(
    evaluate: Callable[..., Any], finished: Path, root: Path
) -> None:
    (finished / "beta.png").write_bytes((root / "Small/HR/beta.png").read_bytes())  # 51 x 67, not 50 x 66
    [result] = documents(evaluate("--sr", finished, "--hr", root / "Small/HR", "-s", 2, "--json"))
    assert result["images"][1]["psnr_is_infinite"] is True


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--dataset", "Nowhere", "-m", "bicubic"], 5, "Nowhere"),
        (["--dataset", "Smal", "-m", "bicubic"], 5, "Small"),
        (["--dataset", "Manga109", "-m", "bicubic", "--download"], 5, "licence"),
        (["--dataset", "Set5", "-m", "bicubic", "--download"], 5, "Set5"),
        (["--dataset", "Small", "-m", "bicubic", "--metrics", "psnr,simm"], 2, "ssim"),
        (["--dataset", "Small", "-m", "bicubic", "--metrics", ","], 2, "psnr"),
        (["--dataset", "Small", "-m", "bicubic", "--protocol", "clasical"], 2, "classical"),
        (["--dataset", "Small", "-m", "bicubic", "-s", "0"], 2, "--scale"),
        (["--dataset", "Small", "-m", "bicubic", "-s", "17"], 2, "17"),
        (["--dataset", "Small", "-m", "bicubic", "-s", "nan"], 2, "--scale"),
        (["--dataset", "Small", "-m", "nothing-x4"], 5, "nothing-x4"),
        (["--dataset", "Small,Small", "-m", "bicubic"], 2, "--dataset"),
        (["--dataset", "Small", "-m", "bicubic", "-m", "bicubic"], 2, "--model"),
        (["--dataset", "Small", "--sr", "x"], 2, "--dataset"),
        (["--sr", "x", "-m", "bicubic"], 2, "--model"),
        (["--sr", "x", "--hr", "y"], 2, "--scale"),
        (["--sr", "x"], 2, "--hr"),
        (["--sr", "x", "--hr", "y", "-s", "2"], 2, "--hr"),
        ([], 2, "--dataset"),
        (["--dataset", "Small", "-m", "bicubic", "--device", "cuda:99"], 2, "cuda:99"),
        (["--dataset", "Small", "-m", "bicubic", "--metrics", "lpips"], 5, "alexnet-owt-7be5be79.pth"),
        (
            ["--dataset", "Small", "-m", "bicubic", "--weights-dir", "none", "--metrics", "lpips"],
            2,
            "--weights-dir",
        ),
    ],
)
def test_what_cannot_be_done(
    evaluate: Callable[..., Any], arguments: list[str], code: int, named: str
) -> None:
    ran = evaluate(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert_message(ran.err.splitlines()[-1], named)


def test_images_are_not_written_over(
    evaluate: Callable[..., Any], finished: Path, edsr_weights: Path
) -> None:
    ran = evaluate("--dataset", "Small", "-m", edsr_weights, "--save-images", finished.parent)
    ran.refused(2, finished.parent)


def test_a_folder_that_cannot_be_written(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = evaluate("--dataset", "Small", "-m", "bicubic", "-s", 2, "--save-images", tmp_path / "file" / "x")
    ran.refused(1, tmp_path / "file")


def test_schema_is_printed(call: Callable[..., Any]) -> None:
    assert json.loads(call("schema", "eval").out) == SCHEMA


# -- metrics with networks ------------------------------------------------------------------------------------


def test_lpips_from_a_folder_of_weights(
    evaluate: Callable[..., Any], tmp_path: Path, finished: Path, root: Path, edsr_weights: Path
) -> None:
    """A random trunk in the file format of the real one; on the fly and on saved images."""
    import torch
    from torchvision.models import alexnet

    torch.manual_seed(0)
    torch.save(alexnet().state_dict(), tmp_path / "alexnet-owt-7be5be79.pth")
    options = ("--metrics", "lpips,psnr", "--weights-dir", tmp_path, "--json")
    ran = evaluate("--dataset", "Small", "-m", edsr_weights, *options)
    assert "not the published file" in ran.err
    [there] = documents(ran)
    assert list(there["mean"]) == ["lpips", "psnr", "lr_psnr"]
    assert 0 < there["mean"]["lpips"] < 5
    assert "net alex, v0.1, alexnet-owt-7be5be79.pth sha256 " in there["versions"]["lpips"]
    [saved] = documents(evaluate("--sr", finished, "--hr", root / "Small/HR", "-s", 2, *options))
    assert saved["images"] == there["images"]


@pytest.mark.metric_weights
@pytest.mark.skipif(
    importlib.util.find_spec("pyiqa") is None, reason="pyiqa (the extra iqa) is not installed"
)
def test_niqe_of_a_folder(call: Callable[..., Any], tmp_path: Path, save: Callable[..., Path]) -> None:
    save(tmp_path / "in/large.png", 210, 200)
    save(tmp_path / "in/small.png", 60, 60)
    ran = call("eval", "--sr", tmp_path / "in", "--metrics", "niqe", "--json")
    assert ran.code == 3
    [result] = documents(ran)
    assert (result["scale"], result["lr_source"], result["model"]) == (None, "none", "in")
    assert [image["name"] for image in result["images"]] == ["large"]
    assert result["mean"]["niqe"] > 0
    assert "NIQE needs at least 192 x 96" in result["failed"][0]["error"]
    assert result["versions"]["niqe"].startswith("pyiqa ")


# -- few-shot -------------------------------------------------------------------------------------------------


def test_shots(
    evaluate: Callable[..., Any], edsr_weights: Path, root: Path, save: Callable[..., Path], tmp_path: Path
) -> None:
    for i, name in enumerate(NAMES):
        save(root / "Few/HR" / f"{name}.png", 96, 64, seed=i)
    arguments = ("--dataset", "Few", "-m", edsr_weights, "--shots", 1, "--shot-steps", 4, "--dtype", "fp32")
    ran = evaluate(*arguments, "--json", "--report", tmp_path / "report.html")
    adapted, base = documents(ran)
    assert (adapted["model"], base["model"]) == ("tiny-x2 1-shot", "tiny-x2")
    for result in (adapted, base):
        assert result["support"] == ["alpha"]
        assert [image["name"] for image in result["images"]] == ["beta", "gamma"]
    gains = {gain["metric"]: gain for gain in adapted["comparisons"]}
    assert gains["psnr"]["other_model"] == "tiny-x2"
    assert gains["psnr"]["low"] <= gains["psnr"]["difference"] <= gains["psnr"]["high"]
    assert "alpha" in (tmp_path / "report.html").read_text()
    ran = evaluate(*arguments)
    assert "Few x2: alpha served to adapt and are left out of the score" in ran.err
    assert evaluate("--dataset", "Few", "-m", edsr_weights, "--shots", 3).code == 2
