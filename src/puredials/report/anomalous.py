"""Plots of anomalous differences: by resolution, against their errors, of one half of the data against the other."""

from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtri

from puredials.merging.anomalous import HalfDifferences, anomalous_deviations, anomalous_halves, central_slope
from puredials.merging.tables import anomalous_by_shell
from puredials.merging.unique import MergeResult
from puredials.report.intensities import against_resolution
from puredials.report.page import Section, figure
from puredials.statistics import equal_volume_shells

__all__ = ["anomalous_sections"]

Values = Float64[np.ndarray, " n"]
# Pairs that a distribution needs, points of its plot, and points that a cloud needs to be seen.
_FEWEST, _QUANTILES, _POINTS = 50, 200, 3000


def anomalous_sections(result: MergeResult, shells: int) -> list[Section]:
    """What there is of them: data without Friedel pairs have none."""
    sections = [_by_resolution(result, shells)] if result.F_plus is not None else []
    deviation = anomalous_deviations(result)
    if len(deviation) >= _FEWEST:
        sections.append(_probability(deviation))
    halves = anomalous_halves(result)
    if len(halves.first) >= _FEWEST:
        sections += [_halves(halves), *_ratio_by_resolution(halves, result, shells)]
    return sections


def _by_resolution(result: MergeResult, shells: int) -> Section:
    edges, ratio = anomalous_by_shell(result, shells)
    middle = (edges[:-1] ** -2 + edges[1:] ** -2) / 2
    trace = {"type": "scatter", "mode": "lines+markers", "x": middle, "y": ratio, "name": "measured"}
    noise = {"type": "scatter", "mode": "lines", "x": middle, "y": np.full(len(middle), (2 / np.pi) ** 0.5),
             "name": "no anomalous signal", "line": {"dash": "dot"}}  # fmt: skip
    text = (
        "Differences within the errors alone average to 0.8 of them. Weak reflections lie lower: their amplitudes are "
        "drawn to what is usual at their resolution."
    )
    plot = against_resolution(middle, [trace, noise], "⟨|ΔF| / σ(ΔF)⟩")
    return Section("Anomalous differences", text, plot, name="anomalous")


def _probability(deviation: Values) -> Section:
    level = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    normal, measured = ndtri(level), np.quantile(deviation, level)
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "markers", "x": normal, "y": measured, "name": "measured", "marker": {"size": 4}},
        {"type": "scatter", "mode": "lines", "x": [-3, 3], "y": [-3, 3], "name": "errors alone",
         "line": {"dash": "dot"}},
    ]  # fmt: skip
    text = (
        f"Of {len(deviation)} Friedel pairs. The slope of the middle is {central_slope(deviation):.2f}: 1 of errors "
        "alone; more is anomalous signal, if the standard deviations are true."
    )
    plot = figure(traces, x="normal deviate", y="ΔI / σ(ΔI)")
    return Section("Normal probability of anomalous differences", text, plot, name="anomalous_probability")


def _halves(halves: HalfDifferences) -> Section:
    n = len(halves.first)
    # Evenly out of the order of indices, so that no part of reciprocal space is left out.
    shown = np.unique(np.linspace(0, n - 1, min(n, _POINTS)).astype(np.int64))
    first, second = halves.first[shown], halves.second[shown]
    end = float(np.quantile(np.abs([first, second]), 0.995))
    traces: list[dict[str, Any]] = [
        {"type": "scattergl", "mode": "markers", "x": first, "y": second, "name": "reflections",
         "marker": {"size": 3, "opacity": 0.5}},
        {"type": "scatter", "mode": "lines", "x": [-end, end], "y": [-end, end], "name": "in full agreement",
         "line": {"dash": "dot"}},
    ]  # fmt: skip
    part = f", {len(shown)} of which are shown" if n > len(shown) else ""
    text = (
        f"Of {n} reflections{part}. Signal draws the cloud out along the line, noise makes it round: its length is "
        f"{halves.ratio:.2f} of its width (r.m.s.), the correlation {halves.correlation:.3f}."
    )
    both = {"range": [-1.1 * end, 1.1 * end]}
    square = {**both, "scaleanchor": "x", "constrain": "domain"}
    plot = figure(traces, x="ΔI of one half", y="ΔI of the other", xaxis={**both, "constrain": "domain"}, yaxis=square)
    return Section("Anomalous differences of half data sets", text, plot, name="anomalous_halves")


def _ratio_by_resolution(halves: HalfDifferences, result: MergeResult, shells: int) -> list[Section]:
    edges = equal_volume_shells(float(result.d.max()), float(result.d.min()), shells)
    shown = {(high**-2 + low**-2) / 2: halves.within(high, low) for high, low in pairwise(edges)}
    shown = {middle: part for middle, part in shown.items() if len(part.d) >= _FEWEST}
    if not shown:
        return []
    middle, ratio = np.array(list(shown)), np.array([part.ratio for part in shown.values()])
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines+markers", "x": middle, "y": ratio, "name": "measured"},
        {"type": "scatter", "mode": "lines", "x": middle, "y": np.ones(len(middle)), "name": "no anomalous signal",
         "line": {"dash": "dot"}},
    ]  # fmt: skip
    text = "Length over width of the same cloud in each shell: the signal reaches to where it comes down to 1."
    plot = against_resolution(middle, traces, "r.m.s. correlation ratio", yaxis={"rangemode": "tozero"})
    return [Section("Agreement of anomalous differences", text, plot, name="anomalous_ratio")]
