"""The HTML report in a real browser: what a reader sees, and what keys, mouse and wheel do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from srkit.metrics.reports import Gallery, ImageKey, Report, html_page
from srkit.metrics.results import ImageResult, SetResult

pytestmark = pytest.mark.chromium

RED, GREEN, BLUE = (200, 40, 40), (40, 170, 60), (40, 60, 200)
HOSTILE = "<img src=x onerror=document.title='hacked'>\"'.png"
SCORES = {"b.png": 30.0, HOSTILE: 25.0, "a10.png": 35.0, "a9.png": 28.0}
WORST_FIRST = [HOSTILE, "a9.png", "b.png", "a10.png"]


class Browser(Protocol):
    """What `conftest.Browser` offers."""

    def open(self, page: Path) -> None: ...
    def size(self, width: int, height: int) -> None: ...
    def dark(self, on: bool) -> None: ...
    def run(self, script: str, *arguments: Any) -> Any: ...
    def click(self, css: str) -> None: ...
    def press(self, *keys: str) -> None: ...
    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None: ...
    def wheel(self, at: tuple[float, float], down: int) -> None: ...
    def screenshot(self, path: Path) -> None: ...
    def messages(self) -> list[str]: ...
    def requests(self) -> list[str]: ...


def tinted(colour: tuple[int, int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A flat image with a grid that shows how large a pixel is drawn."""
    image = np.full((*size, 3), colour, dtype=np.uint8)
    image[::32] = image[:, ::32] = 20
    return image


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = tuple(
        ImageResult(name, {"psnr": psnr, "lpips": 1 - psnr / 100}) for name, psnr in SCORES.items()
    )
    gallery = Gallery(len(images))
    for image in images:
        size = (300, 400) if image.name != "b.png" else (256, 200)
        lr, sr, hr = (tinted(colour, size) for colour in (RED, GREEN, BLUE))
        gallery.add(ImageKey("Set", 4, "model", image.name), sr, lr_bicubic=lr, hr=hr)
    result = SetResult("Set", 4, "model", None, "classical", "none", images)
    other = SetResult("Set", 4, "other", "cd" * 32, "classical", "none", images)
    page = tmp_path_factory.mktemp("report") / "report.html"
    html_page.write(Report((result, other), gallery=gallery), page)
    return page


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Browser]:
    browser.size(1200, 800)
    browser.dark(False)
    browser.messages()
    browser.requests()
    browser.open(path)
    yield browser
    assert browser.messages() == []
    assert browser.requests() == [path.as_uri()]


def settle(page: Browser) -> None:
    """Wait until the images of the viewer are decoded and drawn."""
    page.run(
        "return Promise.all([...document.querySelectorAll('#stage img')].map((image) => image.decode()))"
        ".then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null)))))"
    )


def seen(page: Browser, tmp_path: Path, places: list[tuple[float, float]]) -> list[str]:
    """Which of the three views is drawn at points given in shares of the viewer's stage."""
    settle(page)
    page.screenshot(tmp_path / "seen.png")
    pixels = np.asarray(Image.open(tmp_path / "seen.png").convert("RGB")).astype(int)
    left, top, width, height = box(page, "#stage")
    names = {"lr": RED, "sr": GREEN, "hr": BLUE}
    found = []
    for across, down in places:
        colour = pixels[int(top + down * height), int(left + across * width)]
        near = [name for name, wanted in names.items() if np.abs(colour - wanted).max() < 12]
        found.append(near[0] if near else "none")
    return found


def box(page: Browser, css: str) -> tuple[float, float, float, float]:
    """Left, top, width, height."""
    left, top, width, height = page.run(
        "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
        "return [box.left, box.top, box.width, box.height]",
        css,
    )
    return left, top, width, height


def names(page: Browser) -> list[str]:
    found: list[str] = page.run(
        "return [...document.querySelectorAll('#set-0 tbody bdi')].map((e) => e.textContent)"
    )
    return found


def divider(page: Browser) -> int:
    return int(page.run("return document.querySelector('.handle').getAttribute('aria-valuenow')"))


def frames(page: Browser) -> list[list[float]]:
    """Of every image in the viewer: left, top, width, height in its pane."""
    settle(page)
    found: list[list[float]] = page.run(
        "return [...document.querySelectorAll('#stage .pane')].flatMap((pane) => {"
        "  const at = pane.getBoundingClientRect();"
        "  return [...pane.querySelectorAll('img')].map((image) => {"
        "    const box = image.getBoundingClientRect();"
        "    return [box.left - at.left, box.top - at.top, box.width, box.height].map((x) => Math.round(10 * x) / 10);"
        "  });"
        "})"
    )
    return found


