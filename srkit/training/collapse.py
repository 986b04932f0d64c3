"""Detection of a discriminator that no longer trains its generator, from its logits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LOOKED_EVERY = 10  # steps between checks; a check synchronises with the device
_APART = 0.005  # loss of a discriminator that separates all images: logits 5 apart, 99.5 % certain
_LARGEST = 50.0  # mean logit; above, bf16 has steps of 0.25 and more, and differences are lost
_BLIND = 1e-4  # difference between the mean logits of a discriminator that sees none


class CollapseWatch:
    """Counter of consecutive checks at which a discriminator trained nothing.

    Args:
        patience: number of such steps in a row after which it has collapsed.
    """

    def __init__(self, patience: int) -> None:
        self._looks = max(1, math.ceil(patience / LOOKED_EVERY))
        self._rows = {"apart": 0, "large": 0, "blind": 0}

    @property
    def is_sound(self) -> bool:
        """True if the last check found nothing wrong."""
        return not any(self._rows.values())

    def see(self, loss: float, real: float, fake: float) -> str | None:
        """Check a step.

        Args:
            loss: the discriminator's relativistic loss (`srkit.losses.gan.discriminator_loss`).
            real, fake: mean logits of real and of generated images.

        Returns:
            Defect, as the rest of a sentence about the discriminator; None: training can continue.
        """
        means = f"mean logits {real:.3g} of real images and {fake:.3g} of made ones"
        if not all(map(math.isfinite, (loss, real, fake))):
            return f"gives numbers that are not finite ({means})"
        now = {
            "apart": loss < _APART,
            "large": max(abs(real), abs(fake)) > _LARGEST,
            "blind": abs(real - fake) < _BLIND,
        }
        self._rows = {name: count + 1 if now[name] else 0 for name, count in self._rows.items()}
        steps = self._looks * LOOKED_EVERY
        if self._rows["apart"] >= self._looks:
            return f"has separated all images for {steps} steps ({means}, loss {loss:.2g})"
        if self._rows["large"] >= self._looks:
            return f"has been saturated for {steps} steps ({means})"
        if self._rows["blind"] >= self._looks:
            return f"has seen no difference for {steps} steps ({means})"
        return None

    def state_dict(self) -> dict[str, int]:
        """Counts by defect."""
        return dict(self._rows)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore counts."""
        self._rows = {name: int(state_dict[name]) for name in self._rows}
