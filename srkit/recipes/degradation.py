"""Settings of the second-order degradation: those of Real-ESRGAN, and milder ones.

Shares are in [0, 1]; a range is its minimum and its maximum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from srkit.errors import UsageError, check_known, unknown
from srkit.recipes.bounds import Bounded, bounded

Range = tuple[float, float]

KERNELS = (
    "iso",
    "aniso",
    "generalized-iso",
    "generalized-aniso",
    "plateau-iso",
    "plateau-aniso",
)
"""Families of blur kernels (`srkit.degradation.mixed_kernels`)."""
WIDEST = 51
"""Maximal number of taps of a side of a kernel."""


def _share(default: float) -> Any:
    return bounded(default, min=0, max=1)


def _range(low: float, high: float, *, min: float, max: float) -> Any:
    return bounded((low, high), length=2, ascending=True, min=min, max=max)


def _usual_kernels() -> dict[str, float]:
    return dict(zip(KERNELS, (0.45, 0.25, 0.12, 0.03, 0.12, 0.03), strict=True))


@dataclass(frozen=True)
class FirstOrderPart(Bounded):
    """Blur, resize, noise, JPEG. The defaults are those of Real-ESRGAN's first order (Wang et al. 2021, section 4.1).

    Raises:
        UsageError: an invalid value; its key is named.
    """

    blur: float = _share(1.0)
    """Share of images that are blurred."""
    sides: tuple[int, int] = _range(7, 21, min=3, max=WIDEST)
    """Range of the taps along a side of the blur kernel, odd."""
    kernels: dict[str, float] = bounded(factory=_usual_kernels, min=0, max=1)
    """Shares of the families (`KERNELS`) among the kernels other than sinc; they add up to 1."""
    sinc: float = _share(0.1)
    """Share of sinc kernels, which ring, among all kernels."""
    cutoff: Range = _range(1 / 5, 1.0, min=0.05, max=1)
    """Cutoff of sinc kernels, in radians per pixel over pi; for kernels below 13 taps the minimum is 1/3."""
    sigma: Range = _range(0.2, 3.0, min=0.1, max=20)
    """Width of the other kernels along either axis, in pixels."""
    generalized: Range = _range(0.5, 4.0, min=0.1, max=20)
    """Shape beta of generalised Gaussians: half of them below 1 (peaked), half above (flat)."""
    plateau: Range = _range(1.0, 2.0, min=0.1, max=20)
    """Shape beta of plateaus: half of them have the minimum, if it is at least 1."""
    up: float = _share(0.2)
    """Share of images that are enlarged."""
    down: float = _share(0.7)
    """Share of images that are shrunk; the others keep their size."""
    factor: Range = _range(0.15, 1.5, min=0.05, max=4)
    """Range of resize factors: the minimum for shrinking is below 1, the maximum for enlarging above 1. In the second
    order, they are relative to LR's size."""
    gaussian: float = _share(0.5)
    """Share of Gaussian noise; the rest is Poisson noise."""
    noise: Range = _range(1.0, 30.0, min=0, max=255)
    """Standard deviation of Gaussian noise, in levels of 8 bit."""
    poisson: Range = _range(0.05, 3.0, min=0, max=100)
    """Factor on Poisson noise of 256 photons at white."""
    gray: float = _share(0.4)
    """Share of noise that is the same in all three channels."""
    sensor: float = _share(0.0)
    """Share of images with colour sensor noise instead: shot and read noise in linear light, demosaicked, so that it is
    coloured and spatially correlated. Its deviation at middle gray is drawn from `noise`."""
    grain: float = _share(0.0)
    """Share of images with film grain instead, of deviations from `noise`; strongest in the mid-tones."""
    blotches: Range = _range(0.0, 1.5, min=0, max=20)
    """Sigma in pixels of the blur of the sensor noise's chroma."""
    grain_size: Range = _range(0.5, 1.5, min=0, max=20)
    """Sigma in pixels of the blur of film grain."""
    jpeg: tuple[int, int] = _range(30, 95, min=1, max=100)
    """Range of the JPEG quality."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for one, other in (("up", "down"), ("sensor", "grain")):
            total = getattr(self, one) + getattr(self, other)
            if total > 1 + 1e-9:
                raise UsageError(
                    f"The shares {one} and {other} add up to {total:g} in a degradation; at most 1 is possible."
                )
        _check_kernels(self.kernels)
        _check_sides("sides", self.sides)
        if not self.factor[0] <= 1 <= self.factor[1]:
            raise UsageError(
                f"The range factor is {list(self.factor)} in a degradation; images are made smaller down to the "
                "one and larger up to the other, so 1 must lie between."
            )


@dataclass(frozen=True)
class SecondOrderStage(FirstOrderPart):
    """Settings of the second order; the defaults are those of Real-ESRGAN."""

    blur: float = _share(0.8)
    sigma: Range = _range(0.2, 1.5, min=0.1, max=20)
    up: float = _share(0.3)
    down: float = _share(0.4)
    factor: Range = _range(0.3, 1.2, min=0.05, max=4)
    noise: Range = _range(1.0, 25.0, min=0, max=255)
    poisson: Range = _range(0.05, 2.5, min=0, max=100)


@dataclass(frozen=True)
class SecondOrderPart(Bounded):
    """Settings of the degradation of HR to LR; the defaults are those of Real-ESRGAN.

    Raises:
        UsageError: an invalid value; its key is named.
    """

    first: FirstOrderPart = field(default_factory=FirstOrderPart)
    second: SecondOrderStage = field(default_factory=SecondOrderStage)
    sinc: float = _share(0.8)
    """Share of images with a final sinc filter, which together with the resize to LR's size comes before or after the
    second JPEG."""
    sinc_sides: tuple[int, int] = _range(7, 21, min=3, max=WIDEST)
    """Range of the taps along a side of the final sinc filter, odd."""
    sinc_cutoff: Range = _range(1 / 3, 1.0, min=0.05, max=1)
    """Cutoff of the final sinc filter, in radians per pixel over pi."""
    clean: float = _share(0.0)
    """Share of images without degradation, which are shrunk by antialiased bicubic alone."""
    mild: float = _share(0.0)
    """Share of images whose blur, resizes, noise and JPEG are drawn from the ranges of `MILD` instead."""
    halftone: float = _share(0.0)
    """Share of images that are halftoned, before the noise of the first order."""
    halftone_period: Range = _range(2.5, 6.0, min=2, max=50)
    """Distance of the dots, in pixels of the first order's size."""
    paper: float = _share(0.0)
    """Share of images with the texture and dust of scanned paper, before the noise of the first order."""
    halo: float = _share(0.0)
    """Share of images that are sharpened before the last compression, as phones do."""
    halo_sigma: Range = _range(0.6, 2.0, min=0.1, max=20)
    """Sigma of the sharpening's blur, in LR pixels."""
    halo_amount: Range = _range(0.3, 1.5, min=0, max=10)
    """Amount of the sharpening: factor on the difference from the blurred image that is added."""
    full_colour: float = _share(0.0)
    """Share of JPEGs without chroma subsampling; the others halve the chroma's resolution."""
    webp: float = _share(0.0)
    """Share of images that are compressed with WebP instead of the second JPEG."""
    again: float = _share(0.0)
    """Share of LR images that are compressed with JPEG once more, with a shifted grid of blocks."""
    sharpen: bool = True
    """Sharpen HR by unsharp masking before it is degraded. The sharpened HR is then the target of pixel and perceptual
    losses; the discriminator's real images remain unsharpened."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_sides("sinc_sides", self.sinc_sides)


def _check_sides(name: str, values: tuple[int, ...]) -> None:
    if not all(side % 2 for side in values):
        raise UsageError(f"The range {name} is {list(values)} in a degradation; sides of kernels are odd.")


def _check_kernels(shares: Mapping[str, float]) -> None:
    for kind in shares:
        if kind not in KERNELS:
            raise unknown(f"The key kernels names '{kind}' in a degradation", kind, KERNELS)
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise UsageError(
            f"The shares of kernels add up to {sum(shares.values()):g} in a degradation; they must add up to 1."
        )


REAL_ESRGAN = SecondOrderPart()
"""Settings of Wang et al. 2021, section 4.1, and of the code released with it."""

MILD = SecondOrderPart(
    first=FirstOrderPart(
        sigma=(0.2, 1.5), factor=(0.3, 1.5), noise=(1.0, 15.0), poisson=(0.05, 2.0), jpeg=(60, 95)
    ),
    second=SecondOrderStage(
        blur=0.5,
        sides=(7, 11),
        sigma=(0.2, 1.0),
        factor=(0.6, 1.2),
        noise=(1.0, 12.0),
        poisson=(0.05, 1.0),
        jpeg=(60, 100),
    ),
    clean=0.01,
)
"""Settings that StableSR was trained with (Wang et al. 2024), for images of fair quality."""

WIDE = SecondOrderPart(
    first=FirstOrderPart(sensor=0.25, grain=0.1, noise=(1.0, 35.0)),
    second=SecondOrderStage(sensor=0.25, grain=0.05),
    clean=0.05,
    mild=0.35,
    halftone=0.03,
    paper=0.05,
    halo=0.15,
    full_colour=0.3,
    webp=0.1,
    again=0.25,
)
"""Settings of Real-ESRGAN, mild ones and clean images, extended by the noise of small sensors, film grain, print,
paper, sharpening by phones, and the codecs and repeated compression of messengers."""

SETTINGS: Mapping[str, SecondOrderPart] = {"real-esrgan": REAL_ESRGAN, "mild": MILD, "wide": WIDE}
"""Predefined settings by name."""


def second_order_settings(name: str) -> SecondOrderPart:
    """Predefined settings of a name.

    Raises:
        UsageError: the name is unknown.
    """
    check_known("degradation", name, SETTINGS)
    return SETTINGS[name]
