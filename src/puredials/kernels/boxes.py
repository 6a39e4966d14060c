"""Pixels around reflections: cutting them out of images, marking them, and background and sum.

A reflection i has a box bbox[i] = (x0, x1, y0, y1, z0, z1), half-open, within its panel and the scan; its pixels are
counts[offsets[i]:offsets[i + 1]] in C order (z, y, x): float32 photons, NaN where not usable, inf where overloaded.
Near its centre[i] = (x, y, z) (px, px, images) positions in the frame of Kabsch (2010, Acta D66, 133), in units of the
standard deviations of the profile, are linear: with jacobian[i] = (a, b, c, d) and drift[i],

    e1 = a dx + b dy;  e2 = c dx + d dy;  e3 = drift dz.

A pixel is foreground if the nearest of its four corners has e1^2 + e2^2 <= radius^2, on every image of the box.
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
    """
    for row in rows:
        x0, x1, y0, y1, z0 = bbox[row, 0], bbox[row, 1], bbox[row, 2], bbox[row, 3], bbox[row, 4]
        at = offsets[row] + (z - z0) * (y1 - y0) * (x1 - x0)
        for y in range(y0, y1):
            for x in range(x0, x1):
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
def _nearest_corner(jac, x, y):
    """Square of the smallest distance (e1, e2) of the corners of the pixel whose lower corner is (x, y) from centre."""
    best = np.inf
    for dy in range(2):
        for dx in range(2):
            u = jac[0] * (x + dx) + jac[1] * (y + dy)
            v = jac[2] * (x + dx) + jac[3] * (y + dy)
            best = min(best, u * u + v * v)
    return best


@njit(cache=True, nogil=True)
def _distance(jac, drift, x, y, z):
    u, v, w = jac[0] * x + jac[1] * y, jac[2] * x + jac[3] * y, drift * z
    return u * u + v * v + w * w


@njit(cache=True, nogil=True)
def mark_boxes(rows, bbox, offsets, centre, jacobian, drift, radius, first, partner, counts, mask):
    """Set the `mask` of the boxes of `rows`.

    VALID where counts are finite; FOREGROUND in the disc of the reflection, else BACKGROUND. Of the partners (CSR, see
    `neighbours`) those whose disc covers a pixel take it from the background, and make it OVERLAPPED if it is
    foreground and nearer, in (e1, e2, e3), to the centre of the partner.
    """
    limit = radius * radius
    for at in range(len(rows)):
        i = rows[at]
        x0, x1, y0, y1, z0, z1 = bbox[i, 0], bbox[i, 1], bbox[i, 2], bbox[i, 3], bbox[i, 4], bbox[i, 5]
        nx, layer = x1 - x0, (x1 - x0) * (y1 - y0)
        own = jacobian[i]
        for y in range(y0, y1):
            for x in range(x0, x1):
                kind = BACKGROUND
                if _nearest_corner(own, x - centre[i, 0], y - centre[i, 1]) <= limit:
                    kind = FOREGROUND
                pixel = offsets[i] + (y - y0) * nx + (x - x0)
                for _ in range(z0, z1):
                    mask[pixel] = kind | VALID if math.isfinite(counts[pixel]) else kind
                    pixel += layer
        for p in range(first[at], first[at + 1]):
            j = partner[p]
            other = jacobian[j]
            low, high = max(z0, bbox[j, 4]), min(z1, bbox[j, 5])
            for y in range(y0, y1):
                for x in range(x0, x1):
                    if _nearest_corner(other, x - centre[j, 0], y - centre[j, 1]) > limit:
                        continue
                    for z in range(low, high):
                        pixel = offsets[i] + (z - z0) * layer + (y - y0) * nx + (x - x0)
                        if mask[pixel] & BACKGROUND:
                            mask[pixel] = (mask[pixel] & ~BACKGROUND) | OVERLAPPED
                        elif mask[pixel] & FOREGROUND:
                            px, py, pz = x + 0.5, y + 0.5, z + 0.5
                            here = _distance(own, drift[i], px - centre[i, 0], py - centre[i, 1], pz - centre[i, 2])
                            there = _distance(other, drift[j], px - centre[j, 0], py - centre[j, 1], pz - centre[j, 2])
                            if there < here:
                                mask[pixel] |= OVERLAPPED


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
