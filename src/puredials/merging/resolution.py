"""Estimates of the resolution to which the data reach.

Merging statistics in narrow shells are noisy, so a curve is fitted to each as a function of 1/d^2, and the limit is
where that curve crosses the value asked for. Correlations fall like half a hyperbolic tangent.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64
from scipy.optimize import least_squares
from scipy.special import stdtrit

from puredials.errors import TooFewReflectionsError
from puredials.merging.equivalents import Equivalents, find_equivalents, merge
from puredials.merging.french_wilson import local_mean_intensity
from puredials.merging.observations import Observations, median_cell, scaled_observations, symmetry_of
from puredials.merging.params import ResolutionParams
from puredials.model import Experiments, ReflectionTable

__all__ = ["METRICS", "Curve", "Limit", "ResolutionResult", "estimate_resolution"]

# Random halvings over which CC1/2 is averaged: one alone gives limits that scatter by some 0.01 A.
_N_SPLITS = 10
# Metric -> name in print; in the order of the report.
METRICS = {
    "cc_half": "CC½",
    "cc_ref": "CC with the reference",
    "isigma": "unmerged <I/σ(I)>",
    "misigma": "merged <I/σ(I)>",
    "i_mean_over_sigma_mean": "unmerged <I>/<σ(I)>",
    "completeness": "completeness",
    "rmerge": "Rmerge",
}

Shells = Float64[np.ndarray, " k"]
Values = Float64[np.ndarray, " n"]
Reference = tuple[Int32[np.ndarray, "r 3"], Float64[np.ndarray, " r"]]


@dataclass(frozen=True)
class Limit:
    """Where data end: d_min in Angstrom; within_data: False if that is only where they were measured to."""

    d_min: float
    within_data: bool


@dataclass(frozen=True, eq=False)
class Curve:
    """One statistic against resolution.

    Attributes:
        metric: key of `METRICS`; threshold: the value that ends the data.
        s_squared, value: (k,) 1/d^2 and statistic of the shells, from low to high resolution (NaN: none).
        fitted: (k,) the curve; critical: (k,) least significant correlation of each shell, or None.
        passes: where the curve passes the threshold, or None if the fit failed.
        significant: to where correlations of so many pairs are significant, or None of other statistics.
    """

    metric: str
    threshold: float
    s_squared: Shells
    value: Shells
    fitted: Shells
    critical: Shells | None
    passes: Limit | None
    significant: Limit | None

    @property
    def is_uncertain(self) -> bool:
        """Whether the data end where correlations are no longer significant, before the curve passes the threshold."""
        return bool(self.passes and self.significant and self.significant.d_min > self.passes.d_min)

    @property
    def limit(self) -> Limit | None:
        """The lower resolution of the two."""
        return self.significant if self.is_uncertain else self.passes


@dataclass(frozen=True, eq=False)
class ResolutionResult:
    """The curves of all statistics asked for; n_rejected: observations left out as outliers of Wilson's statistics."""

    curves: tuple[Curve, ...]
    n_rejected: int
    n_observations: int

    @property
    def d_min(self) -> float | None:
        """The limit by all statistics together: the largest d."""
        limits = [c.limit.d_min for c in self.curves if c.limit is not None]
        return max(limits) if limits else None


def estimate_resolution(
    experiments: Experiments,
    table: ReflectionTable,
    *,
    params: ResolutionParams | None = None,
    reference: Reference | None = None,
) -> ResolutionResult:
    """Limits by all the statistics that `params` asks for; `reference` holds indices and intensities for cc_ref."""
    params = params or ResolutionParams()
    symmetry, cell = symmetry_of(experiments), median_cell(experiments)
    observations = scaled_observations(table, cell)
    equivalents = find_equivalents(observations.hkl, symmetry)
    rejected = _wilson_outliers(observations, equivalents, params.emax)
    if rejected.any():
        observations = observations.select(~rejected)
        equivalents = find_equivalents(observations.hkl, symmetry)
    data = _Shelled(observations, equivalents, cell, params)
    curves: list[Curve] = []
    for metric in METRICS:
        threshold = getattr(params, metric)
        if threshold is None or (metric == "cc_ref" and reference is None):
            continue
        curves.append(_curve(metric, threshold, data, params, reference, symmetry))
    return ResolutionResult(tuple(curves), int(rejected.sum()), len(observations.hkl))


