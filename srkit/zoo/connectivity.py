"""Permission for downloads, and a check for connectivity before a download starts."""

from __future__ import annotations

import os
import socket
import sys
import threading
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from srkit.errors import ResourceError
from srkit.io.names import shown

TIMEOUT_S = 5.0
OFFLINE_VARIABLE = "SRKIT_OFFLINE"
HUB_VARIABLE = "HF_HUB_OFFLINE"
_YES = ("1", "ON", "YES", "TRUE")


def offline_variable() -> str | None:
    """Environment variable that forbids connections, `SRKIT_OFFLINE` or `HF_HUB_OFFLINE`; None if none is set.

    Other packages use the client of the Hugging Face Hub, which knows only the second variable and reads it at import;
    so setting the first sets both.
    """
    if not _is_set(OFFLINE_VARIABLE):
        return HUB_VARIABLE if _is_set(HUB_VARIABLE) else None
    os.environ[HUB_VARIABLE] = "1"
    if constants := sys.modules.get("huggingface_hub.constants"):
        constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    return OFFLINE_VARIABLE


def go_offline() -> None:
    """Forbid connections in this process and its children, like `SRKIT_OFFLINE=1`."""
    os.environ[OFFLINE_VARIABLE] = "1"
    offline_variable()


def check_may_fetch(what: str, url: str, command: str, folder: Path, otherwise: str = "") -> None:
    """Check that `url` may be downloaded and its server is reachable.

    Args:
        what: subject of the message: `The model 'BSRGAN'`.
        url: http or https.
        command: command that downloads the same on a machine with a network.
        folder: cache that `command` fills, to be copied or kept by a CI system.
        otherwise: another remedy, as the end of the message.

    Raises:
        ResourceError: connections are forbidden, or the server is not reachable.
    """
    if variable := offline_variable():
        flag = "`offline` or " if variable == OFFLINE_VARIABLE else ""
        why = f"{flag}{variable} forbids fetching it"
    elif not is_reachable(url):
        why = f"{urlsplit(url).netloc} cannot be reached"
    else:
        return
    raise ResourceError(
        f"{what} is not on this machine, and {why}; run `{command}` on a machine with the network and copy the folder "
        f"{shown(folder)} (in CI: keep it as a cache)" + (f", or {otherwise}." if otherwise else ".")
    )


def is_reachable(url: str, timeout_s: float = TIMEOUT_S) -> bool:
    """True if the server of `url`, or its proxy, accepts a connection within `timeout_s` seconds.

    Never takes longer: a name whose resolver does not answer counts as unreachable. False without an attempt if
    connections are forbidden.
    """
    if offline_variable():
        return False
    parts = urlsplit(url)
    if not urllib.request.proxy_bypass(parts.hostname or ""):
        proxy = urllib.request.getproxies().get(parts.scheme)
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}") if proxy else parts
    address = (parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443))
    found: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection(address, timeout_s).close()
        except OSError:
            return
        found.append(True)

    # In a separate thread, since the C library's resolver has no timeout.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return bool(found)


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().upper() in _YES
