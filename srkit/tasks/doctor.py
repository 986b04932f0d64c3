"""Capabilities of this installation and machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

import srkit
from srkit.engine.device import has_fast_bf16
from srkit.engine.memory import available_memory, total_memory
from srkit.errors import SrkitError
from srkit.zoo.cache import cache_dir
from srkit.zoo.connectivity import offline_variable
from srkit.zoo.manifest import Manifest, weights_dir

PACKAGES = (
    *(
        "torch",
        "torchvision",
        "numpy",
        "pyvips",
        "pyvips-binary",
        "opencv-python-headless",
        "spandrel",
        "safetensors",
    ),
    *("huggingface_hub", "open_clip_torch", "timm", "lpips", "pyiqa", "transformers", "diffusers"),
)
# All of these install a package named cv2: the last one installed wins, and may lack features of another.
_OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


@dataclass(frozen=True)
class DeviceReport:
    name: str
    description: str
    precisions: tuple[str, ...]
    """Supported precisions, fastest first; `--dtype auto` uses the first that fits."""
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class DoctorReport:
    srkit: str
    python: str
    platform: str
    packages: dict[str, str | None]
    devices: tuple[DeviceReport, ...]
    threads: int
    disk_free_bytes: int
    weights: str
    shipped_models: tuple[str, ...]
    offline: str | None
    """Environment variable that forbids downloads; None if none is set."""
    cache: str
    caches: dict[str, str]
    """Folders by content: `models`, `data`, and of other programs `hub` and `torch`."""
    data_roots: tuple[str, ...]
    metric_weights: tuple[str, ...]
    problems: tuple[str, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Labels and values of the printed lines."""
        gigabytes = 1e9
        lines = [("srkit", self.srkit), ("python", self.python), ("platform", self.platform)]
        lines += [(name, version or "not installed") for name, version in self.packages.items()]
        for d in self.devices:
            memory = f"{d.free_bytes / gigabytes:.1f} of {d.memory_bytes / gigabytes:.1f} GB free"
            lines.append((d.name, f"{d.description}; {', '.join(d.precisions)}; {memory}"))
        return [
            *lines,
            ("threads", str(self.threads)),
            ("disk", f"{self.disk_free_bytes / gigabytes:.1f} GB free here"),
            ("shipped weights", f"{self.weights} ({', '.join(self.shipped_models) or 'none'})"),
            (
                "network",
                f"offline, by {self.offline}" if self.offline else "used where something must be fetched",
            ),
            ("cache", f"{self.cache} (in CI: keep it)"),
            *((f"cache of {name}", folder) for name, folder in self.caches.items()),
            ("data", ", ".join(self.data_roots)),
            ("metric weights", ", ".join(self.metric_weights)),
        ]


def run() -> DoctorReport:
    """Inspect the installation; nothing is changed, and missing parts raise no errors."""
    packages = {name: _version(name) for name in PACKAGES}
    packages["torch"] = torch.__version__  # names the build too, for CUDA or for CPUs
    opencv = [f"{name} {_version(name)}" for name in _OPENCV if _version(name)]
    problems = []
    if len(opencv) > 1:
        problems.append(
            f"Several OpenCV builds overwrite each other ({', '.join(opencv)}); keep one of them."
        )
    try:
        models = tuple(entry.name for entry in Manifest.load().shipped() if entry.present)
    except SrkitError as error:
        models = ()
        problems.append(str(error))
    if not models:
        problems.append(f"No shipped weights were found in '{weights_dir()}'; install srkit again.")
    return DoctorReport(
        srkit=srkit.__version__,
        python=sys.version.split()[0],
        platform=platform.platform(),
        packages=packages,
        devices=tuple(_devices()),
        threads=torch.get_num_threads(),
        disk_free_bytes=shutil.disk_usage(Path.cwd()).free,
        weights=str(weights_dir()),
        shipped_models=models,
        offline=offline_variable(),
        cache=str(cache_dir()),
        caches=_caches(),
        data_roots=_places("SRKIT_DATA", str(cache_dir() / "data")),
        metric_weights=_places("SRKIT_WEIGHTS", str(cache_dir() / "models")),
        problems=tuple(problems),
    )


def _caches() -> dict[str, str]:
    from huggingface_hub.constants import HF_HUB_CACHE

    return {
        "models": str(cache_dir() / "models"),
        "data": str(cache_dir() / "data"),
        "hub": HF_HUB_CACHE,
        "torch": torch.hub.get_dir(),
    }


def _places(variable: str, otherwise: str) -> tuple[str, ...]:
    value = os.environ.get(variable)
    return (f"{value} (${variable})", otherwise) if value else (f"${variable} (not set)", otherwise)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[DeviceReport]:
    cpu = torch.device("cpu")
    name = f"{platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    found = [DeviceReport("cpu", name, _precisions(cpu), total_memory(), available_memory())]
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        free, total = torch.cuda.mem_get_info(device)
        found.append(
            DeviceReport(
                f"cuda:{index}", torch.cuda.get_device_name(device), _precisions(device), total, free
            )
        )
    return found


def _precisions(device: torch.device) -> tuple[str, ...]:
    fast = ("bf16",) if has_fast_bf16(device) else ()
    return (*fast, "fp16", "fp32") if device.type == "cuda" else (*fast, "fp32")
