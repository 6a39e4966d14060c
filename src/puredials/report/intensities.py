"""Integrated intensities: significance, background and partiality, over the detector, along the scan, by resolution."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from puredials.model import Experiments, Flags, ReflectionTable
from puredials.report.along import along, curves, place_along
from puredials.report.maps import detector_maps, map_figure
from puredials.report.page import Section, figure

__all__ = ["against_resolution", "background_by_resolution", "intensity_sections", "overloaded_share", "significance"]

Values = Float64[np.ndarray, " n"]
# Shells are of this width in 1/d^2, which shows rings of ice, if so many are enough and not too many.
_WIDTH, _SHELLS = 0.0055, (80, 240)
_FEWEST = 20


def significance(table: ReflectionTable) -> Values:
    """I / sigma: by profile fitting where it succeeded, else by summation; NaN where neither did."""
    best = np.full(table.n_rows, np.nan)
    for kind, flag in (("sum", Flags.INTEGRATED_SUM), ("prf", Flags.INTEGRATED_PRF)):
        if f"intensity.{kind}.variance" in table:
            variance = table[f"intensity.{kind}.variance"]
            good = table.has(flag) & (variance > 0)
            best[good] = table[f"intensity.{kind}.value"][good] / np.sqrt(variance[good])
    return best


def against_resolution(s_squared: Values, traces: Sequence[Mapping[str, Any]], y: str, **layout: Any) -> dict[str, Any]:
    """A plot over 1/d^2, with ticks that say d."""
    low, high = max(float(s_squared.min()), 1e-4), float(s_squared.max())
    ticks = np.linspace(low, high, 7)
    axis = {"tickvals": ticks, "ticktext": [f"{v**-0.5:.2f}" if v > 0 else "∞" for v in ticks]}
    return figure(traces, x="resolution (Å, in steps of 1/d²)", y=y, xaxis=axis, **layout)


def background_by_resolution(table: ReflectionTable, which: Bool[np.ndarray, " n"]) -> tuple[Values, Values]:
    """1/d^2 of narrow shells, and the median background of a pixel in each (NaN: too few reflections)."""
    d, background = table["d"][which], table["background.mean"][which]
    good = (d > 0) & np.isfinite(background)
    s, background = 1 / d[good] ** 2, background[good]
    end = float(s.max(initial=1e-6)) * (1 + 1e-9)
    shells = int(np.clip(np.ceil(end / _WIDTH), *_SHELLS))
    edges = np.linspace(0, end, shells + 1)
    shell = np.searchsorted(edges, s, side="right") - 1
    order = np.argsort(shell, kind="stable")
    parts = np.split(background[order], np.searchsorted(shell[order], np.arange(1, shells)))
    median = np.array([np.median(p) if len(p) >= _FEWEST else np.nan for p in parts])
    return (edges[1:] + edges[:-1]) / 2, median


def overloaded_share(table: ReflectionTable) -> tuple[Values, Values] | None:
    """1/d^2 of shells of equally many reflections, and the share of each that is overloaded; None if none is."""
    over = table.has(Flags.OVERLOADED)
    if "d" not in table or not over.any():
        return None
    measured = np.flatnonzero((table.has(Flags.INTEGRATED) | over) & (table["d"] > 0))
    if not len(measured):
        return None
    s_squared = 1 / table["d"][measured] ** 2
    parts = np.array_split(np.argsort(s_squared, kind="stable"), max(1, min(20, len(measured) // 50)))
    return np.array([s_squared[p].mean() for p in parts]), np.array([over[measured[p]].mean() for p in parts])


def intensity_sections(experiments: Experiments, table: ReflectionTable, *, pixels_per_bin: int = 40) -> list[Section]:
    """What integration measured."""
    ratio = significance(table)
    good = np.isfinite(ratio)
    if not good.any():
        return []
    number, z = table["id"].astype(np.int64), place_along(table)
    at = table["xyzcal.px"] if "xyzcal.px" in table else table["xyzobs.px.value"]
    px, panel = at[:, :2].astype(np.float64), table["panel"].astype(np.int64)
    counts, edges = np.histogram(np.log10(np.maximum(ratio[good], 0.1)), bins=60)
    bars = {"type": "bar", "x": 10 ** ((edges[1:] + edges[:-1]) / 2), "y": counts, "width": np.diff(10**edges)}
    text = "How strong the reflections are; all that are below 0.1 are in the first bar."
    plot = figure([bars], x="I/σ", y="reflections", xaxis={"type": "log"}, bargap=0)
    sections = [Section("I/σ", text, plot, name="i_over_sigma")]
    scan = along(experiments, number, z, ratio)
    if scan:
        text = "Mean over the reflections of each group of images: a fall is damage, or the crystal leaving the beam."
        plot = figure(curves(scan), x="image", y="⟨I/σ⟩", yaxis={"rangemode": "tozero"})
        sections.append(Section("I/σ along the scan", text, plot, name="i_over_sigma_scan"))
    for k, found in enumerate(maps := detector_maps(experiments, number, px, panel, ratio, pixels_per_bin)):
        key = "i_over_sigma_map" + (f"/{k}" if len(maps) > 1 else "")
        text = "Strong in the middle and even around it; dark patches are shadows or dead modules."
        heading = "I/σ over the detector" + (f", detector {k}" if len(maps) > 1 else "")
        sections.append(Section(heading, text, map_figure(found, "⟨I/σ⟩"), name=key))
    if "background.mean" in table:
        sections += _background(experiments, table, good, z)
    if (found := overloaded_share(table)) is not None:
        s_squared, share = found
        line = {"type": "scatter", "mode": "lines+markers", "x": s_squared, "y": 100 * share}
        text = "Share of the reflections with pixels beyond the range of the detector, which do not count."
        plot = against_resolution(s_squared, [line], "overloaded (%)", yaxis={"rangemode": "tozero"})
        sections.append(Section("Overloaded reflections", text, plot, name="overloaded"))
    if "partiality" in table:
        counts, edges = np.histogram(table["partiality"][good], bins=50, range=(0, 1.0000001))
        bars = {"type": "bar", "x": (edges[1:] + edges[:-1]) / 2, "y": counts, "width": edges[1] - edges[0]}
        text = "Share of each reflection that the scan recorded: less than 1 at the ends of the scan only."
        plot = figure([bars], x="partiality", y="reflections", yaxis={"type": "log"}, bargap=0)
        sections.append(Section("Partiality", text, plot, name="partiality"))
    return sections


def _background(
    experiments: Experiments, table: ReflectionTable, good: Bool[np.ndarray, " n"], z: Values
) -> list[Section]:
    number, values = table["id"].astype(np.int64), np.where(good, table["background.mean"], np.nan)
    sections: list[Section] = []
    scan = along(experiments, number, z, values)
    if scan:
        text = "Mean counts of a background pixel: steps are changes of the beam or of what it passes through."
        plot = figure(curves(scan), x="image", y="counts of a pixel", yaxis={"rangemode": "tozero"})
        sections.append(Section("Background along the scan", text, plot, name="background_scan"))
    if "d" in table:
        s_squared, median = background_by_resolution(table, good)
        line = {"type": "scatter", "mode": "lines+markers", "x": s_squared, "y": median, "name": "median"}
        text = "Falls smoothly from the water ring at about 3.3 Å; narrow peaks are ice rings."
        plot = against_resolution(s_squared, [line], "counts of a pixel", yaxis={"rangemode": "tozero"})
        sections.append(Section("Background by resolution", text, plot, name="background_resolution"))
    return sections
