"""Locations given by a URL, with the part of `pathlib.Path`'s interface that datasets need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srkit.progress import Progress

if TYPE_CHECKING:
    from srkit.io.read import Encoded


@dataclass(frozen=True)
class Remote:
    """Folder or file by its URL, accessed lazily."""

    url: str
    """URL without a trailing slash."""

    def __fspath__(self) -> str:
        return self.url

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    @property
    def parent(self) -> Remote:
        return Remote(self.url.rpartition("/")[0])

    def resolve(self) -> Remote:
        return self

    def is_dir(self) -> bool:
        """Return whether the folder has any content. Raises SrkitError if the location does not answer."""
        from srkit.io.storage import Storage

        return Storage(self.url).is_folder()

    def images(self, progress: Progress | None = None) -> list[Remote]:
        """Images directly in the folder, as in `srkit.io.folders.find_images`. Raises SrkitError if there are none."""
        from srkit.io.folders import image_names
        from srkit.io.storage import Storage

        names = Storage(self.url).names(recursive=False)
        return [self / name for name in image_names(names, self.url, recursive=False, progress=progress)]

    def read(self) -> Encoded:
        """Read the file's bytes. Raises SrkitError if unavailable."""
        from srkit.io.storage import Storage

        return Storage(self.parent.url).read(self.name)


def place_of(text: str) -> Path | Remote:
    """Location of a path or URL; `file://` gives a path."""
    from srkit.io.storage import is_url, without_file

    text = without_file(text)
    return Remote(text.rstrip("/")) if is_url(text) else Path(text)
