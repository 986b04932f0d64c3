from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from srkit.metrics.bootstrap import compare
from srkit.metrics.gates import judge, parse_gate
from srkit.metrics.reports import Gallery, ImageKey, Report, html_page
from srkit.metrics.reports.strip import Axis, strip
from srkit.metrics.results import FailedImage, ImageResult, SetResult

HOSTILE = (
    '"><script>hacked()</script><img src=http://evil.example/x onerror=hacked()>${title}$\u202e\x00\x01.png'
)
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; checks that its tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key) == value for key, value in attributes.items())
        ]


def result(model: str = "edsr-x4", changes: Mapping[str, float] | None = None) -> SetResult:
    values = {"baby.png": 33.0, HOSTILE: 25.0, "nan.png": math.nan, "same.png": math.inf, "low.png": 20.5}
    values |= changes or {}
    images = tuple(
        ImageResult(name, {"psnr": psnr, "lpips": 0.3 - psnr / 200}) for name, psnr in values.items()
    )
    failed = (FailedImage("torn<.png", "It is <torn>."),)
    return SetResult(
        "Set5",
        4,
        model,
        "ab" * 32,
        "classical",
        "LR_bicubic/X4",
        images,
        failed,
        ("help.png",),
        {"srkit": "0.1"},
    )


def page(report: Report) -> Page:
    return Page("".join(html_page.parts(report)))


@pytest.fixture
def report() -> Report:
    new, old = result(), result("bicubic", {"baby.png": 30.0})
    gallery = Gallery(5)
    rng = np.random.default_rng(0)
    for image in new.images:
        views = [rng.integers(0, 256, (280, 300, 3), dtype=np.uint8) for _ in range(3)]
        gallery.add(ImageKey("Set5", 4, new.model, image.name), views[0], lr_bicubic=views[1], hr=views[2])
    verdicts = judge([parse_gate("psnr.min<24", ("psnr",)), parse_gate("lpips>9", ("lpips",))], [new], None)
    return Report((new, old), tuple(verdicts), tuple(compare(new, old)), gallery)


def test_nothing_is_loaded_from_anywhere(report: Report) -> None:
    found = page(report)
    for tag, attributes in found.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            if name in attributes:
                assert (
                    attributes[name].startswith(("data:image/png;base64,", "#"))
                    or attributes[name] == "data:,"
                )
        assert "style" not in attributes, tag
    assert not {"iframe", "object", "embed", "base", "form"} & {tag for tag, _ in found.elements}
    # The only URLs that there are stand in the text of the hostile name.
    text = "".join(html_page.parts(Report((result(),)))).replace("http://evil.example", "")
    assert not re.search(r"https?://|//[a-z]+\.[a-z]|@import|url\(", text)


