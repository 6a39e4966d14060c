"""Lattice vectors as peaks of the three-dimensional Fourier transform of the reciprocal lattice (Bricogne 1986)."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from jaxtyping import Bool, Float64

from puredials.errors import NoLatticeError
from puredials.indexing.params import Fft3d
from puredials.indexing.reciprocal import Spots
from puredials.kernels.reciprocal_grid import fill_grid, find_peaks, fit_vectors

__all__ = ["BasisVectors", "find_basis_vectors", "fitted_basis", "grid_d_min"]

POINTS_PER_MAX_CELL = 5  # real-space grid steps: max_cell = n_points d_min / 5
EDGE_WEIGHT = 0.05  # of spots at d_min
# |F|^2 of points without order is distributed exponentially about its mean: the highest of N values is near ln N times
# the mean, and beyond ln N + 4.6 once in a hundred maps.
FALSE_PEAKS = 0.01
MAX_PEAKS = 4000
KEPT = 200
FIT_POINTS, FIT_STEPS = 4000, 5


@dataclass(frozen=True, eq=False)
class BasisVectors:
    """Vectors of the real-space lattice, the best first.

    Attributes:
        vectors: (n, 3) Angstrom; amplitudes: 1 for vectors with which all spots agree.
        phases: (n, sets) of each vector in each image set, in turns: r.v = phase + integer.
        d_min, n_points: of the grid (0 points if there is none); n_used: number of spots in it.
    """

    vectors: Float64[np.ndarray, "n 3"]
    amplitudes: Float64[np.ndarray, " n"]
    phases: Float64[np.ndarray, "n s"]
    d_min: float
    n_points: int
    n_used: int


def grid_d_min(spots: Spots, max_cell: float, params: Fft3d) -> tuple[float, int]:
    """Resolution of the grid, and its number of points, which is a size that transforms fast."""
    n = scipy.fft.next_fast_len(params.reciprocal_space_grid.n_points, real=True) or 0
    d_min = params.reciprocal_space_grid.d_min
    if d_min is None:
        d_min = max(POINTS_PER_MAX_CELL * max_cell / n, float(1 / spots.d_star.max()))
    return d_min, n


def find_basis_vectors(
    spots: Spots, max_cell: float, params: Fft3d, *, min_cell: float = 3.0, most: int = KEPT, workers: int = 1
) -> BasisVectors:
    """Vectors v with r.v near whole numbers for the spots r, between `min_cell` and 2 `max_cell` long; `most` of them.

    The peaks of the transform are the coarse answer. Each is then moved to the maximum of sum w cos(2 pi r.v) over the
    spots themselves, free of the grid.
    """
    d_min, n = grid_d_min(spots, max_cell, params)
    used = spots.d_star <= 1 / d_min
    points, d_star = spots.rlp[used], spots.d_star[used]
    if len(points) < 6:
        raise NoLatticeError(f"Only {len(points)} spots lie within {d_min:.2f} Angstrom: too few to index.")
    b_iso = -4 * d_min**2 * np.log(EDGE_WEIGHT) if params.b_iso is None else params.b_iso
    weights = np.exp(-0.25 * b_iso * d_star**2)
    spacing = 2 / (d_min * n)
    grid = np.zeros((n, n, n), dtype=np.float32)
    fill_grid(points, weights, spacing, grid)
    noise = float((weights**2).sum())
    transform = np.asarray(scipy.fft.rfftn(grid, workers=workers, overwrite_x=True))
    del grid
    step = 1 / (n * spacing)
    threshold = noise * np.log(n**3 / FALSE_PEAKS)
    positions, heights = np.zeros((MAX_PEAKS, 3)), np.zeros(MAX_PEAKS)
    found = min(find_peaks(transform, threshold, min_cell / step, 2 * max_cell / step, positions, heights), MAX_PEAKS)
    del transform
    order = np.argsort(-heights[:found], kind="stable")[:most]
    vectors = positions[order] * step
    return fitted_basis(vectors, spots, weights, used, step=step, min_cell=min_cell, d_min=d_min, n_points=n)


def fitted_basis(
    vectors: Float64[np.ndarray, "n 3"],
    spots: Spots,
    weights: Float64[np.ndarray, " m"],
    used: Bool[np.ndarray, " s"],
    *,
    step: float,
    min_cell: float,
    d_min: float,
    n_points: int,
) -> BasisVectors:
    """Vectors, known to about `step`, moved to the maximum of sum w cos(2 pi r.v) over the `used` spots; distinct."""
    points = spots.rlp[used]
    amplitudes = np.zeros(len(vectors))
    subset = slice(None, None, max(len(points) // FIT_POINTS, 1))
    vectors = np.ascontiguousarray(vectors)
    fit_vectors(np.ascontiguousarray(points[subset]), weights[subset].copy(), vectors, FIT_STEPS, step, amplitudes)
    vectors, amplitudes = _distinct(vectors, amplitudes, step, min_cell)
    phases = _phases(vectors, points, weights, spots.imageset[used])
    return BasisVectors(vectors, amplitudes, phases, d_min, n_points, len(points))


def _phases(vectors: np.ndarray, points: np.ndarray, weights: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """The argument, in turns, of sum w exp(2 pi i r.v) over each set of points."""
    subset = slice(None, None, max(len(points) // FIT_POINTS, 1))
    wave = weights[subset, None] * np.exp(2j * np.pi * (points[subset] @ vectors.T))
    sums = np.array([wave[sets[subset] == number].sum(axis=0) for number in range(int(sets.max()) + 1)]).T
    return np.angle(sums) / (2 * np.pi)


def _distinct(
    vectors: Float64[np.ndarray, "n 3"], amplitudes: Float64[np.ndarray, " n"], step: float, min_cell: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of vectors within half a step of each other (or of each other's negative) only the best, best first."""
    kept: list[int] = []
    for i in np.argsort(-amplitudes, kind="stable"):
        v = vectors[i]
        if np.linalg.norm(v) < min_cell:
            continue
        others = vectors[kept]
        apart = np.minimum(np.linalg.norm(others - v, axis=1), np.linalg.norm(others + v, axis=1))
        if len(kept) == 0 or apart.min() > 0.5 * step:
            kept.append(int(i))
    return vectors[kept], amplitudes[kept]
