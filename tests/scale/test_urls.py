"""Inputs and outputs by URL: memory:// and file://, and S3 on a server of moto's on loopback."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from srkit_cli.app import _run

from srkit.errors import SrkitError, UsageError
from srkit.io.storage import Storage
from srkit.tasks.claim import Claim
from tests.helpers import refused
from tests.scale.conftest import assert_sentence, files


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's file system in memory, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def held(system: Any, root: str) -> dict[str, bytes]:
    """The files below a place but hidden ones."""
    start = len(root.rstrip("/")) + 1
    return {path[start:]: system.cat_file(path) for path in system.find(root) if "/." not in path}


def test_memory_holds_what_a_folder_would(
    photos: Path, expected: dict[str, bytes], upscale: Callable[..., Any], memory: Any
) -> None:
    code, records, err = upscale(photos, "memory://to/out")
    assert code == 0, err
    assert len(records) == len(expected)
    assert held(memory, "/to/out") == expected
    assert {record["output"] for record in records} == {f"memory://to/out/{name}" for name in expected}
    assert memory.find("/to/out") == sorted(f"/to/out/{name}" for name in expected)  # no claim is left


def test_from_memory_into_a_folder(
    photos: Path, expected: dict[str, bytes], upscale: Callable[..., Any], memory: Any, tmp_path: Path
) -> None:
    for name, data in files(photos).items():
        memory.pipe_file(f"/from/in/{name}", data)
    code, records, err = upscale("memory://from/in", tmp_path / "out")
    assert code == 0, err
    assert files(tmp_path / "out") == expected
    assert all(record["input"].startswith("memory://from/in/") for record in records)


def test_file_urls_are_paths(
    photos: Path, expected: dict[str, bytes], upscale: Callable[..., Any], tmp_path: Path
) -> None:
    assert upscale(f"file://{photos}", f"file://{tmp_path}/out")[0] == 0
    assert files(tmp_path / "out") == expected


def test_shards_and_what_is_there(
    photos: Path, expected: dict[str, bytes], upscale: Callable[..., Any], memory: Any
) -> None:
    for shard in ("1/3", "2/3"):
        assert upscale(photos, "memory://to/out", "--shard", shard)[0] == 0
    code, _, err = upscale(photos, "memory://to/out")
    assert code == 2
    assert_sentence(err, "--skip-existing")
    code, records, _ = upscale(photos, "memory://to/out", "--skip-existing")
    assert code == 0
    assert held(memory, "/to/out") == expected
    assert {record["status"] for record in records} == {"done", "skipped"}
    assert len(records) == len(expected)


def test_a_damaged_image_is_named_by_its_url(damaged: Path, upscale: Callable[..., Any], memory: Any) -> None:
    for path in damaged.iterdir():
        memory.pipe_file(f"/from/{path.name}", path.read_bytes())
    code, records, _ = upscale("memory://from", "memory://to/out")
    assert code == 3
    by_name = {record["input"]: record for record in records}
    assert by_name["memory://from/good.png"]["status"] == "done"
    assert "memory://from/bad.png" in by_name["memory://from/bad.png"]["error"]


def test_recipes_are_stored_beside_images(photos: Path, upscale: Callable[..., Any], memory: Any) -> None:
    assert upscale(photos / "below", "memory://to/out", "--save-recipe")[0] == 0
    names = set(held(memory, "/to/out"))
    assert {f"{n}.png" for n in (0, 3, 6, 9)} | {f"{n}.png.srkit.json" for n in (0, 3, 6, 9)} == names


def test_a_second_run_into_one_output_is_refused(
    photos: Path, upscale: Callable[..., Any], memory: Any
) -> None:
    with Claim(Storage("memory://to/out"), None):
        code, _, err = upscale(photos, "memory://to/out")
        assert code == 2
        assert_sentence(err, "memory://to/out", str(os.getpid()))
        assert upscale(photos, "memory://to/out", "--shard", "1/2")[0] == 0
    assert upscale(photos, "memory://to/out", "--overwrite")[0] == 0


def test_the_claim_of_a_killed_run_is_taken_over(memory: Any) -> None:
    memory.pipe_file("/to/out/.srkit-run.json", b'{"host": "elsewhere", "pid": 1, "time": 0}')
    with Claim(Storage("memory://to/out"), None):
        assert str(os.getpid()).encode() in memory.cat_file("/to/out/.srkit-run.json")


def test_evaluation_of_what_lies_elsewhere(
    photos: Path, expected: dict[str, bytes], memory: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finished images, and sets below a data root: the scores, the failures and the sentences of folders."""
    for n in (4, 5, 7):
        for place, data in (("sr", expected[f"{n}.png"]), ("Own/HR", expected[f"{n}.png"])):
            memory.pipe_file(f"/root/{place}/{n}.png", data)
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            (tmp_path / place / f"{n}.png").write_bytes(data)
    memory.pipe_file("/root/Own/LR/X4/4.png", (photos / "4.png").read_bytes())

    def measured(root: object, *arguments: str) -> Any:
        capsys.readouterr()
        code = _run(["eval", *(one.replace("ROOT", str(root)) for one in arguments), "--json"])
        return code, capsys.readouterr()

    finished = ("--sr", "ROOT/sr", "--hr", "ROOT/Own/HR", "-s", "2")
    assert measured("memory://root", *finished) == measured(tmp_path, *finished)
    assert measured("memory://root", *finished)[0] == 0
    data_set = ("--data-root", "ROOT", "--dataset", "Own", "-s", "2", "-m", "bicubic")
    assert measured("memory://root", *data_set) == measured(tmp_path, *data_set)
    code, said = measured("memory://root", *data_set[:4], "-s", "4", "-m", "bicubic")
    assert code == 2
    assert_sentence(said.err, "memory://root/Own/LR/X4", "5", "7")
    code, said = measured("memory://root", "--sr", "ROOT/absent", "--hr", "ROOT/Own/HR", "-s", "2")
    assert code == 2
    assert_sentence(said.err, "memory://root/absent", "--sr")


