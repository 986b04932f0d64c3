"""Whether a server can be reached is found out in bounded time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from srkit.zoo.connectivity import is_reachable


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SRKIT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_listens_or_does_not(listening: str, closed: str) -> None:
    assert is_reachable(f"http://{listening}/file")
    assert not is_reachable(f"http://{closed}/file")


def test_offline_means_no_look(listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not is_reachable(f"http://{listening}/file")


@pytest.mark.parametrize("form", ["http://{}", "{}"])
def test_the_proxy_is_what_must_be_reached(
    listening: str, closed: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", form.format(listening))
    assert is_reachable("http://models.invalid/file")
    monkeypatch.setenv("http_proxy", form.format(closed))
    assert not is_reachable(f"http://{listening}/file")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert is_reachable(f"http://{listening}/file")


def test_a_resolver_that_keeps_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def silent(*arguments: object) -> None:
        released.wait(60)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", silent)
    started = time.monotonic()
    assert not is_reachable("https://models.invalid/file", timeout_s=0.2)
    assert time.monotonic() - started < 30
    released.set()
