"""How much a block of a picture says of its blur, at best: which of two kernels, where only two come into question.

    SRKIT_DATA=... python tests/bench/kernel_limits.py [--steps 2000] [--noise 0] [--dry]

MANet's mode 6 has two kernels, the same but for a right angle between them, in a chessboard of 10 x 10 LR pixels (x4).
A classifier that is told where the blocks lie and what the two kernels are, and has but to say which, is trained on
blocks of the training pictures and tested on blocks of BSD100 and Set14. From the probabilities that it gives follows
the least error of the taps that it could have, beside that of the mean of both kernels: a bound of what to ask of a
network that knows none of this. Prints accuracy and both errors, by how much detail the blocks have, and writes the
table between its marks in weights/README.md.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from kernel_checks import RGB, benchmark
from marks import write_between_marks
from torch import Tensor, nn

from srkit.archs.detail import detail_energies, energies_count, normalised_detail
from srkit.data.photographs import PhotographReader
from srkit.degradation.degrade import degrade
from srkit.degradation.kernels import axes
from srkit.degradation.modes import BLOCK
from srkit.progress import Silent

SCALE = 4
SIDE = BLOCK // SCALE  # of a block, in LR pixels
RADII = (1, 3)
CROP = 320
CROPS = 3  # of each training picture
BATCH = 256
QUARTERS = ("least", "little", "much", "most")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--dry", action="store_true", help="do not write weights/README.md")
    chosen = parser.parse_args()
    torch.manual_seed(0)
    x, second = blocks(training_crops(), chosen.noise)
    network = trained(x, second, chosen.steps)
    tested, is_second = blocks(benchmark(("BSD100", "Set14"), SCALE, 100), chosen.noise)
    lines = table(network, tested, is_second)
    lines += ["", f"{len(x)} blocks taught, {len(tested)} tested, noise {chosen.noise:g}."]
    print("\n".join(lines))
    if not chosen.dry:
        write_between_marks("limits of kernels x4", "kernel_limits.py", "\n".join(lines))


def training_crops() -> list[RGB]:
    folder = Path(os.environ["SRKIT_DATA"]) / "train"
    files = sorted(f for f in folder.rglob("*") if f.suffix in (".jpg", ".png", ".webp"))
    _, pictures = PhotographReader(CROP).read_all(files, Silent())
    rng = np.random.default_rng(0)
    found = []
    for picture in pictures:
        for _ in range(CROPS):
            top, left = (int(rng.integers(side - CROP + 1)) for side in picture.shape[:2])
            found.append(np.ascontiguousarray(picture[top : top + CROP, left : left + CROP]))
    return found


def blocks(pictures: Sequence[RGB], noise: float) -> tuple[Tensor, Tensor]:
    """What whole blocks of mode 6 look like, (n, C, 10, 10), and whether each has the second kernel, (n,)."""
    found, labels = [], []
    for seed, hr in enumerate(pictures):
        made = degrade(hr, "mode6", SCALE, noise=noise, seed=seed)
        lr = torch.from_numpy(made.lr).permute(2, 0, 1)[None].float() / 255
        seen = torch.cat([normalised_detail(lr), detail_energies(lr, RADII)], dim=1)
        theta = axes(made.field.covariance().movedim(1, -1))[2]
        for values, kept in ((seen, found), ((theta > math.pi / 2).float()[:, None], labels)):
            cut = F.unfold(values, SIDE, stride=SIDE)[0].T
            kept.append(cut.view(-1, values.shape[1], SIDE, SIDE))
    return torch.cat(found), torch.cat(labels)[:, 0, 0, 0]


def trained(x: Tensor, second: Tensor, steps: int) -> nn.Module:
    """A classifier of blocks, as they lie: turned ones would have the other kernel."""
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
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def table(network: nn.Module, x: Tensor, second: Tensor) -> list[str]:
    """By how much detail the blocks have: the mean channel of the energies, quarter by quarter."""
    probability = torch.cat([network(part)[:, 0].sigmoid() for part in x.split(4096)])
    detail = x[:, 3 + energies_count(RADII[:1]) - 1].mean((1, 2))
    quarter = torch.bucketize(detail, detail.quantile(torch.tensor([0.25, 0.5, 0.75])))
    # Of taps told with probability p, |p K1 + (1 - p) K2 - K1| is (1 - p) |K1 - K2|: against 1/2 for the mean. Less
    # still misses who says the likelier kernel outright.
    right = torch.where(second > 0.5, probability, 1 - probability)
    lines = ["| detail | blocks told right | error of the taps against the mean kernel's |", "|---|---|---|"]
    for name, chosen in (
        *((n, quarter == i) for i, n in enumerate(QUARTERS)),
        ("all", torch.ones_like(second, dtype=torch.bool)),
    ):
        correct = (right[chosen] > 0.5).float().mean()
        lines.append(f"| {name} | {100 * correct:.0f} % | {2 * float(1 - correct):.2f} |")
    return lines


if __name__ == "__main__":
    main()
