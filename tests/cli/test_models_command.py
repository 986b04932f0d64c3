"""`srkit models`: streams, JSON and exit codes, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import srkit_cli

from srkit.archs.edsr import EDSR
from srkit.zoo.files import sha256_of
from srkit.zoo.header import Header
from srkit.zoo.manifest import read_entries, weights_dir
from srkit.zoo.weights import save_weights
from tests.cli.conftest import ForkServer, Ran
from tests.helpers import assert_message

jsonschema = pytest.importorskip("jsonschema")

ARGUMENTS = {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}
ROOT = Path(srkit_cli.__file__).parents[1]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server that has `w.safetensors`; its address."""
    folder = tmp_path / "site"
    folder.mkdir()
    header = Header(arch="edsr", arguments=ARGUMENTS, scale=2)
    save_weights(folder / "w.safetensors", EDSR(**ARGUMENTS), header)  # type: ignore[arg-type]
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def srkit(server: ForkServer, tmp_path: Path) -> Callable[..., Ran]:
    """Runs the program in a process of its own, which may fetch, with a cache of its own."""
    environment = {"SRKIT_CACHE": str(tmp_path / "cache"), "NO_PROXY": "127.0.0.1"}
    environment |= {"HF_HUB_OFFLINE": "", "SRKIT_OFFLINE": ""}
    return partial(server.run, environment=environment)


def _valid(name: str, text: str) -> Any:
    value = json.loads(text)
    schema = Path(srkit_cli.__file__).parent / "schemas" / f"{name}.json"
    jsonschema.validate(value, json.loads(schema.read_text(encoding="utf-8")))
    return value


def test_list(srkit: Callable[..., Ran]) -> None:
    done = srkit("models", "list", "--json")
    assert done.code == 0, done.err
    names = [facts["name"] for facts in _valid("models-list", done.out)]
    assert "RealESRGAN_x4plus" in names
    assert {entry.name for entry in read_entries(weights_dir() / "manifest.json")} <= set(names)
    plain = srkit("models")
    assert plain.out.splitlines()[0].split("\t")[0] == "name"
    assert [line.split("\t")[0] for line in plain.out.splitlines()[1:]] == names


def test_pull_show_verify_path(srkit: Callable[..., Ran], site: str, tmp_path: Path) -> None:
    source = tmp_path / "site" / "w.safetensors"
    done = srkit("models", "pull", f"{site}/w.safetensors", "--json")
    assert done.code == 0
    assert all(line.startswith(("fetching w ", "no checksum of w ")) for line in done.err.splitlines())
    pulled = _valid("models-pull", done.out)
    assert (pulled["sha256"], pulled["fetched"], pulled["pinned"]) == (sha256_of(source), True, False)

    facts = _valid("models-show", srkit("models", "show", "w", "--json").out)
    assert (facts["state"], facts["scale"], facts["arch"]) == ("fetched", 2, "edsr")
    assert "first download" in facts["checksum"]
    assert f"sha256          {sha256_of(source)}" in srkit("models", "show", "w").out.splitlines()

    assert _valid("models-path", srkit("models", "path", "w", "--json").out)["path"] == pulled["path"]
    assert srkit("models", "path", "w").out == pulled["path"] + "\n"
    assert "cache" in _valid("models-path", srkit("models", "path", "--json").out)

    done = srkit("models", "verify", "--json")
    assert done.code == 0, done.err
    results = _valid("models-verify", done.out)
    assert ("w", "ok") in [(result["name"], result["status"]) for result in results]
    with Path(pulled["path"]).open("ab") as file:
        file.write(b"x")
    done = srkit("models", "verify", "w")
    assert done.code == 5
    assert done.out.splitlines()[1].startswith("w\twrong\t")
    assert "SHA-256" in done.err
    Path(pulled["path"]).unlink()
    done = srkit("models", "verify", "w", "--json")
    assert done.code == 5
    assert _valid("models-verify", done.out)[0]["status"] == "missing"


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("pull", "{site}/w.safetensors", "--sha256", "0" * 64), 5, "0" * 64),
        (("pull", "{site}/w.safetensors", "--sha256", "123"), 2, "123"),
        (("pull", "{site}/other.pth"), 5, "404"),
        (("pull", "ftp://host/w.pth"), 2, "ftp://host/w.pth"),
        (("pull", "no-such-model"), 5, "no-such-model"),
        (("show", "RealESRGANx4plus"), 5, "RealESRGAN_x4plus"),
        (("path", "BSRGAN"), 5, "srkit models pull BSRGAN"),
        (("verify", "BSRGAN"), 5, "srkit models pull BSRGAN"),
        (("--json", "list"), 2, "--json"),
        (("burn",), 2, "burn"),
    ],
)
def test_errors(
    srkit: Callable[..., Ran], site: str, arguments: tuple[str, ...], code: int, named: str
) -> None:
    done = srkit("models", *(argument.replace("{site}", site) for argument in arguments))
    assert done.code == code
    assert done.out == ""
    assert_message(done.err.splitlines()[-1], named)


