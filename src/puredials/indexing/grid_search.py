"""Lattice vectors of known lengths, in all directions (Gildea et al. 2014, Acta Cryst. D70, 2652).

For each length of an edge of the known primitive cell and each direction of a grid over half a sphere the score of the
vector v is sum cos(2 pi r.v) over the spots r: the number of spots, if v is a vector of the lattice. So few spots of a
narrow wedge, or the spots of one among many crystals, are enough.
"""

from collections.abc import Sequence

import gemmi
import numpy as np
from jaxtyping import Float64

from puredials.indexing.directions import coarse_points, finer_basis, half_sphere
from puredials.indexing.fft3d import BasisVectors
from puredials.indexing.params import GridSearch
from puredials.indexing.reciprocal import Spots

__all__ = ["find_vectors_of_lengths"]

SAME_LENGTH = 0.01  # relative
BLOCK = 512  # directions at a time: the block of phases stays in the cache


def find_vectors_of_lengths(
    spots: Spots, cells: Sequence[gemmi.UnitCell], params: GridSearch, *, min_cell: float = 3.0
) -> BasisVectors:
    """The vectors that fit best, up to `params.max_vectors`, with the lengths of the edges of primitive `cells`."""
    lengths = _distinct_lengths(np.array([edge for cell in cells for edge in cell.parameters[:3]]))
    points, d_min = coarse_points(spots, params.characteristic_grid, float(lengths.max()))
    directions = half_sphere(params.characteristic_grid)
    vectors, scores = [], []
    for length in lengths:
        score = _scores(points, directions, length)
        # The peak about a vector is as wide as the directions in which the outermost of the spots keep their phases.
        best = _peaks(directions, score, 0.5 * d_min / length, params.max_vectors)
        vectors.append(directions[best] * length)
        scores.append(score[best])
    order = np.argsort(-np.concatenate(scores), kind="stable")[: params.max_vectors]
    return finer_basis(np.concatenate(vectors)[order], spots, d_min, min_cell)


def _distinct_lengths(lengths: Float64[np.ndarray, " m"]) -> Float64[np.ndarray, " n"]:
    kept: list[float] = []
    for length in np.sort(lengths):
        if not kept or length > kept[-1] * (1 + SAME_LENGTH):
            kept.append(float(length))
    return np.array(kept)


def _scores(points: np.ndarray, directions: np.ndarray, length: float) -> Float64[np.ndarray, " n"]:
    """sum cos(2 pi r.v) over the points r for v = length * direction."""
    waves = (2 * np.pi * length * points.T).astype(np.float32)
    blocks = range(0, len(directions), BLOCK)
    score = [np.cos(directions[i : i + BLOCK].astype(np.float32) @ waves).sum(axis=1) for i in blocks]
    return np.concatenate(score).astype(np.float64)


def _peaks(directions: np.ndarray, score: np.ndarray, width: float, most: int) -> list[int]:
    """Numbers of the highest directions, none within `width` (radians) of a better one or of its opposite."""
    kept: list[int] = []
    free = np.ones(len(score), dtype=bool)
    for i in np.argsort(-score, kind="stable"):
        if len(kept) == most:
            break
        if free[i]:
            kept.append(int(i))
            free &= np.abs(directions @ directions[i]) < np.cos(width)
    return kept
