"""Merging statistics in shells, and the tables of dials.merge."""

from collections.abc import Callable
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float64

from puredials.merging.equivalents import find_equivalents
from puredials.merging.unique import MergeResult
from puredials.statistics import Correlation, MergingSums, equal_volume_shells, merging_sums, shell_numbers
from puredials.text import text_table

_HEADER = (
    " d_max  d_min   #obs  #uniq   mult.  %comp       <I>  <I/sI>    r_mrg   r_meas    r_pim   r_anom   cc1/2    cc_ano"
)

__all__ = [
    "MergingStatistics",
    "anomalous_by_shell",
    "anomalous_table",
    "merging_statistics",
    "merging_summary",
    "merging_table",
    "r_factors",
]


@dataclass(frozen=True, eq=False)
class MergingStatistics:
    """Sums in shells between `edges` (Angstrom, falling), and of all."""

    edges: Float64[np.ndarray, " e"]
    shells: MergingSums
    overall: MergingSums
    anomalous: bool


def merging_statistics(
    result: MergeResult, n_bins: int, *, anomalous: bool = False, d_min: float | None = None
) -> MergingStatistics:
    """Statistics of merged data in shells of equal volume, to `d_min` or all data; `anomalous`: Friedel mates apart."""
    equivalents, d = result.equivalents, result.d
    edges = equal_volume_shells(float(d.max()), d_min or float(d.min()), n_bins)
    group, plus = equivalents.group, equivalents.plus
    shell, centric = shell_numbers(d, edges), equivalents.centric
    possible, acentric = _possible(result, edges, n_bins)
    sums = merging_sums(
        result.observations.value, result.observations.variance, group, plus, shell, centric, n_bins,
        possible=possible, acentric_possible=acentric,
    )  # fmt: skip
    return MergingStatistics(edges, sums, sums.total(), anomalous)


