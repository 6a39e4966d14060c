"""Painting expected spots on an image and drawing its counts; packing of CBF data."""

import math

import numpy as np
from numba import njit

__all__ = ["encode_byte_offset", "paint_image"]

# Two-point Gauss-Legendre abscissae on one pixel [-0.5, 0.5]; both weights are 0.5.
_ABSCISSA = 0.5 / math.sqrt(3.0)


@njit(cache=True, nogil=True)
def _small_poisson(mean):
    """A Poisson deviate by inversion of the cumulative distribution, for small means."""
    u = np.random.random()  # noqa: NPY002
    p = math.exp(-mean)
    total = p
    k = 0
    while u > total and k < 200:
        k += 1
        p *= mean / k
        total += p
    return k


# fastmath lets the exponentials of a pixel be evaluated together; nothing here depends on the last bit.
@njit(cache=True, nogil=True, fastmath=True)
def paint_image(
    out, background, scale, x, y, cxx, cxy, cyy, photons, state, hot_rate, seed, saturation, overload, gap, painted
):
    """Fill `out` (slow, fast) with counts drawn from

    Poisson(background * scale + hot_rate + sum_k photons[k] N2((x, y)[k], covariance[k]))

    with the bivariate normal density N2 integrated over each pixel by Gauss-Legendre quadrature of 2 x 2 points.
    state: 1 live, 0 shadowed (sees no spots), 2 gap (gets the value `gap`), 3 dead (0). Counts above `saturation`
    become `overload`. painted[k] = expected photons of spot k on live pixels. The draws depend on `seed` alone.
    """
    ny, nx = out.shape
    np.random.seed(seed)  # noqa: NPY002
    mean = np.empty((ny, nx), dtype=np.float32)
    for j in range(ny):
        for i in range(nx):
            mean[j, i] = background[j, i] * scale
    for k in range(x.shape[0]):
        det = cxx[k] * cyy[k] - cxy[k] * cxy[k]
        qxx, qyy, qxy = cyy[k] / det, cxx[k] / det, -cxy[k] / det
        norm = photons[k] / (2.0 * math.pi * math.sqrt(det)) * 0.25
        hx = 4.5 * math.sqrt(cxx[k]) + 1.0
        hy = 4.5 * math.sqrt(cyy[k]) + 1.0
        i0, i1 = max(0, math.floor(x[k] - hx)), min(nx, math.ceil(x[k] + hx))
        j0, j1 = max(0, math.floor(y[k] - hy)), min(ny, math.ceil(y[k] + hy))
        on_live = 0.0
        for j in range(j0, j1):
            for i in range(i0, i1):
                v = 0.0
                for a in range(2):
                    dy = j + 0.5 + (2 * a - 1) * _ABSCISSA - y[k]
                    for b in range(2):
                        dx = i + 0.5 + (2 * b - 1) * _ABSCISSA - x[k]
                        v += math.exp(-0.5 * (qxx * dx * dx + 2 * qxy * dx * dy + qyy * dy * dy))
                v *= norm
                if state[j, i] == 1:
                    mean[j, i] += v
                    on_live += v
        painted[k] = on_live
    for j in range(ny):
        for i in range(nx):
            if state[j, i] == 2:
                out[j, i] = gap
                continue
            if state[j, i] == 3:
                out[j, i] = 0
                continue
            expected = mean[j, i] + hot_rate[j, i]
            if expected <= 0.0:
                out[j, i] = 0
                continue
            count = _small_poisson(expected) if expected < 12.0 else np.random.poisson(expected)  # noqa: NPY002
            out[j, i] = overload if count > saturation else count


@njit(cache=True, nogil=True)
def encode_byte_offset(values, target):
    """Write the differences of successive int32 values into uint8 `target`; the number of bytes is returned.

    The inverse of `byte_offset.decode_byte_offset`; 15 bytes a value are enough.
    """
    n = 0
    last = np.int64(0)
    for k in range(values.size):
        value = np.int64(values[k])
        delta = value - last
        last = value
        width = 1
        if not -127 <= delta <= 127:
            target[n] = 0x80
            n += 1
            width = 2
            if not -32767 <= delta <= 32767:
                target[n], target[n + 1] = 0x00, 0x80
                n += 2
                width = 4
                if not -2147483647 <= delta <= 2147483647:
                    target[n], target[n + 1], target[n + 2], target[n + 3] = 0x00, 0x00, 0x00, 0x80
                    n += 4
                    width = 8
        for b in range(width):
            target[n + b] = np.uint8((delta >> (8 * b)) & 0xFF)
        n += width
    return n
