"""Scaling and the removal of data that do not agree with the rest, in turn."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from puredials.execute import SERIAL, Executor
from puredials.merging.params import FreeFlagParams, MergeParams
from puredials.merging.tables import merging_statistics
from puredials.merging.unique import merge_data
from puredials.model import Experiments, ReflectionTable
from puredials.scaling.leave_out import DeltaCCHalf, ImageGroup, delta_cc_half, image_groups, without_groups
from puredials.scaling.leave_out_params import DeltaCCHalfParams, FilterCycleParams
from puredials.scaling.params import ScaleParams
from puredials.scaling.scaling import Progress, ScaleResult, scale
from puredials.sets.choosing import choose_datasets, exclude_images
from puredials.statistics import MergingSums

__all__ = ["REASONS", "FilterCycle", "FilterResult", "scale_and_filter"]

# Why filtering ended: name in the results -> sentence.
REASONS = {
    "no_more_removed": "no data disagree with the rest",
    "max_cycles": "the largest number of cycles was reached",
    "max_percent_removed": "more would have been removed than max_percent_removed allows",
    "below_completeness_limit": "the completeness would have fallen below min_completeness",
}


@dataclass(frozen=True, eq=False)
class FilterCycle:
    """One cycle: scaled data were analysed, and some of their groups removed.

    Attributes:
        identifiers: of the experiments by their numbers in `analysis`; statistics: of the data as analysed.
        removed: groups; n_removed: reflections of them; percent: of all reflections, with those of earlier cycles.
    """

    identifiers: tuple[str, ...]
    analysis: DeltaCCHalf
    statistics: MergingSums
    removed: tuple[ImageGroup, ...]
    n_removed: int
    percent: float


@dataclass(frozen=True, eq=False)
class FilterResult:
    """The data that are left, scaled; how they came about, and why that ended (a key of `REASONS`)."""

    scaled: ScaleResult
    cycles: tuple[FilterCycle, ...]
    reason: str


def scale_and_filter(
    experiments: Experiments,
    table: ReflectionTable,
    *,
    params: ScaleParams | None = None,
    executor: Executor = SERIAL,
    progress: Progress | None = None,
) -> FilterResult:
    """Scale, remove the groups whose ΔCC1/2 is low, and so on as `filtering.deltacchalf` says."""
    params = params or ScaleParams()
    rules, selection = params.filtering.deltacchalf, params.dataset_selection
    experiments = exclude_images(experiments, params.exclude_images)
    experiments, table = choose_datasets(experiments, table, selection.use_datasets, selection.exclude_datasets)
    # Done once: the numbers of the data sets change as sets are removed.
    params = params.model_copy(update={"exclude_images": None, "dataset_selection": type(selection)()})
    cycles: list[FilterCycle] = []
    n_first, n_removed, reason = 0, 0, "max_cycles"
    scaled = scale(experiments, table, params=params, executor=executor, progress=progress)
    while reason == "max_cycles" and len(cycles) < rules.max_cycles:
        analysis, statistics = _analysis(scaled, params)
        sizes = _sizes(scaled, analysis, rules)
        n_first = n_first or int(scaled.observations.usable.sum())
        allowed = rules.max_percent_removed / 100 * n_first - n_removed
        chosen, reason = _permitted(analysis, sizes, allowed, statistics, rules.min_completeness)
        removed = tuple(g for g, out in zip(analysis.groups, chosen, strict=True) if out)
        here = int(sizes[chosen].sum())
        n_removed += here
        percent = 100 * n_removed / n_first
        cycles.append(FilterCycle(experiments.identifiers, analysis, statistics, removed, here, percent))
        if removed:
            experiments, table = without_groups(experiments, table, removed)
            scaled = scale(experiments, table, params=params, executor=executor, progress=progress)
    return FilterResult(scaled, tuple(cycles), reason)


def _analysis(scaled: ScaleResult, params: ScaleParams) -> tuple[DeltaCCHalf, MergingSums]:
    rules = params.filtering.deltacchalf
    how = DeltaCCHalfParams(mode=rules.mode, group_size=rules.group_size, stdcutoff=rules.stdcutoff)
    analysis = delta_cc_half(scaled.experiments, scaled.table, params=how)
    merging = MergeParams(truncate=False, r_free_flags=FreeFlagParams(generate=False))
    merged = merge_data(scaled.experiments, scaled.table, params=merging)
    return analysis, merging_statistics(merged, 1).overall


def _sizes(scaled: ScaleResult, analysis: DeltaCCHalf, rules: FilterCycleParams) -> Int64[np.ndarray, " g"]:
    """Reflections of each group: rejected ones too, of which bad groups have many."""
    usable = scaled.table.select(scaled.observations.usable)
    groups, group = image_groups(scaled.experiments, usable, rules)
    counts = dict(zip(groups, np.bincount(group, minlength=len(groups)).tolist(), strict=True))
    return np.array([counts[g] for g in analysis.groups], dtype=np.int64)


def _permitted(
    analysis: DeltaCCHalf,
    sizes: Int64[np.ndarray, " g"],
    allowed: float,
    statistics: MergingSums,
    min_completeness: float | None,
) -> tuple[Bool[np.ndarray, " g"], str]:
    """The bad groups that may be removed, the worst first, and why that is the end (max_cycles: it is not).

    `allowed`: reflections that may be removed.
    """
    chosen = np.zeros(len(analysis.groups), dtype=bool)
    if not analysis.bad.any():
        return chosen, "no_more_removed"
    possible = float(statistics.n_possible[0])
    for number in np.argsort(analysis.delta, kind="stable")[: int(analysis.bad.sum())]:
        more = chosen.copy()
        more[number] = True
        if sizes[more].sum() > allowed:
            return chosen, "max_percent_removed"
        left = len(np.unique(analysis.unique[~more[analysis.group]]))
        if min_completeness is not None and 100 * left < min_completeness * possible:
            return chosen, "below_completeness_limit"
        chosen = more
    return chosen, "max_cycles"
