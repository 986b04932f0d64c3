"""Which attributes of rendered images LR hides: classifiers on HR and on bicubic LR at x8 and x16, by attribute.

    python tests/bench/rendered_attributes.py                       # every group; about an hour on one core
    python tests/bench/rendered_attributes.py --groups portrait,sign

An attribute is hidden, and worth a word of a prompt, where a classifier on LR at x8 is at most 15 points above
chance and one on HR reaches 90 %. Values are drawn evenly, so that chance is one in their number, and what else an
image shows is kept simple, which helps LR as much as HR. Of words the table gives how much of the energy in which two
words differ is left in LR.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from srkit.ops.resize import bicubic_uint8
from srkit.rendered import counterfactual, draw, spec
from srkit.rendered.canvas import Rng
from srkit.rendered.specs import Spec

SCALES = (1, 8, 16)


@dataclass(frozen=True)
class Group:
    """Attributes that show together, under some values of others; of textures any shift or mirror image will do."""

    domain: str
    attributes: tuple[str, ...]
    fixed: dict[str, str] = field(default_factory=dict)
    texture: bool = False


FACE = {"backdrop": "even screentone", "hair": "black", "length": "short", "speech": ""}
SIGN = {"kind": "shop sign", "wall": "plaster", "scheme": "white on blue", "text": "BAKERY", "small": ""}
GROUPS = {
    "sign": Group("sign", ("typeface", "emblem"), SIGN),
    "portrait": Group("portrait", ("mood", "mouth"), FACE | {"clothes": "white", "screentone": "dots"}),
    "toned portrait": Group("portrait", ("clothes", "screentone"), FACE | {"mood": "calm", "mouth": "line"}),
    "icons": Group("screen", ("icons",), {"content": "files", "theme": "light", "density": "1"}),
    "part": Group("drawing", ("part",), {"kind": "part", "paper": "white"}),
    "plan": Group("drawing", ("walls",), {"kind": "plan", "paper": "white"}),
    "halftone": Group("halftone", ("screen", "pitch"), {"headline": "", "paper": "white"}, True),
    "fine weave": Group("textile", ("weave",), {"fabric": "woven", "thread": "fine", "dye": "solid"}, True),
    "coarse weave": Group(
        "textile", ("weave",), {"fabric": "woven", "thread": "coarse", "dye": "solid"}, True
    ),
    "dye": Group("textile", ("dye",), {"fabric": "woven", "thread": "fine", "weave": "plain"}, True),
    "knit": Group("textile", ("stitch", "motif"), {"fabric": "knitted", "thread": "fine"}, True),
    "thread": Group("textile", ("thread",), {"fabric": "woven", "dye": "solid"}, True),
    "small bricks": Group("texture", ("bond",), {"surface": "brick", "size": "small"}, True),
    "large bricks": Group("texture", ("bond",), {"surface": "brick", "size": "large"}, True),
    "shingles": Group("texture", ("edge",), {"surface": "shingles"}, True),
    "tiles": Group("texture", ("pattern",), {"surface": "tiles", "lines": "level"}, True),
    "planks": Group("texture", ("laying",), {"surface": "planks"}, True),
}
WORDS = (("sign", "text"), ("sign", "small"), ("portrait", "speech"), ("manga", "speech"), ("screen", "heading"),
         ("drawing", "name"), ("halftone", "headline"), ("night", "neon"))  # fmt: skip


class Classifier(nn.Module):
    """Five convolutions, four of them halving; logits for every attribute from the last map and its mean."""

    def __init__(self, counts: Sequence[int], halvings: int) -> None:
        super().__init__()
        widths, layers = (24, 48, 64, 96, 128), []
        for k, (a, b) in enumerate(zip((3, *widths), widths, strict=False)):
            layers += [nn.Conv2d(a, b, 3, 2 if k < halvings else 1, 1), nn.BatchNorm2d(b), nn.ReLU()]
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(8))
        self.narrow = nn.Conv2d(128, 16, 1)
        self.heads = nn.ModuleList(nn.Linear(128 + 16 * 64, n) for n in counts)

    def forward(self, x: Tensor) -> list[Tensor]:
        z = self.trunk(x)
        z = torch.cat((z.mean((2, 3)), F.relu(self.narrow(z)).flatten(1)), 1)
        return [head(z) for head in self.heads]


def shown(group: Group, seed: int) -> Spec:
    """The Spec of a seed with the values of the group's attributes drawn evenly."""
    base = spec(group.domain, seed)
    values = {name: Rng(seed, "even", name).pick(type(base).values(name)) for name in group.attributes}
    return replace(base, **(values | group.fixed))


