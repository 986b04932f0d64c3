"""What an upscaling is asked to do, and the images that it is done to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from srkit.recipes.shard import Shard
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.batch import FileItem
from srkit.tasks.places import Existing, Place

STREAM = Path("-")
"""How standard input and output are called in paths and records."""
RECIPE_EXTENSION = ".srkit.json"

_MAP_BYTES = 3 * (2 + 1)  # of a part of an image: as the network gave it, and as it is written
_KERNEL_BYTES = 4 * (15 + 5)  # of a kernel map in memory, for each pixel


@dataclass(frozen=True)
class UpscaleJob:
    """A recipe, what to apply it to, and where the results go."""

    recipe: UpscaleRecipe
    input: str
    output: Path
    recursive: bool = False
    suffix: str = ""
    existing: Existing = "refuse"
    save_recipe: bool = False
    command: tuple[str, ...] = ()
    """The command line, for the saved recipe."""
    into_folder: bool = False
    """`output` is a folder, even if its name looks like a file's and it is not there yet."""
    data: bytes | None = None
    """The encoded image to upscale, instead of what `input` names (standard input)."""
    sink: Callable[[bytes], None] | None = None
    """Takes the encoded result, instead of a file (standard output)."""
    kernel_map: Path | None = None
    """The image's blur, or a folder with that of each image by name; for networks that are conditioned on it."""
    shard: Shard | None = None
    """Take this part of a folder's images."""
    prompts: Path | None = None
    """What each image shows, in words (`srkit.data.captions.find_captions`), in place of the recipe's `prompt`."""
    debug_maps: Path | None = None
    """Folder for what the network makes each image of, as images of the results' size: NAME-PART.png."""


@dataclass(frozen=True)
class Item(FileItem):
    """An image that is upscaled."""

    format: str
    width: int = 0
    height: int = 0
    kernel_map: Path | None = None
    prompt: str = ""
    maps: Mapping[str, Path] = field(default_factory=dict)
    """Where each part of what the network makes the image of goes."""

    @property
    def factor(self) -> float:
        """Output pixels for an input pixel, along the side that grows more; 0 where it cannot be done."""
        if self.info is None or self.error is not None:
            return 0.0
        return max(self.width / self.info.width, self.height / self.info.height)

    @property
    def depth(self) -> int:
        """Bits per sample; 8 where nothing is known."""
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
        """In memory at once: the input, the result, and a copy of the result on its way out."""
        if self.info is None:
            return 0
        sample, pixels = self.info.depth // 8, self.info.width * self.info.height
        kernels = _KERNEL_BYTES * pixels if self.kernel_map is not None else 0
        result = self.width * self.height
        return (4 * pixels + 7 * result) * sample + kernels + _MAP_BYTES * len(self.maps) * result
