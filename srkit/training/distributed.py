"""Data-parallel training under `torchrun`; a single process is a world of size one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """True for the process that writes files and reports."""
        return self.rank == 0


@contextmanager
def process_group(device: torch.device) -> Iterator[World]:
    """Join the group that `torchrun` describes in the environment, if any; nested calls reuse the outer group."""
    if dist.is_available() and dist.is_initialized():
        yield World(dist.get_rank(), dist.get_world_size())
        return
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def wait_for_all(world: World) -> None:
    """Wait until every process has called this."""
    if world.size > 1:
        dist.barrier()


def local_device(device: torch.device) -> torch.device:
    """CUDA device of this process under `torchrun`."""
    rank = os.environ.get("LOCAL_RANK")
    if device.type != "cuda" or rank is None:
        return device
    local = torch.device("cuda", int(rank))
    torch.cuda.set_device(local)
    return local


def parallel(network: nn.Module, world: World) -> nn.Module:
    """The network with gradients averaged over the processes."""
    return network if world.size == 1 else nn.parallel.DistributedDataParallel(network)


def average_gradients(network: nn.Module, world: World) -> None:
    """Average the gradients over the processes, for a network that `parallel` does not wrap."""
    if world.size > 1:
        for parameter in network.parameters():
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= world.size


def mean_over(value: Tensor, world: World) -> Tensor:
    """Mean of a scalar over the processes."""
    if world.size > 1:
        value = value.clone()
        dist.all_reduce(value)
        value /= world.size
    return value


def agreed(value: float, world: World, device: torch.device) -> float:
    """Value of the first process, on all processes: clocks differ, and all processes must take the same step."""
    if world.size == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared)
