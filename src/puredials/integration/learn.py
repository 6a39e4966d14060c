"""Reference profiles, learnt from strong reflections in zones of the detector and the scan."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.execute import Executor, map_blocks
from puredials.integration.frames import Frames
from puredials.integration.measure import Images, Recipe, References, cut, mark
from puredials.integration.zones import Zones
from puredials.kernels.profiles import learn_boxes

__all__ = ["Learnt", "gaussian_profile", "learn_profiles"]

# The grid spans this many times n_sigma: the foreground and the pixels that its edge cuts.
GRID_EXTENT = 1.5
# References read for one zone of the scan; more make profiles no better, but cost images to be read.
ENOUGH = 600
# Steps of expectation maximisation: first for one profile of all the detector, then for its zones.
COMMON_STEPS, ZONE_STEPS = 5, 2
# Weight, in reflections, of the common profile in that of a zone.
PRIOR = 25.0


@dataclass(frozen=True, eq=False)
class Learnt:
    """Reference profiles; used: (n,) True where a reflection took part; numbers: (zones,) reflections in each zone."""

    references: References
    used: Bool[np.ndarray, " n"]
    numbers: Float64[np.ndarray, " zones"]


@dataclass(frozen=True, eq=False)
class _Task:
    """The references (numbers `rows`) of one zone of the scan, with their neighbours."""

    frames: Frames
    own: Int64[np.ndarray, " m"]
    rows: Int64[np.ndarray, " m"]


def gaussian_profile(grid_size: int, step: float) -> Float64[np.ndarray, "k k k"]:
    """The profile of independent normal distributions, from which learning starts."""
    x = np.arange(-grid_size, grid_size + 1) * step
    g = np.exp(-0.5 * x**2)
    profile = g[:, None, None] * g[:, None] * g
    return profile / profile.sum()


def grid_step(grid_size: int, n_sigma: float) -> float:
    return GRID_EXTENT * n_sigma / grid_size


@dataclass(frozen=True, eq=False)
class _Learner:
    images: Images
    recipe: Recipe
    zones: Zones
    grid_size: int

    def __call__(self, task: _Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Profiles of the zones of the detector, numbers of references in each, and the rows of those used."""
        step = grid_step(self.grid_size, self.recipe.radius)
        shape = (2 * self.grid_size + 1,) * 3
        across = self.zones.across**2
        common = gaussian_profile(self.grid_size, step)[None]
        if len(task.own) == 0:
            return np.repeat(common, across, axis=0), np.zeros(across), task.rows
        first, last = int(task.frames.bbox[task.own, 4].min()), int(task.frames.bbox[task.own, 5].max())
        frames, offsets, counts = cut(self.images, _only(task.frames, task.own), first, last)
        own = np.arange(len(task.own))
        # The neighbours have no pixels here: their boxes are appended without any.
        near = np.setdiff1d(np.arange(len(task.frames)), task.own)
        joined = _join(frames, task.frames.select(near))
        offsets = np.concatenate([offsets, np.full(len(near), offsets[-1])])
        marked = mark(joined, own, offsets, counts, self.recipe)
        good = _clean(marked)
        own, rows = own[good], task.rows[good]
        if len(own) == 0:
            return np.repeat(common, across, axis=0), np.zeros(across), rows
        n = len(joined)
        geometry = (joined.bbox, offsets, joined.centre, joined.jacobian, joined.drift, marked.background)
        cap = float(np.median(_sums(marked, own)))
        one_zone, one = np.zeros((n, 1), np.int32), np.ones((n, 1))
        few = own[:: max(1, len(own) // 200)]
        for _ in range(COMMON_STEPS):
            gain, sensitivity = np.zeros((1, *shape)), np.zeros((1, *shape))
            learn_boxes(few, *geometry, counts, marked.mask, common, one_zone, one, step, cap, gain, sensitivity)
            common = _updated(common, gain, sensitivity)
        profiles = np.repeat(common, across, axis=0)
        zones, weights = joined.zones, joined.weights
        numbers = np.bincount(zones[own].ravel(), weights[own].ravel(), across)
        for _ in range(ZONE_STEPS):
            gain, sensitivity = np.zeros((across, *shape)), np.zeros((across, *shape))
            learn_boxes(own, *geometry, counts, marked.mask, profiles, zones, weights, step, cap, gain, sensitivity)
            profiles = _updated(profiles, gain, sensitivity)
        return profiles, numbers, rows


def learn_profiles(
    images: Images,
    frames: Frames,
    s1: Float64[np.ndarray, "n 3"],
    candidates: Int64[np.ndarray, " m"],
    zones: Zones,
    recipe: Recipe,
    grid_size: int,
    executor: Executor,
) -> Iterator[tuple[int, Learnt | None]]:
    """Learn from the `candidates`, zone of the scan by zone; yields the number of zones done, and at last the result."""
    zone = zones.scan_zone(frames.centre[:, 2])
    step = grid_step(grid_size, recipe.radius)

    def tasks() -> Iterator[_Task]:
        for number in range(zones.along):
            mine = candidates[zone[candidates] == number]
            centre = (number + 0.5) * zones.n_images / zones.along
            nearest = mine[np.argsort(np.abs(frames.centre[mine, 2] - centre), kind="stable")[:ENOUGH]]
            mine = np.sort(nearest)
            if len(mine) == 0:
                yield _Task(frames.select(mine), mine, mine)
                continue
            first, last = frames.bbox[mine, 4].min(), frames.bbox[mine, 5].max()
            around = np.flatnonzero((frames.bbox[:, 4] < last) & (first < frames.bbox[:, 5]))
            local, weights = zones.on_detector(s1[around])
            part = frames.select(around)
            part = Frames(**{**vars(part), "zones": local, "weights": weights})
            yield _Task(part, np.searchsorted(around, mine), mine)

    used = np.zeros(len(frames), dtype=bool)
    profiles, numbers = [], []
    for done, (found, n, rows) in enumerate(map_blocks(_Learner(images, recipe, zones, grid_size), tasks(), executor)):
        profiles.append(found)
        numbers.append(n)
        used[rows] = True
        yield done + 1, None
    yield (
        zones.along,
        Learnt(References(_pooled(np.stack(profiles), np.stack(numbers)), step), used, np.concatenate(numbers)),
    )


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


def _updated(profiles, gain, sensitivity):
    """Profiles times gain / sensitivity, where there is any, with a sum of 1."""
    factor = np.divide(gain, sensitivity, out=np.ones_like(gain), where=sensitivity > 0)
    new = profiles * factor
    return new / new.sum(axis=(1, 2, 3), keepdims=True)


def _clean(marked) -> Bool[np.ndarray, " m"]:
    """True for rows whose box lies within the panel, all of it valid, without overlaps, with a background."""
    good = np.isfinite(marked.background[marked.rows, 0])
    bad = (marked.mask & 32 != 0) | (marked.mask & 5 == 4)
    prefix = np.concatenate([[0], np.cumsum(bad)])
    low, high = marked.offsets[marked.rows], marked.offsets[marked.rows + 1]
    return good & (prefix[high] == prefix[low])


def _sums(marked, rows) -> Float64[np.ndarray, " m"]:
    """Foreground counts of rows, a rough intensity."""
    counts = np.where(marked.mask & 5 == 5, marked.counts, 0)
    prefix = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    return prefix[marked.offsets[rows + 1]] - prefix[marked.offsets[rows]]


def _only(frames: Frames, rows: Int64[np.ndarray, " m"]) -> Frames:
    return frames.select(rows)


def _join(a: Frames, b: Frames) -> Frames:
    return Frames(**{name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in vars(a)})