def focused_row(page: Browser) -> str:
    """Name in the row that has the focus, once the viewer's closing has come through."""
    settle(page)
    name: str = page.run("return document.activeElement.closest('tr').querySelector('bdi').textContent")
    return name


def open_viewer(page: Browser, row: int = 1) -> None:
    page.click(f"#set-0 tbody tr:nth-child({row}) button.open")
    settle(page)


def test_page_shows_names_as_they_are_and_runs_nothing_of_them(page: Browser) -> None:
    assert names(page) == WORST_FIRST
    assert page.run("return document.title") == "Super-resolution evaluation"
    assert page.run("return document.querySelectorAll('#set-0 img').length") == 12
    assert page.run("return [...document.images].every((image) => image.complete && image.naturalWidth > 0)")


def test_policy_forbids_what_would_be_loaded(browser: Browser, path: Path) -> None:
    browser.open(path)
    browser.messages()
    refused = browser.run(
        "return new Promise((done) => {"
        "  document.addEventListener('securitypolicyviolation', (event) => done(event.blockedURI));"
        "  document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.1:9/x.png' }));"
        "})"
    )
    assert refused.startswith("http://127.0.0.1:9/")
    browser.run(
        "document.body.append(Object.assign(document.createElement('script'), { textContent: 'document.title = 1' }))"
    )
    assert browser.run("return document.title") == "Super-resolution evaluation"
    assert len(browser.messages()) == 2  # one for each


def test_keyboard_alone_opens_compares_and_closes(page: Browser, tmp_path: Path) -> None:
    page.run("document.querySelector('#set-0 button.open').focus()")
    page.press("Enter")
    assert page.run("return document.querySelector('#viewer').open")
    assert page.run("return document.querySelector('#viewer-name').textContent") == HOSTILE
    assert page.run("return document.activeElement.getAttribute('role')") == "slider"
    assert divider(page) == 50
    assert seen(page, tmp_path, [(0.42, 0.45), (0.58, 0.45)]) == ["lr", "sr"]
    page.press("Right", "Right", "Right", "Right", "Right")
    assert divider(page) == 60
    assert seen(page, tmp_path, [(0.42, 0.45), (0.58, 0.45)]) == ["lr", "lr"]
    page.press("Home")
    assert divider(page) == 0
    assert seen(page, tmp_path, [(0.42, 0.45), (0.58, 0.45)]) == ["sr", "sr"]
    page.press("End", "2")
    assert seen(page, tmp_path, [(0.42, 0.45), (0.58, 0.45)]) == ["sr", "sr"]
    page.press("Home")
    assert seen(page, tmp_path, [(0.42, 0.45), (0.58, 0.45)]) == ["hr", "hr"]
    page.press("3", "End", "Left")
    assert divider(page) == 98
    assert seen(page, tmp_path, [(0.42, 0.45), (0.58, 0.45)]) == ["lr", "lr"]
    page.press("Escape")
    assert not page.run("return document.querySelector('#viewer').open")
    assert focused_row(page) == HOSTILE


def test_divider_is_dragged(page: Browser, tmp_path: Path) -> None:
    open_viewer(page)
    left, top, width, height = box(page, "#stage")
    page.drag((left + width / 2, top + height / 2), (left + 0.4 * width, top + height / 3))
    assert divider(page) == 40
    assert seen(page, tmp_path, [(0.36, 0.45), (0.44, 0.45)]) == ["lr", "sr"]
    # An image that is seen whole is not moved: a drag beside the divider takes it along.
    page.drag((left + 0.6 * width, top + height / 2), (left + 0.7 * width, top + height / 2))
    assert divider(page) == 70


def test_views_side_by_side_share_zoom_and_place(page: Browser, tmp_path: Path) -> None:
    open_viewer(page)
    page.press("4")
    assert seen(page, tmp_path, [(1 / 6 + 0.02, 0.47), (0.52, 0.47), (5 / 6 + 0.02, 0.47)]) == [
        "lr",
        "sr",
        "hr",
    ]
    start = frames(page)
    page.press("+", "+", "+")
    zoomed = frames(page)
    assert len(zoomed) == 3 and zoomed[0] == zoomed[1] == zoomed[2]
    assert zoomed[0][2] == pytest.approx(start[0][2] * 1.25**3, abs=0.2)
    left, top, width, height = box(page, "#stage")
    # The wheel over the last pane zooms all three, and what lies under it stays there.
    at = (left + 0.9 * width, top + 0.4 * height)
    inside = at[0] - (left + 2 / 3 * width)
    before = frames(page)[2]
    page.wheel(at, -200)
    wheeled = frames(page)
    assert wheeled[0] == wheeled[1] == wheeled[2] and wheeled[0][2] > zoomed[0][2]
    assert (inside - wheeled[2][0]) / wheeled[2][2] == pytest.approx(
        (inside - before[0]) / before[2], abs=0.01
    )
    page.drag((left + 0.5 * width, top + 0.5 * height), (left + 0.5 * width - 60, top + 0.5 * height + 30))
    dragged = frames(page)
    assert dragged[0] == dragged[1] == dragged[2]
    assert dragged[0][0] == pytest.approx(wheeled[0][0] - 60, abs=0.2)
    assert dragged[0][1] == pytest.approx(wheeled[0][1] + 30, abs=0.2)
    page.press("Shift+Left")
    assert frames(page)[0][0] == pytest.approx(dragged[0][0] + 40, abs=0.2)


