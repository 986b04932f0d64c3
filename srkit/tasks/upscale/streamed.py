"""Upscaling of folders and URLs with any number of images, by their names, in this process or in many by Ray."""

from __future__ import annotations

import itertools
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from srkit.errors import SrkitError, UsageError
from srkit.inference.diagnosis import Diagnosis
from srkit.inference.upscaler import Upscaler
from srkit.inference.work import Done
from srkit.io.atomic import remove_stale
from srkit.io.folders import Found
from srkit.io.read import Encoded, Readable
from srkit.io.storage import Storage, is_url
from srkit.progress import Progress, Silent
from srkit.recipes.engine import EngineRecipe
from srkit.tasks.batch import Outcome, Status
from srkit.tasks.claim import Claim
from srkit.tasks.cluster import Cluster, check_address
from srkit.tasks.places import Place, exists_already, make_folder, with_distinct_targets
from srkit.tasks.prompts import prompts_of, warn_of_prompts
from srkit.tasks.upscale.debug_maps import with_maps
from srkit.tasks.upscale.items import item_of
from srkit.tasks.upscale.job import RECIPE_EXTENSION, Item, UpscaleJob
from srkit.tasks.upscale.kernel_maps import KernelMaps
from srkit.tasks.upscale.prepare import check_existing, upscaler_for
from srkit.tasks.upscale.rows import Row, check_ends, list_names, list_outputs, make_rows
from srkit.tasks.upscale.run import FileRecord, Upscaling, Written

_AHEAD = 4
"""Number of images that are fetched while others are computed."""


def run_streamed(
    job: UpscaleJob, target: str, engine: EngineRecipe, progress: Progress | None = None
) -> Iterator[FileRecord]:
    """Upscale; yield a record for each image as it is finished, with Ray in any order.

    Args:
        job: its input is a folder or URL; its `output` is ignored.
        target: a folder or URL.

    Raises:
        As `srkit.tasks.upscale.run.run`, when this is called; and:
        UsageError: another run writes into the output; workers, a GPU or an address are unavailable.
        SrkitError: a place is not reachable or not accessible.
    """
    progress = progress or Silent()
    job = replace(job, output=Path(target))
    check_ends(job.input, target)
    if engine.name == "ray" and "memory://" in (job.input[:9], target[:9]):
        raise UsageError(
            "memory:// is this process's own, and `engine` ray has others; give a place that all reach."
        )
    check_address(engine.address)
    everything = list_names(job.input, recursive=job.recursive, progress=progress)
    names = [name for name in everything if job.shard is None or job.shard.holds(Path(name))]
    cluster = None if engine.name == "local" else Cluster(engine, job.recipe.device, job.recipe.threads)
    if cluster is None:
        worker = UpscaleWorker(job, target)
        upscaler = worker.upscaler
    else:  # the driver needs no GPU
        on_cpu = replace(job, recipe=replace(job.recipe, device="cpu", dtype="auto"))
        upscaler = upscaler_for(on_cpu, KernelMaps.at(job.kernel_map), progress)
    if not is_url(target) and names:
        make_folder(job.output, [Place(Path(job.input, names[0]), job.output / names[0])])
    claim = Claim(Storage(target), job.shard)
    try:
        outputs = frozenset[str]() if job.existing == "overwrite" else list_outputs(target)
        rows, kept = make_rows(job, names, outputs)
        rows = _prompted(job, rows, everything, upscaler, progress)
    except BaseException:
        claim.release()
        raise

    def records() -> Iterator[FileRecord]:
        places = _Places(job, target)
        progress.start("upscaling", len(names))
        try:
            with claim:
                skipped = (FileRecord(places.source(name), places.guess(name), "skipped") for name in kept)
                if cluster is None:
                    found: Iterator[FileRecord] = worker.stream(rows)
                else:
                    recipe = replace(job.recipe, **cluster.settings)
                    arguments = (replace(job, recipe=recipe), target)
                    made = cluster.run(UpscaleWorker, arguments, map(vars, rows))
                    found = (_record(one) for some in made for one in some)
                for record in itertools.chain(skipped, found):
                    progress.advance()
                    yield record
        finally:
            progress.finish()

    return records()


