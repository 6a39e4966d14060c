"""Plots of merged data, and the pages of dials.merge and dials.estimate_resolution."""

from typing import Any

import numpy as np
from scipy.special import erf

from puredials.merging.resolution import METRICS, Curve, ResolutionResult
from puredials.merging.tables import (
    MergingStatistics,
    merging_summary,
    merging_table,
    r_factors,
)
from puredials.merging.twinning import TwinStatistics, twin_statistics
from puredials.merging.unique import MergeResult
from puredials.report.anomalous import anomalous_sections
from puredials.report.intensities import against_resolution
from puredials.report.page import Section, figure
from puredials.statistics import Correlation

__all__ = ["merge_sections", "merged_sections", "resolution_figures", "resolution_sections", "twin_sections"]

# Reflections of a shell in which intensities are compared, its least signal to noise, and fewest of a curve.
_IN_A_SHELL, _SIGNIFICANT, _FEWEST = 300, 3.0, 100
# Pairs of half sets of a correlation worth a point: it has an error of about 1 / sqrt(n).
_PAIRS = 12


def merged_sections(result: MergeResult, statistics: MergingStatistics) -> list[Section]:
    """Statistics by resolution, Wilson plot, anomalous differences, twinning."""
    s_squared = (statistics.edges[:-1] ** -2 + statistics.edges[1:] ** -2) / 2
    shells = statistics.shells
    r_merge, r_meas, r_pim = r_factors(shells, statistics.anomalous)

    def section(name: str, heading: str, text: str, y: str, curves: dict[str, np.ndarray], **layout: Any) -> Section:
        lines: list[dict[str, Any]] = [
            {"type": "scatter", "mode": "lines+markers", "x": s_squared, "y": values, "name": label}
            for label, values in curves.items()
        ]
        return Section(heading, text, against_resolution(s_squared, lines, y, **layout), name=name)

    sections = [
        section("cc_one_half", "Correlation of half data sets",
                "CC½ falls where noise takes over; 0.3 is a customary end.", "correlation",
                {"CC½": _of_enough(shells.half), "CC of anomalous differences": _of_enough(shells.half_anomalous)},
                yaxis={"range": [-0.25, 1.05]}),
        section("i_over_sig_i", "Signal to noise", "Mean of the merged intensities over their errors.",
                "⟨I/σ(I)⟩ of means", {"⟨I/σ(I)⟩": shells.i_over_sigma}),
        section("completeness", "Completeness", "Share of the possible reflections that were measured.", "completeness",
                {"all": shells.completeness, "Bijvoet pairs": shells.anomalous_completeness}),
        section("multiplicity", "Multiplicity", "Observations of a unique reflection.", "multiplicity",
                {"all": shells.multiplicity}),
        section("r_pim", "R factors", "Scatter of one observation (Rmeas; less in Rmerge), of the mean (Rpim).",
                "R factor", {"Rmerge": r_merge, "Rmeas": r_meas, "Rpim": r_pim},
                yaxis={"range": [0, _largest_shown(r_meas)]}),
    ]  # fmt: skip
    if result.wilson is not None:
        wilson = result.wilson
        traces = [
            {"type": "scatter", "mode": "markers", "x": wilson.s_squared, "y": wilson.log_ratio, "name": "shells"},
            {"type": "scatter", "mode": "lines", "x": wilson.s_squared, "y": wilson.line,
             "name": f"B = {wilson.B:.1f} Å²"},
        ]  # fmt: skip
        text = "The slope of the line is the overall B factor; bumps are how atoms are packed."
        plot = against_resolution(wilson.s_squared, traces, "ln(⟨I⟩ / Σf²)")
        sections.append(Section("Wilson plot", text, plot, name="wilson"))
    sections += anomalous_sections(result, len(s_squared))
    sections.append(_multiplicities(result))
    twinning = twin_statistics(result.equivalents, result.mean, result.d)
    return sections if twinning is None else [*sections, *_distribution(result), *twin_sections(twinning)]


def _multiplicities(result: MergeResult) -> Section:
    counts = np.bincount(result.mean.count.astype(np.int64))[1:]
    bars = {"type": "bar", "x": np.arange(1, len(counts) + 1), "y": counts}
    text = "How many unique reflections were measured once, twice and so on."
    plot = figure([bars], x="observations", y="unique reflections", bargap=0)
    return Section("Multiplicities", text, plot, name="multiplicities")


