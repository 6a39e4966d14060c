"""The size of anomalous differences: against their errors, and in one half of the data against the other.

Normal probability: Howell & Smith (1992, J. Appl. Cryst. 25, 81). Half data sets, and the ratio of the spreads along
the diagonal and across it: Evans (2006, Acta Cryst. D62, 72).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtri

from puredials.merging.unique import MergeResult
from puredials.statistics import half_differences, pearson

__all__ = ["HalfDifferences", "anomalous_deviations", "anomalous_halves", "central_slope"]

Values = Float64[np.ndarray, " n"]
# Normal deviates of the middle of a distribution, which the few largest differences do not bend.
_MIDDLE = 0.9


def anomalous_deviations(result: MergeResult) -> Values:
    """(I+ - I-) / sigma of the acentric pairs that were measured."""
    pair = (result.plus.count > 0) & (result.minus.count > 0) & ~result.equivalents.centric
    plus, minus = result.plus, result.minus
    return (plus.value[pair] - minus.value[pair]) / np.hypot(plus.sigma[pair], minus.sigma[pair])


def central_slope(deviations: Values) -> float:
    """Slope of the middle of their normal probability plot: 1 of errors alone, if these are known."""
    expected = ndtri((np.arange(len(deviations)) + 0.5) / len(deviations))
    middle = np.abs(expected) < _MIDDLE
    return float(np.polyfit(expected[middle], np.sort(deviations)[middle], 1)[0])


@dataclass(frozen=True, eq=False)
class HalfDifferences:
    """I+ - I- of acentric reflections by two random halves of the data, of those with two observations a side.

    `d`: their resolution (Angstrom).
    """

    first: Values
    second: Values
    d: Values

    @property
    def correlation(self) -> float:
        return pearson(self.first, self.second)

    @property
    def ratio(self) -> float:
        """R.m.s. along the diagonal over that across it: 1 where halves agree on nothing."""
        across = float(np.sqrt(np.mean((self.first - self.second) ** 2)))
        return float(np.sqrt(np.mean((self.first + self.second) ** 2))) / across if across > 0 else np.inf

    def within(self, d_max: float, d_min: float) -> "HalfDifferences":
        """Those of a shell of resolution."""
        inside = (self.d <= d_max) & (self.d > d_min)
        return HalfDifferences(self.first[inside], self.second[inside], self.d[inside])


def anomalous_halves(result: MergeResult) -> HalfDifferences:
    """The differences by the halves of which CC_anom is the correlation."""
    observations, groups = result.observations, result.equivalents
    first, second = half_differences(observations.value, observations.variance, groups.half, len(groups))
    twice = (result.plus.count > 1) & (result.minus.count > 1) & ~groups.centric
    return HalfDifferences(first[twice], second[twice], result.d[twice])
