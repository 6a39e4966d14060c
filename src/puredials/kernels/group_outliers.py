"""Observations that disagree with their equivalents."""

import numpy as np
from numba import njit

__all__ = ["mark_outliers"]


@njit(cache=True, nogil=True)
def mark_outliers(starts, value, constant, linear, quadratic, z_max, iterate, outlier):
    """Set outlier[i] where observation i of a group of three or more deviates by more than z_max.

    Group h are the observations starts[h]:starts[h + 1]; with M the median of those not yet marked, their variances are
    v = constant + linear max(M, 0) + quadratic M^2. The deviation of i is |value_i - mean of the others| divided by
    sqrt(v_i + variance of that mean), with weights 1/v. If `iterate`, only the worst is marked and the rest are judged
    again, as long as more than two are left; otherwise all are judged once, by their deviation from the mean of all
    over sqrt(v_i).
    """
    longest = 0
    for h in range(len(starts) - 1):
        longest = max(longest, starts[h + 1] - starts[h])
    rows, weight = np.empty(longest, np.int64), np.empty(longest)
    for h in range(len(starts) - 1):
        n = 0
        for i in range(starts[h], starts[h + 1]):
            outlier[i] = False
            rows[n] = i
            n += 1
        while n > 2:
            middle = np.median(value[rows[:n]])
            total, weighted = 0.0, 0.0
            for j in range(n):
                i = rows[j]
                weight[j] = 1 / (constant[i] + linear[i] * max(middle, 0.0) + quadratic[i] * middle * middle)
                total += weight[j]
                weighted += weight[j] * value[i]
            worst, at = z_max * z_max, -1
            for j in range(n):
                i = rows[j]
                if iterate:
                    others = total - weight[j]
                    off = value[i] - (weighted - weight[j] * value[i]) / others
                    z2 = off * off / (1 / weight[j] + 1 / others)
                    if z2 > worst:
                        worst, at = z2, j
                else:
                    off = value[i] - weighted / total
                    outlier[i] = off * off * weight[j] > worst
            if at < 0:
                break
            outlier[rows[at]] = True
            n -= 1
            rows[at] = rows[n]
