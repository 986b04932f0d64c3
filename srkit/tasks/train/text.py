"""Training of a text encoder on captions of photographs and of rendered images (kind `text`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from srkit.archs.table import build
from srkit.archs.words import WordsNetwork
from srkit.data.captioned import CaptionedImage, render_captioned
from srkit.data.captions import find_captions
from srkit.data.photographs import PhotographReader
from srkit.encoders.semantic import SemanticEncoder
from srkit.errors import UsageError
from srkit.ops.layout import as_tensor, channels_last
from srkit.progress import Progress
from srkit.recipes.text import TextRecipe
from srkit.rendered import DOMAINS
from srkit.tasks.train.encoder import learner_plan
from srkit.tasks.train.experiment import Experiment, Plan, blank_network, check_untrained
from srkit.tasks.train.job import TrainJob, split_files
from srkit.tasks.train.providers import Providers, check_providers, load_providers
from srkit.training.state import TrainState
from srkit.training.texts import TextLearner, TextPlan, TextSource, attribute_accuracy

_NEEDED = frozenset({"semantic"})
_SMALLEST = 64
_HELD_OUT_SEED = 1_000_000  # of the first rendered image for validation
_SCORED = 20  # number of batches for the accuracy


class Text(Experiment[TextRecipe]):
    """Fit a text encoder to a frozen image encoder; the score is the negative loss on held-out captions."""

    resumes = (*Experiment.resumes, "attributes", "temperature")
    providers: Providers
    held_out: TextSource
    accuracy: float = 0.0

    @classmethod
    def check(cls, job: TrainJob[TextRecipe]) -> None:
        recipe = job.recipe
        check_untrained(job)
        network = blank_network(recipe.model)
        if not isinstance(network, WordsNetwork):
            raise UsageError(f"'model.arch' is '{recipe.model.arch}'; the network that takes texts is words.")
        check_providers(recipe.providers, _NEEDED)

    def plan(self) -> Plan:
        recipe, data, setting = self.recipe, self.recipe.data, self.setting
        network = cast(WordsNetwork, build(recipe.model.arch, recipe.model.arguments))
        self.providers = load_providers(recipe.providers, _NEEDED, setting.device, setting.progress)
        encoder = self.providers.semantic
        assert encoder is not None  # as needed
        if encoder.dim != network.dim:
            raise UsageError(
                f"'model.arguments.dim' is {network.dim}, and the vectors of '{encoder.name}' have {encoder.dim} "
                "numbers; make them agree."
            )
        training, held_out, names = self._images()
        plan = TextPlan(data.pictures, data.texts, recipe.seed, setting.world.rank)
        source = TextSource(training, self._vectors(training, encoder), plan, network.length)
        fixed = TextPlan(data.pictures, data.texts, recipe.seed, split="held-out")
        self.held_out = TextSource(held_out, self._vectors(held_out, encoder), fixed, network.length)
        learner = channels_last(TextLearner(network, recipe.temperature, recipe.attributes), setting.device)
        return learner_plan(setting, learner, source, self.held_out, len(training), names)

    def export(self, state: TrainState) -> None:
        """Write the network without the learner's heads."""
        learner = state.ema
        learner.load_state_dict(state.best or learner.state_dict())
        self.accuracy = attribute_accuracy(learner, self.held_out, _SCORED, self.setting.device)
        found = {"loss": round(-state.best_score, 4), "accuracy": round(self.accuracy, 4)}
        self.save(
            cast(nn.Module, learner.network).cpu(),
            state,
            scale=1,
            task="text",
            providers=self.providers.header,
            scores={"held out": {"captions": found}},
        )

    def scores(self, state: TrainState) -> tuple[float | None, dict[str, float]]:
        return None, {"loss": -state.best_score, "accuracy": self.accuracy}

    def _images(self) -> tuple[list[CaptionedImage], list[CaptionedImage], tuple[str, ...]]:
        """Photographs and rendered images for training and for validation, and names of the validation photographs."""
        data, progress = self.recipe.data, self.setting.progress
        training, held_out, names = captioned_photographs(self.setting.job, _SMALLEST, _SMALLEST, progress)
        sides = (data.rendered_side,)
        few = max(1, data.rendered // data.holdout_every)
        training += render_captioned(dict.fromkeys(DOMAINS, data.rendered), sides, "train", 0, progress)
        held_out += render_captioned(dict.fromkeys(DOMAINS, few), sides, "held-out", _HELD_OUT_SEED, progress)
        has_text = [[one for one in images if one.texts] for images in (training, held_out)]
        return has_text[0], has_text[1], names

    def _vectors(self, images: Sequence[CaptionedImage], encoder: SemanticEncoder) -> Tensor:
        """Embeddings of the image encoder, (P, D)."""
        device, progress = self.setting.device, self.setting.progress
        progress.start("describing images", len(images))
        found = []
        with torch.no_grad():
            for image in images:
                found.append(encoder.embed(as_tensor(image.pixels, device)).vector.cpu())
                progress.advance()
        progress.finish()
        return torch.cat(found)


def captioned_photographs(
    job: TrainJob[Any], smallest: int, validates: int, progress: Progress
) -> tuple[list[CaptionedImage], list[CaptionedImage], tuple[str, ...]]:
    """Photographs with their captions, for training and for validation, and names of the validation photographs.

    Photographs without a caption, and captions without a photograph, are reported.

    Args:
        smallest: minimal shorter side of a training photograph.
        validates: minimal shorter side of a validation photograph.

    Raises:
        UsageError: as in `srkit.data.captions.find_captions`, or a folder does not exist.
        SrkitError: there are no training or no validation photographs.
    """
    data = job.recipe.data
    reader = PhotographReader(smallest)
    split = split_files(job, data.holdout_every, reader, validates, progress)
    files, photographs = reader.read_all(split.rest, progress)
    source = Path(data.captions) if data.captions else None
    found = find_captions([*split.rest, *split.files, *split.unused], source).of([*files, *split.files])
    for warning in found.warnings():
        progress.warn(warning)
    training, held_out = (
        [CaptionedImage(image, found.texts.get(file, ())) for file, image in zip(*part, strict=True)]
        for part in ((files, photographs), (split.files, split.images))
    )
    return training, held_out, tuple(file.name for file in split.files)
