"""Radiation damage, from how reflections disagree with later observations of themselves."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from puredials.merging.unique import MergeResult
from puredials.model import Experiments
from puredials.report.page import Section, figure

__all__ = ["PairwiseR", "cumulative_completeness", "damage_sections", "pairwise_r"]

_BINS = 30
_FEWEST = 50
# Later equivalents in the same reflection's list that each observation is paired with.
_PARTNERS = 12


@dataclass(frozen=True, eq=False)
class PairwiseR:
    """R_d of one experiment: sum |I_i - I_j| / sum (I_i + I_j) / 2 of pairs of equivalents d images apart
    (Diederichs 2006, Acta D62, 96).

    Attributes:
        experiment: its number; apart: (k,) images; value: (k,) NaN if too few pairs; count: (k,) pairs.
    """

    experiment: int
    apart: Float64[np.ndarray, " k"]
    value: Float64[np.ndarray, " k"]
    count: Float64[np.ndarray, " k"]


def pairwise_r(experiments: Experiments, merged: MergeResult) -> list[PairwiseR]:
    """R_d of each sweep."""
    observations, group = merged.observations, merged.equivalents.group
    z = observations.table["xyzobs.px.value"][:, 2]
    found = []
    for number, experiment in enumerate(experiments):
        if experiment.scan is None or len(experiment.scan) < 2:
            continue
        own = np.flatnonzero(observations.experiment == number)
        width = len(experiment.scan) / _BINS
        difference, total, count = (np.zeros(_BINS) for _ in range(3))
        order = own[np.lexsort((z[own], group[own]))]
        for step in range(1, _PARTNERS + 1):
            first, second = order[:-step], order[step:]
            same = group[first] == group[second]
            first, second = first[same], second[same]
            place = np.minimum(((z[second] - z[first]) / width).astype(np.int64), _BINS - 1)
            value = observations.value
            difference += np.bincount(place, np.abs(value[first] - value[second]), _BINS)
            total += np.bincount(place, (value[first] + value[second]) / 2, _BINS)
            count += np.bincount(place, minlength=_BINS)
        enough = (count >= _FEWEST) & (total > 0)
        ratio = np.where(enough, difference / np.where(total > 0, total, 1), np.nan)
        found.append(PairwiseR(number, (np.arange(_BINS) + 0.5) * width, ratio, count))
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
    """R_d, and completeness up to each image: what is lost if the end of a scan is left out."""
    sections: list[Section] = []
    many = len(experiments) > 1
    ratios = [r for r in pairwise_r(experiments, merged) if np.isfinite(r.value).sum() > 2]
    if ratios:
        lines = [
            {"type": "scatter", "mode": "lines+markers", "x": r.apart, "y": r.value, "name": f"data set {r.experiment}"}
            for r in ratios
        ]
        text = "Difference of equivalents by the images between them: level without damage, rising with it."
        plot = figure(lines, x="images apart", y="R_d", yaxis={"rangemode": "tozero"}, showlegend=many)
        sections.append(Section("Radiation damage", text, plot, name="radiation_damage"))
    seen = cumulative_completeness(experiments, merged, possible)
    if seen:
        lines = [
            {"type": "scatter", "mode": "lines", "x": image, "y": share, "name": f"data set {number}"}
            for number, image, share in seen
        ]
        text = "Share of the possible reflections seen up to each image: what leaving out the end of a scan would cost."
        plot = figure(lines, x="up to image", y="completeness", yaxis={"range": [0, 1.02]}, showlegend=many)
        sections.append(Section("Completeness along the scan", text, plot, name="completeness_scan"))
    return sections
