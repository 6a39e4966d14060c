"""Reference profiles in the reflection frame of Kabsch (2010, Acta D66, 133): projection, learning and fitting.

A profile is a piecewise linear density on a grid of (e3, e2, e1) = (k - half) * step, k = 0 .. 2 half, in standard
deviations: profile[k3, k2, k1] is the share of the intensity that belongs to the tent (hat function) of knot k, all of
them sum to 1. It is projected onto the pixels of a box, in which intensities are fitted with the statistics of the
counts themselves, instead of counts being resampled onto the grid. The boxes and their frames are those of `boxes`.
"""

import math

import numpy as np
from numba import njit

__all__ = ["blend", "fit_boxes", "learn_boxes", "project"]

VALID, FOREGROUND, OVERLAPPED = 1, 4, 32


@njit(cache=True, nogil=True)
def _tent_integral(u):
    """Integral from -inf to u of the tent max(0, 1 - |u|)."""
    if u <= -1.0:
        return 0.0
    if u < 0.0:
        return 0.5 * (u + 1.0) ** 2
    return 1.0 - 0.5 * (1.0 - u) ** 2 if u < 1.0 else 1.0


@njit(cache=True, nogil=True)
def _image_shares(z0, z1, centre, drift, step, half, shares):
    """shares[k3, z - z0]: the part of the tent of knot k3 that image z records."""
    scale = drift / step
    for z in range(z0, z1):
        a, b = (z - centre) * scale + half, (z + 1 - centre) * scale + half
        if b < a:
            a, b = b, a
        for k in range(2 * half + 1):
            shares[k, z - z0] = _tent_integral(b - k) - _tent_integral(a - k)


@njit(cache=True, nogil=True)
def _finesse(jac):
    """Samples along each side of a pixel: at least one every 0.4 standard deviations."""
    size = max(math.hypot(jac[0], jac[2]), math.hypot(jac[1], jac[3]))
    return min(max(math.ceil(size / 0.4), 2), 8)


@njit(cache=True, nogil=True)
def blend(profiles, zones, weights, out):
    """out = sum_i weights[i] profiles[zones[i]]"""
    out[:] = 0.0
    for i in range(len(zones)):
        w = weights[i]
        if w > 0:
            source = profiles[zones[i]].ravel()
            target = out.ravel()
            for k in range(len(target)):
                target[k] += w * source[k]


