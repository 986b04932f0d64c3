"""What kernels of every pixel cost on a rendered image of 1 Mpx LR: seconds, CPU seconds and peak resident memory.

    python tests/bench/kernel_cost.py [--width 1152 --height 868] [--rounds 0,1,2]

`srkit estimate-kernel` with rounds of refinement, then `srkit upscale --kernel-map`, each a process of its own; asked
are 60 s on two cores with avx512_bf16, and 3 GB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.rendered import demo_image


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=1152)
    parser.add_argument("--height", type=int, default=868)
    parser.add_argument("--rounds", default="0,1,2")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source, found, out = (str(Path(scratch) / name) for name in ("in.png", "in.npz", "out.png"))
        write_image(DecodedImage(demo_image(chosen.width, chosen.height)), Path(source), format="png")
        for rounds in chosen.rounds.split(","):
            measure(
                f"estimate-kernel --refine {rounds}", "estimate-kernel", source, found, "--refine", rounds
            )
        measure("upscale --kernel-map", "upscale", source, out, "--kernel-map", found)


def measure(name: str, *arguments: str) -> None:
    """Runs it, and prints what it took."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "srkit_cli", *arguments, "--overwrite", "-q"]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    print(
        f"{name:<28}{seconds:6.1f} s  {usage.ru_utime + usage.ru_stime:6.1f} CPU s  {usage.ru_maxrss / 2**20:.2f} GiB",
        flush=True,
    )


if __name__ == "__main__":
    main()
