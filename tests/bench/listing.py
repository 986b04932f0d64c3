"""Listing a folder of many names: CPU seconds, and peak resident memory of a process that does nothing else.

python tests/bench/listing.py [--count 1000000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.upscale.job import UpscaleJob
from srkit.tasks.upscale.rows import list_names, make_rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where a folder of empty files may be made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for number in range(arguments.count):
            place = Path(folder, f"{number // 1000:04}")
            if number % 1000 == 0:
                place.mkdir()
            (place / f"photograph-{number:07}.jpg").touch()
        before, started = peak(), time.process_time()
        names = list_names(folder, recursive=True)
        listed = time.process_time()
        rows, _ = make_rows(UpscaleJob(UpscaleRecipe(), folder, Path("out")), names, frozenset())
        ended = time.process_time()
    print(
        f"{len(names)} names: {listed - started:.1f} s of CPU to list, {ended - listed:.1f} to make {len(rows)} rows; "
        f"peak {peak():.0f} MiB, of which {before:.0f} MiB before"
    )


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
