"""Runs the command line in forked children, so that each run costs no import of torch.

One request a line on stdin, as JSON: `arguments`, `cwd`, `environment` (changes), `stdin`, `stdout`, `stderr`
(files), `setup` (Python that the child executes first: limits, user). Two lines of answer on stdout: the child's
pid, and later its exit status (negative: the signal that ended it).

A child is the same program, from `main()` on. Nothing has run in the server beforehand, so no threads are lost by
forking.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

from srkit_cli import app

PRELOADED = (
    "pydantic",  # which typer imports as it reads the arguments
    "torch._dynamo",  # which optimizers import
    "srkit.tasks.adapt.run",
    "srkit.tasks.evaluate.run",
    "srkit.tasks.kernels.estimate",
    "srkit.tasks.models",
    "srkit.tasks.train.experiment",
    "srkit.tasks.upscale.plan",
    "srkit.tasks.upscale.run",
    "srkit.tasks.upscale.streamed",
)
"""Imported once, for all children: nothing that starts threads, which a fork would lose."""


def _become(request: dict[str, Any]) -> None:
    """Turn this process into the one that was asked for."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name, flags in (
        (0, "stdin", os.O_RDONLY),
        (1, "stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        file = os.open(request[name], flags, 0o644)
        os.dup2(file, number)
        os.close(file)
    # Buffered as the interpreter does it.
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    exec(request["setup"], {})
    sys.argv = ["srkit", *request["arguments"]]


def _run() -> None:
    """The program, to its end: without the interpreter's own leave-taking, which takes a second with torch."""
    code = 0
    try:
        app.main()
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in PRELOADED:
        with contextlib.suppress(ModuleNotFoundError):  # not every typer takes pydantic
            importlib.import_module(module)
    gc.freeze()  # what is shared with the children stays shared
    answers = sys.stdout
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
            _run()
        answers.write(f"{pid}\n")
        answers.flush()
        _, status = os.waitpid(pid, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


if __name__ == "__main__":  # not where a child's own workers import this
    main()
    os._exit(0)  # an orderly exit would complain of what was frozen