def _distribution(result: MergeResult) -> list[Section]:
    """The cumulative distribution of intensities beside those of Wilson (1949, Acta Cryst. 2, 318), Howells et al.
    (1950, Acta Cryst. 3, 210): N(z) = 1 - exp(-z) of acentric, erf(sqrt(z / 2)) of centric reflections."""
    groups, mean = result.equivalents, result.mean
    good = np.isfinite(mean.value) & ~groups.absent
    order = np.flatnonzero(good)[np.argsort(-result.d[good], kind="stable")]
    value = mean.value / groups.epsilon
    z = np.full(len(value), np.nan)
    for part in np.array_split(order, max(1, len(order) // _IN_A_SHELL)):
        signal = value[part].mean()
        if len(part) and signal > _SIGNIFICANT * (mean.sigma[part] / groups.epsilon[part]).mean():
            z[part] = value[part] / signal
    level = np.linspace(0, 2, 41)
    traces: list[dict[str, Any]] = []
    for name, which, ideal in (("acentric", ~groups.centric, 1 - np.exp(-level)),
                               ("centric", groups.centric, erf(np.sqrt(level / 2)))):  # fmt: skip
        own = np.sort(z[which & np.isfinite(z)])
        if len(own) >= _FEWEST:
            share = np.searchsorted(own, level, side="right") / len(own)
            traces += [
                {"type": "scatter", "mode": "lines", "x": level, "y": share, "name": name},
                {"type": "scatter", "mode": "lines", "x": level, "y": ideal, "name": f"{name}, ideal",
                 "legendgroup": name, "line": {"dash": "dot"}},
            ]  # fmt: skip
    if not traces:
        return []
    text = "Of significant shells, over their mean: on the dotted lines; those of twins begin flat, as an S."
    plot = figure(traces, x="z = I / ⟨I⟩", y="share of the reflections below")
    return [Section("Cumulative distribution of intensities", text, plot, name="cumulative_intensity")]


def _of_enough(correlation: Correlation) -> np.ndarray:
    """The coefficients of shells with pairs enough: those of a few are anywhere between -1 and 1."""
    return np.where(correlation.n >= _PAIRS, correlation.coefficient, np.nan)


def _largest_shown(r: np.ndarray) -> float:
    """The top of a plot of R factors: where the mean intensity is about zero they go anywhere."""
    finite = r[np.isfinite(r) & (r > 0)]
    return float(min(1.05 * finite.max(), 2.0)) if len(finite) else 1.0


def twin_sections(twinning: TwinStatistics) -> list[Section]:
    """The L test and the second moments, beside what they are for an untwinned crystal and a perfect twin."""
    level = twinning.level
    distribution: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "x": level, "y": twinning.share, "name": "measured"},
        *(
            {"type": "scatter", "mode": "lines", "x": level, "y": y, "name": name, "line": {"dash": "dot"}}
            for name, y in (("untwinned", level), ("perfect twin", level * (3 - level**2) / 2))
        ),
    ]
    text = f"Of pairs of near reflections; ⟨|L|⟩ = {twinning.mean_l:.3f}: 0.500 if untwinned, 0.375 for a perfect twin."
    plot = figure(distribution, x="|L| = |I₁ - I₂| / (I₁ + I₂)", y="share of the pairs below")
    sections = [Section("L test for twinning", text, plot, name="l_test")]
    if len(twinning.s_squared) > 1:
        s_squared = twinning.s_squared
        ends = [float(s_squared[0]), float(s_squared[-1])]
        moments: list[dict[str, Any]] = [
            {"type": "scatter", "mode": "lines+markers", "x": s_squared, "y": twinning.moment, "name": "measured"},
            *(
                {"type": "scatter", "mode": "lines", "x": ends, "y": [y, y], "name": name, "line": {"dash": "dot"}}
                for name, y in (("untwinned", 2.0), ("perfect twin", 1.5))
            ),
        ]
        text = "Of acentric reflections: below 2 if intensities of twins average, above if translations modulate them."
        plot = against_resolution(s_squared, moments, "⟨I²⟩ / ⟨I⟩²", yaxis={"range": [1, 3]})
        sections.append(Section("Second moment of intensities", text, plot, name="second_moment"))
    return sections


def merge_sections(result: MergeResult, statistics: MergingStatistics) -> list[Section]:
    """Sections of the page of dials.merge."""
    return [
        Section("Summary", log=merging_summary(statistics, result)),
        *merged_sections(result, statistics),
        Section("Merging statistics by resolution", log=merging_table(statistics)),
    ]


def resolution_figures(result: ResolutionResult) -> dict[str, dict[str, Any]]:
    """Plots by name of the statistic."""
    return {curve.metric: _curve_figure(curve) for curve in result.curves}


def _curve_figure(curve: Curve) -> dict[str, Any]:
    name = METRICS[curve.metric]
    s = curve.s_squared
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "markers", "x": s, "y": curve.value, "name": name},
        {"type": "scatter", "mode": "lines", "x": s, "y": curve.fitted, "name": "fit"},
    ]
    if curve.critical is not None:
        traces.append({"type": "scatter", "mode": "lines", "x": s, "y": curve.critical, "name": "least significant",
                       "line": {"dash": "dot"}})  # fmt: skip
    if curve.limit is not None:
        top = float(np.nanmax(curve.value)) if np.isfinite(curve.value).any() else 1.0
        traces.append({"type": "scatter", "mode": "lines", "x": [curve.limit.d_min**-2] * 2, "y": [0, top],
                       "name": f"d_min = {curve.limit.d_min:.2f} Å", "line": {"dash": "dash"}})  # fmt: skip
    return against_resolution(s, traces, name)


def resolution_sections(result: ResolutionResult) -> list[Section]:
    """Sections of the page of dials.estimate_resolution."""
    sections: list[Section] = []
    for curve in result.curves:
        name = METRICS[curve.metric]
        reach = "cannot be told" if curve.passes is None else f"is {curve.passes.d_min:.2f} Å"
        if curve.passes is not None and not curve.passes.within_data:
            reach += ", the end of the data: they seem to extend beyond it"
        text = f"The limit where the fitted curve passes {curve.threshold:g} {reach}."
        if curve.is_uncertain and curve.significant is not None:
            text += f" Beyond {curve.significant.d_min:.2f} Å correlations of so few pairs are not significant."
        sections.append(Section(name[0].upper() + name[1:], text, _curve_figure(curve), name=curve.metric))
    return sections
