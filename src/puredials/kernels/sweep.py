"""All crossings of the Ewald sphere within a scan (Kabsch 2010, Acta D66, 133; Busing & Levy 1967)."""

import math

import numpy as np
from numba import njit

__all__ = ["sweep_crossings"]


@njit(cache=True, nogil=True)
def _point(points, position, h, k, m, r0):
    """r0 = A(position) h, A linear between `points` (n, 3, 3) and constant beyond their ends."""
    n = points.shape[0]
    if n == 1:
        for i in range(3):
            r0[i] = points[0, i, 0] * h + points[0, i, 1] * k + points[0, i, 2] * m
        return
    at = min(max(position, 0.0), n - 1.0)
    low = min(int(at), n - 2)
    share = at - low
    for i in range(3):
        a = points[low, i, 0] * h + points[low, i, 1] * k + points[low, i, 2] * m
        b = points[low + 1, i, 0] * h + points[low + 1, i, 1] * k + points[low + 1, i, 2] * m
        r0[i] = a + share * (b - a)


@njit(cache=True, nogil=True)
def _angles(r0, axis, s0):
    """(middle, half) of the two angles middle +- half of a point, half < 0 if it never crosses."""
    along = r0[0] * axis[0] + r0[1] * axis[1] + r0[2] * axis[2]
    s_along = s0[0] * axis[0] + s0[1] * axis[1] + s0[2] * axis[2]
    a = r0[0] * s0[0] + r0[1] * s0[1] + r0[2] * s0[2] - along * s_along
    b = (
        (axis[1] * r0[2] - axis[2] * r0[1]) * s0[0]
        + (axis[2] * r0[0] - axis[0] * r0[2]) * s0[1]
        + (axis[0] * r0[1] - axis[1] * r0[0]) * s0[2]
    )
    c = -0.5 * (r0[0] ** 2 + r0[1] ** 2 + r0[2] ** 2) - along * s_along
    amplitude = math.hypot(a, b)
    if amplitude == 0.0 or abs(c) > amplitude:
        return 0.0, -1.0
    return math.atan2(b, a), math.acos(c / amplitude)


@njit(cache=True, nogil=True)
def sweep_crossings(h_range, box, points, axis, s0, start, width, first, last, d_star_range, index, position, enters):
    """Reflections h that cross the sphere at positions (images from the scan's start) first <= z < last.

    For h in h_range, |k|, |l| <= box: with r0 = points(z) h and d_star_range[0] <= |r0| <= d_star_range[1], both
    solutions phi of r(phi) . s0 = -r0^2 / 2 (axis and s0 in the frame inside the setting rotation), on every turn,
    iterated with A at z = (phi - start) / width. Angles in rad. Fills index (m, 3), position (m,), enters (m,), in the
    order of h, k, l, sense, turn, and returns how many there are, which may be more than fit.
    """
    found, capacity = 0, len(position)
    middle_of_scan = 0.5 * (first + last)
    r0 = np.empty(3)
    turn = 2 * math.pi / abs(width)
    low, high = d_star_range[0] ** 2, d_star_range[1] ** 2
    for h in range(h_range[0], h_range[1]):
        for k in range(-box[0], box[0] + 1):
            for m in range(-box[1], box[1] + 1):
                _point(points, middle_of_scan, h, k, m, r0)
                length = r0[0] ** 2 + r0[1] ** 2 + r0[2] ** 2
                if length < low or length > high or length == 0.0:
                    continue
                middle, half = _angles(r0, axis, s0)
                if half < 0:
                    continue
                for sense in range(2):
                    phi = middle + half if sense == 0 else middle - half
                    z = (phi - start) / width
                    z += math.ceil((first - 0.02 * turn - z) / turn) * turn
                    while z < last + 0.02 * turn:  # the margin is more than any crystal slips
                        better, good = z, True
                        for _ in range(20):
                            _point(points, better, h, k, m, r0)
                            mid, s = _angles(r0, axis, s0)
                            if s < 0:
                                good = False
                                break
                            now = ((mid + s if sense == 0 else mid - s) - start) / width
                            now += round((z - now) / turn) * turn
                            change = abs(now - better)
                            better = now
                            if change < 1e-7:
                                break
                        if good and first <= better < last:
                            if found < capacity:
                                index[found, 0], index[found, 1], index[found, 2] = h, k, m
                                position[found] = better
                                enters[found] = sense == 0
                            found += 1
                        z += turn
    return found
