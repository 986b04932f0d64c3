"""What conditions cost: CDASR's forward pass against EDSR's of the same trunk, as a ratio taken in one run.

    python tests/bench/conditioned_cost.py [--side 512] [--blocks 12] [--rounds 5] [--threads 2]

Both in the precision that the engine picks, channels_last, on random weights and an image as one window; positions,
sampling of the tokens and the alignment included, the encoder not (it runs once an image; its share is measured where
it was trained). Interleaved, and counted in seconds of the processor, so that a busy machine disturbs both alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from srkit.archs.cdasr import CDASR
from srkit.archs.edsr import EDSR
from srkit.engine.device import pick_device, pick_dtype
from srkit.ops.geometry import position_grid


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--token-features", type=int, nargs="*", default=[16, 32])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    common = {"scale": 4, "features": 64, "blocks": arguments.blocks, "upsampler": "single"}
    encoded = {"semantic_dim": 128, "token_channels": 256}
    networks: dict[str, nn.Module] = {"edsr": EDSR(**common)}
    for width in arguments.token_features:
        networks[f"cdasr, {width} token features"] = CDASR(**common, **encoded, token_features=width)
    networks["cdasr, global"] = CDASR(**common, **encoded, spatial="global")
    side = arguments.side
    x = torch.rand(1, 3, side, side).contiguous(memory_format=torch.channels_last)
    given = {
        "semantic": nn.functional.normalize(torch.randn(1, 128)),
        "tokens": torch.randn(1, 256, 10, 10),
    }
    seconds = measure(networks, x, given, arguments.rounds)
    for name, spent in seconds.items():
        ratios = [a / b for a, b in zip(spent, seconds["edsr"], strict=True)]
        print(
            f"{name:<26}{statistics.median(spent):8.3f} s   {statistics.median(ratios):.3f} times edsr   "
            f"({', '.join(f'{r:.3f}' for r in ratios)})"
        )


@torch.inference_mode()
def measure(
    networks: Mapping[str, nn.Module], x: Tensor, given: Mapping[str, Tensor], rounds: int
) -> dict[str, list[float]]:
    device = pick_device("cpu")
    first = next(iter(networks.values()))
    dtype = pick_dtype("auto", device, first.info)  # type: ignore[arg-type]
    print(
        f"{x.shape[3]} x {x.shape[2]}, {str(dtype).removeprefix('torch.')}, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}"
    )

    def forward(network: nn.Module) -> Callable[[], None]:
        network = network.eval().to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

        def run() -> None:
            conditions = {**given, "position": position_grid(*x.shape[2:])}
            network(x, **{name: conditions[name] for name in network.info.conditioning})

        return run

    runs = {name: forward(network) for name, network in networks.items()}
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.process_time()
            run()
            seconds[name].append(time.process_time() - started)
    return seconds


if __name__ == "__main__":
    main()
