"""Merging statistics as sums that add.

A statistic is kept as the sums it is made of: those of two disjoint sets of unique reflections add up to those of
both, so that shells add to the overall value, and blocks of reflections may be worked on in any order, anywhere.

R factors: Diederichs & Karplus (1997, Nat. Struct. Biol. 4, 269) and Weiss (2001, J. Appl. Cryst. 34, 130). CC1/2:
Karplus & Diederichs (2012, Science 336, 1030); without random halves: Assmann, Brehm & Diederichs (2016, J. Appl.
Cryst. 49, 1021).
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import stdtr

__all__ = [
    "Correlation",
    "MergingSums",
    "equal_volume_shells",
    "half_differences",
    "half_sets",
    "merging_sums",
    "pearson",
    "shell_numbers",
    "sigma_tau",
]

Values = Float64[np.ndarray, " n"]
Groups = Int64[np.ndarray, " n"]


def pearson(x: Float64[np.ndarray, " k"], y: Float64[np.ndarray, " k"]) -> float:
    """Correlation coefficient; NaN where it is not defined."""
    return float(Correlation.of(x, y, np.zeros(len(x), np.int64), 1).coefficient[0])


def _over(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the denominator is 0."""
    return numerator / np.where(denominator == 0, np.nan, denominator)


def sigma_tau(n: np.ndarray, deviation: np.ndarray, half_variance: np.ndarray) -> np.ndarray:
    """CC1/2 = (s_y^2 - s_e^2 / 2) / (s_y^2 + s_e^2 / 2), eq. 4 of Assmann et al. (2016), of n unique reflections.

    Args:
        deviation: sum of squared deviations of their means from the mean of these; half_variance: sum of the variances
            that means of half of their observations have.
    """
    spread, error = _over(deviation, np.maximum(n - 1, 0)), _over(half_variance, n)
    return _over(spread - error / 2, spread + error / 2)