class _Shelled:
    """Observations in groups (unique reflections, or Friedel halves), and groups in shells of resolution."""

    def __init__(
        self, observations: Observations, equivalents: Equivalents, cell: gemmi.UnitCell, params: ResolutionParams
    ) -> None:
        self.value, self.sigma = observations.value, np.sqrt(observations.variance)
        labels = equivalents.half if params.anomalous else equivalents.group
        _, first, self.group = np.unique(labels, return_index=True, return_inverse=True)
        self.n_groups = len(first)
        self.hkl = equivalents.hkl[equivalents.group[first]]
        s_squared = 1 / observations.d[first] ** 2
        n_shells = min(params.nbins, self.n_groups // params.reflections_per_bin)
        if n_shells < 3:
            raise TooFewReflectionsError(
                f"{self.n_groups} unique reflections are too few to estimate the resolution: three shells of at least "
                f"{params.reflections_per_bin} are needed."
            )
        self.cell, self.n_shells = cell, n_shells
        if params.binning_method == "volume":
            low, high = s_squared.min() ** 1.5, s_squared.max() ** 1.5 * (1 + 1e-12)
            edges = np.linspace(low, high, n_shells + 1) ** (2 / 3)
        else:
            ordered = np.sort(s_squared)
            inner = ordered[np.arange(1, n_shells) * len(ordered) // n_shells]
            edges = np.concatenate([ordered[:1], inner, ordered[-1:] * (1 + 1e-12)])
        self.edges = edges
        self.shell = np.clip(np.searchsorted(edges, s_squared, side="right") - 1, 0, n_shells - 1)
        self.count = np.bincount(self.shell, minlength=n_shells)
        self.centres = (edges[:-1] + edges[1:]) / 2
        self.merged = merge(self.value, observations.variance, self.group, self.n_groups)

    def mean(self, values: Values, *, of_observations: bool = False) -> Shells:
        """The mean of a quantity of groups, or of observations, in each shell."""
        shell = self.shell[self.group] if of_observations else self.shell
        with np.errstate(invalid="ignore"):
            return np.bincount(shell, values, self.n_shells) / np.bincount(shell, minlength=self.n_shells)

    def correlation(self, x: Values, y: Values) -> tuple[Shells, Shells]:
        """Pearson's coefficient of pairs (of groups; NaN: no pair) in each shell, and their number."""
        pair = np.isfinite(x) & np.isfinite(y)
        shell, x, y = self.shell[pair], x[pair], y[pair]
        n = np.bincount(shell, minlength=self.n_shells)
        with np.errstate(invalid="ignore", divide="ignore"):
            x = x - (np.bincount(shell, x, self.n_shells) / n)[shell]
            y = y - (np.bincount(shell, y, self.n_shells) / n)[shell]
            xx, yy, xy = (np.bincount(shell, v, self.n_shells) for v in (x * x, y * y, x * y))
            cc = np.where(n > 2, xy / np.sqrt(xx * yy), np.nan)
        return cc, n.astype(np.float64)


def _wilson_outliers(
    observations: Observations, equivalents: Equivalents, emax: float | None
) -> Bool[np.ndarray, " n"]:
    if emax is None or len(equivalents) < 100:
        return np.zeros(len(observations.hkl), dtype=bool)
    merged = merge(observations.value, observations.variance, equivalents.group, len(equivalents))
    s_squared = np.zeros(len(equivalents))
    s_squared[equivalents.group] = 1 / observations.d**2
    mean = local_mean_intensity(merged.value, merged.sigma, s_squared, equivalents.epsilon, equivalents.centric)
    # Where the error is larger than the mean intensity, a large measurement is no outlier.
    expected = np.maximum(equivalents.epsilon * mean, merged.sigma)
    return (merged.value > emax**2 * expected)[equivalents.group]


def _curve(
    metric: str,
    threshold: float,
    data: _Shelled,
    params: ResolutionParams,
    reference: Reference | None,
    symmetry: gemmi.GroupOps,
) -> Curve:
    critical = None
    n = data.count.astype(np.float64)
    match metric:
        case "cc_half":
            value, n = _cc_half(data, params.cc_half_method)
            critical = _critical_correlation(n, params.cc_half_significance_level)
        case "cc_ref":
            assert reference is not None
            value, n = data.correlation(data.merged.value, _matching(data.hkl, reference, symmetry))
        case "isigma":
            value = data.mean(data.value / data.sigma, of_observations=True)
        case "misigma":
            value = data.mean(data.merged.value / data.merged.sigma)
        case "i_mean_over_sigma_mean":
            value = data.mean(data.value, of_observations=True) / data.mean(data.sigma, of_observations=True)
        case "completeness":
            value = _completeness(data, symmetry)
        case _:
            value = _rmerge(data)
    good = np.isfinite(value) & (n > 3)
    x, y, weight = data.centres[good], value[good], np.sqrt(np.maximum(n[good] - 3, 1e-6))
    fitted = np.full(data.n_shells, np.nan)
    model: Callable[[Shells], Shells] | None = None
    if len(x) >= 3:
        is_correlation = metric.startswith("cc_")
        if is_correlation and params.cc_half_fit == "tanh":
            model = _fit_tanh(x, y, weight)
        else:
            model = _fit_polynomial(x, y, weight, logarithm=not is_correlation and metric != "completeness")
    passes = significant = None
    if model is not None:
        fitted = model(data.centres)
        passes = _crossing(model, threshold, data.edges, rising=metric == "rmerge")
        known = np.isfinite(critical) if critical is not None else np.zeros(0, dtype=bool)
        if critical is not None and known.any():
            centres, least = data.centres[known], critical[known]
            significant = _crossing(lambda s: model(s) - np.interp(s, centres, least), 0.0, data.edges)
    return Curve(metric, threshold, data.centres, value, fitted, critical, passes, significant)


def _cc_half(data: _Shelled, method: str) -> tuple[Shells, Shells]:
    counts = data.merged.count
    if method == "sigma_tau":
        # Assmann, Brehm & Diederichs 2016, J. Appl. Cryst. 49, 1021, eqs. 4-6.
        several = counts > 1
        mean = np.bincount(data.group, data.value, data.n_groups) / counts
        squares = np.bincount(data.group, (data.value - mean[data.group]) ** 2, data.n_groups)
        error = np.where(several, squares / np.maximum(counts - 1, 1) / counts, np.nan)
        shell = data.shell[several]
        n = np.bincount(shell, minlength=data.n_shells).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            centre = np.bincount(shell, mean[several], data.n_shells) / n
            total = np.bincount(shell, (mean[several] - centre[shell]) ** 2, data.n_shells) / (n - 1)
            noise = np.bincount(shell, error[several], data.n_shells) / n
            return np.where(n > 2, (total - noise) / (total + noise), np.nan), n
    rng = np.random.default_rng(0)
    total = np.zeros(data.n_shells)
    n = np.zeros(data.n_shells)
    weight = 1 / data.sigma**2
    for _ in range(_N_SPLITS):
        half = _random_halves(data.group, counts, rng)
        means = []
        for part in (0, 1):
            use = half == part
            norm = np.bincount(data.group[use], weight[use], data.n_groups)
            with np.errstate(invalid="ignore", divide="ignore"):
                means.append(np.bincount(data.group[use], (weight * data.value)[use], data.n_groups) / norm)
        cc, n = data.correlation(means[0], means[1])
        total += cc
    return total / _N_SPLITS, n


def _random_halves(
    group: Int64[np.ndarray, " n"], counts: Int64[np.ndarray, " m"], rng: np.random.Generator
) -> Int64[np.ndarray, " n"]:
    """0 or 1 for each observation, half of each group's each; which half gets the odd one is random."""
    order = np.lexsort((rng.random(len(group)), group))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, counts)
    return (rank + rng.integers(0, 2, len(counts))[group]) % 2


def _critical_correlation(n: Shells, level: float | None) -> Shells | None:
    """The least correlation of n pairs that is significant (one-sided) against none: Student's t of n - 2."""
    if level is None:
        return None
    freedom = np.where(n > 3, n - 2, np.nan)
    t = stdtrit(freedom, 1 - level)
    return t / np.sqrt(freedom + t**2)


def _matching(hkl: Int32[np.ndarray, "m 3"], reference: Reference, symmetry: gemmi.GroupOps) -> Values:
    """The reference's intensity of each reflection, NaN where it has none."""
    together = find_equivalents(np.concatenate([hkl, reference[0]]).astype(np.int32), symmetry)
    mine, theirs = together.group[: len(hkl)], together.group[len(hkl) :]
    count = np.bincount(theirs, minlength=len(together))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.bincount(theirs, reference[1], len(together)) / count)[mine]


