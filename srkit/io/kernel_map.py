"""Kernel maps: the blur of an image per pixel, as an .npz file written by `srkit estimate-kernel`."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from srkit.errors import UsageError
from srkit.io.atomic import atomic_path
from srkit.io.names import shown

VERSION = 1
"""Version of the file's layout."""
SIDE = 21
"""Side of a kernel, in HR pixels."""
EXTENSION = ".npz"

_MAPS = ("codes", "covariance", "confidence", "depth")
_SINGLE = ("scale", "version", "model_sha256")
_KEYS = frozenset((*_MAPS, "basis", *_SINGLE))
_LARGEST_SCALE = 16

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class KernelMap:
    """Blur kernel for each pixel of an LR image of h x w.

    The kernel of a pixel is `sum_k codes[k] * basis[k]`, on the HR grid, laid out as in `srkit.degradation.kernels`.

    Attributes:
        codes: (K, h, w).
        basis: (K, 21, 21), orthonormal.
        covariance: (3, h, w): xx, xy, yy in squared HR pixels, x to the right, y down.
        confidence: (h, w) in [0, 1]; 0 where the image is uninformative about its blur.
        depth: (h, w) in [0, 1], inverse depth, 1 nearest; zeros if unknown.
        scale: HR pixels per LR pixel along each side.
        model_sha256: SHA-256 of the weights that estimated the kernels; empty if none did.
        version: version of the file's layout.

    Raises:
        ValueError: arrays of other shapes, values that are not finite or out of range.
    """

    codes: Floats
    basis: Floats
    covariance: Floats
    confidence: Floats
    depth: Floats
    scale: int
    model_sha256: str = ""
    version: int = VERSION

    def __post_init__(self) -> None:
        _check_shapes({name: getattr(self, name).shape for name in (*_MAPS, "basis")})
        if not 1 <= self.scale <= _LARGEST_SCALE:
            raise ValueError(f"its scale is {self.scale}")
        for name in (*_MAPS, "basis"):
            array = getattr(self, name)
            if array.dtype != np.float32:
                raise ValueError(f"'{name}' is of {array.dtype}")
            # The sum is finite only if all values are, and needs no array of flags.
            if not math.isfinite(array.sum(dtype=np.float64)):
                raise ValueError(f"'{name}' holds values that are not finite")
        for name in ("confidence", "depth"):
            array = getattr(self, name)
            if array.min() < 0 or array.max() > 1:
                raise ValueError(f"'{name}' leaves [0, 1]")

    @property
    def height(self) -> int:
        """Height of the LR image."""
        return int(self.codes.shape[1])

    @property
    def width(self) -> int:
        """Width of the LR image."""
        return int(self.codes.shape[2])


@dataclass(frozen=True)
class KernelMapInfo:
    """Information on a kernel map file, read without its arrays."""

    width: int
    height: int
    """Height of the LR image."""
    scale: int
    model_sha256: str


def write_kernel_map(kernel_map: KernelMap, path: Path) -> None:
    """Write a map atomically; an existing file is replaced.

    Maps are stored in 16 bits, whose three digits exceed the accuracy of the kernels, in files of half the size. The
    same map gives the same bytes.

    Raises:
        SrkitError: the file system refused the write.
    """
    arrays: dict[str, NDArray[Any]] = {name: getattr(kernel_map, name).astype(np.float16) for name in _MAPS}
    arrays["basis"] = kernel_map.basis
    arrays["scale"] = np.array(kernel_map.scale, np.int32)
    arrays["version"] = np.array(kernel_map.version, np.int32)
    arrays["model_sha256"] = np.array(kernel_map.model_sha256)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # the stub takes them for allow_pickle


def read_kernel_map(path: Path) -> KernelMap:
    """Read a map; nothing in the file is executed.

    Raises:
        UsageError: the file is missing, damaged, no kernel map, or of another version.
    """
    with _opened(path) as (archive, headers):
        info = _info(archive, headers)
        codes, covariance, confidence, depth, basis = (
            _array(archive, name).astype(np.float32) for name in (*_MAPS, "basis")
        )
        return KernelMap(codes, basis, covariance, confidence, depth, info.scale, info.model_sha256)


