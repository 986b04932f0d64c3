"""Devices and precisions by name."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from srkit.archs.info import ArchInfo
from srkit.engine.device import has_fast_bf16, pick_device, pick_dtype
from srkit.errors import Exit, UsageError

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
ANY = ArchInfo(scale=2, receptive_field=1, fp16_ok=True, bf16_ok=True)
FP32_ONLY = ArchInfo(scale=2, receptive_field=1, fp16_ok=False, bf16_ok=False)


def test_auto_is_cuda_where_there_is_one() -> None:
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "", "meta", "cuda:-1", "cuda:x", "cpu cpu", "CUDA"])
def test_names_of_no_device(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        pick_device(name)
    assert str(caught.value) == f"--device is '{name}'; it must be auto, cpu, cuda, cuda:N or mps."
    assert caught.value.exit_code is Exit.USAGE


def test_a_cuda_device_that_is_not_there() -> None:
    count = torch.cuda.device_count()
    words = f"--device is 'cuda:{count}', but this machine has {count or 'no'} CUDA device"
    with pytest.raises(UsageError, match=words):
        pick_device(f"cuda:{count}")


def test_cuda_without_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="has no CUDA devices; use --device cpu or see srkit doctor"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("cuda").type == "cuda"
    with pytest.raises(UsageError, match="has 1 CUDA device;"):
        pick_device("cuda:1")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="has such a device")
def test_mps_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="--device is 'mps', but this machine has no such device"):
        pick_device("mps")


def test_asked_precisions() -> None:
    assert pick_dtype("fp32", CPU, FP32_ONLY) == torch.float32
    assert pick_dtype("bf16", CPU, ANY) == torch.bfloat16
    assert pick_dtype("fp16", CUDA, ANY) == torch.float16


@pytest.mark.parametrize(("name", "device", "info"), [("fp16", CPU, ANY), ("bf16", CPU, FP32_ONLY)])
def test_precisions_that_are_not_possible(name: str, device: torch.device, info: ArchInfo) -> None:
    with pytest.raises(UsageError, match=f"--dtype {name} is not possible for this network on cpu"):
        pick_dtype(name, device, info)  # type: ignore[arg-type]


def test_unknown_precision() -> None:
    with pytest.raises(UsageError, match="--dtype is 'int8'; it must be auto, fp32, bf16 or fp16"):
        pick_dtype("int8", CPU, ANY)  # type: ignore[arg-type]


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
