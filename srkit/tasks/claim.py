"""Claim on an output: a second run into the same output is refused while the first is running."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from types import TracebackType

from srkit.errors import SrkitError, UsageError
from srkit.io.atomic import is_alive
from srkit.io.names import shown
from srkit.io.storage import Storage
from srkit.recipes.shard import Shard

_BEAT_S, _DEAD_S = 20.0, 90.0
"""Interval at which a claim is renewed, and age at which a claim of another machine counts as abandoned, in seconds."""


class Claim:
    """Small hidden file in the output that names the run and is renewed while the run lives.

    Shards have separate claims. The claim of a killed run is taken over: on the same machine immediately, by its
    process ID; from another machine after 90 seconds.

    Raises:
        UsageError: another run is using the output.
        SrkitError: the output is not reachable or not writable.
    """

    def __init__(self, output: Storage, shard: Shard | None) -> None:
        part = "" if shard is None else f"-{shard.index}-of-{shard.count}"
        self._output, self._name = output, f".srkit-run{part}.json"
        if not output.create(self._name, self._content()):
            found = output.read_small(self._name)
            if found is not None and (other := _living(found)):
                raise UsageError(
                    f"The output {shown(output.url)} is being written to by another run ({other}); wait for it, give "
                    "each its `shard`, or another output."
                )
            output.create(self._name, self._content(), replace=True)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="srkit-claim")
        self._thread.start()

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Remove the claim."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(SrkitError):  # it counts as abandoned later
            self._output.remove(self._name)

    def _renew(self) -> None:
        while not self._ended.wait(_BEAT_S):
            with contextlib.suppress(SrkitError):
                self._output.create(self._name, self._content(), replace=True)

    @staticmethod
    def _content() -> bytes:
        return json.dumps({"host": platform.node(), "pid": os.getpid(), "time": time.time()}).encode()


def _living(claim: bytes) -> str | None:
    """Description of the run that holds a claim; None if the run is over, or the file is not a claim."""
    try:
        found = json.loads(claim)
        host, pid, beat = str(found["host"]), int(found["pid"]), float(found["time"])
    except (ValueError, KeyError, TypeError):
        return None
    alive = time.time() - beat < _DEAD_S and (host != platform.node() or is_alive(pid))
    return f"process {pid} on {host}" if alive else None
