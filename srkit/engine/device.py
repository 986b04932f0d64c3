"""Devices, and the fastest precision of each."""

from __future__ import annotations

import functools
from typing import Literal

import torch

from srkit.archs.info import ArchInfo
from srkit.errors import UsageError

Dtype = Literal["auto", "fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """Device for the name `auto` (CUDA if available), `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        UsageError: a name of another form, or a device that is unavailable.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"`device` is '{name}'; it must be auto, cpu, cuda, cuda:N or mps.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UsageError(
            f"`device` is '{name}', but this machine has {count or 'no'} CUDA device{'' if count == 1 else 's'}; "
            "use `device` cpu or see srkit doctor."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("`device` is 'mps', but this machine has no such device; use `device` cpu.")
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether bf16 runs in hardware: CUDA >= 8.0, or a CPU with avx512_bf16 or AMX that oneDNN may use."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and _cpu_has_bf16()


def training_dtype(precision: str, device: torch.device, *, bf16_ok: bool = True) -> torch.dtype | None:
    """Dtype of autocast in training, None for fp32. `auto` is bf16 where it is fast and the network supports it."""
    fast = precision == "auto" and bf16_ok and has_fast_bf16(device)
    return torch.bfloat16 if precision == "bf16" or fast else None


@functools.cache
def _cpu_has_bf16() -> bool:
    # The first two checks respect ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA, which a user may have lowered; the last
    # queries the hardware, because AVX-512 without bf16 converts back and forth and is slower than fp32.
    if not torch.backends.cpu.get_cpu_capability().startswith(("AVX512", "AMX")):
        return False
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, ask, lambda: False)() for ask in asks)


def pick_dtype(name: Dtype, device: torch.device, info: ArchInfo) -> torch.dtype:
    """Precision to run a network in: the requested one, or for `auto` the fastest that device and network allow.

    Raises:
        UsageError: fp16 or bf16 requested of a network that does not support it, or fp16 on a CPU.
    """
    if name != "auto":
        allowed = {"fp32": True, "bf16": info.bf16_ok, "fp16": info.fp16_ok and device.type != "cpu"}
        if name not in allowed:
            raise UsageError(f"`dtype` is '{name}'; it must be auto, fp32, bf16 or fp16.")
        if not allowed[name]:
            raise UsageError(
                f"`dtype` {name} is not possible for this network on {device.type}; use fp32 or auto."
            )
        return DTYPES[name]
    if info.bf16_ok and has_fast_bf16(device):
        return torch.bfloat16
    if info.fp16_ok and device.type == "cuda":
        return torch.float16
    return torch.float32
