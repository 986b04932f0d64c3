"""Commands without an output: where it goes, what is said, and that nothing is replaced unasked."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from srkit.io.image import DecodedImage
from srkit.io.kernel_map import read_kernel_map
from srkit.io.write import write_image
from srkit.rendered import render
from srkit.zoo.header import read_header

SPELLINGS = {  # from the folder that the command is run in, how the folder `work/screens` may be named
    "work": ["screens", "screens/", "./screens", "screens/.", "../work/screens/"],
    "work/screens": [".", "./", "../screens", "inner/.."],
    "work/screens/inner": ["..", "../", "../."],
    ".": ["work/screens"],
}


@pytest.fixture
def screens(tmp_path: Path) -> Path:
    """Three small screens in work/screens, with an empty folder `inner`."""
    folder = tmp_path / "work" / "screens"
    (folder / "inner").mkdir(parents=True)
    for i in range(3):
        write_image(DecodedImage(render("screen", 88, 80, i)), folder / f"{i}.png", format="png")
    return folder


def said_next(ran: Any) -> list[str]:
    """The command to type next: the last line on stderr."""
    label, _, command = ran.err.splitlines()[-1].partition(": ")
    assert label == "Next"
    return shlex.split(command)


# -- adapt ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [(), ("--self-supervised",)], ids=["shots", "self-supervised"])
@pytest.mark.parametrize(("place", "spelling"), [(p, s) for p, names in SPELLINGS.items() for s in names])
def test_adapt_refuses_what_is_there(
    place: str,
    spelling: str,
    way: tuple[str, ...],
    screens: Path,
    call: Callable[..., Any],
    edsr_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the folder is called in the command, its own name is in the file's; no image is read."""
    monkeypatch.chdir(tmp_path / place)
    there = tmp_path / place / f"screens-{edsr_weights.stem}.safetensors"
    there.write_text("mine")
    for image in screens.glob("*.png"):
        image.write_bytes(b"broken")
    ran = call("adapt", spelling, "-m", edsr_weights, "--device", "cpu", *way)
    assert (ran.code, ran.out) == (2, "")
    assert there.name in ran.sentence
    assert "--overwrite" in ran.sentence
    assert there.read_text() == "mine"


def test_adapt(
    screens: Path,
    call: Callable[..., Any],
    edsr_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ("--device", "cpu", "--shots", "2", "--steps", "4")
    ran = call("adapt", *flags, "work/screens/", "-m", edsr_weights)
    assert ran.code == 0, ran.err
    name = f"screens-{edsr_weights.stem}.safetensors"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]
    command = said_next(ran)
    assert command == ["srkit", "upscale", "INPUT", "OUTPUT", "-m", name]
    command[2:4] = ["work/screens/0.png", "up.png"]
    assert call(*command[1:], "--device", "cpu").code == 0
    first = (tmp_path / name).read_bytes()
    assert call("adapt", *flags, "work/screens", "-m", edsr_weights).code == 2
    assert (tmp_path / name).read_bytes() == first
    ran = call("adapt", *flags, "--seed", "1", "--json", "work/screens", "-m", edsr_weights, "--overwrite")
    assert (ran.code, ran.records[0]["output"]) == (0, name)
    assert (tmp_path / name).read_bytes() != first


@pytest.mark.parametrize("there", ["file", "link", "folder"])
def test_adapt_with_an_output(
    there: str, screens: Path, call: Callable[..., Any], edsr_weights: Path, tmp_path: Path
) -> None:
    """The same rule for a name that is given; a link is replaced, not followed, and a folder never."""
    output, elsewhere = tmp_path / "out.safetensors", tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    if there == "file":
        output.write_text("mine")
    elif there == "link":
        output.symlink_to(elsewhere)
    else:
        output.mkdir()
    flags = ("-m", edsr_weights, "-o", output, "--device", "cpu", "--shots", "2", "--steps", "4")
    ran = call("adapt", screens, *flags)
    assert ran.code == 2
    assert "out.safetensors" in ran.sentence
    ran = call("adapt", screens, *flags, "--overwrite")
    assert ran.code == (2 if there == "folder" else 0)
    assert there == "folder" or read_header(output).adapted["domain"] == "screens"
    assert elsewhere.read_text() == "mine"
    assert "Next:" not in ran.err


