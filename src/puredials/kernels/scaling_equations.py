"""Normal equations of the scaling model, its values, and the variances of its values."""

import numpy as np
from numba import njit

__all__ = ["accumulate_equations", "scale_factors", "scale_variances"]


@njit(cache=True, nogil=True)
def scale_factors(x, scale_index, scale_weight, decay_index, decay_weight, inverse_d2, first, harmonics, scale, out):
    """Fill out (n,) with the inverse scale factors g = C exp(B / (2 d^2)) A of n observations.

    C = sum_k scale_weight[:, k] x[scale_index[:, k]], B likewise, A = 1 + harmonics @ x[first:first + K], which is 1
    where first < 0; scale (n,) receives C A. Sums run over the 3 nodes that are near (arrays (n, 3)); inverse_d2 is
    1/d^2. Where C or A is not positive, out is not either.
    """
    for i in range(len(out)):
        c = 0.0
        b = 0.0
        for k in range(scale_index.shape[1]):
            c += scale_weight[i, k] * x[scale_index[i, k]]
            b += decay_weight[i, k] * x[decay_index[i, k]]
        a = 1.0
        if first[i] >= 0:
            for k in range(harmonics.shape[1]):
                a += harmonics[i, k] * x[first[i] + k]
        # Of two negative factors the product would pass for a valid one.
        scale[i] = c * a if c > 0 and a > 0 else -1.0
        out[i] = scale[i] * np.exp(0.5 * b * inverse_d2[i])


@njit(cache=True, nogil=True)
def _derivatives(
    i, x, scale_index, scale_weight, decay_index, decay_weight, inverse_d2, first, harmonics, index, value
):
    """Indices and values of the derivatives of log g of observation i; returns how many there are."""
    n = 0
    c = 0.0
    for k in range(scale_index.shape[1]):
        c += scale_weight[i, k] * x[scale_index[i, k]]
    for k in range(scale_index.shape[1]):
        if scale_weight[i, k] > 0:
            index[n], value[n] = scale_index[i, k], scale_weight[i, k] / c
            n += 1
    for k in range(decay_index.shape[1]):
        if decay_weight[i, k] > 0:
            index[n], value[n] = decay_index[i, k], 0.5 * decay_weight[i, k] * inverse_d2[i]
            n += 1
    if first[i] >= 0:
        a = 1.0
        for k in range(harmonics.shape[1]):
            a += harmonics[i, k] * x[first[i] + k]
        for k in range(harmonics.shape[1]):
            index[n], value[n] = first[i] + k, harmonics[i, k] / a
            n += 1
    return n


@njit(cache=True, nogil=True)
def accumulate_equations(
    x, starts, intensity, weight, g,
    scale_index, scale_weight, decay_index, decay_weight, inverse_d2, first, harmonics,
    gradient, hessian,
):  # fmt: skip
    """Add gradient (p,) and the upper triangle of hessian (p, p) of F = 1/2 sum w (I - g <I>)^2, and return F.

    Observations starts[h]:starts[h + 1] belong to unique reflection h, whose intensity is <I> = sum w g I / sum w g^2.
    As sum w (I - g <I>) g = 0 in each h, the gradient is -sum w (I - g <I>) <I> dg, dependence of <I> on the
    parameters included. Its second derivatives are approximated by those of a variable projection (Kaufman 1975,
    BIT 15, 49): <I>^2 (sum w dg dg^T - c c^T / S) of each h, with c = sum w g dg and S = sum w g^2.
    """
    p = len(x)
    n_most = 2 * scale_index.shape[1] + harmonics.shape[1]
    index, value = np.empty(n_most, np.int64), np.empty(n_most)
    sums, touched, is_touched = np.zeros(p), np.empty(p, np.int64), np.zeros(p, np.bool_)
    objective = 0.0
    for h in range(len(starts) - 1):
        total, squares = 0.0, 0.0
        for i in range(starts[h], starts[h + 1]):
            total += weight[i] * g[i] * intensity[i]
            squares += weight[i] * g[i] * g[i]
        if starts[h + 1] - starts[h] < 2 or squares <= 0:
            continue
        mean = total / squares
        n_touched = 0
        for i in range(starts[h], starts[h + 1]):
            n = _derivatives(
                i, x, scale_index, scale_weight, decay_index, decay_weight, inverse_d2, first, harmonics, index, value
            )
            residual = intensity[i] - g[i] * mean
            objective += 0.5 * weight[i] * residual * residual
            slope = -weight[i] * residual * mean * g[i]
            curvature = weight[i] * g[i] * g[i]
            for j in range(n):
                a = index[j]
                gradient[a] += slope * value[j]
                if not is_touched[a]:
                    is_touched[a] = True
                    touched[n_touched] = a
                    n_touched += 1
                sums[a] += curvature * value[j]
                part = mean * mean * curvature * value[j]
                for k in range(j, n):  # indices ascend within an observation
                    hessian[a, index[k]] += part * value[k]
        for j in range(n_touched):
            a = touched[j]
            part = mean * mean * sums[a] / squares
            for k in range(n_touched):
                b = touched[k]
                if b >= a:
                    hessian[a, b] -= part * sums[b]
        for j in range(n_touched):
            sums[touched[j]] = 0.0
            is_touched[touched[j]] = False
    return objective


@njit(cache=True, nogil=True)
def scale_variances(
    x, covariance, g, scale_index, scale_weight, decay_index, decay_weight, inverse_d2, first, harmonics, out
):
    """Fill out (n,) with J covariance J^T, J the derivatives of g by the parameters."""
    n_most = 2 * scale_index.shape[1] + harmonics.shape[1]
    index, value = np.empty(n_most, np.int64), np.empty(n_most)
    for i in range(len(g)):
        n = _derivatives(
            i, x, scale_index, scale_weight, decay_index, decay_weight, inverse_d2, first, harmonics, index, value
        )
        total = 0.0
        for j in range(n):
            row = 0.0
            for k in range(j + 1, n):
                row += covariance[index[j], index[k]] * value[k]
            total += value[j] * (covariance[index[j], index[j]] * value[j] + 2 * row)
        out[i] = g[i] * g[i] * total