def _completeness(data: _Shelled, symmetry: gemmi.GroupOps) -> Shells:
    group = gemmi.find_spacegroup_by_ops(symmetry) or gemmi.SpaceGroup("P 1")
    d_min, d_max = data.edges[-1] ** -0.5, data.edges[0] ** -0.5
    possible = gemmi.make_miller_array(data.cell, group, d_min * (1 - 1e-9), d_max * (1 + 1e-9))
    equivalents = find_equivalents(np.asarray(possible, dtype=np.int32), symmetry)
    s_squared = np.asarray(data.cell.calculate_1_d2_array(equivalents.hkl), dtype=np.float64)
    shell = np.clip(np.searchsorted(data.edges, s_squared, side="right") - 1, 0, data.n_shells - 1)
    measured = find_equivalents(data.hkl, symmetry)  # Friedel halves count once
    shells_of_unique = np.zeros(len(measured), dtype=np.int64)
    shells_of_unique[measured.group] = data.shell
    found = np.bincount(shells_of_unique[~measured.absent], minlength=data.n_shells)
    total = np.bincount(shell[~equivalents.absent], minlength=data.n_shells)
    return found / np.maximum(total, 1)


def _rmerge(data: _Shelled) -> Shells:
    several = (data.merged.count > 1)[data.group]
    group = data.group[several]
    mean = np.bincount(data.group, data.value, data.n_groups) / data.merged.count
    deviation = np.abs(data.value[several] - mean[group])
    shell = data.shell[group]
    top = np.bincount(shell, deviation, data.n_shells)
    bottom = np.bincount(shell, data.value[several], data.n_shells)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(bottom > 0, top / bottom, np.nan)


