"""Train a network that is conditioned on captions: CLIP-SR (kind `clipsr`).

Validation uses held-out photographs, and rendered images with words that do not occur in training, both with captions
and without; the score is the PSNR with captions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import nn

from srkit.archs.clipsr import CLIPSR
from srkit.archs.matching import TextDiscriminator
from srkit.archs.table import build, info_of
from srkit.conditioning.makers import TEXT, Conditioning, Extras, Sources
from srkit.data.captioned import SOURCES, CaptionedImage, CaptionedPairs, render_captioned
from srkit.data.pairs import CropPlan, JoinedPairs
from srkit.encoders.text import TextEncoder
from srkit.errors import UsageError
from srkit.ops.layout import channels_last
from srkit.recipes.clipsr import ClipsrRecipe
from srkit.tasks.train.experiment import Plan
from srkit.tasks.train.images import ImageExperiment, Images, crop_plan, split_plan
from srkit.tasks.train.job import TrainJob
from srkit.tasks.train.providers import load_providers
from srkit.tasks.train.text import captioned_photographs
from srkit.training.gan_step import discriminator_optimizer
from srkit.training.matching_step import MatchingStep, Prompted
from srkit.training.state import new_state
from srkit.training.trainer import Validation
from srkit.training.validation import psnr_validator

_HELD_OUT_SEED = 1_000_000  # of the first rendered image for validation


class TextGuided(ImageExperiment[ClipsrRecipe]):
    """Minimise losses between a network's result and HR, given captions; optionally against a discriminator."""

    validating: list[CaptionedImage]
    _sources: Conditioning
    """Conditions of the network, with the inputs of its guide in place of the guide."""

    @classmethod
    def needed_providers(cls, recipe: ClipsrRecipe) -> frozenset[str]:
        return frozenset({"text"} | ({"perceptual"} if recipe.loss.perceptual > 0 else set()))

    @classmethod
    def check(cls, job: TrainJob[ClipsrRecipe]) -> None:
        recipe, data = job.recipe, job.recipe.data
        if recipe.model.arch != "clipsr":
            raise UsageError(
                f"'model.arch' is '{recipe.model.arch}'; the network that takes captions is clipsr."
            )
        if data.degradation:
            raise UsageError(
                f"'data.degradation' is '{data.degradation}'; captioned images are made small by bicubic: leave it "
                "empty."
            )
        loss = recipe.loss
        if loss.of_images == 0 and not (loss.of_letters and data.rendered):
            raise UsageError(
                "No term of 'loss' has anything to compare: those of images are 0, and those of letters are 0 or "
                "'data.rendered' is empty; set loss.pixel=1."
            )
        if loss.of_letters and data.augment:
            raise UsageError(
                "'data.augment' is true, and the terms of letters take them for upright; set data.augment=false, or "
                "loss.alignment, loss.boxes, loss.ink and loss.lettering to 0."
            )
        super().check(job)

    @property
    def encoder(self) -> TextEncoder:
        """Encoder of the captions."""
        assert self.providers.text is not None  # as needed
        return self.providers.text

    @property
    def _aligned(self) -> bool:
        """True if the losses need the positions of letters, which only rendered images have."""
        return self.recipe.loss.of_letters > 0 and bool(self.recipe.data.rendered)

    @property
    def arguments(self) -> dict[str, Any]:
        encoder = self.encoder
        widths = {
            "sentence_dim": encoder.dim,
            "word_channels": encoder.word_channels,
            "map_channels": encoder.map_channels,
        }
        given = dict(self.recipe.model.arguments)
        for name, width in widths.items():
            if given.setdefault(name, width) != width:
                raise UsageError(
                    f"'model.arguments.{name}' is {given[name]}, and the text encoder '{encoder.name}' gives {width}; "
                    "leave it out."
                )
        return given

    def network(self) -> nn.Module:
        recipe, setting = self.recipe, self.setting
        needed = self.needed_providers(recipe)
        self.providers = load_providers(recipe.providers, needed, setting.device, setting.progress)
        if self._aligned and not self.encoder.by_character:
            raise UsageError(
                f"'loss.alignment', 'loss.boxes', 'loss.ink' and 'loss.lettering' sum to {recipe.loss.of_letters:g}, "
                f"and the words of the text encoder '{self.encoder.name}' are not characters; set all to 0, or choose "
                "providers.text=words."
            )
        network = build(recipe.model.arch, self.arguments)
        self.info = info_of(network)
        self.start(network)
        channels_last(network, setting.device)
        self._sources = Conditioning(SOURCES, Sources(network, {TEXT: self.encoder}, device=setting.device))
        return network

    def plan(self) -> Plan:
        recipe, network = self.recipe, self.network()
        step = self._step()
        state = new_state(network, recipe.optim)
        state.others |= step.others
        self.images = self._images(network)
        return Plan(
            state=state,
            batches=self.images.pairs.batches,
            step=step,
            validate=self.validation(),
            optim=recipe.optim,
            run=recipe.run,
            images=self.images.count,
            held_out=self.images.held_out,
            keeps_best=step.discriminator is None and recipe.loss.of_images > 0,
        )

    def validation(self) -> Callable[[nn.Module], Validation]:
        """PSNR of the held-out images with captions, which is the score, and without."""
        scored = {
            name: psnr_validator(
                self.images.validation,
                self.info.scale,
                self.setting.device,
                self.autocast,
                self._sources,
                extras=[
                    Extras(prompt=image.texts[0] if said and image.texts else "") for image in self.validating
                ],
            )
            for name, said in (("val_psnr", True), ("val_psnr_none", False))
        }

        def validate(network: nn.Module) -> Validation:
            prompted = Prompted(cast(CLIPSR, network), self.encoder.prompted)
            found = {name: score(prompted) for name, score in scored.items()}
            right, none = found.values()
            return Validation(
                right, found, f"{right:.3f} dB on the held-out images, {none:.3f} without captions"
            )

        return validate

    def conditioning_of(self, network: nn.Module) -> Conditioning:
        return Conditioning(self.info.conditioning, Sources(network, {TEXT: self.encoder}))

    def _step(self) -> MatchingStep:
        recipe, part, setting, encoder = self.recipe, self.recipe.discriminator, self.setting, self.encoder
        discriminator, optimizer = None, None
        if recipe.loss.adversarial > 0:
            torch.manual_seed(recipe.seed)  # independent of the network's initialisation
            discriminator = TextDiscriminator(
                encoder.level_channels, encoder.dim, part.width, part.narrow, part.hidden, part.with_text
            )
            channels_last(discriminator, setting.device)
            optimizer = discriminator_optimizer(discriminator, part, recipe.optim)
        return MatchingStep(
            weights=recipe.loss,
            encoder=encoder,
            perceptual=self.providers.perceptual,
            discriminator=discriminator,
            optimizer=optimizer,
            part=part,
            clip_norm=recipe.optim.clip_norm,
            autocast=self.autocast,
            world=setting.world,
        )

    def _images(self, network: nn.Module) -> Images:
        """Photographs and rendered images, for training and for validation."""
        data, setting, scale = self.recipe.data, self.setting, self.info.scale
        progress = setting.progress
        training, self.validating, names = captioned_photographs(
            setting.job, data.patch * scale, 4 * scale, progress
        )
        photographed, of_rendered = split_plan(data, crop_plan(setting, scale))
        sources = [self._pairs(training, photographed, network)]
        if data.rendered:
            drawn = render_captioned(data.rendered, data.rendered_sides, "train", 0, progress)
            few = {name: max(1, count // (5 * data.holdout_every)) for name, count in data.rendered.items()}
            self.validating += render_captioned(
                few, data.rendered_sides[:1], "held-out", _HELD_OUT_SEED, progress
            )
            sources.append(self._pairs(drawn, of_rendered, network))
        return Images(
            JoinedPairs(sources),
            len(training) + sum(data.rendered.values()),
            names,
            [image.pixels for image in self.validating],
        )

    def _pairs(self, images: Sequence[CaptionedImage], plan: CropPlan, network: nn.Module) -> CaptionedPairs:
        dropout, setting = self.recipe.data.dropout, self.setting
        return CaptionedPairs(
            images,
            plan,
            setting.device,
            self.encoder,
            dropout,
            network,
            setting.progress,
            aligned=self._aligned,
        )
