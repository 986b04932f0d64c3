"""The distance that the judge measures: nothing for the same image, more for what looks worse, strips or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.archs.judge import JudgeNetwork
from srkit.encoders import judge as judging
from srkit.encoders.judge import JUDGE_SMALLEST, Judge
from srkit.errors import UsageError
from srkit.io.codecs import through_jpeg
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights
from tests.helpers import refused

CPU = torch.device("cpu")
ARGUMENTS: dict[str, Any] = {"widths": [6, 8, 10]}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = JudgeNetwork(**ARGUMENTS)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, network, Header(arch="judge", arguments=ARGUMENTS, scale=1, task="judge"))
    return Judge(CPU, path)


def _tensor(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


def _noisy(image: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + sigma * noise).clamp(0, 1)


def test_nothing_for_the_same_and_the_same_both_ways(tiny: Judge, rendered: Callable[..., Any]) -> None:
    a, b = _tensor(rendered(40, 56)), _tensor(rendered(40, 56, 1))
    assert float(tiny.distance(a, a)) == 0
    assert float(tiny.distance(a, b)) == pytest.approx(float(tiny.distance(b, a)), rel=1e-6)
    assert float(tiny.distance(a, b)) > 0


def test_each_image_of_a_batch_by_itself(tiny: Judge, rendered: Callable[..., Any]) -> None:
    a = torch.cat([_tensor(rendered(32, 48, seed)) for seed in (0, 1)])
    b = torch.stack([a[0], _noisy(a[1], 0.1)])
    together = tiny.distance(a, b)
    assert together.shape == (2,)
    assert float(together[0]) == 0
    assert float(together[1]) == pytest.approx(float(tiny.distance(a[1:], b[1:])), rel=1e-5)


@pytest.mark.parametrize("height", [16, 61, 128, 131, 200])
def test_strips_give_what_the_whole_gives(
    height: int, tiny: Judge, rendered: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = _tensor(rendered(height, 37)), _tensor(rendered(height, 37, 1))
    whole = float(tiny.distance(a, b))
    for pixels in (1, 37 * 20, 37 * 64):
        monkeypatch.setattr(judging, "_STRIP_PIXELS", pixels)
        assert float(tiny.distance(a, b)) == pytest.approx(whole, rel=1e-5)


def test_what_cannot_be_compared(tiny: Judge) -> None:
    a = torch.zeros(1, 3, 32, 32)
    with refused(UsageError, (1, 3, 32, 32), (1, 3, 32, 31)):
        tiny.distance(a, a[..., 1:])
    with refused(UsageError, JUDGE_SMALLEST):
        tiny.distance(a[:, :, : JUDGE_SMALLEST - 1], a[:, :, : JUDGE_SMALLEST - 1])


def test_the_shipped_one_finds_worse_what_is_worse(rendered: Callable[..., Any]) -> None:
    judge = Judge(CPU)
    assert judge.version.startswith("srkit judge, sha256 ")
    image = rendered(128, 128)
    clean = _tensor(image)
    noise = [float(judge.distance(_noisy(clean, sigma), clean)) for sigma in (0, 0.02, 0.06, 0.15)]
    compressed = [float(judge.distance(_tensor(through_jpeg(image, q)), clean)) for q in (95, 50, 10)]
    assert noise[0] == 0
    for values in (noise, compressed):
        assert values == sorted(values)
        assert len(set(values)) == len(values)
