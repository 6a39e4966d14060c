"""Lattice vectors from one-dimensional Fourier transforms (Steller, Bolotovsky & Rossmann 1997, J. Appl. Cryst. 30,
1036).

Along a lattice vector v the projections of all reciprocal lattice points have the period 1 / |v|. So projections onto
directions that cover half a sphere are binned and transformed; the highest term of each direction is a vector.
"""

import numpy as np
import scipy.fft
from jaxtyping import Float64

from puredials.errors import NoLatticeError
from puredials.indexing.fft3d import EDGE_WEIGHT, BasisVectors, fitted_basis
from puredials.indexing.params import Fft1d
from puredials.indexing.reciprocal import Spots

__all__ = ["find_directional_vectors"]

# Bins per period of a cell of the longest edge looked for: the transform then reaches 2.5 times that edge.
BINS_PER_PERIOD = 5
# A direction off by half the angle between neighbours shifts the phase of a spot by this share of a turn at most.
LARGEST_PHASE = 0.25
FEWEST, MOST_POINTS = 50, 1500
KEPT = 400


def find_directional_vectors(spots: Spots, max_cell: float, params: Fft1d, *, min_cell: float = 3.0) -> BasisVectors:
    """Vectors v with r.v near whole numbers for the spots r, between `min_cell` and 2 `max_cell` long.

    The directions are coarse, and so is what they are searched with: spots to twice that resolution refine the vectors.
    """
    vectors, d_coarse = _directional(spots, max_cell, params, min_cell)
    for d_min in (d_coarse, max(0.5 * d_coarse, float(1 / spots.d_star.max()))):
        used = spots.d_star <= 1 / d_min
        weights = EDGE_WEIGHT ** ((spots.d_star[used] * d_min) ** 2)
        basis = fitted_basis(
            vectors, spots, weights, used, step=0.5 * d_min, min_cell=min_cell, d_min=d_min, n_points=0
        )
        vectors = basis.vectors
    return basis


def _directional(
    spots: Spots, max_cell: float, params: Fft1d, min_cell: float
) -> tuple[Float64[np.ndarray, "n 3"], float]:
    """The highest terms between `min_cell` and 2 `max_cell`, the best first, and the resolution of the spots used."""
    step = params.characteristic_grid
    # Half the angle between directions, over the length of max_cell, is how far the end of a vector may be off.
    d_min = max(0.5 * step * max_cell / LARGEST_PHASE, float(1 / spots.d_star.max()))
    if (spots.d_star <= 1 / d_min).sum() < FEWEST:
        d_min = float(1 / np.sort(spots.d_star)[: FEWEST + 1][-1])
    points = spots.rlp[spots.d_star <= 1 / d_min]
    if len(points) < 6:
        raise NoLatticeError(f"Only {len(points)} spots lie within {d_min:.2f} Angstrom: too few to index.")
    points = points[:: max(len(points) // MOST_POINTS, 1)]
    width = 1 / (BINS_PER_PERIOD * max_cell)
    half = int(np.ceil(1 / (d_min * width))) + 1
    n = scipy.fft.next_fast_len(4 * half, real=True) or 4 * half  # twice the bins: half the spacing of the terms
    lengths = np.arange(n // 2 + 1) / (n * width)
    sought = np.flatnonzero((lengths >= min_cell) & (lengths <= 2 * max_cell))
    if len(sought) == 0:
        raise NoLatticeError(f"No cell edge lies between min_cell {min_cell:.1f} and twice max_cell {max_cell:.1f}.")
    directions = _half_sphere(step)
    vectors, heights = np.empty_like(directions), np.empty(len(directions))
    for i, direction in enumerate(directions):
        bins = np.rint(points @ direction / width).astype(np.int64) + half
        wave = np.abs(np.asarray(scipy.fft.rfft(np.bincount(bins, minlength=n).astype(np.float32))))[sought]
        best = int(np.argmax(wave))
        vectors[i], heights[i] = direction * lengths[sought[best]], wave[best]
    return vectors[np.argsort(-heights, kind="stable")[:KEPT]], d_min


def _half_sphere(step: float) -> Float64[np.ndarray, "n 3"]:
    """Directions about `step` (radians) apart over the half sphere z >= 0: rings of equal spacing."""
    rings = [np.array([[0.0, 0.0, 1.0]])]
    for theta in np.linspace(0, np.pi / 2, int(np.ceil(np.pi / 2 / step)) + 1)[1:]:
        n = max(int(np.ceil(2 * np.pi * np.sin(theta) / step)), 1)
        phi = 2 * np.pi * np.arange(n) / n
        rings.append(
            np.column_stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.full(n, np.cos(theta))])
        )
    return np.concatenate(rings)
