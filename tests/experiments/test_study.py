"""What studies share: options, tables between marks, images of benchmark sets; and links of the documents."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from experiments import images
from experiments.ablations import auc, cells
from experiments.study import RESULTS, publish, read_options, study_parser, trained
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.tasks.train import WEIGHTS

ROOT = RESULTS.parents[1]
SETS = ("A", "B")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "weights/README.md", "experiments/RESULTS.md")
TEXT = "before\n<!-- a: x.py -->\nold\n<!-- end of a -->\nbetween\n<!-- a b: y.py -->\n<!-- end of a b -->\nafter\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", TEXT.replace("old\n", "1\n2\n")),
        ("a b", TEXT.replace("y.py -->\n", "y.py -->\n1\n2\n")),
        ("b", TEXT),
        ("a.", TEXT),
    ],
)
def test_a_table_replaces_what_lies_between_its_marks(
    name: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "RESULTS.md"
    file.write_text(TEXT, encoding="utf-8")
    publish(name, iter(["1", "2"]), write=False, file=file)
    assert file.read_text(encoding="utf-8") == TEXT
    publish(name, iter(["1", "2"]), write=True, file=file)
    assert file.read_text(encoding="utf-8") == expected
    printed = capsys.readouterr().out
    assert printed.count("1\n2\n") == 2
    assert (str(file) in printed) == (expected == TEXT)  # the missing marks are reported


def test_options_are_those_that_a_study_asks_for() -> None:
    parser = study_parser("what it does", work="runs/x", threads=None, limit=7)
    found = read_options(
        parser, ["--data", "a", "--data", "b", "--write", "--threads", str(torch.get_num_threads())]
    )
    assert (found.data, found.work, found.limit) == ([Path("a"), Path("b")], Path("runs/x"), 7)
    assert found.write
    assert set(vars(read_options(study_parser("", writes=False), []))) == {"threads"}


def test_finished_runs_are_not_trained_again(tmp_path: Path) -> None:
    options = read_options(study_parser("", work=str(tmp_path)), [])
    with pytest.raises(SystemExit, match="--data"):
        trained(options, tmp_path, "edsr-x4", [])
    (tmp_path / WEIGHTS).write_bytes(b"")
    assert trained(options, tmp_path, "edsr-x4", []) == tmp_path / WEIGHTS


@pytest.fixture
def sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rendered: Callable[..., NDArray[np.uint8]]
) -> list[NDArray[np.uint8]]:
    """Two sets, A of six images and B of three, each of 31 x 45 pixels."""
    found = [rendered(31, 45, seed) for seed in range(9)]
    for number, image in enumerate(found):
        folder = tmp_path / "benchmarks" / ("A" if number < 6 else "B") / "HR"
        folder.mkdir(parents=True, exist_ok=True)
        write_image(DecodedImage(image), folder / f"{number}.png", format="png")
    monkeypatch.setenv("SRKIT_DATA", str(tmp_path))
    return found


def test_images_are_spread_over_the_sets(sets: list[NDArray[np.uint8]]) -> None:
    assert [name for name, _ in images.named_benchmark(SETS, limit=2)] == ["A-0", "A-3", "B-6", "B-7"]
    assert [name for name, _ in images.named_benchmark(SETS, every=2)] == ["A-0", "A-2", "A-4", "B-6", "B-8"]
    for found, number in zip(images.benchmark(SETS, 4), range(9), strict=True):
        np.testing.assert_array_equal(found, sets[number][:28, :44])
    crops = images.middles(SETS, 4, 24, 4)
    for found, number in zip(crops, (0, 6, 3, 7), strict=True):
        np.testing.assert_array_equal(found, sets[number][3:27, 10:34])
    assert images.middle(sets[0], 100, 4).shape == (28, 44, 3)
    assert images.batch(sets[0]).shape == (1, 3, 31, 45)


def test_data_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SRKIT_DATA", raising=False)
    with pytest.raises(SystemExit, match="SRKIT_DATA"):
        images.data_root()


def test_auc_and_verdicts() -> None:
    low, high = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0])
    assert auc(low, high) == pytest.approx((3 + 0.5 + 1) / 6)
    assert auc(low, low + 10) == 1
    values = np.array([1.0, 2.0, 3.0])
    assert cells(values, None, decimals=2) == ["2.00", "", ""]
    assert cells(values, np.full(3, 0.5), decimals=1, finer=1) == ["2.0", "+0.50 (+0.50 to +0.50)", "better"]
    assert cells(values, np.full(3, 0.5), decimals=1, lower_is_better=True)[2] == "worse"
    assert cells(values, np.array([-1.0, 0.0, 1.0]), decimals=1)[2] == "undecided"


@pytest.mark.parametrize("name", ["weights/README.md", "experiments/RESULTS.md"])
def test_marks_come_in_pairs_and_name_a_script_that_writes_them(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    begun = re.findall(r"^<!-- (?!end of )(.+): (\S+) -->$", text, re.MULTILINE)
    assert [mark for mark, _ in begun] == re.findall(r"^<!-- end of (.+) -->$", text, re.MULTILINE)
    assert begun
    for mark, script in begun:
        # The script has the name, up to the scale, as the argument of `publish`; encoders are looped over.
        assert f'"{re.sub(r" x[0-9]+$", "", mark)}' in (ROOT / script).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    document = ROOT / name
    for path, anchor in re.findall(
        r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", document.read_text(encoding="utf-8")
    ):
        target = document.parent / path if path else document
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings}, anchor
