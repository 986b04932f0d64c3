"""Public models: URLs of their authors' releases, and licences.

The authors publish no checksums; sizes and SHA-256 are those that OpenModelDB lists for the same URLs (github
OpenModelDB/open-model-database, commit 782aac0).
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
    size: int
    """Size in bytes."""
    sha256: str


PUBLIC_MODELS: tuple[PublicModel, ...] = (
    PublicModel(
        "RealESRGAN_x4plus",
        f"{_REAL_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",
        4,
        "ESRGAN",
        "BSD-3-Clause",
        "Real-ESRGAN (Wang et al. 2021): damaged photographs, adversarial, large and slow.",
        67040989,
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
    ),
    PublicModel(
        "RealESRGAN_x2plus",
        f"{_REAL_ESRGAN}/v0.2.1/RealESRGAN_x2plus.pth",
        2,
        "ESRGAN",
        "BSD-3-Clause",
        "Real-ESRGAN (Wang et al. 2021) for a factor of 2.",
        67061725,
        "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
    ),
    PublicModel(
        "RealESRGAN_x4plus_anime_6B",
        f"{_REAL_ESRGAN}/v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
        4,
        "ESRGAN",
        "BSD-3-Clause",
        "Real-ESRGAN (Wang et al. 2021), smaller, for drawings.",
        17938799,
        "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
    ),
    PublicModel(
        "realesr-general-x4v3",
        f"{_REAL_ESRGAN}/v0.2.5.0/realesr-general-x4v3.pth",
        4,
        "Compact",
        "BSD-3-Clause",
        "Real-ESRGAN's small network for damaged photographs: fast.",
        4885111,
        "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
    ),
    PublicModel(
        "SwinIR-M_x2",
        f"{_SWINIR}/001_classicalSR_DF2K_s64w8_SwinIR-M_x2.pth",
        2,
        "SwinIR",
        "Apache-2.0",
        "SwinIR (Liang et al. 2021): clean images, faithful, slow.",
        67277475,
        "2032ebf8f401dd3ce2fae5f3852117cb72101ec6ed8358faa64c2a3fa09ed4ac",
    ),
    PublicModel(
        "SwinIR-M_x4",
        f"{_SWINIR}/001_classicalSR_DF2K_s64w8_SwinIR-M_x4.pth",
        4,
        "SwinIR",
        "Apache-2.0",
        "SwinIR (Liang et al. 2021): clean images, faithful, slow.",
        67869037,
        "4e78e33f22c1aa8a773db0cf4a7381bae97c2362c717f155439ebc690cbd9215",
    ),
    PublicModel(
        "BSRGAN",
        f"{_KAIR}/BSRGAN.pth",
        4,
        "ESRGAN",
        "MIT",
        "BSRGAN (Zhang et al. 2021): damaged photographs, adversarial, large and slow.",
        67046751,
        "5d505a0766160921e0388d76e1ddf08cb114303990f9080432bf2b1c988b1c54",
    ),
)
