"""Profile-fitted or summed: which intensities of strong and weak reflections agree best with their equivalents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.scaling.error_model import group_means
from puredials.scaling.observations import Observations
from puredials.statistics import half_sets, pearson

__all__ = ["Combination", "candidates", "combine", "compare_combinations"]

Values = Float64[np.ndarray, " n"]
PROFILE, SUM = 0.0, 1.0


@dataclass(frozen=True)
class Combination:
    """How well intensities combined at `middle` (counts; 0 profile only, 1 sums only) agree with their equivalents."""

    middle: float
    cc_half: float
    r_meas: float


def candidates(observations: Observations, use: Bool[np.ndarray, " n"]) -> list[float]:
    """Profile, sum, and middles at the mean intensity and at the largest over powers of ten above it."""
    counts = (observations.summed / observations.factor)[use]
    counts = counts[np.isfinite(counts)]
    if not len(counts) or not np.isfinite(observations.profile[use]).any():
        return [PROFILE if not len(counts) else SUM]
    average, largest = float(counts.mean()), float(counts.max())
    middles = [average] if average > 0 else []
    while largest > average > 0:
        middles.append(largest)
        largest /= 10
    return [PROFILE, SUM, *middles]


def combine(observations: Observations, middle: float) -> tuple[Values, Values]:
    """Intensities and variances: the share of the sum grows as 1 - 1 / (1 + (I / middle)^3) with its counts I.

    Where only one of the two was measured, it is taken.
    """
    o = observations
    if middle in (PROFILE, SUM):
        profile = np.full(len(o.d), 1.0 - middle)
    else:
        with np.errstate(invalid="ignore"):
            profile = 1 / (1 + np.maximum(o.summed / o.factor / middle, 0) ** 3)
    profile = np.where(np.isfinite(o.profile), profile, 0.0)
    profile = np.where(np.isfinite(o.summed), profile, 1.0)

    def mixed(fitted: Values, summed: Values) -> Values:
        return np.where(profile > 0, fitted, 0) * profile + np.where(profile < 1, summed, 0) * (1 - profile)

    return mixed(o.profile, o.summed), mixed(o.profile_variance, o.summed_variance)


def compare_combinations(
    observations: Observations,
    middles: Sequence[float],
    rows: Int64[np.ndarray, " k"],
    group: Int64[np.ndarray, " k"],
    m: int,
    g: Float64[np.ndarray, " k"],
    sigma: Float64[np.ndarray, " k"],
) -> list[Combination]:
    """CC1/2 and Rmeas of each combination for observations `rows` of m groups; only I > sigma counts.

    Means are weighted by 1 / sigma^2, and deviations enter Rmeas with at most 3 sigma, the same ones for all
    combinations: which is better is to be told by all observations, not by the few that are wrong in one of them.
    """
    value, _ = combine(observations, middles[0])
    half = half_sets(value[rows], group)
    results = []
    for middle in middles:
        value, variance = (a[rows] for a in combine(observations, middle))
        strong = (value > np.sqrt(variance)) & (variance > 0)
        i, s = (value / g)[strong], (sigma / g)[strong]
        results.append(
            Combination(middle, _cc_half(i, s, group[strong], m, half[strong]), _r_meas(i, s, group[strong], m))
        )
    return results


def _r_meas(value: Values, sigma: Values, group: Int64[np.ndarray, " n"], m: int) -> float:
    n = np.bincount(group, minlength=m)
    mean, _ = group_means(value, 1 / sigma**2, group, m)
    repeated = n[group] > 1
    if not repeated.any():
        return float("nan")
    factor = np.sqrt(n / np.maximum(n - 1, 1))[group]
    deviation = factor * np.minimum(np.abs(value - mean[group]), 3 * sigma)
    return float(np.sum(deviation[repeated]) / np.sum(mean[group][repeated]))


def _cc_half(
    value: Values, sigma: Values, group: Int64[np.ndarray, " n"], m: int, half: Int64[np.ndarray, " n"]
) -> float:
    means, totals = zip(
        *(group_means(value[half == k], 1 / sigma[half == k] ** 2, group[half == k], m) for k in (0, 1)), strict=True
    )
    both = (totals[0] > 0) & (totals[1] > 0)
    return pearson(means[0][both], means[1][both]) if both.sum() > 1 else float("nan")
