"""Plots of scaled data, and the page of dials.scale."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import ndtri

from puredials.kernels.harmonics import add_harmonics
from puredials.merging.tables import MergingStatistics
from puredials.merging.unique import MergeResult
from puredials.model import Experiment, Experiments, Flags, ReflectionTable
from puredials.report.along import Along, along, curves, place_along
from puredials.report.damage import damage_sections
from puredials.report.maps import flat_positions, outline
from puredials.report.merging import merged_sections
from puredials.report.page import Section, band, figure
from puredials.scaling.components import Nodes, absorption_terms
from puredials.scaling.error_model import group_means
from puredials.scaling.scaling import ScaleResult
from puredials.scaling.tables import scaling_report, selection_report, statistics_report

__all__ = [
    "absorption_factors",
    "absorption_surface",
    "batch_statistics",
    "deviations_of",
    "image_deviations",
    "model_curve",
    "outlier_share",
    "scaled_sections",
    "scaling_sections",
]

Values = Float64[np.ndarray, " n"]
_QUANTILES = 200
_FEWEST = 20
# Partiality from which a reflection counts as recorded in full.
_WHOLE = 0.95
# Share of the observations, the strongest, that tell of single images.
_STRONGEST = 0.3
_LABELS = {"scale": "inverse scale factor", "decay": "relative B (Å²)"}


def scaling_sections(
    result: ScaleResult,
    merged: MergeResult,
    statistics: MergingStatistics,
    suggested: MergingStatistics | None,
    threshold: float,
) -> list[Section]:
    """Sections of the page of dials.scale."""
    deviations = result.deviations
    spread = {"as integrated": deviations.stated, "by the error model": deviations.corrected}
    return [
        Section("Merging statistics", log=statistics_report(merged, statistics, suggested, threshold)),
        *scaled_sections(result.experiments, result.table, merged, statistics, (deviations.expected, spread)),
        Section("Log", log=selection_report(result) + "\n" + scaling_report(result)),
    ]


def scaled_sections(
    experiments: Experiments,
    table: ReflectionTable,
    merged: MergeResult,
    statistics: MergingStatistics,
    deviations: tuple[Values, Mapping[str, Values]] | None = None,
) -> list[Section]:
    """All plots of scaled data. `deviations`: mean intensities, and deviations over sigma of kinds; else as merged."""
    expected, spread = deviations or deviations_of(merged)
    return [
        *_model_sections(experiments),
        *_absorption_corrections(experiments, table),
        *merged_sections(merged, statistics),
        *_batch_sections(experiments, merged),
        *damage_sections(experiments, merged, float(statistics.overall.n_possible.sum())),
        *_deviation_sections(expected, spread),
        *_significance_section(merged),
        *_outlier_sections(experiments, table),
    ]


# Models


def model_curve(experiment: Experiment, name: str) -> tuple[Values, Values, Values] | None:
    """Rotation angles (degrees), values and errors of the correction "scale" or "decay" along the scan."""
    model, scan = experiment.scaling_model, experiment.scan
    part = None if model is None else model.get(name)
    if model is None or scan is None or not isinstance(part, Mapping) or "parameters" not in part:
        return None
    if model.get("__id__") not in ("physical", "KB"):
        return None
    own = model.get("configuration_parameters", {})
    letter = {"scale": "s", "decay": "d"}[name]
    parameters = np.array(part["parameters"], dtype=np.float64)
    errors = np.array(part.get("est_standard_devs") or np.zeros(len(parameters)), dtype=np.float64)
    per_image = float(own.get(f"{letter}_norm_fac", 0.0))
    nodes = Nodes(len(parameters), float(own.get(f"{name}_rot_interval", 0.0)), per_image)
    images = np.linspace(0, len(scan), 200)
    index, weight = nodes.weights(images)
    phi = np.degrees(scan.phi(images + scan.array_range[0]))
    return phi, (parameters[index] * weight).sum(axis=1), (errors[index] * weight).sum(axis=1)


def _absorption_coefficients(experiment: Experiment) -> tuple[Float64[np.ndarray, " k"], int] | None:
    """Of spherical harmonics, and their order."""
    model = experiment.scaling_model
    part = None if model is None else model.get("absorption")
    if not isinstance(part, Mapping) or "parameters" not in part:
        return None
    coefficients = np.array(part["parameters"], dtype=np.float64)
    lmax = round(np.sqrt(1 + len(coefficients))) - 1
    return (coefficients, lmax) if lmax > 0 and lmax * (lmax + 2) == len(coefficients) else None


def absorption_surface(experiment: Experiment, step: float = 5.0) -> tuple[Values, Values, np.ndarray] | None:
    """Azimuths and polar angles (degrees), and 1 + sum P Y for directions of them, as the crystal sees them."""
    found = _absorption_coefficients(experiment)
    if found is None:
        return None
    polar, azimuth = np.radians(np.arange(0, 180.1, step)), np.radians(np.arange(0, 360.1, step))
    t, f = (a.ravel() for a in np.meshgrid(polar, azimuth, indexing="ij"))
    directions = np.stack([np.sin(t) * np.cos(f), np.sin(t) * np.sin(f), np.cos(t)], axis=1)
    terms = np.zeros((len(t), len(found[0])))
    add_harmonics(directions, found[1], 1.0, terms)
    values = 1 + (terms @ found[0]).reshape(len(polar), len(azimuth))
    return np.degrees(azimuth), np.degrees(polar), values


def absorption_factors(experiment: Experiment, table: ReflectionTable) -> Values | None:
    """The absorption correction of each reflection of an experiment."""
    found = _absorption_coefficients(experiment)
    if found is None or experiment.scan is None:
        return None
    phi = experiment.scan.phi(place_along(table))
    return 1 + absorption_terms(experiment, table["s1"], phi, found[1]).astype(np.float64) @ found[0]


def _model_sections(experiments: Experiments) -> list[Section]:
    sections: list[Section] = []
    for name, heading, text in (
        ("scale", "Scale", "The inverse scale factor along the rotation, without decay and absorption; the band is "
         "one standard uncertainty."),
        ("decay", "Relative B factor", "Falls as radiation damages the crystal."),
    ):  # fmt: skip
        found = [(k, curve) for k, e in enumerate(experiments) if (curve := model_curve(e, name)) is not None]
        traces = [trace for k, curve in found for trace in band(*curve, f"data set {k}")]
        if traces:
            sections.append(Section(heading, text, figure(traces, x="rotation (°)", y=_LABELS[name]), name=name))
    for k, experiment in enumerate(experiments):
        surface = absorption_surface(experiment)
        if surface is not None:
            azimuth, polar, values = surface
            heat = {"type": "heatmap", "x": azimuth, "y": polar, "z": values, "colorscale": "Viridis"}
            plot = figure([heat], x="azimuth (°)", y="polar angle from the rotation axis (°)")
            heading = "Absorption surface" + (f", data set {k}" if len(experiments) > 1 else "")
            text = "The correction for beams in each direction, as the crystal sees them."
            sections.append(Section(heading, text, plot, name=f"absorption/{k}"))
    return sections


def _absorption_corrections(experiments: Experiments, table: ReflectionTable) -> list[Section]:
    """What the surfaces amount to, which reach into directions that no reflection takes."""
    traces: list[dict[str, Any]] = []
    scaled = np.flatnonzero(table.has(Flags.SCALED))
    for k, experiment in enumerate(experiments):
        own = scaled[table["id"][scaled] == k]
        factors = absorption_factors(experiment, table.select(own)) if len(own) else None
        if factors is not None:
            counts, edges = np.histogram(factors, bins=60)
            traces.append({"type": "scatter", "mode": "lines", "x": (edges[1:] + edges[:-1]) / 2, "y": counts,
                           "line": {"shape": "hvh"}, "name": f"data set {k}"})  # fmt: skip
    if not traces:
        return []
    text = "Those of the reflections; the surfaces go on into directions where nothing was measured."
    plot = figure(traces, x="correction for absorption", y="observations", showlegend=len(traces) > 1)
    return [Section("Absorption corrections", text, plot, name="absorption_corrections")]


# Images


def batch_statistics(experiments: Experiments, merged: MergeResult) -> dict[str, list[Along]]:
    """Rmerge, I/sigma and scale of groups of images."""
    observations, group = merged.observations, merged.equivalents.group
    table = observations.table
    number, z = observations.experiment.astype(np.int64), table["xyzobs.px.value"][:, 2]
    deviation = np.abs(observations.value - merged.mean.value[group])
    single = merged.mean.count[group] < 2
    off = along(experiments, number, z, np.where(single, np.nan, deviation))
    size = along(experiments, number, z, np.where(single, np.nan, observations.value))
    ratios: list[Along] = []
    for a, b in zip(off, size, strict=True):
        divisor = np.where(b.value > 0, b.value, np.nan)
        ratios.append(replace(a, value=a.value / divisor, error=a.error / divisor))
    return {
        "batch_rmerge": ratios,
        "batch_i_over_sigma": along(experiments, number, z, observations.value / np.sqrt(observations.variance)),
        "batch_scale": along(experiments, number, z, table["inverse_scale_factor"]),
    }


def image_deviations(experiments: Experiments, merged: MergeResult) -> list[Along]:
    """Mean of (I - <I>) / <I> of the strong repeated observations centred on each image."""
    observations, group = merged.observations, merged.equivalents.group
    mean, repeated = merged.mean.value[group], merged.mean.count[group] > 1
    # By intensity, not by I/sigma: errors that scaling found to be large would leave none.
    least = float(np.quantile(mean[repeated], 1 - _STRONGEST)) if repeated.any() else 0.0
    strong = repeated & (mean > max(least, 0.0))
    relative = (observations.value - mean) / np.where(strong, mean, 1)
    number = np.where(strong, observations.experiment, -1).astype(np.int64)
    # One wild observation is not to speak for its image.
    values, z = np.clip(relative, -1, 1), observations.table["xyzobs.px.value"][:, 2]
    longest = max((len(e.scan) for e in experiments if e.scan is not None), default=1)
    return along(experiments, number, z, values, groups=longest)


def _batch_sections(experiments: Experiments, merged: MergeResult) -> list[Section]:
    texts = {
        "batch_rmerge": ("Rmerge by image", "Rmerge",
                         "Deviations of the observations on each group of images from the means."),
        "batch_i_over_sigma": ("I/σ by image", "⟨I/σ⟩", "Mean over the observations on each group of images."),
        "batch_scale": ("Scale by image", "inverse scale factor",
                        "Mean inverse scale factor of the observations on each group of images."),
    }  # fmt: skip
    sections = []
    for name, parts in batch_statistics(experiments, merged).items():
        if parts:
            heading, y, text = texts[name]
            plot = figure(curves(parts, mode="lines+markers"), x="image", y=y)
            sections.append(Section(heading, text, plot, name=name))
    deviations = image_deviations(experiments, merged)
    if deviations:
        percent = [replace(part, value=100 * part.value) for part in deviations]
        plot = figure(curves(percent), x="image", y="⟨I - ⟨I⟩⟩ / ⟨I⟩ (%)")
        text = "Of the strong reflections centred on each image: what scales along the scan are too smooth to follow."
        sections.append(Section("Deviation of each image", text, plot, name="image_deviation"))
    return sections


# Errors


def deviations_of(merged: MergeResult) -> tuple[Values, dict[str, Values]]:
    """Mean intensities of repeated observations, and their deviations over sigma, ideally normal deviates."""
    observations, group = merged.observations, merged.equivalents.group
    m = len(merged.hkl)
    mean, total = group_means(observations.value, 1 / observations.variance, group, m)
    share = 1 - 1 / (observations.variance * total[group])
    repeated = (np.bincount(group, minlength=m)[group] > 1) & (share > 1e-6)
    off = (observations.value - mean[group])[repeated] / np.sqrt((observations.variance * share)[repeated])
    return mean[group][repeated], {"scaled": off}


def _deviation_sections(expected: Values, spread: Mapping[str, Values]) -> list[Section]:
    if len(expected) < _FEWEST:
        return []
    level = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    probability: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "markers", "x": ndtri(level), "y": np.quantile(z, level), "name": name,
         "marker": {"size": 4}}
        for name, z in spread.items()
    ]  # fmt: skip
    ideal = {"type": "scatter", "mode": "lines", "x": [-3, 3], "y": [-3, 3], "name": "ideal", "line": {"dash": "dot"}}
    bins = np.array_split(np.argsort(expected, kind="stable"), min(20, len(expected) // 10))
    middle = [float(np.median(expected[b])) for b in bins]
    lines: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines+markers", "x": middle,
         "y": [float(np.sqrt(np.mean(z[b] ** 2))) for b in bins], "name": name}
        for name, z in spread.items()
    ]  # fmt: skip
    text = ("Deviations of the observations from their equivalents over σ: on the dotted line if the errors are normal "
            "and the standard deviations true.")  # fmt: skip
    normal = figure([*probability, ideal], x="normal deviate", y="deviation / σ")
    by_intensity = figure(
        lines, x="mean intensity", y="r.m.s. deviation / σ", xaxis={"type": "log"}, yaxis={"rangemode": "tozero"}
    )
    return [
        Section("Normal probability plot", text, normal, name="normal_probability"),
        Section("Deviations by intensity", "Root mean square of the same, from weak to strong: near 1.",
                by_intensity, name="deviation_intensity"),
    ]  # fmt: skip


def _significance_section(merged: MergeResult) -> list[Section]:
    """I/sigma against I of single observations (Diederichs 2010, Acta D66, 733)."""
    value, ratio = merged.observations.value, merged.observations.value / np.sqrt(merged.observations.variance)
    positive = np.flatnonzero(value > 0)
    if len(positive) < _FEWEST:
        return []
    parts = np.array_split(positive[np.argsort(value[positive], kind="stable")], min(40, len(positive) // 10))
    x = [float(np.median(value[p])) for p in parts]
    lines: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": x,
            "y": [float(np.quantile(ratio[p], q)) for p in parts],
            "name": name,
        }
        for name, q in (("90 % are below", 0.9), ("median", 0.5), ("10 % are below", 0.1))
    ]
    text = "Of single observations: it levels off for the strongest, at the most that systematic errors let them have."
    axes: dict[str, Any] = {"xaxis": {"type": "log"}, "yaxis": {"type": "log"}}
    plot = figure(lines, x="intensity", y="I/σ", **axes)
    return [Section("I/σ by intensity", text, plot, name="i_over_sigma_intensity")]


# Outliers


def outlier_share(experiments: Experiments, table: ReflectionTable, *, whole: bool = False) -> list[Along]:
    """Share of the observations of each group of images that scaling rejected; `whole`: of those recorded in full."""
    outlier = table.has(Flags.OUTLIER_IN_SCALING)
    used = outlier | table.has(Flags.SCALED)
    if whole and "partiality" in table:
        used &= table["partiality"] > _WHOLE
    number = np.where(used, table["id"].astype(np.int64), -1)
    return along(experiments, number, place_along(table), outlier.astype(np.float64))


def _outlier_sections(experiments: Experiments, table: ReflectionTable) -> list[Section]:
    outlier = np.flatnonzero(table.has(Flags.OUTLIER_IN_SCALING))
    if not len(outlier):
        return []
    sections = [_outlier_map(experiments, table, outlier)] if "panel" in table else []
    share = outlier_share(experiments, table)
    if share:
        plot = figure(curves(share), x="image", y="share of the observations", yaxis={"rangemode": "tozero"})
        text = "Peaks are images on which something went wrong; at the ends of the scan, reflections seen in part."
        sections.append(Section("Outliers along the scan", text, plot, name="outliers_scan"))
    return sections


def _outlier_map(experiments: Experiments, table: ReflectionTable, outlier: Int64[np.ndarray, " k"]) -> Section:
    at = table["xyzcal.px"] if "xyzcal.px" in table else table["xyzobs.px.value"]
    traces: list[dict[str, Any]] = []
    for k, experiment in enumerate(experiments):
        own = outlier[table["id"][outlier] == k]
        if not len(own):
            continue
        flat = flat_positions(at[own, :2].astype(np.float64), table["panel"][own].astype(np.int64), experiment.detector)
        images = [f"image {z:.0f}" for z in np.floor(at[own, 2]) + 1]
        traces.append(
            {"type": "scattergl", "mode": "markers", "x": flat[:, 0], "y": flat[:, 1], "text": images,
             "marker": {"size": 4}, "name": f"data set {k}"}
        )  # fmt: skip
    ends = [outline(e.detector) for e in experiments]
    low, high = np.min([a for a, _ in ends], axis=0), np.max([b for _, b in ends], axis=0)
    down = {"range": [high[1], low[1]], "scaleanchor": "x", "constrain": "domain"}
    plot = figure(traces, x="x (px)", y="y (px)", xaxis={"range": [low[0], high[0]], "constrain": "domain"}, yaxis=down)
    text = (
        f"Where the {len(outlier)} observations were that disagree with their equivalents: clusters are shadows, ice."
    )
    return Section("Outliers on the detector", text, plot, name="outliers_map")
