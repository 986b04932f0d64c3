"""Header of this project's weights files."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from srkit._version import __version__
from srkit.errors import ResourceError
from srkit.zoo.files import check_checkpoint, unreadable

METADATA_KEY = "srkit"
FORMAT_VERSION = 1
_LATER = frozenset({"rates", "adapted", "controller", "pairs", "blended", "teacher"})
"""Fields that the first files of this format lack."""


@dataclass(frozen=True)
class Header:
    """Information for rebuilding a network from its file, and on the file's origin.

    It is stored as JSON under the single key `srkit` of the safetensors metadata, since the order of several keys is
    not fixed, and equal weights must give equal files.
    """

    arch: str
    """Name in `srkit.archs.table.ARCHS`."""
    arguments: dict[str, Any]
    """Constructor arguments of the network."""
    scale: int
    """Ratio of the output's to the input's side."""
    task: str = "sr"
    overlap: int | None = None
    """Measured overlap of tiles per side in LR pixels; None: the network's receptive field."""
    normalisation: str = "none"
    """Normalisation of an image in [0, 1] before the first layer, in words."""
    providers: dict[str, str] = field(default_factory=dict)
    """Feature providers used in training, and their versions."""
    recipe: str = ""
    recipe_sha256: str = ""
    steps: int | None = None
    """Number of training steps."""
    licence: str = ""
    training_data: str = ""
    """Training data and their terms, if any."""
    scores: dict[str, Any] = field(default_factory=dict)
    """Scores by protocol, data set and metric: `{"classical": {"Set5": {"psnr": 31.3, "ssim": 0.88}}}`."""
    rates: dict[str, Any] = field(default_factory=dict)
    """Settings for the learned rates of adaptation in the file: the inner step's `rule` and `loss`."""
    adapted: dict[str, Any] = field(default_factory=dict)
    """Origin of weights from `srkit adapt`: base and its `sha256`, support images, recipe; else empty."""
    controller: dict[str, Any] = field(default_factory=dict)
    """Controller of a reconstructor (`srkit.training.controller`): its `noise_std`; empty without one."""
    pairs: dict[str, str] = field(default_factory=dict)
    """Other ends of the dials of `srkit upscale` (`strength`, `denoise`): a model's name, or a file's path relative to
    the folder of this file."""
    blended: dict[str, Any] = field(default_factory=dict)
    """Origin of interpolated weights: `of` (names, sha256, licences) and `alpha`, the weight of the second; else
    empty."""
    teacher: dict[str, Any] = field(default_factory=dict)
    """Teacher of the training: `name`, `sha256`, `licence`, `weight`; else empty."""
    srkit_version: str = __version__
    format_version: int = FORMAT_VERSION

    def to_metadata(self) -> dict[str, str]:
        """Metadata of a safetensors file, which maps strings to strings.

        Raises:
            ResourceError: a value is not representable in JSON.
        """
        try:
            return {METADATA_KEY: json.dumps(asdict(self), sort_keys=True, allow_nan=False)}
        except (TypeError, ValueError) as error:
            raise ResourceError(
                f"The header of these '{self.arch}' weights cannot be written as JSON: {error}."
            ) from error

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None, where: str) -> Header:
        """Header from a safetensors file's metadata; `where` names the file in messages.

        Raises:
            ResourceError: the header is missing, damaged, or of a later format.
        """
        if not metadata or METADATA_KEY not in metadata:
            raise ResourceError(
                f"'{where}' has no srkit header, so it is not a weights file of this program; expected one "
                "that `srkit train` or `srkit adapt` wrote."
            )
        try:
            content = json.loads(metadata[METADATA_KEY])
        except (ValueError, RecursionError) as error:
            raise _damaged(where, f"it is no JSON ({str(error)[:80]})") from error
        if not isinstance(content, dict):
            raise _damaged(where, f"it is a JSON {type(content).__name__}, not an object")
        version = content.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ResourceError(
                f"'{where}' has a header of format {version}; this srkit ({__version__}) reads formats up to "
                f"{FORMAT_VERSION}: update srkit."
            )
        return cls(**_checked(content, where))


def has_header(path: Path) -> bool:
    """True if a file is safetensors with a header of this project (valid or not)."""
    try:
        with safe_open(path, framework="numpy") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_header(path: Path) -> Header:
    """Header of a weights file, without reading its tensors.

    Raises:
        ResourceError: the file is missing, damaged or has no header.
    """
    check_checkpoint(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return Header.from_metadata(file.metadata(), str(path))
    except SafetensorError as error:
        raise broken_file(path, error) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _checked(content: dict[str, Any], where: str) -> dict[str, Any]:
    """Known fields, checked for presence and type; unknown fields of a later srkit are dropped."""
    hints = typing.get_type_hints(Header)
    values: dict[str, Any] = {}
    for item in fields(Header):
        if item.name in _LATER and item.name not in content:
            continue
        if item.name not in content:
            raise _damaged(where, f"the field '{item.name}' is missing")
        value = content[item.name]
        if not _fits(value, hints[item.name]):
            raise _damaged(where, f"the field '{item.name}' holds {repr(value)[:80]}")
        values[item.name] = value
    return values


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if isinstance(value, bool):
        return False
    origin = typing.get_origin(hint) or hint
    return isinstance(value, origin)


def _damaged(where: str, why: str) -> ResourceError:
    return ResourceError(f"The srkit header of '{where}' is damaged: {why}; fetch or train the weights anew.")


def broken_file(path: Path, error: Exception) -> ResourceError:
    """Error for a file that safetensors cannot read."""
    return ResourceError(
        f"'{path}' is not a whole safetensors file ({str(error).rstrip('.')}); fetch it again."
    )
