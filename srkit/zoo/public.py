"""Public models that people expect to find: where their authors publish them, and under what licence.

None is pinned to a checksum: their authors publish none. The first download's is recorded beside the file,
and every later use is held to it (see `srkit.zoo.pull`).
"""

from __future__ import annotations

from dataclasses import dataclass

_REAL_ESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_SWINIR = "https://github.com/JingyunLiang/SwinIR/releases/download/v0.0"
_KAIR = "https://github.com/cszn/KAIR/releases/download/v1.0"


@dataclass(frozen=True)
class PublicModel:
    name: str
    url: str
    scale: int
    arch: str
    licence: str
    summary: str


PUBLIC_MODELS: tuple[PublicModel, ...] = (
    PublicModel(
        "RealESRGAN_x4plus",
        f"{_REAL_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",
        4,
        "ESRGAN",
        "BSD-3-Clause",
        "Real-ESRGAN (Wang et al. 2021): damaged photographs, adversarial, large and slow.",
    ),
    PublicModel(
        "RealESRGAN_x2plus",
        f"{_REAL_ESRGAN}/v0.2.1/RealESRGAN_x2plus.pth",
        2,
        "ESRGAN",
        "BSD-3-Clause",
        "Real-ESRGAN (Wang et al. 2021) for a factor of 2.",
    ),
    PublicModel(
        "RealESRGAN_x4plus_anime_6B",
        f"{_REAL_ESRGAN}/v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
        4,
        "ESRGAN",
        "BSD-3-Clause",
        "Real-ESRGAN (Wang et al. 2021), smaller, for drawings.",
    ),
    PublicModel(
        "realesr-general-x4v3",
        f"{_REAL_ESRGAN}/v0.2.5.0/realesr-general-x4v3.pth",
        4,
        "Compact",
        "BSD-3-Clause",
        "Real-ESRGAN's small network for damaged photographs: fast.",
    ),
    PublicModel(
        "SwinIR-M_x2",
        f"{_SWINIR}/001_classicalSR_DF2K_s64w8_SwinIR-M_x2.pth",
        2,
        "SwinIR",
        "Apache-2.0",
        "SwinIR (Liang et al. 2021): clean pictures, faithful, slow.",
    ),
    PublicModel(
        "SwinIR-M_x4",
        f"{_SWINIR}/001_classicalSR_DF2K_s64w8_SwinIR-M_x4.pth",
        4,
        "SwinIR",
        "Apache-2.0",
        "SwinIR (Liang et al. 2021): clean pictures, faithful, slow.",
    ),
    PublicModel(
        "BSRGAN",
        f"{_KAIR}/BSRGAN.pth",
        4,
        "ESRGAN",
        "MIT",
        "BSRGAN (Zhang et al. 2021): damaged photographs, adversarial, large and slow.",
    ),
)