def probe_kernel_map(path: Path) -> KernelMapInfo:
    """Read the information on a map, without its arrays.

    Raises:
        UsageError: as in `read_kernel_map`, as far as detectable without the arrays.
    """
    with _opened(path) as (archive, headers):
        return _info(archive, headers)


_Header = tuple[tuple[int, ...], np.dtype[Any]]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Mapping[str, _Header]]]:
    """Open the archive and yield it with its arrays' headers; errors are turned into one sentence."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if missing := sorted(key for key in _KEYS if f"{key}.npy" not in names):
                raise ValueError(f"it has no '{missing[0]}'")
            yield archive, {name: _header(archive, name) for name in _KEYS}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"The kernel map {shown(path)} is not there; `srkit estimate-kernel` makes one."
        ) from error
    except OSError as error:
        raise UsageError(
            f"The kernel map {shown(path)} cannot be read ({error.strerror or error}); give another."
        ) from error
    except zipfile.BadZipFile as error:
        raise _not_ours(path, "it is no .npz file, or damaged") from error
    except ValueError as error:
        raise _not_ours(path, str(error).rstrip(".")) from error
    except (
        Exception
    ) as error:  # decompressors and NumPy's parser raise various exceptions without a common base
        raise _not_ours(path, f"{type(error).__name__}: {error}".rstrip(".")) from error


def _not_ours(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{shown(path)} is no kernel map that this srkit reads ({why}); make one with `srkit estimate-kernel`."
    )


def _info(archive: zipfile.ZipFile, headers: Mapping[str, _Header]) -> KernelMapInfo:
    for name in _SINGLE:
        shape, dtype = headers[name]
        kind = "U" if name == "model_sha256" else "iu"
        if shape or dtype.kind not in kind:
            raise ValueError(f"'{name}' is {dtype} of shape {shape}")
    version = int(_array(archive, "version"))
    if version != VERSION:
        raise ValueError(f"it is of version {version}, expected {VERSION}")
    for name in (*_MAPS, "basis"):
        if headers[name][1].kind != "f":
            raise ValueError(f"'{name}' is of {headers[name][1]}")
    height, width = _check_shapes({name: headers[name][0] for name in (*_MAPS, "basis")})
    scale = int(_array(archive, "scale"))
    if not 1 <= scale <= _LARGEST_SCALE:
        raise ValueError(f"its scale is {scale}")
    return KernelMapInfo(width, height, scale, str(_array(archive, "model_sha256")))


def _check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
    """Size (h, w) of maps whose shapes agree; raises ValueError otherwise."""
    codes = shapes["codes"]
    if len(codes) != 3 or 0 in codes:
        raise ValueError(f"'codes' has the shape {codes}")
    count, height, width = codes
    if count > SIDE * SIDE:
        raise ValueError(f"'codes' has the shape {codes}, more codes than a kernel has values")
    expected = {
        "basis": (count, SIDE, SIDE),
        "covariance": (3, height, width),
        "confidence": (height, width),
        "depth": (height, width),
    }
    for name, shape in expected.items():
        if tuple(shapes[name]) != shape:
            raise ValueError(f"'{name}' has the shape {tuple(shapes[name])} beside codes of {codes}")
    return height, width


def _header(archive: zipfile.ZipFile, name: str) -> _Header:
    """Shape and type of an array; raises ValueError if the member's length differs."""
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as file:
        shape, dtype = _npy_header(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or file.tell() + size != member.file_size:
            raise ValueError(f"'{name}' is {dtype} of shape {shape} in {member.file_size} bytes")
    return shape, dtype


def _npy_header(file: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # as in all files by srkit; the header of a later version may be 4 GB long
        raise ValueError(f"an array is of version {version} of NumPy's format")
    shape, _fortran, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array
