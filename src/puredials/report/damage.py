"""Radiation damage, from how reflections disagree with later observations of themselves."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from puredials.merging.unique import MergeResult
from puredials.model import Experiments
from puredials.report.along import Along, along, curves
from puredials.report.page import Section, figure

__all__ = ["PairwiseR", "cumulative_completeness", "damage_sections", "pairwise_r", "relative_intensity"]

_BINS = 30
_LEAST_IN_SCAN, _IN_SCAN = 5, 25
_FEWEST = 50
# Later equivalents that each observation is paired with: the next ones, and as many spread over the rest.
_PARTNERS = 12
# Names of curves for which there is room above the plot.
_MOST_NAMES = 6
_DASHES = ("solid", "dot", "dash", "dashdot")


@dataclass(frozen=True, eq=False)
class PairwiseR:
    """R factors of pairs of equivalents of one experiment: sum |I_i - I_j| / sum (I_i + I_j) / 2.

    Attributes:
        experiment: its number.
        apart: (k,) images; value: (k,) R_d of pairs so many images apart (Diederichs 2006, Acta D62, 96), NaN if there
            are too few; count: (k,) pairs.
        image: (k,) last image of each bin; cumulative: (k,) R_cp, the same of the pairs measured up to it, NaN if too
            few.
    """

    experiment: int
    apart: Float64[np.ndarray, " k"]
    value: Float64[np.ndarray, " k"]
    count: Float64[np.ndarray, " k"]
    image: Float64[np.ndarray, " k"]
    cumulative: Float64[np.ndarray, " k"]


def pairwise_r(experiments: Experiments, merged: MergeResult) -> list[PairwiseR]:
    """R_d and R_cp of each sweep."""
    observations, group = merged.observations, merged.equivalents.group
    z, value = observations.table["xyzobs.px.value"][:, 2], observations.value
    found = []
    for number, experiment in enumerate(experiments):
        scan = experiment.scan
        if scan is None or len(scan) < 2:
            continue
        own = np.flatnonzero(observations.experiment == number)
        width = len(scan) / _BINS
        # Sums of differences, of means, and pairs: by how far apart, and by the later of the two.
        sums = np.zeros((2, 3, _BINS))
        order = own[np.lexsort((z[own], group[own]))]
        for step in _steps(int(np.bincount(group[own]).max(initial=1))):
            first, second = order[:-step], order[step:]
            same = group[first] == group[second]
            first, second = first[same], second[same]
            weights = np.abs(value[first] - value[second]), (value[first] + value[second]) / 2, np.ones(len(first))
            for k, images in enumerate((z[second] - z[first], z[second] - scan.array_range[0])):
                place = np.clip((images / width).astype(np.int64), 0, _BINS - 1)
                sums[k] += [np.bincount(place, w, _BINS) for w in weights]
        middle = (np.arange(_BINS) + 0.5) * width
        last = scan.array_range[0] + (np.arange(_BINS) + 1) * width
        r_d, r_cp = _ratio(sums[0]), _ratio(sums[1].cumsum(axis=1))
        found.append(PairwiseR(number, middle, r_d, sums[0, 2], last, r_cp))
    return found


def _steps(longest: int) -> list[int]:
    """How many places apart in its list observations are paired, of up to `longest` equivalents."""
    spread = np.linspace(1, longest - 1, _PARTNERS).astype(int).tolist()
    return sorted({*range(1, min(longest, _PARTNERS + 1)), *spread} - {0})


def _ratio(sums: Float64[np.ndarray, "3 k"]) -> Float64[np.ndarray, " k"]:
    difference, total, count = sums
    enough = (count >= _FEWEST) & (total > 0)
    return np.where(enough, difference / np.where(enough, total, 1), np.nan)


def relative_intensity(experiments: Experiments, merged: MergeResult) -> list[tuple[str, Along]]:
    """Intensities before scaling over the merged means along the scan, 1 at its start: of three shells of resolution.

    What all shells share are the illuminated volume and the beam; where that of high resolution falls behind, the
    order of the crystal is lost.
    """
    observations, group = merged.observations, merged.equivalents.group
    table, number = observations.table, observations.experiment.astype(np.int64)
    z, mean = table["xyzobs.px.value"][:, 2], merged.mean.value[group]
    raw = observations.value * table["inverse_scale_factor"]
    d = merged.d[group]
    edges = np.quantile(d[mean > 0], [0, 1 / 3, 2 / 3, 1])[::-1] if (mean > 0).any() else np.zeros(4)
    # Few reflections make few groups, rather than groups of too few.
    in_shell = np.bincount(number[mean > 0]) / 3
    enough_for = np.median(in_shell[in_shell > 0]) / (2 * _FEWEST) if in_shell.any() else 0.0
    groups = int(np.clip(enough_for, _LEAST_IN_SCAN, _IN_SCAN))
    found: list[tuple[str, Along]] = []
    for high, low in itertools.pairwise(edges):
        here = (mean > 0) & (d <= high) & (d >= low)
        above, below = (
            along(experiments, np.where(here, number, -1), z, values, groups=groups) for values in (raw, mean)
        )
        for a, b in zip(above, below, strict=True):
            enough = (a.count >= _FEWEST) & (b.value > 0)
            ratio = np.where(enough, a.value / np.where(enough, b.value, 1), np.nan)
            start = ratio[np.isfinite(ratio)][:3]
            if len(start):
                found.append((f"{high:.2f} - {low:.2f} Å", replace(a, value=ratio / start.mean())))
    return found


def cumulative_completeness(
    experiments: Experiments, merged: MergeResult, possible: float
) -> list[tuple[int, Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]]:
    """For each sweep: its number, image numbers, and the share of `possible` unique reflections seen up to each."""
    observations, group = merged.observations, merged.equivalents.group
    z = observations.table["xyzobs.px.value"][:, 2]
    found = []
    for number, experiment in enumerate(experiments):
        scan = experiment.scan
        if scan is None or len(scan) < 2:
            continue
        own = observations.experiment == number
        first = np.full(len(merged.hkl), np.inf)
        np.minimum.at(first, group[own], z[own])
        image: Int64[np.ndarray, " n"] = np.arange(scan.image_range[0], scan.image_range[1] + 1)
        seen = np.searchsorted(np.sort(first[np.isfinite(first)]), image.astype(np.float64), side="right")
        found.append((number, image.astype(np.float64), seen / max(possible, 1.0)))
    return found


def damage_sections(experiments: Experiments, merged: MergeResult, possible: float) -> list[Section]:
    """R_d, R_cp, intensities, and completeness up to each image: what is lost if the end of a scan is left out."""
    sections: list[Section] = []
    many = len(experiments) > 1
    ratios = [r for r in pairwise_r(experiments, merged) if np.isfinite(r.value).sum() > 2]
    if ratios:
        text = "Difference of equivalents by the images between them: level without damage, rising with it."
        plot = _lines([(r.experiment, r.apart, r.value) for r in ratios], many, x="images apart", y="R<sub>d</sub>")
        sections.append(Section("Radiation damage", text, plot, name="radiation_damage"))
        text = "Difference of pairs of equivalents up to each image: it rises where later images no longer agree."
        plot = _lines(
            [(r.experiment, r.image, r.cumulative) for r in ratios], many, x="up to image", y="R<sub>cp</sub>"
        )
        sections.append(Section("Damage up to each image", text, plot, name="r_cp"))
    intensities = relative_intensity(experiments, merged)
    if intensities:
        # A shell has one colour, a data set one kind of line.
        lines = [
            trace
            for shell, part in intensities
            for trace in curves(
                [part], _name(shell, part, many), legendgroup=shell, line={"dash": _DASHES[part.experiment % 4]}
            )
        ]
        text = (
            "Before scaling, relative to the start: ups and downs of all shells are the beam and the volume it hits; "
            "high resolution falling behind is damage."
        )
        if many:
            text += " From blue to green: low to high resolution; lines of one kind are of one data set."
        few = len(lines) <= _MOST_NAMES
        plot = figure(lines, x="image", y="I / I₀", yaxis={"rangemode": "tozero"}, showlegend=few)
        sections.append(Section("Intensity along the scan", text, plot, name="relative_intensity"))
    seen = cumulative_completeness(experiments, merged, possible)
    if seen:
        text = "Share of the possible reflections seen up to each image: what leaving out the end of a scan would cost."
        plot = _lines(seen, many, x="up to image", y="completeness", yaxis={"range": [0, 1.02]})
        sections.append(Section("Completeness along the scan", text, plot, name="completeness_scan"))
    return sections


def _name(shell: str, part: Along, many: bool) -> str:
    return f"{shell}, data set {part.experiment}" if many else shell


def _lines(
    found: Sequence[tuple[int, np.ndarray, np.ndarray]], many: bool, *, x: str, y: str, **layout: Any
) -> dict[str, Any]:
    traces = [
        {"type": "scatter", "mode": "lines", "x": images, "y": values, "name": f"data set {number}"}
        for number, images, values in found
    ]
    return figure(traces, x=x, y=y, showlegend=many, **{"yaxis": {"rangemode": "tozero"}, **layout})
