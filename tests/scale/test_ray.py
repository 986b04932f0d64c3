"""`--engine ray` on real worker processes of this machine: the same bytes, nothing lost, exact refusals."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from srkit.errors import UsageError
from srkit.recipes.engine import EngineRecipe
from srkit.tasks.cluster import Cluster
from tests.helpers import refused
from tests.scale.conftest import assert_sentence, files
from tests.scale.workers import Fragile, Slow

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module", autouse=True)
def machine() -> Iterator[None]:
    """Ray on this machine, with three cores of its own counting, for all tests."""
    import ray

    ray.init(
        "local",
        num_cpus=3,
        num_gpus=0,
        include_dashboard=False,
        log_to_driver=False,
        _system_config={"worker_niceness": 0},
    )
    yield
    ray.shutdown()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_makes_the_same(
    workers: int, photos: Path, expected: dict[str, bytes], upscale: Callable[..., Any], tmp_path: Path
) -> None:
    options = ("--engine", "ray", "--workers", workers, "--threads", 1)
    code, records, err = upscale(photos, tmp_path / "out", *options)
    assert code == 0, err
    assert files(tmp_path / "out") == expected
    assert sorted(r["output"] for r in records) == sorted(str(tmp_path / "out" / name) for name in expected)


@pytest.mark.parametrize(
    ("workers", "gate", "expected"), [(1, "psnr<1", 3), (2, "psnr<1", 3), (3, "psnr<99", 4)]
)
def test_evaluations_are_those_of_one_process(
    workers: int, gate: str, expected: int, evaluate: Callable[..., Any], tmp_path: Path
) -> None:
    code, local, err = evaluate(tmp_path / "local", "--fail-if", gate)
    assert code == expected
    options = ("--fail-if", gate, "--engine", "ray", "--workers", workers, "--threads", 1)
    by_ray = evaluate(tmp_path / "ray", *options)
    assert by_ray[:2] == (code, local)
    assert err in by_ray[2]  # on a busy machine Ray adds warnings of its own
    assert len(local) == 2 * 5 + 5


def test_a_shard_is_evaluated(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    shard = ("--shard", "1/2")
    code, local, _ = evaluate(tmp_path / "local", *shard)
    assert evaluate(tmp_path / "ray", *shard, "--engine", "ray", "--workers", 1, "--threads", 1)[:2] == (
        code,
        local,
    )


def test_damaged_images_are_records_and_runs_are_resumed(
    damaged: Path, upscale: Callable[..., Any], tmp_path: Path
) -> None:
    options = (
        damaged,
        tmp_path / "out",
        "--engine",
        "ray",
        "--workers",
        1,
        "--threads",
        1,
        "--skip-existing",
    )
    code, records, _ = upscale(*options)
    assert code == 3
    assert {Path(r["input"]).name: r["status"] for r in records} == {"good.png": "done", "bad.png": "failed"}
    code, records, _ = upscale(*options)
    assert {Path(r["input"]).name: r["status"] for r in records} == {
        "good.png": "skipped",
        "bad.png": "failed",
    }


def test_a_row_on_which_three_workers_die_is_a_failure_and_the_others_are_done(tmp_path: Path) -> None:
    cluster = Cluster(EngineRecipe("ray", 1), "cpu", 1)
    rows = [f"r{n}" for n in range(20)]
    rows[4], rows[11] = "deadly", "fragile"
    made = sorted(cluster.run(Fragile, (tmp_path,), rows))
    assert len((tmp_path / "deadly").read_text().splitlines()) == 3
    assert [value for value in made if value.startswith("failed")] == [
        next(value for value in made if value.startswith("failed deadly: 3 workers"))
    ]
    assert sorted(v.removeprefix("done ") for v in made if v.startswith("done")) == sorted(
        {*rows} - {"deadly"}
    )


def test_workers_that_are_killed_at_ten_random_moments_lose_nothing(tmp_path: Path) -> None:
    cluster, ended = Cluster(EngineRecipe("ray", 2), "cpu", 1), threading.Event()
    killed: list[int] = []
    draw = random.Random(0)

    def kill() -> None:
        while len(killed) < 10 and not ended.wait(draw.uniform(0.5, 3.0)):
            living = [int(p.name) for p in tmp_path.iterdir() if int(p.name) not in killed]
            if living:
                os.kill(living[0], signal.SIGKILL)
                killed.append(living[0])

    thread = threading.Thread(target=kill)
    thread.start()
    made = list(cluster.run(Slow, (tmp_path,), list(range(200))))
    ended.set()
    thread.join()
    assert len(killed) == 10
    assert sorted(made) == list(range(200))


def test_more_than_there_is() -> None:
    with refused(UsageError, "cuda"):
        Cluster(EngineRecipe("ray"), "cuda", None)
    with refused(UsageError, "workers", "7"):
        Cluster(EngineRecipe("ray", 7), "cpu", 1)


def test_another_version_on_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srkit.__version__", "9.9.9")
    with refused(UsageError, "9.9.9", socket.gethostname()):
        Cluster(EngineRecipe("ray", 1), "cpu", 1)


@pytest.mark.parametrize("scheme", ["", "ray://"])
@pytest.mark.parametrize("listens", [False, True])
def test_an_address_where_ray_does_not_answer(
    listens: bool, scheme: str, photos: Path, upscale: Callable[..., Any], tmp_path: Path
) -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        if listens:  # and says nothing
            place.listen()
        address = f"{scheme}127.0.0.1:{place.getsockname()[1]}"
        started = time.monotonic()
        code, _, err = upscale(photos, tmp_path / "out", "--engine", "ray", "--address", address)
    assert code == 2
    assert time.monotonic() - started < 10
    assert_sentence(err, "--address", address)


def test_places_that_workers_cannot_reach(photos: Path, upscale: Callable[..., Any]) -> None:
    code, _, err = upscale(photos, "memory://to/out", "--engine", "ray")
    assert code == 2
    assert_sentence(err, "memory://")
