"""The page of dials.scale."""

from typing import Any

import numpy as np
from scipy.special import ndtri

from puredials.kernels.harmonics import add_harmonics
from puredials.merging.tables import MergingStatistics
from puredials.merging.unique import MergeResult
from puredials.report.merging import merge_figures
from puredials.report.page import Section, figure
from puredials.scaling.scaling import ScaleResult
from puredials.scaling.tables import scaling_report, selection_report, statistics_report

__all__ = ["scaling_figures", "scaling_sections"]

_TEXTS = {
    "scale": ("Scale", "The inverse scale factor along the rotation, without decay and absorption; the band is ±1 sd."),
    "decay": ("Relative B factor", "Falls as radiation damages the crystal."),
    "absorption": ("Absorption surface", "The correction for beams in each direction, as the crystal sees them."),
    "cc_one_half": ("Correlation of half data sets", "CC½ falls where noise takes over; 0.3 is a customary end."),
    "i_over_sig_i": ("Signal to noise", "Mean of the merged intensities over their errors."),
    "completeness": ("Completeness", "Share of the possible reflections that were measured."),
    "multiplicity": ("Multiplicity", "Observations of a unique reflection."),
    "r_pim": ("R factors", "Rmeas: scatter of one observation; Rpim: of the mean."),
    "wilson": ("Wilson plot", "The slope of the line is the overall B factor."),
    "batch_rmerge": ("Rmerge by image", "Deviations of the observations on each group of images from the means."),
    "batch_i_over_sigma": ("I/σ by image", "Mean over the observations on each group of images."),
    "batch_scale": ("Scale by image", "Mean inverse scale factor of the observations on each group of images."),
    "normal_probability": ("Normal probability plot", "Deviations of the observations from their equivalents over σ: "
                           "on the dotted line if the errors are normal and the standard deviations true."),
    "deviation_intensity": ("Deviations by intensity", "Root mean square of the same, from weak to strong: near 1."),
}  # fmt: skip


def scaling_figures(
    result: ScaleResult, merged: MergeResult, statistics: MergingStatistics
) -> dict[str, dict[str, Any]]:
    """Plots by name."""
    return {
        **_model_figures(result),
        **merge_figures(merged, statistics),
        **_batch_figures(result, merged),
        **_deviation_figures(result),
    }


def scaling_sections(
    result: ScaleResult,
    merged: MergeResult,
    statistics: MergingStatistics,
    suggested: MergingStatistics | None,
    threshold: float,
) -> list[Section]:
    """Sections of the page."""
    tables = statistics_report(merged, statistics, suggested, threshold)
    sections = [Section("Merging statistics", log=tables)]
    for name, plot in scaling_figures(result, merged, statistics).items():
        heading, text = _TEXTS.get(name.split("/")[0], (name, ""))
        suffix = f", data set {name.split('/')[1]}" if "/" in name and len(result.models) > 1 else ""
        sections.append(Section(heading + suffix, text, plot))
    return [*sections, Section("Log", log=selection_report(result) + "\n" + scaling_report(result))]


def _model_figures(result: ScaleResult) -> dict[str, dict[str, Any]]:
    figures: dict[str, dict[str, Any]] = {}
    curves: dict[str, list[dict[str, Any]]] = {"scale": [], "decay": []}
    for number, (model, experiment) in enumerate(zip(result.models, result.experiments, strict=True)):
        if experiment.scan is None:
            continue
        images = np.linspace(0, len(experiment.scan), 200)
        phi = np.degrees(experiment.scan.phi(images + experiment.scan.array_range[0]))
        for name, nodes in (("scale", model.scale), ("decay", model.decay)):
            if nodes is None:
                continue
            index, weight = nodes.weights(images)
            part = model.parts[name]
            value = (result.parameters[part][index] * weight).sum(axis=1)
            error = (result.esds[part][index] * weight).sum(axis=1)
            curves[name] += _band(phi, value, error, f"data set {number}")
        if model.lmax:
            figures[f"absorption/{number}"] = _surface(result.parameters[model.parts["absorption"]], model.lmax)
    labels = {"scale": "inverse scale factor", "decay": "relative B (Å²)"}
    return {
        **{name: figure(traces, x="rotation (°)", y=labels[name]) for name, traces in curves.items() if traces},
        **figures,
    }


def _band(x: np.ndarray, y: np.ndarray, error: np.ndarray, name: str) -> list[dict[str, Any]]:
    around = np.concatenate([y + error, (y - error)[::-1]])
    return [
        {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name},
        {"type": "scatter", "mode": "lines", "x": np.concatenate([x, x[::-1]]), "y": around, "fill": "toself",
         "line": {"width": 0}, "fillcolor": "rgba(120,120,120,0.25)", "showlegend": False, "hoverinfo": "skip"},
    ]  # fmt: skip


