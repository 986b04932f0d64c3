"""Putting trained weights into the manifest."""

from __future__ import annotations

from math import prod
from pathlib import Path

from safetensors import safe_open

from srkit.errors import ResourceError
from srkit.io.atomic import atomic_path
from srkit.zoo.files import sha256_of
from srkit.zoo.header import read_header
from srkit.zoo.manifest import MANIFEST_NAME, SHIPPED, Entry, format_entries, read_entries


def register(path: Path, name: str, summary: str) -> Entry:
    """Write the manifest entry of a weights file, in the `manifest.json` of the file's own folder.

    An entry of the same name is replaced; a missing manifest is begun. Everything but name and summary comes
    from the file: its header, its checksum, its tensors.

    Raises:
        ResourceError: the file is no weights file of ours, or the manifest is damaged.
    """
    path = Path(path)
    header = read_header(path)
    entry = Entry(
        name=name,
        file=path.name,
        sha256=sha256_of(path),
        size=path.stat().st_size,
        task=header.task,
        scale=header.scale,
        arch=header.arch,
        parameters=_parameters(path),
        licence=header.licence,
        summary=summary,
        recipe=header.recipe,
        training_data=header.training_data,
        scores=header.scores,
        source=SHIPPED,
    )
    manifest = path.parent / MANIFEST_NAME
    others = [other for other in read_entries(manifest) if other.name != name] if manifest.exists() else []
    if any(other.file == path.name for other in others):
        raise ResourceError(
            f"'{manifest}' has '{path.name}' under another name already; remove that entry first."
        )
    with atomic_path(manifest) as temporary:
        temporary.write_text(format_entries([*others, entry]), encoding="utf-8")
    return entry


def _parameters(path: Path) -> int:
    """Numbers stored, from the file's header."""
    with safe_open(path, framework="numpy") as file:
        return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
