"""Ablation of CLIP-SR: what text gives, against a network of equal size that never had any.

    SRKIT_DATA=... python experiments/ablation_text.py --data train/ --captions captions.tsv [--scale 8] [--write]

Each row is trained alike: by pixels alone, from the same trunk, for the same steps; the rows of the discriminator go on
from the first row's network. Measured on rendered signs, faces and fabrics of seeds and words that were never trained
on (PSNR in the boxes of words, RGB; the shipped perceptual distance), and on photographs of BSD100 with their captions
(classical PSNR). Differences to the first row have a paired bootstrap interval over the images; where it includes zero
the row is undecided. `blind` decides whether text helps: it has residual blocks in place of the attention to words.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.ablations import cells, made_scorers
from experiments.images import enlarged, levels, multiple_of, read_rgb8
from experiments.study import publish, read_options, study_parser, table_head, table_row, trained
from srkit.data.benchmarks import find_dataset
from srkit.data.captioned import render_captioned
from srkit.data.captions import find_captions
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.psnr import psnr
from srkit.metrics.table import Sample
from srkit.ops.layout import RGB
from srkit.progress import Silent

FIRST_SEED = 2_000_000  # of the rendered images that are measured on
DOMAINS = ("sign", "portrait", "textile")
PHOTOGRAPHS = "BSD100"
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Row:
    """A network, and the prompts that it is given."""

    name: str
    settings: tuple[str, ...] = ()
    prompts: str = "right"
    """right, none or shuffled."""
    adversarial: bool = False
    """Trained on from the first row's network against a discriminator."""


RIGHT = Row("right: the image's caption")
ROWS = (
    RIGHT,
    Row("none: the same network without", prompts="none"),
    Row("shuffled: the same network, another image's caption", prompts="shuffled"),
    Row(
        "blind: trained without text, of equal size",
        ("model.arguments.text=constant", "model.arguments.reading_blocks=3", "model.arguments.blocks=10"),
        "none",
    ),
    Row("learned constant: the same network, no caption in training", ("data.dropout=1.0",), "none"),
    Row("bag of words: the mean of the words", ("model.arguments.text=bag",)),
    Row("no attention to words", ("model.arguments.readings=0", "model.arguments.blocks=14")),
    Row("attention not trained on where letters stand", ("loss.alignment=0.0",)),
    Row("letters weigh as all pixels", ("loss.lettering=0.0",)),
    Row("no TIF in the skips", ("model.arguments.fused_skips=false",)),
    Row("no Map", ("model.arguments.mapped=false",)),
    Row("softmax(F_T) as printed", ("model.arguments.text_norm=softmax",)),
    Row("against the discriminator", adversarial=True),
    Row("no text in the discriminator", ("discriminator.with_text=false",), adversarial=True),
    Row("no MAGP", ("discriminator.penalty=false",), adversarial=True),
)


@dataclass(frozen=True)
class Shown:
    """An image to measure on."""

    group: str
    hr: RGB
    caption: str
    boxes: tuple[Box, ...] = ()


def main() -> None:
    parser = study_parser(__doc__, work="runs/ablation-text", threads=1, limit=100)
    parser.add_argument("--captions", type=Path, required=True, help="captions of photographs, a .tsv")
    parser.add_argument("--scale", type=int, choices=(8, 16), default=8)
    parser.add_argument("--steps", type=int, default=3000, help="steps of each row (%(default)s)")
    parser.add_argument(
        "--adversarial-steps", type=int, default=1000, help="further steps of the rows of the discriminator"
    )
    parser.add_argument("--images", type=int, default=40, help="rendered images of each domain (%(default)s)")
    options = read_options(parser)
    started = time.process_time()
    images = shown_images(options)
    values = {}
    for row in ROWS:
        values[row.name] = measured(weights_of(options, row), row.prompts, images, options.scale)
        print(
            f"{row.name}: {', '.join(f'{k} {v.mean():.3f}' for k, v in values[row.name].items())}", flush=True
        )
    publish(f"ablation of text x{options.scale}", tables(values, options, started), write=options.write)


