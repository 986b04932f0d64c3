"""Images that this project draws itself, by domain, each with a Spec of what it shows and captions made from it.

hr = render("sign", 128, 128, seed=7)                 # the image alone
shown = spec("sign", seed=7)                          # what it shows: text, typeface, colours ...
drawn = shown.draw(128, 128)                          # the same pixels, and the boxes of its words
caption(shown).short                                  # 'a shop sign that reads "BAKERY" ...'
other = counterfactual(shown, "text")                 # the same sign with another word
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from srkit.errors import UsageError, nearest
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
    """What the image of a seed shows; `dataclasses.replace` changes an attribute of it.

    Args:
        domain: one of `DOMAINS`.
        split: "train" or "held-out" for words of one part of the vocabulary alone.

    Raises:
        UsageError: an unknown domain, or a negative seed.
    """
    if domain not in DOMAINS:
        raise UsageError(
            f"There is no rendered domain '{domain}'; known are {', '.join(DOMAINS)}.{nearest(domain, DOMAINS)}"
        )
    if seed < 0:
        raise UsageError(f"The seed {seed} was asked for; seeds start at 0.")
    # Imported by name when drawn, so that a command's help can list the domains without NumPy.
    module = import_module(f"{__name__}.{domain}")
    return cast("type[Spec]", getattr(module, domain.capitalize())).drawn(seed, split)


def draw(spec: Spec, width: int, height: int) -> Rendered:
    """The image of a Spec, and where it shows the words that the Spec names.

    All but `street`, `sign` and `portrait` keep their elements' size in pixels, so that a larger image shows more,
    not the same larger; those grow with the image. 512 x 512 takes a few tenths of a second on one core; memory
    grows to some 150 bytes a pixel. Below `spec.smallest` pixels a side, parts of what a caption names may be missing.

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
    """The image of one of `DOMAINS` with a seed, (height, width, 3) uint8 RGB; see `spec` and `draw`."""
    return draw(spec(domain, seed), width, height).pixels


def demo_image(width: int = 480, height: int = 320, seed: int = 0) -> NDArray[np.uint8]:
    """The street at dusk, small: what tests and demonstrations start with; see `draw`."""
    return render("street", width, height, seed)


def caption(spec: Spec, seed: int = 0) -> Caption:
    """What the image of a Spec shows, in words; `seed` varies the wording, never the content."""
    from srkit.rendered.specs import Wording

    return spec.describe(Wording(spec, seed))


def counterfactual(spec: Spec, attribute: str, seed: int = 0) -> Spec:
    """The Spec of the same image with one attribute changed, see `srkit.rendered.specs.counterfactual`."""
    from srkit.rendered.specs import counterfactual

    return counterfactual(spec, attribute, seed)
