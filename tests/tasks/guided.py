"""Weights of a small text-guided network, for the tests of prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from srkit.archs.clipsr import CLIPSR
from srkit.archs.table import build
from srkit.encoders.text import text_encoder
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights

ARGUMENTS: dict[str, Any] = {
    "scale": 4,
    "features": 8,
    "blocks": 1,
    "stages": [8, 6],
    "widths": [4, 6],
    "prompts": 2,
    "guide_features": 2,
    "readings": 1,
    "reading_blocks": 1,
    "heads": 2,
    "side": 16,
}


def save(path: Path, provider: str, version: str = "", **changes: Any) -> Path:
    """Weights of a small network in which nothing is zero, for a text encoder."""
    encoder = text_encoder(provider, torch.device("cpu"))
    widths = {
        "sentence_dim": encoder.dim,
        "word_channels": encoder.word_channels,
        "map_channels": encoder.map_channels,
    }
    arguments = ARGUMENTS | widths | changes
    torch.manual_seed(0)
    network = build("clipsr", arguments)
    assert isinstance(network, CLIPSR)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    providers = {"text": provider, "text version": version or encoder.version}
    header = Header(arch="clipsr", arguments=arguments, scale=4, overlap=network.info.receptive_field)
    save_weights(path, network, replace(header, providers=providers), dtype=torch.float32)
    return path
