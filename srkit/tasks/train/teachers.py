"""Teacher network of a recipe's part `teacher`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from srkit.archs.info import ArchInfo
from srkit.errors import UsageError
from srkit.ops.layout import channels_last
from srkit.recipes.train import TeacherPart
from srkit.tasks.train.experiment import Setting
from srkit.training.teacher import Teacher
from srkit.zoo.cache import read_lock
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.manifest import Manifest


@dataclass(frozen=True)
class NamedTeacher:
    """A teacher, and its entry in the header of the weights trained with it."""

    teacher: Teacher
    name: str
    sha256: str
    licence: str
    weight: float

    @property
    def header(self) -> dict[str, str | float]:
        return {
            "name": self.name,
            "sha256": self.sha256,
            "licence": self.licence,
            "weight": self.weight,
        }

    @property
    def words(self) -> str:
        return f"teacher {self.name} ({self.licence})"


def load_teacher(part: TeacherPart, info: ArchInfo, setting: Setting[Any]) -> NamedTeacher | None:
    """Load the recipe's teacher on the run's device; None if it has none.

    Args:
        info: facts about the trained network.

    Raises:
        UsageError: the teacher's scale is no multiple of the network's, it needs more than the image, or it has no
            known licence.
        ResourceError: its weights are missing or damaged.
    """
    if not part.model or part.weight == 0:
        return None
    model = load_model(part.model, progress=setting.progress)
    if model.info.scale % info.scale:
        raise UsageError(
            f"The teacher '{model.name}' upscales by {model.info.scale}, and the network by {info.scale}; set "
            f"teacher.model to one that upscales by {info.scale} or a multiple of it."
        )
    if model.info.conditioning or model.info.channels != 3:
        needs = ", ".join(model.info.conditioning) or f"{model.info.channels} channels"
        raise UsageError(
            f"The teacher '{model.name}' takes {needs}, and crops are colours alone; set teacher.model to another."
        )
    licence = part.licence or _licence_of(model)
    if not licence:
        raise UsageError(
            f"Nothing says under which licence the teacher '{model.name}' is, and the weights that it teaches name it; "
            "set teacher.licence."
        )
    network = channels_last(model.network, setting.device)
    teacher = Teacher(network, info.scale, setting.autocast(bf16_ok=model.info.bf16_ok))
    return NamedTeacher(teacher, model.name, model.sha256, licence, part.weight)


def _licence_of(model: LoadedModel) -> str:
    """Licence from the model's header, the manifest or the record of its download; empty if unknown."""
    if model.header is not None:
        return model.header.licence
    manifest, lock = Manifest.load(), read_lock(model.path)
    if model.name in manifest and manifest.entry(model.name).path == model.path:
        return manifest.entry(model.name).licence
    return lock.licence if lock else ""
