"""Pixels around reflections: cutting them out of images, marking them, and background and sum.

A reflection i has a box bbox[i] = (x0, x1, y0, y1, z0, z1), half-open, within the scan, though x and y may lie beyond
its panel; its pixels are counts[offsets[i]:offsets[i + 1]] in C order (z, y, x): float32 photons, NaN where not
usable, inf where overloaded.
Near its centre[i] = (x, y, z) (px, px, images) positions in the frame of Kabsch (2010, Acta D66, 133), in units of the
standard deviations of the profile, are linear: with jacobian[i] = (a, b, c, d), slide[i] = (f, g) and drift[i],

    dx = x - centre x - f dz;  dy = y - centre y - g dz;  e1 = a dx + b dy;  e2 = c dx + d dy;  e3 = drift dz.

A pixel is foreground on an image if the nearest of its four corners has e1^2 + e2^2 <= radius^2, with dz to the middle
of the image.
"""

import math

import numpy as np
from numba import njit

__all__ = ["cut_boxes", "mark_boxes", "neighbours", "sum_boxes"]

VALID, BACKGROUND, FOREGROUND, USED, OVERLAPPED = 1, 2, 4, 16, 32


@njit(cache=True, nogil=True)
def cut_boxes(image, usable, low, high, pedestal, gain, rows, bbox, offsets, z, counts):
    """Copy the pixels of one panel's `image` z into the boxes of `rows`:

    counts = where(usable & image >= low, where(image > high, inf, (image - pedestal) / gain), nan)

    and nan beyond the edges of the image.
    """
    ny, nx = image.shape
    for row in rows:
        x0, x1, y0, y1, z0 = bbox[row, 0], bbox[row, 1], bbox[row, 2], bbox[row, 3], bbox[row, 4]
        at = offsets[row] + (z - z0) * (y1 - y0) * (x1 - x0)
        for y in range(y0, y1):
            for x in range(x0, x1):
                if x < 0 or y < 0 or x >= nx or y >= ny:
                    counts[at] = np.nan
                    at += 1
                    continue
                value = image[y, x]
                if not usable[y, x] or not value >= low:
                    counts[at] = np.nan
                elif value > high:
                    counts[at] = np.inf
                else:
                    counts[at] = (value - pedestal) / gain
                at += 1


