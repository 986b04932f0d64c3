"""Weights between two of the same network: network interpolation (ESRGAN, Wang et al. 2018, Section 3.4).

    python tests/bench/blend_weights.py START.safetensors END.safetensors OUT.safetensors --share 0.37

What adversarial training adds, artefacts included, is scaled down with the share. Then the last layers, whose channels
are the pixels that each LR pixel becomes, are made to give all of these the same where nothing changes around: what
they differ by is a pattern of dots on everything flat. Last, the network is told to keep mean colours (`keep_colour`),
which drift by two or three levels.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from srkit.archs.table import build
from srkit.zoo.load import load_model
from srkit.zoo.weights import save_weights

KEEP_COLOUR = 8
"""Radius of the squares whose mean colour the network then keeps (`srkit.archs.cria`)."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("start")
    parser.add_argument("end")
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, required=True, help="0: START, 1: END")
    chosen = parser.parse_args()
    start, end = (load_model(path) for path in (chosen.start, chosen.end))
    if end.header is None or start.header is None:
        raise SystemExit("both must be weights of srkit")
    arguments = end.header.arguments | {"keep_colour": KEEP_COLOUR}
    network = build(end.header.arch, arguments).eval()
    network.load_state_dict(end.network.state_dict())
    other = start.network.state_dict()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.copy_(torch.lerp(other[name].float(), tensor.float(), chosen.share))
        for weight, bias in last_layers(network):
            level_phases(weight, bias)
    header = replace(
        end.header,
        arguments=arguments,
        overlap=max(start.overlap, end.overlap) + KEEP_COLOUR + 1,
        steps=(start.header.steps or 0) + (end.header.steps or 0),
        recipe=f"{end.header.recipe}, {chosen.share:g} of the way from {start.header.recipe}",
        scores={},
    )
    save_weights(chosen.out, network, header)


def last_layers(network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of the convolution before the PixelShuffle of every head."""
    layers = dict(network.named_parameters())
    names = [name for name in layers if name.endswith("reconstruction.layers.0.weight")]
    return [(layers[name], layers[name.replace(".weight", ".bias")]) for name in names]


def level_phases(weight: Tensor, bias: Tensor) -> None:
    """The same answer of all pixels that an LR pixel becomes to features that are the same all around it.

    Args:
        weight: (3 s^2, C, 3, 3), a colour's pixels one after another.
        bias: (3 s^2,).
    """
    taps = weight.unflatten(0, (3, -1))
    answers = taps.sum((3, 4), keepdim=True)
    taps.sub_((answers - answers.mean(1, keepdim=True)) / 9)
    shared = bias.unflatten(0, (3, -1))
    shared.copy_(shared.mean(1, keepdim=True).expand_as(shared))


if __name__ == "__main__":
    main()
