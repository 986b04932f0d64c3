"""Ray: many worker processes, on one machine or on many. Rows in, records out; Ray Data schedules.

Each worker is an actor that loads its models once. No exception leaves it, since one would end the job; what an image
does to it is a record. A worker that dies has its rows done by another. A counter knows which rows were begun and not
ended: those are done one at a time from then on, and one on which three workers died is a failure.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import srkit
from srkit.errors import SrkitError, UsageError, first_line
from srkit.recipes.engine import EngineRecipe

_DEATHS = 3
_BLOCK = 32
"""Most rows of a task; a worker that dies loses the records of one."""
_CORES = 4
"""Of a CPU worker where nothing is asked: more of them share no work, and fewer load more copies of the models."""
_CONNECT_S = 5.0


class Worker(Protocol):
    """What an actor holds."""

    def run(self, rows: Sequence[Any]) -> list[Any]:
        """For each row a JSON value; what fails is in it."""

    @staticmethod
    def failed(row: Any, reason: str, arguments: tuple[Any, ...]) -> Any:
        """The value of a row that no worker survives; `arguments` are the worker's."""


class Cluster:
    """A connection to Ray, and how many workers of which size it has.

    Args:
        engine: with `name` ray.
        device: of every worker; `auto`: CUDA where the cluster has GPUs.
        threads: CPU cores of a worker; None: by the machines and the number of workers.

    Raises:
        UsageError: Ray is not installed, nothing listens at the address, a node has no srkit or another version, or
            there are not as many GPUs or cores as were asked for.
    """

    def __init__(self, engine: EngineRecipe, device: str, threads: int | None) -> None:
        os.environ.setdefault(
            "RAY_BACKEND_LOG_LEVEL", "fatal"
        )  # read on import; warnings of Ray's own insides
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                "`engine` ray needs the package ray, which is not installed; run `pip install 'srkit[ray]'`."
            ) from error
        _connect(engine.address)
        _be_quiet()
        resources = ray.cluster_resources()
        gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        on_gpu = device.startswith("cuda") or (device == "auto" and gpus > 0)
        if on_gpu and not gpus:
            raise UsageError(f"`device` is '{device}', and no machine of Ray has a GPU; use `device` cpu.")
        self.device = "cuda" if on_gpu else device.replace("auto", "cpu")
        if on_gpu:
            self.workers, self.threads = engine.workers or gpus, threads or max(1, min(_CORES, cores // gpus))
        else:
            size = int(min(node["Resources"].get("CPU", 0) for node in _nodes()))
            share = min(_CORES, size) if engine.workers is None else min(size, cores // engine.workers)
            self.threads = threads or max(1, share)
            self.workers = engine.workers or max(1, cores // self.threads)
        if (on_gpu and self.workers > gpus) or self.workers * self.threads > cores:
            raise UsageError(
                f"`workers` is {self.workers}, of {self.threads} CPU cores{' and a GPU' if on_gpu else ''} each, and "
                f"Ray has {cores} cores and {gpus} GPUs; ask for fewer, or give fewer `threads`."
            )
        self._on_gpu = on_gpu
        _check_nodes()

    @property
    def settings(self) -> dict[str, Any]:
        """The fields of a recipe that each worker has of its own."""
        return {"device": self.device, "threads": self.threads}

    def run(self, kind: type[Worker], arguments: tuple[Any, ...], rows: Sequence[Any]) -> Iterator[Any]:
        """What workers make of each row, as they finish, in any order.

        Raises:
            SrkitError: no worker can be set up, or Ray gives up.
        """
        import pyarrow as pa
        import ray.data

        if not rows:
            return
        ledger = _ledger()
        left = dict(enumerate(rows))
        for _ in range(_DEATHS):  # once is enough unless Ray loses something
            # Several tasks for each worker, so that none waits long for the last.
            block = max(1, min(_BLOCK, math.ceil(len(left) / (8 * self.workers))))
            numbers = list(left)
            tables = [
                pa.table({"number": part, "row": [json.dumps(left[number]) for number in part]})
                for part in (numbers[start : start + block] for start in range(0, len(numbers), block))
            ]
            data = ray.data.from_arrow(tables).map_batches(
                _actor(),
                fn_constructor_args=(kind, arguments, srkit.__version__, str(Path.cwd()), ledger),
                batch_size=block,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=self.workers, max_tasks_in_flight_per_actor=2),
                num_cpus=self.threads,
                num_gpus=1 if self._on_gpu else 0,
                runtime_env={"env_vars": {"OMP_NUM_THREADS": str(self.threads)}},
            )
            try:
                for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                    for number, value in zip(
                        *(batch[name].to_pylist() for name in ("number", "value")), strict=True
                    ):
                        if number < 0:
                            raise SrkitError(value)
                        if left.pop(number, None) is not None:  # a row that was done twice has one record
                            yield json.loads(value)
            except SrkitError:
                raise
            except Exception as error:  # Ray has many
                raise SrkitError(
                    f"Ray gave up ({_reason(error)}); see `ray status` and Ray's logs."
                ) from error
            if not left:
                return
        raise SrkitError(f"Ray lost {len(left)} of {len(rows)} rows; repeat the run with `skip_existing`.")


def _connect(address: str | None) -> None:
    import ray

    address = address or os.environ.get("RAY_ADDRESS") or "local"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():  # Ray itself would try for half a minute
        try:
            socket.create_connection((host, int(port)), _CONNECT_S).close()
        except OSError as error:
            raise UsageError(
                f"`address` is '{address}', and nothing listens there ({error}); start Ray with `ray start --head`, or "
                "leave it out for this machine alone."
            ) from error
    if ray.is_initialized():
        return
    try:
        # Ray's own would be 15: on a busy machine its workers would wait for everybody.
        own: dict[str, Any] = {"include_dashboard": False, "_system_config": {"worker_niceness": 0}}
        alone = own if address == "local" else {}
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **alone)
    except Exception as error:
        raise UsageError(
            f"Ray cannot be reached at '{address}' ({_reason(error)}); start it with `ray start --head`, or leave "
            "`address` out for this machine alone."
        ) from error


def _be_quiet() -> None:
    """Keep what Ray Data says of itself from the terminal, and what Ray says of dead machines from stdout."""
    import ray.data
    from ray._private import worker

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Ray prints these to the driver's stdout whatever `log_to_driver` is; there, records are.
    printed = getattr(worker, "print_to_stdstream", None)
    if printed is not None:
        worker.print_to_stdstream = lambda data, *rest, **named: printed(
            {**data, "is_err": True}, *rest, **named
        )


def _nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]


def _check_nodes() -> None:
    """Raises UsageError where a node has no srkit, or another version than this."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def version() -> str:  # it travels by value, so that it runs where srkit is not
        try:
            import srkit

            return srkit.__version__
        except ImportError:
            return "none"

    asked = ray.remote(num_cpus=0)(version)
    nodes = _nodes()
    found = ray.get(
        [
            asked.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote()
            for node in nodes
        ]
    )
    for node, has in zip(nodes, found, strict=True):
        if has != srkit.__version__:
            raise UsageError(
                f"The machine {node['NodeManagerHostname']} ({node['NodeManagerAddress']}) has "
                f"{'no srkit' if has == 'none' else f'srkit {has}'}, and this one has {srkit.__version__}; install the "
                "same on all (docs/SCALE.md)."
            )


def _ledger() -> Any:
    """A counter of the workers that died on each row, at the driver."""
    import ray

    class Ledger:
        def __init__(self) -> None:
            self.begun: dict[int, int] = {}

        def deaths(self, rows: list[int]) -> list[int]:
            return [self.begun.get(row, 0) for row in rows]

        def begin(self, rows: list[int]) -> None:
            for row in rows:
                self.begun[row] = self.begun.get(row, 0) + 1

        def end(self, rows: list[int]) -> None:
            for row in rows:
                self.begun.pop(row, None)

    return ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Ledger).remote()


def _actor() -> type:
    class Actor:
        def __init__(
            self, kind: type[Worker], arguments: tuple[Any, ...], version: str, folder: str, ledger: Any
        ) -> None:
            import srkit

            with contextlib.suppress(OSError):  # paths may be relative to it; where it is not, they must not
                os.chdir(folder)
            self.kind, self.arguments, self.ledger = kind, arguments, ledger
            self.fatal, self.worker = "", None
            try:
                if srkit.__version__ != version:
                    raise SrkitError(f"A worker has srkit {srkit.__version__}, and the driver {version}.")
                self.worker = kind(*arguments)
            except Exception as error:  # an exception here would be retried for ever
                said = isinstance(error, SrkitError)
                self.fatal = str(error) if said else f"A worker cannot start: {type(error).__name__}: {error}"

        def __call__(self, table: Any) -> Any:
            import pyarrow as pa

            if self.worker is None:
                return pa.table({"number": pa.array([-1], pa.int64()), "value": [self.fatal]})
            rows = dict(
                zip(table["number"].to_pylist(), map(json.loads, table["row"].to_pylist()), strict=True)
            )
            made = self.made(rows)
            values = [json.dumps(value) for value in made.values()]
            return pa.table({"number": pa.array(list(made), pa.int64()), "value": values})

        def made(self, rows: dict[int, Any]) -> dict[int, Any]:
            deaths = dict(zip(rows, self.told("deaths", list(rows)), strict=True))
            made = self.done({number: row for number, row in rows.items() if not deaths[number]})
            for number, row in rows.items():
                if deaths[number] >= _DEATHS:
                    reason = (
                        f"{_DEATHS} workers died on this image (of memory, or of a crash); try it by itself."
                    )
                    made[number] = self.kind.failed(row, reason, self.arguments)
                elif deaths[number]:
                    made |= self.done({number: row})
            return made

        def done(self, rows: dict[int, Any]) -> dict[int, Any]:
            if not rows or self.worker is None:
                return {}
            self.told("begin", list(rows))
            try:
                values = dict(zip(rows, self.worker.run(list(rows.values())), strict=True))
            except Exception as error:  # a defect, which must not end the others
                reason = f"The worker failed ({type(error).__name__}: {error}); a report of it helps."
                values = {
                    number: self.kind.failed(row, reason, self.arguments) for number, row in rows.items()
                }
            self.told("end", list(rows))
            return values

        def told(self, what: str, rows: list[int]) -> Any:
            import ray

            return ray.get(getattr(self.ledger, what).remote(rows))

    return Actor


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {first_line(Exception(lines[-1] if lines else ''))}"
