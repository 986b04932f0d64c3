"""Learners of feature networks without labels: network, auxiliary heads, and loss.

A learner is an `nn.Module` with the network as its attribute `network`. Called with views it returns the loss terms by
name; `loss` is minimised.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.compact import CompactEncoder
from srkit.archs.judge import JudgeNetwork
from srkit.data.views import CLEAN, Views
from srkit.errors import UsageError
from srkit.ops.layout import in_precision
from srkit.recipes.encoder import EncoderRecipe, Objective

TASKS: Mapping[Objective, str] = {"contrast": "encoder", "exemplar": "judge"}
"""Task of the weights of each objective, for their headers."""

_WEAKEST = 0.25
_SMOOTHING = 0.1  # label smoothing over images: a crop of sky could be of many images


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy (Chen et al. 2020, SimCLR, Eq. 1); a scalar.

    Args:
            first: unit vectors (I, D) of one view of each instance.
            second: unit vectors of the other view.
            temperature: above 0.
    """
    z = torch.cat([first, second])
    count = len(first)
    similarity = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(2 * count, device=z.device).roll(count)
    return F.cross_entropy(similarity, partner)


def quality_error(estimate: Tensor, views: Views) -> Tensor:
    """Squared error of estimated degradation strengths (V, `DEGRADATIONS`); a scalar.

    The target is 0 for clean views, from a quarter for the weakest degradation to 1 for the strongest. The loss is the
    mean error of all views plus the error of the differences between each degraded view and its clean twin, which show
    the same content, so that their difference is due to the degradation alone.
    """
    true = F.one_hot(views.kind, CLEAN + 1)[:, :CLEAN] * (_WEAKEST + (1 - _WEAKEST) * views.strength[:, None])
    error = estimate.float() - true
    mean = error.square().sum(1).mean()
    degraded = (views.kind != CLEAN).view(2, -1)
    twins = int(degraded[0].sum())
    if not twins:
        return mean
    halves = error.view(2, -1, CLEAN)
    between = halves[:, -twins:] - halves[:, :twins]
    return mean + between.square().sum(2).mean()


class ContrastLearner(nn.Module):
    """Contrastive learner: the two views of an instance get equal vectors, unlike other instances (`info_nce`).

    A degraded image is an instance of its own, so its vector must differ from the clean one's. A linear read-out of the
    degradation (`quality_error`) accelerates this; by contrast alone, compression is learned late.
    """

    def __init__(self, network: CompactEncoder, temperature: float, quality: float) -> None:
        super().__init__()
        self.network = network
        self.read_out = nn.Linear(network.dim, CLEAN)
        self.temperature, self.quality = temperature, quality

    def forward(self, views: Views) -> dict[str, Tensor]:
        vector, _ = self.network(views.pixels)
        with in_precision(vector, None):
            first, second = vector.chunk(2)
            contrast = info_nce(first, second, self.temperature)
            error = quality_error(self.read_out(vector), views)
        return {"loss": contrast + self.quality * error, "contrast": contrast, "quality": error}


class ExemplarLearner(nn.Module):
    """Classification of the source image of a view (Dosovitskiy et al. 2014, exemplar CNN), and of its degradation.

    In validation the images are not among the training classes, so the loss is that of the degradation alone.
    """

    def __init__(self, network: JudgeNetwork, images: int, quality: float) -> None:
        super().__init__()
        self.network = network
        self.which = nn.Linear(network.dim, images)
        self.read_out = nn.Linear(network.dim, CLEAN)
        self.quality = quality

    def forward(self, views: Views) -> dict[str, Tensor]:
        pooled = self.network(views.pixels)
        with in_precision(pooled, None):
            error = quality_error(self.read_out(pooled), views)
            if not self.training:
                return {"loss": error}
            which = F.cross_entropy(self.which(pooled), views.image, label_smoothing=_SMOOTHING)
        return {"loss": which + self.quality * error, "which": which, "quality": error}


def make_learner(network: nn.Module, recipe: EncoderRecipe, images: int) -> nn.Module:
    """Learner of a recipe's objective, for `images` training images.

    Raises:
        UsageError: the objective does not suit the network.
    """
    if recipe.objective == "contrast" and isinstance(network, CompactEncoder):
        return ContrastLearner(network, recipe.temperature, recipe.quality)
    if recipe.objective == "exemplar" and isinstance(network, JudgeNetwork):
        return ExemplarLearner(network, images, recipe.quality)
    raise UsageError(
        f"The objective '{recipe.objective}' does not train the network '{recipe.model.arch}'; contrast trains "
        "compact, exemplar trains judge."
    )
