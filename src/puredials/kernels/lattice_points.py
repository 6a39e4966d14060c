"""Reciprocal space points against the nodes of lattices."""

import numpy as np
from numba import njit

__all__ = ["blur_mixture", "nearest_nodes"]


@njit(cache=True, nogil=True)
def nearest_nodes(points, inverse, lattice, index, misfit2):
    """The node nearest to each point among those of m lattices: its lattice and index, and the misfit squared.

    For each lattice x = inverse[m] @ point, h = rint(x), misfit = |x - h|; the lattice with the smallest misfit wins,
    the first of equals. Nodes with h = 0 are not taken (lattice -1 if there is no other, misfit infinite).
    """
    for p in range(points.shape[0]):
        lattice[p] = -1
        misfit2[p] = np.inf
        a, b, c = points[p, 0], points[p, 1], points[p, 2]
        for m in range(inverse.shape[0]):
            x0 = inverse[m, 0, 0] * a + inverse[m, 0, 1] * b + inverse[m, 0, 2] * c
            x1 = inverse[m, 1, 0] * a + inverse[m, 1, 1] * b + inverse[m, 1, 2] * c
            x2 = inverse[m, 2, 0] * a + inverse[m, 2, 1] * b + inverse[m, 2, 2] * c
            h0, h1, h2 = np.rint(x0), np.rint(x1), np.rint(x2)
            total = (x0 - h0) ** 2 + (x1 - h1) ** 2 + (x2 - h2) ** 2
            if (h0 != 0 or h1 != 0 or h2 != 0) and total < misfit2[p]:
                misfit2[p] = total
                lattice[p] = m
                index[p, 0], index[p, 1], index[p, 2] = int(h0), int(h1), int(h2)


@njit(cache=True, nogil=True)
def blur_mixture(points, A, index, n_steps, start_width, min_width, e2, member):
    """Share p, width s and mean log2 of the ratio 1 - p + p exp(-e^2 / 2 s^2) / (V (2 pi s^2)^1.5) of the points.

    e = |point - A h| is written, squared, to `e2`; points with h = 0 have ratio 1 - p. V = 1 / |det A|. p and s come
    from `n_steps` of expectation maximisation, starting from p = 0.5 and s = `start_width`; `member` gets
    1 - (1 - p) / ratio. s does not fall below `min_width`.
    """
    n = points.shape[0]
    determinant = (
        A[0, 0] * (A[1, 1] * A[2, 2] - A[1, 2] * A[2, 1])
        - A[0, 1] * (A[1, 0] * A[2, 2] - A[1, 2] * A[2, 0])
        + A[0, 2] * (A[1, 0] * A[2, 1] - A[1, 1] * A[2, 0])
    )
    density = abs(determinant)
    for i in range(n):
        e2[i] = 0.0
        for k in range(3):
            e = points[i, k] - A[k, 0] * index[i, 0] - A[k, 1] * index[i, 1] - A[k, 2] * index[i, 2]
            e2[i] += e * e
        if index[i, 0] == 0 and index[i, 1] == 0 and index[i, 2] == 0:
            e2[i] = np.inf
    share, width, bits = 0.5, start_width, 0.0
    for _ in range(n_steps):
        peak = share * density / (2 * np.pi * width * width) ** 1.5
        total, moment, bits = 0.0, 0.0, 0.0
        for i in range(n):
            near = peak * np.exp(-0.5 * e2[i] / (width * width)) if e2[i] < 200 * width * width else 0.0
            ratio = 1 - share + near
            member[i] = near / ratio
            total += member[i]
            moment += member[i] * e2[i] if near > 0 else 0.0
            bits += np.log2(ratio)
        if total < 1e-9:
            break
        share = min(max(total / n, 1e-3), 1 - 1e-3)
        width = max(np.sqrt(moment / (3 * total)), min_width)
    return share, width, bits / n
