"""Residuals and normal equations of centroids under the rotation method and for stills."""

import math

import numpy as np
from numba import njit

__all__ = ["normal_equations"]


@njit(cache=True, nogil=True, error_model="numpy")
def normal_equations(
    h, observed, weight, cell, panel, entering, still,
    M, dM, s0, ds0, axis, D, E,
    residual, N, g,
):  # fmt: skip
    """Accumulate, for each cell, N = sum J^T W J, g = sum J^T W r, and write the residuals r = calculated - observed.

    A cell is a part of an experiment within which the models are constant. All vectors are in the frame inside the
    setting rotation S of its goniometer. The slots of J are: nb beam, nc crystal, nd detector parameters of the cell.

        h (n, 3) indices; observed (n, 3) X mm, Y mm, phi rad; weight (n, 3); cell, panel (n,); entering (n,)
        still (k,) bool; M (k, 3, 3) = F A; dM (k, nc, 3, 3); s0 (k, 3); ds0 (k, nb, 3); axis (k, 3) scan axis e
        D (p, 3, 3) = d^-1 S; E (p, nd, 3, 3) = d^-1 (dd/dq), with d the panel's matrix (fast, slow, origin)
        residual (n, 3), N (k, m, m), g (k, m), m = nb + nc + nd, are filled; N and g must come in as zeros

    Rotation (r = R(e, phi) M h, s1 = s0 + r, t = e x r; Waterman et al. 2016, Acta D72, 558, section 3):
        phi solves r.s0 = -r.r / 2 with the sense `entering`, in the turn nearest to the observed angle
        dphi = -(R dM h).s1 / (t.s1) for the crystal, -(r.ds0) / (t.s1) for the beam, 0 for the detector
        ds1 = R dM h + t dphi | ds0 + t dphi | 0
        (u, v, w) = D s1; X = u / w, Y = v / w; d(u, v, w) = D ds1 or -E (u, v, w)
    Stills (q = -s0/|s0|, p = the unit vector along r - (r.q) q, c = |r| / (2 |s0|)):
        s1 = s0 + |r| (c q + sqrt(1 - c^2) p); third residual delpsi = angle(r, q) - arccos(c), observed 0
    A reflection that cannot diffract under the current models is put where it comes nearest.
    """
    n = h.shape[0]
    nb, nc, nd = ds0.shape[1], dM.shape[1], E.shape[1]
    m = nb + nc + nd
    J = np.zeros((3, m))
    R = np.zeros((3, 3))
    r = np.zeros(3)
    s1 = np.zeros(3)
    dr = np.zeros(3)
    for i in range(n):
        k, p = cell[i], panel[i]
        ex, ey, ez = axis[k, 0], axis[k, 1], axis[k, 2]
        sx, sy, sz = s0[k, 0], s0[k, 1], s0[k, 2]
        for a in range(3):
            dr[a] = M[k, a, 0] * h[i, 0] + M[k, a, 1] * h[i, 1] + M[k, a, 2] * h[i, 2]
        length2 = dr[0] * dr[0] + dr[1] * dr[1] + dr[2] * dr[2]
        if still[k]:
            angle = _still_ray(dr, s0[k], s1)
        else:
            along = ex * dr[0] + ey * dr[1] + ez * dr[2]
            es = ex * sx + ey * sy + ez * sz
            cx, cy, cz = ey * dr[2] - ez * dr[1], ez * dr[0] - ex * dr[2], ex * dr[1] - ey * dr[0]
            ca = dr[0] * sx + dr[1] * sy + dr[2] * sz - along * es
            cb = cx * sx + cy * sy + cz * sz
            ratio = (-0.5 * length2 - along * es) / math.sqrt(ca * ca + cb * cb)
            half = math.acos(min(1.0, max(-1.0, ratio)))
            angle = math.atan2(cb, ca) + (half if entering[i] else -half)
            angle += 2 * math.pi * np.rint((observed[i, 2] - angle) / (2 * math.pi))
            c, s = math.cos(angle), math.sin(angle)
            R[0, 0], R[0, 1], R[0, 2] = c + ex * ex * (1 - c), ex * ey * (1 - c) - ez * s, ex * ez * (1 - c) + ey * s
            R[1, 0], R[1, 1], R[1, 2] = ex * ey * (1 - c) + ez * s, c + ey * ey * (1 - c), ey * ez * (1 - c) - ex * s
            R[2, 0], R[2, 1], R[2, 2] = ex * ez * (1 - c) - ey * s, ey * ez * (1 - c) + ex * s, c + ez * ez * (1 - c)
            for a in range(3):
                r[a] = R[a, 0] * dr[0] + R[a, 1] * dr[1] + R[a, 2] * dr[2]
                s1[a] = r[a] + s0[k, a]
        u = D[p, 0, 0] * s1[0] + D[p, 0, 1] * s1[1] + D[p, 0, 2] * s1[2]
        v = D[p, 1, 0] * s1[0] + D[p, 1, 1] * s1[1] + D[p, 1, 2] * s1[2]
        w = D[p, 2, 0] * s1[0] + D[p, 2, 1] * s1[1] + D[p, 2, 2] * s1[2]
        x, y = u / w, v / w
        residual[i, 0], residual[i, 1] = x - observed[i, 0], y - observed[i, 1]
        residual[i, 2] = angle - (0.0 if still[k] else observed[i, 2])

        tx, ty, tz = ey * r[2] - ez * r[1], ez * r[0] - ex * r[2], ex * r[1] - ey * r[0]
        den = tx * s1[0] + ty * s1[1] + tz * s1[2]
        for q in range(m):
            if q < nb + nc:
                if still[k]:
                    if q < nb:
                        dangle = _still_gradient(dr, s0[k], np.zeros(3), ds0[k, q], r)
                    else:
                        dangle = _still_gradient(dr, s0[k], _times(dM[k, q - nb], h[i]), np.zeros(3), r)
                    dx, dy, dz = r[0], r[1], r[2]
                elif q < nb:
                    dx, dy, dz = ds0[k, q, 0], ds0[k, q, 1], ds0[k, q, 2]
                    dangle = -(r[0] * dx + r[1] * dy + r[2] * dz) / den
                    dx, dy, dz = dx + tx * dangle, dy + ty * dangle, dz + tz * dangle
                else:
                    dA = dM[k, q - nb]
                    ax = dA[0, 0] * h[i, 0] + dA[0, 1] * h[i, 1] + dA[0, 2] * h[i, 2]
                    ay = dA[1, 0] * h[i, 0] + dA[1, 1] * h[i, 1] + dA[1, 2] * h[i, 2]
                    az = dA[2, 0] * h[i, 0] + dA[2, 1] * h[i, 1] + dA[2, 2] * h[i, 2]
                    dx = R[0, 0] * ax + R[0, 1] * ay + R[0, 2] * az
                    dy = R[1, 0] * ax + R[1, 1] * ay + R[1, 2] * az
                    dz = R[2, 0] * ax + R[2, 1] * ay + R[2, 2] * az
                    dangle = -(dx * s1[0] + dy * s1[1] + dz * s1[2]) / den
                    dx, dy, dz = dx + tx * dangle, dy + ty * dangle, dz + tz * dangle
                du = D[p, 0, 0] * dx + D[p, 0, 1] * dy + D[p, 0, 2] * dz
                dv = D[p, 1, 0] * dx + D[p, 1, 1] * dy + D[p, 1, 2] * dz
                dw = D[p, 2, 0] * dx + D[p, 2, 1] * dy + D[p, 2, 2] * dz
            else:
                e = E[p, q - nb - nc]
                du = -(e[0, 0] * u + e[0, 1] * v + e[0, 2] * w)
                dv = -(e[1, 0] * u + e[1, 1] * v + e[1, 2] * w)
                dw = -(e[2, 0] * u + e[2, 1] * v + e[2, 2] * w)
                dangle = 0.0
            J[0, q] = (du - x * dw) / w
            J[1, q] = (dv - y * dw) / w
            J[2, q] = dangle
        for q in range(m):
            jx, jy, jz = weight[i, 0] * J[0, q], weight[i, 1] * J[1, q], weight[i, 2] * J[2, q]
            g[k, q] += jx * residual[i, 0] + jy * residual[i, 1] + jz * residual[i, 2]
            for o in range(q + 1):
                N[k, q, o] += jx * J[0, o] + jy * J[1, o] + jz * J[2, o]
    for k in range(N.shape[0]):
        for q in range(m):
            for o in range(q):
                N[k, o, q] = N[k, q, o]


