"""Resident memory of the driver and of each worker of `srkit upscale --engine ray` over many tiny images: it must not
grow.

    python tests/bench/scale_memory.py [--count 10000] [--workers 1] [--model srvgg-x2]

Every tenth of the way the processes' own pages (resident less shared ones: the object store is shared) are printed. The
images are links to one file.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import psutil

from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.recipes.engine import EngineRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.rendered import demo_image
from srkit.tasks.upscale.items import UpscaleJob
from srkit.tasks.upscale.streamed import run_streamed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--model", default="srvgg-x2")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "in")
        source.mkdir()
        write_image(DecodedImage(demo_image(64, 64)[:16, :16].copy()), source / "0.png", format="png")
        for number in range(1, arguments.count):
            os.link(source / "0.png", source / f"{number}.png")
        recipe = UpscaleRecipe(model=arguments.model, device="cpu", threads=1)
        job = UpscaleJob(recipe, str(source), Path(scratch, "out"))
        records = run_streamed(job, str(job.output), EngineRecipe("ray", arguments.workers))
        for count, record in enumerate(records, start=1):
            if record.status != "done":
                raise SystemExit(record.error)
            if count % (arguments.count // 10) == 0:
                workers = ", ".join(f"{own(process):.0f}" for process in workers_of())
                print(
                    f"{count} images: driver {own(psutil.Process()):.0f} MiB, workers {workers} MiB",
                    flush=True,
                )


def workers_of() -> list[psutil.Process]:
    """The processes of Ray's actors that upscale."""
    below = psutil.Process().children(recursive=True)
    return [process for process in below if "MapWorker" in " ".join(process.cmdline())]


def own(process: psutil.Process) -> float:
    """MiB."""
    memory = process.memory_info()
    return (memory.rss - memory.shared) / 2**20


if __name__ == "__main__":
    main()
