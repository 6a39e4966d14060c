"""The profile model, and how well the reference profiles fit."""

import numpy as np
from jaxtyping import Float64

from puredials.model import Experiments, Flags, ReflectionTable
from puredials.report.along import along, curves, place_along, totals
from puredials.report.intensities import against_resolution, significance
from puredials.report.maps import detector_maps, map_figure
from puredials.report.page import Section, figure, stacked

__all__ = ["profile_correlations", "profile_sections"]

Values = Float64[np.ndarray, " n"]
_BINS = 20


def profile_correlations(table: ReflectionTable) -> Values:
    """Correlation of each reflection with its reference profile; NaN where none was fitted."""
    if "profile.correlation" not in table:
        return np.full(table.n_rows, np.nan)
    fitted = table.has(Flags.INTEGRATED_PRF)
    return np.where(fitted, table["profile.correlation"], np.nan)


def profile_sections(experiments: Experiments, table: ReflectionTable, *, pixels_per_bin: int = 40) -> list[Section]:
    """Widths of the model, and correlations by all that may make them worse."""
    sections = _widths(experiments)
    correlation = profile_correlations(table)
    good = np.isfinite(correlation)
    if not good.any():
        return sections
    number, z, ratio = table["id"].astype(np.int64), place_along(table), significance(table)
    counts, edges = np.histogram(correlation[good], bins=60, range=(-0.2, 1.0))
    bars = {"type": "bar", "x": (edges[1:] + edges[:-1]) / 2, "y": counts, "width": edges[1] - edges[0]}
    text = "Of the counts of each reflection with its reference profile: near 1 for strong reflections."
    plot = figure([bars], x="correlation", y="reflections", bargap=0)
    sections.append(Section("Profile correlation", text, plot, name="profile_correlation"))
    strong = good & (ratio > 0.5)
    if strong.any():
        x, y = _means(np.log10(ratio[strong]), correlation[strong])
        line = {"type": "scatter", "mode": "lines+markers", "x": 10**x, "y": y}
        text = "Rises to 1 with strength; strong reflections that stay below have shapes that the profiles lack."
        plot = figure([line], x="I/σ", y="⟨correlation⟩", xaxis={"type": "log"}, yaxis={"range": [0, 1.02]})
        sections.append(Section("Profile correlation by I/σ", text, plot, name="profile_correlation_i_over_sigma"))
    if "d" in table:
        x, y = _means(1 / table["d"][good] ** 2, correlation[good])
        line = {"type": "scatter", "mode": "lines+markers", "x": x, "y": y}
        text = "Falls towards high resolution as reflections become weak."
        plot = against_resolution(x, [line], "⟨correlation⟩", yaxis={"range": [0, 1.02]})
        sections.append(Section("Profile correlation by resolution", text, plot, name="profile_correlation_resolution"))
    scan = along(experiments, number, z, correlation)
    if scan:
        text = "Mean of all reflections: dips where the profiles do not describe the crystal."
        plot = figure(curves(scan), x="image", y="⟨correlation⟩", yaxis={"range": [0, 1.02]})
        sections.append(Section("Profile correlation along the scan", text, plot, name="profile_correlation_scan"))
    sections += _references(experiments, table)
    at, panel = table["xyzcal.px"][:, :2].astype(np.float64), table["panel"].astype(np.int64)
    for k, found in enumerate(maps := detector_maps(experiments, number, at, panel, correlation, pixels_per_bin)):
        suffix = f"/{k}" if len(maps) > 1 else ""
        heading = "Profile correlation over the detector" + (f", detector {k}" if suffix else "")
        text = "Even around the beam; dark patches are shadows, or regions that have no good profile."
        plot = map_figure(found, "⟨correlation⟩")
        sections.append(Section(heading, text, plot, name=f"profile_correlation_map{suffix}"))
    return sections


def _references(experiments: Experiments, table: ReflectionTable) -> list[Section]:
    """How many reflections profiles were learnt from, along the scan."""
    learnt = table.has(Flags.USED_IN_MODELLING)
    if not learnt.any():
        return []
    counts = totals(experiments, table["id"].astype(np.int64), place_along(table), learnt)
    text = "Strong reflections without neighbours from which profiles were learnt, of each image."
    plot = figure(curves(counts), x="image", y="reflections", yaxis={"rangemode": "tozero"})
    return [Section("References along the scan", text, plot, name="references_scan")]


def _means(x: Values, y: Values) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """Means of x and y in bins of equally many reflections."""
    parts = np.array_split(np.argsort(x, kind="stable"), min(_BINS, len(x)))
    return np.array([x[p].mean() for p in parts]), np.array([y[p].mean() for p in parts])


def _widths(experiments: Experiments) -> list[Section]:
    """Divergence and mosaic spread: a table, and curves where they vary along the scan."""
    profiles = [(k, e) for k, e in enumerate(experiments) if e.profile is not None]
    if not profiles:
        return []
    rows = [
        (k, f"{np.mean(p.sigma_b):.4f}", f"{np.mean(p.sigma_m):.4f}", f"{p.n_sigma:g}")
        for k, e in profiles
        if (p := e.profile) is not None
    ]
    text = (
        "σ(b): spread of a spot on the detector, σ(m): of its passage through the Ewald sphere; boxes reach n\u00a0σ."
    )
    header = ("data set", "σ(b) (°)", "σ(m) (°)", "n")
    sections = [Section("Profile model", text, header=header, rows=rows)]
    parts: dict[str, list[dict[str, object]]] = {}
    for name, label in (("sigma_b", "σ(b) (°)"), ("sigma_m", "σ(m) (°)")):
        for k, e in profiles:
            values = np.asarray(getattr(e.profile, name))
            if values.ndim and e.scan is not None and len(values) > 1:
                image = np.linspace(*e.scan.image_range, len(values))
                parts.setdefault(label, []).append(
                    {"type": "scatter", "mode": "lines", "x": image, "y": values, "name": f"data set {k}"}
                )
    if parts:
        plot = stacked(parts, x="image")
        sections.append(Section("Profile model along the scan", "Widths by image.", plot, name="profile_model"))
    return sections
