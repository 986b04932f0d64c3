"""Files of random weights under the names and in the form in which the public networks are published."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.encoders import clip_files

VGG19 = "vgg19-dcbb9e9d.pth"
ALEXNET = "alexnet-owt-7be5be79.pth"


@cache
def vgg19_layers() -> nn.Sequential:
    """torchvision's own convolutions, with random weights that keep the signal's size."""
    from torchvision.models.vgg import cfgs, make_layers

    found: nn.Sequential = make_layers(cfgs["E"], batch_norm=False)
    generator = torch.Generator().manual_seed(0)
    for module in found:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            nn.init.normal_(module.bias, std=0.1, generator=generator)  # type: ignore[arg-type]
    return found.eval().requires_grad_(False)


def save_vgg19(folder: Path) -> None:
    """torchvision's file, with but one tensor of the classifier."""
    state = {f"features.{name}": tensor for name, tensor in vgg19_layers().state_dict().items()}
    torch.save({**state, "classifier.6.bias": torch.zeros(1000)}, folder / VGG19)


def save_alexnet(folder: Path) -> None:
    """torchvision's file, features and classifier."""
    from torchvision.models import alexnet

    torch.manual_seed(0)
    torch.save(alexnet().state_dict(), folder / ALEXNET)


def save_openai_clip(config: str, folder: Path) -> Any:
    """The fp16 file of open_clip's tag `openai`; gives open_clip's network with the same weights, fp32."""
    from safetensors.torch import save_file

    network = clip_files.network(config, quick_gelu=True).half()
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, folder / f"open_clip-{config}-openai.safetensors")
    return network.float()
