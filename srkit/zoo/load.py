"""Loading of a model by name or file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srkit.errors import ResourceError
from srkit.progress import Progress
from srkit.zoo.cache import find_pulled, read_lock
from srkit.zoo.files import check_checkpoint, sha256_of
from srkit.zoo.header import has_header
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.manifest import Manifest
from srkit.zoo.openmodeldb import may_be_indexed
from srkit.zoo.pull import pull
from srkit.zoo.weights import load_weights


def load_model(
    name_or_path: str | Path, *, task: str = "sr", progress: Progress | None = None
) -> LoadedModel:
    """Load a model by its name, or from a file.

    A string is looked up among the models of `srkit models`, then as a path, then among downloaded files (by the
    requested name, or the file's name without extension), then, if it has the form `4x-Name`, in OpenModelDB. Missing
    public models are downloaded. A `Path` is always a file. This project's files are rebuilt from their header; other
    checkpoints are loaded by `load_foreign`.

    Args:
        name_or_path: `edsr-x4`, `4x-UltraSharp`, or a .safetensors, .pth, .pt or .ckpt file.
            task: required task of the weights. Foreign networks that keep an image's size (restoration) also
                pass as `sr`.
            progress: receives downloads and their licences.

    Raises:
            ResourceError: the model does not exist, may not or cannot be downloaded, has a wrong checksum, is damaged
                or unsafe, or is for another task.
    """
    found = _resolve(name_or_path, progress)
    check_checkpoint(found.path)
    sha256 = sha256_of(found.path)
    if found.expected is not None and sha256 != found.expected:
        raise ResourceError(
            f"The weights '{found.path}' have the SHA-256 {sha256[:12]}…, expected {found.expected[:12]}…; "
            + ("install srkit again." if found.shipped else "pull the model again.")
        )
    model = _read(found.path, found.name, sha256)
    if model.task != task and not (model.source != "srkit" and task == "sr"):
        raise ResourceError(
            f"'{found.path}' holds weights for the task '{model.task}'; expected '{task}': choose another model."
        )
    return model


def find_family(name: str) -> dict[int, str]:
    """Models by scale of the shipped family `name`, named `name`-x2, -x4, ...; empty if there is no such family.

    A model or a file named `name` has priority.

    Raises:
        ResourceError: the manifest is missing or damaged.
    """
    manifest = Manifest.load()
    family = manifest.families().get(name, {})
    if family and (name in manifest or find_pulled(name) or Path(name).expanduser().is_file()):
        return {}
    return family


def _read(path: Path, name: str, sha256: str) -> LoadedModel:
    if has_header(path):
        return load_weights(path, name, sha256)
    from srkit.zoo.foreign import load_foreign  # imports spandrel and torchvision, which takes seconds

    return load_foreign(path, name, sha256)


@dataclass(frozen=True)
class _Found:
    """File of a model."""

    path: Path
    name: str
    expected: str | None
    """Expected SHA-256, if known."""
    shipped: bool = False


def _resolve(name_or_path: str | Path, progress: Progress | None) -> _Found:
    if isinstance(name_or_path, Path):
        return _file(name_or_path)
    manifest = Manifest.load()
    if name_or_path in manifest:
        entry = manifest.entry(name_or_path)
        if not entry.shipped and not entry.present:
            pull(entry.name, progress=progress)
        expected = entry.sha256 or _locked(entry.path)
        return _Found(entry.path, entry.name, expected, entry.shipped)
    path = Path(name_or_path).expanduser()
    if path.exists():
        return _file(path)
    if pulled := find_pulled(name_or_path):
        lock = read_lock(pulled)
        return _Found(pulled, (lock and lock.name) or pulled.stem, lock.sha256 if lock else None)
    if may_be_indexed(name_or_path):
        fetched = pull(name_or_path, progress=progress)
        return _Found(fetched.path, fetched.name, fetched.sha256)
    if path.suffix == "" and path.name == name_or_path:
        raise manifest.unknown(name_or_path)
    return _file(path)


def _file(path: Path) -> _Found:
    return _Found(path, path.stem, _locked(path))


def _locked(path: Path) -> str | None:
    lock = read_lock(path)
    return lock.sha256 if lock else None
