"""Ray: worker processes on one or several machines, scheduled by Ray Data; rows in, records out.

Each worker is an actor that loads its models once. It catches all exceptions, since one would end the job; a failure on
an image is part of the record. If a worker dies, its rows are repeated by another. A counter tracks rows that were
begun and not finished: those are run one at a time from then on, and a row on which three workers died is a failure.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import srkit
from srkit.errors import SrkitError, UsageError, first_line
from srkit.recipes.engine import EngineRecipe

_DEATHS = 3
_BLOCK = 32
"""Maximal number of rows per task; a worker that dies loses the records of one task."""
_CORES = 4
"""Maximal default of CPU cores per worker: more do not speed up a worker, fewer mean more copies of the models."""
_CONNECT_S = 5.0
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""Beginning of a connection to gRPC, which Ray speaks: HTTP/2's preface and a frame of SETTINGS, which is answered."""


class Worker(Protocol):
    """Interface of a worker actor."""

    def run(self, rows: Sequence[Any]) -> list[Any]:
        """JSON value of each row; failures are part of the values."""

    @staticmethod
    def failed(row: Any, reason: str, arguments: tuple[Any, ...]) -> Any:
        """Value of a row on which workers die; `arguments` are the worker's."""


class Cluster:
    """Connection to Ray, with the number and size of workers.

    Args:
        engine: with `name` ray.
        device: device of every worker; `auto`: CUDA if the cluster has GPUs.
        threads: CPU cores per worker; None: from the machines and the number of workers.

    Raises:
        UsageError: Ray is not installed, the address does not answer, a node has no srkit or another version, or
            there are fewer GPUs or cores than requested.
    """

    def __init__(self, engine: EngineRecipe, device: str, threads: int | None) -> None:
        os.environ.setdefault(
            "RAY_BACKEND_LOG_LEVEL", "fatal"
        )  # read on import; hides Ray's internal warnings
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
            # Two workers on the smallest machine: one computes while the other reads, writes, or waits for rows.
            share = min(_CORES, size // 2) if engine.workers is None else min(size, cores // engine.workers)
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
        """Fields of a recipe that differ for workers."""
        return {"device": self.device, "threads": self.threads}

    def run(self, kind: type[Worker], arguments: tuple[Any, ...], rows: Iterable[Any]) -> Iterator[Any]:
        """Results of the rows, in any order, as they are finished.

        Raises:
            SrkitError: no worker can be set up, or Ray fails.
        """
        import pyarrow as pa
        import ray.data

        left = dict(enumerate(map(json.dumps, rows)))  # for a million rows, texts are the smallest
        if not left:
            return
        ledger, count = _ledger(), len(left)
        for _ in range(_DEATHS):  # once is enough unless Ray loses rows
            # Several tasks per worker, so that none waits long for the last.
            block = max(1, min(_BLOCK, math.ceil(len(left) / (8 * self.workers))))
            numbers = list(left)
            tables = [
                pa.table({"number": part, "row": [left[number] for number in part]})
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
                        if left.pop(number, None) is not None:  # a repeated row gives one record
                            yield json.loads(value)
            except SrkitError:
                raise
            except Exception as error:  # Ray has many
                raise SrkitError(
                    f"Ray gave up ({_reason(error)}); see `ray status` and Ray's logs."
                ) from error
            if not left:
                return
        raise SrkitError(f"Ray lost {len(left)} of {count} rows; repeat the run with `skip_existing`.")


def check_address(address: str | None) -> None:
    """Check that Ray answers at an address HOST:PORT, within seconds: Ray itself would try for minutes.

    Raises:
        UsageError: nothing listens there, or something else.
    """
    place = (address or "").removeprefix("ray://")
    if address == f"ray://{place}" and ":" not in place:
        place += ":10001"
    host, _, port = place.rpartition(":")
    if not (host and port.isdigit()) or os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    try:
        with socket.create_connection((host, int(port)), _CONNECT_S) as there:
            there.sendall(_HTTP2)
            answer = there.recv(9)
    except (OSError, OverflowError) as error:
        raise _no_ray(address, str(error)) from error
    if answer[3:4] != _HTTP2[-6:-5]:
        raise _no_ray(address, "what listens there speaks another protocol")


def _no_ray(address: str | None, reason: str) -> UsageError:
    return UsageError(
        f"`address` is '{address}', and Ray does not answer there ({reason}); start it with `ray start --head`, or "
        "leave it out for this machine alone."
    )


def _connect(address: str | None) -> None:
    import ray

    address = address or os.environ.get("RAY_ADDRESS") or "local"
    check_address(address)
    if ray.is_initialized():
        return
    try:
        # Ray's default niceness is 15: on a busy machine its workers would hardly run.
        own: dict[str, Any] = {"include_dashboard": False, "_system_config": {"worker_niceness": 0}}
        alone = own if address == "local" else {}
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **alone)
    except Exception as error:
        if address == "local":
            raise SrkitError(
                f"Ray could not be started on this machine ({_reason(error)}); its logs are below /tmp/ray."
            ) from error
        raise _no_ray(address, _reason(error)) from error


def _be_quiet() -> None:
    """Suppress Ray Data's messages on the terminal, and Ray's messages about dead machines on stdout."""
    import ray.data
    from ray._private import worker

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Ray prints these to the driver's stdout regardless of `log_to_driver`; stdout is for records.
    printed = getattr(worker, "print_to_stdstream", None)
    if printed is not None:
        worker.print_to_stdstream = lambda data, *rest, **named: printed(
            {**data, "is_err": True}, *rest, **named
        )


def _nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]


def _check_nodes() -> None:
    """Raise UsageError if a node has no srkit, or another version."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def version() -> str:  # pickled by value, so that it runs on nodes without srkit
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
    """Counter of the workers that died on each row, an actor."""
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

            with contextlib.suppress(OSError):  # relative paths need it, if it exists on this machine
                os.chdir(folder)
            self.kind, self.arguments, self.ledger = kind, arguments, ledger
            self.fatal, self.worker = "", None
            # Ray constructs and calls in different threads. For each thread that computes, OpenMP keeps a team of
            # threads, and more threads than cores wait asleep for their work, which costs a tenth of the time.
            self.thread = ThreadPoolExecutor(1)
            try:
                if srkit.__version__ != version:
                    raise SrkitError(f"A worker has srkit {srkit.__version__}, and the driver {version}.")
                self.worker = self.thread.submit(kind, *arguments).result()
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
            made = self.thread.submit(self.made, rows).result()
            values = [json.dumps(value) for value in made.values()]
            return pa.table({"number": pa.array(list(made), pa.int64()), "value": values})

        def made(self, rows: dict[int, Any]) -> dict[int, Any]:
            deaths = dict(zip(rows, self._ask("deaths", list(rows)), strict=True))
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
            self._ask("begin", list(rows))
            try:
                values = dict(zip(rows, self.worker.run(list(rows.values())), strict=True))
            except Exception as error:  # a defect, which must not end the others
                reason = f"The worker failed ({type(error).__name__}: {error}); a report of it helps."
                values = {
                    number: self.kind.failed(row, reason, self.arguments) for number, row in rows.items()
                }
            self._ask("end", list(rows))
            return values

        def _ask(self, what: str, rows: list[int]) -> Any:
            import ray

            return ray.get(getattr(self.ledger, what).remote(rows))

    return Actor


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {first_line(Exception(lines[-1] if lines else ''))}"