def test_listing_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom srkit.tasks.models import list_models\nlist_models()\n"
        "print(sorted({'torch', 'spandrel', 'huggingface_hub'} & set(sys.modules)))"
    )
    environment = os.environ | {"SRKIT_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("target", "file"), [("spandrel", "x.pth"), ("onnx", "x.onnx")])
def test_export(target: str, file: str, srkit: Callable[..., Ran], tmp_path: Path) -> None:
    """A model that no published form exists of goes out as ONNX alone; an existing file is kept."""
    output = tmp_path / file
    output.write_bytes(b"mine")
    call = ("models", "export", "edsr-x2", "--for", target, "-o", str(output), "--json")
    refused = srkit(*call)
    assert (refused.code, output.read_bytes()) == (2, b"mine")
    assert file in refused.err
    done = srkit(*call, "--overwrite")
    if target == "spandrel":
        assert (done.code, output.read_bytes()) == (2, b"mine")
        assert "srvgg" in done.err
    else:
        assert done.code == 0, done.err
        assert _valid("models-export", done.out)["scale"] == 2
        assert output.stat().st_size > 10_000


def test_export_for_what(srkit: Callable[..., Ran], tmp_path: Path) -> None:
    done = srkit("models", "export", "edsr-x2", "--for", "onyx", "-o", str(tmp_path / "x.onnx"))
    assert done.code == 2
    assert "'onyx'" in done.err and "'onnx'" in done.err


def test_blend(srkit: Callable[..., Ran], tmp_path: Path) -> None:
    for name, arguments in (("a", ARGUMENTS), ("b", ARGUMENTS), ("wide", ARGUMENTS | {"features": 16})):
        header = Header(arch="edsr", arguments=arguments, scale=2, licence=f"licence of {name}")
        save_weights(tmp_path / f"{name}.safetensors", EDSR(**arguments), header)  # type: ignore[arg-type]
    a, b, wide, out = (str(tmp_path / f"{name}.safetensors") for name in ("a", "b", "wide", "out"))
    done = srkit("models", "blend", a, b, "--alpha", "0.25", "-o", out, "--json")
    assert done.code == 0, done.err
    made = _valid("models-blend", done.out)
    assert made["sha256"] == sha256_of(Path(out))
    assert [part["sha256"] for part in made["of"]] == [sha256_of(Path(path)) for path in (a, b)]
    for call, named in (
        ((a, b, "--alpha", "0.5", "-o", out), "overwrite"),
        ((a, b, "--alpha", "nan", "-o", out, "--overwrite"), "alpha"),
        ((a, wide, "--alpha", "0.5", "-o", out, "--overwrite"), "arguments"),
        ((a, b, "--alpha", "0.5", "-o", str(tmp_path / "out.pth")), ".safetensors"),
    ):
        done = srkit("models", "blend", *call)
        assert (done.code, done.out) == (2, "")
        assert_message(done.err.splitlines()[-1], named)
    assert sha256_of(Path(out)) == made["sha256"]
