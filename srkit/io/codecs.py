"""Round trips of images through lossy codecs, by OpenCV."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srkit.errors import ImageError


def through_jpeg(image: NDArray[np.uint8], quality: int, *, full_colour: bool = False) -> NDArray[np.uint8]:
    """Encode an RGB image (H, W, 3) uint8 as JPEG and decode it.

    Args:
        quality: 1 to 100.
        full_colour: chroma at full resolution (4:4:4), else at half (4:2:0).

    Raises:
        ImageError: JPEG cannot represent the image.
    """
    import cv2

    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if full_colour else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return _through("JPEG", ".jpg", image, settings)


def through_webp(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Encode an RGB image (H, W, 3) uint8 as lossy WebP, at a quality of 1 to 100, and decode it.

    Raises:
        ImageError: WebP cannot represent the image.
    """
    import cv2

    return _through("WebP", ".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])


def _through(name: str, extension: str, image: NDArray[np.uint8], settings: list[int]) -> NDArray[np.uint8]:
    import cv2

    try:
        _, data = cv2.imencode(extension, image[:, :, ::-1], settings)
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"An image of the shape {image.shape} is no {name}: {error}.") from error
    if decoded is None:
        raise ImageError(f"An image of the shape {image.shape} did not come back from {name}.")
    return np.ascontiguousarray(decoded[:, :, ::-1])
