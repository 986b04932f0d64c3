"""What an independent reader reads on the signs that CLIP-SR makes.

    python experiments/read_words.py --weights clipsr-x8 [--blind FILE] [--images 100] [--sheet FILE.png] [--write]

Rendered signs with words that were never trained on are made small and enlarged again: with their caption, without,
with the caption of the same sign with another word of as many letters, and by a network that never had text
(`--blind`). The reader is RapidOCR (`pip install rapidocr-onnxruntime`, Apache-2.0, its models inside); what it cannot
read in HR is left out. A word counts as read if all its letters are found in their order, whatever their case; behind
it stands the share of its letters that are found in their order, with others between. Signs that were never trained on
with words that were stand in a row of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from experiments.images import enlarged
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.data.captioned import render_captioned
from srkit.data.captions import rendered_wordings
from srkit.data.pairs import make_lr
from srkit.ops.layout import RGB
from srkit.progress import Silent
from srkit.rendered.sign import Sign as SignSpec
from srkit.rendered.specs import Split, counterfactual
from srkit.zoo.load import load_model

FIRST_SEED = 3_000_000
ENLARGED = 2  # the reader's smallest letters are larger than a sign's
VOCABULARIES: dict[Split, str] = {"held-out": "never trained on", "train": "of the training vocabulary"}
Reader = Callable[[RGB], str]


@dataclass(frozen=True)
class Sign:
    """A sign that the reader reads in HR, and the same with another word."""

    hr: RGB
    text: str
    caption: str
    other_text: str
    other_caption: str


def main() -> None:
    parser = study_parser(__doc__, threads=1)
    parser.add_argument("--weights", required=True, help="a model's name or file")
    parser.add_argument("--blind", help="weights of a network of equal size without text")
    parser.add_argument("--images", type=int, default=100, help="signs of each vocabulary (%(default)s)")
    parser.add_argument(
        "--sheet", type=Path, help="write bicubic, none, right, edited and HR of some signs here"
    )
    options = read_options(parser)
    publish("words read on signs", lines(options, rapidocr(options.threads)), write=options.write)


def rapidocr(threads: int) -> Reader:
    """The reader: an RGB image to its letters and digits, in one line."""
    try:
        from rapidocr_onnxruntime import RapidOCR
    except ImportError as error:
        raise SystemExit("The reader is missing: pip install rapidocr-onnxruntime") from error
    engine = RapidOCR(intra_op_num_threads=threads)

    def read(image: RGB) -> str:
        size = (image.shape[1] * ENLARGED, image.shape[0] * ENLARGED)
        large = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        found, _ = engine(large[:, :, ::-1])
        return letters("".join(text for _, text, _ in found or []))

    return read


def letters(text: str) -> str:
    """A text as it is compared: its letters and digits, in capitals."""
    return "".join(one for one in text.upper() if one.isalnum())


def signs(split: Split, count: int, side: int, read: Reader) -> tuple[list[Sign], int]:
    """Signs of a vocabulary that the reader reads in HR, and how many were drawn."""
    found, drawn = [], 0
    images = render_captioned({"sign": count}, (side,), split, FIRST_SEED, Silent())
    for image in images:
        spec = image.spec
        if not isinstance(spec, SignSpec) or not spec.text:
            continue
        drawn += 1
        other = counterfactual(spec, "text")
        assert isinstance(other, SignSpec)  # as spec
        if letters(spec.text) in read(image.pixels) and letters(spec.text) != letters(other.text):
            found.append(
                Sign(image.pixels, spec.text, image.texts[0], other.text, rendered_wordings(other)[0])
            )
    return found, drawn


def lines(options: argparse.Namespace, read: Reader) -> Iterator[str]:
    """Markdown: the shares of signs whose word, or whose edited word, is read."""
    scale = load_model(options.weights).info.scale
    side = 16 * scale
    yield from table_head(
        ["words", "signs", "read in HR", "right (letters)", "none", "edited: the edited word", "blind"]
    )
    for split, name in VOCABULARIES.items():
        shown, drawn = signs(split, options.images, side, read)
        if not shown:
            raise SystemExit(f"The reader reads none of {drawn} signs in HR.")
        images, none = [one.hr for one in shown], [""] * len(shown)
        runs = {
            "right": (options.weights, [one.caption for one in shown]),
            "none": (options.weights, none),
            "edited": (options.weights, [one.other_caption for one in shown]),
            **({"blind": (options.blind, none)} if options.blind else {}),
        }
        made = {key: list(enlarged(file, images, texts, scale)) for key, (file, texts) in runs.items()}
        wanted = {"edited": [one.other_text for one in shown]}
        own = [one.text for one in shown]
        cells = [
            read_cell(made[key], wanted.get(key, own), read) if key in made else "-"
            for key in ("right", "none", "edited", "blind")
        ]
        yield table_row([name, str(drawn), f"{len(shown) / max(drawn, 1):.2f}", *cells])
        if options.sheet and split == "held-out":
            write_sheet(options.sheet, shown[:8], made, scale)
    yield ""
    yield f"{options.weights}, x{scale}, images of {side} pixels; {torch.get_num_threads()} threads."


def read_cell(images: Sequence[RGB], texts: Sequence[str], read: Reader) -> str:
    """Share of the images that show their text, and mean share of its letters that they show."""
    words, shares = [], []
    for image, text in zip(images, texts, strict=True):
        wanted, found = letters(text), read(image)
        words.append(wanted in found)
        blocks = SequenceMatcher(None, found, wanted, autojunk=False).get_matching_blocks()
        shares.append(sum(block.size for block in blocks) / len(wanted))
    return f"{np.mean(words):.2f} ({np.mean(shares):.2f})"


def write_sheet(file: Path, shown: Sequence[Sign], made: dict[str, list[RGB]], scale: int) -> None:
    """A row for each sign: bicubic, without caption, right caption, edited caption, HR."""
    rows = []
    for number, sign in enumerate(shown):
        height, width = sign.hr.shape[:2]
        small = Image.fromarray(make_lr(sign.hr, scale))
        bicubic = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
        rows.append(
            np.hstack([bicubic, *(made[key][number] for key in ("none", "right", "edited")), sign.hr])
        )
    Image.fromarray(np.vstack(rows)).save(file)


if __name__ == "__main__":
    main()