def weights_of(options: argparse.Namespace, row: Row) -> Path:
    """The weights of a row; rows that differ in their prompts alone have one network."""
    name = "-".join(("row", *(one.rpartition(".")[2].replace("=", "-") for one in row.settings)))
    settings = [f"data.captions={options.captions}", f"optim.steps={options.steps}", *row.settings]
    if row.adversarial:
        name += "-adversarial"
        settings += ["loss.adversarial=0.01", "loss.perceptual=0.05", "optim.lr=1e-4"]
        settings += [
            f"optim.steps={options.adversarial_steps}",
            f'model.start="{weights_of(options, RIGHT)}"',
        ]
    settings.append("run.validate_every=1000")
    return trained(options, options.work / f"x{options.scale}" / name, f"clipsr-x{options.scale}", settings)


def shown_images(options: argparse.Namespace) -> list[Shown]:
    """Rendered images of held-out words, and photographs, with their captions."""
    side = 16 * options.scale
    found = []
    for domain in DOMAINS:
        drawn = render_captioned({domain: options.images}, (side,), "held-out", FIRST_SEED, Silent())
        for one in drawn:
            boxes = tuple(letters.box for letters in one.rendered.lettering) if one.rendered else ()
            found.append(Shown(domain, one.pixels, one.texts[0], boxes if domain == "sign" else ()))
    items = find_dataset(PHOTOGRAPHS, None).pairs(options.scale)[: options.limit]
    paths = [item.hr for item in items if isinstance(item.hr, Path)]
    captions = find_captions(paths, options.captions)
    for path in paths:
        hr = multiple_of(read_rgb8(path), options.scale)
        found.append(Shown(PHOTOGRAPHS, hr, captions.texts.get(path, ("",))[0]))
    return found


def measured(
    weights: Path, prompts: str, images: Sequence[Shown], scale: int
) -> dict[str, NDArray[np.float64]]:
    """Scores by name: PSNR in the boxes of signs, `judge` of the rendered images, PSNR of the photographs."""
    (judge,) = made_scorers(["judge"]).values()
    protocol = PROTOCOLS["classical"]
    (classical,) = made_scorers(["psnr"]).values()
    found: dict[str, list[float]] = {"boxes": [], "judge": [], "photographs": []}
    made = enlarged(weights, [one.hr for one in images], _prompts(images, prompts), scale)
    for one, sr in zip(images, made, strict=True):
        sample = Sample(levels(sr), levels(one.hr), None, protocol, scale)
        if one.group == PHOTOGRAPHS:
            found["photographs"].append(classical.score(sample))
        else:
            found["judge"].append(judge.score(sample))
        found["boxes"] += [box_psnr(sr, one.hr, box) for box in one.boxes]
    return {name: np.array(values) for name, values in found.items()}


def box_psnr(sr: RGB, hr: RGB, box: Box) -> float:
    """PSNR of RGB within a box (left, top, right, bottom)."""
    left, top, right, bottom = box
    a, b = (levels(image[top:bottom, left:right]).double() / 255 for image in (sr, hr))
    return float(psnr(a, b).clamp(max=100))


def _prompts(images: Sequence[Shown], prompts: str) -> list[str]:
    if prompts == "none":
        return [""] * len(images)
    own = [one.caption for one in images]
    if prompts == "right":
        return own
    groups: dict[str, list[int]] = {}
    for number, one in enumerate(images):
        groups.setdefault(one.group, []).append(number)
    other = {i: j for of in groups.values() for i, j in zip(of, [*of[1:], *of[:1]], strict=True)}
    return [own[other[number]] for number in range(len(images))]


def tables(
    values: Mapping[str, Mapping[str, NDArray[np.float64]]], options: argparse.Namespace, started: float
) -> Iterator[str]:
    """Markdown: each row's scores, and their differences to the first row's."""
    heads = {"boxes": "PSNR in the boxes of signs", "judge": "judge", "photographs": f"PSNR of {PHOTOGRAPHS}"}
    columns = [
        cell for head in heads.values() for cell in (head, "difference to the first, 95 % interval", "")
    ]
    yield from table_head(["row", *columns])
    first = values[RIGHT.name]
    for name, found in values.items():
        texts = [name]
        for metric in heads:
            differences = None if name == RIGHT.name else found[metric] - first[metric]
            texts += cells(found[metric], differences, decimals=3, lower_is_better=metric == "judge")
        yield table_row(texts)
    yield ""
    counts = ", ".join(f"{len(first[metric])} for {head}" for metric, head in heads.items())
    yield (
        f"x{options.scale}; {options.steps} steps a row, {options.adversarial_steps} against the discriminator; "
        f"scores: {counts}; {torch.get_num_threads()} threads, {(time.process_time() - started) / 60:.0f} CPU minutes."
    )


if __name__ == "__main__":
    main()
