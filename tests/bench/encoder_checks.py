"""Check the shipped feature networks on pictures that they never saw, and write what was found where users read it.

    SRKIT_DATA=../shared/data python tests/bench/encoder_checks.py [compact] [judge] [--weights FILE]

Prints the numbers, and writes them between the two marks of each network in weights/README.md.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from marks import write_between_marks
from numpy.typing import NDArray
from torch import Tensor

from srkit.data.photographs import find_photographs, read_rgb8
from srkit.encoders.compact import Compact
from srkit.encoders.judge import Judge
from srkit.io.jpeg import through_jpeg
from srkit.ops.resize import downscale_uint8, upscale
from srkit.recipes.encoder import EncoderDataPart
from srkit.rendered import render
from srkit.zoo.load import load_model
from srkit.zoo.manifest import Manifest

Picture = NDArray[np.uint8]
CPU = torch.device("cpu")
NETWORKS = ("compact", "judge")
SIDE = 256
EACH = 40
FIRST_SEED = 10_000  # far from those that were trained on
LEFT_OUT = "street"  # its seeds differ too little to be a question
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


def benchmark(name: str, count: int | None = None) -> list[Picture]:
    folder = Path(os.environ["SRKIT_DATA"]) / "benchmarks" / name / "HR"
    return [read_rgb8(path) for path in find_photographs([folder])[:count]]


def middle(picture: Picture, side: int = SIDE) -> Picture:
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255


@torch.inference_mode()
def vectors(encoder: Compact, pictures: Sequence[Picture]) -> Tensor:
    return torch.cat([encoder.embed(tensor(picture)).vector for picture in pictures])


def degraded(picture: Picture, kind: str, strength: float, seed: int = 0) -> Picture:
    if kind == "jpeg":
        return through_jpeg(picture, round(strength))
    if kind == "noise":
        noise = np.random.default_rng(seed).standard_normal(picture.shape) * strength
        return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(picture.astype(np.float32), (strength, strength, 0))
    return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)


def auc(low: Tensor, high: Tensor) -> float:
    """Probability that a value of `high` is above one of `low`."""
    difference = high[:, None] - low[None, :]
    return float((difference > 0).double().mean() + 0.5 * (difference == 0).double().mean())


def domain_accuracy(encoder: Compact) -> tuple[float, dict[str, float]]:
    """Leave one out, nearest neighbour by cosine, over photographs and the rendered domains of the recipe but one."""
    domains = {"photographs": [middle(p) for p in benchmark("BSD100", EACH)]}
    for name in EncoderDataPart().domains:
        if name != LEFT_OUT:
            domains[name] = [render(name, SIDE, SIDE, FIRST_SEED + i) for i in range(EACH)]
    embedded = vectors(encoder, [picture for pictures in domains.values() for picture in pictures])
    label = torch.arange(len(domains)).repeat_interleave(EACH)
    similarity = (embedded @ embedded.T).fill_diagonal_(-2)
    right = label[similarity.argmax(1)] == label
    each = {name: float(right[label == i].double().mean()) for i, name in enumerate(domains)}
    return float(right.double().mean()), each


def retrieval_accuracy(encoder: Compact) -> tuple[float, int]:
    """Upper left three quarters (of each side) find the lower right three quarters of the same picture."""
    pictures = benchmark("BSD100") + benchmark("Urban100")
    first = vectors(encoder, [p[: p.shape[0] * 3 // 4, : p.shape[1] * 3 // 4] for p in pictures])
    second = vectors(encoder, [p[p.shape[0] // 4 :, p.shape[1] // 4 :] for p in pictures])
    found = (first @ second.T).argmax(1)
    return float((found == torch.arange(len(pictures))).double().mean()), len(pictures)


def separation(encoder: Compact) -> dict[tuple[str, float], float]:
    """AUC along the difference of the means, fitted on every other picture and applied to the rest."""
    pictures = [middle(p) for p in benchmark("BSD100")]
    clean = vectors(encoder, pictures)
    found = {}
    for kind, strengths in DEGRADATIONS.items():
        for strength in strengths:
            worse = vectors(encoder, [degraded(p, kind, strength, i) for i, p in enumerate(pictures)])
            direction = worse[::2].mean(0) - clean[::2].mean(0)
            found[kind, strength] = auc(clean[1::2] @ direction, worse[1::2] @ direction)
    return found


def cpu_seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Smallest of several, one thread."""
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
    """CPU seconds of an embedding of a 512 x 512 picture, of the x4 network's forward on it, and that one's name."""
    x = torch.rand(1, 3, 512, 512).contiguous(memory_format=torch.channels_last)
    names = [entry.name for entry in Manifest.load() if entry.shipped]
    name = "cdasr-x4" if "cdasr-x4" in names else "edsr-x4"
    network = load_model(name).network.to(torch.bfloat16).to(memory_format=torch.channels_last)
    conditions = {}
    if name == "cdasr-x4":
        from srkit.ops.position import position_grid

        embedding = encoder.embed(x)
        conditions = {
            "semantic": embedding.vector,
            "tokens": embedding.tokens,
            "position": position_grid(512, 512),
        }
    return cpu_seconds(lambda: encoder.embed(x)), cpu_seconds(lambda: network(x, **conditions), 2), name


