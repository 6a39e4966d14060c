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
) -> list[Combination]:
    """CC1/2 and Rmeas of each combination for observations `rows` of m groups; only I > sigma counts."""
    results = []
    for middle in middles:
        value, variance = (a[rows] for a in combine(observations, middle))
        strong = (value > np.sqrt(variance)) & (variance > 0)
        results.append(
            Combination(middle, *_agreement(value[strong] / g[strong], (variance / g**2)[strong], group[strong], m))
        )
    return results


def _agreement(value: Values, variance: Values, group: Int64[np.ndarray, " n"], m: int) -> tuple[float, float]:
    """CC1/2 and Rmeas."""
    n = np.bincount(group, minlength=m)
    repeated = n[group] > 1
    if not repeated.any():
        return float("nan"), float("nan")
    value, variance, group = value[repeated], variance[repeated], group[repeated]
    mean, _ = group_means(value, 1 / variance, group, m)
    factor = np.sqrt(n[group] / (n[group] - 1))
    r_meas = float(np.sum(factor * np.abs(value - mean[group])) / np.sum(mean[group]))
    half = half_sets(value, group)
    first, second = (group_means(value[half == k], 1 / variance[half == k], group[half == k], m)[0] for k in (0, 1))
    both = n > 1
    return pearson(first[both], second[both]), r_meas
