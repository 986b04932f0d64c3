"""Weights of public networks for measuring images, found by file name or downloaded."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from srkit.errors import ResourceError, first_line
from srkit.progress import Progress, Silent
from srkit.zoo.cache import WEIGHTS_VARIABLE, cache_dir, no_weights_folder
from srkit.zoo.files import check_checkpoint, sha256_of
from srkit.zoo.pull import Wanted, fetch
from srkit.zoo.source import parse_source

_HASH_IN_PATH = re.compile(r"/([0-9a-f]{64})/")  # OpenAI's convention: the full hash
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.\w+")  # torch.hub's convention: the start of the SHA-256


@dataclass(frozen=True)
class WeightFile:
    """File that its authors publish under a fixed name."""

    name: str
    purpose: str
    """Description in messages, such as `LPIPS's trunk`."""
    source: str
    """URL, or `hf:owner/repo/file`, as for `srkit models pull`."""
    hub_folder: str
    """Folder in torch.hub's directory where other programs store it."""
    licence: str = ""
    """Licence; empty if unknown."""


@dataclass(frozen=True)
class FoundWeights:
    """Weight file on this machine."""

    path: Path
    sha256: str

    @property
    def label(self) -> str:
        """Name and checksum; equal labels give equal results."""
        return f"{self.path.name} sha256 {self.sha256[:12]}"


def weights_folder(chosen: Path | None) -> Path | None:
    """Folder of weights: `chosen`, else `$SRKIT_WEIGHTS`, else None.

    Raises:
        UsageError: `chosen` is no folder.
    """
    if chosen is not None:
        if not chosen.is_dir():
            raise no_weights_folder(chosen)
        return chosen
    named = os.environ.get(WEIGHTS_VARIABLE)
    return Path(named).expanduser() if named else None


def find_weights(
    file: WeightFile, folder: Path | None = None, progress: Progress | None = None
) -> FoundWeights:
    """Find a file in `weights_folder(folder)`, in torch.hub's cache or in srkit's, else download it to the latter.

    A file in the folder is used as it is; one in a cache must have the checksum in its name.

    Raises:
        UsageError: `folder` is no folder.
        ResourceError: the file is neither found nor downloadable, is no weight file, or does not match its name.
    """
    progress = progress or Silent()
    given, cached = weights_folder(folder), _hub_copy(file)
    if given is not None and (path := given / file.name).exists():
        check_checkpoint(path)
        found = FoundWeights(path, sha256_of(path))
        if not _is_published(found):
            progress.warn(f"'{path}' is not the published file of that name; its numbers are not comparable.")
        return found
    if cached.is_file() and _is_published(found := FoundWeights(cached, sha256_of(cached))):
        return found
    wanted = Wanted(
        file.name,
        parse_source(file.source),
        sha256=match[1] if (match := _HASH_IN_PATH.search(file.source)) else None,
        licence=file.licence,
        what=f"The file '{file.name}' ({file.purpose})",
        otherwise=f"put the file, under this name, into a folder named by `weights_dir` or ${WEIGHTS_VARIABLE}",
    )
    pulled = fetch(wanted, progress)
    found = FoundWeights(pulled.path, pulled.sha256)
    if not _is_published(found):
        raise ResourceError(
            f"'{pulled.path}' has the SHA-256 {pulled.sha256[:12]}…, not the one in its name; delete it and run "
            "the same command again."
        )
    return found


def is_here(file: WeightFile, folder: Path | None = None) -> bool:
    """Return whether `find_weights` would find the file without a download; its content is not checked.

    Raises:
        UsageError: `folder` is no folder.
    """
    given = weights_folder(folder)
    places = [_hub_copy(file), _own_copy(file)] + ([given / file.name] if given is not None else [])
    return any(place.is_file() for place in places)


def _hub_copy(file: WeightFile) -> Path:
    return Path(torch.hub.get_dir()) / file.hub_folder / file.name


def _own_copy(file: WeightFile) -> Path:
    return parse_source(file.source).location(cache_dir())


def load_tensors(found: FoundWeights) -> dict[str, Any]:
    """Read the state dict of a PyTorch file; nothing in the file is executed.

    Raises:
        ResourceError: it is damaged, or no dict of tensors by name.
    """
    return tensors_by_name(read_plain(found.path), found.path)


def read_plain(path: Path) -> Any:
    """Read tensors and plain values of a PyTorch file on the CPU; nothing in the file is executed.

    Raises:
        ResourceError: it is damaged, or holds other objects.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of zipfile, pickle and its own reader
        raise ResourceError(
            f"'{path}' cannot be read as weights ({first_line(error)}); fetch it again."
        ) from error


def tensors_by_name(content: Any, path: Path) -> dict[str, Any]:
    """Check that `content` is a state dict, and remove the prefix `module.` of data-parallel training.

    Raises:
        ResourceError: it is no state dict; the message names its file `path`.
    """
    if not isinstance(content, dict) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise ResourceError(f"'{path}' holds something else than tensors by name; fetch it again.")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _is_published(found: FoundWeights) -> bool:
    match = _HASH_IN_NAME.search(found.path.name)
    return match is None or found.sha256.startswith(match[1])
