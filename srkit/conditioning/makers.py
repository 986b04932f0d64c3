"""Table of conditions: functions that make each from a whole image and its extras.

A new condition is an entry of `CONDITIONS`, plus a field of `Extras` if it needs data beside the image.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.archs.info import PRIOR, Guided
from srkit.archs.table import info_of
from srkit.conditioning.values import Condition, Conditions, Coordinates, Noise
from srkit.encoders.latent_diffusion import LatentPrior
from srkit.encoders.semantic import Embedding, semantic_encoder
from srkit.encoders.text import TextEmbedding, text_encoder
from srkit.errors import ResourceError, UsageError
from srkit.io.kernel_map import KernelMap
from srkit.ops.layout import as_tensor
from srkit.ops.resize import bicubic
from srkit.progress import Progress
from srkit.zoo.loaded import LoadedModel

CODES = "codes"
"""Name of the condition of kernel-conditioned networks (NBSR)."""
NOISE = "noise"
"""Name of the condition of networks that draw samples."""
SEMANTIC = "semantic"
"""Role of the encoder of an image's vector and tokens, and name of the condition that is the vector."""
TEXT = "text"
"""Role of the encoder of a prompt's sentence and words."""
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Extras:
    """Data that comes with an image beside its pixels."""

    kernels: KernelMap | None = None
    """Blur kernel of each pixel."""
    depth: Tensor | None = None
    """(1, 1, h, w), inverse depth in [0, 1]."""
    seed: int = 0
    """Seed of the noise that a diffusion model samples from."""
    prompt: str = ""
    """Text that describes the image; empty if unknown."""


NO_EXTRAS = Extras()


class Provider(Protocol):
    """Frozen network that conditions are computed with."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...


PROVIDERS: Mapping[str, Callable[[str, torch.device, Progress | None], Provider]] = {
    SEMANTIC: lambda name, device, progress: semantic_encoder(name, device, progress=progress),
    PRIOR: lambda name, device, progress: LatentPrior(name, device, progress),
    TEXT: lambda name, device, progress: text_encoder(name, device, progress=progress),
}
"""Loader of a provider by name, for each role. Headers of weights name it as `role` and `role version`."""


@dataclass(frozen=True)
class Sources:
    """Inputs of a network's conditions beside the image."""

    network: nn.Module | None = None
    """The network itself, for conditions that depend on it."""
    providers: Mapping[str, Any] = field(default_factory=dict)
    """Providers by role."""
    weights: str = "of the network"
    """Path of the network's weights, for errors."""
    device: torch.device = _CPU
    """Device that images are passed to the providers on."""

    @property
    def basis(self) -> Tensor:
        """See `basis_of`."""
        return basis_of(self.network, self.weights)

    @property
    def guided(self) -> Guided:
        """The network, if it makes a guide.

        Raises:
            UsageError: the network makes no guide.
        """
        if not isinstance(self.network, Guided):
            raise UsageError(
                f"The weights '{self.weights}' are of a network without a guide; choose a CLIP-SR."
            )
        return self.network


@dataclass
class Subject:
    """Image that conditions are made for; caches what several conditions share."""

    image: NDArray[Any]
    """(h, w, 3), uint8 or uint16."""
    extras: Extras
    sources: Sources

    @cached_property
    def embedding(self) -> Embedding:
        """Embedding of the image by the semantic encoder, float32."""
        found: Embedding = self.sources.providers[SEMANTIC].embed(as_tensor(self.image, self.sources.device))
        return Embedding(found.vector.float(), found.tokens.float())

    @cached_property
    def text(self) -> TextEmbedding:
        """Embedding of the prompt."""
        found: TextEmbedding = self.sources.providers[TEXT].read([self.extras.prompt])
        return found


@dataclass(frozen=True)
class Kind:
    """Definition of a condition."""

    make: Callable[[Subject], Condition | Coordinates | Noise]
    of_content: bool = True
    """True if the condition depends on the image's content; False if only on its size."""
    provider: str = ""
    """Role of the provider that it requires, or empty."""
    extra: str = ""
    """Field of `Extras` that it requires, or empty."""
    advice: str = "give them"
    """Advice on obtaining that field, for errors."""
    blank: Callable[[Subject], Condition] | None = None
    """Replacement for `make` if the field is missing and only the network's cost matters."""


