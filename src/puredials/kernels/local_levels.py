"""Means of Poisson counts that those of their neighbours make more certain.

The level[i], a mean of pixels[i] counts at places[i], has the variance v = m / pixels[i], where m is what its
neighbours let one expect: the value at places[i] of the plane fitted to them by least squares with the weights
pixels[j], without those that lie far off (Cleveland 1979, J. Am. Stat. Assoc. 74, 829). By how much more than counts
scatter the neighbours differ from their plane tells the variance of levels about such expectations. Then

    best = m + (level - m) t / (t + v),   variance = v t / (t + v),   t = this variance + that of m

are the level's mean and variance given both (Efron & Morris 1973, J. Am. Stat. Assoc. 68, 117).
"""

import math

import numpy as np
from numba import njit

__all__ = ["local_levels"]

# Neighbours lose influence with their distance from the plane, and have none at so many median distances (Cleveland's
# number; four standard deviations).
FAR = 6.0
# A level so many standard deviations off what its neighbours let one expect is not one of their kind, and stays.
ALIEN = 3.0
# The median distance from the mean of a normal distribution, in standard deviations.
MEDIAN = 0.6745


@njit(cache=True, nogil=True)
def local_levels(rows, near, places, level, pixels, fewest, best, variance):
    """Improve best (m,) and variance (m,) of level[rows] by their neighbours, of which near (m, k) holds the numbers.

    places: (n, 3). level, pixels: (n,). A row's own number and numbers >= n in `near` are passed over. A level that has
    fewer than `fewest` neighbours, or is not of their kind, stays as it was.
    """
    n, k = len(level), near.shape[1]
    x, y = np.ones((k, 4)), np.empty(k)
    pixel, weight, residual = np.empty(k), np.empty(k), np.empty(k)
    for r in range(len(rows)):
        i = rows[r]
        count = 0
        for q in range(k):
            j = near[r, q]
            if j != i and j < n:
                for axis in range(3):
                    x[count, 1 + axis] = places[j, axis] - places[i, axis]
                y[count], pixel[count] = level[j], pixels[j]
                count += 1
        if count < fewest:
            continue
        weight[:count] = pixel[:count]
        expected, certainty, total, excess, inside = _plane(x, y, pixel, weight, count, residual)
        off = np.abs(residual[:count]) * np.sqrt(pixel[:count])
        limit = FAR * max(np.median(off), MEDIAN * math.sqrt(expected))
        for q in range(count):
            weight[q] = pixel[q] * max(1.0 - (off[q] / limit) ** 2, 0.0) ** 2
        expected, certainty, total, excess, inside = _plane(x, y, pixel, weight, count, residual)
        own = expected / pixels[i]
        prior = max(excess - 1.0, 0.0) * expected * inside / total + expected * certainty * max(excess, 1.0)
        if (level[i] - expected) ** 2 <= ALIEN**2 * (own + prior):
            best[r] = max(expected + (level[i] - expected) * prior / (prior + own), 0.0)
            variance[r] = own * prior / (own + prior)


@njit(cache=True, nogil=True)
def _plane(x, y, pixel, weight, count, residual):
    """The plane a + b . x of weighted y: a; its variance in units of a count; sum of weights; how many times as much
    the residuals scatter as counts do; how many neighbours the weights leave."""
    normal, right = np.zeros((4, 4)), np.zeros((4, 2))
    for q in range(count):
        for a in range(4):
            wx = weight[q] * x[q, a]
            right[a, 0] += wx * y[q]
            for b in range(a + 1):
                normal[a, b] += wx * x[q, b]
    for a in range(4):
        # Neighbours on one line or plane leave slopes free: these are then 0.
        normal[a, a] += 1e-6 * normal[0, 0] if a > 0 else 0.0
        for b in range(a):
            normal[b, a] = normal[a, b]
    right[0, 1] = 1.0
    solution = np.linalg.solve(normal, right)
    total, misfit, inside = 0.0, 0.0, 0.0
    for q in range(count):
        fit = 0.0
        for a in range(4):
            fit += x[q, a] * solution[a, 0]
        residual[q] = y[q] - fit
        total += weight[q]
        misfit += weight[q] * residual[q] ** 2
        inside += weight[q] / pixel[q]
    expected = max(solution[0, 0], 0.5 * inside / total)
    return expected, solution[0, 1], total, misfit / expected / max(inside - 4, 1.0), inside
