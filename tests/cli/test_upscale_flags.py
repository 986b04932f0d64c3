"""`srkit upscale`: what each flag does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srkit.io.read import probe, read_image
from srkit.recipes.upscale import Target, UpscaleRecipe
from srkit.tasks.upscale.run import UpscaleJob, run

FLAGS = (
    "--scale -s --width --height --max-size --model -m -n --tile -t --overlap --tta --format -f --quality "
    "--compression --recursive -r --suffix --overwrite --skip-existing --max-pixels --plan --save-recipe --json "
    "--kernel-map --debug-maps --device --dtype --threads --seed --verbose -v --quiet -q --debug"
)


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_help_names_every_flag(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for flag in ("--help", "-h"):
        ran = call("upscale", flag)
        assert (ran.code, ran.err) == (0, "")
        words = ran.out.replace(",", " ").split()
        assert [flag for flag in FLAGS.split() if flag not in words] == []


@pytest.mark.parametrize(
    ("flags", "size"),
    [
        ("", (48, 32)),
        ("--scale 2", (48, 32)),
        ("-s 1.5", (36, 24)),
        ("-s 3", (72, 48)),
        ("-s 6", (144, 96)),
        ("-s 16", (384, 256)),
        ("--width 100", (100, 67)),
        ("--height 100", (150, 100)),
        ("--width 50 --height 90", (50, 90)),
        ("--max-size 101", (101, 67)),
        ("--max-size 12", (12, 8)),
        ("--max-size 24", (24, 16)),
    ],
)
def test_sizes(
    upscale: Callable[..., Any],
    save: Callable[..., Path],
    tmp_path: Path,
    flags: str,
    size: tuple[int, int],
) -> None:
    ran = upscale(save(tmp_path / "a.png"), tmp_path / "b.png", "--json", *flags.split())
    assert ran.code == 0, ran
    written = read_image(tmp_path / "b.png")
    assert (written.width, written.height) == size
    (record,) = ran.records
    assert (record["width"], record["height"]) == size
    assert record["scale"] == pytest.approx(max(size[0] / 24, size[1] / 16))


def test_chain_is_told(upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    source = save(tmp_path / "a.png")
    for scale, passes in (("1.5", 1), ("2", 1), ("3", 2), ("4", 2), ("6", 3), ("9", 4)):
        (record,) = upscale(source, tmp_path / "b.png", "--json", "--overwrite", "-s", scale).records
        assert record["models"] == ["tiny-x2"] * passes


def test_tile_and_overlap(upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", 70, 50)
    (whole,) = upscale(source, tmp_path / "off.png", "--json", "-t", "off").records
    (tiled,) = upscale(source, tmp_path / "32.png", "--json", "-t", "32").records
    (wide,) = upscale(source, tmp_path / "9.png", "--json", "--tile", "32", "--overlap", "9").records
    assert whole["tile"] is None
    assert (tiled["tile"], wide["tile"], wide["overlap"]) == (32, 32, 9)
    one, other = (read_image(tmp_path / f"{name}.png").pixels.astype(int) for name in ("off", "32"))
    assert np.abs(one - other).max() <= 1


def test_tta_changes_the_image(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    source = save(tmp_path / "a.png")
    assert upscale(source, tmp_path / "plain.png").code == 0
    assert upscale(source, tmp_path / "tta.png", "--tta").code == 0
    plain, tta = (read_image(tmp_path / f"{name}.png").pixels for name in ("plain", "tta"))
    assert plain.shape == tta.shape
    assert (plain != tta).any()


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tiff", "avif"])
def test_format(upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path, format: str) -> None:
    source = save(tmp_path / "in" / "a.bmp.png")
    extension = {"tiff": ".tif"}.get(format, f".{format}")
    assert upscale(source, tmp_path / "out", "-f", format).code == 0
    (written,) = (tmp_path / "out").iterdir()
    assert written.name == f"a.bmp{extension}"
    assert probe(written).format == format
    by_name = tmp_path / f"named{extension}"
    assert upscale(source, by_name).code == 0
    assert by_name.read_bytes() == written.read_bytes()


def test_format_auto_keeps_the_inputs(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("a.jpeg", "b.JPG", "c.webp", "d.tif", "e.avif"):
        save(tmp_path / "in" / name)
    save(tmp_path / "in" / "f.png").rename(tmp_path / "in" / "f.jpg")  # a PNG by another name
    assert upscale(tmp_path / "in", tmp_path / "out").code == 0
    assert files(tmp_path / "out") == ["a.jpeg", "b.JPG", "c.webp", "d.tif", "e.avif", "f.png"]


def test_quality_and_compression(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    source = save(tmp_path / "a.png", 64, 64)
    sizes = {}
    for name, flags in {
        "low.jpg": "--quality 20",
        "high.jpg": "--quality 100",
        "none.png": "--compression 0",
        "most.png": "--compression 9",
    }.items():
        assert upscale(source, tmp_path / name, *flags.split()).code == 0
        sizes[name] = (tmp_path / name).stat().st_size
    assert sizes["low.jpg"] * 2 < sizes["high.jpg"]
    assert sizes["most.png"] < sizes["none.png"]


def test_recursive_mirrors_the_tree(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("a.png", "sub/a.png", "sub/deeper/b.png"):
        save(tmp_path / "in" / name)
    assert upscale(tmp_path / "in", tmp_path / "flat").code == 0
    assert files(tmp_path / "flat") == ["a.png"]
    assert upscale(tmp_path / "in", tmp_path / "tree", "-r", "--suffix", "_2x").code == 0
    assert files(tmp_path / "tree") == ["a_2x.png", "sub/a_2x.png", "sub/deeper/b_2x.png"]


def test_glob(upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("a1.png", "a2.png", "b1.png"):
        save(tmp_path / "in" / name)
    assert upscale(tmp_path / "in" / "a*.png", tmp_path / "out").code == 0
    assert files(tmp_path / "out") == ["a1.png", "a2.png"]


def test_output_folder_with_a_dot(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    source = save(tmp_path / "a.png")
    assert upscale(source, f"{tmp_path}/v1.5/").code == 0
    assert upscale(source, f"{tmp_path}/plain").code == 0
    assert files(tmp_path) == ["a.png", "plain/a.png", "v1.5/a.png"]


def test_names_that_would_collide(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    for name in ("a.jpg", "a.png", "a.tif", "a.jpg.webp", "b.jpg"):
        save(folder / name)
    (folder / "b.png").write_bytes(b"broken")
    ran = upscale(folder, tmp_path / "out", "-f", "png", "--json", "--suffix", "_2x")
    assert ran.code == 3
    done = {Path(r["input"]).name: Path(r["output"]).name for r in ran.records if r["status"] == "done"}
    assert done == {
        "a.jpg": "a.jpg_2x_.png",  # the name without a stroke is a.jpg.webp's
        "a.jpg.webp": "a.jpg_2x.png",
        "a.png": "a.png_2x.png",
        "a.tif": "a.tif_2x.png",
        "b.jpg": "b_2x.png",
    }
    assert files(tmp_path / "out") == sorted(done.values())
    again = upscale(folder, tmp_path / "out", "-f", "png", "--json", "--suffix", "_2x", "--skip-existing")
    assert again.code == 3
    assert set(again.status.items()) == {*((name, "skipped") for name in done), ("b.png", "failed")}


def test_overwrite_and_skip(upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "in" / f"{name}.png")
    out = tmp_path / "out"
    assert upscale(tmp_path / "in", out).code == 0
    right = (out / "a.png").read_bytes()
    (out / "a.png").write_bytes(b"mine")
    (out / "b.png").unlink()
    skipped = upscale(tmp_path / "in", out, "--skip-existing", "--json")
    assert (skipped.code, skipped.status) == (0, {"a.png": "skipped", "b.png": "done"})
    assert (out / "a.png").read_bytes() == b"mine"
    assert upscale(tmp_path / "in", out, "--overwrite").code == 0
    assert (out / "a.png").read_bytes() == right
    assert files(out) == ["a.png", "b.png"]


def test_max_pixels(upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", 30, 20)
    refused = upscale(source, tmp_path / "b.png", "--max-pixels", 599)
    assert refused.code == 1
    assert "30 x 20" in refused.err
    assert "--max-pixels" in refused.err
    assert upscale(source, tmp_path / "b.png", "--max-pixels", 600).code == 0


def test_plan_writes_nothing_and_tells_the_truth(
    upscale: Callable[..., Any], save: Callable[..., Path], schema: Callable[[str], Any], tmp_path: Path
) -> None:
    save(tmp_path / "in" / "a.png", 24, 16)
    save(tmp_path / "in" / "b.jpg", 31, 57)
    save(tmp_path / "in" / "sub" / "c.webp", 9, 9)
    (tmp_path / "in" / "d.png").write_bytes(b"broken")
    flags = ("-r", "--scale", "3", "--tile", "16", "--json")
    before = files(tmp_path)
    planned = upscale(tmp_path / "in", tmp_path / "out", "--plan", *flags)
    assert (planned.code, planned.err, files(tmp_path)) == (0, "", before)
    (plan,) = planned.records
    schema("upscale-plan").validate(plan)
    ran = upscale(tmp_path / "in", tmp_path / "out", *flags)
    for promised, record in zip(plan["pictures"], ran.records, strict=True):
        assert (promised["input"], promised["error"]) == (record["input"], record["error"])
        if record["status"] == "done":
            assert all(promised[key] == record[key] for key in ("output", "width", "height", "models"))
            written = probe(Path(record["output"]))
            assert (written.width, written.height) == (promised["width"], promised["height"])
    assert plan["resampled"] == 3
    assert (plan["device"], plan["dtype"], plan["tile"]) == ("cpu", "float32", 16)
    assert plan["megapixels"] == pytest.approx((72 * 48 + 93 * 171 + 27 * 27) / 1e6)
    (rest,) = upscale(tmp_path / "in", tmp_path / "out", "--plan", "--skip-existing", *flags).records
    assert [Path(p["input"]).name for p in rest["pictures"]] == ["d.png"]


def test_plan_for_people(upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    ran = upscale(save(tmp_path / "a.png"), tmp_path / "b.png", "--plan")
    assert (ran.code, ran.err) == (0, "")
    assert all(word in ran.out for word in ("48 x 32", "tiny-x2", "memory", "disk", "time"))


def test_plan_counts_the_self_ensemble_once(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "a.png", 400, 300)

    def seconds(*flags: str) -> float:
        """The least of three, since what else the machine does adds to it."""
        arguments = (tmp_path / "a.png", tmp_path / "b.png", "--plan", "--json", *flags)
        return float(min(upscale(*arguments).records[0]["seconds"] for _ in range(3)))

    assert 2 < seconds("--tta") / seconds() < 32  # 8 in truth; counted twice it would be 64


def test_saved_recipe_repeats_the_image(
    upscale: Callable[..., Any], save: Callable[..., Path], edsr_weights: Path, tmp_path: Path
) -> None:
    source = save(tmp_path / "a.jpg", 70, 40)
    flags = ("--scale", "3", "--tile", "24", "--tta", "--quality", "81", "--save-recipe")
    assert upscale(source, tmp_path / "b.jpg", *flags).code == 0
    assert files(tmp_path) == ["a.jpg", "b.jpg", "b.jpg.srkit.json"]
    saved = json.loads((tmp_path / "b.jpg.srkit.json").read_text())
    assert saved["size"] == [210, 120]
    assert [model["name"] for model in saved["models"]] == ["tiny-x2", "tiny-x2"]
    assert set(saved["versions"]) == {"srkit", "torch"}
    settings = saved["settings"] | {"target": Target(**saved["settings"]["target"])}
    recipe = replace(
        UpscaleRecipe(**settings),
        model=str(edsr_weights),
        tile=saved["models"][-1]["tile"],
        overlap=saved["models"][-1]["overlap"],
        device=saved["device"],
        dtype={"float32": "fp32", "bfloat16": "bf16"}[saved["dtype"]],
        threads=saved["threads"],
    )
    (record,) = run(UpscaleJob(recipe, saved["input"], tmp_path / "c.jpg"))
    assert record.status == "done"
    assert (tmp_path / "c.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


def test_a_failed_image_leaves_no_recipe(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "in" / "a.png", 8200, 2)
    ran = upscale(tmp_path / "in", tmp_path / "out", "--save-recipe", "--format", "webp")
    assert ran.code == 1
    assert "16383" in ran.err
    assert files(tmp_path / "out") == []


def test_threads_and_seed(upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    import torch

    ran = upscale(save(tmp_path / "a.png"), tmp_path / "b.png", "--threads", "1", "--seed", "7")
    assert ran.code == 0
    assert (torch.get_num_threads(), torch.initial_seed()) == (1, 7)


@pytest.mark.parametrize("flag", ["-m", "-n", "--model"])
def test_model_flag(
    call: Callable[..., Any], save: Callable[..., Path], edsr_weights: Path, tmp_path: Path, flag: str
) -> None:
    ran = call("upscale", save(tmp_path / "a.png"), tmp_path / "b.png", flag, edsr_weights, "--json")
    assert (ran.code, ran.records[0]["models"]) == (0, ["tiny-x2"])
