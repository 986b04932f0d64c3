"""What JPEG makes of pictures, through OpenCV."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srkit.errors import PictureError


def through_jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """An RGB picture (H, W, 3) uint8 encoded and decoded again, at a quality of 1 to 100, colour at half resolution.

    Raises:
        PictureError: JPEG cannot hold it.
    """
    import cv2

    try:
        _, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PictureError(f"A picture of the shape {picture.shape} is no JPEG: {error}.") from error
    if decoded is None:
        raise PictureError(f"A picture of the shape {picture.shape} did not come back from JPEG.")
    return np.ascontiguousarray(decoded[:, :, ::-1])
