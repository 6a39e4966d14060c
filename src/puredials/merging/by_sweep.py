"""Merging statistics of each data set that went into merged data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from puredials.merging.equivalents import merge
from puredials.merging.tables import MergingStatistics
from puredials.merging.unique import MergeResult
from puredials.model import Experiments
from puredials.statistics import MergingSums, merging_sums, pearson
from puredials.text import text_table

__all__ = ["SWEEP_HEADER", "SweepStatistics", "statistics_by_sweep", "sweep_rows", "sweep_summary", "sweep_table"]

SWEEP_HEADER = ("Dataset", "Images", "d_min (Å)", "n_obs", "n_unique", "Compl. (%)", "Mult.", "I/σ", "Rmeas",
                "Rmerge\nto all", "CC½", "CC with\nothers", "Scale")  # fmt: skip


@dataclass(frozen=True, eq=False)
class SweepStatistics:
    """Of the observations of one data set.

    Attributes:
        number, identifier: of the experiment; images: first and last (None for stills); d_min: Angstrom.
        sums: statistics of the data set merged by itself.
        r_merge_all: sum of |I - <I>| over sum of I, with <I> the mean of ALL data sets.
        cc_others: correlation of its merged intensities with those of the others, NaN for fewer than three in common.
        scale: median inverse scale factor.
    """

    number: int
    identifier: str
    images: tuple[int, int] | None
    d_min: float
    sums: MergingSums
    r_merge_all: float
    cc_others: float
    scale: float


def statistics_by_sweep(
    merged: MergeResult, experiments: Experiments, statistics: MergingStatistics
) -> tuple[SweepStatistics, ...]:
    """Statistics of each data set that has observations; `statistics` of all data tell what could be measured."""
    observations = merged.observations
    found: list[SweepStatistics] = []
    for number, experiment in enumerate(experiments):
        own = observations.experiment == number
        if own.any():
            images = experiment.scan.image_range if experiment.scan is not None else None
            found.append(_of_sweep(merged, own, number, experiment.identifier, images, statistics.overall))
    return tuple(found)


def _of_sweep(
    merged: MergeResult,
    own: Bool[np.ndarray, " n"],
    number: int,
    identifier: str,
    images: tuple[int, int] | None,
    overall: MergingSums,
) -> SweepStatistics:
    observations, equivalents = merged.observations, merged.equivalents
    unique, group = np.unique(equivalents.group[own], return_inverse=True)
    value, variance = observations.value[own], observations.variance[own]
    m = len(unique)
    sums = merging_sums(
        value, variance, group, equivalents.plus[own], np.zeros(m, np.int64), equivalents.centric[unique], 1,
        possible=overall.n_possible, acentric_possible=overall.n_acentric_possible,
    )  # fmt: skip
    repeated = merged.mean.count[equivalents.group[own]] > 1
    deviation = np.abs(value - merged.mean.value[equivalents.group[own]])[repeated].sum()
    total = value[repeated].sum()
    # What the others say is the mean of all without this data set's share of the weight.
    mean = merge(value, variance, group, m)
    all_weight, own_weight = merged.mean.sigma[unique] ** -2, mean.sigma**-2
    both = merged.mean.count[unique] > mean.count
    weight = (all_weight - own_weight)[both]
    others = (all_weight * merged.mean.value[unique] - own_weight * mean.value)[both] / weight
    return SweepStatistics(
        number, identifier, images, float(observations.d[own].min()), sums,
        float(deviation / total) if total > 0 else float("nan"),
        pearson(mean.value[both], others) if both.sum() > 2 else float("nan"),
        float(np.median(observations.table["inverse_scale_factor"][own])),
    )  # fmt: skip


def sweep_rows(statistics: Sequence[SweepStatistics]) -> list[tuple[str, ...]]:
    """Cells of a table, under `SWEEP_HEADER`."""

    def text(value: Float64[np.ndarray, " s"] | float, digits: int, factor: float = 1.0) -> str:
        number = factor * float(np.ravel(value)[0])
        return f"{number:.{digits}f}" if np.isfinite(number) else "-"

    return [
        (
            str(s.number), "-" if s.images is None else f"{s.images[0]}-{s.images[1]}", text(s.d_min, 2),
            text(s.sums.n_obs, 0), text(s.sums.n_unique, 0), text(s.sums.completeness, 1, 100.0),
            text(s.sums.multiplicity, 2), text(s.sums.i_over_sigma, 1), text(s.sums.r_meas, 3),
            text(s.r_merge_all, 3), text(s.sums.cc_half, 4), text(s.cc_others, 4), text(s.scale, 3),
        )
        for s in statistics
    ]  # fmt: skip


def sweep_table(statistics: Sequence[SweepStatistics]) -> str:
    """One line a data set."""
    return (
        "Merging statistics by data set: each by itself, and against all\n"
        f"{text_table(SWEEP_HEADER, sweep_rows(statistics))}"
    )


def sweep_summary(statistics: Sequence[SweepStatistics]) -> list[dict[str, Any]]:
    """For a file."""
    return [
        {
            "dataset": s.number, "identifier": s.identifier, "images": s.images, "d_min": s.d_min,
            "n_obs": s.sums.n_obs[0], "n_unique": s.sums.n_unique[0], "completeness": s.sums.completeness[0],
            "multiplicity": s.sums.multiplicity[0], "i_over_sigma": s.sums.i_over_sigma[0],
            "r_meas": s.sums.r_meas[0], "r_merge_all": s.r_merge_all, "cc_half": s.sums.cc_half[0],
            "cc_others": s.cc_others, "scale": s.scale,
        }
        for s in statistics
    ]  # fmt: skip
