"""Backgrounds of reflections, made more certain by those of reflections nearby.

The background of a reflection is the mean of some thousand counts, whose error every pixel of the reflection feels.
What is scattered between the reflections changes slowly, however: fastest with resolution, least along powder rings and
along the scan. Neighbours tell what to expect, and how far they differ tells how much that is worth (see
`kernels.local_levels`): where the background has a structure of its own, each reflection keeps its own.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray
from scipy.spatial import KDTree

from puredials.integration.sweep import Sweep
from puredials.kernels.local_levels import local_levels

__all__ = ["share_backgrounds"]

# Distances over which the background changes about as much: in 1/d (1/Angstrom), azimuth and rotation (degrees).
UNITS = (0.0025, 4.0, 10.0)
NEIGHBOURS = 24
FEWEST_NEIGHBOURS = 12
# Degrees. Neighbours are in the same slab of the scan or next to it. Reflections that take longer to cross the sphere
# (they are close to the rotation axis) neither give nor take.
SLAB = 10.0

# Images done, numbers of reflections, and what was measured of them (type MEASURED).
Block = tuple[int, NDArray[np.int64], NDArray[Any]]


def share_backgrounds(measured: Iterator[Block], sweep: Sweep, workers: int) -> Iterator[Block]:
    """The same blocks, in order and each as soon as it can be, with more certain backgrounds and what follows of them.

    Intensities are corrected to first order: dI/db is known of a fit, and is the number of pixels of a sum.
    """
    levels = _Levels.empty(sweep)
    held: deque[Block] = deque()
    settled = 0
    for block in measured:
        levels.add(block)
        held.append(block)
        # Everything in a slab is measured one slab later, and neighbours are in the next one.
        while settled < levels.slabs and block[0] >= (settled + 3) * levels.width:
            levels.settle(settled, workers)
            settled += 1
        while held and held[0][0] <= settled * levels.width:
            yield levels.corrected(held.popleft())
    for slab in range(settled, levels.slabs):
        levels.settle(slab, workers)
    for block in held:
        yield levels.corrected(block)


@dataclass(frozen=True, eq=False)
class _Levels:
    """Backgrounds of all reflections of a sweep.

    Attributes:
        width: images of a slab; bounds: (slabs + 1,) numbers of the reflections where slabs begin and end.
        places: (n, 3) 1/d, azimuth about the beam, and rotation, in UNITS.
        level, pixels, dispersion: (n,) the background, the number of its pixels (0 if it takes no part), and their
            variance over their mean. best, variance: (n,) the background given its neighbours' as well, once its slab
            is settled.
    """

    sweep: Sweep
    width: int
    bounds: Int64[np.ndarray, " slabs1"]
    places: Float32[np.ndarray, "n 3"]
    level: Float32[np.ndarray, " n"]
    pixels: Float32[np.ndarray, " n"]
    dispersion: Float32[np.ndarray, " n"]
    best: Float32[np.ndarray, " n"]
    variance: Float32[np.ndarray, " n"]

    @staticmethod
    def empty(sweep: Sweep) -> "_Levels":
        scan = sweep.experiment.scan
        assert scan is not None
        width = max(round(SLAB / abs(scan.oscillation[1])), 1)
        # What is recorded in part before the scan or after it belongs to the first or last slab.
        inner = np.searchsorted(sweep.z - sweep.start, np.arange(width, len(scan), width))
        bounds = np.concatenate([[0], inner, [len(sweep)]]).astype(np.int64)
        each = (np.zeros(len(sweep), np.float32) for _ in range(5))
        return _Levels(sweep, width, bounds, np.zeros((len(sweep), 3), np.float32), *each)

    @property
    def slabs(self) -> int:
        return len(self.bounds) - 1

    def add(self, block: Block) -> None:
        _, rows, values = block
        span = self.sweep.span[rows]
        taking = np.isfinite(values["background"]) & (span[:, 1] - span[:, 0] <= self.width)
        self.places[rows] = self._places(rows)
        self.level[rows] = values["background"]
        self.pixels[rows] = np.where(taking, values["used"], 0)
        self.dispersion[rows] = values["dispersion"]
        self.best[rows], self.variance[rows] = values["background"], values["uncertainty"]

    def settle(self, slab: int, workers: int) -> None:
        """Find `best` and `variance` of the reflections of a slab."""
        low, high = self.bounds[max(slab - 1, 0)], self.bounds[min(slab + 2, self.slabs)]
        around = low + np.flatnonzero(self.pixels[low:high] > 0)
        own = np.flatnonzero((around >= self.bounds[slab]) & (around < self.bounds[slab + 1]))
        if len(own) == 0:
            return
        places, level, pixels = (a[around].astype(np.float64) for a in (self.places, self.level, self.pixels))
        _, near = KDTree(places, balanced_tree=False).query(places[own], k=NEIGHBOURS + 1, workers=workers)
        # Where a photon is not one count, this many pixels are worth one. The variance of the rest of the program is
        # that of single photons.
        dispersion = max(float(np.median(self.dispersion[around])), 1e-3)
        best = self.best[around[own]].astype(np.float64)
        variance = self.variance[around[own]].astype(np.float64) * dispersion
        local_levels(own, near, places, level, pixels / dispersion, FEWEST_NEIGHBOURS, best, variance)
        self.best[around[own]], self.variance[around[own]] = best, variance / dispersion

    def corrected(self, block: Block) -> Block:
        done, rows, given = block
        values = given.copy()
        change = np.where(self.pixels[rows] > 0, self.best[rows] - values["background"], 0.0)
        values["prf"] -= change * values["slope"]
        values["sum"] -= change * values["pixels"][:, 3]
        values["under"] += change * values["pixels"][:, 3]
        values["background"] += change
        values["uncertainty"] = self.variance[rows]
        return done, rows, values

    def _places(self, rows: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n 3"]:
        beam, scan = self.sweep.experiment.beam, self.sweep.experiment.scan
        assert scan is not None
        u, v = self.sweep.zones.axes @ self.sweep.predicted(rows).s1.T
        azimuth = np.degrees(np.arctan2(v, u))
        rotation = (self.sweep.z[rows] - self.sweep.start) * scan.oscillation[1]
        return np.column_stack([np.sqrt(self.sweep.q(rows)) / beam.wavelength, azimuth, rotation]) / UNITS
