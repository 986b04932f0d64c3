"""Kernel maps as files: what goes in comes out, and what is not ours is refused in one sentence."""

from __future__ import annotations

import errno
import io
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srkit.errors import SrkitError, UsageError
from srkit.io.kernel_map import (
    VERSION,
    KernelMap,
    KernelMapInfo,
    probe_kernel_map,
    read_kernel_map,
    write_kernel_map,
)
from tests.helpers import refused
from tests.hostile import damaged

HEIGHT, WIDTH, CODES = 6, 9, 4


def made(**changes: Any) -> KernelMap:
    random = np.random.default_rng(0)

    def uniform(*shape: int) -> Any:
        return random.random(shape, dtype=np.float32)

    values = {
        "codes": uniform(CODES, HEIGHT, WIDTH),
        "basis": uniform(CODES, 21, 21),
        "covariance": 9 * uniform(3, HEIGHT, WIDTH),
        "confidence": uniform(HEIGHT, WIDTH),
        "depth": uniform(HEIGHT, WIDTH),
        "scale": 4,
        "model_sha256": "ab" * 32,
    }
    return KernelMap(**{**values, **changes})


@pytest.fixture
def altered(tmp_path: Path) -> Callable[..., Path]:
    """A map's file with some arrays changed (None: left out)."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "whole.npz"
        write_kernel_map(made(), path)
        with np.load(path) as file:
            arrays = {**{name: file[name] for name in file.files}, **changes}
        other = tmp_path / "altered.npz"
        np.savez(other, **{name: value for name, value in arrays.items() if value is not None})
        return other

    return write


def test_round_trip(tmp_path: Path) -> None:
    kernel_map = made()
    write_kernel_map(kernel_map, tmp_path / "a.npz")
    read = read_kernel_map(tmp_path / "a.npz")
    for name in ("codes", "covariance", "confidence", "depth"):
        array = getattr(read, name)
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, getattr(kernel_map, name), rtol=5e-4, atol=1e-6)
    np.testing.assert_array_equal(read.basis, kernel_map.basis)
    assert (read.scale, read.version, read.model_sha256) == (4, VERSION, "ab" * 32)
    assert (read.height, read.width) == (HEIGHT, WIDTH)
    assert probe_kernel_map(tmp_path / "a.npz") == KernelMapInfo(WIDTH, HEIGHT, 4, "ab" * 32)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_the_keys_and_shapes_that_are_promised(tmp_path: Path) -> None:
    write_kernel_map(made(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        shapes = {name: file[name].shape for name in file.files}
    assert shapes == {
        "codes": (CODES, HEIGHT, WIDTH),
        "basis": (CODES, 21, 21),
        "covariance": (3, HEIGHT, WIDTH),
        "confidence": (HEIGHT, WIDTH),
        "depth": (HEIGHT, WIDTH),
        "scale": (),
        "version": (),
        "model_sha256": (),
    }


def test_equal_maps_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_kernel_map(made(), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    path.write_text("earlier")

    def full(*_arguments: Any, **_arrays: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    with refused(SrkitError, tmp_path / "a.npz"):
        write_kernel_map(made(), path)
    assert path.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"codes": np.zeros((CODES, HEIGHT), np.float32)}, ("codes", (CODES, HEIGHT))),
        ({"codes": np.zeros((CODES, 0, WIDTH), np.float32)}, ("codes", (CODES, 0, WIDTH))),
        ({"basis": np.zeros((CODES + 1, 21, 21), np.float32)}, ("basis", (CODES + 1, 21, 21))),
        ({"depth": np.zeros((HEIGHT, WIDTH + 1), np.float32)}, ("depth", (HEIGHT, WIDTH + 1))),
        ({"confidence": np.full((HEIGHT, WIDTH), 1.5, np.float32)}, ("confidence",)),
        ({"depth": np.full((HEIGHT, WIDTH), -0.1, np.float32)}, ("depth",)),
        ({"covariance": np.full((3, HEIGHT, WIDTH), np.nan, np.float32)}, ("covariance",)),
        ({"codes": np.full((CODES, HEIGHT, WIDTH), np.inf, np.float32)}, ("codes",)),
        ({"scale": 0}, ("scale", 0)),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_makes_no_sense_is_no_map(
    changes: dict[str, Any], named: tuple[object, ...], altered: Callable[..., Path]
) -> None:
    with refused(ValueError, *named):
        made(**changes)
    path = altered(**changes)
    with refused(UsageError, path, *named):
        read_kernel_map(path)


@pytest.mark.parametrize("name", ["codes", "basis", "depth", "version", "model_sha256"])
def test_an_archive_without_a_key(name: str, altered: Callable[..., Path]) -> None:
    for read in (read_kernel_map, probe_kernel_map):
        with refused(UsageError, f"'{name}'"):
            read(altered(**{name: None}))


def test_another_version(altered: Callable[..., Path]) -> None:
    for read in (read_kernel_map, probe_kernel_map):
        with refused(UsageError, 2, VERSION):
            read(altered(version=np.array(2)))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"version": np.array([1, 1])}, ("version", "int64", (2,))),
        ({"scale": np.array("four")}, ("scale", "<U4")),
        ({"codes": np.zeros((CODES, HEIGHT, WIDTH), np.int32)}, ("codes", "int32")),
        ({"basis": np.array([{"a": 1}], dtype=object)}, ("basis", "object")),
    ],
)
def test_other_types(
    changes: dict[str, Any], named: tuple[object, ...], altered: Callable[..., Path]
) -> None:
    with refused(UsageError, *named):
        read_kernel_map(altered(**changes))


def test_files_that_are_none(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    write_kernel_map(made(), whole)
    data = whole.read_bytes()
    cases = {
        "empty.npz": b"",
        "text.npz": b"not a zip at all",
        "cut.npz": data[: len(data) // 2],
        "flipped.npz": data.replace(b"\x93NUMPY", b"\x93NUMBY", 1),
    }
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with refused(UsageError, path, "srkit estimate-kernel"):
            read_kernel_map(path)
    np.savez(tmp_path / "other.npz", image=np.zeros(3))
    for path in (tmp_path / "other.npz", tmp_path / "missing.npz", tmp_path):
        with refused(UsageError, path):
            read_kernel_map(path)


def test_a_header_that_declares_more_than_there_is(tmp_path: Path) -> None:
    """Without a look at the member's size, reading would ask for terabytes."""
    whole, lying = tmp_path / "whole.npz", tmp_path / "lying.npz"
    write_kernel_map(made(), whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(lying, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "codes.npy":
                data = data.replace(b"(4, 6, 9), }        ", b"(4, 6, 900000000), }")
                assert len(data) == source.getinfo(name).file_size
            target.writestr(name, data)
    with refused(UsageError, lying, "codes", "float16", (4, 6, 900000000)):
        probe_kernel_map(lying)


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def packed(members: dict[str, bytes], path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def members(tmp_path: Path) -> dict[str, bytes]:
    write_kernel_map(made(), tmp_path / "whole.npz")
    with zipfile.ZipFile(tmp_path / "whole.npz") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("method", METHODS)
def test_damaged_archives_are_refused_or_read(method: int, members: dict[str, bytes], tmp_path: Path) -> None:
    whole = packed(members, tmp_path / "packed.npz", method).read_bytes()
    refused = 0
    for seed in range(150):
        path = tmp_path / "hurt.npz"
        path.write_bytes(damaged(whole, np.random.default_rng((method, seed))))
        try:
            read_kernel_map(path)
        except UsageError:
            refused += 1
    assert refused > 100


class Payload:
    """What pickle would make of it leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_nothing_in_an_archive_is_executed(members: dict[str, bytes], tmp_path: Path) -> None:
    content = io.BytesIO()
    np.lib.format.write_array(
        content, np.array([Payload(tmp_path / "trace")], dtype=object), allow_pickle=True
    )
    for name in members:
        for data in (content.getvalue(), pickle.dumps(Payload(tmp_path / "trace"))):
            with pytest.raises(UsageError):
                read_kernel_map(packed({**members, name: data}, tmp_path / "bad.npz"))
    assert not (tmp_path / "trace").exists()


def test_bombs_take_no_memory(members: dict[str, bytes], tmp_path: Path) -> None:
    """A header of 300 MB of spaces; more codes than a kernel has values: each some kilobytes as a file."""
    magic = b"\x93NUMPY\x02\x00" + (300_000_000).to_bytes(4, "little")
    long_header = (
        magic + b"{'descr': '<f2', 'fortran_order': False, 'shape': (4, 6, 9), }" + b" " * 300_000_000
    )
    many = io.BytesIO()
    np.save(many, np.zeros((1_000_000, HEIGHT, WIDTH), np.float16))
    bombs = {"header": long_header, "codes": many.getvalue()}
    del long_header, many
    files = [packed({**members, "codes.npy": bombs.pop(n)}, tmp_path / n) for n in ("header", "codes")]
    for path in files:
        assert path.stat().st_size < 1_000_000
        tracemalloc.start()
        with pytest.raises(UsageError):
            read_kernel_map(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
        tracemalloc.stop()
