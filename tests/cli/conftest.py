"""What the tests of the command line share: images, schemas, and three ways to run the program."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import srkit_cli
import torch
from srkit_cli.app import _run

from srkit.io.formats import format_of_name
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from tests.helpers import assert_message

ROOT = Path(srkit_cli.__file__).parents[1]


@dataclass(frozen=True)
class Ran:
    """What a run of the program left: exit code and streams."""

    code: int
    out: str
    err: str
    records: list[dict[str, Any]] = field(default_factory=list)
    """The JSON documents on stdout, where --json was given."""

    @property
    def sentence(self) -> str:
        """What ended the program: one line on stderr, and nothing but it."""
        assert re.fullmatch(r"srkit: \S[^\n]*[.?]\n", self.err), self.err
        return self.err.removeprefix("srkit: ").rstrip("\n")

    def refused(self, code: int, *named: object) -> None:
        """The program ended with this exit code and one sentence, which names all of `named`."""
        assert self.code == code, self
        assert_message(self.sentence, *named)

    @property
    def status(self) -> dict[str, str]:
        """By the input's name, what became of it."""
        return {Path(record["input"]).name: record["status"] for record in self.records}


@pytest.fixture(scope="session")
def image() -> Callable[..., DecodedImage]:
    """Makes images: smooth colours and an edge, different for each seed."""

    def make(
        width: int = 24, height: int = 16, *, bands: int = 3, depth: int = 8, seed: int = 0
    ) -> DecodedImage:
        random = np.random.default_rng(seed)
        y, x = np.mgrid[0:height, 0:width]
        waves = [np.sin(x * a + y * b + c) for a, b, c in random.uniform(0.1, 0.7, (bands, 3))]
        pixels = 0.5 + 0.35 * np.stack(waves, axis=2) + np.where(x > width // 2, 0.1, -0.1)[..., None]
        top = 2**depth - 1
        return DecodedImage((pixels * top).round().astype(np.uint8 if depth == 8 else np.uint16))

    return make


@pytest.fixture(scope="session")
def save(image: Callable[..., DecodedImage]) -> Callable[..., Path]:
    """Writes a made image to a path, in the format of its name; returns the path."""

    def write(path: Path, width: int = 24, height: int = 16, **arguments: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(image(width, height, **arguments), path, format=format_of_name(path) or "png")
        return path

    return write


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ran]]:
    """Runs the program in this process."""
    threads = torch.get_num_threads()

    def run(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        code = _run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Ran(int(code), captured.out, captured.err, _records(captured.out, arguments))

    yield run
    torch.set_num_threads(threads)


@pytest.fixture
def upscale(call: Callable[..., Ran], edsr_weights: Path) -> Callable[..., Ran]:
    """Runs `srkit upscale` with the tiny network in this process."""
    return lambda *arguments: call("upscale", "-m", edsr_weights, "--dtype", "fp32", *arguments)


@pytest.fixture(scope="session")
def schema() -> Callable[[str], Any]:
    """The validator of a shipped JSON Schema, by its name."""
    jsonschema = pytest.importorskip("jsonschema")
    folder = Path(srkit_cli.__file__).with_name("schemas")
    return lambda name: jsonschema.Draft202012Validator(json.loads((folder / f"{name}.json").read_text()))


def _records(out: str, arguments: Sequence[str | Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()] if "--json" in arguments else []


def environment() -> dict[str, str]:
    """For a process of its own: the source tree, one thread, no network."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT.parent), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class Child:
    """One run of the program in a forked process; see fork_server.py."""

    def __init__(self, server: ForkServer, request: dict[str, Any]) -> None:
        self._server, self._request = server, request
        server.send(request)
        self.pid = server.receive()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait_code(self) -> int:
        """The exit status at the end; negative for a signal."""
        return self._server.receive()

    @property
    def err(self) -> str:
        return self._read("stderr")

    def wait(self) -> Ran:
        """What the run left, at its end."""
        code, out = self.wait_code(), self._read("stdout")
        return Ran(code, out, self.err, _records(out, self._request["arguments"]) if code >= 0 else [])

    def _read(self, stream: str) -> str:
        path = Path(self._request[stream])
        return path.read_text(errors="replace") if path.is_file() else ""


class ForkServer:
    """Runs the program in processes of their own, one at a time, without importing torch for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def start(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        setup: str = "",
        environment: Mapping[str, str] | None = None,
        **streams: str | Path,
    ) -> Child:
        """Start a run; `streams` are files for stdin, stdout, stderr, and `setup` is Python run in the child."""
        named = {"stdin": "/dev/null", **{n: self._folder / n for n in ("stdout", "stderr")}, **streams}
        request = {
            "arguments": [str(a) for a in arguments],
            "cwd": str(cwd or self._folder),
            "setup": setup,
            "environment": dict(environment or {}),
            **{name: str(path) for name, path in named.items()},
        }
        return Child(self, request)

    def run(self, *arguments: str | Path, **options: Any) -> Ran:
        """Start a run and wait for its end."""
        return self.start(*arguments, **options).wait()

    def send(self, request: dict[str, Any]) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("the server has no input")
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()

    def receive(self) -> int:
        stdout = self._process.stdout
        if stdout is None:
            raise RuntimeError("the server has no output")
        return int(stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=300)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Runs the program in processes of their own."""
    server = ForkServer(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def child_environment() -> dict[str, str]:
    """For a process of its own: the source tree, one thread, no network."""
    return environment()


@pytest.fixture(scope="session")
def program() -> Callable[..., Ran]:
    """Runs `python -m srkit_cli` as a user would: seconds, where torch is needed."""

    def run(*arguments: str | Path, interpreter: tuple[str, ...] = (), **options: Any) -> Ran:
        command = [sys.executable, *interpreter, "-m", "srkit_cli", *map(str, arguments)]
        changes = options.pop("environment", {})
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment() | changes, timeout=600, **options
        )
        return Ran(done.returncode, done.stdout, done.stderr, _records(done.stdout, arguments))

    return run
