"""Directions over half a sphere, along which lattice vectors are searched, and the vectors found there made exact."""

import numpy as np
from jaxtyping import Float64

from puredials.errors import NoLatticeError
from puredials.indexing.fft3d import EDGE_WEIGHT, BasisVectors, fitted_basis
from puredials.indexing.reciprocal import Spots

__all__ = ["coarse_points", "finer_basis", "half_sphere"]

# A direction off by half the angle between neighbours shifts the phase of a spot by this share of a turn at most.
LARGEST_PHASE = 0.25
FEWEST, MOST_POINTS = 50, 1500


def half_sphere(step: float) -> Float64[np.ndarray, "n 3"]:
    """Directions about `step` (radians) apart over the half sphere z >= 0: rings of equal spacing."""
    rings = [np.array([[0.0, 0.0, 1.0]])]
    for theta in np.linspace(0, np.pi / 2, int(np.ceil(np.pi / 2 / step)) + 1)[1:]:
        n = max(int(np.ceil(2 * np.pi * np.sin(theta) / step)), 1)
        phi = 2 * np.pi * np.arange(n) / n
        rings.append(
            np.column_stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.full(n, np.cos(theta))])
        )
    return np.concatenate(rings)


def coarse_points(spots: Spots, step: float, longest: float) -> tuple[Float64[np.ndarray, "n 3"], float]:
    """The inner spots, whose phases directions `step` apart can tell for vectors as long as `longest`; their d_min."""
    # Half the angle between directions, over the length of the vector, is how far its end may be off.
    d_min = max(0.5 * step * longest / LARGEST_PHASE, float(1 / spots.d_star.max()))
    if (spots.d_star <= 1 / d_min).sum() < FEWEST:
        d_min = float(1 / np.sort(spots.d_star)[: FEWEST + 1][-1])
    points = spots.rlp[spots.d_star <= 1 / d_min]
    if len(points) < 6:
        raise NoLatticeError(f"Only {len(points)} spots lie within {d_min:.2f} Angstrom: too few to index.")
    return points[:: max(len(points) // MOST_POINTS, 1)], d_min


def finer_basis(vectors: Float64[np.ndarray, "n 3"], spots: Spots, d_coarse: float, min_cell: float) -> BasisVectors:
    """The vectors, coarse as the directions are, refined against spots to `d_coarse`, then to twice that resolution."""
    basis = None
    for d_min in (d_coarse, max(0.5 * d_coarse, float(1 / spots.d_star.max()))):
        used = spots.d_star <= 1 / d_min
        weights = EDGE_WEIGHT ** ((spots.d_star[used] * d_min) ** 2)
        basis = fitted_basis(
            vectors, spots, weights, used, step=0.5 * d_min, min_cell=min_cell, d_min=d_min, n_points=0
        )
        vectors = basis.vectors
    assert basis is not None
    return basis
