"""Reference profiles, learnt from strong reflections in zones of the detector and the scan.

First a survey of a few places along the scan finds how the widths of reflections depend on resolution, and one profile
for all; from it each zone's own is learnt.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.execute import Executor, map_blocks
from puredials.integration.frames import Frames, Spread
from puredials.integration.measure import Images, Marked, Recipe, References, cut, mark
from puredials.integration.sweep import Sweep
from puredials.kernels.profiles import learn_boxes, second_moments
from puredials.model import MaskBits

__all__ = ["Learnt", "gaussian_profile", "learn_profiles"]

# The grid spans this many times n_sigma: the foreground and the pixels that its edge cuts.
GRID_EXTENT = 1.5
# References read for one zone of the scan; more make profiles no better, but cost images to be read.
ENOUGH = 600
# At most so many places along the scan, and so many references at each, make the survey; few references make fewer
# places, so that none is read and counted at several.
PLACES, AT_A_PLACE = 5, 300
# Steps of expectation maximisation: first for one profile of all the sweep, then for its zones.
COMMON_STEPS, ZONE_STEPS = 6, 2
# Weight, in reflections, of the common profile in that of a zone.
PRIOR = 25.0
# Weight, in reflections, of the Gaussian profile in learning the common one.
GAUSSIAN_PRIOR = 10.0
# Profiles fall off outward: beyond this radius (standard deviations) a knot holds at most so many times the mean of the
# shell inside it. Few reflections, and a stray spot beside one of them, would make a peak there.
CORE, RISE = 2.0, 3.0
# Fewest counts of a reflection whose second moments tell its widths, and fewest such reflections for a straight line.
MOMENT_COUNTS, FEWEST_FOR_LINE = 300, 50


@dataclass(frozen=True, eq=False)
class Learnt:
    """Reference profiles; spread: how widths depend on resolution; used: (n,) True where a reflection took part;
    numbers: (zones,) reflections in each zone."""

    references: References
    spread: Spread
    used: Bool[np.ndarray, " n"]
    numbers: Float64[np.ndarray, " zones"]


@dataclass(frozen=True, eq=False)
class _Task:
    """References near one position of the scan: the first `own` of the frames; the others are their neighbours.

    `around` holds the numbers of all of them.
    """

    frames: Frames
    own: int
    around: Int64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class _Cutter:
    """Reads and marks the boxes of references; the rows it marks are those all valid and without overlaps."""

    images: Images
    recipe: Recipe

    def __call__(self, task: _Task) -> Marked:
        own = task.frames.select(np.arange(task.own))
        first, last = int(own.bbox[:, 4].min()), int(own.bbox[:, 5].max())
        _, offsets, counts = cut(self.images, own, first, last)
        # Neighbours have no pixels here.
        offsets = np.concatenate([offsets, np.full(len(task.around) - task.own, offsets[-1])])
        marked = mark(task.frames, np.arange(task.own), offsets, counts, self.recipe)
        return replace(marked, rows=marked.rows[_clean(marked)])


@dataclass(frozen=True, eq=False)
class _ZoneLearner:
    """Learns the profiles of the zones of the detector at one position of the scan, starting from a common one."""

    cutter: _Cutter
    across: int
    common: Float64[np.ndarray, "k k k"]
    shape: References
    cap: float

    def __call__(self, task: _Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Profiles, the number of reflections in each zone, and the numbers of the reflections."""
        profiles = np.repeat(self.common[None], self.across, axis=0)
        if task.own == 0:
            return profiles, np.zeros(self.across), task.around[:0]
        marked = self.cutter(task)
        zones, weights = marked.frames.zones[marked.rows], marked.frames.weights[marked.rows]
        numbers = np.bincount(zones.ravel(), weights.ravel(), self.across)
        for _ in range(ZONE_STEPS):
            gain, sensitivity = _expect(marked, replace(self.shape, profiles=profiles), self.cap)
            profiles = _maximise(profiles, gain, sensitivity, self.common, PRIOR * self.cap, self.shape.step)
        return profiles, numbers, task.around[marked.rows]


def gaussian_profile(grid_size: int, step: float) -> Float64[np.ndarray, "k k k"]:
    """The profile of independent normal distributions, from which learning starts."""
    x = np.arange(-grid_size, grid_size + 1) * step
    g = np.exp(-0.5 * x**2)
    profile = g[:, None, None] * g[:, None] * g
    return profile / profile.sum()


