"""Throughput of two Ray workers of one core against one process of two: at least 0.9 of it, and Ray's start apart.

    python tests/bench/scale_speed.py [--count 200] [--side 96] [--model srvgg-x4] [--rounds 1]

Each is `srkit upscale --json` as a user starts it. Its rate is that from its first record on, without the images that
came with that (a block, by Ray); what went before is its start. The ratio means nothing where other work runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.rendered import demo_image

_BLOCK_S = 0.2
"""Records that come within this of the first were finished before it."""
WAYS = {
    "one process of 2 cores": ("--threads", "2"),
    "Ray, one worker of 2 cores": ("--engine", "ray", "--workers", "1", "--threads", "2"),
    "Ray, two workers of 1 core": ("--engine", "ray", "--workers", "2", "--threads", "1"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--model", default="srvgg-x4")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "in")
        source.mkdir()
        for number in range(arguments.count):
            image = demo_image(arguments.side, arguments.side, seed=number)
            write_image(DecodedImage(image), source / f"{number}.png", format="png")
        for _ in range(arguments.rounds):
            first = 0.0
            for name, options in WAYS.items():
                rate, start = measured(
                    [
                        "upscale",
                        str(source),
                        str(Path(scratch, "out")),
                        "--overwrite",
                        "-m",
                        arguments.model,
                        "--device",
                        "cpu",
                        "--json",
                        *options,
                    ]
                )
                first = first or rate
                print(
                    f"{name}: {rate:.2f} images/s ({rate / first:.2f}), after a start of {start:.1f} s",
                    flush=True,
                )


def measured(command: list[str]) -> tuple[float, float]:
    """Images a second, and seconds until the first."""
    started, times = time.monotonic(), []
    with subprocess.Popen([sys.executable, "-m", "srkit_cli", *command], stdout=subprocess.PIPE) as process:
        for _ in process.stdout or ():
            times.append(time.monotonic())
    if process.returncode:
        raise SystemExit(f"srkit {' '.join(command)} ended with {process.returncode}")
    later = [at for at in times if at > times[0] + _BLOCK_S]
    return len(later) / (times[-1] - times[0]), times[0] - started


if __name__ == "__main__":
    main()