def _surface(coefficients: np.ndarray, lmax: int) -> dict[str, Any]:
    """1 + sum P Y over the sphere."""
    polar, azimuth = np.radians(np.arange(0, 181, 5.0)), np.radians(np.arange(0, 361, 5.0))
    t, f = (a.ravel() for a in np.meshgrid(polar, azimuth, indexing="ij"))
    directions = np.stack([np.sin(t) * np.cos(f), np.sin(t) * np.sin(f), np.cos(t)], axis=1)
    terms = np.zeros((len(t), lmax * (lmax + 2)))
    add_harmonics(directions, lmax, 1.0, terms)
    values = 1 + (terms @ coefficients).reshape(len(polar), len(azimuth))
    return figure(
        [{"type": "heatmap", "x": np.degrees(azimuth), "y": np.degrees(polar), "z": values, "colorscale": "Viridis"}],
        x="azimuth (°)", y="polar angle from the rotation axis (°)",
    )  # fmt: skip


def _batch_figures(result: ScaleResult, merged: MergeResult) -> dict[str, dict[str, Any]]:
    """Statistics of groups of images, of which a sweep has about fifty."""
    observations = merged.observations
    table, group = observations.table, merged.equivalents.group
    deviation = np.abs(observations.value - merged.mean.value[group])
    repeated = merged.mean.count[group] > 1
    traces: dict[str, list[dict[str, Any]]] = {"batch_rmerge": [], "batch_i_over_sigma": [], "batch_scale": []}
    for number, experiment in enumerate(result.experiments):
        scan = experiment.scan
        if scan is None:
            continue
        here = observations.experiment == number
        width = max(1, len(scan) // 50)
        batch = np.clip((table["xyzobs.px.value"][here, 2] - scan.array_range[0]) // width, 0, len(scan) // width)
        batch = batch.astype(np.int64)
        count = np.maximum(np.bincount(batch), 1)
        both = repeated[here]
        n = len(count)
        total = np.bincount(batch, np.where(both, observations.value[here], 0), n)
        values = {
            "batch_rmerge": np.bincount(batch, np.where(both, deviation[here], 0), n) / np.where(total > 0, total, 1),
            "batch_i_over_sigma": np.bincount(batch, (observations.value / np.sqrt(observations.variance))[here], n)
            / count,
            "batch_scale": np.bincount(batch, table["inverse_scale_factor"][here], n) / count,
        }
        image = (np.arange(n) + 0.5) * width + scan.array_range[0]
        for name, y in values.items():
            traces[name].append(
                {"type": "scatter", "mode": "lines+markers", "x": image, "y": y, "name": f"data set {number}"}
            )
    labels = {"batch_rmerge": "Rmerge", "batch_i_over_sigma": "⟨I/σ⟩", "batch_scale": "inverse scale factor"}
    return {name: figure(lines, x="image", y=labels[name]) for name, lines in traces.items() if lines}


def _deviation_figures(result: ScaleResult) -> dict[str, dict[str, Any]]:
    deviations = result.deviations
    if len(deviations.rows) < 20:
        return {}
    expected = ndtri((np.arange(200) + 0.5) / 200)
    quantiles = {
        "as integrated": np.quantile(deviations.stated, (np.arange(200) + 0.5) / 200),
        "by the error model": np.quantile(deviations.corrected, (np.arange(200) + 0.5) / 200),
    }
    probability = [
        {"type": "scatter", "mode": "markers", "x": expected, "y": y, "name": name, "marker": {"size": 4}}
        for name, y in quantiles.items()
    ]
    ideal = {"type": "scatter", "mode": "lines", "x": [-3, 3], "y": [-3, 3], "name": "ideal", "line": {"dash": "dot"}}
    order = np.argsort(deviations.expected, kind="stable")
    bins = np.array_split(order, min(20, len(order) // 10))
    level = [float(np.median(deviations.expected[b])) for b in bins]
    spread = [
        {"type": "scatter", "mode": "lines+markers", "x": level,
         "y": [float(np.sqrt(np.mean(z[b] ** 2))) for b in bins], "name": name}
        for name, z in (("as integrated", deviations.stated), ("by the error model", deviations.corrected))
    ]  # fmt: skip
    return {
        "normal_probability": figure([*probability, ideal], x="normal deviate", y="deviation / σ"),
        "deviation_intensity": figure(
            spread, x="mean intensity", y="r.m.s. deviation / σ", xaxis={"type": "log"}, yaxis={"rangemode": "tozero"}
        ),
    }