def test_policy_names_the_style_and_script_of_the_page(report: Report) -> None:
    text = "".join(html_page.parts(report))
    (policy,) = [meta["content"] for meta in Page(text).all("meta") if meta.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_hostile_names_are_text(report: Report) -> None:
    found = page(report)
    assert len(found.all("script")) == 1
    assert not [
        attributes for _, attributes in found.elements if any(name.startswith("on") for name in attributes)
    ]
    shown = HOSTILE.replace("\u202e", "\\u202e").replace("\x00", "\\x00").replace("\x01", "\\x01")
    assert shown in found.text
    assert found.all("th", **{"data-value": shown}) and found.all(
        "button", **{"aria-label": f"Compare {shown}"}
    )
    names = SetResult(f"<b>{HOSTILE}", 4, HOSTILE, HOSTILE, HOSTILE, HOSTILE, report.results[0].images)
    elsewhere = page(Report((names,)))
    assert len(elsewhere.all("script")) == 1 and not elsewhere.all("b") and not elsewhere.all("img")


def rows(found: Page) -> list[str]:
    return [th["data-value"] for th in found.all("th", scope="row")]


def test_rows_are_worst_first_and_nan_is_worst() -> None:
    found = rows(page(Report((result(),))))
    assert [name[:4] for name in found] == ["nan.", "low.", HOSTILE[:4], "baby", "same"]
    lower = SetResult(
        "x", 4, "m", None, "rgb", "none", tuple(ImageResult(str(v), {"niqe": v}) for v in (3.0, 9.0, 5.0))
    )
    assert rows(page(Report((lower,)))) == ["9.0", "5.0", "3.0"]


def test_summary_names_the_best_and_says_over_how_many() -> None:
    finite = {"nan.png": 22.0, "same.png": 23.0}
    results = result(changes=finite), result("bicubic", finite | {"baby.png": 30.0}), result("third")
    text = "".join(html_page.parts(Report(results)))
    summary = text[text.index("<h2>Summary") : text.index('id="set-0"')]
    assert summary.count("5 of 6") == 3
    assert '<td class="number">24.10</td>' in summary
    assert '<td class="number best">24.70</td>' in summary and '<td class="number">nan</td>' in summary
    assert '<a href="#set-1">' in summary and 'id="set-1"' in text


def test_means_over_other_images_are_not_compared() -> None:
    """The one leaves out its identical image, which the other's mean counts: neither is the best."""
    finite = {"nan.png": 22.0}
    text = "".join(
        html_page.parts(Report((result(changes=finite), result("old", finite | {"same.png": 99.0}))))
    )
    assert 'class="number best"' not in text
    assert "PSNR is infinite for 1 of 5 images (same.png)" in text


def test_everything_said_of_a_run_is_on_the_page(report: Report) -> None:
    text = " ".join(page(report).text)
    for said in (
        "LR_bicubic/X4",
        "ab" * 32,
        "help.png",
        "torn<.png",
        "It is <torn>.",
        "psnr.min<24 broken on Set5 x4",
        "lpips>9 broken",  # its NaN
        "PSNR minus bicubic",
        "95% interval",
        "luma of BT.601, limited range",
        "Measured with srkit 0.1",
    ):
        assert said in text, said


def test_images_are_in_the_rows_whole_ones_aside(report: Report) -> None:
    found = page(report)
    images = found.all("img")
    assert [image["data-view"] for image in images[:6]] == ["lr", "sr", "hr"] * 2
    assert len(images) == 2 * 3 * 5
    assert images[0]["width"] == "256" and images[3]["width"] == "300"
    assert len(found.all("template")) == 5 and len(found.all("button", **{"class": "open"})) == 5


def test_without_images_there_is_no_place_for_them() -> None:
    found = page(Report((result(),), gallery=Gallery(5)))
    assert not found.all("img") and not found.all("th", **{"class": "crops"})


def test_crops_without_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srkit.metrics.reports.gallery.CROP_BYTES", 200_000)
    gallery = Gallery(5)
    hr = np.random.default_rng(0).integers(0, 200, (96, 96, 3), dtype=np.uint8)
    for badness, image in enumerate(result().images):
        gallery.add(ImageKey("Set5", 4, "edsr-x4", image.name), hr + np.uint8(badness), hr=hr)
    text = "".join(html_page.parts(Report((result(),), gallery=gallery)))
    shown = text.count('class="open"')
    assert 0 < shown < 5 and f"{5 - shown} of the better images have none" in text


def test_finished_images_without_reference() -> None:
    images = (ImageResult("a.png", {"niqe": 4.0}),)
    gallery = Gallery(1)
    gallery.add(ImageKey("out", None, "out", "a.png"), np.zeros((20, 20, 3), np.uint8))
    found = page(Report((SetResult("out", None, "out", None, "classical", "none", images),), gallery=gallery))
    assert [image["data-view"] for image in found.all("img")] == ["sr"]
    assert any("Crops show SR, from the middle" in text for text in found.text)


def test_nothing_evaluated() -> None:
    broken = SetResult("x", 4, "m", None, "rgb", "none", (), (FailedImage("a.png", "It is torn."),))
    text = " ".join(page(Report((broken, result()))).text)
    assert "0 of 1" in text and "It is torn." in text
    assert "0 of 1" in " ".join(page(Report((broken,))).text)


def test_page_of_a_hundred_images_stays_below_30_megabytes(tmp_path: Path) -> None:
    gallery = Gallery(100)
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (240, 240, 3), dtype=np.uint8)  # noise, which nothing compresses
    images = tuple(ImageResult(f"{i}.png", {"psnr": 20.0 + i, "ssim": i / 100}) for i in range(100))
    for i, image in enumerate(images):
        gallery.add(
            ImageKey("U", 4, "m", image.name), np.roll(hr, i + 1, 0), lr_bicubic=np.roll(hr, i, 1), hr=hr
        )
    path = tmp_path / "report.html"
    html_page.write(Report((SetResult("U", 4, "m", None, "rgb", "none", images),), gallery=gallery), path)
    assert 20e6 < path.stat().st_size < 30e6


def test_strips_are_better_to_the_right() -> None:
    up = Axis.of([20.0, 30.0, math.inf, math.nan], lower_is_better=False)
    down = Axis.of([20.0, 30.0], lower_is_better=True)
    assert up.position(20.0) == 4 and up.position(30.0) == 116 == up.position(math.inf)
    assert down.position(20.0) == 116 and down.position(25.0) == 60 == up.position(25.0)
    assert up.position(math.nan) is None and "circle" not in strip("t", up, math.nan)
    assert Axis.of([5.0, 5.0], lower_is_better=False).position(5.0) == 60
    assert Axis.of([], lower_is_better=False).position(5.0) == 60


def test_title_and_remarks_are_text() -> None:
    found = "".join(
        html_page.parts(Report((result(),), title="A & B", remarks=("It gained <much>.", "Twice.")))
    )
    assert found.count("A &amp; B") == 2
    assert "<p>It gained &lt;much&gt;.</p><p>Twice.</p>" in found
    assert found.index("Twice.") < found.index("Summary")
    assert "<title>Super-resolution evaluation</title>" in "".join(html_page.parts(Report((result(),))))
