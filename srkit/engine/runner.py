"""Runner of one network over a stream of images, window by window."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.archs.info import ArchInfo
from srkit.conditioning.values import Condition, Conditions
from srkit.engine.assemble import Blend, Cut
from srkit.engine.flat import hold_flat
from srkit.engine.memory import SMALLEST_TILE, is_out_of_memory, release_cached
from srkit.engine.tiling import TilePlan, Window, cut, plan_tiles
from srkit.errors import SrkitError
from srkit.io.image import is_colourless
from srkit.ops.geometry import TURNS, extend, turn, turn_back
from srkit.ops.layout import channels_last

T = TypeVar("T")

# A result of less than this relative deviation has collapsed; see `_is_invalid`.
_COLLAPSED = 0.01
_FLAT = 2 / 255


@dataclass(frozen=True)
class Plane(Generic[T]):
    """Three channels of an image in a stream through a network."""

    pixels: NDArray[Any]
    """(H, W, 3), uint8 or uint16."""
    tag: T
    """Caller's data that is returned with the result."""
    conditions: Conditions = field(default_factory=dict)
    """Conditions of the network; dropped from the result, which is another image."""
    warnings: tuple[str, ...] = ()
    error: Exception | None = None
    """Reason why there is no result; `pixels` is then still the input."""


@dataclass(frozen=True)
class RunnerOptions:
    """Options of a `Runner`."""

    device: torch.device
    dtype: torch.dtype
    tile: int | None
    """Side of a tile in input pixels; None for whole images."""
    overlap: int
    batch: int = 1
    tta: bool = False
    """Eight-fold self-ensemble: the mean over all flips and rotations by right angles."""
    may_halve: bool = True
    """Halve the tile when memory runs out, instead of an error."""
    hold_flat: bool = False
    """Keep the colours of flat areas exactly; for networks whose result is an image of the same content."""
    all_of_fp32: bool = False
    """Disable TF32 on CUDA in fp32, since its 10 bits of mantissa are too few for 16-bit images."""


