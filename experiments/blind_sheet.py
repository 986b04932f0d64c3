"""A blind comparison of models on images without references: sheets in hidden order, and ranks from what was written.

    SRKIT_DATA=... python experiments/blind_sheet.py sheets/ -m real-x4 -m FILE [--seed N]
    python experiments/blind_sheet.py sheets/ --ranks ranks.txt

The first command writes SHEETS/IMAGE.png for every image of RealSRSet: the same part of what each model and bicubic
make of it, four times as large, under letters whose order differs from image to image, and SHEETS/key.json, which is
not to be opened before all ranks are written down. A line of ranks.txt is the name of an image and its letters from the
best to the worst: `dog BADC`. The second command prints the mean rank of every model, and how often it was first.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from experiments.images import data_root, middle, photographs, read_rgb8
from experiments.real_scores import upscaled
from experiments.study import read_options, study_parser, table_head, table_row
from srkit.ops.layout import RGB
from srkit.tasks.evaluate.run import BICUBIC

KEY = "key.json"
_SIDE = 112  # LR pixels of the part that is shown
_BAND = 16  # pixels above each panel, for its letter
_GAP = 6


def main() -> None:
    parser = study_parser(__doc__, writes=False)
    parser.add_argument("sheets", type=Path)
    parser.add_argument("--model", "-m", action="append", default=[], help="repeatable")
    parser.add_argument("--seed", type=int, default=0, help="of the orders")
    parser.add_argument("--ranks", type=Path, help="the letters that were written down")
    options = read_options(parser)
    if options.ranks is None:
        draw_sheets(options)
        return
    for line in ranks(options.ranks, json.loads((options.sheets / KEY).read_text(encoding="utf-8"))):
        print(line)


def draw_sheets(options: argparse.Namespace) -> None:
    """Write the sheets and the key."""
    options.sheets.mkdir(parents=True, exist_ok=True)
    models = (BICUBIC, *options.model)
    images = {
        path.stem: middle(read_rgb8(path), _SIDE) for path in photographs(data_root() / "real" / "RealSRSet")
    }
    made = {model: dict(upscaled(model, images)) for model in models}
    rng, key = random.Random(options.seed), {}
    for name in images:
        order = rng.sample(models, len(models))
        key[name] = {chr(ord("A") + n): Path(model).name for n, model in enumerate(order)}
        sheet([made[model][name] for model in order]).save(options.sheets / f"{name}.png")
    (options.sheets / KEY).write_text(json.dumps(key, indent=1), encoding="utf-8")


def sheet(panels: list[RGB]) -> Image.Image:
    """Two rows of panels of one size, each under its letter."""
    height, width = panels[0].shape[:2]
    columns = -(-len(panels) // 2)
    page = Image.new("RGB", (columns * (width + _GAP), 2 * (height + _BAND + _GAP)), "white")
    draw = ImageDraw.Draw(page)
    for number, panel in enumerate(panels):
        x, y = number % columns * (width + _GAP), number // columns * (height + _BAND + _GAP)
        draw.text((x + 4, y + 2), chr(ord("A") + number), fill="black")
        page.paste(Image.fromarray(np.ascontiguousarray(panel)), (x, y + _BAND))
    return page


def ranks(file: Path, key: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Markdown: the mean rank of every model, from 1, and how often it was first and last."""
    found: dict[str, list[int]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        name, letters = line.split()
        if name not in key or sorted(letters) != sorted(key[name]):
            raise SystemExit(f"'{line}' does not rank {', '.join(key.get(name, key))}, each once")
        for place, letter in enumerate(letters, 1):
            found.setdefault(key[name][letter], []).append(place)
    yield from table_head(["model", "mean rank", "first", "last"])
    for model, places in sorted(found.items(), key=lambda item: float(np.mean(item[1]))):
        first, last = places.count(1), places.count(len(found))
        yield table_row([model, f"{np.mean(places):.2f}", str(first), str(last)])
    yield from ("", f"{len(next(iter(found.values())))} images.")


if __name__ == "__main__":
    main()
