"""Depth maps from a folder of files, by the names of the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.encoders.depth import normalised, resized
from srkit.errors import ImageError, UsageError, first_line
from srkit.io.folders import IMAGE_EXTENSIONS, find_files
from srkit.io.read import read_image
from srkit.progress import Progress

_ARRAY = ".npy"
_NAMED = 5  # files in a message


class DepthMaps:
    """`DepthProvider` of maps of inverse depth: 8 or 16 bit gray images or NumPy arrays (h, w), larger is nearer.

    A map has its image's name with any extension: `street.png` for `street.jpg`. Each map is normalised such that its
    farthest value becomes 0 and its nearest 1.

    Args:
        folder: folder of the maps; subfolders are ignored.
        device: device of the maps.
        progress: warned of maps that were resized or have non-finite values.

    Raises:
        UsageError: no map in the folder.
    """

    sees_images = False

    def __init__(self, folder: Path, device: torch.device, progress: Progress) -> None:
        self.name, self.version = str(folder), "maps"
        self._folder, self._device, self._progress = folder, device, progress
        files = sorted(find_files(folder, {_ARRAY, *IMAGE_EXTENSIONS}, recursive=False), reverse=True)
        if not files:
            raise UsageError(
                f"The folder '{folder}' holds no depth map; expected files like NAME.png or NAME.npy."
            )
        # Arrays take precedence over images of the same name, as they are more precise.
        self._files = {file.stem: file for file in sorted(files, key=lambda p: p.suffix.lower() == _ARRAY)}

    def estimate(self, image: Tensor, name: str | None = None) -> Tensor:
        """Read the map of an image; see `DepthProvider`. `name` may include folders and an extension.

        Raises:
            UsageError: no map of that name.
            ImageError: an unreadable map, of several channels, or without finite values.
        """
        file = self._file(name)
        found = self._map(file)
        size = (int(image.shape[2]), int(image.shape[3]))
        if tuple(found.shape) != size:
            self._progress.warn(
                f"the depth map '{file.name}' of {found.shape[1]} x {found.shape[0]} pixels was resized to the "
                f"image's {size[1]} x {size[0]}"
            )
        depth = torch.from_numpy(found)[None, None].to(self._device)
        return normalised(resized(depth, size), (0.0, 1.0))

    def _file(self, name: str | None) -> Path:
        stems = () if name is None else (Path(name).stem, Path(name).name)
        for stem in stems:
            if stem in self._files:
                return self._files[stem]
        have = sorted(self._files)
        listed = ", ".join(have[:_NAMED]) + (", ..." if len(have) > _NAMED else "")
        wanted = f"'{stems[0]}'" if stems else "an image without a name"
        raise UsageError(f"The folder '{self._folder}' has no depth map for {wanted}; it has {listed}.")

    def _map(self, file: Path) -> NDArray[np.float32]:
        """Map (h, w) with finite values."""
        values = _array(file) if file.suffix.lower() == _ARRAY else _pixels(file)
        known = np.isfinite(values)
        if not known.any():
            raise ImageError(f"The depth map '{file}' holds no number at all; make it anew.")
        if not known.all():
            self._progress.warn(
                f"the depth map '{file.name}' holds {int((~known).sum())} values that are no numbers; they count as "
                "farthest"
            )
            values = np.where(known, values, values[known].min())
        return np.ascontiguousarray(values, dtype=np.float32)


def _pixels(file: Path) -> NDArray[np.float32]:
    """Values (h, w) of a gray image, or of a colour image with equal channels."""
    colour = read_image(file).colour
    if not (colour == colour[:, :, :1]).all():
        raise ImageError(f"The depth map '{file}' is in colour; expected a gray image, 8 or 16 bit.")
    return colour[:, :, 0].astype(np.float32)


def _array(file: Path) -> NDArray[np.float32]:
    """Array (h, w), read with an optional third side of 1."""
    try:
        values = np.load(file, allow_pickle=False)
    except Exception as error:  # NumPy's header parser raises various exceptions without a common base
        raise ImageError(
            f"The depth map '{file}' cannot be read ({first_line(error)}); expected an array that numpy.save wrote."
        ) from error
    if isinstance(values, np.ndarray) and values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[:, :, 0] if values.shape[2] == 1 else values[0]
    if (
        not isinstance(values, np.ndarray)
        or values.ndim != 2
        or not values.size
        or values.dtype.kind not in "fiu"
    ):
        shape, kind = getattr(values, "shape", None), getattr(values, "dtype", type(values).__name__)
        raise ImageError(
            f"The depth map '{file}' holds {kind} of shape {shape}; expected real numbers (h, w)."
        )
    with np.errstate(over="ignore"):  # values out of range become infinite, and count as non-finite
        return values.astype(np.float32)
