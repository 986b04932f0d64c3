"""Who writes into an output: a second run into the same place is refused while the first is at work."""

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
"""How often a claim is renewed, and the age at which another machine's is taken for that of a killed run."""


class Claim:
    """A small hidden file in the output, which names the run and is renewed while that lives.

    Shards have claims of their own. What a killed run leaves behind is taken over: on the same machine at once, by the
    process's number; from another after 90 seconds.

    Raises:
        UsageError: another run is at work there.
        SrkitError: the output cannot be reached, or may not be written to.
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
        """End the claim."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(SrkitError):  # it is taken for that of a killed run then
            self._output.remove(self._name)

    def _renew(self) -> None:
        while not self._ended.wait(_BEAT_S):
            with contextlib.suppress(SrkitError):
                self._output.create(self._name, self._content(), replace=True)

    @staticmethod
    def _content() -> bytes:
        return json.dumps({"host": platform.node(), "pid": os.getpid(), "time": time.time()}).encode()


def _living(claim: bytes) -> str | None:
    """The run that a claim is of, in words; None where it is over, or the file is none."""
    try:
        found = json.loads(claim)
        host, pid, beat = str(found["host"]), int(found["pid"]), float(found["time"])
    except (ValueError, KeyError, TypeError):
        return None
    alive = time.time() - beat < _DEAD_S and (host != platform.node() or is_alive(pid))
    return f"process {pid} on {host}" if alive else None