def _fit_tanh(x: Shells, y: Shells, weight: Shells) -> Callable[[Shells], Shells] | None:
    def curve(s: Shells, middle: float, width: float) -> Shells:
        return 0.5 * (1 - np.tanh((s - middle) / width))

    scale = float(x.max())  # so that the parameters are of order 1 for crystals of any cell
    fit = least_squares(lambda p: weight * (curve(x / scale, p[0], p[1]) - y), (0.9, 0.2), max_nfev=1000)
    middle, width = (float(v) * scale for v in fit.x)
    return (lambda s: curve(s, middle, width)) if fit.success and width > 0 else None


def _fit_polynomial(x: Shells, y: Shells, weight: Shells, *, logarithm: bool) -> Callable[[Shells], Shells] | None:
    good = y > 0 if logarithm else np.ones(len(y), dtype=bool)
    if good.sum() < 3:
        return None
    degree = int(min(6, good.sum() - 2))
    target = np.log(y[good]) if logarithm else y[good]
    polynomial = np.polynomial.Polynomial.fit(x[good], target, degree, w=weight[good])
    if logarithm:
        return lambda s: np.exp(np.clip(polynomial(s), -700, 700))
    return lambda s: polynomial(s)


def _crossing(model: Callable[[Shells], Shells], threshold: float, edges: Shells, *, rising: bool = False) -> Limit:
    """Where the curve, on its way from its best value to high resolution, first leaves the good side of the
    threshold."""
    s = np.linspace(edges[0], edges[-1], 2001)
    margin = (threshold - model(s)) if rising else (model(s) - threshold)
    best = int(np.argmax(margin))
    if margin[best] < 0:
        return Limit(float(edges[0] ** -0.5), True)
    bad = np.flatnonzero(margin[best:] < 0)
    if len(bad) == 0:
        return Limit(float(edges[-1] ** -0.5), False)
    i = best + int(bad[0]) - 1
    part = margin[i] / (margin[i] - margin[i + 1])
    return Limit(1 / math.sqrt(s[i] + part * (s[1] - s[0])), True)
