"""Pictures that this project draws itself, by domain: for few-shot adaptation, demonstrations and tests."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from srkit.data.rendered.table import DOMAINS
from srkit.errors import UsageError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DOMAINS", "LARGEST", "SMALLEST", "demo_picture", "render"]

SMALLEST, LARGEST = 64, 8192  # pixels of a side


class _Domain(Protocol):
    def draw(self, width: int, height: int, seed: int) -> NDArray[np.uint8]: ...


def render(domain: str, width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """A picture of one of `DOMAINS`, the same for the same arguments on every machine.

    All but `street` keep their elements' size in pixels, so that a larger picture shows more, not the same larger.
    A picture of 512 x 512 takes a few tenths of a second on one core; memory grows to some 150 bytes a pixel.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        UsageError: an unknown domain, a side outside 64..8192 pixels, or a negative seed.
    """
    if domain not in DOMAINS:
        raise UsageError(
            f"There is no rendered domain '{domain}'; known are {', '.join(DOMAINS)}.{nearest(domain, DOMAINS)}"
        )
    if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
        raise UsageError(
            f"A rendered picture of {width} x {height} was asked for; "
            f"sides go from {SMALLEST} to {LARGEST} pixels."
        )
    if seed < 0:
        raise UsageError(f"The seed {seed} was asked for; seeds start at 0.")
    # Imported by name when drawn, so that a command's help can list the domains without NumPy.
    return cast(_Domain, import_module(f"{__name__}.{domain}")).draw(width, height, seed)


def demo_picture(width: int = 480, height: int = 320, seed: int = 0) -> NDArray[np.uint8]:
    """The street at dusk, small: what tests and demonstrations start with; see `render`."""
    return render("street", width, height, seed)