def images(group: Group, seeds: range) -> tuple[Tensor, Tensor]:
    """(n, 3, side, side) uint8, and the number of each attribute's value, (n, attributes)."""
    specs = [shown(group, seed) for seed in seeds]
    drawn = np.stack([draw(s, s.smallest, s.smallest).pixels for s in specs])
    numbers = [[type(s).values(name).index(getattr(s, name)) for name in group.attributes] for s in specs]
    return torch.from_numpy(drawn).permute(0, 3, 1, 2), torch.tensor(numbers)


def reduced(hr: Tensor, scale: int) -> Tensor:
    if scale == 1:
        return hr
    side = hr.shape[2] // scale
    return torch.cat([bicubic_uint8(part, (side, side), scale=1 / scale) for part in hr.split(64)])


def accuracy(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    counts: Sequence[int],
    epochs: int,
    *,
    texture: bool,
) -> Tensor:
    """The share of the test images of which each attribute is named rightly."""
    torch.manual_seed(0)
    side = train[0].shape[2]
    halvings = 4 if side > 64 else 1 if side >= 16 else 0
    network = Classifier(counts, halvings).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05)
    batches = -(-len(train[0]) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=epochs * batches)
    reach = side // 2 if texture else side // 32
    for _ in range(epochs):
        for index in torch.randperm(len(train[0])).split(32):
            dy, dx = (int(v) for v in torch.randint(-reach, reach + 1, (2,)))
            x = train[0][index].roll((dy, dx), (2, 3)).float() / 127.5 - 1
            if texture and torch.rand(()) < 0.5:
                x = x.flip(3)
            logits = network(x.contiguous(memory_format=torch.channels_last))
            loss = sum(
                F.cross_entropy(z, train[1][index, k], label_smoothing=0.05) for k, z in enumerate(logits)
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        found = [network(part.float() / 127.5 - 1) for part in test[0].split(64)]
    logits = [torch.cat(parts) for parts in zip(*found, strict=True)]
    return torch.stack([(z.argmax(1) == test[1][:, k]).double().mean() for k, z in enumerate(logits)])


def of_group(name: str, group: Group, count: int, tests: int, epochs: int) -> list[str]:
    train, test = images(group, range(count)), images(group, range(100_000, 100_000 + tests))
    cls = type(spec(group.domain, 0))
    counts = [len(cls.values(attribute)) for attribute in group.attributes]
    found = []
    for scale in SCALES:
        pairs = [(reduced(x, scale), y) for x, y in (train, test)]
        found.append(accuracy(pairs[0], pairs[1], counts, epochs, texture=group.texture))
    rows = []
    for k, attribute in enumerate(group.attributes):
        chance, (hr, x8, x16) = 1 / counts[k], (float(share[k]) for share in found)
        hidden = (
            "yes"
            if hr >= 0.9 and x8 <= chance + 0.15
            else "at x16"
            if hr >= 0.9 and x16 <= chance + 0.15
            else "no"
        )
        rows.append(
            f"| {name}: {attribute} | {counts[k]} | "
            + " | ".join(f"{100 * v:.0f} %" for v in (chance, hr, x8, x16))
            + f" | {hidden} |"
        )
    return rows


def of_words(domain: str, name: str, count: int) -> str:
    """How much of the energy in which two words differ LR keeps, at x8 and x16."""
    energy = np.zeros(3)
    seeds = (s for s in range(10**6) if getattr(spec(domain, s), name))
    for _, seed in zip(range(count), seeds, strict=False):
        one = spec(domain, seed)
        pair = [
            torch.from_numpy(draw(s, s.smallest, s.smallest).pixels).permute(2, 0, 1)[None]
            for s in (one, counterfactual(one, name))
        ]
        for k, scale in enumerate(SCALES):
            a, b = (reduced(x, scale).double() for x in pair)
            energy[k] += float(((a - b) ** 2).sum()) * scale**2
    x8, x16 = 100 * energy[1:] / energy[0]
    return f"| {domain}: {name} | words | | | {x8:.1f} % | {x16:.1f} % | |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--groups", default=",".join(GROUPS), help="some of them, by commas")
    parser.add_argument("--train", type=int, default=1500, help="images that a classifier is trained on")
    parser.add_argument("--test", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--words", type=int, default=24, help="pairs of words, 0 for none")
    arguments = parser.parse_args()
    print(
        "| attribute | values | chance | HR | LR x8 | LR x16 | hidden |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for name in arguments.groups.split(","):
        print(
            "\n".join(of_group(name, GROUPS[name], arguments.train, arguments.test, arguments.epochs)),
            flush=True,
        )
    if arguments.words:
        for domain, name in WORDS:
            print(of_words(domain, name, arguments.words), flush=True)


if __name__ == "__main__":
    main()
