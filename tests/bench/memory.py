"""Peak resident memory of `srkit upscale` (ru_maxrss, mapped pages included).

    python tests/bench/memory.py [--model edsr-x4] [--width 3000 --height 2250] [--count 200]

One large image (3000 x 2250 to 12,000 x 9,000 at x4), and 200 small ones, where the resident size after 40 and
after all is printed: it must not grow.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.rendered import demo_image


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="edsr-x4")
    parser.add_argument("--width", type=int, default=3000)
    parser.add_argument("--height", type=int, default=2250)
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        large(Path(scratch), arguments)
        many(Path(scratch), arguments)


def large(scratch: Path, arguments: argparse.Namespace) -> None:
    small = demo_image(960, 720)
    repeats = (-(-arguments.height // 720), -(-arguments.width // 960), 1)
    image = np.tile(small, repeats)[: arguments.height, : arguments.width].copy()
    write_image(DecodedImage(image), scratch / "large.png", format="png")
    command = [
        sys.executable,
        "-m",
        "srkit_cli",
        "upscale",
        str(scratch / "large.png"),
        str(scratch / "out.png"),
        "-m",
        arguments.model,
        "-s",
        "4",
        "--json",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"{arguments.width} x {arguments.height} to {4 * arguments.width} x {4 * arguments.height}: "
        f"peak {peak:.0f} MiB ({peak / 1024:.2f} GiB; limit 3 GB)"
    )


def many(scratch: Path, arguments: argparse.Namespace) -> None:
    folder = scratch / "many"
    folder.mkdir()
    for i in range(arguments.count):
        image = demo_image(96 + i % 7, 64 + i % 5, seed=i)
        write_image(DecodedImage(image), folder / f"{i:03}.png", format="png")
    code = """
import sys
from pathlib import Path
from srkit.recipes.upscale import UpscaleRecipe, Target
from srkit.tasks.upscale.run import UpscaleJob, run
def resident():
    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096 / 2**20
job = UpscaleJob(UpscaleRecipe(model=sys.argv[1], target=Target(4.0)), sys.argv[2], Path(sys.argv[3]))
for i, record in enumerate(run(job), 1):
    if record.status != 'done':
        raise SystemExit(record.error)
    if i == 40:
        early = resident()
print(f'{i} images: resident {early:.0f} MiB after 40, {resident():.0f} MiB after {i}')
"""
    subprocess.run(
        [sys.executable, "-c", code, arguments.model, str(folder), str(scratch / "many-out")], check=True
    )


if __name__ == "__main__":
    main()
