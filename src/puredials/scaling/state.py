"""What is known while scaling goes on: observations in groups, which stay, and what is believed of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.scaling.error_model import ErrorModel
from puredials.scaling.observations import Observations

__all__ = ["Groups", "Round", "State"]

Values = Float64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Groups:
    """The usable observations, sorted by group.

    Attributes:
        rows: their rows in the table; group, starts, m: see `normal_equations`.
        sides: group with Friedel mates apart. sweep, complete: see `Observations`; unit: intensity of one count.
        thin_shell: number of a shell of resolution with some 500 observations.
    """

    rows: Int64[np.ndarray, " n"]
    group: Int64[np.ndarray, " n"]
    starts: Int64[np.ndarray, " m1"]
    sides: Int64[np.ndarray, " n"]
    sweep: Int64[np.ndarray, " n"]
    complete: Bool[np.ndarray, " n"]
    unit: Values
    thin_shell: Int64[np.ndarray, " n"]

    @property
    def m(self) -> int:
        return len(self.starts) - 1

    @staticmethod
    def of(observations: Observations, *, anomalous: bool) -> "Groups":
        """Groups of equivalents; if `anomalous`, Friedel mates are in different ones."""
        equivalents = observations.equivalents
        usable = np.flatnonzero(observations.usable)
        label = equivalents.half if anomalous else equivalents.group
        rows = usable[np.argsort(label[usable], kind="stable")]
        _, group = np.unique(label[rows], return_inverse=True)
        starts = np.searchsorted(group, np.arange(group[-1] + 2))
        _, sides = np.unique(equivalents.half[rows], return_inverse=True)
        return Groups(
            rows, group, starts, sides, observations.sweep[rows], observations.complete[rows],
            observations.factor[rows], _thin_shells(1 / observations.d[rows] ** 2),
        )  # fmt: skip


@dataclass(frozen=True)
class Round:
    """How one fit went: RMSDs (in sigma) at the start and after each step, observations, and why it ended."""

    name: str
    rmsds: tuple[float, ...]
    n_observations: int
    n_outliers: int
    result: str


@dataclass(frozen=True, eq=False)
class State:
    """What is known at some moment about the sorted, usable observations.

    Attributes:
        value, variance: unscaled intensities and the variances of integration.
        x: parameters of the model; start: their first estimates, one scale a sweep; g: inverse scale factors by x.
        weights: of the prior of each correction.
        outlier: marked as such; errors: error model of each sweep.
    """

    value: Values
    variance: Values
    x: Float64[np.ndarray, " p"]
    start: Float64[np.ndarray, " p"]
    g: Values
    outlier: Bool[np.ndarray, " n"]
    errors: tuple[ErrorModel, ...]
    weights: Mapping[str, float]
    rounds: tuple[Round, ...] = ()


def _thin_shells(inverse_d2: Values) -> Int64[np.ndarray, " n"]:
    order = np.argsort(inverse_d2, kind="stable")
    shell = np.empty(len(order), np.int64)
    n_shells = max(1, min(100, len(order) // 500))
    shell[order] = np.arange(len(order)) * n_shells // len(order)
    return shell
