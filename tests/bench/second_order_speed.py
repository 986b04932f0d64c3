"""Degraded pairs a second, on the CPU: HR 256 in, LR 64 out, by the full and the mild settings.

    python tests/bench/second_order_speed.py [--side 256] [--batch 16] [--rounds 4] [--threads 2]

The clock says how many come out beside whatever else runs; the processor's seconds, how many one idle core makes, which
is what the verdict goes by. With --step SECONDS, of the processor for a training step, also which share of it a batch
takes.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from srkit.degradation.second_order import second_order
from srkit.recipes.degradation import SETTINGS, SecondOrderPart
from srkit.rendered import demo_image

SCALE = 4
LEAST = 50  # pairs a second


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--step", type=float)
    arguments = parser.parse_args()
    import cv2

    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    image = torch.from_numpy(demo_image(arguments.side, arguments.side, 0)).permute(2, 0, 1)[None]
    hr = (image.float() / 255).repeat(arguments.batch, 1, 1, 1)
    hr = hr.contiguous(memory_format=torch.channels_last)
    print(f"HR {arguments.side}, LR {arguments.side // SCALE}, {arguments.threads} threads")
    for name, part in SETTINGS.items():
        wall, processor = measure(hr, part, arguments.rounds)
        alone = arguments.batch / processor
        share = f"; {processor / arguments.step:.1%} of a step" if arguments.step else ""
        print(
            f"{name:<12}{arguments.batch / wall:7.1f} pairs/s by the clock; "
            f"{1000 / alone:.1f} ms of the processor a pair, {alone:.0f} pairs/s of an idle core "
            f"(at least {LEAST}: {'yes' if alone >= LEAST else 'no'}){share}"
        )


@torch.inference_mode()
def measure(hr: torch.Tensor, part: SecondOrderPart, rounds: int) -> tuple[float, float]:
    """Median seconds of a batch, by the wall clock, and of the processor."""
    rng = torch.Generator().manual_seed(0)
    second_order(hr, SCALE, part, rng)
    wall, processor = [], []
    for _ in range(rounds):
        started = time.perf_counter(), time.process_time()
        second_order(hr, SCALE, part, rng)
        wall.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
    return statistics.median(wall), statistics.median(processor)


if __name__ == "__main__":
    main()