@njit(cache=True, nogil=True)
def project(profile, box, centre, jac, drift, step, shares, slab, out):
    """out (z, y, x) in C order: the share of the profile's intensity that each pixel of `box` records.

    out[z, y, x] = sum_k profile[k] * integral over the pixel and the image of the tent of k; within a pixel by
    sampling. shares (knots, images) and slab (knots, knots, images) are scratch and hold the profile as the images
    record it.
    """
    knots = profile.shape[0]
    half = knots // 2
    x0, x1, y0, y1, z0, z1 = box[0], box[1], box[2], box[3], box[4], box[5]
    nx, layer, nz = x1 - x0, (x1 - x0) * (y1 - y0), z1 - z0
    _image_shares(z0, z1, centre[2], drift, step, half, shares)
    for k2 in range(knots):
        for k1 in range(knots):
            for z in range(nz):
                slab[k2, k1, z] = 0.0
            for k3 in range(knots):
                p = profile[k3, k2, k1]
                for z in range(nz):
                    slab[k2, k1, z] += p * shares[k3, z]
    n = _finesse(jac)
    area = abs(jac[0] * jac[3] - jac[1] * jac[2]) / (step * step * n * n)
    for y in range(y0, y1):
        for x in range(x0, x1):
            pixel = (y - y0) * nx + (x - x0)
            for z in range(nz):
                out[pixel + z * layer] = 0.0
            for sample in range(n * n):
                dx = x + (sample % n + 0.5) / n - centre[0]
                dy = y + (sample // n + 0.5) / n - centre[1]
                u = (jac[0] * dx + jac[1] * dy) / step + half
                v = (jac[2] * dx + jac[3] * dy) / step + half
                i, j = math.floor(u), math.floor(v)
                u -= i
                v -= j
                for corner in range(4):
                    a, b = i + (corner & 1), j + (corner >> 1)
                    if 0 <= a < knots and 0 <= b < knots:
                        w = area * (u if corner & 1 else 1 - u) * (v if corner >> 1 else 1 - v)
                        for z in range(nz):
                            out[pixel + z * layer] += w * slab[b, a, z]


@njit(cache=True, nogil=True)
def _unproject(ratio, inside, box, centre, jac, step, shares, slab, out):
    """The transpose of `project`: out[k] += sum over the pixels `inside` of ratio * share of the tent of k."""
    knots = out.shape[0]
    half = knots // 2
    x0, x1, y0, y1, z0, z1 = box[0], box[1], box[2], box[3], box[4], box[5]
    nx, layer, nz = x1 - x0, (x1 - x0) * (y1 - y0), z1 - z0
    slab[:, :, :nz] = 0.0
    n = _finesse(jac)
    area = abs(jac[0] * jac[3] - jac[1] * jac[2]) / (step * step * n * n)
    for y in range(y0, y1):
        for x in range(x0, x1):
            pixel = (y - y0) * nx + (x - x0)
            if not inside[pixel]:
                continue
            for sample in range(n * n):
                dx = x + (sample % n + 0.5) / n - centre[0]
                dy = y + (sample // n + 0.5) / n - centre[1]
                u = (jac[0] * dx + jac[1] * dy) / step + half
                v = (jac[2] * dx + jac[3] * dy) / step + half
                i, j = math.floor(u), math.floor(v)
                u -= i
                v -= j
                for corner in range(4):
                    a, b = i + (corner & 1), j + (corner >> 1)
                    if 0 <= a < knots and 0 <= b < knots:
                        w = area * (u if corner & 1 else 1 - u) * (v if corner >> 1 else 1 - v)
                        for z in range(nz):
                            slab[b, a, z] += w * ratio[pixel + z * layer]
    for k3 in range(knots):
        for k2 in range(knots):
            for k1 in range(knots):
                total = 0.0
                for z in range(nz):
                    total += shares[k3, z] * slab[k2, k1, z]
                out[k3, k2, k1] += total


@njit(cache=True, nogil=True)
def _maximum_likelihood(counts, mask, model, background, layer, floor, iterations):
    """The intensity I that solves sum m (c - b - I m) / (b + I m) = 0 over the pixels in use.

    This is Poisson maximum likelihood for known b and m (with b alone in the denominator while I < 0), reached by
    iterating the weighted mean I = sum((c - b) m / v) / sum(m^2 / v), v = b + I m (Kabsch 2010, eq. 20).
    Returns I, sum m^2/v, sum m/v, sum m, and whether it converged.
    """
    intensity = 0.0
    for pixel in range(len(counts)):
        if mask[pixel] & (VALID | FOREGROUND | OVERLAPPED) == VALID | FOREGROUND:
            intensity += counts[pixel] - background[pixel // layer]
    information, leverage, inside = 0.0, 0.0, 0.0
    for _ in range(iterations):
        signal, information, leverage, inside = 0.0, 0.0, 0.0, 0.0
        positive = max(intensity, 0.0)
        for pixel in range(len(counts)):
            if mask[pixel] & (VALID | FOREGROUND | OVERLAPPED) == VALID | FOREGROUND:
                m = model[pixel]
                if m <= 0:
                    continue
                level = background[pixel // layer]
                w = m / (max(level, floor) + positive * m)
                signal += w * (counts[pixel] - level)
                information += w * m
                leverage += w
                inside += m
        if information <= 0:
            return 0.0, 0.0, 0.0, 0.0, False
        new = signal / information
        change = abs(new - intensity)
        intensity = new
        if change < 1e-3 * max(abs(new), 1e-2 / math.sqrt(information)) or change < 1e-2 / math.sqrt(information):
            return intensity, information, leverage, inside, True
    return intensity, information, leverage, inside, False


@njit(cache=True, nogil=True)
def fit_boxes(rows, bbox, offsets, centre, jacobian, drift, background, used, counts, mask,
              profiles, zones, weights, step, intensity, variance, correlation, misfit, inside, ok):  # fmt: skip
    """Fit the blend of `profiles` of zones[i] with weights[i] to the boxes of `rows`.

    Of the foreground pixels that are valid and not overlapped; inside[i] is the profile's share on them. The variance
    is 1 / sum(m^2 / v), plus that of the background times (dI/db)^2. correlation and misfit (r.m.s. of the shares) are
    between the model and the counts less background. ok[i] = 1 if the iteration converged.
    """
    knots = profiles.shape[1]
    deepest, longest = 1, 1
    for i in rows:
        deepest = max(deepest, bbox[i, 5] - bbox[i, 4])
        longest = max(longest, offsets[i + 1] - offsets[i])
    profile = np.empty((knots, knots, knots))
    shares, slab = np.empty((knots, deepest)), np.empty((knots, knots, deepest))
    model = np.empty(longest)
    for i in rows:
        low, high = offsets[i], offsets[i + 1]
        layer = (bbox[i, 1] - bbox[i, 0]) * (bbox[i, 3] - bbox[i, 2])
        blend(profiles, zones[i], weights[i], profile)
        project(profile, bbox[i], centre[i], jacobian[i], drift[i], step, shares, slab, model)
        # A background of 0 counts in n pixels is known to be less than about 1/n.
        floor = 0.5 / max(used[i], 1)
        value, information, leverage, share, good = _maximum_likelihood(
            counts[low:high], mask[low:high], model, background[i], layer, floor, 100
        )
        ok[i] = good
        inside[i] = share
        intensity[i] = value
        if information <= 0:
            variance[i] = -1.0
            continue
        mean = background[i, : bbox[i, 5] - bbox[i, 4]].mean()
        variance[i] = 1 / information + (leverage / information) ** 2 * max(mean, floor) / max(used[i], 1)
        n, sx, sy, sxx, syy, sxy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
        for pixel in range(high - low):
            if mask[low + pixel] & (VALID | FOREGROUND | OVERLAPPED) == VALID | FOREGROUND:
                x, y = model[pixel], counts[low + pixel] - background[i, pixel // layer]
                n += 1
                sx += x
                sy += y
                sxx += x * x
                syy += y * y
                sxy += x * y
        spread = (n * sxx - sx * sx) * (n * syy - sy * sy)
        correlation[i] = (n * sxy - sx * sy) / math.sqrt(spread) if spread > 0 else 0.0
        total = max(abs(value), 1e-6)
        misfit[i] = math.sqrt(max(sxx - 2 * sxy / total + syy / total**2, 0.0) / max(n, 1))


@njit(cache=True, nogil=True)
def learn_boxes(rows, bbox, offsets, centre, jacobian, drift, background, counts, mask,
                profiles, zones, weights, step, cap, gain, sensitivity):  # fmt: skip
    """One expectation-maximisation step for the profiles, from the boxes of `rows` (all valid, not overlapped pixels).

    With the model b + I sum_k P_k W_k of each pixel (I fitted with the present profiles), the update that raises the
    likelihood of Poisson counts is P_k <- P_k * sum(I W_k c / model) / sum(I W_k) (Shepp & Vardi 1982, IEEE Trans. Med.
    Imag. 1, 113). Adds numerators to `gain` and denominators to `sensitivity` (zones, knots, knots, knots). Intensities
    above `cap` count as `cap`, lest the few strongest rule. Returns the number of reflections used.
    """
    knots = profiles.shape[1]
    deepest, longest = 1, 1
    for i in rows:
        deepest = max(deepest, bbox[i, 5] - bbox[i, 4])
        longest = max(longest, offsets[i + 1] - offsets[i])
    profile = np.empty((knots, knots, knots))
    up, down = np.empty((knots, knots, knots)), np.empty((knots, knots, knots))
    shares, slab = np.empty((knots, deepest)), np.empty((knots, knots, deepest))
    model, ratio = np.empty(longest), np.empty(longest)
    whole, in_use = np.empty(longest), np.empty(longest, np.bool_)
    number = 0
    for i in rows:
        low, high = offsets[i], offsets[i + 1]
        size = high - low
        layer = (bbox[i, 1] - bbox[i, 0]) * (bbox[i, 3] - bbox[i, 2])
        blend(profiles, zones[i], weights[i], profile)
        project(profile, bbox[i], centre[i], jacobian[i], drift[i], step, shares, slab, model)
        value, _, _, _, good = _maximum_likelihood(
            counts[low:high], mask[low:high], model, background[i], layer, 1e-3, 100
        )
        if not good or value <= 0:
            continue
        number += 1
        influence = min(value, cap)
        for pixel in range(layer):
            in_use[pixel] = False
        for pixel in range(size):
            ratio[pixel], whole[pixel] = 0.0, 0.0
            if mask[low + pixel] & (VALID | OVERLAPPED) == VALID:
                level = max(background[i, pixel // layer], 1e-3)
                expected = level + value * model[pixel]
                ratio[pixel] = influence * counts[low + pixel] / expected
                whole[pixel] = influence
                in_use[pixel % layer] = True
        up[:] = 0.0
        down[:] = 0.0
        _unproject(ratio, in_use, bbox[i], centre[i], jacobian[i], step, shares, slab, up)
        _unproject(whole, in_use, bbox[i], centre[i], jacobian[i], step, shares, slab, down)
        for zone in range(zones.shape[1]):
            w = weights[i, zone]
            if w > 0:
                gain[zones[i, zone]] += w * up
                sensitivity[zones[i, zone]] += w * down
    return number
