"""Weights between two of the same network: network interpolation (ESRGAN, Wang et al. 2018, Section 3.4).

    python tests/bench/blend_weights.py START.safetensors END.safetensors OUT.safetensors --share 0.35 --data photos/

What adversarial training adds, artefacts included, is scaled down with the share. Then the mean colours are put right:
what every 20th picture by sorted name, which training held out, gains or loses in each channel is taken from the biases
of the last layers (of both heads, whose shares add to 1). The LR pictures for it are bicubic: noise that is cut off at
black makes dark pictures brighter than they were, and a network that sees that is not to be corrected for it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from srkit.data.pairs import as_tensor, crop_to_multiple, make_lr
from srkit.io.training import list_training_pictures, read_rgb8
from srkit.zoo.load import load_model
from srkit.zoo.weights import save_weights

HOLDOUT_EVERY = 20  # of the recipes
SIDE = 384
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("start")
    parser.add_argument("end")
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, required=True, help="0: START, 1: END")
    parser.add_argument("--data", type=Path, required=True)
    chosen = parser.parse_args()
    start, end = (load_model(path) for path in (chosen.start, chosen.end))
    if end.header is None or start.header is None:
        raise SystemExit("both must be weights of srkit")
    network = end.network.eval()
    other = start.network.state_dict()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.copy_(torch.lerp(other[name].float(), tensor.float(), chosen.share))
        shift = colour_shift(network, end.info.scale, chosen.data)
        print("mean colours were off by", *(f"{255 * float(value):+.2f}" for value in shift), "of 255")
        take_from_biases(network, shift)
        again = colour_shift(network, end.info.scale, chosen.data)
        print("now by", *(f"{255 * float(value):+.2f}" for value in again))
    header = replace(
        end.header,
        overlap=max(start.overlap, end.overlap),
        steps=(start.header.steps or 0) + (end.header.steps or 0),
        recipe=f"{end.header.recipe}, {chosen.share:g} of the way from {start.header.recipe}",
        scores={},
    )
    save_weights(chosen.out, network, header)


def colour_shift(network: nn.Module, scale: int, data: Path) -> Tensor:
    """(3,): the mean of what is made less that of what it is made from, over the pictures held out."""
    shifts = []
    for path in list_training_pictures([data])[::HOLDOUT_EVERY]:
        hr = crop_to_multiple(read_rgb8(path)[:SIDE, :SIDE], scale)
        if min(hr.shape[:2]) < 128:
            continue
        lr = as_tensor(make_lr(hr, scale), CPU)
        sr = network(lr).clamp(0, 1)
        shifts.append(sr.mean((0, 2, 3)) - lr.mean((0, 2, 3)))
    return torch.stack(shifts).mean(0)


def take_from_biases(network: nn.Module, shift: Tensor) -> None:
    """From the last layer of every head, whose channels are those of a colour, one after another."""
    for name, parameter in network.named_parameters():
        if name.endswith("reconstruction.layers.0.bias"):
            parameter.sub_(shift.repeat_interleave(len(parameter) // len(shift)))


if __name__ == "__main__":
    main()