@njit(cache=True, nogil=True, error_model="numpy")
def _times(matrix, vector):
    out = np.empty(3)
    for a in range(3):
        out[a] = matrix[a, 0] * vector[0] + matrix[a, 1] * vector[1] + matrix[a, 2] * vector[2]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _still_ray(r, s0, s1):
    """Write s1 of the point r turned onto the sphere in the plane of r and s0; return the angle turned (rad)."""
    k = math.sqrt(s0[0] ** 2 + s0[1] ** 2 + s0[2] ** 2)
    length = math.sqrt(r[0] ** 2 + r[1] ** 2 + r[2] ** 2)
    along = -(r[0] * s0[0] + r[1] * s0[1] + r[2] * s0[2]) / k
    c = min(1.0, length / (2 * k))
    across = math.sqrt(max(length * length - along * along, 1e-300))
    for a in range(3):
        q = -s0[a] / k
        s1[a] = s0[a] + length * (c * q + math.sqrt(1 - c * c) * (r[a] - along * q) / across)
    return math.atan2(across, along) - math.acos(c)


@njit(cache=True, nogil=True, error_model="numpy")
def _still_gradient(r, s0, dr, ds0, ds1):
    """Write the change of s1, and return that of the angle, as r and s0 change by dr and ds0 (see `_still_ray`)."""
    k = math.sqrt(s0[0] ** 2 + s0[1] ** 2 + s0[2] ** 2)
    length = math.sqrt(r[0] ** 2 + r[1] ** 2 + r[2] ** 2)
    dk = (s0[0] * ds0[0] + s0[1] * ds0[1] + s0[2] * ds0[2]) / k
    dlength = (r[0] * dr[0] + r[1] * dr[1] + r[2] * dr[2]) / length
    along = -(r[0] * s0[0] + r[1] * s0[1] + r[2] * s0[2]) / k
    across = math.sqrt(max(length * length - along * along, 1e-300))
    c = length / (2 * k)
    sine = math.sqrt(max(1 - c * c, 1e-12))
    dc = dlength / (2 * k) - c * dk / k
    dalong = 0.0
    for a in range(3):
        dalong -= (dr[a] * s0[a] + r[a] * ds0[a]) / k
    dalong -= along * dk / k
    dacross = (length * dlength - along * dalong) / across
    for a in range(3):
        q, dq = -s0[a] / k, -(ds0[a] - s0[a] * dk / k) / k
        p = (r[a] - along * q) / across
        dp = (dr[a] - dalong * q - along * dq - p * dacross) / across
        onto = c * q + sine * p
        ds1[a] = ds0[a] + dlength * onto + length * (dc * q + c * dq - c * dc / sine * p + sine * dp)
    return (along * dacross - across * dalong) / (length * length) + dc / sine
