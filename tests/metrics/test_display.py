from __future__ import annotations

import math
import unicodedata

import pytest

from srkit.io.names import printable
from srkit.metrics.display import display, format_value


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("psnr", 28.4251, "28.43"),
        ("ssim", 0.81128, "0.8113"),
        ("unknown", 1.23456, "1.2346"),
        ("psnr", math.inf, "inf"),
        ("psnr", math.nan, "nan"),
    ],
)
def test_format(metric: str, value: float, text: str) -> None:
    assert format_value(metric, value) == text


def test_unknown_metrics_have_their_name() -> None:
    assert display("unknown").label == "unknown"
    assert display("psnr").label == "PSNR"
    assert display("lpips").lower_is_better and not display("psnr").lower_is_better


def test_printable_leaves_ordinary_names_and_escapes_what_harms() -> None:
    for name in ("img_001.png", "b\u00e9b\u00e9 \u4e2d\u6587 \U0001f426.webp", "a<b>&'\"|.png"):
        assert printable(name) == name
    assert printable("a\nb\tc\x00\x7f") == "a\\nb\\tc\\x00\\x7f"
    assert printable("\u202egnp.exe\u2066") == "\\u202egnp.exe\\u2066"
    assert printable("\udcff") == "\\udcff"


def test_printable_lets_through_only_what_xml_holds_on_one_line() -> None:
    text = printable("".join(map(chr, range(0x20000))))
    assert len(text.splitlines()) == 1
    assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)
    text.encode("utf-8")
