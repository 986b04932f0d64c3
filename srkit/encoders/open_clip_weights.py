"""Weights of open_clip's models: the file, its preprocessing and activation, and the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from srkit.encoders.torchscript import is_torchscript, read_script_tensors
from srkit.encoders.weight_files import FoundWeights, WeightFile, find_weights, read_plain, tensors_by_name
from srkit.errors import ResourceError, UsageError, first_line, nearest
from srkit.progress import Progress
from srkit.zoo.connectivity import offline_variable
from srkit.zoo.files import check_checkpoint, sha256_of
from srkit.zoo.weights import read_tensors

_HUB_FILE = "open_clip_model.safetensors"
"""Name of the weights in a repository that open_clip's table lists without a file."""
_LISTED = 8  # tags in a message
_OPENAI_MARKS = ("input_resolution", "context_length", "vocab_size")
"""Buffers that only OpenAI's archives hold in addition to the weights."""


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of open_clip for given weights."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    """`bicubic` or `bilinear`, antialiased."""


@dataclass(frozen=True)
class ClipModel:
    """open_clip model with its weights: fp32, on the CPU, frozen, in evaluation mode."""

    network: Any
    config: str
    """Name of the architecture in open_clip."""
    preprocessing: Preprocessing
    label: str
    """Architecture, activation and checksum of the weights."""


def load_clip(model: str, pretrained: str, progress: Progress | None = None) -> ClipModel:
    """Find and read the weights, and build the network.

    Args:
        model: open_clip model name (`ViT-B-32`, `RN50`), with the suffix `-quickgelu` or `-gelu` if a file does not
            determine its activation.
        pretrained: a tag of open_clip for that model (`openai`), else a checkpoint file.
        progress: display of downloads.

    Raises:
        UsageError: no such model, or an activation that is undetermined or differs from the weights'.
        ResourceError: open_clip is not installed, or the weights are missing, damaged or of another model.
    """
    open_clip = import_open_clip()
    config, named = _config(model)
    published = open_clip.get_pretrained_cfg(config, pretrained)
    if published:
        # Older releases mark OpenAI's weights as QuickGELU only by their tag.
        quick = bool(published.get("quick_gelu", pretrained.lower() == "openai")) or _always_quick(config)
        _check_named(named, quick, model, f"the weights '{pretrained}'")
        found = _published(config, pretrained, published, progress)
        state, is_script = _read(found.path)
    else:
        found = _local(config, pretrained)
        state, is_script = _read(found.path)
        quick = _activation(state, config, named, model, found.path)
    network = _build(config, quick)
    _fill(network, {k: v for k, v in state.items() if k not in _OPENAI_MARKS}, config, found.path, is_script)
    label = f"{config}{' with QuickGELU' if quick else ''}, sha256 {found.sha256[:12]}"
    return ClipModel(
        network.float().eval().requires_grad_(False), config, _preprocessing(config, published), label
    )


def import_open_clip() -> Any:
    """Import open_clip.

    Raises:
        ResourceError: it is not installed.
    """
    offline_variable()  # before its client of the Hub is imported
    try:
        import open_clip
    except ModuleNotFoundError as error:
        raise ResourceError(
            f"The encoder 'open_clip' needs the package 'open_clip_torch', and '{error.name}' is not installed; run "
            "pip install open_clip_torch, or use the encoder 'compact'."
        ) from error
    return open_clip


def _config(model: str) -> tuple[str, bool | None]:
    """Name of the model in open_clip, and whether the activation is QuickGELU, if the name determines it."""
    open_clip = import_open_clip()
    name, known = model.replace("/", "-"), open_clip.list_models()
    for suffix, quick in (("-quickgelu", True), ("-gelu", False)):
        if name.endswith(suffix) and (base := name.removesuffix(suffix)) in known:
            return base, quick
    if name not in known:
        raise UsageError(
            f"open_clip has no model '{model}'; `python -c 'import open_clip; print(open_clip.list_models())'` names "
            f"them all.{nearest(name, known)}"
        )
    if "multimodal_cfg" in open_clip.get_model_config(name):
        raise UsageError(
            f"'{model}' (CoCa) gives no map of its patches; choose another model, for example ViT-B-32."
        )
    return name, None


def _published(config: str, tag: str, table: Mapping[str, Any], progress: Progress | None) -> FoundWeights:
    """Find the file of a tag: in the Hub's cache, where open_clip keeps it, else like all public weights."""
    source = table.get("url", "")
    if hub := table.get("hf_hub"):
        repo, _, file = hub.rpartition("/")
        file = file or _HUB_FILE
        if cached := _in_hub_cache(repo, file):
            return cached
        source = f"hf:{repo}/{file}"
    name = f"open_clip-{config}-{tag}{Path(source).suffix}"
    return find_weights(WeightFile(name, f"{config} of open_clip", source, "checkpoints"), None, progress)


