"""Reference profiles in the reflection frame of Kabsch (2010, Acta D66, 133): projection, learning and fitting.

A profile is a piecewise linear density on a grid of (e3, e2, e1) = (k - half) * step, k = 0 .. 2 half, in standard
deviations: profile[k3, k2, k1] is the share of the intensity that belongs to the tent (hat function) of knot k, all of
them sum to 1. It is projected onto the pixels of a box, in which intensities are fitted with the statistics of the
counts themselves, instead of counts being resampled onto the grid. The boxes and their frames are those of `boxes`.
"""

import math

import numpy as np
from numba import njit

__all__ = ["blend", "fit_boxes", "learn_boxes", "project", "second_moments"]

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
def _samples(jac):
    """Offsets of sampling points from the lower edge of a pixel: two Gauss-Legendre points a standard deviation."""
    size = max(math.hypot(jac[0], jac[2]), math.hypot(jac[1], jac[3]))
    n = min(max(math.ceil(size), 1), 5)
    points = np.empty(2 * n)
    for i in range(n):
        points[2 * i] = (i + 0.5 - 0.5 / math.sqrt(3.0)) / n
        points[2 * i + 1] = (i + 0.5 + 0.5 / math.sqrt(3.0)) / n
    return points


@njit(cache=True, nogil=True)
def blend(profiles, zones, weights, out):
    """out = sum_i weights[i] profiles[zones[i]]"""
    out[:] = 0.0
    target = out.ravel()
    for i in range(len(zones)):
        w = weights[i]
        if w > 0:
            source = profiles[zones[i]].ravel()
            for k in range(len(target)):
                target[k] += w * source[k]


@njit(cache=True, nogil=True)
def project(profile, box, centre, jac, slide, drift, step, radius, shares, slab, out):
    """out (z, y, x) in C order: the share of the profile's intensity that each pixel of `box` records.

    out[z, y, x] = sum_k profile[k] * integral over the pixel and the image of the tent of k; within a pixel by
    Gauss-Legendre quadrature, for pixels whose centre is within `radius` standard deviations, else 0. shares (knots,
    images) and slab (knots, knots) are scratch; shares is left as the part of each k3 that an image records.
    """
    knots = profile.shape[0]
    half = knots // 2
    x0, x1, y0, y1, z0, z1 = box[0], box[1], box[2], box[3], box[4], box[5]
    _image_shares(z0, z1, centre[2], drift, step, half, shares)
    points = _samples(jac)
    n = len(points)
    area = abs(jac[0] * jac[3] - jac[1] * jac[2]) / (step * step * n * n)
    a0, a1, a2, a3 = jac[0] / step, jac[1] / step, jac[2] / step, jac[3] / step
    limit = (radius / step) ** 2
    pixel = 0
    for z in range(z0, z1):
        slab[:] = 0.0
        for k3 in range(knots):
            share = shares[k3, z - z0] * area
            if share > 0:
                for k2 in range(knots):
                    for k1 in range(knots):
                        slab[k2, k1] += share * profile[k3, k2, k1]
        cx = centre[0] + slide[0] * (z + 0.5 - centre[2])
        cy = centre[1] + slide[1] * (z + 0.5 - centre[2])
        for y in range(y0, y1):
            for x in range(x0, x1):
                dx, dy = x + 0.5 - cx, y + 0.5 - cy
                u, v = a0 * dx + a1 * dy, a2 * dx + a3 * dy
                total = 0.0
                if u * u + v * v <= limit:
                    for iy in range(n):
                        for ix in range(n):
                            px, py = points[ix] - 0.5, points[iy] - 0.5
                            su, sv = u + a0 * px + a1 * py + half, v + a2 * px + a3 * py + half
                            i, j = math.floor(su), math.floor(sv)
                            if 0 <= i < knots - 1 and 0 <= j < knots - 1:
                                fu, fv = su - i, sv - j
                                total += (1 - fv) * ((1 - fu) * slab[j, i] + fu * slab[j, i + 1])
                                total += fv * ((1 - fu) * slab[j + 1, i] + fu * slab[j + 1, i + 1])
                out[pixel] = total
                pixel += 1


