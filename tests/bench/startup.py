"""Start-up times, as ratios taken in one run; `--check` ends with 1 where a budget is broken.

    python tests/bench/startup.py [--check]

`srkit --help` and `srkit COMMAND --help`: at most twice `python -c 'import typer, rich.console'`.
One 256 x 256 image to x4, the whole process: at most `python -c 'import torch'` plus 2 s.
A budget that seems broken is measured again, up to five times: noise only ever adds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HELP_LIMIT = 2.0
UPSCALE_LIMIT_S = 2.0
ATTEMPTS = 5
BASE, TORCH, UPSCALE = "typer, rich.console", "import torch", "256 x 256 to x4"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    srkit = [sys.executable, "-m", "srkit_cli"]
    commands = {
        BASE: [sys.executable, "-c", "import typer, rich.console"],
        "srkit --help": [*srkit, "--help"],
        "srkit upscale --help": [*srkit, "upscale", "--help"],
        "srkit --version": [*srkit, "--version"],
    }
    helps, broken = fastest(commands, 9, slow_helps)
    for name, seconds in helps.items():
        print(f"{name:<24}{seconds:7.3f} s   {seconds / helps[BASE]:5.2f} times typer and rich")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "in.png"
        subprocess.run(
            [*srkit, "demo-image", str(source), "--width", "256", "--height", "256"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        upscale = [*srkit, "upscale", str(source), str(Path(scratch) / "out.png"), "-s", "4", "--overwrite"]
        whole, slow = fastest(
            {TORCH: [sys.executable, "-c", "import torch"], UPSCALE: upscale}, 4, slow_upscale
        )
    print(
        f"import torch {whole[TORCH]:.2f} s; {UPSCALE}, whole process: {whole[UPSCALE] - whole[TORCH]:+.2f} s more"
    )
    for line in broken + slow:
        print(f"broken: {line}")
    return 1 if check and broken + slow else 0


def slow_helps(seconds: dict[str, float]) -> list[str]:
    return [
        f"{name} takes {taken / seconds[BASE]:.2f} times typer and rich, at most {HELP_LIMIT:g} are allowed"
        for name, taken in seconds.items()
        if taken > HELP_LIMIT * seconds[BASE]
    ]


def slow_upscale(seconds: dict[str, float]) -> list[str]:
    extra = seconds[UPSCALE] - seconds[TORCH]
    if extra <= UPSCALE_LIMIT_S:
        return []
    return [f"one image takes import torch + {extra:.2f} s, at most + {UPSCALE_LIMIT_S:g} s is allowed"]


def fastest(
    commands: dict[str, list[str]], rounds: int, broken: Callable[[dict[str, float]], list[str]]
) -> tuple[dict[str, float], list[str]]:
    """The least of several interleaved timings of each command, and what of it is `broken`."""
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(ATTEMPTS):
        for _ in range(rounds):
            for name, command in commands.items():
                started = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                best[name] = min(best[name], time.perf_counter() - started)
        if not (lines := broken(best)):
            break
    return best, lines


if __name__ == "__main__":
    raise SystemExit(main())