def learn_profiles(
    images: Images,
    sweep: Sweep,
    candidates: Int64[np.ndarray, " m"],
    recipe: Recipe,
    *,
    grid_size: int,
    executor: Executor,
    tell: Callable[[int], None],
) -> Learnt | None:
    """Learn from the `candidates`; calls `tell` with the number of zones of the scan done.

    None if not a single candidate is fit to be learnt from.
    """
    cutter, zones = _Cutter(images, recipe), sweep.zones
    radius = GRID_EXTENT * recipe.radius
    step = radius / grid_size
    survey = [_task(sweep, candidates, z, AT_A_PLACE) for z in _places(zones.n_images, len(candidates))]
    survey = [task for task in survey if task.own]
    found = list(map_blocks(cutter, survey, executor))
    if not any(len(marked.rows) for marked in found):
        return None
    moments = np.concatenate([_moments(marked, radius) for marked in found])
    q = np.concatenate([sweep.q(t.around[m.rows]) for t, m in zip(survey, found, strict=True)])
    spread = _fitted_spread(moments, q)
    cap = float(np.median(moments[:, 3]))
    sweep = replace(sweep, spread=spread)
    found = [replace(m, frames=sweep.frames(t.around)) for t, m in zip(survey, found, strict=True)]
    shape = References(gaussian_profile(grid_size, step)[None], step, radius)
    common = _common_profile(found, shape, cap, executor)
    found.clear()

    def tasks() -> Iterator[_Task]:
        zone = zones.scan_zone(sweep.z[candidates] - sweep.start)
        for number in range(zones.along):
            middle = (number + 0.5) * zones.n_images / zones.along
            yield _task(sweep, candidates[zone == number], middle, ENOUGH)

    learner = _ZoneLearner(cutter, zones.across**2, common, shape, cap)
    used = np.zeros(len(sweep), dtype=bool)
    profiles: list[np.ndarray] = []
    numbers: list[np.ndarray] = []
    for profile, number, rows in map_blocks(learner, tasks(), executor):
        profiles.append(profile)
        numbers.append(number)
        used[rows] = True
        tell(len(profiles))
    pooled = _pooled(np.stack(profiles), np.stack(numbers))
    return Learnt(replace(shape, profiles=pooled), spread, used, np.concatenate(numbers))


