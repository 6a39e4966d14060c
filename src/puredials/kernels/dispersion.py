"""Strong pixels of one image from the index of dispersion of their surroundings (Winter et al. 2013, J. Appl. Cryst.
46, 1260: local variance over local mean of counts, which Poisson statistics keep at 1).

Images are (slow, fast); `values` float32 photons, 0 where invalid; `valid`, `flags`, `region` uint8, 0 or 1.
A window of half-sizes (kx, ky) spans 2 kx + 1 by 2 ky + 1 pixels and is clipped at the edges of the image.
"""

import math

import numpy as np
from numba import njit

__all__ = ["dispersed", "erode", "strong_pixels", "valid_pixels", "window_moments"]


@njit(cache=True, nogil=True)
def valid_pixels(raw, usable, low, high, pedestal, gain, values, valid):
    """Photons and validity of raw counts:

    valid = usable & (low <= raw) & (raw <= high); values = where(valid, (raw - pedestal) / gain, 0)
    """
    plain = pedestal == 0.0 and gain == 1.0
    for j in range(raw.shape[0]):
        row, use, out, ok = raw[j], usable[j], values[j], valid[j]
        if plain:
            for i in range(row.shape[0]):
                good = use[i] and low <= row[i] and row[i] <= high
                ok[i] = good
                out[i] = row[i] if good else 0
        else:
            for i in range(row.shape[0]):
                good = use[i] and low <= row[i] and row[i] <= high
                ok[i] = good
                out[i] = (row[i] - pedestal) / gain if good else 0.0


@njit(cache=True, nogil=True)
def _slide_columns(values, valid, entering, leaving, count, total, squares):
    """Move the sums over columns down by one row: add row `entering`, take away row `leaving`."""
    n = values.shape[1]
    if entering < values.shape[0]:
        new, ok = values[entering], valid[entering]
        for i in range(n):
            v = np.float64(new[i])
            count[i] += ok[i]
            total[i] += v
            squares[i] += v * v
    if leaving >= 0:
        old, ok = values[leaving], valid[leaving]
        for i in range(n):
            v = np.float64(old[i])
            count[i] -= ok[i]
            total[i] -= v
            squares[i] -= v * v


@njit(cache=True, nogil=True)
def dispersed(values, valid, kx, ky, sigma_background, min_local, gain, flags):
    """Flag pixels whose window is more dispersed than background; invalid pixels are flagged, too.

    With the count m, sum x and sum of squares y over the valid pixels of the window,
    flags = ~valid | (m >= min_local) & (x >= 0) & (m y - x^2 > g x (m - 1 + sigma_background sqrt(2 (m - 1))))

    Sums slide in double precision: exact for whole counts below 2^24.
    """
    ny, nx = values.shape
    width = 2 * kx + 1
    # Sums over columns, with kx columns of zeros on either side.
    count, total, squares = np.zeros(nx + 2 * kx, np.int32), np.zeros(nx + 2 * kx), np.zeros(nx + 2 * kx)
    inner = slice(kx, kx + nx)
    limits = np.full(width * (2 * ky + 1) + 1, np.inf)
    for n in range(min_local, limits.shape[0]):
        limits[n] = gain * (n - 1 + sigma_background * math.sqrt(2.0 * (n - 1)))
    for j in range(ky):
        _slide_columns(values, valid, j, -1, count[inner], total[inner], squares[inner])
    for j in range(ny):
        _slide_columns(values, valid, j + ky, j - ky - 1, count[inner], total[inner], squares[inner])
        m, x, y = 0, 0.0, 0.0
        for i in range(width - 1):
            m += count[i]
            x += total[i]
            y += squares[i]
        next_count, next_total, next_squares = count[width - 1 :], total[width - 1 :], squares[width - 1 :]
        out, ok = flags[j], valid[j]
        for i in range(nx):
            m += next_count[i]
            x += next_total[i]
            y += next_squares[i]
            high = (x >= 0) & (m * y - x * x > x * limits[m])
            out[i] = high | (ok[i] ^ 1)
            m -= count[i]
            x -= total[i]
            y -= squares[i]