@njit(cache=True, nogil=True)
def neighbours(rows, bbox, reach, cell, starts, order, shape, first, partner):
    """For each of `rows` the reflections whose foreground rectangle reach[j] = (x0, x1, y0, y1) meets its box.

    Reflections are listed by square cells of `cell` pixels: those in cell (panel, cy, cx) of an array of `shape` are
    order[starts[c]:starts[c + 1]], and no rectangle is larger than a cell. Fills the CSR arrays first (n + 1,) and
    partner, and returns their number, which may be more than fit.
    """
    found = 0
    for at in range(len(rows)):
        first[at] = found
        i = rows[at, 0]
        panel = rows[at, 1]
        cx0, cx1 = max(bbox[i, 0] // cell - 1, 0), min(bbox[i, 1] // cell + 1, shape[1] - 1)
        cy0, cy1 = max(bbox[i, 2] // cell - 1, 0), min(bbox[i, 3] // cell + 1, shape[0] - 1)
        for cy in range(cy0, cy1 + 1):
            for cx in range(cx0, cx1 + 1):
                c = (panel * shape[0] + cy) * shape[1] + cx
                for s in range(starts[c], starts[c + 1]):
                    j = order[s]
                    if (
                        j != i
                        and bbox[j, 4] < bbox[i, 5]
                        and bbox[i, 4] < bbox[j, 5]
                        and reach[j, 0] < bbox[i, 1]
                        and bbox[i, 0] < reach[j, 1]
                        and reach[j, 2] < bbox[i, 3]
                        and bbox[i, 2] < reach[j, 3]
                    ):
                        if found < len(partner):
                            partner[found] = j
                        found += 1
    first[len(rows)] = found
    return found


@njit(cache=True, nogil=True)
def _inside(jac, x, y, radius, half_diagonal):
    """True if a corner of the pixel with its centre (x, y) px from the reflection's is within the radius."""
    u, v = jac[0] * x + jac[1] * y, jac[2] * x + jac[3] * y
    square = u * u + v * v
    if square > (radius + half_diagonal) ** 2:
        return False
    if square <= radius * radius:
        return True
    for corner in range(4):
        dx, dy = (corner & 1) - 0.5, (corner >> 1) - 0.5
        a, b = u + jac[0] * dx + jac[1] * dy, v + jac[2] * dx + jac[3] * dy
        if a * a + b * b <= radius * radius:
            return True
    return False


@njit(cache=True, nogil=True)
def _half_diagonal(jac):
    """A bound of the distance from the centre of a pixel to its corners, in standard deviations."""
    return 0.5 * (math.hypot(jac[0], jac[2]) + math.hypot(jac[1], jac[3]))


@njit(cache=True, nogil=True)
def _distance(jac, drift, x, y, z):
    u, v, w = jac[0] * x + jac[1] * y, jac[2] * x + jac[3] * y, drift * z
    return u * u + v * v + w * w


@njit(cache=True, nogil=True)
def mark_boxes(rows, bbox, offsets, centre, jacobian, slide, drift, radius, first, partner, counts, mask):
    """Set the `mask` of the boxes of `rows`.

    VALID where counts are finite; FOREGROUND in the disc of the reflection, else BACKGROUND. Of the partners (CSR, see
    `neighbours`) those whose disc covers a pixel take it from the background, and make it OVERLAPPED if it is
    foreground and nearer, in (e1, e2, e3), to the centre of the partner.
    """
    for at in range(len(rows)):
        i = rows[at]
        x0, x1, y0, y1, z0, z1 = bbox[i, 0], bbox[i, 1], bbox[i, 2], bbox[i, 3], bbox[i, 4], bbox[i, 5]
        nx, layer = x1 - x0, (x1 - x0) * (y1 - y0)
        own, reach = jacobian[i], _half_diagonal(jacobian[i])
        pixel = offsets[i]
        for z in range(z0, z1):
            cx = centre[i, 0] + slide[i, 0] * (z + 0.5 - centre[i, 2]) - 0.5
            cy = centre[i, 1] + slide[i, 1] * (z + 0.5 - centre[i, 2]) - 0.5
            for y in range(y0, y1):
                for x in range(x0, x1):
                    kind = FOREGROUND if _inside(own, x - cx, y - cy, radius, reach) else BACKGROUND
                    mask[pixel] = kind | VALID if math.isfinite(counts[pixel]) else kind
                    pixel += 1
        for p in range(first[at], first[at + 1]):
            j = partner[p]
            other, reach = jacobian[j], _half_diagonal(jacobian[j])
            for z in range(max(z0, bbox[j, 4]), min(z1, bbox[j, 5])):
                di, dj = z + 0.5 - centre[i, 2], z + 0.5 - centre[j, 2]
                cx, cy = centre[i, 0] + slide[i, 0] * di - 0.5, centre[i, 1] + slide[i, 1] * di - 0.5
                ox, oy = centre[j, 0] + slide[j, 0] * dj - 0.5, centre[j, 1] + slide[j, 1] * dj - 0.5
                pixel = offsets[i] + (z - z0) * layer
                for y in range(y0, y1):
                    for x in range(x0, x1):
                        if _inside(other, x - ox, y - oy, radius, reach):
                            at_pixel = pixel + (y - y0) * nx + (x - x0)
                            if mask[at_pixel] & BACKGROUND:
                                mask[at_pixel] = (mask[at_pixel] & ~BACKGROUND) | OVERLAPPED
                            elif mask[at_pixel] & FOREGROUND:
                                here = _distance(own, drift[i], x - cx, y - cy, di)
                                if _distance(other, drift[j], x - ox, y - oy, dj) < here:
                                    mask[at_pixel] |= OVERLAPPED


@njit(cache=True, nogil=True)
def sum_boxes(rows, bbox, offsets, background, counts, mask, intensity, under, centroid, spread, pixels):
    """Sums over the foreground of the boxes of `rows`, with the `background` (n, images of the deepest box) a pixel.

    intensity[i] = sum (counts - background); under[i] = sum background; centroid and spread: mean and variance of the
    mean of pixel centres weighted by counts - background, NaN if the sum is not positive. pixels[i] counts: valid,
    background, foreground, valid foreground, overlapped foreground, overloaded, invalid background.
    """
    for i in rows:
        x0, x1, y0, y1, z0, z1 = bbox[i, 0], bbox[i, 1], bbox[i, 2], bbox[i, 3], bbox[i, 4], bbox[i, 5]
        total, below = 0.0, 0.0
        first, second = np.zeros(3), np.zeros(3)
        number = np.zeros(7, np.int64)
        pixel = offsets[i]
        at = np.empty(3)
        for z in range(z0, z1):
            level = background[i, z - z0]
            for y in range(y0, y1):
                for x in range(x0, x1):
                    m, c = mask[pixel], counts[pixel]
                    valid = m & VALID
                    pixel += 1
                    number[0] += valid
                    number[5] += math.isinf(c)
                    if not m & FOREGROUND:
                        number[1] += (m & (BACKGROUND | VALID)) == BACKGROUND | VALID
                        number[6] += not valid
                        continue
                    number[2] += 1
                    number[4] += (m & OVERLAPPED) != 0
                    if valid:
                        number[3] += 1
                        w = c - level
                        total += w
                        below += level
                        at[0], at[1], at[2] = x + 0.5, y + 0.5, z + 0.5
                        for k in range(3):
                            first[k] += w * at[k]
                            second[k] += w * at[k] * at[k]
        intensity[i], under[i] = total, below
        pixels[i] = number
        for k in range(3):
            if total > 0:
                mean = first[k] / total
                centroid[i, k] = mean
                # The weighted standard error of the mean, and that of a position within a pixel.
                spread[i, k] = max(second[k] / total - mean * mean, 0.0) / max(total, 1.0) + 1 / 12
            else:
                centroid[i, k], spread[i, k] = np.nan, np.nan
