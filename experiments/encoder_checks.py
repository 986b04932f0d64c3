"""Checks of the shipped encoder `compact` and perceptual distance `judge`, on images outside their training data.

    SRKIT_DATA=... python experiments/encoder_checks.py [compact] [judge] [--weights FILE] [--write]

`compact`: domains by nearest neighbour, retrieval of crops, separation of degraded images, cost. `judge`: distances at
rising strengths of degradations, EDSR against bicubic on Set14, cost.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from experiments.ablations import auc
from experiments.images import batch, benchmark, levels, middle
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.encoders.compact import Compact
from srkit.encoders.judge import Judge
from srkit.io.codecs import through_jpeg
from srkit.ops.layout import RGB
from srkit.ops.resize import downscale_uint8, upscale
from srkit.recipes.encoder import EncoderDataPart
from srkit.rendered import render
from srkit.zoo.load import load_model
from srkit.zoo.manifest import Manifest

CPU = torch.device("cpu")
NETWORKS = ("compact", "judge")
SIDE = 256
EACH = 40
FIRST_SEED = 10_000  # far from those that were trained on
LEFT_OUT = "street"  # its seeds differ too little
DEGRADATIONS = {
    "blur": (1.0, 2.0),
    "noise": (10.0, 25.0),
    "jpeg": (30.0, 10.0),
}
SCALES = {
    "blur": "Gaussian blur, by sigma in pixels",
    "noise": "noise, by sigma of 255",
    "jpeg": "JPEG, by quality",
}
UNITS = {
    "blur": "Gaussian blur, sigma {} px",
    "noise": "noise, sigma {:.0f} of 255",
    "jpeg": "JPEG, quality {:.0f}",
}


@torch.inference_mode()
def vectors(encoder: Compact, images: Sequence[RGB]) -> Tensor:
    return torch.cat([encoder.embed(batch(image)).vector for image in images])


def degraded(image: RGB, kind: str, strength: float, seed: int = 0) -> RGB:
    if kind == "jpeg":
        return through_jpeg(image, round(strength))
    if kind == "noise":
        noise = np.random.default_rng(seed).standard_normal(image.shape) * strength
        return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(image.astype(np.float32), (strength, strength, 0))
    return np.asarray(np.clip(np.rint(blurred), 0, 255), np.uint8)


def domain_accuracy(encoder: Compact) -> tuple[float, dict[str, float]]:
    """Leave-one-out accuracy of the nearest neighbour by cosine, over photographs and all rendered domains but one."""
    domains = {"photographs": [middle(image, SIDE) for image in benchmark(["BSD100"])[:EACH]]}
    for name in EncoderDataPart().domains:
        if name != LEFT_OUT:
            domains[name] = [render(name, SIDE, SIDE, FIRST_SEED + i) for i in range(EACH)]
    embedded = vectors(encoder, [image for images in domains.values() for image in images])
    label = torch.arange(len(domains)).repeat_interleave(EACH)
    similarity = (embedded @ embedded.T).fill_diagonal_(-2)
    right = label[similarity.argmax(1)] == label
    each = {name: float(right[label == i].double().mean()) for i, name in enumerate(domains)}
    return float(right.double().mean()), each


def retrieval_accuracy(encoder: Compact) -> tuple[float, int]:
    """How often the upper left 3/4 x 3/4 of an image retrieves the lower right 3/4 x 3/4 of it, and of how many."""
    images = benchmark(["BSD100", "Urban100"])
    first = vectors(encoder, [p[: p.shape[0] * 3 // 4, : p.shape[1] * 3 // 4] for p in images])
    second = vectors(encoder, [p[p.shape[0] // 4 :, p.shape[1] // 4 :] for p in images])
    found = (first @ second.T).argmax(1)
    return float((found == torch.arange(len(images))).double().mean()), len(images)


def separation(encoder: Compact) -> dict[tuple[str, float], float]:
    """AUC along the difference of the means, fitted on every other image and applied to the rest."""
    images = [middle(image, SIDE) for image in benchmark(["BSD100"])]
    clean = vectors(encoder, images)
    found = {}
    for kind, strengths in DEGRADATIONS.items():
        for strength in strengths:
            worse = vectors(encoder, [degraded(p, kind, strength, i) for i, p in enumerate(images)])
            direction = worse[::2].mean(0) - clean[::2].mean(0)
            found[kind, strength] = auc(clean[1::2] @ direction, worse[1::2] @ direction)
    return found


def cpu_seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Min of several calls, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
    torch.set_num_threads(threads)
    return min(times[1:])


def cost(encoder: Compact) -> tuple[float, float, str]:
    """CPU seconds of embedding a 512 x 512 image and of an x4 network's forward pass on it, and the network's name."""
    x = torch.rand(1, 3, 512, 512).contiguous(memory_format=torch.channels_last)
    names = [entry.name for entry in Manifest.load() if entry.shipped]
    name = "cdasr-x4" if "cdasr-x4" in names else "edsr-x4"
    network = load_model(name).network.to(torch.bfloat16).to(memory_format=torch.channels_last)
    conditions = {}
    if name == "cdasr-x4":
        from srkit.ops.geometry import position_grid

        embedding = encoder.embed(x)
        conditions = {
            "semantic": embedding.vector,
            "tokens": embedding.tokens,
            "position": position_grid(512, 512),
        }
    return cpu_seconds(lambda: encoder.embed(x)), cpu_seconds(lambda: network(x, **conditions), 2), name


def compact_lines(encoder: Compact) -> Iterator[str]:
    overall, each = domain_accuracy(encoder)
    domains = ", ".join(f"{name} {100 * accuracy:.1f}" for name, accuracy in each.items())
    yield from table_head(["check", "result"])
    yield table_row(
        [
            f"domain of the nearest neighbour, leave one out: {len(each)} domains, {EACH} images each, {SIDE} x {SIDE}",
            f"{100 * overall:.1f} % ({domains})",
        ]
    )
    found, count = retrieval_accuracy(encoder)
    yield table_row(
        [
            f"lower right 3/4 x 3/4 of an image retrieved by its upper left, among {count} (BSD100, Urban100)",
            f"{100 * found:.1f} % (chance {100 / count:.1f} %)",
        ]
    )
    for (kind, strength), value in separation(encoder).items():
        yield table_row([f"clean from degraded, AUC: {UNITS[kind].format(strength)}", f"{value:.3f}"])
    embedding, forward, name = cost(encoder)
    yield table_row(
        [
            f"embedding of a 512 x 512 image, against {name} on it in bf16; CPU seconds, one thread",
            f"{embedding:.3f} against {forward:.2f}: {100 * embedding / forward:.1f} %",
        ]
    )


LADDERS = {
    "blur": (0.5, 1.0, 2.0, 4.0),
    "noise": (2.0, 5.0, 10.0, 25.0, 50.0),
    "jpeg": (95.0, 80.0, 50.0, 25.0, 10.0),
}
"""Strengths of each degradation, from min to max."""


def ladder(judge: Judge, images: Sequence[RGB], kind: str) -> tuple[list[float], int]:
    """Mean distance at each strength, and for how many images it rises at every step."""
    rows = []
    for number, image in enumerate(images):
        worse = [degraded(image, kind, strength, number) for strength in LADDERS[kind]]
        rows.append([float(judge.distance(batch(w), batch(image))) for w in worse])
    rising = sum(all(a < b for a, b in itertools.pairwise([0.0, *row])) for row in rows)
    return np.mean(rows, axis=0).tolist(), rising


@torch.inference_mode()
def ranked(judge: Judge) -> tuple[int, int, float, float]:
    """On Set14 at x4: for how many images the network's distance is below bicubic's, of how many, and both means."""
    network = load_model("edsr-x4").network
    by_bicubic: list[float] = []
    by_network: list[float] = []
    for image in benchmark(["Set14"], 4):
        hr = levels(image)
        lr = downscale_uint8(hr, 4).float() / 255
        for sr, found in ((upscale(lr, 4), by_bicubic), (network(lr), by_network)):
            rounded = (sr.clamp(0, 1) * 255).round() / 255
            found.append(float(judge.distance(rounded, hr.float() / 255)))
    better = sum(n < b for n, b in zip(by_network, by_bicubic, strict=True))
    return better, len(by_network), float(np.mean(by_bicubic)), float(np.mean(by_network))


def judge_lines(judge: Judge) -> Iterator[str]:
    images = [middle(image, SIDE) for image in benchmark(["BSD100"], every=4)]
    yield from table_head(["check", "result"])
    same = max(float(judge.distance(batch(image), batch(image))) for image in images)
    yield table_row(
        [f"an image and itself, max of {len(images)} (centre crops of BSD100, {SIDE} x {SIDE})", f"{same:g}"]
    )
    for kind, strengths in LADDERS.items():
        means, rising = ladder(judge, images, kind)
        steps = ", ".join(f"{s:g}: {d:.3f}" for s, d in zip(strengths, means, strict=True))
        yield table_row([SCALES[kind], f"{steps}; rising at every step for {rising} of {len(images)} images"])
    better, count, bicubic, network = ranked(judge)
    yield table_row(
        [
            "Set14, x4: edsr-x4 nearer than bicubic",
            f"{better} of {count} images; mean {network:.3f} against {bicubic:.3f}",
        ]
    )
    x = torch.rand(1, 3, 512, 512)
    yield table_row(
        [
            "two images of 512 x 512 compared; CPU seconds, one thread",
            f"{cpu_seconds(lambda: judge.distance(x, x), 2):.2f}",
        ]
    )


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="compact, judge; by default both")
    parser.add_argument("--weights", type=Path, help="a file in place of the shipped one")
    options = read_options(parser)
    if unknown := set(options.networks) - set(NETWORKS):
        parser.error(f"there are no checks of {', '.join(sorted(unknown))}; known are {', '.join(NETWORKS)}")
    for name in options.networks:
        lines = (
            compact_lines(Compact(CPU, options.weights))
            if name == "compact"
            else judge_lines(Judge(CPU, options.weights))
        )
        publish(name, lines, write=options.write)


if __name__ == "__main__":
    main()
