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

Real errors have longer tails than normal ones: diffraction by several planes, a crystal that slips, neighbours. Were
sigma' the standard deviation of all of them, the worst would hide themselves and their like. So deviations follow
Student's t with scale sigma', the spread of the many, and with as few degrees of freedom nu as the data ask for (Lange,
Little & Taylor 1989, J. Am. Stat. Assoc. 84, 881). An observation that deviates by z counts (nu + 1) / (nu + z^2), in
the fit and in means; normal errors give a large nu, and equal counts. Each observation tells (nu + 1) / (nu + 3) of
what a normal one does (their equation 7), so its variance is sigma'^2 (nu + 3) / (nu + 1) over its count.
"""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from puredials.scaling.params import BasicErrorParams

__all__ = ["ErrorModel", "fit_error_model", "group_means"]

Values = Float64[np.ndarray, " n"]
# Degrees of freedom: below 2 there is no variance, above 1000 nothing tells the distribution from a normal one.
_NU_RANGE = (2.0, 1000.0)
_LONGEST, _STEP = 100.0, 0.02


@dataclass(frozen=True)
class ErrorModel:
    """a, b, c of the formula above, nu of the tails; `refined` is False for given values."""

    a: float = 1.0
    b: float = 0.02
    c: float = 0.0
    refined: bool = False
    nu: float = _NU_RANGE[1]

    @property
    def isa(self) -> float:
        """The largest I/sigma that any observation can reach (Diederichs 2010, Acta D66, 733)."""
        return 1 / (self.a * self.b * np.sqrt((self.nu + 3) / (self.nu + 1))) if self.b > 0 else float("inf")

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
    iterations: int = 30,
    tolerance: float = 2e-5,
) -> ErrorModel:
    """The error model of scaled observations; `start` if too few are repeated.

    Args:
        value, variance: I / g and sigma^2 / g^2.
        unit: L / g, the scaled unit of one count.
        group: number of the unique reflection, of m.
        tolerance: relative change of a at which the iterations end.
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
    expected, _ = group_means(value, 1 / variance, group, m)
    count = np.ones(len(value))
    for _ in range(iterations):
        sigma2 = model.variance(variance, unit, expected[group])
        expected, total = group_means(value, count / sigma2, group, m)
        mean = np.maximum(expected[group], 0)
        share = np.maximum(1 - count / (sigma2 * total[group]), 1e-9)
        z2 = (value - expected[group]) ** 2 / (share * sigma2)
        nu = _degrees_of_freedom(z2, share)
        count = (nu + 1) / (nu + z2)
        # Counts have the mean 1 at the solution; with that at each step it comes sooner (Kent, Tyler & Vardi 1994,
        # Commun. Stat. Simul. 23, 441).
        count /= np.sum(share * count) / np.sum(share)
        terms = np.stack([variance, unit * mean, mean**2], axis=1)
        before = model
        model = replace(_solve(terms, count * z2 * sigma2, share / sigma2**2, fixed), nu=nu)
        if abs(model.a - before.a) < tolerance * model.a and abs(model.b - before.b) < 1e-5:
            break
    return model


def _degrees_of_freedom(z2: Values, share: Values) -> float:
    """The most probable nu of deviations squared, each of which tells `share` of an independent one."""
    # Of a histogram: the logarithms of all deviations, at each trial, would take longer than the rest of the fit.
    number = np.bincount((np.minimum(np.sqrt(z2), _LONGEST) / _STEP).astype(np.int64), share)
    middle2 = (_STEP * (np.arange(len(number)) + 0.5)) ** 2

    def unlikelihood(log_nu: float) -> float:
        nu = np.exp(log_nu)
        constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu)
        return float(number @ ((nu + 1) / 2 * np.log1p(middle2 / nu) - constant))

    found: Any = minimize_scalar(unlikelihood, bounds=np.log(_NU_RANGE), method="bounded")
    return float(np.exp(found.x))


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
    for size in range(k, 0, -1):
        for chosen in combinations(range(k), size):
            at = list(chosen)
            unit = scale[at]
            part = np.linalg.lstsq(matrix[np.ix_(at, at)] * np.outer(unit, unit), vector[at] * unit)[0] * unit
            value = -0.5 * float(part @ vector[at])
            if (part >= 0).all() and value < lowest:
                best, lowest = np.zeros(k), value
                best[at] = part
        if size == k and best.any():
            break  # without a bound there is none better
    return best