def test_images_elsewhere_are_fetched_once_and_sized_as_they_come(
    photos: Path,
    expected: dict[str, bytes],
    memory: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for n in (4, 5):
        memory.pipe_file(f"/root/sr/{n}.png", expected[f"{n}.png"])
    memory.pipe_file("/root/hr/4.png", expected["4.png"])
    memory.pipe_file("/root/hr/5.png", (photos / "5.png").read_bytes())  # of another size
    fetched: list[str] = []
    read = Storage.read

    def noted(storage: Storage, name: str) -> Any:
        fetched.append(storage.url_of(name))
        return read(storage, name)

    monkeypatch.setattr(Storage, "read", noted)
    code = _run(["eval", "--sr", "memory://root/sr", "--hr", "memory://root/hr", "-s", "2", "--json"])
    said = capsys.readouterr()
    assert code == 3, said.err
    assert sorted(fetched) == [f"memory://root/{place}/{n}.png" for place in ("hr", "sr") for n in (4, 5)]
    (result,) = json.loads(said.out)
    assert [one["name"] for one in result["images"]] == ["4"]
    assert [one["name"] for one in result["failed"]] == ["5"]


def test_protocols_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with refused(UsageError, "gcsfs"):
        Storage("gs://bucket/in")
    with refused(UsageError, "nothing"):
        Storage("nothing://bucket/in")


# -- S3 -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of moto's server."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the server, with an empty bucket `bucket`; products find it by the usual variables."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem(use_listings_cache=False)
    if system.exists("bucket"):
        system.rm("bucket", recursive=True)
    system.mkdir("bucket")
    return system


@pytest.mark.s3
def test_s3_from_end_to_end(
    photos: Path, expected: dict[str, bytes], upscale: Callable[..., Any], s3: Any
) -> None:
    for name, data in files(photos).items():
        s3.pipe_file(f"bucket/in/{name}", data)
    code, records, err = upscale("s3://bucket/in", "s3://bucket/out")
    assert code == 0, err
    assert held(s3, "bucket/out") == expected
    assert len(records) == len(expected)
    s3.rm("bucket/out/below/3.png")
    code, records, err = upscale("s3://bucket/in", "s3://bucket/out", "--skip-existing")
    assert code == 0, err
    assert [r["input"] for r in records if r["status"] == "done" and "twice" not in r["input"]] == [
        "s3://bucket/in/below/3.png"
    ]
    assert held(s3, "bucket/out") == expected


@pytest.mark.s3
def test_s3_is_listed_page_by_page(s3: Any) -> None:
    for n in range(1100):  # a page of the protocol is 1000
        s3.pipe_file(f"bucket/in/{n:04}.png", b"")
    s3.pipe_file("bucket/in/below/x.png", b"")
    names = set(Storage("s3://bucket/in").names(recursive=True))
    assert names == {f"{n:04}.png" for n in range(1100)} | {"below/x.png"}
    assert len(set(Storage("s3://bucket/in").names(recursive=False))) == 1100


@pytest.mark.s3
def test_no_such_bucket(photos: Path, upscale: Callable[..., Any], s3: Any, tmp_path: Path) -> None:
    for ends in (("s3://absent/in", tmp_path / "out"), (photos, "s3://absent/out")):
        code, _, err = upscale(*ends)
        assert code == 2
        assert_sentence(err, "s3://absent")


@pytest.mark.s3
def test_no_credentials(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    type(s3).clear_instance_cache()
    with refused(SrkitError, "s3://bucket/in"):
        list(Storage("s3://bucket/in").names(recursive=True))


@pytest.mark.s3
def test_no_permission(s3: Any, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def checked(after: bytes) -> None:
        """Have the server check who asks, from so many requests on."""
        urllib.request.urlopen(
            urllib.request.Request(f"{server}/moto-api/reset-auth", after, {"Content-Type": "text/plain"})
        ).close()

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    type(s3).clear_instance_cache()
    checked(b"0")
    try:
        with refused(SrkitError, "s3://bucket/in", "credentials"):
            list(Storage("s3://bucket/in").names(recursive=True))
        with refused(SrkitError, "s3://bucket/out", "credentials"):
            Claim(Storage("s3://bucket/out"), None)
    finally:
        checked(b"inf")


@pytest.mark.s3
@pytest.mark.parametrize("silent", [False, True])
def test_where_nothing_answers(
    silent: bool, photos: Path, upscale: Callable[..., Any], s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        if silent:  # it takes connections and says nothing
            place.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{place.getsockname()[1]}")
        type(s3).clear_instance_cache()
        started = time.monotonic()
        with refused(SrkitError, "s3://bucket/in"):
            list(Storage("s3://bucket/in").names(recursive=True))
        assert time.monotonic() - started < 10
