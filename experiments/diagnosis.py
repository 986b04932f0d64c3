"""Whether `upscale -m auto` tells damaged images from clean ones: a confusion table, what errors cost, and how long.

    SRKIT_DATA=... python experiments/diagnosis.py [--limit 100] [--write]

Clean are the bicubic LR of Set5, Set14, BSD100 and Urban100 at x2 and x4, as a whole and cropped off the grid of 8
pixels, and rendered images; damaged those sets at x4, and every fourth image at x2, under the hidden
degradations of `experiments/presets.py`, on which nothing was trained or tuned. A misjudged image costs where the other
networks give a higher PSNR (classical protocol). Last, the seconds of looking at an image of 512 x 512 beside those of
upscaling it by srvgg-x4, the better of five and of two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from experiments.images import SETS, levels, named_benchmark
from experiments.presets import PRESETS, preset
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.data.benchmarks import rgb8
from srkit.data.pairs import make_lr
from srkit.inference.diagnosis import Look
from srkit.inference.upscaler import Upscaler, Work
from srkit.io.image import DecodedImage
from srkit.metrics.protocols import PROTOCOLS, compared
from srkit.metrics.psnr import psnr
from srkit.ops.layout import RGB
from srkit.recipes.upscale import UpscaleRecipe
from srkit.rendered import render

DOMAINS = ("screen", "manga", "drawing", "night", "sign")
SIZES = ((640, 480), (960, 720))
SEEDS = range(1000, 1004)  # far from those of training
SIDE = 512


@dataclass
class Tally:
    """What became of images of one kind."""

    images: int = 0
    wrong: int = 0
    costly: int = 0
    """Of the wrong ones."""
    names: list[str] = field(default_factory=list)
    """Of the wrong ones."""


class Judge:
    """Looks at images, and measures what its errors cost."""

    def __init__(self) -> None:
        self.look = Look(UpscaleRecipe(), torch.device("cpu"))
        self._upscalers = {
            name: Upscaler(UpscaleRecipe(model=model, device="cpu"))
            for name, model in (("default", "auto"), ("real", "real"))
        }

    def add(self, tally: Tally, name: str, lr: RGB, expected: str, hr: RGB | None = None) -> None:
        """Count one image; without HR an error costs."""
        found = self.look(DecodedImage(np.ascontiguousarray(lr)))
        tally.images += 1
        if found.chosen == expected:
            return
        tally.wrong += 1
        tally.names.append(f"{name} {found.damage}")
        chosen, other = found.chosen, expected
        tally.costly += hr is None or self._psnr(chosen, lr, hr) < self._psnr(other, lr, hr)

    def _psnr(self, name: str, lr: RGB, hr: RGB) -> float:
        (done,) = self._upscalers[name].run([Work(None, DecodedImage(lr), hr.shape[1], hr.shape[0])])
        if done.image is None:
            raise SystemExit(str(done.error))
        pair = compared(
            levels(rgb8(done.image)), levels(hr), PROTOCOLS["classical"], hr.shape[0] // lr.shape[0]
        )
        return float(psnr(*pair))


def main() -> None:
    options = read_options(study_parser(__doc__, limit=100))
    publish("diagnosis", table(options.limit), write=options.write)


def table(limit: int) -> Iterator[str]:
    judge = Judge()
    yield from table_head(["images", "count", "to `real`", "misjudged", "of these, at a cost of PSNR"])
    totals = {"default": Tally(), "real": Tally()}
    for expected, rows in (("default", clean_rows(judge)), ("real", damaged_rows(judge, limit))):
        for label, tally in rows:
            to_real = tally.wrong if expected == "default" else tally.images - tally.wrong
            yield table_row(
                [label, str(tally.images), share(to_real, tally.images), str(tally.wrong), str(tally.costly)]
            )
            if "clean" not in label and expected == "default":
                continue
            total = totals[expected]
            total.images += tally.images
            total.wrong += tally.wrong
            total.costly += tally.costly
            total.names += tally.names
    clean, damaged = totals["default"], totals["real"]
    yield ""
    yield (
        f"Clean benchmark images to `real`: {clean.wrong} of {clean.images} ({share(clean.wrong, clean.images)}), "
        f"{clean.costly} at a cost{named(clean)}. Damaged ones to `real`: "
        f"{share(damaged.images - damaged.wrong, damaged.images)} of {damaged.images}; missed at a cost of PSNR: "
        f"{share(damaged.costly, damaged.images)}."
    )
    yield ""
    yield timing(judge.look)


def clean_rows(judge: Judge) -> Iterator[tuple[str, Tally]]:
    for scale in (2, 4):
        for name in SETS:
            whole, cropped = Tally(), Tally()
            for image, hr in named_benchmark([name], scale):
                lr = make_lr(hr, scale)
                judge.add(whole, f"{image} x{scale}", lr, "default", hr)
                judge.add(cropped, f"{image} x{scale} cropped", lr[3:99, 5:133], "default")
            yield f"clean {name} x{scale}", whole
            yield f"clean {name} x{scale}, cropped", cropped
    for domain in DOMAINS:
        tally = Tally()
        for width, height in SIZES:
            for seed in SEEDS:
                judge.add(tally, f"{domain} {seed}", render(domain, width, height, seed), "default")
        yield f"rendered: {domain}", tally


def damaged_rows(judge: Judge, limit: int) -> Iterator[tuple[str, Tally]]:
    for degradation in PRESETS:
        for scale, every in ((4, 1), (2, 4)):
            tally = Tally()
            for name in SETS:
                for seed, (image, hr) in enumerate(named_benchmark([name], scale, every=every, limit=limit)):
                    judge.add(tally, f"{image} x{scale}", preset(degradation, hr, scale, seed), "real", hr)
            yield f"{degradation} x{scale}", tally


def named(tally: Tally) -> str:
    return f": {', '.join(tally.names)}" if tally.names else ""


def share(count: int, of: int) -> str:
    return f"{100 * count / of:.1f} %"


def timing(look: Look) -> str:
    image = DecodedImage(render("street", SIDE, SIDE, 0))
    upscaler = Upscaler(UpscaleRecipe(model="srvgg-x4", device="cpu"))
    works = [Work(None, image, 4 * SIDE, 4 * SIDE)]
    looking = best(lambda: look(image), 5)
    upscaling = best(lambda: list(upscaler.run(works)), 2)
    return (
        f"Looking at {SIDE} x {SIDE}: {looking:.3f} s, upscaling it by srvgg-x4: {upscaling:.2f} s "
        f"of CPU time ({100 * looking / upscaling:.1f} %)."
    )


def best(action: Callable[[], object], times: int) -> float:
    """CPU seconds of the process, since other programs run as well."""
    found = []
    for _ in range(times):
        started = time.process_time()
        action()
        found.append(time.process_time() - started)
    return min(found)


if __name__ == "__main__":
    main()