def test_the_base_is_never_the_output(
    screens: Path, call: Callable[..., Any], edsr_weights: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base.safetensors"
    base.write_bytes(edsr_weights.read_bytes())
    ran = call("adapt", screens, "-m", base, "-o", base, "--overwrite", "--device", "cpu")
    assert ran.code == 2
    assert "base.safetensors" in ran.sentence
    assert base.read_bytes() == edsr_weights.read_bytes()


def test_a_folder_with_a_long_name(
    call: Callable[..., Any], edsr_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written is refused before the work, not after it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ("x" * 240)).mkdir()
    ran = call("adapt", "x" * 240, "-m", edsr_weights, "--device", "cpu")
    assert ran.code == 2
    assert "255" in ran.sentence


# -- estimate-kernel --------------------------------------------------------------------------------------


@pytest.fixture
def estimate(call: Callable[..., Any], dkenet_weights: Path, nbsr_weights: Path) -> Callable[..., Any]:
    """Runs `srkit estimate-kernel` with the tiny networks."""
    flags = ("-m", dkenet_weights, "--restorer", nbsr_weights, "--depth", "none", "--dtype", "fp32")
    return lambda *arguments: call("estimate-kernel", *flags, *arguments)


@pytest.mark.parametrize(
    ("place", "source", "expected"),
    [
        ("work", "in.png", "work/in.npz"),
        (".", "work/in.png", "work/in.npz"),
        ("work", "./no-suffix", "work/no-suffix.npz"),
        ("work", "two.dots.png", "work/two.dots.npz"),
        ("work", "two words.png", "work/two words.npz"),
    ],
)
def test_the_map_lies_beside_the_image(
    place: str,
    source: str,
    expected: str,
    estimate: Callable[..., Any],
    save: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save(tmp_path / place / source, 26, 22)
    monkeypatch.chdir(tmp_path / place)
    ran = estimate(source)
    assert ran.code == 0, ran.err
    written = tmp_path / expected
    assert read_kernel_map(written).width == 26
    assert written.with_name(written.stem + ".preview.png").is_file()
    command = said_next(ran)
    assert command[:3] == ["srkit", "upscale", source]
    assert Path(command[-1]).resolve() == written
    ran = estimate(source)
    assert ran.code == 2
    assert written.name in ran.sentence
    assert estimate(source, "--overwrite").code == 0


@pytest.mark.parametrize(("place", "spelling"), [(p, s) for p, names in SPELLINGS.items() for s in names])
def test_maps_of_a_folder_lie_beside_it(
    place: str,
    spelling: str,
    estimate: Callable[..., Any],
    save: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save(tmp_path / "work/screens/a.png", 22, 22)
    (tmp_path / "work/screens/inner").mkdir()
    monkeypatch.chdir(tmp_path / place)
    ran = estimate(spelling, "--no-preview")
    assert ran.code == 0, ran.err
    assert sorted(p.name for p in (tmp_path / "work").iterdir()) == ["screens", "screens-kernels"]
    assert [p.name for p in (tmp_path / "work/screens-kernels").iterdir()] == ["a.npz"]
    assert Path(said_next(ran)[-1]).resolve() == tmp_path / "work/screens-kernels"
    assert estimate(spelling, "--no-preview").code == 2
    assert estimate(spelling, "--no-preview", "--skip-existing").code == 0


def test_a_glob_has_no_output_of_its_own(
    estimate: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "in/a.png")
    ran = estimate(tmp_path / "in/*.png")
    assert ran.code == 2
    assert "OUTPUT" in ran.sentence
    assert estimate(tmp_path / "gone.png").code == 2


# -- train ------------------------------------------------------------------------------------------------


RECIPE = """
name = "another"
[model]
arch = "edsr"
arguments = { scale = 2, features = 8, blocks = 1, upsampler = "single" }
[data]
patch = 8
batch = 2
holdout_every = 3
[optim]
steps = 2
[run]
precision = "fp32"
"""


def test_a_run_lies_in_runs(
    call: Callable[..., Any],
    rendered: Callable[..., NDArray[np.uint8]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data", "recipes"):
        (tmp_path / name).mkdir()
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"data/{i}.png"), rendered(40, 48 + i))
    (tmp_path / "recipes/tiny.toml").write_text(RECIPE)
    arguments = ("train", "recipes/tiny.toml", "--data", "data", "--device", "cpu")
    ran = call(*arguments)
    assert ran.code == 0, ran.err
    weights = Path("runs/tiny/model.safetensors")
    assert weights.is_file()
    assert said_next(ran) == ["srkit", "upscale", "INPUT", "OUTPUT", "-m", str(weights)]
    ran = call(*arguments, "--steps", "3")
    assert ran.code == 2
    assert "runs/tiny" in ran.sentence
    assert read_header(weights).steps == 2
    assert call(*arguments, "--steps", "3", "--overwrite", "--resume").code == 2
    assert call(*arguments, "--steps", "3", "--resume").code == 0
    assert read_header(weights).steps == 3
    assert call(*arguments, "--overwrite").code == 0
    assert read_header(weights).steps == 2
    # A shipped recipe's folder has its name; refused before any image is looked at.
    (tmp_path / "runs/edsr-x2").mkdir()
    (tmp_path / "runs/edsr-x2/checkpoint.pt").write_text("mine")
    ran = call("train", "edsr-x2", "--data", "nowhere", "--device", "cpu")
    assert ran.code == 2
    assert "runs/edsr-x2" in ran.sentence
