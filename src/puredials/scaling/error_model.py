"""Standard deviations that agree with the spread of equivalent reflections.

The variance of an observation I (in units in which one count is L) is modelled as

    sigma'^2 = a^2 (sigma^2 + c L <I> + (b <I>)^2)

(Evans 2006, Acta D62, 72, eq. 5: a = SdFac, c = SdB^2, b = SdAdd; without c it is that of Beilsten-Edmands et al. 2020,
Acta D76, 385, section 2.3). Each term has a cause: counting statistics as integration states them; photons of the
reflection itself that count for more or less than stated relative to those of the background, as they do after profile
fitting; and errors in proportion to the intensity (beam, shutter, detector, what the scaling model leaves). The
expected intensity <I> stands in place of I in both added terms, since a positive error of I must not lower its own
weight; for the same reason the caller puts the expected photons in place of those counted into sigma^2.

The terms are linear in a^2, a^2 c and a^2 b^2, so they are variance components. With r the deviation of an observation
from the weighted mean of its group and h its leverage, E[r^2 / (1 - h)] = sigma'^2; the components are fitted to these
squares by iteratively reweighted least squares for a gamma variable (McCullagh & Nelder 1989, chapter 8), all
intensities included, the weakest as well.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import ndtr

from puredials.scaling.params import BasicErrorParams

__all__ = ["ErrorModel", "fit_error_model", "group_means"]

Values = Float64[np.ndarray, " n"]
_CLIP = 3.0


@dataclass(frozen=True)
class ErrorModel:
    """a, b, c of the formula above; `refined` is False for given values."""

    a: float = 1.0
    b: float = 0.02
    c: float = 0.0
    refined: bool = False

    @property
    def isa(self) -> float:
        """The largest I/sigma that any observation can reach (Diederichs 2010, Acta D66, 733)."""
        return 1 / (self.a * self.b) if self.b > 0 else float("inf")

    def variance(self, variance: Values, unit: Values, expected: Values) -> Values:
        """sigma'^2 from sigma^2, L and <I>."""
        positive = np.maximum(expected, 0)
        return self.a**2 * (variance + self.c * unit * positive + (self.b * positive) ** 2)


def group_means(
    value: Values, weight: Values, group: Int64[np.ndarray, " n"], m: int
) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """Weighted mean of each of m groups (0 for an empty one) and the sum of its weights."""
    total = np.bincount(group, weight, m)
    return np.bincount(group, weight * value, m) / np.where(total > 0, total, 1), total


def fit_error_model(
    value: Values,
    variance: Values,
    unit: Values,
    group: Int64[np.ndarray, " n"],
    m: int,
    *,
    start: ErrorModel | None = None,
    fixed: BasicErrorParams | None = None,
    iterations: int = 12,
) -> ErrorModel:
    """The error model of scaled observations; `start` if too few are repeated.

    Args:
        value, variance: I / g and sigma^2 / g^2.
        unit: L / g, the scaled unit of one count.
        group: number of the unique reflection, of m.
    """
    model, fixed = start or ErrorModel(), fixed or BasicErrorParams()
    counts = np.bincount(group, minlength=m)
    used = counts[group] > 1
    value, variance, unit, group = value[used], variance[used], unit[used], group[used]
    freedom = len(value) - int((counts > 1).sum())
    if freedom < 100:
        return ErrorModel(
            model.a if fixed.a is None else fixed.a, model.b if fixed.b is None else fixed.b,
            model.c if fixed.c is None else fixed.c,
        )  # fmt: skip
    # E[min(z^2, clip^2)] of a normal deviate: what clipping takes from the mean square is given back.
    tail, density = ndtr(-_CLIP), np.exp(-(_CLIP**2) / 2) / np.sqrt(2 * np.pi)
    kept = 1 - 2 * tail - 2 * _CLIP * density + 2 * _CLIP**2 * tail
    expected, _ = group_means(value, 1 / variance, group, m)
    for _ in range(iterations):
        sigma2 = model.variance(variance, unit, expected[group])
        expected, total = group_means(value, 1 / sigma2, group, m)
        mean = np.maximum(expected[group], 0)
        share = np.maximum(1 - 1 / (sigma2 * total[group]), 1e-9)
        square = np.minimum((value - expected[group]) ** 2 / (share * sigma2), _CLIP**2) / kept * sigma2
        terms = np.stack([variance, unit * mean, mean**2], axis=1)
        before = model
        model = _solve(terms, square, share / sigma2**2, fixed)
        if abs(model.a - before.a) < 1e-5 * model.a and abs(model.b - before.b) < 1e-5:
            break
    return model


def _solve(terms: Float64[np.ndarray, "n 3"], square: Values, weight: Values, fixed: BasicErrorParams) -> ErrorModel:
    """Non-negative components with square = terms @ (a^2, a^2 c, a^2 b^2) in the weighted least-squares sense."""
    if fixed.b is not None:  # its term goes with a^2
        terms = terms.copy()
        terms[:, 0] += fixed.b**2 * terms[:, 2]
        terms[:, 2] = 0
    if fixed.c is not None:
        terms = terms.copy()
        terms[:, 0] += fixed.c * terms[:, 1]
        terms[:, 1] = 0
    free = [k for k in range(3) if not (k == 0 and fixed.a is not None) and terms[:, k].any()]
    if fixed.a is not None:
        square = square - fixed.a**2 * terms[:, 0]
    part = np.zeros(3)
    if free:
        weighted = terms[:, free] * weight[:, None]
        part[free] = _non_negative(terms[:, free].T @ weighted, weighted.T @ square)
    a2 = fixed.a**2 if fixed.a is not None else max(part[0], 1e-6)
    b = np.sqrt(part[2] / a2) if fixed.b is None else fixed.b
    c = part[1] / a2 if fixed.c is None else fixed.c
    return ErrorModel(float(np.sqrt(a2)), float(b), float(c), True)


def _non_negative(matrix: Float64[np.ndarray, "k k"], vector: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    """The x >= 0 with the least 1/2 x matrix x - vector x: the best of all choices of components that are not 0."""
    k = len(vector)
    scale = 1 / np.sqrt(np.diag(matrix))
    best, lowest = np.zeros(k), 0.0
    for size in range(1, k + 1):
        for chosen in combinations(range(k), size):
            at = list(chosen)
            unit = scale[at]
            part = np.linalg.lstsq(matrix[np.ix_(at, at)] * np.outer(unit, unit), vector[at] * unit)[0] * unit
            value = -0.5 * float(part @ vector[at])
            if (part >= 0).all() and value < lowest:
                best, lowest = np.zeros(k), value
                best[at] = part
    return best
