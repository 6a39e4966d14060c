"""Mean background of shoeboxes: robust estimates of the mean of Poisson counts.

The estimator is that of Cantoni & Ronchetti (2001, J. Am. Stat. Assoc. 96, 1022) for a constant mean, as used for
diffraction by Parkhurst et al. (2016, J. Appl. Cryst. 49, 1912): mu solves

    mean_i psi(r_i) = E_mu[psi(r)],   r = (y - mu) / sqrt(mu),   psi(r) = clip(r, -c, c),

where the expectation over Poisson counts of mean mu makes it unbiased. Counts are float32, NaN where not usable.
"""

import math

import numpy as np
from numba import njit

__all__ = ["background_of_boxes", "poisson_mean"]

VALID, BACKGROUND, USED = 1, 2, 16


@njit(cache=True, nogil=True)
def _expectations(mu, c):
    """E[psi(r)] and E[psi(r) r] of Poisson counts of mean mu."""
    root = math.sqrt(mu)
    if mu > 400:  # normal, with the first term of the skewness 1 / sqrt(mu)
        tail = math.exp(-0.5 * c * c) / math.sqrt(2 * math.pi)
        return -c * tail / (3 * root) * 0.5, math.erf(c / math.sqrt(2.0))
    first, second, below = 0.0, 0.0, 0.0
    p = math.exp(-mu)
    y = 0
    while y < mu + c * root or y < mu + 8 * root + 8:
        r = (y - mu) / root
        psi = min(max(r, -c), c)
        first += p * psi
        second += p * psi * r
        below += p
        y += 1
        p *= mu / y
    return first, second


@njit(cache=True, nogil=True)
def poisson_mean(values, n, c):
    """The robust mean of values[:n], all >= 0; 0 if all are 0. c <= 0 gives the plain mean."""
    total, zeros = 0.0, 0
    for i in range(n):
        total += values[i]
        zeros += values[i] <= 0
    mean = total / n
    if mean <= 0 or c <= 0:
        return mean
    # Start from a robust value: by the share of zeros, or the median.
    mu = mean
    if zeros > 0.3 * n:
        mu = max(-math.log(zeros / n), 0.1 / n)
    elif n > 4:
        mu = max(np.median(values[:n]), 0.5)
    for _ in range(100):
        root = math.sqrt(mu)
        score = 0.0
        for i in range(n):
            score += min(max((values[i] - mu) / root, -c), c)
        expected, slope = _expectations(mu, c)
        step = root * (score / n - expected) / slope
        step = min(max(step, -0.5 * mu), 2.0 * mu)
        mu += step
        if abs(step) < 1e-3 * mu:
            break
    return mu


@njit(cache=True, nogil=True)
def background_of_boxes(
    rows, bbox, offsets, counts, mask, each_image, c, limits, min_pixels, background, used, scatter
):
    """Fill background[i, z - z0] for the boxes of `rows` from their pixels VALID and BACKGROUND, and mark these USED.

    One mean for the box, or one for each image. c: tuning constant, or c <= 0 for the plain mean of the values within
    `limits` (lower, upper) standard deviations, found repeatedly; infinite limits keep all. used[i]: number of pixels;
    where it is below min_pixels the background is NaN. scatter[i] = (variance / mean, mean square) of the residuals.
    """
    longest = 0
    for i in rows:
        longest = max(longest, offsets[i + 1] - offsets[i])
    values = np.empty(longest, np.float64)
    for i in rows:
        z0, z1 = bbox[i, 4], bbox[i, 5]
        layer = (bbox[i, 1] - bbox[i, 0]) * (bbox[i, 3] - bbox[i, 2])
        steps = z1 - z0 if each_image else 1
        length = layer if each_image else layer * (z1 - z0)
        used[i] = 0
        failed = False
        square, mean_sum = 0.0, 0.0
        for step in range(steps):
            n = 0
            low = offsets[i] + step * length
            for pixel in range(low, low + length):
                if mask[pixel] & (VALID | BACKGROUND) == VALID | BACKGROUND:
                    values[n] = counts[pixel]
                    mask[pixel] |= USED
                    n += 1
            if n < min_pixels:
                failed = True
                break
            if c <= 0 and math.isfinite(limits[0] + limits[1]):
                n = _without_outliers(values, n, limits[0], limits[1])
            level = poisson_mean(values, n, c)
            used[i] += n
            for v in range(n):
                square += (values[v] - level) ** 2
            mean_sum += level * n
            if each_image:
                background[i, step] = level
            else:
                for z in range(z1 - z0):
                    background[i, z] = level
        if failed:
            used[i] = 0
            for z in range(z1 - z0):
                background[i, z] = np.nan
            scatter[i, 0] = scatter[i, 1] = np.nan
        else:
            scatter[i, 0] = square / mean_sum if mean_sum > 0 else 1.0
            scatter[i, 1] = square / used[i]


@njit(cache=True, nogil=True)
def _without_outliers(values, n, lower, upper):
    """Move values within `lower` and `upper` standard deviations of the mean to the front; how many they are."""
    while n > 2:
        mean = values[:n].mean()
        sigma = values[:n].std()
        kept = 0
        for i in range(n):
            if -lower * sigma <= values[i] - mean <= upper * sigma:
                values[kept] = values[i]
                kept += 1
        if kept == n:
            break
        n = kept
    return n
