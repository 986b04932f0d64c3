"""Start-up times, as ratios taken in one run; `--check` ends with 1 where a budget is broken.

    python tests/bench/startup.py [--check]

`srkit --help` and `srkit COMMAND --help`: at most twice `python -c 'import typer, rich.console'`.
One 256 x 256 picture to x4, the whole process: at most `python -c 'import torch'` plus 2 s.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HELP_LIMIT = 2.0
UPSCALE_LIMIT_S = 2.0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    srkit = [sys.executable, "-m", "srkit_cli"]
    commands = {
        "typer, rich.console": [sys.executable, "-c", "import typer, rich.console"],
        "srkit --help": [*srkit, "--help"],
        "srkit upscale --help": [*srkit, "upscale", "--help"],
        "srkit --version": [*srkit, "--version"],
    }
    helps = fastest(commands, 9)
    base = helps["typer, rich.console"]
    broken = []
    for name, seconds in helps.items():
        print(f"{name:<24}{seconds:7.3f} s   {seconds / base:5.2f} times typer and rich")
        if seconds > HELP_LIMIT * base:
            broken.append(
                f"{name} takes {seconds / base:.2f} times typer and rich, at most {HELP_LIMIT:g} are allowed"
            )
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "in.png"
        subprocess.run(
            [*srkit, "demo-image", str(source), "--width", "256", "--height", "256"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        upscale = [*srkit, "upscale", str(source), str(Path(scratch) / "out.png"), "-s", "4", "--overwrite"]
        whole = fastest(
            {"import torch": [sys.executable, "-c", "import torch"], "256 x 256 to x4": upscale}, 4
        )
    extra = whole["256 x 256 to x4"] - whole["import torch"]
    print(f"import torch {whole['import torch']:.2f} s; 256 x 256 to x4, whole process: {extra:+.2f} s more")
    if extra > UPSCALE_LIMIT_S:
        broken.append(
            f"one picture takes import torch + {extra:.2f} s, at most + {UPSCALE_LIMIT_S:g} s is allowed"
        )
    for line in broken:
        print(f"broken: {line}")
    return 1 if check and broken else 0


def fastest(commands: dict[str, list[str]], rounds: int) -> dict[str, float]:
    """The least of several interleaved timings of each command: noise only ever adds."""
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(rounds):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            best[name] = min(best[name], time.perf_counter() - started)
    return best


if __name__ == "__main__":
    raise SystemExit(main())
