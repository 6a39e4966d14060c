"""Measuring all reflections of a sweep, image by image once, in blocks that workers read and measure."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from puredials.execute import Executor, map_blocks
from puredials.integration.measure import Images, Recipe, box_offsets, cut, mark, measure
from puredials.integration.sweep import Sweep

__all__ = ["measure_all"]


@dataclass(frozen=True, eq=False)
class _Block:
    """Images first <= z < last, and all reflections on them (numbers `rows`)."""

    first: int
    last: int
    rows: Int64[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class _Joined:
    """Reflections `rows` put together from their pieces: `own` of those `around` them."""

    around: Int64[np.ndarray, " n"]
    own: Int64[np.ndarray, " k"]
    counts: Float32[np.ndarray, " pixels"]


@dataclass(frozen=True, eq=False)
class _Pieces:
    """The pixels of reflections (numbers `rows`) that a block holds only in part."""

    rows: Int64[np.ndarray, " k"]
    counts: list[NDArray[np.float32]]


# Numbers of reflections, and what was measured of them (type MEASURED).
Measured = tuple[NDArray[np.int64], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class _Worker:
    images: Images
    sweep: Sweep
    recipe: Recipe

    def __call__(self, task: _Block | _Joined) -> tuple[Measured, _Pieces | None]:
        return self._block(task) if isinstance(task, _Block) else (self._joined(task), None)

    def _joined(self, task: _Joined) -> Measured:
        frames = self.sweep.frames(task.around)
        # Reflections that are neighbours only have no pixels here.
        sizes = np.zeros(len(frames), np.int64)
        sizes[task.own] = frames.sizes[task.own]
        marked = mark(frames, task.own, box_offsets(sizes), task.counts, self.recipe)
        return task.around[task.own], measure(marked, self.recipe)

    def _block(self, block: _Block) -> tuple[Measured, _Pieces]:
        all_frames = self.sweep.frames(block.rows)
        frames, offsets, counts = cut(self.images, all_frames, block.first, block.last)
        inside = np.all(frames.bbox == all_frames.bbox, axis=1)
        own, rest = np.flatnonzero(inside), np.flatnonzero(~inside)
        result = measure(mark(frames, own, offsets, counts, self.recipe), self.recipe)
        # Copies, so that the block itself can be freed.
        pieces = [counts[offsets[k] : offsets[k + 1]].copy() for k in rest.tolist()]
        return (block.rows[own], result), _Pieces(block.rows[rest], pieces)


def measure_all(
    images: Images, sweep: Sweep, blocks: list[tuple[int, int, int]], recipe: Recipe, executor: Executor
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[Any]]]:
    """Measure all reflections; for each block yields the images done, and the reflections that end in it, in order."""
    puzzle = _Puzzle(sweep)
    waiting: deque[_Joined] = deque()

    def tasks() -> Iterator[_Block | _Joined]:
        for first, last, _ in blocks:
            while waiting:
                yield waiting.popleft()
            yield _Block(first, last, sweep.near(first, last))

    worker = _Worker(images, sweep, recipe)
    ends = iter(blocks)
    for measured, pieces in map_blocks(worker, tasks(), executor):
        if pieces is None:
            yield puzzle.finished(measured)
            continue
        last = next(ends)[1]
        waiting.append(puzzle.add(pieces, measured, last))
    for measured, _ in map_blocks(worker, list(waiting), executor):
        yield puzzle.finished(measured)


@dataclass
class _Puzzle:
    """Pieces of reflections, and what was measured in blocks whose joined reflections are not yet measured."""

    sweep: Sweep
    pieces: dict[int, list[NDArray[np.float32]]] = field(default_factory=dict)
    blocks: deque[tuple[int, Measured]] = field(default_factory=deque)

    def add(self, pieces: _Pieces, measured: Measured, last: int) -> _Joined:
        """Take what a block that ends with image last - 1 has given; the reflections (perhaps none) now complete."""
        self.blocks.append((last, measured))
        for row, counts in zip(pieces.rows.tolist(), pieces.counts, strict=True):
            self.pieces.setdefault(row, []).append(counts)
        rows = pieces.rows[self.sweep.span[pieces.rows, 1] <= last]
        if len(rows) == 0:
            return _Joined(rows, rows, np.empty(0, np.float32))
        # A box is stored image by image, so its pieces in the order of the blocks make the whole.
        counts = np.concatenate([piece for row in rows.tolist() for piece in self.pieces.pop(row)])
        span = self.sweep.span[rows]
        around = self.sweep.near(int(span[:, 0].min()), int(span[:, 1].max()))
        return _Joined(around, np.searchsorted(around, rows), counts)

    def finished(self, joined: Measured) -> tuple[int, NDArray[np.int64], NDArray[Any]]:
        """The oldest block with its joined reflections, which are measured in the same order."""
        last, measured = self.blocks.popleft()
        rows = np.concatenate([measured[0], joined[0]])
        order = np.argsort(rows)
        return last, rows[order], np.concatenate([measured[1], joined[1]])[order]
