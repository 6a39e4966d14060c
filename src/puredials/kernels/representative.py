"""One representative for each set of symmetry-equivalent Miller indices."""

import numpy as np
from numba import njit

__all__ = ["representatives"]


@njit(cache=True, nogil=True)
def representatives(hkl, rotations, key, plus):
    """Fill key (n,) int64 and plus (n,) bool for hkl (n, 3) int32 and rotations (m, 3, 3) int32 (h' = h R).

    The representative is the greatest of all h R and -h R in lexicographic order, packed into one integer of 21 bits
    an index: ``key = (h + 2**20) << 42 | (k + 2**20) << 21 | (l + 2**20)``. `plus` is True where some h R is it, and
    False where only a Friedel mate -h R is.
    """
    middle = np.int64(1 << 20)
    for i in range(len(hkl)):
        h, k, l = np.int64(hkl[i, 0]), np.int64(hkl[i, 1]), np.int64(hkl[i, 2])  # noqa: E741
        best = np.int64(-1)
        positive = False
        for m in range(len(rotations)):
            x = h * rotations[m, 0, 0] + k * rotations[m, 1, 0] + l * rotations[m, 2, 0]
            y = h * rotations[m, 0, 1] + k * rotations[m, 1, 1] + l * rotations[m, 2, 1]
            z = h * rotations[m, 0, 2] + k * rotations[m, 1, 2] + l * rotations[m, 2, 2]
            one = (x + middle) << 42 | (y + middle) << 21 | (z + middle)
            mate = (middle - x) << 42 | (middle - y) << 21 | (middle - z)
            if one > best or (one == best and not positive):
                best, positive = one, True
            if mate > best:
                best, positive = mate, False
        key[i] = best
        plus[i] = positive
