"""Procedurally rendered images by domain, each with a Spec of its content and captions made from it.

hr = render("sign", 128, 128, seed=7)                 # the image alone
shown = spec("sign", seed=7)                          # what it shows: text, typeface, colours ...
drawn = shown.draw(128, 128)                          # the same pixels, and the boxes of its words
caption(shown).short                                  # 'a shop sign that reads "BAKERY" ...'
other = counterfactual(shown, "text")                 # the same sign with another word
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from srkit.errors import UsageError, check_known
from srkit.rendered.table import DOMAINS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from srkit.rendered.canvas import Rendered
    from srkit.rendered.specs import Caption, Spec, Split

__all__ = [
    "DOMAINS",
    "LARGEST",
    "SMALLEST",
    "caption",
    "counterfactual",
    "demo_image",
    "draw",
    "render",
    "spec",
]

SMALLEST, LARGEST = 64, 8192  # pixels of a side


def spec(domain: str, seed: int, split: Split = "all") -> Spec:
    """Spec of the image of a seed; attributes can be changed with `dataclasses.replace`.

    Args:
        domain: one of `DOMAINS`.
        split: part of the vocabulary for words, "train" or "held-out".

    Raises:
        UsageError: the domain is unknown, or the seed negative.
    """
    check_known("rendered domain", domain, DOMAINS)
    if seed < 0:
        raise UsageError(f"The seed {seed} was asked for; seeds start at 0.")
    # Imported by name when drawn, so that a command's help can list the domains without NumPy.
    module = import_module(f"{__name__}.{domain}")
    return cast("type[Spec]", getattr(module, domain.capitalize())).drawn(seed, split)


def draw(spec: Spec, width: int, height: int) -> Rendered:
    """Image of a Spec, with the boxes of the words that the Spec names.

    `street`, `sign` and `portrait` scale with the image; all other domains keep their elements' size in pixels, so
    that a larger image shows more elements. 512 x 512 takes a few tenths of a second on one core; memory is some 150
    bytes per pixel. Below `spec.smallest` pixels a side, parts of the caption's content may be missing.

    Returns:
        `pixels`, (height, width, 3) uint8 RGB, the same for the same arguments on every machine, and `lettering`.

    Raises:
        UsageError: a side outside 64..8192 pixels.
    """
    if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
        raise UsageError(
            f"A rendered image of {width} x {height} was asked for; sides go from {SMALLEST} to {LARGEST} pixels."
        )
    return spec.draw(width, height)


def render(domain: str, width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """Image of one of `DOMAINS` for a seed, (height, width, 3) uint8 RGB; see `spec` and `draw`."""
    return draw(spec(domain, seed), width, height).pixels


def demo_image(width: int = 480, height: int = 320, seed: int = 0) -> NDArray[np.uint8]:
    """Small street at dusk, for tests and demonstrations; see `draw`."""
    return render("street", width, height, seed)


def caption(spec: Spec, seed: int = 0) -> Caption:
    """Caption of a Spec; `seed` varies the wording, never the content."""
    from srkit.rendered.specs import Wording

    return spec.describe(Wording(spec, seed))


def counterfactual(spec: Spec, attribute: str, seed: int = 0) -> Spec:
    """Spec of the same image with one attribute changed; see `srkit.rendered.specs.counterfactual`."""
    from srkit.rendered.specs import counterfactual

    return counterfactual(spec, attribute, seed)
