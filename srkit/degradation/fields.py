"""The kernels of all LR pixels of a picture, kept small: made for some rows at a time.

All 441 taps of a map of a million pixels would take 1.8 GB; what they come from takes 12 MB or less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from srkit.degradation.kernels import gaussian_map, moments
from srkit.degradation.pca import encode

_ROWS = 4096  # kernels that are made at a time


class KernelField(Protocol):
    """Where kernels come from."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the LR picture."""

    def rows(self, top: int, bottom: int) -> Tensor:
        """kernels (1, 441, bottom - top, w) of some rows."""

    def covariance(self) -> Tensor:
        """(1, 3, h, w): xx, xy, yy of every kernel in squared HR pixels, as meant, not as sampled."""

    def codes(self, basis: Tensor) -> Tensor:
        """(1, K, h, w) in a basis (K, 21, 21) of `srkit.degradation.pca`."""


@dataclass(frozen=True)
class GaussianField:
    """Gaussian kernels from their covariance."""

    scale: int
    covariances: Tensor
    """(1, 3, h, w)."""

    @property
    def size(self) -> tuple[int, int]:
        return self.covariances.shape[2], self.covariances.shape[3]

    def rows(self, top: int, bottom: int) -> Tensor:
        return gaussian_map(self.covariances[:, :, top:bottom], self.scale)

    def covariance(self) -> Tensor:
        return self.covariances

    def codes(self, basis: Tensor) -> Tensor:
        height, width = self.size
        codes = self.covariances.new_empty(1, len(basis), height, width)
        step = max(1, _ROWS // width)
        for top in range(0, height, step):
            bottom = min(height, top + step)
            codes[:, :, top:bottom] = encode(self.rows(top, bottom), basis)
        return codes


@dataclass(frozen=True)
class UniformField:
    """One kernel for all pixels."""

    kernel: Tensor
    """(21, 21)."""
    size: tuple[int, int]

    def rows(self, top: int, bottom: int) -> Tensor:
        return self.kernel.view(1, -1, 1, 1).expand(-1, -1, bottom - top, self.size[1])

    def covariance(self) -> Tensor:
        return moments(self.kernel)[1].view(1, 3, 1, 1).expand(-1, -1, *self.size)

    def codes(self, basis: Tensor) -> Tensor:
        return encode(self.kernel.view(1, -1, 1, 1), basis).expand(-1, -1, *self.size)
