"""Interpolation between the weights of two networks (ESRGAN, Wang et al. 2018, Section 3.4), and the pairs of models
for the dials of `srkit upscale`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from srkit.errors import UsageError
from srkit.progress import Progress
from srkit.zoo.header import Header
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.manifest import Manifest
from srkit.zoo.weights import encode_weights

_ALIKE = ("arch", "arguments", "scale", "task")
"""Fields in which the headers of two networks must agree."""


def check_share(name: str, share: float | None) -> None:
    """Check that a share is a number in [0, 1], or None.

    Raises:
        UsageError: it is not; the message contains `name`.
    """
    if share is not None and not 0 <= share <= 1:
        raise UsageError(f"`{name}` is {share:g}; it must be from 0 to 1.")


def blend(start: LoadedModel, end: LoadedModel, alpha: float) -> LoadedModel:
    """Network with the weights (1 - alpha) `start` + alpha `end`, rounded to fp16 as in a file.

    The header names both with their sha256 and licences. The sha256 is that of the network's file by `encode_weights`.
    Learned rates of adaptation are dropped.

    Args:
        alpha: 0: `start`, 1: `end`.

    Raises:
            UsageError: alpha is outside [0, 1], weights belong to a foreign network, or the networks differ in more
                than weights.
            ResourceError: an interpolated weight is not finite in fp16.
    """
    check_share("alpha", alpha)
    header = _header(start, end, alpha)
    network, other = deepcopy(end.network), start.network.state_dict()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.lerp(other[name].float(), tensor.float(), alpha).half())
    return replace(
        end,
        name=f"{1 - alpha:g} {start.name} + {alpha:g} {end.name}",
        network=network,
        overlap=max(start.overlap, end.overlap),
        sha256=hashlib.sha256(encode_weights(network, header)).hexdigest(),
        header=header,
        rates={},
    )


def turned(model: LoadedModel, dials: Mapping[str, float], progress: Progress | None = None) -> LoadedModel:
    """Model with its dials set, one after another: 1 is the unmodified network, 0 the other end of the pair.

    Args:
        dials: values in [0, 1] by name (`strength`, `denoise`).

    Raises:
        UsageError: a value outside [0, 1], a model without such a pair, or a pair that cannot be interpolated.
        ResourceError: the other model is missing or damaged.
    """
    found = model
    for dial, share in dials.items():
        check_share(dial, share)
        other = pair_of(model, dial)
        if other is None:
            raise without_pair(model.name, dial)
        if share < 1:
            found = blend(load_model(other, progress=progress), found, share)
    return found


def pair_of(model: LoadedModel, dial: str) -> str | Path | None:
    """Other end of a model's dial: from the manifest, else from its header; None without a pair.

    A header gives a name of the manifest, or a file's path relative to the folder of the model's file.
    """
    manifest = Manifest.load()
    if model.name in manifest and manifest.entry(model.name).path == model.path:
        return manifest.entry(model.name).pairs.get(dial)
    named = model.header.pairs.get(dial) if model.header is not None else None
    if named is None or named in manifest:
        return named
    return model.path.parent / named


def without_pair(name: str, dial: str) -> UsageError:
    """Error for a model without a pair for a dial; it names the models that have one."""
    have = [entry.name for entry in Manifest.load() if dial in entry.pairs]
    others = f"models with one are {', '.join(have)}: choose one" if have else "no shipped model has one"
    return UsageError(
        f"`{dial}` needs a model with a pair to go between, and '{name}' has none; {others}, or leave it out."
    )


def header_pair(start: str, folder: Path) -> str:
    """Name or relative path, for the header of a file in `folder`, of the model that its training started from."""
    path = Path(start).expanduser()
    return start if start in Manifest.load() or not path.exists() else os.path.relpath(path, folder)


def moved_pairs(pairs: Mapping[str, str], source: Path, target: Path) -> dict[str, str]:
    """Pairs of a file in the folder `source`, with paths for a copy in the folder `target`."""
    known = Manifest.load()
    return {
        dial: named if named in known else header_pair(str(source / named), target)
        for dial, named in pairs.items()
    }


def _header(start: LoadedModel, end: LoadedModel, alpha: float) -> Header:
    """Header of the blend, after a check that both networks are compatible."""
    first, last = _of(start), _of(end)
    shared = first.providers.keys() & last.providers.keys()
    compared: dict[str, tuple[Any, Any]] = {f: (getattr(first, f), getattr(last, f)) for f in _ALIKE}
    of_first, of_last = ({role: h.providers[role] for role in shared} for h in (first, last))
    compared["providers"] = of_first, of_last
    for field, (found, expected) in compared.items():
        if found != expected:
            raise UsageError(
                f"'{start.name}' and '{end.name}' cannot be blended: '{field}' is {_difference(found, expected)}; "
                "choose two networks that differ by their weights alone."
            )
    return replace(
        last,
        overlap=max(start.overlap, end.overlap),
        providers=first.providers | last.providers,
        recipe=f"{first.recipe} to {last.recipe}, alpha {alpha:g}",
        recipe_sha256="",
        steps=None,
        licence=_both(first.licence, last.licence),
        training_data=_both(first.training_data, last.training_data),
        scores={},
        rates={},
        adapted={},
        pairs={},
        blended={
            "alpha": alpha,
            "of": [_made_of(start), _made_of(end)],
        },
    )


def _made_of(model: LoadedModel) -> dict[str, Any]:
    """Entry of the blend's header for one of the two models."""
    header = _of(model)
    said = {"name": model.name, "sha256": model.sha256, "licence": header.licence}
    return said | ({"blended": header.blended} if header.blended else {})


def _of(model: LoadedModel) -> Header:
    if model.header is None:
        raise UsageError(
            f"'{model.path}' is no weights file of srkit, and only such are blended; choose another model."
        )
    return model.header


def _difference(found: object, expected: object) -> str:
    """Two values in words; of mappings only the entries that differ."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        keys = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
        return " and ".join(str({k: table.get(k) for k in keys}) for table in (found, expected))
    return f"{found!r} and {expected!r}"


def _both(first: str, second: str) -> str:
    """Two texts joined; duplicates and empty texts are left out."""
    return " and ".join(dict.fromkeys(text for text in (first, second) if text))
