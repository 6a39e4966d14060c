"""Integration: the intensities of all reflections that a sweep recorded.

Predict, find the widths of the profile model, learn reference profiles from strong reflections, then measure each
reflection once all its images have been read. Images are read in blocks whose size depends on the data alone; a
reflection that straddles blocks is put together from its pieces, so neither the blocks nor the number of workers
change any intensity, and memory does not grow with the number of images.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from puredials.errors import MismatchError, ProcessingError
from puredials.execute import SERIAL, Executor, map_blocks
from puredials.geometry import zeta
from puredials.integration.columns import integrated_columns
from puredials.integration.frames import Frames, reflection_frames
from puredials.integration.learn import Learnt, learn_profiles
from puredials.integration.measure import MEASURED, Images, Recipe, box_offsets, cut, mark, measure
from puredials.integration.model import SpotWidths, profile_model
from puredials.integration.params import Background, IntegrateParams
from puredials.integration.reference import good_references, match
from puredials.integration.zones import Zones
from puredials.model import Experiment, ImageSource, ReflectionTable
from puredials.prediction import Predicted, predict_sweep

__all__ = ["IntegrationResult", "integrate"]

# Pixels in the boxes of one block of images: 5 bytes each.
BLOCK_PIXELS = 6_000_000
# References for each zone of the scan, below which zones are made longer.
REFERENCES_A_ZONE = 300
# References without which no profiles are learnt.
FEWEST_REFERENCES = 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class IntegrationResult:
    """What `integrate` found.

    Attributes:
        table: reflections with intensities by summation or profile fitting.
        experiment: the experiment with its profile model.
        widths: the profile model and the number of spots it rests on.
        blocks: (first, last + 1, reflections) of each block of images, in images from the start of the scan.
        learnt: reference profiles, None if there were too few reflections to learn from; zones: where they are.
        counts: numbers of reflections by name, for the report.
    """

    table: ReflectionTable
    experiment: Experiment
    widths: SpotWidths
    blocks: tuple[tuple[int, int, int], ...]
    learnt: Learnt | None
    zones: Zones
    counts: dict[str, int]


def integrate(
    images: ImageSource,
    experiment: Experiment,
    table: ReflectionTable,
    *,
    params: IntegrateParams | None = None,
    executor: Executor = SERIAL,
    progress: Progress | None = None,
) -> IntegrationResult:
    """Integrate one sweep.

    Args:
        images: the images of the scan.
        experiment: refined models.
        table: indexed strong spots of this experiment, with shoeboxes (or the experiment has a profile model).
    """
    params = params or IntegrateParams()
    _check(images, experiment)
    reference = table.select(good_references(table))
    index, predicted = _predict(experiment, params)
    widths = profile_model(experiment, reference, params.profile.gaussian_rs)
    matched = _matched(experiment, reference, index, predicted)

    zones = _zones(experiment, params, len(matched))
    frames = reflection_frames(
        experiment, predicted, widths.profile, *zones.around(predicted.s1, _z(experiment, predicted))
    )
    seen = (frames.bbox[:, 5] > frames.bbox[:, 4]) & _overlaps_scan(frames, widths.profile.n_sigma, len(images))
    index, predicted, frames, matched = _keep(seen, index, predicted, frames, matched)

    pictures = Images(images, experiment.detector, images.static_mask())
    recipe = Recipe(widths.profile.n_sigma, _background(params.integration.background, experiment))
    learnt = None
    total = zones.along + len(images)
    if params.integration.profile.fitting and len(matched) >= FEWEST_REFERENCES:
        candidates = matched[_whole(frames, widths.profile.n_sigma, len(images))[matched]]
        q = np.sum((predicted.s1 - experiment.beam.s0) ** 2, axis=1) * experiment.beam.wavelength**2
        learnt = learn_profiles(
            pictures, frames, predicted.s1, q, candidates, zones, recipe,
            grid_size=params.profile.gaussian_rs.fitting.grid_size, executor=executor,
            tell=lambda done: _tell(progress, done, total),
        )  # fmt: skip
        if learnt is not None and learnt.used.sum() < FEWEST_REFERENCES:
            learnt = None
        if learnt is not None:
            recipe = replace(recipe, references=learnt.references)
            frames = frames.with_spread(learnt.spread, q)

    blocks = _blocks(frames, len(images))
    measured = np.zeros(len(frames), MEASURED)
    for done, rows, values in _measure_all(pictures, frames, blocks, recipe, executor):
        measured[rows] = values
        _tell(progress, zones.along + done, total)

    used = learnt.used if learnt is not None else np.zeros(len(frames), dtype=bool)
    new = replace(experiment, profile=widths.profile)
    integrated, counts = integrated_columns(new, index, predicted, frames, measured, matched, used, params)
    return IntegrationResult(integrated, new, widths, tuple(blocks), learnt, zones, counts)


def _check(images: ImageSource, experiment: Experiment) -> None:
    if experiment.crystal is None:
        raise MismatchError("The experiment has no crystal: run dials.index and dials.refine first.")
    if experiment.is_still or experiment.scan is None:
        raise MismatchError("The experiment is no rotation scan; stills cannot be integrated.")
    if len(images) != len(experiment.scan):
        raise MismatchError(
            f"There are {len(images)} images, but the scan has {len(experiment.scan)}: give those it was refined with."
        )


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _z(experiment: Experiment, predicted: Predicted) -> NDArray[np.float64]:
    assert experiment.scan is not None
    return predicted.xyz_px[:, 2] - experiment.scan.array_range[0]


def _predict(experiment: Experiment, params: IntegrateParams) -> tuple[NDArray[np.int32], Predicted]:
    """All reflections of the sweep but those too close to the rotation axis."""
    wanted = params.prediction
    index, predicted = predict_sweep(
        experiment, d_min=wanted.d_min, d_max=wanted.d_max, padding=wanted.padding, force_static=wanted.force_static
    )
    assert experiment.goniometer is not None
    z = zeta(predicted.s1, experiment.beam.s0, experiment.goniometer.rotation_axis)
    far = np.abs(z) >= params.integration.filter.min_zeta
    if not far.any():
        raise ProcessingError("No reflections are predicted on the detector: check the models and prediction.d_min.")
    return index[far], _select(predicted, far)


def _select(predicted: Predicted, which: NDArray[np.bool_]) -> Predicted:
    return Predicted(**{name: values[which] for name, values in vars(predicted).items()})


def _keep(seen, index, predicted, frames, matched):
    number = np.cumsum(seen) - 1
    return index[seen], _select(predicted, seen), frames.select(seen), number[matched[seen[matched]]]


def _matched(
    experiment: Experiment, reference: ReflectionTable, index, predicted: Predicted
) -> Int64[np.ndarray, " m"]:
    """Numbers of the predicted reflections that are reference spots, within 2 degrees of them, in order."""
    assert experiment.scan is not None
    tolerance = max(2.0 / abs(experiment.scan.oscillation[1]), 1.0)
    z = reference["xyzobs.px.value"][:, 2]
    found = match(reference["miller_index"], reference["entering"], z,
                  index, predicted.entering, predicted.xyz_px[:, 2], tolerance)  # fmt: skip
    return np.unique(found[found >= 0])


def _zones(experiment: Experiment, params: IntegrateParams, references: int) -> Zones:
    fitting = params.profile.gaussian_rs.fitting
    assert experiment.scan is not None
    degrees = abs(experiment.scan.oscillation[1]) * len(experiment.scan)
    along = max(min(int(np.ceil(degrees / fitting.scan_step)), references // REFERENCES_A_ZONE), 1)
    return Zones.of(experiment, across=3 if fitting.grid_method == "regular_grid" else 1, along=along)


def _overlaps_scan(frames: Frames, n_sigma: float, n_images: int) -> NDArray[np.bool_]:
    """True where the rocking curve, to n_sigma, reaches into the scan."""
    z, depth = frames.centre[:, 2], n_sigma / np.abs(frames.drift)
    return (z + depth > 0) & (z - depth < n_images)


def _whole(frames: Frames, n_sigma: float, n_images: int) -> NDArray[np.bool_]:
    """True where the scan records the rocking curve to n_sigma on either side."""
    z, depth = frames.centre[:, 2], n_sigma / np.abs(frames.drift)
    return (z - depth >= 0) & (z + depth <= n_images)


def _background(background: Background, experiment: Experiment) -> Background:
    """The background method with Auto settled: glm for photon counting detectors and X-rays."""
    if background.algorithm is not None:
        return background
    counting = all(p.gain == 1.0 and "PAD" in p.type for p in experiment.detector.panels)
    robust = counting and not experiment.beam.is_electron
    return background.model_copy(update={"algorithm": "glm" if robust else "simple"})


def _blocks(frames: Frames, n_images: int) -> list[tuple[int, int, int]]:
    """Blocks of images (first, last + 1, reflections that end in it) of about BLOCK_PIXELS pixels in boxes."""
    b = frames.bbox.astype(np.int64)
    layer = (b[:, 1] - b[:, 0]) * (b[:, 3] - b[:, 2])
    change = np.bincount(b[:, 4], layer, n_images + 1) - np.bincount(b[:, 5], layer, n_images + 1)
    pixels = np.cumsum(np.cumsum(change)[:n_images])
    ends = np.bincount(b[:, 5], minlength=n_images + 1)
    blocks = []
    first = 0
    while first < n_images:
        before = pixels[first - 1] if first else 0
        last = int(np.clip(np.searchsorted(pixels, before + BLOCK_PIXELS, "right"), first + 1, n_images))
        blocks.append((first, last, int(ends[first + 1 : last + 1].sum())))
        first = last
    return blocks


@dataclass(frozen=True, eq=False)
class _Block:
    """Images first <= z < last, and all reflections on them (numbers `rows`)."""

    first: int
    last: int
    frames: Frames
    rows: Int64[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class _Joined:
    """Reflections put together from their pieces: `own` of the frames, which are reflections `rows`."""

    frames: Frames
    own: Int64[np.ndarray, " k"]
    rows: Int64[np.ndarray, " k"]
    counts: Float32[np.ndarray, " pixels"]


@dataclass(frozen=True, eq=False)
class _Pieces:
    """The pixels of reflections (numbers `rows`) that a block holds only in part."""

    rows: Int64[np.ndarray, " k"]
    offsets: Int64[np.ndarray, " k1"]
    counts: Float32[np.ndarray, " pixels"]


@dataclass(frozen=True, eq=False)
class _Worker:
    images: Images
    recipe: Recipe

    def __call__(self, task: _Block | _Joined):
        if isinstance(task, _Block):
            return self._block(task)
        # Reflections that are neighbours only have no pixels here.
        sizes = np.zeros(len(task.frames), np.int64)
        sizes[task.own] = task.frames.sizes[task.own]
        marked = mark(task.frames, task.own, box_offsets(sizes), task.counts, self.recipe)
        return task.rows, measure(marked, self.recipe), None

    def _block(self, block: _Block):
        frames, offsets, counts = cut(self.images, block.frames, block.first, block.last)
        inside = np.all(frames.bbox == block.frames.bbox, axis=1)
        own, rest = np.flatnonzero(inside), np.flatnonzero(~inside)
        marked = mark(frames, own, offsets, counts, self.recipe)
        result = measure(marked, self.recipe)
        sizes = np.diff(offsets)[rest]
        starts = box_offsets(sizes)
        pixels = np.arange(starts[-1]) + np.repeat(offsets[rest] - starts[:-1], sizes)
        return block.rows[own], result, _Pieces(block.rows[rest], starts, counts[pixels])


def _measure_all(
    images: Images, frames: Frames, blocks: list[tuple[int, int, int]], recipe: Recipe, executor: Executor
) -> Iterator[tuple[int, Int64[np.ndarray, " m"], NDArray[np.void]]]:
    """Measure all reflections; yields images done, numbers of reflections and what was measured of them."""
    joined: deque[_Joined] = deque()
    pending: dict[int, list[NDArray[np.float32]]] = {}

    def tasks() -> Iterator[_Block | _Joined]:
        for first, last, _ in blocks:
            while joined:
                yield joined.popleft()
            rows = np.flatnonzero((frames.bbox[:, 4] < last) & (first < frames.bbox[:, 5]))
            yield _Block(first, last, frames.select(rows), rows)

    worker = _Worker(images, recipe)
    done = 0
    ends = iter(last for _, last, _ in blocks)
    for rows, values, pieces in map_blocks(worker, tasks(), executor):
        if pieces is not None:
            done = next(ends)
            whole = _collect(pieces, pending, frames, done)
            if len(whole):
                joined.append(_put_together(whole, pending, frames))
        yield done, rows, values
    while joined:
        waiting = list(joined)
        joined.clear()
        for rows, values, _ in map_blocks(worker, waiting, executor):
            yield done, rows, values


def _collect(pieces: _Pieces, pending, frames: Frames, read: int) -> Int64[np.ndarray, " k"]:
    """Add pieces to those pending; the numbers of reflections that are complete once `read` images have been read."""
    for k, row in enumerate(pieces.rows.tolist()):
        pending.setdefault(row, []).append(pieces.counts[pieces.offsets[k] : pieces.offsets[k + 1]])
    rows = pieces.rows
    return rows[frames.bbox[rows, 5] <= read]


def _put_together(rows: Int64[np.ndarray, " k"], pending, frames: Frames) -> _Joined:
    # A box is stored image by image, so its pieces in the order of the blocks make the whole.
    counts = np.concatenate([piece for row in rows.tolist() for piece in pending.pop(row)])
    first, last = frames.bbox[rows, 4].min(), frames.bbox[rows, 5].max()
    around = np.flatnonzero((frames.bbox[:, 4] < last) & (first < frames.bbox[:, 5]))
    return _Joined(frames.select(around), np.searchsorted(around, rows), rows, counts)
