"""`srkit upscale`: folders with anything in them, broken images, models that are none."""

from __future__ import annotations

import os
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import srkit.tasks.upscale.run as task
from srkit.archs.edsr import EDSR
from srkit.io.read import probe, read_image
from srkit.zoo import manifest as manifest_module
from srkit.zoo.header import Header
from srkit.zoo.manifest import register
from srkit.zoo.weights import save_weights

ARGUMENTS: dict[str, Any] = {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}


def png_bomb(side: int) -> bytes:
    """A whole PNG of side x side black pixels, a few hundred bytes for a million of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    compressor = zlib.compressobj(9)
    rows = b"".join(compressor.compress(bytes(1 + (side + 7) // 8)) for _ in range(min(side, 4000)))
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = rows + compressor.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_a_folder_with_anything_in_it(
    upscale: Callable[..., Any], save: Callable[..., Path], schema: Callable[[str], Any], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    whole = save(folder / "good.jpg", 64, 48).read_bytes()
    save(folder / "sub" / "deep.png")
    save(folder / os.fsdecode(b"caf\xe9\xff.png"))
    save(folder / "new\nline [1] 100%.png")
    long_name = "x" * 251 + ".png"
    save(folder / "short.png").rename(folder / long_name)
    for name in ("notes.txt", "desktop.ini", "Thumbs.db", ".hidden.png"):
        (folder / name).write_text("words")
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("words")
    (folder / "bomb.png").write_bytes(png_bomb(100_000))
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "sub" / "up").symlink_to("..")
    ran = upscale(folder, tmp_path / "out", "-r", "--json", "-f", "png")
    assert ran.code == 3
    assert ran.status == {
        "good.jpg": "done",
        "deep.png": "done",
        os.fsdecode(b"caf\xe9\xff.png"): "done",
        "new\nline [1] 100%.png": "done",
        long_name: "done",
        "truncated.jpg": "failed",
        "empty.png": "failed",
        "text.png": "failed",
        "bomb.png": "failed",
        "loop.png": "failed",
        "dangling.png": "failed",
    }
    for record in ran.records:
        schema("upscale").validate(record)
        if record["status"] == "failed":
            assert Path(record["input"]).name in record["error"]
            assert not Path(record["output"]).exists()
        else:
            source = probe(Path(record["input"]))
            written = read_image(Path(record["output"]))
            assert (written.width, written.height) == (2 * source.width, 2 * source.height)
    assert "--max-pixels" in next(r["error"] for r in ran.records if "bomb" in r["input"])
    assert ran.err.count("error: ") == 6
    assert not [p for p in (tmp_path / "out").rglob("*") if p.name.startswith(".")]


def test_a_name_that_grows_too_long(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "b.png").rename(tmp_path / "in" / ("b" * 251 + ".png"))
    for flag in (("--suffix", "_x2"), ("--save-recipe",)):
        ran = upscale(tmp_path / "in", tmp_path / flag[0], *flag, "--json")
        assert ran.code == 3
        assert [r["status"] for r in ran.records] == ["done", "failed"]
        assert "255" in ran.records[1]["error"]
    for name in ("x" * 300 + ".png", "x" * 300, "x" * 300 + "/a.png"):
        ran = upscale(tmp_path / "in" / "a.png", tmp_path / name)
        assert ran.code == 1
        assert "name" in ran.err
        assert "unforeseen" not in ran.err


def test_the_limit_of_pixels_can_be_raised(upscale: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_bomb(300))
    arguments = (tmp_path / "bomb.png", tmp_path / "out.png", "--max-pixels")
    assert upscale(*arguments, 89_999).code == 1
    assert upscale(*arguments, 90_000).code == 0
    assert probe(tmp_path / "out.png").width == 600


def test_a_bomb_within_the_limit_is_a_broken_image(upscale: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_bomb(40_000))  # declares ten times the rows that it holds
    ran = upscale(tmp_path / "bomb.png", tmp_path / "out.png", "--max-size", "50000", "--max-pixels", 10**10)
    assert ran.code == 1
    assert str(tmp_path / "bomb.png") in ran.err
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("names", [[], ["notes.txt", "desktop.ini"], ["sub/a.png"]])
def test_a_folder_without_images(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path, names: list[str]
) -> None:
    (tmp_path / "in").mkdir()
    for name in names:
        save(tmp_path / "in" / name)
    ran = upscale(tmp_path / "in", tmp_path / "out")
    assert ran.out == ""
    ran.refused(1, tmp_path / "in")
    assert not (tmp_path / "out").exists()


def test_when_all_fail(upscale: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes(b"broken")
    ran = upscale(tmp_path / "in", tmp_path / "out")
    assert ran.code == 1
    assert ran.err.endswith("0 done, 2 failed\n")
    assert not (tmp_path / "out").exists()
    ran = upscale(tmp_path / "in" / "a.png", tmp_path / "b.png")
    assert ran.code == 1
    assert "a.png" in ran.err.splitlines()[0]


def test_a_size_that_one_of_several_cannot_have(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "in" / "a.png", 20, 10)
    save(tmp_path / "in" / "b.png", 4, 4)
    ran = upscale(tmp_path / "in", tmp_path / "out", "--max-size", 65, "--json")
    assert (ran.code, ran.status) == (3, {"a.png": "done", "b.png": "failed"})
    assert "b.png" in ran.err


def test_a_failure_that_nobody_foresaw(
    upscale: Callable[..., Any],
    save: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / "in" / f"{name}.png")
    for stage in ("read_image", "write_image"):
        work = getattr(task, stage)

        def faulty(*arguments: Any, _work: Any = work, **more: Any) -> Any:
            if any("b.png" in str(a) for a in arguments):
                raise ZeroDivisionError("a defect\nwith two lines")
            return _work(*arguments, **more)

        monkeypatch.setattr(task, stage, faulty)
        ran = upscale(tmp_path / "in", tmp_path / stage, "--json")
        monkeypatch.undo()
        assert (ran.code, ran.status) == (3, {"a.png": "done", "b.png": "failed", "c.png": "done"})
        assert "ZeroDivisionError: a defect with two lines" in ran.records[1]["error"]
        assert not [p for p in (tmp_path / stage).iterdir() if p.name not in ("a.png", "c.png")]

    for error in (KeyError("a defect"), EOFError("a defect")):

        def broken(*_arguments: Any, _error: Exception = error) -> Any:
            raise _error

        monkeypatch.setattr(task, "prepared", broken)
        ran = upscale(tmp_path / "in", tmp_path / "out")
        assert ran.code == 1
        assert re.fullmatch(rf"\n?srkit: .*unforeseen.*{type(error).__name__}.*\n", ran.err)


def test_memory_that_runs_out(
    upscale: Callable[..., Any],
    save: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exhausted(*_arguments: Any, **_more: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(task, "read_image", exhausted)
    ran = upscale(save(tmp_path / "a.png"), tmp_path / "b.png")
    assert ran.code == 1
    assert str(tmp_path / "a.png") in ran.err
    monkeypatch.setattr(task, "prepared", exhausted)
    ran = upscale(tmp_path / "a.png", tmp_path / "b.png")
    ran.refused(1)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("text.safetensors", ()),
        ("text.pth", ()),
        ("truncated.safetensors", ()),
        ("truncated.pth", ()),
        ("other.safetensors", ("'kernel'",)),
        ("tensors.pth", ()),
        ("pointer.safetensors", ("git lfs pull",)),
        ("empty.pth", ()),
        ("folder", ()),
        ("missing.pth", ()),
        ("edsr-x44", ("edsr-x4",)),
    ],
)
def test_a_checkpoint_that_is_none(
    call: Callable[..., Any],
    save: Callable[..., Path],
    edsr_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    named: tuple[str, ...],
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    monkeypatch.setattr(manifest_module, "weights_dir", lambda: models)
    shutil.copy(edsr_weights, models / "edsr-x4.safetensors")
    register(models / "edsr-x4.safetensors", "edsr-x4", "Tiny.")
    for name in ("text.safetensors", "text.pth"):
        (models / name).write_text("words, many words, and no weights at all")
    whole = edsr_weights.read_bytes()
    (models / "truncated.safetensors").write_bytes(whole[: len(whole) // 2])
    torch.save({"head.weight": torch.zeros(400)}, models / "tensors.pth")
    (models / "truncated.pth").write_bytes((models / "tensors.pth").read_bytes()[:900])
    save_weights(
        models / "other.safetensors",
        EDSR(**ARGUMENTS),
        Header(arch="edsr", arguments=ARGUMENTS, scale=2, task="kernel"),
    )
    (models / "pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (models / "empty.pth").touch()
    (models / "folder").mkdir()
    given = kind if kind.startswith("edsr") else models / kind
    ran = call("upscale", save(tmp_path / "a.png"), tmp_path / "b.png", "-m", given)
    assert ran.out == ""
    ran.refused(5, given, *named)
    assert not (tmp_path / "b.png").exists()


def test_shipped_weights_that_are_wrong(
    call: Callable[..., Any],
    save: Callable[..., Path],
    edsr_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    monkeypatch.setattr(manifest_module, "weights_dir", lambda: models)
    for scale in (2, 4):
        arguments = ARGUMENTS | {"scale": scale}
        path = models / f"edsr-x{scale}.safetensors"
        save_weights(path, EDSR(**arguments), Header(arch="edsr", arguments=arguments, scale=scale))
        register(path, f"edsr-x{scale}", "Tiny.")
    save(tmp_path / "in" / "a.png", 20, 10)
    save(tmp_path / "in" / "b.png", 8, 8)
    out, flags = tmp_path / "out", ("--max-size", "30", "--json")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    ran = call("upscale", tmp_path / "in", out, *flags)  # x2 would do for the first, x4 for the second
    assert ran.out == ""
    ran.refused(5, "SHA-256", path)
    path.unlink()
    ran = call("upscale", tmp_path / "in", out, *flags)
    assert ran.out == ""
    ran.refused(5, path)
    assert not out.exists()
    assert call("upscale", tmp_path / "in" / "a.png", out, *flags).code == 0


def test_no_weights_shipped(
    call: Callable[..., Any], save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_module, "weights_dir", lambda: tmp_path)
    ran = call("upscale", save(tmp_path / "a.png"), tmp_path / "b.png")
    assert ran.code == 5
    (tmp_path / "manifest.json").write_text('{"format_version": 1, "models": []}')
    ran = call("upscale", tmp_path / "a.png", tmp_path / "b.png")
    ran.refused(5)


@pytest.mark.data
def test_pngsuite(upscale: Callable[..., Any], data_root: Path, tmp_path: Path) -> None:
    ran = upscale(data_root / "pngsuite", tmp_path / "out", "--json")
    assert ran.code == 3
    assert len(ran.records) == len(list((data_root / "pngsuite").glob("*.png"))) > 170
    for record in ran.records:
        name = Path(record["input"]).name
        assert record["status"] == ("failed" if name.startswith("x") else "done"), record
        if record["status"] == "failed":
            assert name in record["error"]
            continue
        source, written = probe(Path(record["input"])), probe(Path(record["output"]))
        assert (written.width, written.height) == (2 * source.width, 2 * source.height)
        assert (written.bands, written.depth) == (source.bands, source.depth)
    assert len(list((tmp_path / "out").iterdir())) == sum(r["status"] == "done" for r in ran.records)
