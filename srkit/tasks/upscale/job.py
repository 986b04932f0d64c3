"""Job of an upscaling, and its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from srkit.recipes.shard import Shard
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.batch import FileItem
from srkit.tasks.places import Existing, Place

STREAM = Path("-")
"""Name of standard input and output in paths and records."""
RECIPE_EXTENSION = ".srkit.json"

_MAP_BYTES = 3 * (2 + 1)  # bytes per pixel of a part: the network's output, and the encoded image
_KERNEL_BYTES = 4 * (15 + 5)  # bytes per pixel of a kernel map in memory


@dataclass(frozen=True)
class UpscaleJob:
    """Recipe, images and outputs of an upscaling."""

    recipe: UpscaleRecipe
    input: str
    output: Path
    recursive: bool = False
    suffix: str = ""
    existing: Existing = "refuse"
    save_recipe: bool = False
    command: tuple[str, ...] = ()
    """Command line, for the saved recipe."""
    into_folder: bool = False
    """Treat `output` as a folder, even if its name looks like a file's and it does not exist yet."""
    data: bytes | None = None
    """Encoded image to upscale, instead of `input` (standard input)."""
    sink: Callable[[bytes], None] | None = None
    """Function that receives the encoded result, instead of a file (standard output)."""
    kernel_map: Path | None = None
    """Kernel map of the image, or folder of maps by image name, for networks that are conditioned on kernels."""
    shard: Shard | None = None
    """Process only this part of a folder's images."""
    prompts: Path | None = None
    """Captions of the images (`srkit.data.captions.find_captions`), in place of the recipe's `prompt`."""
    debug_maps: Path | None = None
    """Folder for the network's parts of each result, as images of the result's size: NAME-PART.png."""


@dataclass(frozen=True)
class Item(FileItem):
    """An image to upscale."""

    format: str
    width: int = 0
    height: int = 0
    kernel_map: Path | None = None
    prompt: str = ""
    maps: Mapping[str, Path] = field(default_factory=dict)
    """Path of each part (`UpscaleJob.debug_maps`) or further sample."""

    @property
    def factor(self) -> float:
        """Ratio of output to input pixels along the side with the larger ratio; 0 if the image cannot be upscaled."""
        if self.info is None or self.error is not None:
            return 0.0
        return max(self.width / self.info.width, self.height / self.info.height)

    @property
    def depth(self) -> int:
        """Bits per sample; 8 if unknown."""
        return 8 if self.info is None else self.info.depth

    @property
    def outputs(self) -> tuple[Path, ...]:
        return (*([] if self.target == STREAM else [self.target]), *self.maps.values())

    @property
    def map_places(self) -> list[Place]:
        return [Place(self.source, path) for path in self.maps.values()] if self.error is None else []

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def bytes(self) -> int:
        """Bytes in memory at once: the input, the result, and a copy of the result for writing."""
        if self.info is None:
            return 0
        sample, pixels = self.info.depth // 8, self.info.width * self.info.height
        kernels = _KERNEL_BYTES * pixels if self.kernel_map is not None else 0
        result = self.width * self.height
        return (4 * pixels + 7 * result) * sample + kernels + _MAP_BYTES * len(self.maps) * result
