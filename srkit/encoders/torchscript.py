"""Reading of tensors from a TorchScript archive as data, without running its program.

OpenAI publishes CLIP as such archives. `torch.jit.load` would compile their code and run their initialisation, which
can read and write files; `torch.load(weights_only=True)` rejects them.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srkit.errors import ResourceError, first_line
from srkit.zoo.files import check_checkpoint, unreadable

_DTYPES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "BoolStorage": torch.bool,
}


def is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive (intact or not): a zip with a program's constants."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read_script_tensors(path: Path) -> dict[str, Tensor]:
    """Parameters, buffers and other tensors of the archived module by their dotted names, on the CPU, as stored.

    Raises:
        ResourceError: the file is missing or damaged, or holds other objects than modules of plain tensors.
    """
    check_checkpoint(path)
    try:
        with zipfile.ZipFile(path) as archive:
            root = _root(archive)
            with archive.open(f"{root}data.pkl") as data:
                module = _Unpickler(data, archive, root).load()
        if not isinstance(module, _Module):
            raise pickle.UnpicklingError(f"it holds a {type(module).__name__}, not a module")
        return dict(_tensors("", module))
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # a damaged pickle raises arbitrary exceptions
        reason = first_line(error).strip("'\"")
        raise ResourceError(
            f"'{path}' is a TorchScript archive whose tensors cannot be read ({reason}); fetch it again, or save the "
            "model's state_dict() instead."
        ) from error


class _Module:
    """Placeholder for an object of any TorchScript class. Its single slot prevents a file from adding methods."""

    __slots__ = ("fields",)
    fields: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"a module's state is a {type(state).__name__}")
        self.fields = state


def _tensors(prefix: str, module: _Module) -> list[tuple[str, Tensor]]:
    found: list[tuple[str, Tensor]] = []
    for name, value in module.fields.items():
        if isinstance(value, Tensor):
            found.append((f"{prefix}{name}", value))
        elif isinstance(value, _Module):
            found += _tensors(f"{prefix}{name}.", value)
    return found


class _Unpickler(pickle.Unpickler):
    """Unpickler of modules, tensors, lists and dictionaries, which calls nothing else."""

    def __init__(self, data: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(data)
        self._archive, self._root = archive, root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return _Module
        if (
            module == "torch.jit._pickle"
        ):  # typed lists: build_intlist([...]), restore_type_tag([...], "List[int]")
            return _first
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        """Load a storage from ("storage", dtype, record, device, elements)."""
        kind, dtype, record, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not str(record).isalnum():
            raise pickle.UnpicklingError("a storage has no usual name")
        if record not in self._storages:
            content = bytearray(self._archive.read(f"{self._root}data/{record}"))
            self._storages[record] = (
                torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
            )
        storage = self._storages[record]
        if storage.dtype != dtype or storage.numel() < count:
            raise pickle.UnpicklingError(f"the storage {record} is cut short")
        return storage


def _first(values: Any, *_: Any) -> Any:
    return values


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    """Build a tensor like `torch._utils._rebuild_tensor_v2`, checked against its storage."""
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    inside = offset >= 0 and min((*size, *stride), default=0) >= 0
    if not inside or (0 not in size and last >= storage.numel()):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    return storage.as_strided(size, stride, offset)


def _root(archive: zipfile.ZipFile) -> str:
    """Folder of all files in the archive, with a trailing slash."""
    return next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
