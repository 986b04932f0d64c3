"""Frozen networks of a training run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch

from srkit.encoders.features import PerceptualFeatures, perceptual_features
from srkit.encoders.semantic import SemanticEncoder, semantic_encoder
from srkit.encoders.text import TextEncoder, text_encoder
from srkit.errors import UsageError
from srkit.progress import Progress
from srkit.recipes.train import ProvidersPart


@dataclass(frozen=True)
class Providers:
    """Providers in use; the others are None."""

    semantic: SemanticEncoder | None = None
    perceptual: PerceptualFeatures | None = None
    text: TextEncoder | None = None

    @property
    def header(self) -> dict[str, str]:
        """Name and version of each provider, for the weights' header."""
        found: dict[str, str] = {}
        for role, provider in vars(self).items():
            if provider is not None:
                found |= {role: provider.name, f"{role} version": provider.version}
        return found


def check_providers(names: ProvidersPart, needed: Collection[str]) -> None:
    """Check before any work that the recipe names all needed providers.

    Args:
        needed: names of fields of `ProvidersPart`.

    Raises:
        UsageError: a needed provider is not named.
    """
    for role in sorted(needed):
        if not getattr(names, role):
            raise UsageError(
                f"The recipe's network or loss needs a {role} provider, and 'providers.{role}' is empty; "
                f"name one, for example providers.{role}=compact."
            )


def load_providers(
    names: ProvidersPart, needed: Collection[str], device: torch.device, progress: Progress
) -> Providers:
    """Load the needed providers, and no others.

    Raises:
        UsageError: as in `check_providers`, or a provider is unknown.
        ResourceError: weights are missing, damaged or unavailable.
    """
    check_providers(names, needed)
    semantic, perceptual, text = None, None, None
    if "semantic" in needed:
        semantic = semantic_encoder(names.semantic, device, progress=progress)
    if "perceptual" in needed:
        perceptual = perceptual_features(names.perceptual, device, progress=progress)
    if "text" in needed:
        text = text_encoder(names.text, device, progress=progress)
    return Providers(semantic, perceptual, text)