@njit(cache=True, nogil=True)
def _unproject(ratio, box, centre, jac, slide, step, radius, shares, slab, out):
    """The transpose of `project`: out[k] += sum over pixels of ratio * share of the tent of k (`shares` as left)."""
    knots = out.shape[0]
    half = knots // 2
    x0, x1, y0, y1, z0, z1 = box[0], box[1], box[2], box[3], box[4], box[5]
    points = _samples(jac)
    n = len(points)
    area = abs(jac[0] * jac[3] - jac[1] * jac[2]) / (step * step * n * n)
    a0, a1, a2, a3 = jac[0] / step, jac[1] / step, jac[2] / step, jac[3] / step
    limit = (radius / step) ** 2
    pixel = 0
    for z in range(z0, z1):
        slab[:] = 0.0
        cx = centre[0] + slide[0] * (z + 0.5 - centre[2])
        cy = centre[1] + slide[1] * (z + 0.5 - centre[2])
        for y in range(y0, y1):
            for x in range(x0, x1):
                w = ratio[pixel] * area
                pixel += 1
                dx, dy = x + 0.5 - cx, y + 0.5 - cy
                u, v = a0 * dx + a1 * dy, a2 * dx + a3 * dy
                if w == 0 or u * u + v * v > limit:
                    continue
                for iy in range(n):
                    for ix in range(n):
                        px, py = points[ix] - 0.5, points[iy] - 0.5
                        su, sv = u + a0 * px + a1 * py + half, v + a2 * px + a3 * py + half
                        i, j = math.floor(su), math.floor(sv)
                        if 0 <= i < knots - 1 and 0 <= j < knots - 1:
                            fu, fv = su - i, sv - j
                            slab[j, i] += w * (1 - fv) * (1 - fu)
                            slab[j, i + 1] += w * (1 - fv) * fu
                            slab[j + 1, i] += w * fv * (1 - fu)
                            slab[j + 1, i + 1] += w * fv * fu
        for k3 in range(knots):
            share = shares[k3, z - z0]
            if share > 0:
                for k2 in range(knots):
                    for k1 in range(knots):
                        out[k3, k2, k1] += share * slab[k2, k1]


