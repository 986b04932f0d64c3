"""An upper bound for kernel estimation on small blocks: which of two known kernels blurred a block.

    SRKIT_DATA=... python experiments/kernel_limits.py [--steps 2000] [--noise 0] [--write]

Mode 6 of MANet has two kernels, equal but for a right angle between them, on a chessboard of 10 x 10 LR pixels (x4). A
binary classifier on aligned blocks is trained on blocks of the training photographs and tested on blocks of BSD100 and
Set14. Its accuracy gives the min error of the taps, relative to the mean of both kernels: a bound for an estimator,
which knows neither the kernels nor where the blocks lie. Rows are quartiles of the detail of the blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.degrade import degrade
from experiments.images import batch, benchmark, data_root, photographs, read_rgb8
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.archs.detail import detail_energies, energies_count, normalised_detail
from srkit.degradation.kernels import axes
from srkit.degradation.modes import BLOCK
from srkit.ops.layout import RGB

SCALE = 4
SIDE = BLOCK // SCALE  # of a block, in LR pixels
RADII = (1, 3)
CROP = 320
CROPS = 3  # of each training image
BATCH = 256
QUARTILES = ("lowest quartile", "second quartile", "third quartile", "highest quartile")


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation, of 255")
    options = read_options(parser)
    torch.manual_seed(0)
    x, second = blocks(training_crops(), options.noise)
    network = classifier(x, second, options.steps)
    tested, is_second = blocks(benchmark(("BSD100", "Set14"), SCALE, limit=100), options.noise)
    lines = [
        *table(network, tested, is_second),
        "",
        f"{len(x)} training blocks, {len(tested)} test blocks, noise {options.noise:g}.",
    ]
    publish(f"limits of kernels x{SCALE}", lines, write=options.write)


def training_crops() -> list[RGB]:
    images = (read_rgb8(file) for file in photographs(data_root() / "train"))
    rng = np.random.default_rng(0)
    found = []
    for image in images:
        if min(image.shape[:2]) < CROP:
            continue
        for _ in range(CROPS):
            top, left = (int(rng.integers(side - CROP + 1)) for side in image.shape[:2])
            found.append(np.ascontiguousarray(image[top : top + CROP, left : left + CROP]))
    return found


def blocks(images: Sequence[RGB], noise: float) -> tuple[Tensor, Tensor]:
    """Features of whole blocks of mode 6 (n, C, 10, 10), and whether each has the second kernel (n,)."""
    found: list[Tensor] = []
    labels: list[Tensor] = []
    for seed, hr in enumerate(images):
        made = degrade(hr, "mode6", SCALE, noise=noise, seed=seed)
        lr = batch(made.lr)
        features = torch.cat([normalised_detail(lr), detail_energies(lr, RADII)], dim=1)
        theta = axes(made.field.covariance().movedim(1, -1))[2]
        for values, into in ((features, found), ((theta > math.pi / 2).float()[:, None], labels)):
            cut = F.unfold(values, SIDE, stride=SIDE)[0].T
            into.append(cut.view(-1, values.shape[1], SIDE, SIDE))
    return torch.cat(found), torch.cat(labels)[:, 0, 0, 0]


def classifier(x: Tensor, second: Tensor, steps: int) -> nn.Module:
    """A classifier of blocks; not augmented by rotations, since a rotated block has the other kernel."""
    width = 48
    layers: list[nn.Module] = [nn.BatchNorm2d(x.shape[1])]
    for features in (x.shape[1], width, width, width):
        layers += [nn.Conv2d(features, width, 3, padding=1), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AvgPool2d(SIDE), nn.Flatten(), nn.Dropout(0.2), nn.Linear(width, 1))
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (BATCH,))
        loss = F.binary_cross_entropy_with_logits(network(x[rows])[:, 0], second[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def table(network: nn.Module, x: Tensor, second: Tensor) -> Iterator[str]:
    """Markdown: a row for each quartile of the detail of the blocks, the mean over channels of their energies."""
    probability = torch.cat([network(part)[:, 0].sigmoid() for part in torch.split(x, 4096)])
    detail = x[:, 3 + energies_count(RADII[:1]) - 1].mean((1, 2))
    quartile = torch.bucketize(detail, detail.quantile(torch.tensor([0.25, 0.5, 0.75])))
    # Weighted by a probability p, |p K1 + (1 - p) K2 - K1| is (1 - p) |K1 - K2|: against 1/2 for the mean. Choosing
    # the likelier kernel outright has a smaller error still.
    right = torch.where(second > 0.5, probability, 1 - probability)
    yield from table_head(
        ["detail", "blocks classified correctly", "error of the taps / error of the mean kernel"]
    )
    for name, rows in (
        *((n, quartile == i) for i, n in enumerate(QUARTILES)),
        ("all", torch.ones_like(second, dtype=torch.bool)),
    ):
        correct = (right[rows] > 0.5).float().mean()
        yield table_row([name, f"{100 * correct:.0f} %", f"{2 * float(1 - correct):.2f}"])


if __name__ == "__main__":
    main()
