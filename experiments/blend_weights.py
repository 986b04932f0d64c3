"""Interpolation of the weights of two networks (network interpolation: ESRGAN, Wang et al. 2018, Section 3.4).

    python experiments/blend_weights.py START.safetensors END.safetensors OUT.safetensors --alpha 0.37

What adversarial training adds, artefacts included, is scaled down with alpha. Then the last layers, whose channels are
the s x s pixels of each LR pixel, are changed to give all of these the same value in flat areas, where any difference
between them is a pattern of dots. Last, `keep_colour` is set, because mean colours drift by two or three levels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments.study import read_options, study_parser
from srkit.archs.table import build
from srkit.zoo.blend import blend
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.weights import save_weights

KEEP_COLOUR = 8
"""Radius of the squares whose mean colour the network keeps (`srkit.archs.cria`)."""


def main() -> None:
    parser = study_parser(__doc__, writes=False)
    parser.add_argument("start")
    parser.add_argument("end")
    parser.add_argument("out", type=Path)
    parser.add_argument("--alpha", type=float, required=True, help="0: START, 1: END")
    options = read_options(parser)
    start, end = (_keeping_colour(load_model(path)) for path in (options.start, options.end))
    blended = blend(start, end, options.alpha)
    if blended.header is None or start.header is None or end.header is None:
        raise SystemExit("START and END must both be weights of srkit.")
    with torch.no_grad():
        for weight, bias in last_layers(blended.network):
            level_phases(weight, bias)
    steps = (start.header.steps or 0) + (end.header.steps or 0)
    save_weights(options.out, blended.network, replace(blended.header, steps=steps))


def _keeping_colour(model: LoadedModel) -> LoadedModel:
    """The model with `keep_colour`, which has no weights."""
    if model.header is None:
        raise SystemExit(f"{model.path} is no weights file of srkit.")
    arguments = model.header.arguments | {"keep_colour": KEEP_COLOUR}
    network = build(model.header.arch, arguments).eval()
    network.load_state_dict(model.network.state_dict())
    added = 0 if model.header.arguments.get("keep_colour") else KEEP_COLOUR + 1
    header = replace(model.header, arguments=arguments)
    return replace(model, network=network, header=header, overlap=model.overlap + added)


def last_layers(network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of the convolution before the PixelShuffle of every head."""
    layers = dict(network.named_parameters())
    names = [name for name in layers if name.endswith("reconstruction.layers.0.weight")]
    return [(layers[name], layers[name.replace(".weight", ".bias")]) for name in names]


def level_phases(weight: Tensor, bias: Tensor) -> None:
    """Give all s x s pixels of an LR pixel the same response to features that are constant around it; in place.

    Args:
        weight: (3 s^2, C, 3, 3), the pixels of a colour in a row.
        bias: (3 s^2,).
    """
    taps = weight.view(3, -1, *weight.shape[1:])
    responses = taps.sum((3, 4), keepdim=True)
    taps.sub_((responses - responses.mean(1, keepdim=True)) / 9)
    shared = bias.view(3, -1)
    shared.copy_(shared.mean(1, keepdim=True).expand_as(shared))


if __name__ == "__main__":
    main()
