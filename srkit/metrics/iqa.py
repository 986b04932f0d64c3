"""No-reference quality metrics, through `pyiqa` (the extra `iqa`).

Only metrics for which pyiqa is the reference are taken from it. PSNR and SSIM are not: its Y is full-range YIQ, which
gives values 1.32 dB below the literature's.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srkit.encoders.weight_files import WeightFile, find_weights, is_here, load_tensors
from srkit.errors import ResourceError
from srkit.progress import Progress

NIQE_BLOCK = 96
"""Side of NIQE's blocks; two of them are required for a covariance."""
_HUB = "chaofengc/IQA-PyTorch-Weights"


def _published(name: str, purpose: str) -> WeightFile:
    return WeightFile(name, purpose, f"hf:{_HUB}/{name}", "pyiqa", "CC BY-NC-SA 4.0")


_NIQE = _published("niqe_modelparameters.mat", "the pristine parameters of NIQE")
_MUSIQ = _published("musiq_koniq_ckpt-e95806b9.pth", "MUSIQ trained on KonIQ-10k")


class _PyiqaMetric:
    """Metric of pyiqa on a device."""

    def __init__(self, network: Any, device: torch.device, label: str) -> None:
        self._network, self._device = network, device
        self.version = f"pyiqa {version('pyiqa')}, {label}"

    def score(self, image: Tensor) -> float:
        """Score of an image (1, 3, H, W) in [0, 1]."""
        with torch.inference_mode():
            return float(self._network(image.to(self._device, torch.float32)))


class Niqe(_PyiqaMetric):
    """Natural image quality evaluator (Mittal et al. 2013, IEEE SPL 20(3)); lower is better.

    Args:
        device: device of the metric, which runs in float64.
        weights: folder that is searched first for niqe_modelparameters.mat.

    Raises:
        ResourceError: pyiqa is not installed, or the parameters are unavailable or damaged.
    """

    def __init__(
        self, device: torch.device, weights: Path | None = None, progress: Progress | None = None
    ) -> None:
        pyiqa = _pyiqa("NIQE")
        found = find_weights(_NIQE, weights, progress)
        try:
            network = pyiqa.create_metric("niqe", device=device, pretrained_model_path=str(found.path))
        except Exception as error:  # scipy's reader raises various exceptions
            raise ResourceError(
                f"'{found.path}' holds no parameters of NIQE ({error}); fetch it again."
            ) from error
        super().__init__(network, device, found.label)


class Musiq(_PyiqaMetric):
    """Multi-scale image quality transformer (Ke et al. 2021, ICCV), trained on KonIQ-10k; 0 to 100, higher is better.

    Args:
        device: device of the network, which runs in fp32.
        weights: folder that is searched first for musiq_koniq_ckpt-e95806b9.pth.

    Raises:
        ResourceError: pyiqa is not installed, or the weights are unavailable or damaged.
    """

    def __init__(
        self, device: torch.device, weights: Path | None = None, progress: Progress | None = None
    ) -> None:
        pyiqa = _pyiqa("MUSIQ")
        found = find_weights(_MUSIQ, weights, progress)
        # Built without weights and filled here, because pyiqa would unpickle the file, which could run arbitrary code.
        network = pyiqa.create_metric("musiq", device=device, pretrained=False)
        try:
            network.net.load_state_dict(load_tensors(found))
        except RuntimeError as error:
            raise ResourceError(f"'{found.path}' holds no MUSIQ of pyiqa's; fetch it again.") from error
        super().__init__(network, device, found.label)


def niqe_is_here(weights: Path | None = None) -> bool:
    """Return whether NIQE works without downloads: the package and its parameters are on this machine.

    Raises:
        UsageError: `weights` is no folder.
    """
    return find_spec("pyiqa") is not None and is_here(_NIQE, weights)


def _pyiqa(metric: str) -> Any:
    try:
        import pyiqa
    except ModuleNotFoundError as error:
        missing = error.name or "pyiqa"
        raise ResourceError(
            f"{metric} needs the package 'pyiqa', and '{missing}' is not installed; run pip install 'srkit[iqa]'."
        ) from error
    return pyiqa