def _in_hub_cache(repo: str, file: str) -> FoundWeights | None:
    """Complete file in the cache of the Hub's client, if present; large files are stored there by SHA-256."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, file)
    if not isinstance(path, str):
        return None
    found = FoundWeights(Path(path), sha256_of(Path(path)))
    return found if found.path.resolve().name == found.sha256 else None


def _local(config: str, file: str) -> FoundWeights:
    path = Path(file).expanduser()
    if not path.exists():
        tags = import_open_clip().list_pretrained_tags_by_model(config)
        raise ResourceError(
            f"open_clip publishes no weights '{file}' of {config}, and there is no file of that name; it has "
            f"{', '.join(tags[:_LISTED]) or 'none'}{', ...' if len(tags) > _LISTED else ''}.{nearest(file, tags)}"
        )
    check_checkpoint(path)
    return FoundWeights(path, sha256_of(path))


def _read(path: Path) -> tuple[dict[str, Tensor], bool]:
    """Tensors by name, and whether they are from a TorchScript archive."""
    check_checkpoint(path)
    if path.suffix.lower() == ".safetensors":
        return read_tensors(path), False
    if is_torchscript(path):
        return read_script_tensors(path), True
    content = read_plain(path)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]  # a checkpoint of open_clip's training
    return tensors_by_name(content, path), False


def _activation(state: Mapping[str, Tensor], config: str, named: bool | None, model: str, path: Path) -> bool:
    """Return whether a file's weights need QuickGELU, x sigmoid(1.702 x), as used by OpenAI, instead of GELU.

    The wrong activation causes no error, but wrong vectors. OpenAI's files are recognisable: their archives hold the
    three marks, and a state dict saved from their package on a GPU is fp16 except for its LayerNorms.
    """
    if all(mark in state for mark in _OPENAI_MARKS):
        _check_named(named, True, model, f"'{path}' (OpenAI's)")
        return True
    if named is not None:
        return named
    if _always_quick(config):
        return True
    mixed = {state[name].dtype for name in ("text_projection", "ln_final.weight") if name in state}
    if mixed == {torch.float16, torch.float32}:
        return True
    if f"{config}-quickgelu" not in import_open_clip().list_models():
        return False  # no weights of this architecture were trained with QuickGELU
    raise UsageError(
        f"'{path}' does not say whether it was trained with QuickGELU, as OpenAI's weights were, or with GELU, as "
        f"most of LAION's, and the wrong one gives wrong vectors; write open_clip:{config}-quickgelu:FILE or "
        f"open_clip:{config}-gelu:FILE."
    )


def _always_quick(config: str) -> bool:
    """Return whether the architecture has QuickGELU for all its weights (roberta-ViT-B-32)."""
    return bool(import_open_clip().get_model_config(config).get("quick_gelu", False))


def _check_named(named: bool | None, quick: bool, model: str, whose: str) -> None:
    if named is not None and named != quick:
        is_, asked = ("QuickGELU", "GELU") if quick else ("GELU", "QuickGELU")
        base = model.removesuffix("-quickgelu").removesuffix("-gelu")
        raise UsageError(
            f"'{model}' asks for {asked}, and {whose} were trained with {is_}; write {base} in its place."
        )


def _build(config: str, quick_gelu: bool) -> Any:
    """Build open_clip's network without weights, as its `create_model` does, but without its logs and warnings."""
    open_clip = import_open_clip()
    settings = open_clip.get_model_config(config)
    settings["vision_cfg"]["timm_model_pretrained"] = settings["text_cfg"]["hf_model_pretrained"] = False
    settings["quick_gelu"] = quick_gelu
    custom = settings.pop("custom_text", False) or "hf_model_name" in settings["text_cfg"]
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    try:
        with torch.random.fork_rng(devices=[]), _NoInitialisation():
            return kind(**settings)
    except (
        Exception
    ) as error:  # towers of transformers fetch their settings, and raise what its client raises
        reason = first_line(error)
        raise ResourceError(f"open_clip cannot build '{config}' ({reason}); choose another model.") from error


class _NoInitialisation(TorchFunctionMode):
    """Skips random initialisation, which would take most of the building time, as a checkpoint replaces all weights."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _fill(network: Any, state: dict[str, Tensor], config: str, path: Path, is_script: bool) -> None:
    """Load tensors as open_clip's `load_checkpoint` does, but without adapting other sizes."""
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    try:
        state = convert_state_dict(network, state)
        if "positional_embedding" in state and not hasattr(network, "positional_embedding"):
            state = convert_to_custom_text_state_dict(state)
    except (RuntimeError, KeyError, AttributeError) as error:  # raised for files of another kind
        raise _other_weights(path, config, repr(error)) from error
    expected = network.state_dict()
    for name in ("logit_scale", "logit_bias"):  # a number in some files, a vector of one in others
        if name in state and name in expected and state[name].numel() == expected[name].numel():
            state[name] = state[name].reshape(expected[name].shape)
    # An archive also holds tensors that are no weights, and older files hold position ids of a text tower.
    spare = {k for k in state if k not in expected and (is_script or k.endswith("position_ids"))}
    state = {k: v for k, v in state.items() if k not in spare}
    if reason := _difference(state, expected):
        raise _other_weights(path, config, reason)
    network.load_state_dict(state, assign=True)


def _other_weights(path: Path, config: str, reason: str) -> ResourceError:
    return ResourceError(
        f"'{path}' does not hold the weights of open_clip's {config} ({reason}); name the model that it is of, or "
        "fetch it again."
    )


def _difference(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """Difference between a state dict and a network in words; None if there is none."""
    for names, verb in (
        (expected.keys() - state.keys(), "lacks"),
        (state.keys() - expected.keys(), "also holds"),
    ):
        if names:
            return f"it {verb} {min(names)}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape:
            return f"its {name} is of the shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
    return None


def _preprocessing(config: str, published: Mapping[str, Any]) -> Preprocessing:
    """Preprocessing of the tag; for a file, that of its architecture's published weights if they agree, or OpenAI's."""
    open_clip = import_open_clip()
    tables = (
        [published]
        if published
        else [
            open_clip.get_pretrained_cfg(config, tag)
            for tag in open_clip.list_pretrained_tags_by_model(config)
        ]
    )
    common = {
        Preprocessing(
            tuple(table.get("mean") or open_clip.OPENAI_DATASET_MEAN),
            tuple(table.get("std") or open_clip.OPENAI_DATASET_STD),
            table.get("interpolation") or "bicubic",
        )
        for table in tables
    }
    if len(common) == 1:
        return common.pop()
    return Preprocessing(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD, "bicubic")
