"""Decoding of CBF byte-offset compression."""

import numpy as np
from numba import njit

__all__ = ["decode_byte_offset"]


@njit(cache=True, nogil=True, boundscheck=False)
def decode_byte_offset(source, target):
    """Decode bytes (uint8) into all elements of `target` (int32, one dimension); True if the bytes suffice.

    In plain words: target = cumsum(deltas); a delta is a signed byte, or -128 and then two bytes, or these -32768 and
    then four, or these -2^31 and then eight, all little-endian (International Tables G, 5.6.3.2).
    """
    i, n = 0, source.size
    value = np.int64(0)
    for o in range(target.size):
        if i >= n:
            return False
        delta = np.int64(np.int8(source[i]))
        i += 1
        if delta == -128:
            for width in (2, 4, 8):
                if i + width > n:
                    return False
                word = np.uint64(0)
                for k in range(width):
                    word |= np.uint64(source[i + k]) << np.uint64(8 * k)
                i += width
                shift = np.int64(64 - 8 * width)
                delta = (np.int64(word) << shift) >> shift
                if width == 8 or delta != -(np.int64(1) << np.int64(8 * width - 1)):
                    break
        value += delta
        target[o] = value
    return True
