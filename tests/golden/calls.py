"""Fixed calls of the program, and whether they still give the same bytes and numbers.

    python tests/golden/calls.py record before.json      # in one checkout
    python tests/golden/calls.py compare before.json     # in another one; exit 1 where something differs

For changes that must change no result, as a move of code. The inputs are drawn here. What is recorded: the exit code of
every call, the SHA-256 of every file that it leaves (of weights: of their tensors), and its JSON without times, paths
and versions. Results differ between machines, so nothing is kept in the repository: record and compare on one machine,
with the same version of torch, on one thread.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors.numpy import load_file

CALLS: Mapping[str, str] = {
    "upscale-default": "upscale one.png out-default.png --json",
    "upscale-folder-x8": "upscale images out-x8 --scale 8 --json",
    "upscale-tiles": "upscale one.png out-tiles.png -m edsr-x4 --tile 32 --dtype fp32 --json",
    "upscale-real": "upscale one.png out-real.webp -m real --json",
    "upscale-tta-x2": "upscale one.png out-tta.tif -m edsr-x2 --tta --json",
    "upscale-x16-16bit": "upscale deep.png out-deep.png -s 3.7 --json",
    "upscale-alpha": "upscale alpha.png out-alpha.png -s 4 --json",
    "upscale-gray": "upscale gray.png out-gray.png -s 2 --json",
    "upscale-plan": "upscale images out-plan --plan --json",
    "upscale-debug-maps": "upscale one.png out-maps.png -m real-x4 --debug-maps maps --json",
    "estimate-kernel": "estimate-kernel one.png map.npz -s 4 --json",
    "estimate-kernel-refined": "estimate-kernel one.png map2.npz -s 4 --refine 1 --depth none --json",
    "upscale-kernel-map": "upscale one.png out-kernel.png --kernel-map map.npz --json",
    "eval-sets": "eval --dataset Tiny --data-root data -m edsr-x4 --metrics psnr,ssim,judge --json",
    "eval-finished": "eval --sr data/Tiny/HR --hr data/Tiny/HR -s 4 --metrics ssim --json",
    "eval-shots": "eval --dataset Tiny --data-root data -m edsr-x2 --shots 2 --json",
    "adapt-shots": "adapt data/Tiny/HR -m edsr-x4 -o adapted.safetensors --shots 3 --steps 20 --json",
    "adapt-self-supervised": "adapt images --self-supervised -m real-x4 -o self.safetensors --steps 20 --json",
    "upscale-adapted": "upscale one.png out-adapted.png -m adapted.safetensors --json",
}
"""Arguments of `srkit`, run in this order in one folder."""
_LEFT_OUT = {"seconds", "versions", "minutes", "elapsed", "estimated_seconds", "disk_free_bytes"}


def main() -> None:
    verb, file = sys.argv[1], Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        draw_inputs()
        found = {name: recorded(arguments) for name, arguments in CALLS.items()}
    if verb == "record":
        file.write_text(json.dumps(found, indent=1, sort_keys=True), encoding="utf-8")
        return
    before = json.loads(file.read_text(encoding="utf-8"))
    changed = [name for name in CALLS if before.get(name) != json.loads(json.dumps(found[name]))]
    for name in changed:
        print(f"{name} ({CALLS[name]})\n  before {before.get(name)}\n  after  {found[name]}")
    print(f"{len(CALLS) - len(changed)} of {len(CALLS)} calls give the same.")
    raise SystemExit(bool(changed))


def recorded(arguments: str) -> dict[str, Any]:
    """What a call gave."""
    there = set(Path().rglob("*"))
    command = [sys.executable, "-m", "srkit_cli", *arguments.split(), "--device", "cpu", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    made = sorted(path for path in Path().rglob("*") if path not in there and path.is_file())
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", "["))]
    files = {str(path): digest(path) for path in made}
    return {"code": done.returncode, "files": files, "json": without_times(lines)} | (
        {"stderr": done.stderr[-300:]} if done.returncode else {}
    )


def digest(path: Path) -> str:
    """Of the tensors of weights, else of the file."""
    if path.suffix == ".npz":
        content = b"".join(np.ascontiguousarray(value).tobytes() for value in np.load(path).values())
    elif path.suffix == ".safetensors":
        content = b"".join(value.tobytes() for _, value in sorted(load_file(path).items()))
    else:
        content = path.read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def without_times(value: Any) -> Any:
    """JSON without what differs between two runs of one program."""
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if key not in _LEFT_OUT}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def draw_inputs() -> None:
    """Images with edges, textures and noise; the same each time."""
    for folder in ("images", "data/Tiny/HR"):
        Path(folder).mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(f"data/Tiny/HR/{number}.png", drawn(192 + 16 * number, 208, number))
    for number in range(3):
        cv2.imwrite(f"images/{number}.png", drawn(64, 72 + 8 * number, 10 + number))
    one = drawn(61, 90, 20)
    cv2.imwrite("one.png", one)
    cv2.imwrite("gray.png", one[..., 1])
    cv2.imwrite("deep.png", one.astype(np.uint16) * 257)
    alpha = np.where(np.hypot(*np.mgrid[-30:31, -45:45]) < 28, 255, 0).astype(np.uint8)
    cv2.imwrite("alpha.png", np.dstack([one, alpha]))


def drawn(height: int, width: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), rng.integers(90, 200, 3), np.uint8)
    for _ in range(24):
        colour = tuple(int(level) for level in rng.integers(0, 256, 3))
        ends = rng.integers(0, max(height, width), (2, 2)).tolist()
        cv2.line(image, ends[0], ends[1], colour, int(rng.integers(1, 7)), cv2.LINE_AA)
        cv2.circle(image, ends[0], int(rng.integers(3, 25)), colour, -1, cv2.LINE_AA)
    noisy = image + rng.normal(0, 3, image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
