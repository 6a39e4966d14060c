"""Real spherical harmonics of directions, summed over the two ends of a beam path."""

import numpy as np
from numba import njit

__all__ = ["add_harmonics"]


@njit(cache=True, nogil=True)
def add_harmonics(directions, lmax, weight, out):
    """Add weight * Y_lm of unit vectors (n, 3) to out (n, lmax (lmax + 2)), in the order l = 1..lmax, m = -l..l.

    Y_lm is orthonormal and real, without the Condon-Shortley phase: with the polar angle t and the azimuth f,
    N P_l^|m|(cos t) times sqrt(2) sin(|m| f), 1 or sqrt(2) cos(m f) for m < 0, = 0, > 0, where
    N = sqrt((2l + 1) / 4 pi (l - |m|)! / (l + |m|)!). With Y = scipy.special.sph_harm_y(l, |m|, t, f):
    out[:, l*l - 1 + l + m] += weight * (1 if m == 0 else sqrt(2) (-1)^m) * (Y.imag if m < 0 else Y.real).

    P_l^m sin^m(t) is got by recurrence on l at fixed m (Abramowitz & Stegun 8.5.3), and sin^m(t) exp(i m f) as powers
    of x + iy, which needs no angles.
    """
    factors = np.empty((lmax + 1, lmax + 1))
    for l in range(lmax + 1):  # noqa: E741
        for m in range(l + 1):
            ratio = 1.0
            for k in range(l - m + 1, l + m + 1):
                ratio /= k
            factors[l, m] = np.sqrt((2 * l + 1) / (4 * np.pi) * ratio) * (1.0 if m == 0 else np.sqrt(2.0))
    for i in range(len(directions)):
        x, y, z = directions[i, 0], directions[i, 1], directions[i, 2]
        real, imaginary, diagonal = 1.0, 0.0, 1.0
        for m in range(lmax + 1):
            before, here = 0.0, diagonal
            for l in range(m, lmax + 1):  # noqa: E741
                if l > 0:
                    value = weight * factors[l, m] * here
                    centre = l * l - 1 + l
                    out[i, centre + m] += value * real
                    if m > 0:
                        out[i, centre - m] += value * imaginary
                before, here = here, ((2 * l + 1) * z * here - (l + m) * before) / (l - m + 1)
            real, imaginary = real * x - imaginary * y, real * y + imaginary * x
            diagonal *= 2 * m + 1
