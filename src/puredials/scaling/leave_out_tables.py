"""What the user reads of data that do not agree with the rest."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from puredials.scaling.filtering import REASONS, FilterCycle, FilterResult
from puredials.scaling.leave_out import DeltaCCHalf, ImageGroup
from puredials.text import text_table

__all__ = [
    "delta_cc_half_report",
    "delta_cc_half_summary",
    "filter_cycle_report",
    "filter_report",
    "filter_summary",
    "group_name",
    "removal_report",
]

# Groups in the table of the log; all are in the files.
_MOST_ROWS = 40


def group_name(group: ImageGroup) -> str:
    """As exclude_images takes it."""
    return f"{group.experiment}:{group.first}:{group.last}"


def delta_cc_half_report(result: DeltaCCHalf) -> str:
    """CC1/2 with and without each group, the worst first."""
    counts = np.bincount(result.group, minlength=len(result.groups))
    order = np.argsort(result.delta, kind="stable")
    rows = [
        (
            int(k), result.groups[k].experiment, f"{result.groups[k].first} - {result.groups[k].last}", counts[k],
            f"{100 * result.including[k]:.3f}", f"{100 * result.excluding[k]:.3f}", f"{result.delta[k]:.5f}",
            "*" if result.bad[k] else "",
        )
        for k in order[:_MOST_ROWS]
    ]  # fmt: skip
    header = [
        "Group",
        "Dataset",
        "Images",
        "n_refl",
        "CC½ (%)\nincluding",
        "CC½ (%)\nexcluding",
        "ΔCC½\n(Fisher)",
        "bad",
    ]
    table = text_table(header, rows)
    more = len(order) - len(rows)
    return "\n".join(
        [
            "Summary of input data:",
            f"# Datasets: {len({g.experiment for g in result.groups})}",
            f"# Groups: {len(result.groups)}",
            f"# Reflections: {len(result.group)}",
            f"# Unique reflections: {len(np.unique(result.unique))}",
            f"CC½ mean: {100 * result.cc_half:.3f}",
            "",
            "ΔCC½, the change of arctanh(CC½) by a group, is negative if the data agree better without the group",
            table,
            *([f"and {more} more, of a higher ΔCC½"] if more else []),
            "",
            f"mean delta_cc_half: {result.mean:.5f}",
            f"stddev delta_cc_half: {result.std:.5f}",
            f"cutoff value: {result.cutoff:.5f}",
        ]
    )


def removal_report(
    groups: Sequence[ImageGroup], identifiers: Sequence[str], kept: Sequence[str], n_reflections: int
) -> str:
    """What is removed; `kept`: identifiers of the data sets that are left."""
    if not groups:
        return "No data are removed."
    lines = []
    for group in groups:
        name = identifiers[group.experiment]
        which = f"dataset {group.experiment}" + (f" ({name})" if name else "")
        if name and name not in kept:
            lines.append(f"Removing {which}")
        else:
            lines.append(f"Removing image range ({group.first}, {group.last}) from {which}")
    return "\n".join([*dict.fromkeys(lines), f"{n_reflections} reflections are removed."])


def delta_cc_half_summary(result: DeltaCCHalf) -> dict[str, Any]:
    """All of it, for a file; CC1/2 as shares."""
    counts = np.bincount(result.group, minlength=len(result.groups))
    groups = [
        {
            "dataset": g.experiment, "first_image": g.first, "last_image": g.last, "n_reflections": int(counts[k]),
            "cc_half_including": float(result.including[k]), "cc_half_excluding": float(result.excluding[k]),
            "delta_cc_half": float(result.delta[k]),
            "bad": bool(result.bad[k]),
        }
        for k, g in enumerate(result.groups)
    ]  # fmt: skip
    return {
        "cc_half": result.cc_half, "mean": result.mean, "stddev": result.std, "cutoff": result.cutoff,
        "groups": groups,
    }  # fmt: skip


def filter_cycle_report(cycle: FilterCycle, number: int) -> str:
    """What a cycle found and removed."""
    identifiers = cycle.identifiers
    whole = {g.experiment for g in cycle.removed} - _partly(cycle)
    kept = [name for n, name in enumerate(identifiers) if n not in whole]
    return "\n".join(
        [
            "",
            "Performing a round of filtering.",
            "",
            delta_cc_half_report(cycle.analysis),
            "",
            removal_report(cycle.removed, identifiers, kept, cycle.n_removed),
            f"Cycle {number} of filtering, n_reflections removed this cycle: {cycle.n_removed}",
            f"Removed so far: {cycle.percent:.2f} % of all reflections",
        ]
    )


def _partly(cycle: FilterCycle) -> set[int]:
    """Experiments of which a group is left."""
    return {g.experiment for g in cycle.analysis.groups if g not in cycle.removed}


def filter_report(result: FilterResult) -> str:
    """All cycles side by side."""
    rows = []
    for number, cycle in enumerate(result.cycles, 1):
        s = cycle.statistics
        rows.append(
            (
                number, len(cycle.analysis.group), len(cycle.removed), cycle.n_removed, f"{cycle.percent:.2f}",
                f"{100 * s.completeness[0]:.1f}", f"{s.r_pim[0]:.3f}", f"{s.i_over_sigma[0]:.1f}",
                f"{100 * cycle.analysis.cc_half:.3f}",
            )
        )  # fmt: skip
    header = ["Cycle", "n_refl", "Groups\nremoved", "n_refl\nremoved", "Removed\nso far (%)", "Completeness\n(%)",
              "Rpim", "I/σ", "CC½ mean\n(%)"]  # fmt: skip
    return (
        "Summary of scaling and filtering; statistics are of the data before the removal\n"
        f"{text_table(header, rows)}\nFinished, as {REASONS[result.reason]}."
    )


def filter_summary(result: FilterResult) -> dict[str, Any]:
    """Scaling and filtering, for a file."""
    cycles = []
    for cycle in result.cycles:
        s = cycle.statistics
        cycles.append(
            {
                "n_observations": len(cycle.analysis.group), "n_removed": cycle.n_removed,
                "cumul_percent_removed": cycle.percent,
                "image_ranges_removed": [
                    [[g.first, g.last], cycle.identifiers[g.experiment] or g.experiment] for g in cycle.removed
                ],
                "completeness": 100 * s.completeness[0], "r_pim": s.r_pim[0], "r_merge": s.r_merge[0],
                "i_over_sigma": s.i_over_sigma[0], "cc_half": s.cc_half[0],
                "delta_cc_half": delta_cc_half_summary(cycle.analysis),
            }
        )  # fmt: skip
    return {"termination_reason": result.reason, "cycles": cycles}