def _codes(subject: Subject) -> Condition:
    """Codes (1, K, h, w), float32: the map's kernels in the network's basis."""
    kernels, basis = subject.extras.kernels, subject.sources.basis.float().cpu()
    height, width = subject.image.shape[:2]
    if kernels is None or (kernels.height, kernels.width) != (height, width):
        found = "none" if kernels is None else f"one for {kernels.width} x {kernels.height}"
        raise UsageError(
            f"A kernel map for an image of {width} x {height} pixels is needed, and there is {found}; estimate the "
            "image's own."
        )
    codes, own = torch.from_numpy(kernels.codes), torch.from_numpy(kernels.basis)
    if own.shape != basis.shape or not torch.equal(own, basis):
        codes = torch.einsum("jk,khw->jhw", basis.flatten(1) @ own.flatten(1).T, codes)
    return Condition(codes[None], spatial=True)


def _blank_codes(subject: Subject) -> Condition:
    count = len(subject.sources.basis)
    return Condition(torch.zeros(1, count, *subject.image.shape[:2]), spatial=True)


def _depth(subject: Subject) -> Condition:
    if subject.extras.depth is None:
        raise UsageError("A depth map of the image is needed, and there is none; give one.")
    return Condition(subject.extras.depth, spatial=True)


def _blank_depth(subject: Subject) -> Condition:
    return Condition(torch.zeros(1, 1, *subject.image.shape[:2]), spatial=True)


def _noise(subject: Subject) -> Noise:
    network = subject.sources.network
    if network is None:
        raise UsageError("Noise is on the grid of a network's result, and there is no network; give it.")
    return Noise(subject.extras.seed, info_of(network).scale)


def _thumbnail(subject: Subject) -> Condition:
    """The whole image, resized to the input of the network's guide, (1, 3, side, side)."""
    x = as_tensor(subject.image, subject.sources.device)
    return Condition(bicubic(x, (subject.sources.guided.side,) * 2).clamp(0, 1))


def _guide(subject: Subject) -> Condition:
    """Guide of a text-guided network, computed once per image (`srkit.archs.info.Guided`)."""
    network, provider = subject.sources.guided, subject.sources.providers[TEXT]
    own, other = next(network.parameters()).device, subject.sources.device

    def blocks(maps: Tensor, prompts: Tensor) -> Tensor:
        mapped: Tensor = provider.prompted(maps.to(other), prompts.to(other))
        return mapped.to(own)

    thumbnail, sentence = _thumbnail(subject).value.to(own), subject.text.sentence.to(own)
    return Condition(network.guide(thumbnail, sentence, blocks).float())


CONDITIONS: Mapping[str, Kind] = {
    "semantic": Kind(lambda subject: Condition(subject.embedding.vector), provider=SEMANTIC),
    "tokens": Kind(lambda subject: Condition(subject.embedding.tokens), provider=SEMANTIC),
    "position": Kind(lambda subject: Coordinates(), of_content=False),
    "thumbnail": Kind(_thumbnail),
    "guide": Kind(_guide, provider=TEXT),
    "words": Kind(lambda subject: Condition(subject.text.words), provider=TEXT),
    "sentence": Kind(lambda subject: Condition(subject.text.sentence), provider=TEXT),
    "codes": Kind(
        _codes,
        extra="kernels",
        advice="estimate them (`srkit estimate-kernel`) and give the map",
        blank=_blank_codes,
    ),
    "depth": Kind(_depth, extra="depth", blank=_blank_depth),
    "noise": Kind(_noise, of_content=False),
}
"""Conditions by their names in `ArchInfo.conditioning`."""


def roles_of(names: Iterable[str]) -> frozenset[str]:
    """Roles of the providers that these conditions need."""
    return frozenset(CONDITIONS[name].provider for name in names if name in CONDITIONS) - {""}