class Runner:
    """Network placed on its device in its precision.

    A plane of three equal channels (gray content) gives a result of three equal channels, the mean of the output's.

    Args:
        network: fp32 network as described by `info`; it is copied, not modified.
        info: the network's `ArchInfo`.
        options: device, precision and tiles.
    """

    def __init__(self, network: nn.Module, info: ArchInfo, options: RunnerOptions) -> None:
        self.info, self.options = info, options
        self._asked_tile = options.tile
        self._exact = network.eval()
        self._network = self._placed(options.dtype)
        self._exact_placed: nn.Module | None = None
        self._buffered = options.device.type == "cuda"
        self.redone = 0
        """Number of windows that were recomputed in fp32."""

    @property
    def tile(self) -> int | None:
        """Current side of a tile: smaller than the requested one if memory ran out."""
        return self.options.tile

    def run(self, planes: Iterable[Plane[T] | None]) -> Iterator[Plane[T] | None]:
        """Yield results in the order of the planes. Windows of one shape are batched across consecutive images.

        A plane that fails is returned with its error, and the stream continues. A None means that no further plane is
        ready yet: those gathered so far are processed, and the None is passed on.
        """
        group: list[Plane[T]] = []
        for plane in planes:
            if plane is None or (group and not self._batches_across(group[-1], plane)):
                yield from self._run_group(group)
                group = []
            if plane is None:
                yield None
                continue
            group.append(plane)
            if self._full(group):
                yield from self._run_group(group)
                group = []
        yield from self._run_group(group)

    def plan(self, height: int, width: int) -> TilePlan:
        """Windows for an image of this size."""
        return plan_tiles(
            height,
            width,
            tile=None if self.info.tiling == "none" else self.options.tile,
            overlap=self.options.overlap,
            multiple=self.info.multiple_of,
            min_size=self.info.min_size,
            fit=self.options.device.type == "cpu",
        )

    def forward(self, lr: Tensor, conditions: Conditions | None = None) -> Tensor:
        """Run one image (1, channels, h, w) through the network as configured, for measurements."""
        rows, columns = (slice(0, side) for side in lr.shape[2:])
        parts = {
            name: (conditions or {})[name].part((rows.stop, columns.stop), rows, columns, self.options.device)
            for name in self.info.conditioning
        }
        return self._forward(self._network, lr, parts)

    # -- groups of images -------------------------------------------------------------------------------

    def _batches_across(self, a: Plane[T], b: Plane[T]) -> bool:
        return (
            a.error is None
            and b.error is None
            and self.plan(*a.pixels.shape[:2]).shape == self.plan(*b.pixels.shape[:2]).shape
            and a.pixels.dtype == b.pixels.dtype
        )

    def _full(self, group: list[Plane[T]]) -> bool:
        windows = 0
        for plane in group:
            windows += len(self.plan(*plane.pixels.shape[:2]).windows)
        return windows >= self.options.batch

    def _run_group(self, group: list[Plane[T]]) -> Iterator[Plane[T]]:
        if not group:
            return
        if group[0].error is not None:
            yield from group
            return
        while True:
            failure: Exception
            try:
                results = self._compute(group)
            except Exception as error:  # one image's failure must not end the others
                failure = error
            else:
                yield from results
                return
            if is_out_of_memory(failure):
                # The new error replaces one whose traceback keeps the memory allocated.
                failure = SrkitError(
                    f"Memory ran out with {_tile_words(self.options.tile)}; "
                    "use a smaller `tile`, or `device` cpu if this was a GPU."
                )
                if self._halve(group):
                    continue
            if len(group) > 1:
                for plane in group:
                    yield from self._run_group([plane])
                return
            yield replace(group[0], error=failure)
            return

    def _halve(self, group: list[Plane[T]]) -> bool:
        release_cached(self.options.device)
        if not self.options.may_halve or self.info.tiling == "none":
            return False
        now = self.options.tile or max(max(p.pixels.shape[:2]) for p in group)
        if now // 2 < SMALLEST_TILE:
            return False
        self.options = replace(self.options, tile=now // 2)
        return True

    def _compute(self, group: list[Plane[T]]) -> list[Plane[T]]:
        plans = [self.plan(*p.pixels.shape[:2]) for p in group]
        kind = Blend if self.info.tiling == "blend" else Cut
        targets = [
            kind(plan, self.info.scale, int(np.iinfo(p.pixels.dtype).max), gray=is_colourless(p.pixels))
            for p, plan in zip(group, plans, strict=True)
        ]
        inputs = [self._load(p, plan) for p, plan in zip(group, plans, strict=True)]
        redone = [0] * len(group)
        work = [(i, window) for i, plan in enumerate(plans) for window in plan.windows]
        for start in range(0, len(work), self.options.batch):
            part = work[start : start + self.options.batch]
            lr = torch.cat([cut(inputs[i], w) for i, w in part])
            conditions = self._conditions(group, plans, part)
            sr = self._forward(self._network, lr, conditions)
            for k, (i, window) in enumerate(part):
                one = {n: replace(c, value=c.value[k : k + 1]) for n, c in conditions.items()}
                result, again = self._sound(lr[k : k + 1], sr[k : k + 1], one)
                redone[i] += again
                targets[i].add(window, result[0])
        self.redone += sum(redone)
        done = []
        for plane, target, count in zip(group, targets, redone, strict=True):
            warnings = list(plane.warnings)
            if count:
                tiles = "1 tile was" if count == 1 else f"{count} tiles were"
                dtype = str(self.options.dtype).removeprefix("torch.")
                warnings.append(f"{tiles} not finite or flat in {dtype} and done again in fp32")
            if self.options.tile != self._asked_tile:
                warnings.append(f"memory ran out: the tile was reduced to {self.options.tile}")
            pixels = target.finish()
            if self.options.hold_flat:
                hold_flat(pixels, plane.pixels, self.info.scale)
            done.append(replace(plane, pixels=pixels, warnings=tuple(warnings), conditions={}))
        return done

    # -- one batch of windows -----------------------------------------------------------------------------

    def _load(self, plane: Plane[T], plan: TilePlan) -> Tensor:
        """Load the whole image on the device, (1, 3, H, W) in [0, 1], padded as the network needs."""
        pixels = plane.pixels
        device = self.options.device
        if pixels.dtype == np.uint8:
            x = torch.from_numpy(np.ascontiguousarray(pixels))
            if self._buffered:
                x = x.pin_memory()
            x = x.to(device, non_blocking=True).permute(2, 0, 1)[None].float().div_(255)
        else:
            x = torch.from_numpy(pixels.astype(np.float32)).to(device).permute(2, 0, 1)[None].div_(65535)
        return extend(x, *plan.extended)

    def _conditions(
        self, group: list[Plane[T]], plans: list[TilePlan], part: list[tuple[int, Window]]
    ) -> dict[str, Condition]:
        """Conditions of a batch of windows."""
        found: dict[str, Condition] = {}
        for name in self.info.conditioning:
            pieces = [
                group[i]
                .conditions[name]
                .part(
                    (plans[i].height, plans[i].width),
                    window.rows.read,
                    window.columns.read,
                    self.options.device,
                )
                for i, window in part
            ]
            found[name] = Condition(torch.cat([piece.value for piece in pieces]), pieces[0].spatial)
        return found

    @torch.inference_mode()
    def _forward(self, network: nn.Module, lr: Tensor, conditions: Mapping[str, Condition]) -> Tensor:
        results = []
        with _without_tf32() if self.options.all_of_fp32 else nullcontext():
            for kind in range(TURNS if self.options.tta else 1):
                turned = {k: turn(c.value, kind) if c.spatial else c.value for k, c in conditions.items()}
                x = turn(lr, kind).contiguous(memory_format=torch.channels_last)
                results.append(turn_back(network(x, **turned).float(), kind))
        return results[0] if len(results) == 1 else torch.stack(results).mean(0)

    def _sound(self, lr: Tensor, sr: Tensor, conditions: Mapping[str, Condition]) -> tuple[Tensor, bool]:
        """Result of one window (1, ...), recomputed in fp32 if invalid in reduced precision, and whether it was."""
        exact = self.options.dtype == torch.float32
        again = not exact and _is_invalid(lr, sr)
        if again:
            sr = self._forward(self._exact_network(), lr, conditions)
        if (again or exact) and not bool(sr.sum().isfinite()):
            raise SrkitError(
                "The network's result is not finite, in fp32 too, so its weights or its conditions are damaged; "
                "choose another model."
            )
        return sr, again

    def _placed(self, dtype: torch.dtype) -> nn.Module:
        network = copy.deepcopy(self._exact).requires_grad_(False)
        return channels_last(network, self.options.device, dtype)

    def _exact_network(self) -> nn.Module:
        if self._exact_placed is None:
            self._exact_placed = self._placed(torch.float32)
        return self._exact_placed


def _without_tf32() -> AbstractContextManager[None]:
    """Context manager in which CUDA convolutions run in full fp32."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)


def _is_invalid(lr: Tensor, sr: Tensor) -> bool:
    """Return whether a result in reduced precision is not finite, or flat although the input is not."""
    deviation = sr.std()
    if not bool(deviation.isfinite()):
        return True
    expected = lr.std()
    return bool(expected > _FLAT) and bool(deviation < _COLLAPSED * expected)


def _tile_words(tile: int | None) -> str:
    return "the whole image at once" if tile is None else f"a tile of {tile} pixels"
