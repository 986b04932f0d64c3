"""Weights of an SRVGGNetCompact whose least used channels are given over to colours, to go on training from.

    SRKIT_DATA=... python experiments/colour_path.py srvgg-x4 runs/srvgg-x4-colours.safetensors

See `srkit.archs.srvgg.SRVGG.carry_colours`. A channel's use is, summed over the layers, how much of what the next
convolution gives comes from it on photographs: the root mean square of its activations times the norm of the weights
that read it, over that of all channels. It prints the chosen ones and what PSNR is lost before training goes on.
"""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments.images import batch, benchmark, data_root, levels, photographs, read_rgb8
from experiments.study import read_options, study_parser
from srkit.archs.srvgg import COLOUR_CHANNELS, SRVGG
from srkit.data.pairs import make_lr
from srkit.metrics.protocols import PROTOCOLS, compared
from srkit.metrics.psnr import psnr
from srkit.zoo.load import load_model
from srkit.zoo.weights import save_weights

_PHOTOGRAPHS, _SIDE = 20, 192


def main() -> None:
    parser = study_parser(__doc__, writes=False)
    parser.add_argument("model", help="a name or a file")
    parser.add_argument("output", type=Path)
    options = read_options(parser)
    model = load_model(options.model)
    network = copy.deepcopy(model.network).float()
    if not isinstance(network, SRVGG) or model.header is None:
        raise SystemExit(f"{options.model} is no SRVGGNetCompact of srkit's")
    files = photographs(data_root() / "train")[:: 250 // _PHOTOGRAPHS]
    images = [batch(make_lr(read_rgb8(file)[:_SIDE, :_SIDE], 2)) for file in files]
    use = usage(network, torch.cat([one for one in images if one.shape[2:] == (_SIDE // 2, _SIDE // 2)]))
    chosen = sorted(use.argsort()[:COLOUR_CHANNELS].tolist())
    before = mean_psnr(network)
    network.carry_colours(chosen)
    print(f"channels {chosen}, {use[chosen].sum() / use.sum():.1%} of all use")
    print(f"Set5 {before:.2f} dB before, {mean_psnr(network):.2f} dB after")
    save_weights(options.output, network, model.header)


@torch.no_grad()
def usage(network: SRVGG, images: Tensor) -> Tensor:
    """(F,): what share each channel of the trunk has in what reads it, summed over the layers."""
    total = torch.zeros(network.features)
    x = images
    for layer, reader in itertools.pairwise([*network.trunk, network.reconstruction]):
        x = layer(x)
        if isinstance(reader, nn.Conv2d):
            given = x.std(dim=(0, 2, 3)) * reader.weight.flatten(2).norm(dim=(0, 2))
            total += given / given.sum()
    return total


@torch.no_grad()
def mean_psnr(network: SRVGG) -> float:
    """On Set5, by the classical protocol."""
    found = []
    for hr in benchmark(["Set5"], network.scale):
        sr = network(batch(make_lr(hr, network.scale))).clamp(0, 1)
        eight = (sr * 255).round().to(torch.uint8)
        found.append(float(psnr(*compared(eight, levels(hr), PROTOCOLS["classical"], network.scale))))
    return sum(found) / len(found)


if __name__ == "__main__":
    main()
