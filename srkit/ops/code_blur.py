"""Blur with per-pixel kernels that are given as PCA codes, and its adjoint, without materialising any kernel.

Blur is linear in the kernel, so the image is blurred with each of the K kernels of the basis and the results are
weighted by the codes: K convolutions instead of one kernel per pixel. Both directions split HR into its s x s phases,
each on the LR grid, where these are dense convolutions. `srkit.degradation.kernels` defines the convention of kernels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class CodeBlur:
    """LR[i, j] = sum over u, v of K_ij[u, v] HR[s i + u - r, s j + v - r] with r = 10, the edge of HR repeated.

    K_ij is the kernel of the codes at (i, j), divided by its sum. The operation is linear in HR, differentiable in HR
    and codes, and runs in their dtype; autocast must be off.

    Args:
        codes: (N, K, h, w); N may be 1 for all images.
        basis: (K, 2 r + 1, 2 r + 1), of the same dtype.
        scale: s.
    """

    def __init__(self, codes: Tensor, basis: Tensor, scale: int) -> None:
        size = basis.shape[-1]
        self._scale, self._radius = scale, size // 2
        self._reach = (size - 1) // scale  # extra LR pixels of the padded phases
        missing = (self._reach + 1) * scale - size
        self._weight = F.pixel_unshuffle(F.pad(basis[:, None], (0, missing, 0, missing)), scale)
        self._codes = codes / code_sums(codes, basis)

    def __call__(self, hr: Tensor) -> Tensor:
        """HR (N, C, s h, s w) to LR (N, C, h, w)."""
        before, after = self._margins
        return self.of_surroundings(F.pad(hr, (before, after, before, after), mode="replicate"))

    def of_surroundings(self, around: Tensor) -> Tensor:
        """LR of HR with margins: r pixels before each first pixel, at least the kernels' reach behind each last."""
        count, channels = around.shape[:2]
        phases = F.pixel_unshuffle(around.flatten(0, 1)[:, None], self._scale)
        blurred = F.conv2d(phases.contiguous(memory_format=torch.channels_last), self._weight)
        blurred = blurred.view(count, channels, *blurred.shape[1:])
        return (blurred * self._codes[:, None]).sum(2)

    def adjoint(self, lr: Tensor) -> Tensor:
        """LR (N, C, h, w) to HR (N, C, s h, s w): <A hr, lr> = <hr, A* lr> for every hr and lr."""
        count, channels, height, width = lr.shape
        weighed = (lr[:, :, None] * self._codes[:, None]).flatten(0, 1)
        phases = F.conv_transpose2d(weighed.contiguous(memory_format=torch.channels_last), self._weight)
        around = F.pixel_shuffle(phases, self._scale).view(count, channels, -1, phases.shape[3] * self._scale)
        before, _ = self._margins
        for dim, length in ((2, height * self._scale), (3, width * self._scale)):
            around = folded(around, dim, before, length)
        return around

    @property
    def _margins(self) -> tuple[int, int]:
        """Padding before and behind HR, in pixels."""
        return self._radius, self._reach * self._scale - self._radius


def folded(around: Tensor, dim: int, before: int, length: int) -> Tensor:
    """Samples with the padding added to the first and last of the `length` inner ones: the adjoint of edge repetition.

    Args:
        around: `before` samples of padding, then the inner samples, then any number of samples of padding.
    """
    inside = around.narrow(dim, before, length).clone()
    after = around.shape[dim] - before - length
    inside.narrow(dim, 0, 1).add_(around.narrow(dim, 0, before).sum(dim, keepdim=True))
    inside.narrow(dim, length - 1, 1).add_(around.narrow(dim, before + length, after).sum(dim, keepdim=True))
    return inside


def code_sums(codes: Tensor, basis: Tensor) -> Tensor:
    """Sums of the taps of the kernels of codes (N, K, h, w): (N, 1, h, w)."""
    weight = basis.to(codes.dtype).sum((1, 2))
    return (codes * weight[:, None, None]).sum(1, keepdim=True)
