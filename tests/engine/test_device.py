"""Devices and precisions by name."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from srkit.archs.info import ArchInfo
from srkit.engine.device import has_fast_bf16, pick_device, pick_dtype
from srkit.errors import UsageError
from tests.helpers import refused

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
ANY = ArchInfo(scale=2, receptive_field=1, fp16_ok=True, bf16_ok=True)
FP32_ONLY = ArchInfo(scale=2, receptive_field=1, fp16_ok=False, bf16_ok=False)


def test_auto_is_cuda_where_there_is_one() -> None:
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "", "meta", "cuda:-1", "cuda:x", "cpu cpu", "CUDA"])
def test_names_of_no_device(name: str) -> None:
    with refused(UsageError, "--device", f"'{name}'", "auto", "cpu", "cuda", "cuda:N", "mps"):
        pick_device(name)


def test_devices_that_are_not_there() -> None:
    names = [f"cuda:{torch.cuda.device_count()}", *([] if torch.backends.mps.is_available() else ["mps"])]
    for name in names:
        with refused(UsageError, "--device", f"'{name}'"):
            pick_device(name)


def test_cuda_without_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with refused(UsageError, "'cuda'", "--device cpu", "srkit doctor"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("cuda").type == "cuda"
    with refused(UsageError, "'cuda:1'", 1):
        pick_device("cuda:1")


def test_asked_precisions() -> None:
    assert pick_dtype("fp32", CPU, FP32_ONLY) == torch.float32
    assert pick_dtype("bf16", CPU, ANY) == torch.bfloat16
    assert pick_dtype("fp16", CUDA, ANY) == torch.float16


@pytest.mark.parametrize(("name", "info"), [("fp16", ANY), ("bf16", FP32_ONLY), ("int8", ANY)])
def test_precisions_that_are_not_possible(name: str, info: ArchInfo) -> None:
    with refused(UsageError, "--dtype", name):
        pick_dtype(name, CPU, info)  # type: ignore[arg-type]


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
def test_auto_on_cuda_follows_the_hardware(
    capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    fast = capability >= (8, 0)
    assert pick_dtype("auto", CUDA, ANY) == (torch.bfloat16 if fast else torch.float16)
    assert pick_dtype("auto", CUDA, FP32_ONLY) == torch.float32


def test_auto_on_a_cpu() -> None:
    assert pick_dtype("auto", CPU, ANY) == (torch.bfloat16 if has_fast_bf16(CPU) else torch.float32)
    assert pick_dtype("auto", CPU, FP32_ONLY) == torch.float32


def test_a_lowered_cpu_capability_is_respected() -> None:
    code = "import torch; from srkit.engine.device import has_fast_bf16; print(has_fast_bf16(torch.device('cpu')))"
    lowered = {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | lowered, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