class Conditioning:
    """Maker of the conditions of one network; a `srkit.conditioning.values.Conditioner`.

    Args:
        names: the network's `ArchInfo.conditioning`.
        sources: inputs of the conditions beside the image.
        given: fields of `Extras` that come with every image.

    Raises:
        UsageError: unknown condition, or its provider or extra is missing.
        ResourceError: codes of kernels for a network without a basis.
    """

    def __init__(
        self, names: Iterable[str] = (), sources: Sources | None = None, given: Collection[str] = ()
    ) -> None:
        self.names, self.sources = tuple(names), sources or Sources()
        for name in self.names:
            kind = CONDITIONS.get(name)
            if kind is None or (kind.provider and self.sources.providers.get(kind.provider) is None):
                raise UsageError(
                    f"The network is conditioned on '{name}', which nothing here provides; choose another model."
                )
            if kind.extra and kind.extra not in given:
                raise UsageError(
                    f"The network is conditioned on '{name}', which needs the {kind.extra} of every image; "
                    f"{kind.advice}, or choose another model."
                )
        if CODES in self.names:
            _ = self.sources.basis

    @property
    def of_content(self) -> bool:
        """True if a condition depends on more than the size of an image."""
        return any(CONDITIONS[name].of_content for name in self.names)

    @property
    def of_place(self) -> tuple[str, ...]:
        """Names of the conditions that depend on the image's size alone."""
        return tuple(name for name in self.names if not CONDITIONS[name].of_content)

    @torch.no_grad()
    def __call__(self, image: NDArray[Any], extras: Extras = NO_EXTRAS) -> Conditions:
        """Make the conditions of a whole image (H, W, 3), uint8 or uint16.

        Raises:
            UsageError: a required extra is missing, or belongs to another image size.
        """
        subject = Subject(image, extras, self.sources)
        return {name: CONDITIONS[name].make(subject) for name in self.names}

    @torch.no_grad()
    def blank(self, image: NDArray[Any]) -> Conditions:
        """Make the conditions with zeros in place of extras, to measure a network's cost."""
        subject = Subject(image, NO_EXTRAS, self.sources)
        kinds = {name: CONDITIONS[name] for name in self.names}
        return {name: (kind.blank or kind.make)(subject) for name, kind in kinds.items()}


UNCONDITIONED = Conditioning()
"""The conditioning of networks without conditions."""


def basis_of(network: nn.Module | None, weights: str) -> Tensor:
    """Basis (K, 21, 21) of a network's kernel codes.

    Raises:
        ResourceError: the weights hold no basis.
    """
    basis = getattr(network, "basis", None)
    if not isinstance(basis, Tensor) or not bool(basis.any()):
        raise ResourceError(
            f"The weights '{weights}' hold no basis of blur kernels; choose an NBSR, or train it again."
        )
    return basis


class ModelProviders:
    """Providers that models were trained with, each loaded once.

    Args:
        device: device of the providers.
        progress: display of downloads.
    """

    def __init__(self, device: torch.device, progress: Progress | None = None) -> None:
        self._device, self._progress = device, progress
        self._loaded: dict[tuple[str, str], Provider] = {}

    def conditioning(self, model: LoadedModel, given: Collection[str] = ()) -> Conditioning:
        """Build the conditioning of a model's network.

        Args:
            given: fields of `Extras` that come with every image.

        Raises:
            UsageError: as in `Conditioning`.
            ResourceError: the weights do not name a required provider, or it is unavailable or of another version than
                in training, or they hold no basis for codes.
        """
        names = model.info.conditioning
        network: Any = model.network
        for role in model.info.frozen:
            network.attach(self.of(model, role))
        providers = {role: self.of(model, role) for role in roles_of(names)}
        return Conditioning(names, Sources(model.network, providers, str(model.path), self._device), given)

    def of(self, model: LoadedModel, role: str = SEMANTIC) -> Any:
        """Load the provider that a model was trained with.

        Raises:
            ResourceError: as in `conditioning`.
        """
        header = model.header.providers if model.header is not None else {}
        name, version = header.get(role, ""), header.get(f"{role} version", "")
        if not name or not version:
            raise ResourceError(
                f"The weights '{model.path}' need a {role} provider and name none; train them again."
            )
        if (role, name) not in self._loaded:
            try:
                self._loaded[role, name] = PROVIDERS[role](name, self._device, self._progress)
            except UsageError as error:
                raise ResourceError(
                    f"The weights '{model.path}' name a {role} provider that is unavailable: {error}"
                ) from error
        provider = self._loaded[role, name]
        if provider.version != version:
            raise ResourceError(
                f"The weights '{model.path}' were trained with '{name}' ({version}), and here it is "
                f"{provider.version}; use the version of srkit and the {role} provider that they came with, or train "
                "them again."
            )
        return provider
