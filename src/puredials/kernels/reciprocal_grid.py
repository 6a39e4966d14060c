"""Reciprocal lattice points on a cubic grid, peaks of its transform, and lattice vectors fitted to the points."""

import numpy as np
from numba import njit

__all__ = ["fill_grid", "find_peaks", "fit_vectors"]


@njit(cache=True, nogil=True)
def fill_grid(points, weights, spacing, grid):
    """grid[rint(points / spacing) mod n] = weights; points beyond the cube of n spacings are left out."""
    n = grid.shape[0]
    for p in range(points.shape[0]):
        i = int(np.rint(points[p, 0] / spacing))
        j = int(np.rint(points[p, 1] / spacing))
        k = int(np.rint(points[p, 2] / spacing))
        if max(abs(i), abs(j), abs(k)) < n // 2:
            grid[i % n, j % n, k % n] = weights[p]


@njit(cache=True, nogil=True)
def _power(transform, i, j, k):
    """|F|^2 at any index; half of a transform of real values is stored, F(-v) being the conjugate of F(v)."""
    n = transform.shape[0]
    i, j, k = i % n, j % n, k % n
    if k > n // 2:
        i, j, k = (n - i) % n, (n - j) % n, n - k
    f = transform[i, j, k]
    return f.real * f.real + f.imag * f.imag


@njit(cache=True, nogil=True)
def find_peaks(transform, threshold, smallest, largest, positions, heights):
    """Local maxima of |transform|^2 above `threshold`, one of each pair (v, -v); returns how many there are.

    `transform` is the half (n, n, n // 2 + 1) of the transform of a real (n, n, n) array. A maximum is higher than its
    26 neighbours; only indices of length `smallest` .. `largest` count. `positions` get the signed indices, to a
    fraction of a step by the parabola through each three values along an axis. No more are stored than there is room.
    """
    n = transform.shape[0]
    found = 0
    for i in range(n):
        x = i - n if i > n // 2 else i
        for j in range(n):
            y = j - n if j > n // 2 else j
            for k in range(transform.shape[2]):
                f = transform[i, j, k]
                here = f.real * f.real + f.imag * f.imag
                if here < threshold:
                    continue
                length2 = x * x + y * y + k * k
                if length2 < smallest * smallest or length2 > largest * largest:
                    continue
                if k == 0 and (y < 0 or (y == 0 and x < 0)):
                    continue
                highest = True
                for di in range(-1, 2):
                    for dj in range(-1, 2):
                        for dk in range(-1, 2):
                            if (di != 0 or dj != 0 or dk != 0) and _power(transform, i + di, j + dj, k + dk) > here:
                                highest = False
                if not highest:
                    continue
                if found < heights.shape[0]:
                    heights[found] = here
                    for axis in range(3):
                        di, dj, dk = int(axis == 0), int(axis == 1), int(axis == 2)
                        below = _power(transform, i - di, j - dj, k - dk)
                        above = _power(transform, i + di, j + dj, k + dk)
                        curvature = 2 * here - below - above
                        shift = 0.5 * (above - below) / curvature if curvature > 0 else 0.0
                        positions[found, axis] = (x, y, k)[axis] + shift
                found += 1
    return found


@njit(cache=True, nogil=True)
def _solve(m, v, x):
    """x with m x = v, for a symmetric 3 x 3 matrix (Cramer's rule; LAPACK would cost seconds of compilation)."""
    c00 = m[1, 1] * m[2, 2] - m[1, 2] * m[1, 2]
    c01 = m[0, 2] * m[1, 2] - m[0, 1] * m[2, 2]
    c02 = m[0, 1] * m[1, 2] - m[0, 2] * m[1, 1]
    c11 = m[0, 0] * m[2, 2] - m[0, 2] * m[0, 2]
    c12 = m[0, 1] * m[0, 2] - m[0, 0] * m[1, 2]
    c22 = m[0, 0] * m[1, 1] - m[0, 1] * m[0, 1]
    determinant = m[0, 0] * c00 + m[0, 1] * c01 + m[0, 2] * c02
    x[0] = (c00 * v[0] + c01 * v[1] + c02 * v[2]) / determinant
    x[1] = (c01 * v[0] + c11 * v[1] + c12 * v[2]) / determinant
    x[2] = (c02 * v[0] + c12 * v[1] + c22 * v[2]) / determinant


@njit(cache=True, nogil=True)
def fit_vectors(points, weights, vectors, n_steps, longest_step, amplitudes):
    """Move each vector v to a maximum of |S| = |sum w exp(2 pi i r.v)| over the points r by damped Newton steps.

    A step maximises sum w cos(2 pi r.v - arg S), with arg S from before it. Steps are at most `longest_step` long.
    amplitudes[i] = |S| / sum w at the end: 1 for points that all lie on planes r.v = constant + integer.
    """
    total = weights.sum()
    hessian, gradient, shift = np.empty((3, 3)), np.empty(3), np.empty(3)
    for number in range(vectors.shape[0]):
        v = vectors[number]
        argument = 0.0
        for step in range(n_steps + 2):
            hessian[:] = 0.0
            gradient[:] = 0.0
            real, imaginary = 0.0, 0.0
            for p in range(points.shape[0]):
                r = points[p]
                phase = 2 * np.pi * (r[0] * v[0] + r[1] * v[1] + r[2] * v[2]) - argument
                c, s = weights[p] * np.cos(phase), weights[p] * np.sin(phase)
                real += c
                imaginary += s
                # Where cos < 0 the function is convex: such points would spoil the step, not steer it.
                for a in range(3):
                    gradient[a] -= 2 * np.pi * s * r[a]
                    for b in range(3):
                        hessian[a, b] += 4 * np.pi * np.pi * max(c, 0.0) * r[a] * r[b]
            amplitudes[number] = np.sqrt(real * real + imaginary * imaginary) / total
            argument += np.arctan2(imaginary, real)
            if step == 0:
                continue  # only now arg S is known
            if step == n_steps + 1:
                break
            trace = hessian[0, 0] + hessian[1, 1] + hessian[2, 2]
            for a in range(3):
                hessian[a, a] += 1e-3 * trace + 1e-30
            _solve(hessian, gradient, shift)
            length = np.sqrt(shift[0] * shift[0] + shift[1] * shift[1] + shift[2] * shift[2])
            shorter = longest_step / length if length > longest_step else 1.0
            for a in range(3):
                v[a] += shorter * shift[a]
