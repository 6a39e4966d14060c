"""Lattice vectors from one-dimensional Fourier transforms (Steller, Bolotovsky & Rossmann 1997, J. Appl. Cryst. 30,
1036).

Along a lattice vector v the projections of all reciprocal lattice points have the period 1 / |v|. So projections onto
directions that cover half a sphere are binned and transformed; the highest term of each direction is a vector.
"""

import numpy as np
import scipy.fft

from puredials.errors import NoLatticeError
from puredials.indexing.directions import coarse_points, finer_basis, half_sphere
from puredials.indexing.fft3d import BasisVectors
from puredials.indexing.params import Fft1d
from puredials.indexing.reciprocal import Spots

__all__ = ["find_directional_vectors"]

# Bins per period of a cell of the longest edge looked for: the transform then reaches 2.5 times that edge.
BINS_PER_PERIOD = 5
KEPT = 400


def find_directional_vectors(spots: Spots, max_cell: float, params: Fft1d, *, min_cell: float = 3.0) -> BasisVectors:
    """Vectors v with r.v near whole numbers for the spots r, between `min_cell` and 2 `max_cell` long."""
    points, d_min = coarse_points(spots, params.characteristic_grid, max_cell)
    width = 1 / (BINS_PER_PERIOD * max_cell)
    half = int(np.ceil(1 / (d_min * width))) + 1
    n = scipy.fft.next_fast_len(4 * half, real=True) or 4 * half  # twice the bins: half the spacing of the terms
    lengths = np.arange(n // 2 + 1) / (n * width)
    sought = np.flatnonzero((lengths >= min_cell) & (lengths <= 2 * max_cell))
    if len(sought) == 0:
        raise NoLatticeError(f"No cell edge lies between min_cell {min_cell:.1f} and twice max_cell {max_cell:.1f}.")
    directions = half_sphere(params.characteristic_grid)
    vectors, heights = np.empty_like(directions), np.empty(len(directions))
    for i, direction in enumerate(directions):
        bins = np.rint(points @ direction / width).astype(np.int64) + half
        wave = np.abs(np.asarray(scipy.fft.rfft(np.bincount(bins, minlength=n).astype(np.float32))))[sought]
        best = int(np.argmax(wave))
        vectors[i], heights[i] = direction * lengths[sought[best]], wave[best]
    return finer_basis(vectors[np.argsort(-heights, kind="stable")[:KEPT]], spots, d_min, min_cell)
