"""Assignment of kernel maps to the images of an upscaling job, and checks that map, image and network agree."""

from __future__ import annotations

import os
from pathlib import Path

from srkit.conditioning.makers import CODES
from srkit.errors import UsageError
from srkit.inference.chain import Models
from srkit.io.folders import Found, find_files
from srkit.io.image import ImageInfo
from srkit.io.kernel_map import EXTENSION, KernelMapInfo, probe_kernel_map
from srkit.io.names import shown
from srkit.progress import Progress
from srkit.recipes.upscale import UpscaleRecipe


class KernelMaps:
    """One map for one image, or a folder of maps by image name.

    Args:
        path: output of `srkit estimate-kernel`: an .npz file, or a folder of them.

    Raises:
        UsageError: the path does not exist, the folder has no maps, or a file is not a kernel map.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_folder = os.path.isdir(path)  # noqa: PTH112 - Path's own raises for names that are too long
        first = path
        if self.is_folder:
            maps = sorted(find_files(path, {EXTENSION}, recursive=True))
            if not maps:
                raise UsageError(
                    f"The folder {shown(path)} holds no kernel maps (*{EXTENSION}); `srkit estimate-kernel` makes "
                    "them."
                )
            first = maps[0]
        self.scale = probe_kernel_map(first).scale
        """Scale of the maps, and of the network for them."""

    @classmethod
    def at(cls, path: Path | None) -> KernelMaps | None:
        """Maps of a job's `kernel_map`; None without one."""
        return None if path is None else cls(path)

    def of(self, found: Found) -> Path:
        """Map of an image: the file itself, or the one of its name (a/b.jpg: a/b.jpg.npz, else a/b.npz).

        Raises:
            UsageError: the folder has no map of that name.
        """
        if not self.is_folder:
            return self.path
        whole = self.path / found.relative.with_name(found.relative.name + EXTENSION)
        bare = self.path / found.relative.with_suffix(EXTENSION)
        for place in (whole, bare):
            if os.path.exists(place):  # noqa: PTH110
                return place
        raise UsageError(
            f"There is no kernel map for {shown(found.relative)} in {shown(self.path)}; expected {shown(bare.name)}: "
            "run `srkit estimate-kernel` on the same folder."
        )

    def checked(self, found: Found, image: ImageInfo, factor: float) -> Path:
        """Map of an image, checked by its header.

        Args:
            factor: ratio of output to input pixels along the side with the larger ratio.

        Raises:
            UsageError: there is none, or it is for another image size, another scale or a smaller result.
        """
        path = self.of(found)
        info = probe_kernel_map(path)
        self._check_size(path, info, found, image)
        if info.scale != self.scale:
            raise UsageError(
                f"The kernel map {shown(path)} is for x{info.scale}, and the others are for x{self.scale}; upscale "
                "them by themselves."
            )
        if factor > self.scale + 1e-9:
            raise UsageError(
                f"The kernel map {shown(path)} is for x{self.scale}, and {shown(found.path)} is to become {factor:.4g} "
                "times as large; ask for less, and enlarge the result without kernels."
            )
        return path

    @staticmethod
    def _check_size(path: Path, info: KernelMapInfo, found: Found, image: ImageInfo) -> None:
        if (info.width, info.height) != (image.width, image.height):
            raise UsageError(
                f"The kernel map {shown(path)} is for an image of {info.width} x {info.height} pixels, and "
                f"{shown(found.path)} has {image.width} x {image.height}; estimate the kernels of this one."
            )

    def models(self, recipe: UpscaleRecipe, progress: Progress | None = None) -> Models:
        """Network that is conditioned on kernels: the recipe's model, else the shipped one for the maps' scale.

        Raises:
            UsageError: the network is not conditioned on kernels or has another scale than the maps; or the factor or
                self-ensemble is not possible with kernel maps.
            ResourceError: the network is unavailable.
        """
        wanted = recipe.target.scale
        if wanted not in (None, self.scale):
            raise UsageError(
                f"`scale` is {wanted:g}, and the kernel map {shown(self.path)} is for x{self.scale}; leave `scale` "
                f"out, or estimate the kernels for x{wanted:g}."
            )
        if recipe.tta:
            raise UsageError(
                "`tta` turns the image, and the kernels of `kernel_map` do not turn with it; give one."
            )
        name = f"nbsr-x{self.scale}" if recipe.model == "auto" else recipe.model
        models = Models(name, progress, dials=recipe.dials)
        model = models.get(self.scale if self.scale in models.scales else models.own_scale)
        if CODES not in model.info.conditioning:
            raise UsageError(
                f"The model '{model.name}' is not conditioned on the blur; with `kernel_map` leave `model` out, "
                "or give an NBSR."
            )
        if model.info.scale != self.scale:
            raise UsageError(
                f"The kernel map {shown(self.path)} is for x{self.scale}, and the model '{model.name}' upscales "
                f"x{model.info.scale}; choose another model, or estimate the kernels for x{model.info.scale}."
            )
        return models if models.scales == [self.scale] else Models.of(model)
