"""The pages of dials.merge and dials.estimate_resolution."""

from typing import Any

import numpy as np

from puredials.merging.resolution import METRICS, Curve, ResolutionResult
from puredials.merging.tables import (
    MergingStatistics,
    anomalous_by_shell,
    merging_summary,
    merging_table,
    r_factors,
)
from puredials.merging.unique import MergeResult
from puredials.report.page import Section, figure

__all__ = ["merge_figures", "merge_sections", "resolution_figures", "resolution_sections"]


def _resolution_axis(low: float, high: float) -> dict[str, Any]:
    """Ticks of a 1/d^2 axis, labelled with d."""
    values = np.linspace(low, high, 7)
    return {"tickvals": values, "ticktext": [f"{v**-0.5:.2f}" if v > 0 else "∞" for v in values]}


def _against_resolution(s_squared: np.ndarray, traces: list[dict[str, Any]], y: str, **layout: Any) -> dict[str, Any]:
    axis = _resolution_axis(max(float(s_squared.min()), 1e-4), float(s_squared.max()))
    return figure(traces, x="resolution (Å, in steps of 1/d²)", y=y, xaxis=axis, **layout)


def merge_figures(result: MergeResult, statistics: MergingStatistics) -> dict[str, dict[str, Any]]:
    """Plots by name."""
    s_squared = (statistics.edges[:-1] ** -2 + statistics.edges[1:] ** -2) / 2

    def line(y: np.ndarray, name: str) -> dict[str, Any]:
        return {"type": "scatter", "mode": "lines+markers", "x": s_squared, "y": y, "name": name}

    shells = statistics.shells
    _, r_meas, r_pim = r_factors(shells, statistics.anomalous)
    figures = {
        "cc_one_half": _against_resolution(
            s_squared, [line(shells.cc_half, "CC½"), line(shells.cc_anom, "CC of anomalous differences")], "correlation"
        ),
        "i_over_sig_i": _against_resolution(s_squared, [line(shells.i_over_sigma, "⟨I/σ(I)⟩")], "⟨I/σ(I)⟩ of means"),
        "completeness": _against_resolution(
            s_squared,
            [line(shells.completeness, "all"), line(shells.anomalous_completeness, "Bijvoet pairs")],
            "completeness",
        ),
        "multiplicity": _against_resolution(s_squared, [line(shells.multiplicity, "all")], "multiplicity"),
        "r_pim": _against_resolution(
            s_squared,
            [line(r_meas, "Rmeas"), line(r_pim, "Rpim")],
            "R factor",
            yaxis={"range": [0, _largest_shown(r_meas)]},
        ),
    }
    if result.wilson is not None:
        wilson = result.wilson
        figures["wilson"] = _against_resolution(
            wilson.s_squared,
            [
                {"type": "scatter", "mode": "markers", "x": wilson.s_squared, "y": wilson.log_ratio, "name": "shells"},
                {"type": "scatter", "mode": "lines", "x": wilson.s_squared, "y": wilson.line,
                 "name": f"B = {wilson.B:.1f} Å²"},
            ],
            "ln(⟨I⟩ / Σf²)",
        )  # fmt: skip
    if result.F_plus is not None:
        edges, ratio = anomalous_by_shell(result, len(s_squared))
        middle = (edges[:-1] ** -2 + edges[1:] ** -2) / 2
        trace = {"type": "scatter", "mode": "lines+markers", "x": middle, "y": ratio, "name": "measured"}
        noise = {"type": "scatter", "mode": "lines", "x": middle, "y": np.full(len(middle), (2 / np.pi) ** 0.5),
                 "name": "no anomalous signal", "line": {"dash": "dot"}}  # fmt: skip
        figures["anomalous"] = _against_resolution(middle, [trace, noise], "<|ΔF| / σ(ΔF)>")
    return figures


def _largest_shown(r: np.ndarray) -> float:
    """The top of a plot of R factors: where the mean intensity is about zero they go anywhere."""
    finite = r[np.isfinite(r) & (r > 0)]
    return float(min(1.05 * finite.max(), 2.0)) if len(finite) else 1.0


_MERGE_TEXTS = {
    "cc_one_half": ("Correlation of half data sets", "CC½ falls where noise takes over; 0.3 is a customary end."),
    "i_over_sig_i": ("Signal to noise", "Mean of the merged intensities over their errors."),
    "completeness": ("Completeness", "Share of the possible reflections that were measured."),
    "multiplicity": ("Multiplicity", "Observations of a unique reflection."),
    "r_pim": ("R factors", "Rmeas: scatter of one observation; Rpim: of the mean."),
    "wilson": ("Wilson plot", "The slope of the line is the overall B factor; bumps are the packing of proteins."),
    "anomalous": ("Anomalous differences", "Differences within the errors alone average to 0.8 of them."),
}


def merge_sections(result: MergeResult, statistics: MergingStatistics) -> list[Section]:
    """Sections of the page of dials.merge."""
    summary = Section("Summary", log=merging_summary(statistics, result))
    plots = [Section(*_MERGE_TEXTS[name], plot) for name, plot in merge_figures(result, statistics).items()]
    return [summary, *plots, Section("Merging statistics by resolution", log=merging_table(statistics))]


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
    if curve.d_min is not None:
        top = float(np.nanmax(curve.value)) if np.isfinite(curve.value).any() else 1.0
        traces.append({"type": "scatter", "mode": "lines", "x": [curve.d_min**-2] * 2, "y": [0, top],
                       "name": f"d_min = {curve.d_min:.2f} Å", "line": {"dash": "dash"}})  # fmt: skip
    return _against_resolution(s, traces, name)


def resolution_sections(result: ResolutionResult) -> list[Section]:
    """Sections of the page of dials.estimate_resolution."""
    sections: list[Section] = []
    for curve in result.curves:
        name = METRICS[curve.metric]
        reach = "cannot be told" if curve.d_min is None else f"is {curve.d_min:.2f} Å"
        if curve.d_min is not None and not curve.reached:
            reach += ", the end of the data: they seem to extend beyond it"
        text = f"The limit where the fitted curve passes {curve.threshold:g} {reach}."
        sections.append(Section(name[0].upper() + name[1:], text, _curve_figure(curve)))
    return sections
