"""The byte layout of shoeboxes in .refl files.

A shoebox is 29 bytes of header (uint32 panel, 6 x int32 bounding box, uint8 code) and, for n pixels,
    code 0: nothing; code 1: float32 data[n], int32 mask[n], float32 background[n]; code 2: the same with uint8 mask[n];
all little-endian, without padding.
"""

import numpy as np
from numba import njit

__all__ = ["HEADER", "pack", "scan", "unpack"]

HEADER = 29


@njit(cache=True, nogil=True)
def _word(blob, at):
    value = np.uint32(blob[at]) | np.uint32(blob[at + 1]) << np.uint32(8)
    return np.uint32(value | np.uint32(blob[at + 2]) << np.uint32(16) | np.uint32(blob[at + 3]) << np.uint32(24))


@njit(cache=True, nogil=True)
def scan(blob, panel, bbox, starts, codes, offsets):
    """Read the headers of all boxes in `blob` (uint8).

    Fills panel (n,) uint32, bbox (n, 6) int32, starts (n,) int64 (where the pixels begin), codes (n,) uint8 and
    offsets (n + 1,) int64 (the running number of pixels). Returns True if the blob holds just n whole boxes.
    """
    at = 0
    offsets[0] = 0
    for i in range(len(panel)):
        if at + HEADER > len(blob):
            return False
        panel[i] = _word(blob, at)
        for k in range(6):
            bbox[i, k] = np.int32(_word(blob, at + 4 + 4 * k))
        code = blob[at + 28]
        at += HEADER
        starts[i] = at
        codes[i] = code
        count = np.int64(0)
        if code != 0:
            count = np.int64(1)
            for k in range(3):
                side = np.int64(bbox[i, 2 * k + 1]) - np.int64(bbox[i, 2 * k])
                if side < 0 or side > 1 << 20:
                    return False
                count *= side
                if count > len(blob):
                    return False
            if code == 1:
                at += 12 * count
            elif code == 2:
                at += 9 * count
            else:
                return False
        if at > len(blob):
            return False
        offsets[i + 1] = offsets[i] + count
    return at == len(blob)


@njit(cache=True, nogil=True)
def unpack(blob, starts, codes, offsets, data, mask, background):
    """Copy the pixels out: data and background are the BYTES (uint8) of float32 arrays, mask is uint8.

    Returns False if a mask value does not fit into a byte.
    """
    ok = True
    for i in range(len(starts)):
        first, count = offsets[i], offsets[i + 1] - offsets[i]
        at = starts[i]
        for k in range(4 * count):
            data[4 * first + k] = blob[at + k]
        at += 4 * count
        if codes[i] == 2:
            for k in range(count):
                mask[first + k] = blob[at + k]
            at += count
        else:
            for k in range(count):
                mask[first + k] = blob[at + 4 * k]
                ok &= blob[at + 4 * k + 1] == 0 and blob[at + 4 * k + 2] == 0 and blob[at + 4 * k + 3] == 0
            at += 4 * count
        for k in range(4 * count):
            background[4 * first + k] = blob[at + k]
    return ok


@njit(cache=True, nogil=True)
def pack(panel, bbox, offsets, data, mask, background, blob):
    """The inverse of `scan` and `unpack`, in code 1, or 0 for boxes without pixels, into `blob`.

    Its length is 29 n + 12 offsets[n]; data and background are the bytes of float32 arrays.
    """
    at = 0
    for i in range(len(panel)):
        first, count = offsets[i], offsets[i + 1] - offsets[i]
        word = np.uint32(panel[i])
        for b in range(4):
            blob[at + b] = (word >> np.uint32(8 * b)) & np.uint32(255)
        for k in range(6):
            word = np.uint32(bbox[i, k])
            for b in range(4):
                blob[at + 4 + 4 * k + b] = (word >> np.uint32(8 * b)) & np.uint32(255)
        blob[at + 28] = 1 if count > 0 else 0
        at += HEADER
        for k in range(4 * count):
            blob[at + k] = data[4 * first + k]
        at += 4 * count
        for k in range(count):
            blob[at + 4 * k] = mask[first + k]
            blob[at + 4 * k + 1] = 0
            blob[at + 4 * k + 2] = 0
            blob[at + 4 * k + 3] = 0
        at += 4 * count
        for k in range(4 * count):
            blob[at + k] = background[4 * first + k]
        at += 4 * count
    return at
