"""`srkit upscale` killed at random moments over a folder, and resumed: the result must not show it.

    python tests/bench/kill_resume.py [--model edsr-x4] [--pictures 60] [--kills 20] [--seed 0]

First the folder is upscaled undisturbed. Then, over and over, a run with --skip-existing is killed (SIGKILL) after a
random time, from before its first import to its last image, and what is there under a final name is compared with
the undisturbed run, byte by byte; where all was done, the outputs are removed and it begins again. Last, a run goes
through to the end. A process for each run, as a user starts it; exit code 1 where anything differed.
"""

from __future__ import annotations

import argparse
import functools
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.rendered import demo_image

print = functools.partial(print, flush=True)  # it is watched while it runs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="edsr-x4")
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        right = run(Path(scratch), arguments)
    sys.exit(0 if right else 1)


def run(scratch: Path, arguments: argparse.Namespace) -> bool:
    """Whether every look at the folder, and the end, were as they must be."""
    chance = random.Random(arguments.seed)
    source, out = scratch / "in", scratch / "out"
    for i in range(arguments.pictures):
        side = chance.randrange(64, 160)
        path = source / str(i % 3) / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(DecodedImage(demo_image(side, side, seed=i)), path, format="png")
    command = [
        sys.executable,
        "-m",
        "srkit_cli",
        "upscale",
        str(source),
        str(out),
        "-r",
        "-m",
        arguments.model,
    ]
    started = time.monotonic()
    subprocess.run([*command, "-q"], check=True)
    seconds = time.monotonic() - started
    expected = content(out)
    shutil.rmtree(out)
    print(f"undisturbed: {len(expected)} images in {seconds:.1f} s")
    right = True
    for kill in range(1, arguments.kills + 1):
        if len(content(out)) == len(expected):
            shutil.rmtree(out)
        wait = chance.uniform(0, seconds)
        ended = killed(command, wait)
        now = content(out)
        wrong = [name for name, data in now.items() if expected.get(name) != data]
        right = right and not wrong
        left = f"{len(now)} whole, {len(temporaries(out))} temporary"
        how = "had ended" if ended else "killed"
        print(f"{kill:2}. {how} after {wait:4.1f} s: {left}, {len(wrong)} wrong {wrong[:3] or ''}")
    subprocess.run([*command, "-q", "--skip-existing"], check=True)
    same, stale = content(out) == expected, temporaries(out)
    print(f"resumed to the end: {'byte-identical' if same else 'DIFFERENT'}, {len(stale)} temporaries left")
    return right and same and not stale


def killed(command: list[str], wait: float) -> bool:
    """Start a run and kill it after `wait` seconds; whether it had ended before."""
    process = subprocess.Popen([*command, "-q", "--skip-existing"])
    try:
        return process.wait(wait) == 0
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return False


def content(folder: Path) -> dict[str, bytes]:
    """The files of a tree under their final names."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def temporaries(folder: Path) -> list[Path]:
    return [p for p in folder.rglob(".*") if p.is_file()]


if __name__ == "__main__":
    main()