@njit(cache=True, nogil=True)
def window_moments(values, valid, kx, ky, mean, variance):
    """Mean and variance (with m - 1) of the valid pixels of each window; 0 where there are none, or is but one.

    mean = x / m; variance = (y - x^2 / m) / (m - 1), with m, x and y as in `dispersed`
    """
    ny, nx = values.shape
    width = 2 * kx + 1
    count, total, squares = np.zeros(nx + 2 * kx, np.int32), np.zeros(nx + 2 * kx), np.zeros(nx + 2 * kx)
    inner = slice(kx, kx + nx)
    for j in range(ky):
        _slide_columns(values, valid, j, -1, count[inner], total[inner], squares[inner])
    for j in range(ny):
        _slide_columns(values, valid, j + ky, j - ky - 1, count[inner], total[inner], squares[inner])
        m, x, y = 0, 0.0, 0.0
        for i in range(width - 1):
            m += count[i]
            x += total[i]
            y += squares[i]
        for i in range(nx):
            m += count[i + width - 1]
            x += total[i + width - 1]
            y += squares[i + width - 1]
            mean[j, i] = x / m if m > 0 else 0.0
            variance[j, i] = max(y - x * x / m, 0.0) / (m - 1) if m > 1 else 0.0
            m -= count[i]
            x -= total[i]
            y -= squares[i]


@njit(cache=True, nogil=True)
def erode(flags, radius, scratch, region):
    """Pixels all of whose neighbours up to `radius` away (Chebyshev distance; within the image) are flagged:

    region[j, i] = flags[max(j - r, 0) : j + r + 1, max(i - r, 0) : i + r + 1].all()
    """
    ny, nx = flags.shape
    for j in range(ny):
        row, out = flags[j], scratch[j]
        for i in range(nx):
            out[i] = row[i]
        for d in range(1, radius + 1):
            ahead, behind = row[d:], out[d:]
            for i in range(nx - d):
                out[i] &= ahead[i]
            for i in range(nx - d):
                behind[i] &= row[i]
    for j in range(ny):
        out = region[j]
        for i in range(nx):
            out[i] = 1
        for k in range(max(j - radius, 0), min(j + radius + 1, ny)):
            row = scratch[k]
            for i in range(nx):
                out[i] &= row[i]


@njit(cache=True, nogil=True)
def strong_pixels(values, candidates, background, kx, ky, sigma_strong, threshold, gain, strict, index):
    """Write the flat indices of candidates that rise above the mean of the background pixels around them.

    With the mean b over the background pixels of the window (0 if fewer than 2),
    strong = candidates & (values > threshold) & (values >= b + sigma_strong sqrt(g b)), or > if `strict`.
    Returns their number; stops when `index` is full. Sums slide along runs of candidates, which are short.
    """
    ny, nx = values.shape
    sums, counts = np.zeros(nx), np.zeros(nx, np.int32)
    found = 0
    for j in range(ny):
        row, here = values[j], candidates[j]
        any_here = np.uint8(0)
        for i in range(nx):
            any_here |= here[i]
        if not any_here:
            continue
        top, bottom = max(j - ky, 0), min(j + ky + 1, ny)
        i = 0
        while i < nx:
            if not here[i]:
                i += 1
                continue
            end = i
            while end < nx and here[end]:
                end += 1
            left, right = max(i - kx, 0), min(end + kx, nx)
            sums[left:right] = 0.0
            counts[left:right] = 0
            for k in range(top, bottom):
                for c in range(left, right):
                    if background[k, c]:
                        sums[c] += values[k, c]
                        counts[c] += 1
            total, count = 0.0, 0
            for c in range(left, min(i + kx, nx)):
                total += sums[c]
                count += counts[c]
            for c in range(i, end):
                if c + kx < nx:
                    total += sums[c + kx]
                    count += counts[c + kx]
                if c - kx - 1 >= left:
                    total -= sums[c - kx - 1]
                    count -= counts[c - kx - 1]
                mean = total / count if count >= 2 and total > 0 else 0.0
                limit = mean + sigma_strong * math.sqrt(gain * mean)
                if row[c] > threshold and (row[c] > limit or (row[c] == limit and not strict)):
                    if found == index.shape[0]:
                        return found
                    index[found] = j * nx + c
                    found += 1
            i = end
    return found