def test_zoom_and_place_stay_from_image_to_image(page: Browser) -> None:
    open_viewer(page)
    page.press("+", "+", "+", "+", "+", "Shift+Left", "Shift+Left")
    zoom = "return document.querySelector('#zoom-value').textContent"
    before, percent = frames(page), page.run(zoom)
    assert before[0][2] > 2 * 256
    page.press("n")
    assert page.run("return document.querySelector('#viewer-name').textContent") == "a9.png"
    assert page.run("return document.querySelector('#viewer-place').textContent") == "2 of 4"
    assert (frames(page), page.run(zoom)) == (before, percent)
    page.press("n", "2")  # an image of another size, then another view
    smaller = frames(page)
    assert smaller[0] == smaller[1] and page.run(zoom) == percent
    page.press("p")
    assert frames(page) == before
    page.press("0")
    left, _, width, _ = frames(page)[0]
    assert width == 2 * 256 and left == pytest.approx((1200 - width) / 2, abs=0.5)


def test_first_and_last_image_and_where_the_focus_returns(page: Browser) -> None:
    open_viewer(page, 3)
    page.click("#next")
    assert page.run("return document.querySelector('#next').disabled")
    page.press("n")
    assert page.run("return document.querySelector('#viewer-place').textContent") == "4 of 4"
    page.click("#close")
    assert focused_row(page) == "a10.png"


def test_whole_image(page: Browser) -> None:
    open_viewer(page)
    assert frames(page)[0][2:] == [512, 512]
    page.click("#whole")
    assert frames(page)[0][2:] == [800, 600]
    page.press("n")
    assert frames(page)[0][2:] == [800, 600]
    page.press("n")  # it is no larger than its crop, so there is no whole one to choose
    assert not page.run("return document.querySelector('#whole').checkVisibility()")
    assert frames(page)[0][2:] == [400, 512]


def test_sorting(page: Browser) -> None:
    head = "#set-0 thead th:nth-child({}) button".format
    order = "return document.querySelector('#set-0 thead th[aria-sort]').getAttribute('aria-sort')"
    assert page.run(order) == "ascending"
    page.click(head(2))
    assert names(page) == [HOSTILE, "a9.png", "a10.png", "b.png"]
    page.click(head(2))
    assert names(page) == ["b.png", "a10.png", "a9.png", HOSTILE]
    page.click(head(4))  # LPIPS: the worst is the highest
    assert (names(page), page.run(order)) == (WORST_FIRST, "descending")
    page.click(head(3))
    page.click(head(3))
    assert (names(page), page.run(order)) == (WORST_FIRST[::-1], "descending")
    open_viewer(page)
    assert page.run("return document.querySelector('#viewer-name').textContent") == "a10.png"


def test_colours_follow_the_system_and_the_button(page: Browser) -> None:
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    light = page.run(ground)
    page.dark(True)
    dark = page.run(ground)
    assert light == "rgb(255, 255, 255)" and dark != light
    page.click("#theme")
    assert page.run(ground) == light
    page.click("#theme")
    assert page.run(ground) == dark
    page.dark(False)
    assert page.run(ground) == dark


@pytest.mark.parametrize(("width", "height"), [(320, 568), (390, 844), (844, 390), (768, 1024), (1920, 1080)])
def test_every_size_of_window(page: Browser, width: int, height: int) -> None:
    page.size(width, height)
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    open_viewer(page)
    for key in ("1", "4"):
        page.press(key)
        outside = page.run(
            "return [...document.querySelectorAll('#viewer button, #viewer fieldset label, #stage .pane')]"
            ".filter((e) => e.checkVisibility()).map((e) => [e.textContent, e.getBoundingClientRect()])"
            ".filter(([, b]) => b.left < -1 || b.top < -1 || b.right > innerWidth + 1 || b.bottom > innerHeight + 1"
            " || b.width < 30 || b.height < 30).map(([text]) => text)"
        )
        assert outside == []
    share = box(page, "#stage")[3] / height
    assert share > 0.45  # the images have most of the window
