"""Images for the HTML report: cropped, encoded and bounded in size during the evaluation.

The evaluation adds each image's arrays once; only encoded bytes are kept: a crop of every image at the worst SR error,
and the whole of the worst images. All are lossless, so that the report adds no artefacts of its own.
"""

from __future__ import annotations

import base64
import heapq
import math
import threading
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from srkit.errors import UsageError
from srkit.io.image import DecodedImage
from srkit.io.write import encode_image
from srkit.ops.layout import RGB

LABELS = {"lr": "LR bicubic", "before": "SR before", "sr": "SR", "hr": "HR"}
VIEWS = tuple(LABELS)
PAGE_BYTES = 28_000_000
"""Maximum size of all images in the page, so that with its tables it stays below 30 MB."""
CROP_BYTES = 22_000_000
"""Maximum size of the crops; whole images share the rest."""
WHOLE_PIXELS = 1_500_000
"""Maximum size of whole images; larger ones have only a crop, since decoding three of them stalls a phone."""
# Bytes per pixel of three views as PNG and base64: measured on Urban100, and for incompressible images.
_USUAL_BYTES, _MAX_BYTES = 7.5, 12.2


class ImageKey(NamedTuple):
    """Identifier of an image of a run."""

    dataset: str
    scale: int | None
    model: str
    name: str


@dataclass(frozen=True)
class Views:
    """Encoded views of an image or crop, all of one size: data URIs by `VIEWS`, absent ones omitted."""

    uris: dict[str, str]
    width: int
    height: int
    left: int = 0
    """Horizontal position of a crop in the image."""
    top: int = 0

    @property
    def size(self) -> int:
        return sum(len(uri) for uri in self.uris.values())


class Gallery:
    """Crops and whole images of a run, bounded in bytes by keeping the worst. Thread-safe.

    Args:
        count: number of images of the run over all datasets and models; the more, the smaller the crops.
    """

    def __init__(self, count: int) -> None:
        side = math.isqrt(int(CROP_BYTES / (_USUAL_BYTES * max(count, 1)))) // 16 * 16
        self.crop_side = min(max(side, 96), 256)
        crops = min(CROP_BYTES, int(_MAX_BYTES * count * self.crop_side**2))
        self._crops = _Shelf(crops)
        self._wholes = _Shelf(PAGE_BYTES - crops)

    def add(
        self,
        key: ImageKey,
        sr: RGB,
        *,
        lr_bicubic: RGB | None = None,
        hr: RGB | None = None,
        before: RGB | None = None,
    ) -> None:
        """Add the views of an image; the arrays are not kept.

        Args:
            sr: (H, W, 3) uint8.
            lr_bicubic: the LR image upscaled bicubically to the same size, or None.
            hr: the reference, or None; without it the crop is the centre.
            before: SR of the same size by the model that this one is derived from, or None.

        Raises:
            UsageError: arrays that are not (H, W, 3) uint8 of one size.
        """
        views = {"lr": lr_bicubic, "before": before, "sr": sr, "hr": hr}
        arrays = {name: array for name, array in views.items() if array is not None}
        for name, array in arrays.items():
            if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or array.shape != sr.shape:
                raise UsageError(
                    f"The {name} view of '{key.name}' is {array.shape} {array.dtype}; expected (H, W, 3) uint8 of "
                    f"SR's size, {sr.shape}."
                )
        height, width = sr.shape[:2]
        error = None if hr is None else _squared_error(sr, hr)
        badness = 0.0 if error is None else float(error.mean())
        side = min(self.crop_side, height), min(self.crop_side, width)
        centre = (height - side[0]) // 2, (width - side[1]) // 2
        top, left = centre if error is None else _worst_window(error, *side)
        crop = {name: array[top : top + side[0], left : left + side[1]] for name, array in arrays.items()}
        self._crops.put(key, badness, _encoded(crop, left, top))
        if side != (height, width) and height * width <= WHOLE_PIXELS and self._wholes.wants(badness):
            self._wholes.put(key, badness, _encoded(arrays))

    def crop(self, key: ImageKey) -> Views | None:
        """Crop of an image, or None: never added, or dropped for worse ones."""
        return self._crops.get(key)

    def whole(self, key: ImageKey) -> Views | None:
        """Whole image, or None: as for `crop`, or too large, or no larger than its crop."""
        return self._wholes.get(key)


class _Shelf:
    """Views by key up to a number of bytes; beyond it, the least bad are dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._views: dict[ImageKey, Views] = {}
        self._least_bad: list[tuple[float, int, ImageKey]] = []
        self._count = 0
        self._full = False
        self._lock = threading.Lock()

    def wants(self, badness: float) -> bool:
        """Return whether views of that badness could be kept, to avoid encoding others."""
        with self._lock:
            return not self._full or not self._least_bad or badness > self._least_bad[0][0]

    def put(self, key: ImageKey, badness: float, views: Views) -> None:
        with self._lock:
            if key in self._views:
                return
            self._views[key] = views
            self._used += views.size
            self._count += 1
            # Of equally bad ones the later is dropped first, so that the result does not depend on names.
            heapq.heappush(self._least_bad, (badness, -self._count, key))
            while self._used > self._limit:
                self._full = True
                self._used -= self._views.pop(heapq.heappop(self._least_bad)[2]).size

    def get(self, key: ImageKey) -> Views | None:
        return self._views.get(key)


def _encoded(arrays: dict[str, RGB], left: int = 0, top: int = 0) -> Views:
    uris = {name: _data_uri(array) for name, array in arrays.items()}
    height, width = arrays["sr"].shape[:2]
    return Views(uris, width, height, left, top)


def _data_uri(array: RGB) -> str:
    data, _ = encode_image(DecodedImage(array), format="png", compression=6)
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def _squared_error(sr: RGB, hr: RGB) -> NDArray[np.float32]:
    """Mean squared error over the channels, (H, W)."""
    difference = sr.astype(np.float32) - hr
    error: NDArray[np.float32] = np.einsum("hwc,hwc->hw", difference, difference) / np.float32(3)
    return error


def _worst_window(error: NDArray[np.float32], height: int, width: int) -> tuple[int, int]:
    """Top and left of the window with the largest sum, searched exhaustively by a summed-area table."""
    table = np.pad(error.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = (
        table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    )
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(top), int(left)
