"""The longest cell edge to expect, from the distances between neighbouring spots in reciprocal space."""

import numpy as np
from scipy.spatial import KDTree

from puredials.errors import NoLatticeError
from puredials.indexing.params import MaxCellParams
from puredials.indexing.reciprocal import Spots

__all__ = ["estimate_max_cell", "on_ice_rings"]

# d (Angstrom) of the powder rings of hexagonal ice between 4 and 1.5 A.
ICE_RINGS = np.array([3.897, 3.669, 3.441, 2.671, 2.249, 2.072, 1.948, 1.918, 1.883, 1.721, 1.524])
ICE_WIDTH = 0.004  # 1/Angstrom^2
MIN_NEIGHBOURS = 10
SMALLEST = 1.0  # Angstrom: neighbours farther apart in reciprocal space say nothing of a cell


def on_ice_rings(d_star: np.ndarray, width: float) -> np.ndarray:
    """True for spots whose 1/d^2 is within half of `width` (1/Angstrom^2) of a ring of ice."""
    near = np.abs(d_star[:, None] ** 2 - ICE_RINGS**-2.0) < 0.5 * width
    return np.asarray(near.any(axis=1))


def estimate_max_cell(spots: Spots, params: MaxCellParams) -> float:
    """The largest cell edge, with a margin.

    The nearest neighbour of a spot is, often enough, the next lattice point along the longest axis, so that the
    reciprocals of the distances pile up at that axis' length. Neighbours are looked for among spots of the same sense
    of crossing, within a step of the rotation, so that errors of the geometry have little to spoil.
    The histogram of the lengths has bins of equal width in their logarithm; the highest bin that is at least
    `max_height_fraction` of the tallest, by counts per Angstrom, holds the longest edge.
    """
    keep = np.ones(len(spots.d_star), dtype=bool)
    if params.filter_ice:
        keep = ~on_ice_rings(spots.d_star, ICE_WIDTH)
        if keep.sum() < 0.5 * len(keep):  # so many cannot all be ice
            keep[:] = True
    step = np.floor(spots.phi / np.radians(params.step_size)).astype(np.int64)
    key = np.stack([spots.imageset, step - step.min(initial=0), spots.entering], axis=1)
    lengths = []
    for part in np.unique(key[keep], axis=0):
        points = spots.rlp[keep & (key == part).all(axis=1)]
        if len(points) > 1:
            nearest = KDTree(points).query(points, k=2)[0][:, 1]
            lengths.append(1 / nearest[nearest > 0])
    length = np.sort(np.concatenate(lengths)) if lengths else np.zeros(0)
    length = length[length > SMALLEST]
    length = length[: max(int(len(length) * params.nearest_neighbor_percentile), 1)]
    if len(length) < MIN_NEIGHBOURS:
        raise NoLatticeError(
            f"Only {len(length)} spots have neighbours: too few to estimate max_cell; find more spots, or set max_cell."
        )
    n_bins = max(int(len(length) / params.nn_per_bin), 1)
    counts, edges = np.histogram(np.log10(length), bins=n_bins)
    widths = np.diff(10**edges)
    heights = counts / widths
    highest = np.flatnonzero(heights > params.max_height_fraction * heights.max())[-1]
    return float(params.multiplier * 10 ** edges[highest + 1])