@njit(cache=True, nogil=True)
def second_moments(rows, bbox, offsets, centre, jacobian, slide, drift, background, counts, mask, radius, moments):
    """moments[i] = (v11, v22, v33, sum): variances of the signal in e1, e2 and e3 about its mean, and its sum.

    Of valid pixels without overlap within `radius` of the centre; the variances of a uniform distribution over a pixel
    and an image are taken off.
    """
    for i in rows:
        x0, x1, y0, y1, z0, z1 = bbox[i, 0], bbox[i, 1], bbox[i, 2], bbox[i, 3], bbox[i, 4], bbox[i, 5]
        jac = jacobian[i]
        first, second, total = np.zeros(3), np.zeros(3), 0.0
        e = np.empty(3)
        pixel = offsets[i]
        for z in range(z0, z1):
            dz = z + 0.5 - centre[i, 2]
            e[2] = drift[i] * dz
            for y in range(y0, y1):
                for x in range(x0, x1):
                    dx, dy = x + 0.5 - centre[i, 0] - slide[i, 0] * dz, y + 0.5 - centre[i, 1] - slide[i, 1] * dz
                    e[0], e[1] = jac[0] * dx + jac[1] * dy, jac[2] * dx + jac[3] * dy
                    inside = e[0] ** 2 + e[1] ** 2 <= radius * radius
                    if inside and mask[pixel] & (VALID | OVERLAPPED) == VALID:
                        w = counts[pixel] - background[i, z - z0]
                        total += w
                        for k in range(3):
                            first[k] += w * e[k]
                            second[k] += w * e[k] * e[k]
                    pixel += 1
        moments[i, 3] = total
        for k in range(3):
            moments[i, k] = second[k] / total - (first[k] / total) ** 2 if total > 0 else np.nan
        moments[i, 0] -= (jac[0] ** 2 + jac[1] ** 2) / 12
        moments[i, 1] -= (jac[2] ** 2 + jac[3] ** 2) / 12
        moments[i, 2] -= drift[i] ** 2 / 12


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
def fit_boxes(rows, bbox, offsets, centre, jacobian, slide, drift, background, used, counts, mask, radius, profiles,
              zones, weights, step, intensity, variance, slope, correlation, misfit, inside, lost, ok):  # fmt: skip
    """Fit the blend of `profiles` of zones[i] with weights[i] to the boxes of `rows`.

    Of the foreground pixels within `radius` that are valid and not overlapped; inside[i] is the profile's share on
    them, lost[i] that on invalid foreground pixels. The variance is 1 / sum(m^2 / v), without that of the background b,
    which adds to it with the square of slope[i] = -dI/db. correlation and misfit (r.m.s. of the shares) are between the
    model and the counts less background. ok[i] = 1 if the iteration converged.
    """
    knots = profiles.shape[1]
    deepest, longest = 1, 1
    for i in rows:
        deepest = max(deepest, bbox[i, 5] - bbox[i, 4])
        longest = max(longest, offsets[i + 1] - offsets[i])
    profile = np.empty((knots, knots, knots))
    shares, slab = np.empty((knots, deepest)), np.empty((knots, knots))
    model = np.empty(longest)
    for i in rows:
        low, high = offsets[i], offsets[i + 1]
        layer = (bbox[i, 1] - bbox[i, 0]) * (bbox[i, 3] - bbox[i, 2])
        blend(profiles, zones[i], weights[i], profile)
        project(profile, bbox[i], centre[i], jacobian[i], slide[i], drift[i], step, radius, shares, slab, model)
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
        variance[i], slope[i] = 1 / information, leverage / information
        n, sx, sy, sxx, syy, sxy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
        lost[i] = 0.0
        for pixel in range(high - low):
            if mask[low + pixel] & (VALID | FOREGROUND) == FOREGROUND:
                lost[i] += model[pixel]
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
def learn_boxes(rows, bbox, offsets, centre, jacobian, slide, drift, background, counts, mask, radius,
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
    shares, slab = np.empty((knots, deepest)), np.empty((knots, knots))
    model, ratio, whole = np.empty(longest), np.empty(longest), np.empty(longest)
    number = 0
    for i in rows:
        low, high = offsets[i], offsets[i + 1]
        size = high - low
        layer = (bbox[i, 1] - bbox[i, 0]) * (bbox[i, 3] - bbox[i, 2])
        blend(profiles, zones[i], weights[i], profile)
        project(profile, bbox[i], centre[i], jacobian[i], slide[i], drift[i], step, radius, shares, slab, model)
        value, _, _, _, good = _maximum_likelihood(
            counts[low:high], mask[low:high], model, background[i], layer, 1e-3, 100
        )
        if not good or value <= 0:
            continue
        number += 1
        influence = min(value, cap)
        for pixel in range(size):
            ratio[pixel], whole[pixel] = 0.0, 0.0
            if mask[low + pixel] & (VALID | OVERLAPPED) == VALID and model[pixel] > 0:
                level = max(background[i, pixel // layer], 1e-3)
                ratio[pixel] = influence * counts[low + pixel] / (level + value * model[pixel])
                whole[pixel] = influence
        up[:] = 0.0
        down[:] = 0.0
        _unproject(ratio, bbox[i], centre[i], jacobian[i], slide[i], step, radius, shares, slab, up)
        _unproject(whole, bbox[i], centre[i], jacobian[i], slide[i], step, radius, shares, slab, down)
        for zone in range(zones.shape[1]):
            w = weights[i, zone]
            if w > 0:
                gain[zones[i, zone]] += w * up
                sensitivity[zones[i, zone]] += w * down
    return number
