"""Correlation of two sets of intensities over the reflections that they share."""

from numba import njit

__all__ = ["common_correlation"]


@njit(cache=True, nogil=True)
def common_correlation(key_a, value_a, key_b, value_b, out):
    """Pearson's correlation and the number of common keys into out[0], out[1]; the keys are sorted and unique.

    Plain definition: ``common, i, j = np.intersect1d(key_a, key_b, return_indices=True)``, then
    ``np.corrcoef(value_a[i], value_b[j])[0, 1]`` (0 if a side has no spread or fewer than three are common).
    """
    i = j = n = 0
    sa = sb = saa = sbb = sab = 0.0
    while i < len(key_a) and j < len(key_b):
        if key_a[i] < key_b[j]:
            i += 1
        elif key_a[i] > key_b[j]:
            j += 1
        else:
            a, b = value_a[i], value_b[j]
            n += 1
            sa += a
            sb += b
            saa += a * a
            sbb += b * b
            sab += a * b
            i += 1
            j += 1
    out[0] = 0.0
    out[1] = n
    if n > 2:
        va, vb = saa - sa * sa / n, sbb - sb * sb / n
        if va > 1e-12 * saa and vb > 1e-12 * sbb:
            out[0] = (sab - sa * sb / n) / (va * vb) ** 0.5