def _possible(result: MergeResult, edges: Float64[np.ndarray, " e"], n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Unique reflections that there are in each shell, and the acentric ones among them.

    Those that screw axes and glide planes forbid are not missed, but count where they were measured.
    """
    operations = result.symmetry.derive_symmorphic()
    group = gemmi.find_spacegroup_by_ops(operations) or gemmi.SpaceGroup("P 1")
    low, high = float(max(edges[-1], result.d.min())) * (1 - 1e-9), float(result.d.max()) * (1 + 1e-9)
    indices = np.asarray(gemmi.make_miller_array(result.cell, group, low, high), dtype=np.int32)
    forbidden = np.asarray(result.symmetry.systematic_absences(indices), dtype=bool)
    measured = result.equivalents
    every = find_equivalents(np.concatenate([indices[~forbidden], measured.hkl[measured.absent]]), result.symmetry)
    d = np.asarray(result.cell.calculate_d_array(every.hkl), dtype=np.float64)
    shell = shell_numbers(d, edges)
    there = shell >= 0
    acentric = there & ~every.centric
    return np.bincount(shell[there], minlength=n_bins), np.bincount(shell[acentric], minlength=n_bins)


def merging_table(statistics: MergingStatistics) -> str:
    """One line a shell, and one for all data."""
    lines = [_HEADER]
    edges = statistics.edges
    for sums, highs, lows in (
        (statistics.shells, edges[:-1], edges[1:]),
        (statistics.overall, edges[:1], edges[-1:]),
    ):
        r_merge, r_meas, r_pim = r_factors(sums, statistics.anomalous)
        lines += [
            f"{high:6.2f} {low:6.2f} {sums.n_obs[i]:6.0f} {sums.n_unique[i]:6.0f}"
            f" {_f(sums.multiplicity[i], 7, 2)} {_f(100 * sums.completeness[i], 6, 2)}"
            f" {_f(sums.mean_intensity[i], 9, 1)} {_f(sums.i_over_sigma[i], 7, 1)}"
            f" {_f(r_merge[i], 8, 3)} {_f(r_meas[i], 8, 3)} {_f(r_pim[i], 8, 3)} {_f(sums.r_anom[i], 8, 3)}"
            f" {_f(sums.cc_half[i], 7, 3)}{_star(sums.half, i)}"
            f" {_f(sums.cc_anom[i], 7, 3)}{_star(sums.half_anomalous, i)}"
            for i, (high, low) in enumerate(zip(highs, lows, strict=True))
        ]
    return "\n".join(lines)


def r_factors(sums: MergingSums, anomalous: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rmerge, Rmeas and Rpim; `anomalous`: with Friedel mates apart."""
    if anomalous:
        return sums.r_merge_sides, sums.r_meas_sides, sums.r_pim_sides
    return sums.r_merge, sums.r_meas, sums.r_pim


def _star(correlation: Correlation, shell: int) -> str:
    """A star where the correlation differs from 0 at the level of 1 % (Student's t)."""
    return "*" if correlation.significant(0.01)[shell] else " "


def _f(value: float, width: int, digits: int) -> str:
    return f"{value:{width}.{digits}f}" if np.isfinite(value) else "-".rjust(width)


def merging_summary(statistics: MergingStatistics, result: MergeResult | None = None) -> str:
    """Overall, lowest and highest shell side by side."""
    edges, overall, shells = statistics.edges, statistics.overall, statistics.shells

    def line(name: str, values: Callable[[MergingSums], np.ndarray], digits: int, factor: float = 1.0) -> str:
        cells = (values(overall)[0], values(shells)[0], values(shells)[-1])
        return f"{name:<42}" + "".join(_f(factor * float(v), 9, digits) for v in cells)

    rows = [
        " " * 42 + "".join(name.rjust(9) for name in ("Overall", "Low", "High")),
        f"{'High resolution limit':<42}{edges[-1]:9.2f}{edges[1]:9.2f}{edges[-1]:9.2f}",
        f"{'Low resolution limit':<42}{edges[0]:9.2f}{edges[0]:9.2f}{edges[-2]:9.2f}",
        line("Completeness", lambda s: s.completeness, 1, 100.0),
        line("Multiplicity", lambda s: s.multiplicity, 1),
        line("I/sigma", lambda s: s.i_over_sigma, 1),
        line("Rmerge(I)", lambda s: s.r_merge, 3),
        line("Rmerge(I+/-)", lambda s: s.r_merge_sides, 3),
        line("Rmeas(I)", lambda s: s.r_meas, 3),
        line("Rmeas(I+/-)", lambda s: s.r_meas_sides, 3),
        line("Rpim(I)", lambda s: s.r_pim, 3),
        line("Rpim(I+/-)", lambda s: s.r_pim_sides, 3),
        line("CC half", lambda s: s.cc_half, 3),
    ]
    if result is not None and result.wilson is not None and np.isfinite(result.wilson.B):
        rows.append(f"{'Wilson B factor':<42}{result.wilson.B:9.3f}")
    rows += [
        line("Anomalous completeness", lambda s: s.anomalous_completeness, 1, 100.0),
        line("Anomalous multiplicity", lambda s: s.anomalous_multiplicity, 1),
        line("Anomalous correlation", lambda s: s.cc_anom, 3),
        line("Total observations", lambda s: s.n_obs, 0),
        line("Total unique", lambda s: s.n_unique, 0),
    ]
    return "\n".join(rows)


def anomalous_by_shell(result: MergeResult, n_bins: int) -> tuple[Float64[np.ndarray, " e"], Float64[np.ndarray, " s"]]:
    """Edges (Angstrom) of shells, and the mean of |F(+) - F(-)| / sigma in each (NaN: no pair)."""
    edges = equal_volume_shells(float(result.d.max()), float(result.d.min()), n_bins)
    difference, sigma = result.anomalous_difference()
    pair = np.isfinite(difference) & (sigma > 0)
    shell = shell_numbers(result.d, edges)[pair]
    count = np.bincount(shell, minlength=n_bins)
    total = np.bincount(shell, np.abs(difference[pair] / sigma[pair]), n_bins)
    return edges, total / np.where(count > 0, count, np.nan)


def anomalous_table(result: MergeResult, n_bins: int) -> str:
    """The size of anomalous differences by resolution."""
    edges, ratio = anomalous_by_shell(result, n_bins)
    rows = [(f"{edges[i]:.2f}", f"{edges[i + 1]:.2f}", _f(float(value), 0, 3).strip()) for i, value in enumerate(ratio)]
    return "Size of anomalous differences\n" + text_table(["d_max", "d_min", "<|ΔF|/σ(ΔF)>"], rows)
