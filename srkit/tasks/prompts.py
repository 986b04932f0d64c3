"""Prompts: assignment to images, networks that accept them, and messages about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from srkit.archs.clipsr import takes_text
from srkit.conditioning.makers import TEXT
from srkit.data.captions import find_captions
from srkit.errors import UsageError
from srkit.inference.chain import Models
from srkit.inference.upscaler import Upscaler
from srkit.io.names import printable, shown
from srkit.ops.characters import cleaned
from srkit.progress import Progress
from srkit.recipes.evaluate import FIXED, PromptControl
from srkit.zoo.manifest import Manifest

FAMILY = "clipsr"
"""Family of the shipped models that take a prompt."""
_SHOWN = 60  # characters of a prompt in a message


def prompted_models(
    name: str, progress: Progress | None = None, dials: Mapping[str, float] | None = None
) -> Models:
    """Networks of a job with prompts: those that `name` denotes, else the shipped ones that are conditioned on text.

    Raises:
        UsageError: the networks accept no prompt.
        ResourceError: a model is missing or damaged.
    """
    named = sorted(Manifest.load().families().get(FAMILY, {}).values())
    if name == "auto" and not named:
        raise UsageError(
            "A prompt was given, and no model that takes one came with this installation; give -m FILE, of a network "
            "that `srkit train clipsr-x8` makes."
        )
    models = Models(FAMILY if name == "auto" else name, progress, dials=dials)
    model = models.get(models.own_scale)
    if not takes_text(model.info):
        others = f"choose {' or '.join(named)}" if named else "choose one that `srkit train clipsr-x8` makes"
        raise UsageError(
            f"A prompt was given, and the model '{model.name}' takes none; {others}, or leave the prompt out."
        )
    return models


def prompts_of(
    images: Sequence[Path],
    prompt: str,
    source: Path | None,
    progress: Progress | None = None,
    *,
    among: Sequence[Path] | None = None,
) -> dict[Path, str]:
    """Prompt of each image: the same for all, or individual.

    Args:
        source: as in `srkit.data.captions.find_captions`; of several captions the first is used.
        progress: is warned of prompts without an image, and of images without a prompt.
        among: all images that `source` covers, if `images` are a shard of them.

    Raises:
        UsageError: both `prompt` and `source` are given, or as in `find_captions`.
    """
    if source is None:
        return dict.fromkeys(images, prompt)
    if prompt:
        raise UsageError(f"`prompt` is {quoted(prompt)}, and `prompts` is {shown(source)}; give one of them.")
    found = find_captions(among or images, source).of(images)
    if progress is not None:
        for warning in found.warnings():
            progress.warn(warning)
    return {image: texts[0] for image, texts in found.texts.items()}


def warn_of_prompts(upscaler: Upscaler, prompts: Iterable[str], progress: Progress) -> None:
    """Warn once of each prompt that is truncated or empty."""
    prompts = list(dict.fromkeys(prompts))
    names = upscaler.models.chain(upscaler.models.own_scale) if prompts else ()
    texts = [name for name in names if takes_text(upscaler.models.named(name).info)]
    for prompt in prompts:
        if not cleaned(prompt):
            progress.warn(f"The prompt {quoted(prompt)} is empty: the network goes without one.")
        for name in texts:
            provider = upscaler.conditioning(name).sources.providers[TEXT]
            if not provider.fits(prompt):
                progress.warn(
                    f"The prompt {quoted(prompt)} is cut off: '{provider.name}' takes {provider.length} tokens."
                )


def quoted(prompt: str) -> str:
    """A prompt in quotes for a message, printable and shortened."""
    text = printable(prompt)
    return f"'{text if len(text) <= _SHOWN else text[: _SHOWN - 3] + '...'}'"


def controlled(
    prompts: Mapping[Path, str], images: Sequence[Path], control: PromptControl
) -> dict[Path, str]:
    """Prompts of an evaluation's images under a control.

    `right`: their own; `none`: no prompt; `shuffled`: that of the next image with a prompt; a fixed text: that text.
    """
    own = [image for image in images if prompts.get(image)]
    match control:
        case "right":
            return {image: prompts[image] for image in own}
        case "none":
            return {}
        case "shuffled":
            return {image: prompts[other] for image, other in zip(own, [*own[1:], *own[:1]], strict=True)}
    return dict.fromkeys(images, control.removeprefix(FIXED))


def label_of(control: PromptControl) -> str:
    """Name of a control in results."""
    return quoted(control.removeprefix(FIXED)) if control.startswith(FIXED) else control
