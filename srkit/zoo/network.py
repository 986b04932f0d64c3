"""Whether there is a network at all, found out before anything waits for one."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from urllib.parse import urlsplit

TIMEOUT_S = 5.0


def is_reachable(url: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether the server of `url`, or the proxy that leads there, takes a connection within `timeout_s` seconds.

    Never takes longer than that: a name that a resolver keeps silent about counts as not reachable. False without a
    look where `HF_HUB_OFFLINE` asks for no connections.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE"):
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

    # In a thread of its own, for the resolver of the C library knows no timeout.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return bool(found)
