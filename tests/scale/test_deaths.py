"""A cluster of three machines, of which one is the head: a driver dies, and a machine. Nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scale.conftest import files

pytestmark = pytest.mark.ray
COUNT = 200


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    """A head without cores, and two machines of a core each, all of them raylets of this one."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": {"worker_niceness": 0}}
    machines = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        machines.add_node(num_cpus=1)
    yield machines
    machines.shutdown()


@pytest.fixture
def run(
    machines: Any, photos: Path, edsr_weights: Path, tmp_path: Path
) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts `srkit upscale --engine ray` of 200 images into `out`, as a driver of its own."""
    source = tmp_path / "in"
    source.mkdir()
    for number in range(COUNT):
        os.link(photos / "1.png", source / f"{number}.png")

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        options = ("--workers", "2", "--threads", "1", "--address", machines.address, *arguments)
        command = ("upscale", source, tmp_path / "out", "-m", edsr_weights, "--dtype", "fp32", "--json")
        whole = [sys.executable, "-m", "srkit_cli", *map(str, command), "--engine", "ray", *options]
        return subprocess.Popen(whole, stdout=subprocess.PIPE)

    return start


def wait_for(count: int, folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Until so many outputs are there."""
    while not folder.is_dir() or len(files(folder)) < count:
        assert process.poll() is None
        time.sleep(0.02)


def test_a_killed_driver_is_resumed(
    run: Callable[..., subprocess.Popen[bytes]], expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with run() as process:
        wait_for(5, out, process)
        process.kill()
    assert len(files(out)) < COUNT
    with run("--skip-existing") as process:
        said = process.communicate()[0].decode()
    assert process.returncode == 0
    statuses = [json.loads(line)["status"] for line in said.splitlines()]
    assert len(statuses) == COUNT
    assert {*statuses} == {"done", "skipped"}
    assert files(out) == {f"{number}.png": expected["1.png"] for number in range(COUNT)}


def test_a_killed_machine_loses_nothing(
    run: Callable[..., subprocess.Popen[bytes]], machines: Any, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with run() as process:
        wait_for(20, out, process)
        machines.remove_node(machines.list_all_nodes()[-1], allow_graceful=False)
        assert len(files(out)) < COUNT
        said = process.communicate()[0].decode()
    assert process.returncode == 0
    inputs = [json.loads(line)["input"] for line in said.splitlines()]
    assert sorted(inputs) == sorted(str(tmp_path / f"in/{number}.png") for number in range(COUNT))
    assert files(out) == {f"{number}.png": expected["1.png"] for number in range(COUNT)}
