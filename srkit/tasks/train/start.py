"""Initial weights of a network's training."""

from __future__ import annotations

from torch import Tensor, nn

from srkit.archs.blocks import ResidualBlock
from srkit.archs.cria import Cria
from srkit.archs.esrgan import RRDBNet, centred_trunk, own_names
from srkit.errors import ResourceError, UsageError
from srkit.progress import Progress
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

_HEAD = "trunk.head.weight"  # of ESRGAN, by this project's names


def copy_start(network: nn.Module, start: str, progress: Progress, task: str = "sr") -> LoadedModel:
    """Copy every tensor that fits; a trunk can be reused for another scale, with a new reconstruction part.

    Args:
        start: name or file of a model for `task`. Of published files (ESRGAN, Real-ESRGAN, Cria-CL) the
            trunk is used, and all of ESRGAN's tensors if the network predicts whole images as it does.

    Returns:
        The model of the tensors.

    Raises:
        UsageError: no tensor fits.
        ResourceError: the weights cannot be used.
    """
    model = load_model(start, task=task, progress=progress)
    try:
        source = _tensors(model, network)
    except ResourceError as error:
        raise ResourceError(f"In '{start}': {error}") from error
    if isinstance(network, Cria):
        source |= network.begun_by(source)
    target = network.state_dict()
    fitting = {k: v for k, v in source.items() if k in target and v.shape == target[k].shape}
    if not fitting:
        raise UsageError(f"The weights '{start}' share no tensor with this network; leave model.start empty.")
    network.load_state_dict(fitting, strict=False)
    for name, module in network.named_modules():
        if isinstance(module, ResidualBlock) and f"{name}.conv2.weight" not in fitting:
            module.start_as_identity()
    progress.info(f"{len(fitting)} of {len(target)} tensors start from '{start}'")
    return model


def _tensors(model: LoadedModel, network: nn.Module) -> dict[str, Tensor]:
    """Tensors by this project's names; of published files those that this network can use."""
    if model.source == "published":  # Cria-CL's, whose trunk is ESRGAN's
        return centred_trunk(model.network.state_dict())
    if model.source == "spandrel" and model.architecture == "ESRGAN":
        from srkit.zoo.foreign import read_state, without_prefixes

        state = read_state(model.path)
        named = (own_names(candidate) for candidate in (state, *without_prefixes(state)))
        published = next((names for names in named if _HEAD in names), state)
        whole = isinstance(network, RRDBNet) and not network.skip
        return own_names(published) if whole else centred_trunk(published)
    return dict(model.network.state_dict())
