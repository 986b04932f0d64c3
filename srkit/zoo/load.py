"""From a name or a file to a network that is ready to run."""

from __future__ import annotations

from pathlib import Path

from srkit.errors import ResourceError, nearest
from srkit.zoo.files import check_checkpoint, sha256_of
from srkit.zoo.header import has_header
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.lock import find_pulled, read_lock
from srkit.zoo.manifest import Entry, Manifest
from srkit.zoo.weights import load_weights


def load_model(name_or_path: str | Path, *, task: str = "sr") -> LoadedModel:
    """Load a model by its name, or from a file.

    A string is looked up among the models of `srkit models`, then among what was pulled (by file name
    without extension), then as a path; a `Path` is always a file. Our own files are rebuilt from their
    header; any other checkpoint goes through `load_foreign`.

    Args:
        name_or_path: `edsr-x4`, or a .safetensors, .pth, .pt or .ckpt file.
        task: what the weights must be for. Foreign networks that keep a picture's size (restoration) also
            pass as `sr`.

    Raises:
        ResourceError: there is no such model, its checksum is wrong, the file is damaged or unsafe, or it is
            for another task.
    """
    entry, path, expected = _resolve(name_or_path)
    check_checkpoint(path)
    found = sha256_of(path)
    if expected is not None and found != expected:
        raise ResourceError(
            f"The weights '{path}' have the SHA-256 {found[:12]}…, expected {expected[:12]}…; "
            + ("install srkit again." if entry and entry.shipped else "pull the model again.")
        )
    model = _read(path, entry.name if entry else path.stem, found)
    if model.task != task and not (model.source != "srkit" and task == "sr"):
        raise ResourceError(
            f"'{path}' holds weights for the task '{model.task}'; expected '{task}': choose another model."
        )
    return model


def find_family(name: str) -> dict[int, str]:
    """Scale to model, of the shipped models whose names are `name` and -x2, -x4, ...; empty where `name` is none.

    A model or a file that is called so itself goes before.

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
    from srkit.zoo.foreign import load_foreign  # brings spandrel and torchvision, seconds of start-up

    return load_foreign(path, name, sha256)


def _resolve(name_or_path: str | Path) -> tuple[Entry | None, Path, str | None]:
    """Entry if named, file, and the SHA-256 it must have where one is known."""
    if isinstance(name_or_path, Path):
        return None, name_or_path, _locked(name_or_path)
    manifest = Manifest.load()
    if name_or_path in manifest:
        entry = manifest.entry(name_or_path)
        if not entry.shipped and not entry.present:
            raise ResourceError(
                f"The model '{entry.name}' is not on this machine yet; run `srkit models pull {entry.name}`."
            )
        return entry, entry.path, entry.sha256 or _locked(entry.path)
    path = Path(name_or_path).expanduser()
    if not path.exists() and (pulled := find_pulled(name_or_path)):
        return None, pulled, _locked(pulled)
    if not path.exists() and path.suffix == "" and path.name == name_or_path:
        names = [*(entry.name for entry in manifest), *(set(manifest.families()) - {name_or_path})]
        raise ResourceError(
            f"There is no model and no file '{name_or_path}'; `srkit models list` names the models."
            f"{nearest(name_or_path, names)}"
        )
    return None, path, _locked(path)


def _locked(path: Path) -> str | None:
    lock = read_lock(path)
    return lock.sha256 if lock else None
