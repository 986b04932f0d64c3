"""What all tests share: where data is, small images and weights, and which tests need what."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srkit.ops.layout import RGB

os.environ["SRKIT_OFFLINE"] = "1"  # no test fetches from anywhere but loopback, and those say so
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts what runs in its background so
    signal.signal(signal.SIGINT, signal.default_int_handler)

_Left = pytest.StashKey[Counter[str]]()


def _has_folder(variable: str) -> Callable[[], bool]:
    return lambda: Path(os.environ.get(variable) or "/nonexistent").is_dir()


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _has_chromium() -> bool:
    return shutil.which("chromium") is not None and shutil.which("chromedriver") is not None


def _has_diffusers() -> bool:
    return all(find_spec(name) is not None for name in ("diffusers", "transformers"))


def _has(*packages: str) -> Callable[[], bool]:
    return lambda: all(find_spec(name) is not None for name in packages)


# Tests with one of these marks are deselected, not skipped, where what they need is not there.
REQUIREMENTS: dict[str, tuple[Callable[[], bool], str]] = {
    "data": (_has_folder("SRKIT_DATA"), "$SRKIT_DATA names no folder"),
    "metric_weights": (_has_folder("SRKIT_WEIGHTS"), "$SRKIT_WEIGHTS names no folder"),
    "cuda": (_has_cuda, "no CUDA device"),
    "diffusers": (
        _has_diffusers,
        "diffusers or transformers is not installed; pip install 'srkit[diffusion]'",
    ),
    "ray": (_has("ray", "pyarrow"), "ray is not installed; pip install 'srkit[ray]'"),
    "s3": (_has("s3fs", "moto", "flask"), "s3fs or moto is not installed; pip install s3fs 'moto[server]'"),
    "chromium": (_has_chromium, "no chromium and chromedriver"),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = {mark for item in items for mark in REQUIREMENTS if item.get_closest_marker(mark)}
    missing = [mark for mark in REQUIREMENTS if mark in wanted and not REQUIREMENTS[mark][0]()]
    left: Counter[str] = Counter()
    kept: list[pytest.Item] = []
    deselected: list[pytest.Item] = []
    for item in items:
        lacking = next((mark for mark in missing if item.get_closest_marker(mark)), None)
        if lacking is None:
            kept.append(item)
        else:
            deselected.append(item)
            left[lacking] += 1
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = kept
    config.stash[_Left] = left
    if hasattr(config, "workeroutput"):  # a worker of xdist, which hands this to `pytest_testnodedown`
        config.workeroutput["left"] = dict(left)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Of each worker of xdist; all have deselected the same."""
    if left := getattr(node, "workeroutput", {}).get("left"):
        node.config.stash[_Left] = Counter(left)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left = config.stash.get(_Left, Counter())
    if left:
        reasons = ", ".join(f"{count} {mark} ({REQUIREMENTS[mark][1]})" for mark, count in left.items())
        terminalreporter.write_line(f"deselected for want of what they need: {reasons}")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of benchmark data; tests that need it carry the mark `data`."""
    return Path(os.environ["SRKIT_DATA"])


@pytest.fixture(scope="session")
def rendered() -> Callable[..., RGB]:
    """Cuts of a rendered street scene: `rendered(height, width, seed=0)`, (height, width, 3) uint8, to 256 a side."""
    from srkit.rendered import demo_image

    scenes: dict[int, RGB] = {}

    def cut(height: int, width: int, seed: int = 0) -> RGB:
        if seed not in scenes:
            scenes[seed] = demo_image(256, 256, seed)
        if not (1 <= height <= 256 and 1 <= width <= 256):
            raise ValueError(f"{height} x {width} does not fit into 256 x 256")
        top, left = (256 - height) // 2, (256 - width) // 2
        return np.ascontiguousarray(scenes[seed][top : top + height, left : left + width])

    return cut


@pytest.fixture(scope="session")
def edsr_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a tiny, randomly initialised EDSR for x2."""
    import torch

    from srkit.archs.edsr import EDSR
    from srkit.zoo.header import Header
    from srkit.zoo.weights import save_weights

    arguments = {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EDSR(**arguments)  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("weights") / "tiny-x2.safetensors"
    save_weights(path, network, Header(arch="edsr", arguments=arguments, scale=2))
    return path


@pytest.fixture(scope="session")
def cdasr_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a tiny CDASR for x2 whose result depends on its conditions, with the encoder `random`."""
    import torch

    from srkit.archs.cdasr import CDASR
    from srkit.encoders.semantic import semantic_encoder
    from srkit.zoo.header import Header
    from srkit.zoo.weights import save_weights

    encoder = semantic_encoder("random", torch.device("cpu"))
    arguments = {
        "scale": 2,
        "features": 8,
        "blocks": 1,
        "upsampler": "single",
        "semantic_dim": encoder.dim,
        "token_channels": encoder.token_channels,
        "hidden": 16,
        "aligned": 16,
        "token_features": 4,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CDASR(**arguments)  # type: ignore[arg-type]
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    providers = {"semantic": encoder.name, "semantic version": encoder.version}
    path = tmp_path_factory.mktemp("weights") / "conditioned-x2.safetensors"
    save_weights(path, network, Header(arch="cdasr", arguments=arguments, scale=2, providers=providers))
    return path


@pytest.fixture(scope="session")
def dkenet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a tiny DKENet for x2 whose kernels differ from place to place, and with depth."""
    import torch

    from srkit.archs.dkenet import DKENet
    from srkit.degradation.kernels import gaussian
    from srkit.zoo.header import Header
    from srkit.zoo.weights import save_weights

    arguments = {"scale": 2, "features": 4, "depth_features": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = DKENet(**arguments)
        for parameter in network.parameters():
            if parameter.ndim == 4:
                torch.nn.init.kaiming_normal_(parameter, 0.2)
        torch.nn.init.normal_(network.tail.weight, std=0.1)
        torch.nn.init.normal_(network.depth_head.weight, std=4.0)
    with torch.no_grad():
        usual = gaussian(torch.tensor([3.0, 0.5, 2.0]), 2)
        network.tail.bias.copy_(usual.clamp_min(1e-9).log().flatten())
    path = tmp_path_factory.mktemp("weights") / "kernels-x2.safetensors"
    save_weights(path, network, Header(arch="dkenet", arguments=arguments, scale=2, task="kernels"))
    return path


@pytest.fixture(scope="session")
def nbsr_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a tiny NBSR for x2 whose image depends on the kernels."""
    import torch

    from srkit.archs.nbsr import NBSR
    from srkit.degradation.pca import kernel_basis
    from srkit.zoo.header import Header
    from srkit.zoo.weights import save_weights

    arguments = {"scale": 2, "features": 8, "blocks": 1, "trunk": "edsr", "code": 6, "hidden": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NBSR(**arguments)  # type: ignore[arg-type]
        network.basis.copy_(kernel_basis(2, 6))
        for parameter in network.modulations.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    path = tmp_path_factory.mktemp("weights") / "restores-x2.safetensors"
    save_weights(path, network, Header(arch="nbsr", arguments=arguments, scale=2))
    return path


@pytest.fixture(scope="session")
def diffusion_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a tiny diffusion model for x2 that adds to its NBSR what depends on every condition."""
    import torch

    from srkit.archs.diffusion import DiffusionSR
    from srkit.degradation.pca import kernel_basis
    from srkit.zoo.header import Header
    from srkit.zoo.weights import save_weights

    nbsr = {"features": 8, "blocks": 1, "trunk": "edsr", "code": 6, "hidden": 4}
    arguments = {"scale": 2, "nbsr": nbsr, "widths": [6, 8], "blocks": 1, "width": 4, "hidden": 4, "steps": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = DiffusionSR(**arguments)  # type: ignore[arg-type]
        network.basis.copy_(kernel_basis(2, 6))
        for parameter in network.parameters():
            if parameter.requires_grad and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
    path = tmp_path_factory.mktemp("weights") / "draws-x2.safetensors"
    save_weights(path, network, Header(arch="diffusion", arguments=arguments, scale=2, overlap=24))
    return path


@pytest.fixture(scope="session")
def reconstructor_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a tiny, randomly initialised reconstructor for x2, with the providers `random`."""
    import torch

    from srkit.archs.reconstructor import Reconstructor
    from srkit.encoders.compact import Compact
    from srkit.zoo.header import Header
    from srkit.zoo.weights import save_weights

    arguments = {
        "scale": 2,
        "features": 6,
        "image_blocks": 1,
        "degradation_blocks": 1,
        "blocks": 1,
        "embedding": 8,
        "described": 24,
    }
    version = Compact(torch.device("cpu"), random=True).version
    providers = {"distance": "random", "distance version": version}
    providers |= {"far": "random", "far stage": "stage1", "far version": version}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Reconstructor(**arguments)  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("weights") / "degrades-x2.safetensors"
    controller = {"noise_std": 0.1}
    header = Header(
        "reconstructor", arguments, 2, "reconstructor", providers=providers, controller=controller
    )
    save_weights(path, network, header)
    return path