def _places(n_images: int, candidates: int) -> Float64[np.ndarray, " places"]:
    places = min(max(candidates // AT_A_PLACE, 1), PLACES)
    return (np.arange(places) + 0.5) / places * n_images


def _task(sweep: Sweep, candidates: Int64[np.ndarray, " m"], middle: float, most: int) -> _Task:
    """The candidates whose images are nearest to `middle`, and all that may overlap with them."""
    reach = np.max(np.abs(sweep.span[candidates] - middle), axis=1)
    own = np.sort(candidates[np.argsort(reach, kind="stable")[:most]])
    around = own
    if len(own):
        near = sweep.near(int(sweep.span[own, 0].min()), int(sweep.span[own, 1].max()))
        around = np.concatenate([own, np.setdiff1d(near, own)])
    return _Task(sweep.frames(around, on_detector=True), len(own), around)


def _moments(marked: Marked, radius: float) -> Float64[np.ndarray, "m 4"]:
    f, moments = marked.frames, np.zeros((len(marked.frames), 4))
    second_moments(marked.rows, f.bbox, marked.offsets, f.centre, f.jacobian, f.slide, f.drift, marked.background,
                   marked.counts, marked.mask, radius, moments)  # fmt: skip
    moments[:, :2] -= f.depth**2
    return moments[marked.rows]


def _fitted_spread(moments: Float64[np.ndarray, "m 4"], q: Float64[np.ndarray, " m"]) -> Spread:
    """Variances as a straight line in q, by least absolute deviations; of few reflections, their medians."""
    strong = moments[:, 3] > MOMENT_COUNTS
    if strong.sum() < FEWEST_FOR_LINE:
        middle = np.median(moments[strong, :3], axis=0) if strong.sum() >= 3 else np.ones(3)
        return Spread(np.column_stack([middle, np.zeros(3)]))
    design = np.column_stack([np.ones(strong.sum()), q[strong]])
    coefficients = np.empty((3, 2))
    for k in range(3):
        v = moments[strong, k]
        weight = np.ones(len(v))
        for _ in range(20):  # iteratively reweighted: 1 / |residual|
            root = np.sqrt(weight)[:, None]
            fit = np.linalg.lstsq(design * root, v * root[:, 0], rcond=None)[0]
            weight = 1 / np.maximum(np.abs(v - design @ fit), 0.02)
        coefficients[k] = fit
    return Spread(coefficients)


def _expect(marked: Marked, references: References, cap: float) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the marked rows from which the next profiles follow, see `kernels.profiles.learn_boxes`."""
    f = marked.frames
    gain, sensitivity = np.zeros_like(references.profiles), np.zeros_like(references.profiles)
    zones, weights = f.zones, f.weights
    if len(references.profiles) == 1:
        zones, weights = np.zeros((len(f), 1), np.int32), np.ones((len(f), 1))
    learn_boxes(marked.rows, f.bbox, marked.offsets, f.centre, f.fine, f.slide, f.pace, marked.background,
                marked.counts, marked.mask, references.radius, references.profiles, zones, weights, references.step,
                cap, gain, sensitivity)  # fmt: skip
    return gain, sensitivity


def _maximise(
    profiles: np.ndarray, gain: np.ndarray, sensitivity: np.ndarray, prior: np.ndarray, weight: float, step: float
) -> np.ndarray:
    """The next profiles, of sum 1: those of the largest posterior, where `prior` counts like so much intensity."""
    new = (profiles * gain + weight * prior) / (sensitivity + weight)
    for profile in new:
        _fall_off(profile, step)
    return new / new.sum(axis=(1, 2, 3), keepdims=True)


def _fall_off(profile: Float64[np.ndarray, "k k k"], step: float) -> None:
    """Cut what rises outward, shell by shell."""
    x = (np.arange(len(profile)) - len(profile) // 2) * step
    radius = np.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2)
    for low in np.arange(CORE, radius.max(), step):
        here = (radius >= low) & (radius < low + step)
        inner = (radius >= low - step) & (radius < low)
        profile[here] = np.minimum(profile[here], RISE * profile[inner].mean())


@dataclass(frozen=True, eq=False)
class _Expectation:
    """`_expect` for a given profile."""

    references: References
    cap: float

    def __call__(self, marked: Marked) -> tuple[np.ndarray, np.ndarray]:
        return _expect(marked, self.references, self.cap)


def _common_profile(
    found: list[Marked], shape: References, cap: float, executor: Executor
) -> Float64[np.ndarray, "k k k"]:
    """One profile from all the boxes of the survey, drawn towards that of `shape` if they are few."""
    profiles = shape.profiles
    for _ in range(COMMON_STEPS):
        gain, sensitivity = np.zeros_like(profiles), np.zeros_like(profiles)
        for a, b in map_blocks(_Expectation(replace(shape, profiles=profiles), cap), found, executor):
            gain, sensitivity = gain + a, sensitivity + b
        profiles = _maximise(profiles, gain, sensitivity, shape.profiles, GAUSSIAN_PRIOR * cap, shape.step)
    return profiles[0]


def _pooled(
    profiles: Float64[np.ndarray, "along across k k k"], numbers: Float64[np.ndarray, "along across"]
) -> Float64[np.ndarray, "zones k k k"]:
    """Profiles of thin zones drawn towards the mean of their part of the scan, and that towards the mean of all."""
    weights = numbers[:, :, None, None, None]
    total = numbers.sum()
    overall = (weights * profiles).sum(axis=(0, 1)) / total if total > 0 else profiles.mean(axis=(0, 1))
    of_scan = ((weights * profiles).sum(axis=1) + PRIOR * overall) / (weights.sum(axis=1) + PRIOR)
    pooled = (weights * profiles + PRIOR * of_scan[:, None]) / (weights + PRIOR)
    return np.ascontiguousarray(pooled.reshape(-1, *profiles.shape[2:]))


def _clean(marked: Marked) -> Bool[np.ndarray, " m"]:
    """True for rows whose pixels are all valid, without overlaps in the foreground, with a background."""
    good = np.isfinite(marked.background[marked.rows, 0])
    wanted = MaskBits.FOREGROUND | MaskBits.VALID
    bad = marked.mask & MaskBits.FOREGROUND != 0
    bad &= (marked.mask & wanted != wanted) | (marked.mask & MaskBits.OVERLAPPED != 0)
    prefix = np.concatenate([[0], np.cumsum(bad)])
    low, high = marked.offsets[marked.rows], marked.offsets[marked.rows + 1]
    return good & (prefix[high] == prefix[low])
