"""Pictures for training, through OpenCV: 8-bit RGB is all that training needs.

Apart from the rest of `io`, this needs neither pyvips nor metadata handling, so `srkit train` runs on machines
that only have PyTorch and OpenCV.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srkit.errors import PictureError, SrkitError, UsageError

TRAINING_EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


def list_training_pictures(folders: list[Path]) -> list[Path]:
    """Picture files anywhere under the folders, sorted by path within each folder.

    Raises:
        UsageError: a folder that is not there.
        SrkitError: no pictures at all.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(
                f"The training folder '{folder}' is not there; give an existing folder to --data."
            )
        files = (p for p in folder.rglob("*") if p.suffix.lower() in TRAINING_EXTENSIONS and p.is_file())
        found += sorted(files)
    if not found:
        names = ", ".join(f"'{folder}'" for folder in folders)
        raise SrkitError(
            f"No pictures were found under {names}; training needs PNG, JPEG, WebP, BMP or TIFF files."
        )
    return found


def read_rgb8(path: Path) -> NDArray[np.uint8]:
    """Decode to RGB, (H, W, 3) uint8, orientation applied; gray is repeated, alpha dropped, 16 bit reduced.

    Raises:
        PictureError: the file cannot be read as a picture.
    """
    import cv2

    try:
        # From bytes, because OpenCV cannot open names that are not UTF-8.
        data = np.fromfile(path, dtype=np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error) as error:
        raise PictureError(f"'{path}' could not be read: {error}.") from error
    if picture is None:
        raise PictureError(
            f"'{path}' is not a picture that OpenCV can decode; remove it or convert it to PNG."
        )
    return np.ascontiguousarray(picture[:, :, ::-1])