def compact_lines(encoder: Compact) -> Iterator[str]:
    overall, each = domain_accuracy(encoder)
    domains = ", ".join(f"{name} {100 * share:.1f}" for name, share in each.items())
    yield "| check | result |"
    yield "|---|---|"
    yield (
        f"| domain of the nearest neighbour, leave one out: {len(each)} domains, {EACH} pictures each, "
        f"{SIDE} x {SIDE} | {100 * overall:.1f} % ({domains}) |"
    )
    found, count = retrieval_accuracy(encoder)
    yield (
        f"| lower right 3/4 x 3/4 of a picture found by its upper left 3/4 x 3/4, among {count} "
        f"(BSD100, Urban100) | {100 * found:.1f} % (chance {100 / count:.1f} %) |"
    )
    for (kind, strength), value in separation(encoder).items():
        what = UNITS[kind].format(strength)
        yield f"| clean from degraded, AUC: {what} | {value:.3f} |"
    embedding, forward, name = cost(encoder)
    yield (
        f"| embedding of a 512 x 512 picture, against {name} on it in bf16; CPU seconds, one thread | "
        f"{embedding:.3f} against {forward:.2f}: {100 * embedding / forward:.1f} % |"
    )


LADDERS = {
    "blur": (0.5, 1.0, 2.0, 4.0),
    "noise": (2.0, 5.0, 10.0, 25.0, 50.0),
    "jpeg": (95.0, 80.0, 50.0, 25.0, 10.0),
}
"""Each from the least to the most."""


def ladder(judge: Judge, pictures: Sequence[Picture], kind: str) -> tuple[list[float], int]:
    """Mean distance at each strength, and for how many of the pictures every step was a step up."""
    rows = []
    for number, picture in enumerate(pictures):
        worse = [degraded(picture, kind, strength, number) for strength in LADDERS[kind]]
        rows.append([float(judge.distance(tensor(w), tensor(picture))) for w in worse])
    rising = sum(all(a < b for a, b in itertools.pairwise([0.0, *row])) for row in rows)
    return np.mean(rows, axis=0).tolist(), rising


@torch.inference_mode()
def ranked(judge: Judge) -> tuple[int, int, float, float]:
    """On Set14 at x4: where the network's picture is judged nearer than bicubic's, of how many, and both means."""
    network = load_model("edsr-x4").network
    by_bicubic, by_network = [], []
    for picture in benchmark("Set14"):
        hr = torch.from_numpy(picture).permute(2, 0, 1)[None]
        hr = hr[:, :, : hr.shape[2] // 4 * 4, : hr.shape[3] // 4 * 4]
        lr = downscale_uint8(hr, 4).float() / 255
        for sr, found in ((upscale(lr, 4), by_bicubic), (network(lr), by_network)):
            rounded = (sr.clamp(0, 1) * 255).round() / 255
            found.append(float(judge.distance(rounded, hr.float() / 255)))
    better = sum(n < b for n, b in zip(by_network, by_bicubic, strict=True))
    return better, len(by_network), float(np.mean(by_bicubic)), float(np.mean(by_network))


def judge_lines(judge: Judge) -> Iterator[str]:
    pictures = [middle(p) for p in benchmark("BSD100")[::4]]
    yield "| check | result |"
    yield "|---|---|"
    same = max(float(judge.distance(tensor(p), tensor(p))) for p in pictures)
    yield f"| a picture and itself, largest of {len(pictures)} (middles of BSD100, {SIDE} x {SIDE}) | {same:g} |"
    for kind, strengths in LADDERS.items():
        means, rising = ladder(judge, pictures, kind)
        steps = ", ".join(f"{s:g}: {d:.3f}" for s, d in zip(strengths, means, strict=True))
        yield f"| {SCALES[kind]} | {steps}; rising at every step for {rising} of {len(pictures)} pictures |"
    better, count, bicubic, network = ranked(judge)
    yield (
        f"| Set14, x4: edsr-x4 judged nearer than bicubic | {better} of {count} pictures; "
        f"mean {network:.3f} against {bicubic:.3f} |"
    )
    x = torch.rand(1, 3, 512, 512)
    yield (
        f"| two pictures of 512 x 512 compared; CPU seconds, one thread | "
        f"{cpu_seconds(lambda: judge.distance(x, x), 2):.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="compact, judge; by default both")
    parser.add_argument("--weights", type=Path, help="a file in place of the shipped one; nothing is written")
    chosen = parser.parse_args()
    if unknown := set(chosen.networks) - set(NETWORKS):
        raise SystemExit(f"there are no checks of {', '.join(sorted(unknown))}")
    for name in chosen.networks:
        lines = (
            compact_lines(Compact(CPU, chosen.weights))
            if name == "compact"
            else judge_lines(Judge(CPU, chosen.weights))
        )
        shown = []
        for line in lines:
            print(line, flush=True)
            shown.append(line)
        if chosen.weights is None:
            write_between_marks(name, "encoder_checks.py", "\n".join(shown))


if __name__ == "__main__":
    main()