@dataclass(frozen=True, eq=False)
class Correlation:
    """Pairs (x, y) in each of s shells: number, means, and sums of squared deviations from the means.

    Deviations, unlike squares, lose no digits to a large mean; they add by the formula of Chan, Golub & LeVeque (1983,
    Am. Stat. 37, 242).
    """

    n: Float64[np.ndarray, " s"]
    x: Float64[np.ndarray, " s"]
    y: Float64[np.ndarray, " s"]
    xx: Float64[np.ndarray, " s"]
    yy: Float64[np.ndarray, " s"]
    xy: Float64[np.ndarray, " s"]

    @classmethod
    def of(
        cls, x: Float64[np.ndarray, " k"], y: Float64[np.ndarray, " k"], shell: Int64[np.ndarray, " k"], s: int
    ) -> "Correlation":
        n = np.bincount(shell, minlength=s).astype(np.float64)
        mean_x, mean_y = (np.bincount(shell, v, s) / np.maximum(n, 1) for v in (x, y))
        dx, dy = x - mean_x[shell], y - mean_y[shell]
        sums = (np.bincount(shell, v, s).astype(np.float64) for v in (dx * dx, dy * dy, dx * dy))
        return cls(n, mean_x, mean_y, *sums)

    def __add__(self, other: "Correlation") -> "Correlation":
        n = self.n + other.n
        share, cross = other.n / np.maximum(n, 1), self.n * other.n / np.maximum(n, 1)
        dx, dy = other.x - self.x, other.y - self.y
        return Correlation(
            n, self.x + share * dx, self.y + share * dy, self.xx + other.xx + cross * dx * dx,
            self.yy + other.yy + cross * dy * dy, self.xy + other.xy + cross * dx * dy,
        )  # fmt: skip

    def total(self) -> "Correlation":
        """All shells as one."""
        n = self.n.sum()
        x, y = (float(self.n @ v) / max(n, 1) for v in (self.x, self.y))
        dx, dy = self.x - x, self.y - y
        parts = (self.xx + self.n * dx * dx, self.yy + self.n * dy * dy, self.xy + self.n * dx * dy)
        return Correlation(np.array([n]), np.array([x]), np.array([y]), *(np.array([p.sum()]) for p in parts))

    @property
    def coefficient(self) -> Float64[np.ndarray, " s"]:
        """Pearson's coefficient; NaN for no spread, or fewer than three pairs: two always lie on a line."""
        return np.clip(_over(self.xy, np.where(self.n > 2, np.sqrt(self.xx * self.yy), 0)), -1, 1)

    def significant(self, level: float) -> Bool[np.ndarray, " s"]:
        """Whether the coefficient would be as large by chance with less than the probability `level`."""
        freedom = np.maximum(self.n - 2, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = self.coefficient * np.sqrt(freedom / (1 - self.coefficient**2))
            return (self.n > 2) & (stdtr(freedom, -t) < level)


@dataclass(frozen=True, eq=False)
class MergingSums:
    """Sums over the unique reflections of each of s shells; the names of the ratios are those of merging tables.

    Attributes:
        n_obs, n_unique, n_possible: observations, unique reflections measured, and those there are.
        intensity, sum_i_over_sigma: sums of merged intensities and of their ratios to sigma.
        deviation, deviation_meas, deviation_pim: sum of |I - <I>| over repeated reflections, plain and times
            sqrt(n / (n - 1)) and sqrt(1 / (n - 1)); repeated_intensity: sum of I over the same.
        half: means of random half-sets.
        half_variance, spread: for CC1/2 without halves: sum of the variances of half-set means, and means.
        sides_*: the same with Friedel mates apart.
        n_acentric, n_acentric_possible: acentric ones among the unique reflections; n_sides: I+ and I- of them;
            n_pairs: those of which both are measured; side_observations: observations of acentric reflections.
        anomalous: sum of |I+ - I-|; pair_intensity: of (I+ + I-) / 2.
        half_anomalous: differences in random half-sets.
    """

    n_obs: Float64[np.ndarray, " s"]
    n_unique: Float64[np.ndarray, " s"]
    n_possible: Float64[np.ndarray, " s"]
    intensity: Float64[np.ndarray, " s"]
    sum_i_over_sigma: Float64[np.ndarray, " s"]
    deviation: Float64[np.ndarray, " s"]
    deviation_meas: Float64[np.ndarray, " s"]
    deviation_pim: Float64[np.ndarray, " s"]
    repeated_intensity: Float64[np.ndarray, " s"]
    half: Correlation
    half_variance: Float64[np.ndarray, " s"]
    spread: Correlation
    sides_deviation: Float64[np.ndarray, " s"]
    sides_deviation_meas: Float64[np.ndarray, " s"]
    sides_deviation_pim: Float64[np.ndarray, " s"]
    sides_repeated_intensity: Float64[np.ndarray, " s"]
    n_acentric: Float64[np.ndarray, " s"]
    n_acentric_possible: Float64[np.ndarray, " s"]
    n_sides: Float64[np.ndarray, " s"]
    n_pairs: Float64[np.ndarray, " s"]
    side_observations: Float64[np.ndarray, " s"]
    anomalous: Float64[np.ndarray, " s"]
    pair_intensity: Float64[np.ndarray, " s"]
    half_anomalous: Correlation

    def __add__(self, other: "MergingSums") -> "MergingSums":
        """The sums of both sets of unique reflections (`n_possible` of one of them must be of its own reflections)."""
        return MergingSums(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def total(self) -> "MergingSums":
        """All shells as one."""
        parts: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        sums: dict[str, Any] = {
            name: part.total() if isinstance(part, Correlation) else part.sum(keepdims=True)
            for name, part in parts.items()
        }
        return MergingSums(**sums)

    @property
    def completeness(self) -> Float64[np.ndarray, " s"]:
        return _over(self.n_unique, self.n_possible)

    @property
    def multiplicity(self) -> Float64[np.ndarray, " s"]:
        return _over(self.n_obs, self.n_unique)

    @property
    def mean_intensity(self) -> Float64[np.ndarray, " s"]:
        return _over(self.intensity, self.n_unique)

    @property
    def i_over_sigma(self) -> Float64[np.ndarray, " s"]:
        """Mean of <I> / sigma(<I>)."""
        return _over(self.sum_i_over_sigma, self.n_unique)

    @property
    def r_merge(self) -> Float64[np.ndarray, " s"]:
        return _over(self.deviation, self.repeated_intensity)

    @property
    def r_meas(self) -> Float64[np.ndarray, " s"]:
        return _over(self.deviation_meas, self.repeated_intensity)

    @property
    def r_pim(self) -> Float64[np.ndarray, " s"]:
        return _over(self.deviation_pim, self.repeated_intensity)

    @property
    def r_merge_sides(self) -> Float64[np.ndarray, " s"]:
        """R factors with Friedel mates apart."""
        return _over(self.sides_deviation, self.sides_repeated_intensity)

    @property
    def r_meas_sides(self) -> Float64[np.ndarray, " s"]:
        return _over(self.sides_deviation_meas, self.sides_repeated_intensity)

    @property
    def r_pim_sides(self) -> Float64[np.ndarray, " s"]:
        return _over(self.sides_deviation_pim, self.sides_repeated_intensity)

    @property
    def r_anom(self) -> Float64[np.ndarray, " s"]:
        return _over(self.anomalous, self.pair_intensity)

    @property
    def cc_half(self) -> Float64[np.ndarray, " s"]:
        return self.half.coefficient

    @property
    def cc_half_sigma_tau(self) -> Float64[np.ndarray, " s"]:
        """CC1/2 from variances."""
        return sigma_tau(self.spread.n, self.spread.xx, self.half_variance)

    @property
    def cc_anom(self) -> Float64[np.ndarray, " s"]:
        return self.half_anomalous.coefficient

    @property
    def anomalous_completeness(self) -> Float64[np.ndarray, " s"]:
        """Share of the acentric reflections of which both mates are measured."""
        return _over(self.n_pairs, self.n_acentric_possible)

    @property
    def anomalous_multiplicity(self) -> Float64[np.ndarray, " s"]:
        """Observations of I+ or I- of an acentric reflection."""
        return _over(self.side_observations, self.n_sides)


def equal_volume_shells(d_max: float, d_min: float, count: int) -> Float64[np.ndarray, " e"]:
    """Edges (Angstrom, falling) of shells of equal volume in reciprocal space.

    The outer edges lie a little outside, so that rounding puts no reflection beyond them.
    """
    return np.linspace(d_max**-3 * (1 - 2e-3), d_min**-3 * (1 + 1e-6), count + 1) ** (-1 / 3)


def shell_numbers(d: Values, edges: Float64[np.ndarray, " e"]) -> Groups:
    """Number of the shell of each d; -1 outside."""
    shell = np.searchsorted(-edges, -d, side="right") - 1
    return np.where((shell >= 0) & (shell < len(edges) - 1), shell, -1)


def half_sets(value: Values, group: Groups) -> Groups:
    """0 or 1 for each observation: random halves of each group, equal to within one.

    The order within a group is shuffled by the bits of the intensities themselves, so that the halves depend neither
    on the order of the observations nor on a seed.
    """
    key = _scrambled(np.ascontiguousarray(value, dtype=np.float64).view(np.uint64))
    order = np.lexsort((key, group))
    ordered = group[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    rank = np.arange(len(group)) - np.repeat(starts, np.diff(starts, append=len(group)))
    half = np.empty(len(group), np.int64)
    # Which half gets the odd one out is random too.
    half[order] = (rank + (key[order[starts]] >> np.uint64(7)).astype(np.int64).repeat(
        np.diff(starts, append=len(group)))) & 1  # fmt: skip
    return half


def _scrambled(bits: np.ndarray) -> np.ndarray:
    """Well-mixed 64-bit numbers (the finaliser of SplitMix64, Steele et al. 2014)."""
    bits = bits * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))


def merging_sums(
    value: Values,
    variance: Values,
    group: Groups,
    plus: np.ndarray,
    shell: Int64[np.ndarray, " m"],
    centric: np.ndarray,
    n_shells: int,
    *,
    possible: np.ndarray | None = None,
    acentric_possible: np.ndarray | None = None,
) -> MergingSums:
    """The sums of n observations of m unique reflections, in shells.

    Args:
        value, variance: scaled intensities.
        group: number of the unique reflection of each; plus: True for I+ (and for centric reflections).
        shell: of each unique reflection, -1 for none; centric: (m,).
        possible, acentric_possible: (n_shells,) unique reflections there are (default: those measured).
    """
    m = len(shell)
    inside = shell[group] >= 0
    value, variance, group, plus = value[inside], variance[inside], group[inside], plus[inside]
    n = np.bincount(group, minlength=m)
    there = n > 0
    where = np.maximum(shell, 0)

    def per_shell(values: np.ndarray, which: np.ndarray) -> np.ndarray:
        return np.bincount(where[which], values[which], n_shells).astype(np.float64)

    one = np.ones(m)
    mean, sigma = _merged(value, variance, group, m)
    repeated = n > 1
    deviations = _deviations(value, mean, group, n)
    halves = _half_means(value, variance, group, m)
    plain = np.bincount(group, value, m) / np.maximum(n, 1)
    scatter = np.bincount(group, (value - plain[group]) ** 2, m) / np.maximum(n - 1, 1)

    side = 2 * group + ~plus
    side_n = np.bincount(side, minlength=2 * m)
    side_mean, _ = _merged(value, variance, side, 2 * m)
    side_deviations = [d.reshape(m, 2).sum(axis=1) for d in _deviations(value, side_mean, side, side_n)]
    side_total = np.where(side_n > 1, np.bincount(side, value, 2 * m), 0).reshape(m, 2).sum(axis=1)
    acentric = there & ~centric
    paired = acentric & (side_n[0::2] > 0) & (side_n[1::2] > 0)
    twice = acentric & (side_n[0::2] > 1) & (side_n[1::2] > 1)
    plus_mean, minus_mean = side_mean[0::2], side_mean[1::2]
    side_halves = half_differences(value, variance, side, m)
    n_unique, n_acentric = per_shell(one, there), per_shell(one, acentric)
    return MergingSums(
        n_obs=per_shell(n.astype(np.float64), there),
        n_unique=n_unique,
        n_possible=n_unique if possible is None else np.asarray(possible, np.float64),
        intensity=per_shell(mean, there),
        sum_i_over_sigma=per_shell(mean / sigma, there),
        deviation=per_shell(deviations[0], repeated),
        deviation_meas=per_shell(deviations[1], repeated),
        deviation_pim=per_shell(deviations[2], repeated),
        repeated_intensity=per_shell(np.bincount(group, value, m), repeated),
        half=Correlation.of(halves[0][repeated], halves[1][repeated], where[repeated], n_shells),
        half_variance=per_shell(scatter / (np.maximum(n, 1) / 2), repeated),
        spread=Correlation.of(plain[repeated], plain[repeated], where[repeated], n_shells),
        sides_deviation=per_shell(side_deviations[0], there),
        sides_deviation_meas=per_shell(side_deviations[1], there),
        sides_deviation_pim=per_shell(side_deviations[2], there),
        sides_repeated_intensity=per_shell(side_total, there),
        n_acentric=n_acentric,
        n_acentric_possible=n_acentric if acentric_possible is None else np.asarray(acentric_possible, np.float64),
        n_sides=per_shell((side_n.reshape(m, 2) > 0).sum(axis=1).astype(np.float64), acentric),
        n_pairs=per_shell(one, paired),
        side_observations=per_shell(n.astype(np.float64), acentric),
        anomalous=per_shell(np.abs(plus_mean - minus_mean), paired),
        pair_intensity=per_shell((plus_mean + minus_mean) / 2, paired),
        half_anomalous=Correlation.of(side_halves[0][twice], side_halves[1][twice], where[twice], n_shells),
    )


def _merged(value: Values, variance: Values, group: Groups, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each group with weights 1 / variance, and its sigma; 0 and 1 for an empty group."""
    total = np.bincount(group, 1 / variance, m)
    safe = np.where(total > 0, total, 1)
    return np.bincount(group, value / variance, m) / safe, 1 / np.sqrt(safe)


def _deviations(value: Values, mean: np.ndarray, group: Groups, n: np.ndarray) -> list[np.ndarray]:
    """Sum of |I - <I>| of each group, plain and with the factors of Rmeas and Rpim; 0 for fewer than two."""
    off = np.where(n > 1, np.bincount(group, np.abs(value - mean[group]), len(n)), 0)
    less = np.maximum(n - 1, 1)
    return [off, off * np.sqrt(n / less), off / np.sqrt(less)]


def half_differences(
    value: Values, variance: Values, side: Groups, m: int
) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """I+ - I- of m reflections by each of two random halves of the observations on either side.

    `side` of each observation is 2 k of I+, 2 k + 1 of I- of reflection k. Of fewer than two they say nothing.
    """
    first, second = _half_means(value, variance, side, 2 * m)
    return first[0::2] - first[1::2], second[0::2] - second[1::2]


def _half_means(value: Values, variance: Values, group: Groups, m: int) -> list[np.ndarray]:
    """Means of two random halves of each group."""
    half = half_sets(value, group)
    return [_merged(value[half == k], variance[half == k], group[half == k], m)[0] for k in (0, 1)]
