"""The page of dials.compute_delta_cchalf."""

from typing import Any

import numpy as np

from puredials.report.page import Section, figure
from puredials.scaling.leave_out import DeltaCCHalf
from puredials.scaling.leave_out_tables import delta_cc_half_report

__all__ = ["delta_cc_half_figures", "delta_cc_half_sections"]

_NAMES = {False: "agree with the rest", True: "bad"}


def delta_cc_half_figures(result: DeltaCCHalf) -> dict[str, dict[str, Any]]:
    """A histogram of ΔCC1/2, and its course over the groups."""
    delta = result.delta
    edges = np.linspace(*_ends(delta), 41)
    width = edges[1] - edges[0]
    line = {"type": "line", "line": {"dash": "dash"}}
    histogram = [
        {"type": "bar", "x": (edges[:-1] + edges[1:]) / 2, "width": width, "name": _NAMES[which],
         "y": np.histogram(delta[result.bad == which], edges)[0]}
        for which in (False, True) if (result.bad == which).any()
    ]  # fmt: skip
    names = [f"data set {g.experiment}, images {g.first} to {g.last}" for g in result.groups]
    course = [
        {"type": "scatter", "mode": "markers", "x": np.flatnonzero(result.bad == which), "name": _NAMES[which],
         "y": delta[result.bad == which],
         "text": [n for n, bad in zip(names, result.bad, strict=True) if bad == which]}
        for which in (False, True) if (result.bad == which).any()
    ]  # fmt: skip
    cutoff = result.cutoff
    across = {**line, "x0": cutoff, "x1": cutoff, "yref": "paper", "y0": 0, "y1": 1}
    along = {**line, "y0": cutoff, "y1": cutoff, "xref": "paper", "x0": 0, "x1": 1}
    return {
        "delta_cc_half_histogram": figure(
            histogram, x="ΔCC½", y="groups", barmode="stack", shapes=[across] if np.isfinite(cutoff) else []
        ),
        "delta_cc_half": figure(course, x="group", y="ΔCC½", shapes=[along] if np.isfinite(cutoff) else []),
    }


def _ends(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def delta_cc_half_sections(result: DeltaCCHalf) -> list[Section]:
    """Sections of the page."""
    texts = {
        "delta_cc_half_histogram": (
            "ΔCC½",
            "arctanh(CC½) with a group less the same without it. Groups below the dashed line do not agree with the "
            "rest: without them the data are better.",
        ),
        "delta_cc_half": ("ΔCC½ of each group", "Groups in the order of data sets and images."),
    }
    return [
        *(Section(*texts[name], plot) for name, plot in delta_cc_half_figures(result).items()),
        Section("Groups", log=delta_cc_half_report(result)),
    ]