class UpscaleWorker:
    """Worker that loads the networks once and upscales the rows that it is given, as `srkit upscale` does.

    Raises:
        As `upscaler_for`.
    """

    def __init__(self, job: UpscaleJob, target: str) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="srkit-") if is_url(target) else None
        if self._scratch is not None:
            job = replace(job, output=Path(self._scratch.name))
        maps = KernelMaps.at(job.kernel_map)
        self.upscaler = upscaler_for(job, maps)
        for name in self.upscaler.models.chain(job.recipe.target.scale or self.upscaler.models.own_scale):
            self.upscaler.runner(name)
        self._streaming = _Streaming(job, self.upscaler, maps, _Places(job, target))

    def run(self, rows: Sequence[Any]) -> list[list[dict[str, Any]]]:
        """Records of the images of each row, which is a mapping."""
        made = [Row(**{field: tuple(values) for field, values in row.items()}) for row in rows]
        records = self.stream(made)
        return [[asdict(next(records)) for _ in row.names] for row in made]

    def stream(self, rows: Iterable[Row]) -> Iterator[FileRecord]:
        """Records of all images of some rows, in order."""
        return self._streaming.stream(self._streaming.items(rows))

    @staticmethod
    def failed(row: Any, reason: str, arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
        """Records of a row on which workers die."""
        places = _Places(*arguments)
        return [
            asdict(FileRecord(places.source(name), places.guess(name), "failed", reason))
            for name in row["names"]
        ]


@dataclass(frozen=True)
class _StreamItem(Item):
    name: str = ""
    """Name relative to the input."""
    data: Encoded | None = None
    there: bool = False
    """True if it is done already."""

    @property
    def wanted(self) -> bool:
        return not self.there

    @property
    def bytes(self) -> int:
        return super().bytes + (0 if self.data is None else len(self.data.data))


class _Places:
    """Names of inputs and outputs in records."""

    def __init__(self, job: UpscaleJob, target: str) -> None:
        self.job, self.target = job, target
        self.input = Storage(job.input) if is_url(job.input) else None
        self.output = Storage(target) if is_url(target) else None

    def source(self, name: str) -> str:
        return str(Path(self.job.input, name)) if self.input is None else self.input.url_of(name)

    def guess(self, name: str) -> str:
        return str(Path(self.target, name)) if self.output is None else self.output.url_of(name)

    def written(self, path: Path, folder: Path) -> str:
        """Name in records of a file that a worker wrote into its `folder`."""
        if self.output is None or not path.is_relative_to(folder):
            return str(path)
        return self.output.url_of(path.relative_to(folder).as_posix())


class _Streaming(Upscaling):
    """Loop over images that are fetched from and stored in remote places."""

    def __init__(self, job: UpscaleJob, upscaler: Upscaler, maps: KernelMaps | None, places: _Places) -> None:
        super().__init__(job, upscaler)
        self._maps, self._places = maps, places
        self._tidied: set[Path] = set()

    def items(self, rows: Iterable[Row]) -> Iterator[_StreamItem]:
        """Items of rows, with their bytes and headers; the next ones are fetched in the background."""
        waiting: deque[tuple[Row, Future[list[Encoded | SrkitError | None]]]] = deque()
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="srkit-fetch") as pool:
            try:
                for row in rows:
                    waiting.append((row, pool.submit(self._fetch, row)))
                    if len(waiting) > _AHEAD:
                        ready, fetched = waiting.popleft()
                        yield from self._of_row(ready, fetched.result())
                while waiting:
                    ready, fetched = waiting.popleft()
                    yield from self._of_row(ready, fetched.result())
            finally:
                pool.shutdown(cancel_futures=True)

    def source_of(self, item: Item) -> Readable:
        return item.data if isinstance(item, _StreamItem) and item.data is not None else item.source

    def write(self, done: Done[Item]) -> Written:
        output, item = self._places.output, done.tag
        if output is None:
            return super().write(done)
        recipe = item.target.with_name(item.target.name + RECIPE_EXTENSION)
        # The image last: if it exists, all files do.
        files = [*item.maps.values(), *([recipe] if self.job.save_recipe else []), item.target]
        files = [path for path in files if path.is_relative_to(self.job.output)]
        try:
            written = super().write(done)
            for path in files:
                output.put(path, path.relative_to(self.job.output).as_posix())
        finally:
            for path in files:
                path.unlink(missing_ok=True)
        return written

    def record(
        self, item: Item, status: Status, error: str | None, outcome: Outcome[Done[Item], Written] | None
    ) -> FileRecord:
        record, folder = super().record(item, status, error, outcome), self.job.output
        name = item.name if isinstance(item, _StreamItem) else item.source.name
        return replace(
            record,
            input=self._places.source(name),
            output=self._places.written(item.target, folder),
            maps=tuple(self._places.written(Path(path), folder) for path in record.maps),
        )

    def _fetch(self, row: Row) -> list[Encoded | SrkitError | None]:
        """Bytes of a row's images, or the error of fetching them; None for local files."""
        fetched: list[Encoded | SrkitError | None] = []
        for name in row.names:
            try:
                fetched.append(None if self._places.input is None else self._places.input.read(name))
            except SrkitError as error:
                fetched.append(error)
        return fetched

    def _of_row(self, row: Row, fetched: Sequence[Encoded | SrkitError | None]) -> list[_StreamItem]:
        items = [
            self._item(name, data, prompt)
            for name, data, prompt in zip(
                row.names, fetched, row.prompts or itertools.repeat(""), strict=False
            )
        ]
        items = with_distinct_targets(items, self.job.suffix)
        there = [not item.error and self._relative(item.target) in row.there for item in items]
        try:
            plain: list[Item] = list(items)
            made = with_maps(self.job, plain, self.upscaler)
            check_existing(
                [one for one, is_there in zip(made, there, strict=True) if not is_there], self.job.existing
            )
            items = [
                replace(item, maps=one.maps, error=one.error) for item, one in zip(items, made, strict=True)
            ]
        except SrkitError as error:  # of maps; for the images of this row alone
            items = [replace(item, error=item.error or str(error)) for item in items]
        if self._places.output is None:
            for folder in {item.target.parent for item in items} - self._tidied:
                remove_stale(folder)
                self._tidied.add(folder)
        return [self._settled(item, is_there) for item, is_there in zip(items, there, strict=True)]

    def _item(self, name: str, data: Encoded | SrkitError | None, prompt: str) -> _StreamItem:
        found = Found(Path(self.job.input, name), Path(name))
        if isinstance(data, SrkitError):
            return _StreamItem(found.path, self.job.output / name, None, "png", error=str(data), name=name)
        item = item_of(self.job, found, self.upscaler.models, self._maps, data=data)
        return _StreamItem(**{**vars(item), "prompt": prompt}, name=name, data=data)

    def _settled(self, item: _StreamItem, there: bool) -> _StreamItem:
        if there and self.job.existing == "refuse":
            return replace(item, error=str(exists_already(item.target)))
        return replace(item, there=there)

    def _relative(self, target: Path) -> str:
        return target.relative_to(self.job.output).as_posix()


def _prompted(
    job: UpscaleJob, rows: list[Row], everything: Sequence[str], upscaler: Upscaler, progress: Progress
) -> list[Row]:
    """Rows with the prompts of their images, if any; `everything` has the names of all shards."""
    if not job.recipe.prompt and job.prompts is None:
        return rows
    paths = [Path(job.input, name) for row in rows for name in row.names]
    among = [Path(job.input, name) for name in everything]
    prompts = prompts_of(paths, job.recipe.prompt, job.prompts, progress, among=among)
    warn_of_prompts(upscaler, filter(None, prompts.values()), progress)
    return [
        replace(row, prompts=tuple(prompts.get(Path(job.input, name), "") for name in row.names))
        for row in rows
    ]


def _record(values: dict[str, Any]) -> FileRecord:
    tuples = {field: tuple(values[field]) for field in ("models", "warnings", "maps")}
    found = values["diagnosis"]
    return FileRecord(**{**values, **tuples, "diagnosis": None if found is None else Diagnosis(**found)})
