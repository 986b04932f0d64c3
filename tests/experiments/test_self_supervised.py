"""The study of self-supervised adaptation: its oracle learns the true degradation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments import self_supervised as study
from experiments.study import read_options
from srkit.io.image import DecodedImage
from srkit.io.write import write_image


def test_rows_of_the_oracle_stand_beside_those_of_a_method(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rendered: Callable[..., NDArray[np.uint8]],
    edsr_weights: Path,
    reconstructor_weights: Path,
) -> None:
    for folder in ("benchmarks/BSD100/HR", "benchmarks/Urban100/HR", "train"):
        for number in range(6):
            file = tmp_path / folder / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_image(DecodedImage(rendered(112, 96, number)), file, format="png")
    monkeypatch.setenv("SRKIT_DATA", str(tmp_path))
    named = ["-m", str(edsr_weights), "--reconstructor", str(reconstructor_weights)]
    sizes = ["--count", "4", "--side", "96", "--steps", "30", "--drawn", "8", "--degradations", "scan"]
    lines = list(
        study.table(read_options(study.made_parser(), [*named, *sizes, "--methods", "pairs,oracle"]))
    )
    rows = [line.strip("| ").split(" | ") for line in lines[2:-2]]
    assert [row[:2] for row in rows] == [["scan", "pairs"], ["scan", "oracle"]]
    assert rows[0][2] == rows[1][2]  # PSNR before
    assert float(rows[1][3].split()[0]) > 0  # PSNR gained
