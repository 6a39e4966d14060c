"""Images made smaller without losing a spot: the largest valid value of each block of pixels."""

import numpy as np
from numba import njit

__all__ = ["largest_of_blocks"]


@njit(cache=True, nogil=True)
def largest_of_blocks(values, usable, low, high, least, size, largest, known):
    """The largest valid value of each block of `size` x `size` pixels; blocks at the far edges may be smaller.

    With valid = usable & (low <= values <= high) and some = usable & ~isnan(values), of the pixels of each block:
    largest = max(values[valid]) if any is valid, else max(values[some]) if there are any, else 0; known = any(some)

    `values` and `usable` are (slow, fast), as are `largest` and `known`, of ceil(length / size) items along each axis;
    `low`, `high` and `least`, which no value is below, are of the type of `values`: comparisons are then made of many
    pixels at once.
    """
    ny, nx = values.shape
    top, valid = np.empty(nx, values.dtype), np.empty(nx, np.uint8)
    for j in range(largest.shape[0]):
        first, last = j * size, min((j + 1) * size, ny)
        top[:] = least
        valid[:] = 0
        for y in range(first, last):
            row, use = values[y], usable[y]
            for x in range(nx):
                good = use[x] & (low <= row[x]) & (row[x] <= high)
                valid[x] |= good
                top[x] = max(top[x], row[x] if good else least)
        for i in range(largest.shape[1]):
            best, found = least, False
            for x in range(i * size, min((i + 1) * size, nx)):
                if valid[x]:
                    best, found = max(best, top[x]), True
            if not found:
                for y in range(first, last):
                    for x in range(i * size, min((i + 1) * size, nx)):
                        v = values[y, x]
                        if usable[y, x] and v == v:
                            best, found = max(best, v), True
            known[j, i] = found
            largest[j, i] = best if found else 0
