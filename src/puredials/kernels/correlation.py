"""Correlation of two sets of intensities over the reflections that they share."""

from numba import njit

__all__ = ["common_correlation"]


@njit(cache=True, nogil=True)
def common_correlation(key_a, value_a, weight_a, key_b, value_b, weight_b, out):
    """Pearson's correlation and the effective number of common keys into out[0], out[1]; keys are sorted and unique.

    Plain definition: with ``common, i, j = np.intersect1d(key_a, key_b, return_indices=True)`` and
    ``w = weight_a[i] * weight_b[j]``, the number is ``w.sum() ** 2 / (w**2).sum()``, and the correlation is
    ``c[0, 1] / np.sqrt(c[0, 0] * c[1, 1])`` of ``c = np.cov(value_a[i], value_b[j], aweights=w)`` (0 if a side has no
    spread or fewer than three are common).
    """
    i = j = n = 0
    sw = sww = sa = sb = saa = sbb = sab = 0.0
    while i < len(key_a) and j < len(key_b):
        if key_a[i] < key_b[j]:
            i += 1
        elif key_a[i] > key_b[j]:
            j += 1
        else:
            a, b, w = value_a[i], value_b[j], weight_a[i] * weight_b[j]
            n += 1
            sw += w
            sww += w * w
            sa += w * a
            sb += w * b
            saa += w * a * a
            sbb += w * b * b
            sab += w * a * b
            i += 1
            j += 1
    out[0] = out[1] = 0.0
    if sw > 0:
        out[1] = sw * sw / sww
        va, vb = saa - sa * sa / sw, sbb - sb * sb / sw
        if n > 2 and va > 1e-12 * saa and vb > 1e-12 * sbb:
            out[0] = (sab - sa * sb / sw) / (va * vb) ** 0.5
