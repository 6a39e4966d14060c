"""The smooth change of a parameter along the scan.

A parameter's values at a few regularly spaced nodes are averaged with Gaussian weights, as AIMLESS does for its scales
(Evans & Murshudov 2013, Acta D69, 1204; Waterman et al. 2016, Acta D72, 558, section 3.4). The weights at a position
add up to 1, so equal values at all nodes give that value everywhere.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

__all__ = ["Smoother", "constant", "smoother_for_scan"]

NODES_AVERAGED = 3


@dataclass(frozen=True)
class Smoother:
    """Nodes at `first`, `first + spacing`, ... (in the unit of the positions); `n_nodes` of them."""

    first: float
    spacing: float
    n_nodes: int

    @property
    def sigma(self) -> float:
        """Width of the Gaussian exp(-(dx / sigma)^2), in spacings: 0.7 for three averaged nodes, 0.65 for two."""
        return 0.65 + 0.05 * (min(NODES_AVERAGED, self.n_nodes) - 2)

    def weights(self, positions: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, "n m"]:
        """(n, n_nodes) weight of each node at each position; zero for all but the nearest three."""
        if self.n_nodes == 1:
            return np.ones((len(positions), 1))
        offset = (np.asarray(positions)[:, None] - self.first) / self.spacing - np.arange(self.n_nodes)
        weights = np.exp(-((offset / self.sigma) ** 2))
        n_averaged = min(NODES_AVERAGED, self.n_nodes)
        if n_averaged < self.n_nodes:
            nearest = np.argsort(np.abs(offset), axis=1, kind="stable")
            np.put_along_axis(weights, nearest[:, n_averaged:], 0.0, axis=1)
        return weights / weights.sum(axis=1, keepdims=True)


def constant() -> Smoother:
    """One node: a parameter that does not change."""
    return Smoother(0.0, 1.0, 1)


def smoother_for_scan(
    first: float, last: float, *, width: float, interval_width: float, n_intervals: int | None = None
) -> Smoother:
    """The smoother of a scan over positions `first` .. `last` (images) of `width` degrees each.

    As many intervals as whole `interval_width` (degrees) fit, or `n_intervals`. One interval has nodes at its ends, two
    have them at their three ends; more have nodes at their middles and one beyond either end.
    """
    length = max(last - first, 1e-6)
    n = n_intervals if n_intervals is not None else max(int(length * abs(width) / interval_width + 1e-6), 1)
    spacing = length / n
    if n <= 2:
        return Smoother(first, spacing, n + 1)
    return Smoother(first - 0.5 * spacing, spacing, n + 2)
