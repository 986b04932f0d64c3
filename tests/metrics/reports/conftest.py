"""A headless Chromium, spoken to through chromedriver's plain HTTP protocol (W3C WebDriver)."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of element references, fixed by the W3C
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
KEYS = {
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Left": "\ue012",
    "Right": "\ue014",
    "Home": "\ue011",
    "End": "\ue010",
    "Shift": "\ue008",
    "Tab": "\ue004",
}


class Browser:
    """One session of a browser."""

    def __init__(self, server: str, profile: Path) -> None:
        self._server = server
        capabilities = {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {
                "binary": shutil.which("chromium"),
                "args": [*_FLAGS, f"--user-data-dir={profile}"],
            },
        }
        started = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/session/{started['sessionId']}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()[:500]}") from error

    def _post(self, path: str, body: Any) -> Any:
        return self._call("POST", self._session + path, body)

    def close(self) -> None:
        self._call("DELETE", self._session)

    def open(self, page: Path) -> None:
        """Load a file and wait until it is loaded."""
        self._post("/url", {"url": page.as_uri()})

    def size(self, width: int, height: int) -> None:
        """Make the page's visible part that large, as on a device of that size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._post("/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})

    def dark(self, on: bool) -> None:
        """Whether the system prefers dark colours."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self._post(
            "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}
        )

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a function body in the page; waits for a promise."""
        return self._post("/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, css: str) -> None:
        """Click as a user does; fails where the element is hidden or covered."""
        element = self._post("/element", {"using": "css selector", "value": css})[_ELEMENT]
        self._post(f"/element/{element}/click", {})

    def press(self, *keys: str) -> None:
        """Press keys one after the other, names of `KEYS` or characters; `Shift+Left` holds the first down."""
        actions: list[dict[str, str]] = []
        for key in keys:
            held = [KEYS.get(part, part) for part in (key.split("+") if len(key) > 1 else [key])]
            actions += [{"type": "keyDown", "value": one} for one in held]
            actions += [{"type": "keyUp", "value": one} for one in reversed(held)]
        self._post("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the mouse between two points of the page's visible part."""
        steps: list[dict[str, Any]] = [_move(*start, 0), {"type": "pointerDown", "button": 0}]
        steps += [_move(*end, 50), {"type": "pointerUp", "button": 0}]
        self._post("/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": steps}]})

    def wheel(self, at: tuple[float, float], down: int) -> None:
        """Turn the wheel over a point, in pixels; negative is up."""
        turn = {"type": "scroll", "x": int(at[0]), "y": int(at[1]), "deltaX": 0, "deltaY": down}
        self._post("/actions", {"actions": [{"type": "wheel", "id": "wheel", "actions": [turn]}]})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", self._session + "/screenshot")))

    def messages(self) -> list[str]:
        """What the page wrote to the console since the last call: errors, and what its policy refused."""
        return [entry["message"] for entry in self._post("/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """URLs that were asked for since the last call, data URIs left out."""
        entries = [
            json.loads(entry["message"])["message"]
            for entry in self._post("/se/log", {"type": "performance"})
        ]
        urls = [
            entry["params"]["request"]["url"]
            for entry in entries
            if entry["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]


def _move(x: float, y: float, milliseconds: int) -> dict[str, Any]:
    return {"type": "pointerMove", "x": int(x), "y": int(y), "duration": milliseconds, "origin": "viewport"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not shutil.which("chromium") or not (program := shutil.which("chromedriver")):
        pytest.skip("chromium and chromium-driver are not installed")
    folder = tmp_path_factory.mktemp("chromium")
    driver = subprocess.Popen(
        [program, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert driver.stdout is not None
        ports = (re.search(r"started successfully on port (\d+)", line) for line in driver.stdout)
        port = next((match[1] for match in ports if match), None)
        assert port is not None, "chromedriver did not start"
        session = Browser(f"http://127.0.0.1:{port}", folder / "profile")
        try:
            yield session
        finally:
            session.close()
    finally:
        driver.terminate()
        driver.wait(timeout=20)
