"""Where reflections are found less where they are predicted: over the detector, along the scan, and how spread."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from puredials.model import Experiments, Flags, ReflectionTable
from puredials.report.along import Along, along, curves
from puredials.report.maps import DetectorMap, detector_maps, map_figure
from puredials.report.page import Section, figure, stacked

__all__ = ["Residuals", "centroid_residuals", "centroid_sections", "residual_maps", "rmsd_along"]

# Integrated reflections below this say nothing about positions.
_SIGNIFICANT = 10.0
_WHOLE = 0.99
_QUANTITIES = ("x", "y", "phi")
_UNITS = {"x": "px", "y": "px", "phi": "°"}


@dataclass(frozen=True, eq=False)
class Residuals:
    """Observed less predicted centroids.

    Attributes:
        difference: (n, 3) x and y in px, rotation in degrees (0 for stills).
        number: of the experiment; px, panel: where on the detector; z: image.
    """

    difference: Float64[np.ndarray, "n 3"]
    number: Int64[np.ndarray, " n"]
    px: Float64[np.ndarray, "n 2"]
    panel: Int64[np.ndarray, " n"]
    z: Float64[np.ndarray, " n"]

    @property
    def rmsd(self) -> Float64[np.ndarray, "3"]:
        return np.sqrt(np.mean(self.difference**2, axis=0))


def centroid_residuals(experiments: Experiments, table: ReflectionTable) -> Residuals | None:
    """Of the spots used in refinement (else of indexed ones) or, after integration, of significant whole reflections;
    None if nothing is predicted."""
    if "xyzcal.px" not in table or "xyzobs.px.value" not in table:
        return None
    number = table["id"].astype(np.int64)
    use = (number >= 0) & (number < len(experiments)) & ~table.has(Flags.CENTROID_OUTLIER)
    if table.has(Flags.INTEGRATED).any() and "intensity.sum.variance" in table:
        variance = table["intensity.sum.variance"]
        significance = table["intensity.sum.value"] / np.sqrt(np.where(variance > 0, variance, np.inf))
        use &= table.has(Flags.INTEGRATED_SUM) & ~table.has(Flags.OVERLOADED) & (significance > _SIGNIFICANT)
        if "partiality" in table:  # the centroid of a part is not that of the whole
            use &= table["partiality"] > _WHOLE
    else:
        refined = table.has(Flags.USED_IN_REFINEMENT)
        use &= refined if refined.any() else table.has(Flags.INDEXED)
    difference = table["xyzobs.px.value"] - table["xyzcal.px"]
    use &= np.isfinite(difference).all(axis=1) & (table["xyzcal.px"] != 0).any(axis=1)
    if not use.any():
        return None
    widths = np.array([0.0 if e.scan is None else e.scan.oscillation[1] for e in experiments])
    rows = np.flatnonzero(use)
    off = difference[rows].copy()
    off[:, 2] *= widths[number[rows]]
    at = table["xyzobs.px.value"][rows]
    return Residuals(off, number[rows], at[:, :2].copy(), table["panel"][rows].astype(np.int64), at[:, 2].copy())


def rmsd_along(experiments: Experiments, residuals: Residuals) -> dict[str, list[Along]]:
    """Root mean square residuals along the scan."""
    return {
        name: along(experiments, residuals.number, residuals.z, residuals.difference[:, k], rms=True)
        for k, name in enumerate(_QUANTITIES)
    }


def residual_maps(experiments: Experiments, residuals: Residuals, pixels_per_bin: int) -> dict[str, list[DetectorMap]]:
    """Mean residuals over the detector."""
    r = residuals
    return {
        name: detector_maps(experiments, r.number, r.px, r.panel, r.difference[:, k], pixels_per_bin)
        for k, name in enumerate(_QUANTITIES)
    }


def centroid_sections(
    experiments: Experiments, residuals: Residuals, *, pixels_per_bin: int = 40, centroid_diff_max: float | None = None
) -> list[Section]:
    """RMSD and means along the scan, histograms, maps."""
    rotates = bool(residuals.difference[:, 2].any())
    names = _QUANTITIES if rotates else _QUANTITIES[:2]
    sections: list[Section] = []
    rmsd = rmsd_along(experiments, residuals)
    if any(rmsd.values()):
        text = "Level if the models follow the crystal; a rise is a part of the scan that they do not describe."
        plot = stacked({f"{n} ({_UNITS[n]})": curves(rmsd[n]) for n in names}, x="image")
        sections.append(Section("RMSD along the scan", text, plot, name="rmsd_along_scan"))
        means = {
            f"{n} ({_UNITS[n]})": curves(along(experiments, residuals.number, residuals.z, residuals.difference[:, k]))
            for k, n in enumerate(names)
        }
        text = "Mean of observed less predicted positions: about zero, or the crystal moves in a way not refined."
        sections.append(Section("Residuals along the scan", text, stacked(means, x="image"), name="residuals_scan"))
    sections += [_histogram(residuals, k, name) for k, name in enumerate(names)]
    sections += [_joint(residuals, pair) for pair in ((0, 1), (0, 2), (2, 1)) if max(pair) < len(names)]
    for name, maps in residual_maps(experiments, residuals, pixels_per_bin).items():
        if name not in names:
            continue
        for k, found in enumerate(maps):
            suffix = f", detector {k}" if len(maps) > 1 else ""
            text = "Mean residual by place on the detector: patterns are errors of its geometry; grey noise is good."
            plot = map_figure(found, _UNITS[name], largest=centroid_diff_max if name != "phi" else None, signed=True)
            key = f"residual_map_{name}" + (f"/{k}" if len(maps) > 1 else "")
            sections.append(Section(f"Residuals in {name} over the detector{suffix}", text, plot, name=key))
    return sections


def _histogram(residuals: Residuals, k: int, name: str) -> Section:
    values = residuals.difference[:, k]
    reach = float(np.quantile(np.abs(values), 0.995)) or 1.0
    counts, edges = np.histogram(values, bins=80, range=(-reach, reach))
    bars = {"type": "bar", "x": (edges[1:] + edges[:-1]) / 2, "y": counts, "width": edges[1] - edges[0]}
    text = f"Narrow and centred on zero at best; RMSD {residuals.rmsd[k]:.3f}{'°' if name == 'phi' else ' px'}."
    plot = figure([bars], x=f"observed - predicted {name} ({_UNITS[name]})", y="reflections", bargap=0)
    return Section(f"Residuals in {name}", text, plot, name=f"residuals_{name}")


def _joint(residuals: Residuals, pair: tuple[int, int]) -> Section:
    """How residuals in two directions go together."""
    names = [_QUANTITIES[k] for k in pair]
    values = residuals.difference[:, pair].T
    reach = [float(np.quantile(np.abs(v), 0.99)) or 1.0 for v in values]
    counts, *edges = np.histogram2d(*values, bins=50, range=[(-r, r) for r in reach])
    middle = [(e[1:] + e[:-1]) / 2 for e in edges]
    heat = {"type": "heatmap", "x": middle[0], "y": middle[1], "z": np.where(counts > 0, counts, np.nan).T,
            "colorscale": "Viridis", "colorbar": {"title": {"text": "reflections"}}}  # fmt: skip
    labels = [f"{n} ({_UNITS[n]})" for n in names]
    text = "One round cloud about zero; a second one is another lattice, a tail a part of the scan or of the detector."
    heading = f"Residuals in {names[0]} and {names[1]}"
    return Section(heading, text, figure([heat], x=labels[0], y=labels[1]), name="residuals_" + "_".join(names))
