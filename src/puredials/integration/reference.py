"""Which predicted reflections are the strong spots that were found."""

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

from puredials.model import Flags, ReflectionTable

__all__ = ["good_references", "match"]


def good_references(table: ReflectionTable) -> Bool[np.ndarray, " n"]:
    """Indexed spots that refinement used; all indexed ones if none was refined."""
    indexed = table.has(Flags.INDEXED) & np.any(table["miller_index"] != 0, axis=1)
    used = indexed & table.has(Flags.USED_IN_REFINEMENT)
    return used if used.any() else indexed


def match(
    index: Integer[np.ndarray, "n 3"],
    entering: Bool[np.ndarray, " n"],
    z: Float64[np.ndarray, " n"],
    to_index: Integer[np.ndarray, "m 3"],
    to_entering: Bool[np.ndarray, " m"],
    to_z: Float64[np.ndarray, " m"],
    tolerance: float,
) -> Int64[np.ndarray, " n"]:
    """The number of the reflection with the same index and sense that is nearest in z (images), -1 if none is near."""
    if len(index) == 0 or len(to_index) == 0:
        return np.full(len(index), -1)
    low = np.minimum(index.min(axis=0), to_index.min(axis=0)).astype(np.int64)
    size = np.maximum(index.max(axis=0), to_index.max(axis=0)) - low + 1

    def keys(h, sense):
        return np.ravel_multi_index(tuple((h - low).T), tuple(size)) * 2 + sense

    wanted, known = keys(index, entering), keys(to_index, to_entering)
    order = np.lexsort((to_z, known))
    known = known[order]
    left, right = np.searchsorted(known, wanted, "left"), np.searchsorted(known, wanted, "right")
    best, distance = np.full(len(index), -1), np.full(len(index), tolerance)
    for turn in range(int((right - left).max())):
        at = np.minimum(left + turn, len(order) - 1)
        gap = np.abs(to_z[order[at]] - z)
        nearer = (left + turn < right) & (gap < distance)
        best[nearer], distance[nearer] = order[at[nearer]], gap[nearer]
    return best
