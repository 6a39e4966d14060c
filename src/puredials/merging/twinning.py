"""Twinning, from the distribution of merged intensities.

Two tests that need neither the twin law nor a correction for anisotropy or resolution of the whole:
the L test (Padilla & Yeates 2003, Acta D59, 1124), with L = (I1 - I2) / (I1 + I2) of two reflections near each other
that no twin law of low index relates, and the second moment <I^2> / <I>^2 in shells (Stanley 1972, J. Appl. Cryst. 5,
191). Acentric reflections only.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

from puredials.merging.equivalents import Equivalents, Merged

__all__ = ["TwinStatistics", "twin_statistics"]

Values = Float64[np.ndarray, " m"]
# Least mean I/sigma of shells: noise widens the distribution of L and hides twins, so the strong shells are taken
# alone if they hold enough reflections.
_STRONG, _SIGNIFICANT = 10.0, 3.0
_SHELLS = 20
_FEWEST, _ENOUGH = 200, 1000
_CURVE = 41
# Half of the steps by 0 or 2 in h, k, l. Even ones stay within the parity classes that pseudo-translations make.
_STEPS = np.array([s for s in product((-2, 0, 2), repeat=3) if s > (0, 0, 0)], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class TwinStatistics:
    """What the intensities say of twinning.

    Attributes:
        mean_l, mean_l2: <|L|> and <L^2>: 1/2 and 1/3 if untwinned, 3/8 and 1/5 for a perfect twin.
        n_pairs: pairs of reflections in L.
        level, share: (k,) the cumulative distribution of |L|.
        s_squared, moment: (s,) <I^2> / <I>^2 in shells of 1/d^2: 2 if untwinned, 1.5 for a perfect twin.
    """

    mean_l: float
    mean_l2: float
    n_pairs: int
    level: Float64[np.ndarray, " k"]
    share: Float64[np.ndarray, " k"]
    s_squared: Float64[np.ndarray, " s"]
    moment: Float64[np.ndarray, " s"]

    @property
    def error_l(self) -> float:
        """Standard error of `mean_l`. Each reflection is in several pairs, so pairs count as fewer."""
        return float(np.sqrt(max(self.mean_l2 - self.mean_l**2, 0) / max(self.n_pairs / 3, 1)))


def twin_statistics(groups: Equivalents, mean: Merged, d: Values) -> TwinStatistics | None:
    """From significant acentric reflections; None if there are too few. `d`: in Angstrom."""
    value, sigma = mean.value, mean.sigma
    acentric = ~groups.centric & ~groups.absent & np.isfinite(value)
    use = _significant_shells(value, sigma, d, acentric, _STRONG)
    if use.sum() < _ENOUGH:
        use = _significant_shells(value, sigma, d, acentric, _SIGNIFICANT)
    if use.sum() < _FEWEST:
        return None
    values = value / groups.epsilon
    ratio = _l_values(groups.hkl[use], values[use])
    if len(ratio) < _FEWEST:
        return None
    size = np.abs(ratio)
    level = np.linspace(0, 1, _CURVE)
    share = np.searchsorted(np.sort(size), level, side="right") / len(size)
    s_squared, moment = _moments(values[acentric], sigma[acentric] / groups.epsilon[acentric], d[acentric])
    return TwinStatistics(
        float(size.mean()), float(np.mean(ratio**2)), len(ratio), level, share.astype(np.float64), s_squared, moment
    )


def _significant_shells(
    value: Values, sigma: Values, d: Values, which: Bool[np.ndarray, " m"], least: float
) -> Bool[np.ndarray, " m"]:
    """Reflections of `which` to the resolution where the mean I/sigma of shells falls below `least`.

    Single weak reflections stay: leaving them out would bias the distribution.
    """
    order = np.flatnonzero(which)[np.argsort(-d[which], kind="stable")]
    keep = np.zeros(len(d), dtype=np.bool_)
    for part in np.array_split(order, _SHELLS):
        if not len(part) or np.mean(value[part] / sigma[part]) < least:
            break
        keep[part] = True
    return keep


def _l_values(hkl: Int[np.ndarray, "m 3"], value: Values) -> Float64[np.ndarray, " p"]:
    """L of pairs of unique reflections that differ by 0 or 2 in each index."""
    index = hkl.astype(np.int64)
    base = int(np.abs(index).max()) + 3
    weights = np.array([(2 * base + 1) ** 2, 2 * base + 1, 1])

    def key(h: Int64[np.ndarray, "n 3"]) -> Int64[np.ndarray, " n"]:
        return (h + base) @ weights

    keys = key(index)
    order = np.argsort(keys)
    ordered = keys[order]
    parts = []
    for step in _STEPS:
        wanted = key(index + step)
        place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
        found = ordered[place] == wanted
        first, second = value[found], value[order[place[found]]]
        total = first + second
        positive = total > 0
        parts.append((first - second)[positive] / total[positive])
    return np.clip(np.concatenate(parts), -1.0, 1.0)


def _moments(value: Values, sigma: Values, d: Values) -> tuple[Float64[np.ndarray, " s"], Float64[np.ndarray, " s"]]:
    """<I^2 - sigma^2> / <I>^2 in shells of equally many reflections: noise is taken off the square."""
    order = np.argsort(-d, kind="stable")
    shells = max(1, min(_SHELLS, len(order) // 50))
    parts = [p for p in np.array_split(order, shells) if np.mean(value[p] / sigma[p]) >= _SIGNIFICANT]
    middle = np.array([np.mean(1 / d[p] ** 2) for p in parts])
    moment = np.array([np.mean(value[p] ** 2 - sigma[p] ** 2) / np.mean(value[p]) ** 2 for p in parts])
    return middle, moment
