"""Small models for open_clip, and files of random weights as others write them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
_VIT = {"image_size": 48, "layers": 2, "width": 64, "patch_size": 16}
_CONFIGS: dict[str, dict[str, Any]] = {
    "tiny-vit": {"vision_cfg": _VIT},
    "tiny-vit-quickgelu": {"vision_cfg": _VIT, "quick_gelu": True},
    "tiny-deep": {"vision_cfg": {**_VIT, "layers": 12}},
    "tiny-resnet": {"vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}},
    "tiny-timm": {
        "vision_cfg": {
            "image_size": 64,
            "timm_model_name": "test_convnext",
            "timm_pool": "",
            "timm_proj": "linear",
        },
        "custom_text": True,
    },
    "tiny-pooled": {
        "vision_cfg": {**_VIT, "attentional_pool": True, "attn_pooler_queries": 5, "attn_pooler_heads": 2}
    },
}


def register(folder: Path) -> None:
    """Make the small models known to open_clip, beside its own."""
    import open_clip

    for name, config in _CONFIGS.items():
        (folder / f"{name}.json").write_text(json.dumps({"embed_dim": 24, "text_cfg": _TEXT, **config}))
    open_clip.add_model_config(folder)


def network(config: str, *, quick_gelu: bool = False, seed: int = 0) -> Any:
    """open_clip's own network, with random weights, frozen and in evaluation mode."""
    import open_clip

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        made = open_clip.create_model(config, force_quick_gelu=quick_gelu)
        for name, parameter in made.named_parameters():
            # As they begin, a ResNet's blocks do nothing, and a transformer's activations next to nothing.
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
            elif name.endswith("mlp.c_proj.weight"):
                parameter.data *= 16
    return made.eval().requires_grad_(False)


def save_as_openai(made: Any, path: Path) -> None:
    """A TorchScript archive in OpenAI's form: half precision but for norms, and three numbers as buffers."""
    import open_clip

    side = made.visual.image_size
    for name, value in (("input_resolution", side), ("context_length", 77), ("vocab_size", 49408)):
        holder = torch.tensor(value[0] if isinstance(value, tuple) else value)
        if hasattr(made, name):
            delattr(made, name)
        made.register_buffer(name, holder)
    open_clip.convert_weights_to_fp16(made)
    script = torch.jit.trace_module(_Weights(made), {"forward": (torch.zeros(1),)}, check_trace=False)
    script.save(str(path))


class _Weights(torch.nn.Module):
    """A program that does next to nothing, around the weights of a network under their own names."""

    def __init__(self, made: Any) -> None:
        super().__init__()
        for name, child in made.named_children():
            self.add_module(name, child)
        for name, parameter in made.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in made.named_buffers(recurse=False):
            self.register_buffer(name, buffer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1
