"""Pictures of the reference profiles, with how many reflections they were learnt from and how well they fit."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from puredials.integration.zones import Zones
from puredials.io.profiles import ReferenceProfiles
from puredials.model import Experiment, Experiments, ReflectionTable
from puredials.report.along import place_along
from puredials.report.intensities import significance
from puredials.report.page import Section, figure
from puredials.report.profiles import profile_correlations

__all__ = ["reference_sections", "zone_correlations"]

# Parts of the scan with pictures of their own, and how many are side by side: more could not be seen.
_MOST_PARTS, _IN_A_ROW = 16, 6
# Correlations are of reflections this strong: those of weak ones tell of their noise.
_STRONG = 10.0
_FEWEST = 5
# Pixels of the page that a knot has at most.
_KNOT = 4.0
# Greens and blues begin low, so that tails are seen: Viridis over the square root of the height.
_TAILS = [
    [0, "#440154"], [0.01, "#482878"], [0.0625, "#3e4989"], [0.14, "#31688e"], [0.25, "#26828e"], [0.39, "#1f9e89"],
    [0.56, "#35b779"], [0.77, "#90d743"], [1, "#fde725"],
]  # fmt: skip
_VIEWS = (
    (1, "Reference profiles on the detector", "reference_profiles_xy", "e₁ across, e₂ down: both across the spot"),
    (2, "Reference profiles through the scan", "reference_profiles_xz", "e₁ across, e₃ down: along the rotation"),
)


def reference_sections(
    experiments: Experiments, table: ReflectionTable, profiles: Sequence[ReferenceProfiles]
) -> list[Section]:
    """Two views of the profiles of each sweep that has some."""
    of = {own.identifier: own for own in profiles}
    shown = [(k, e, of[e.identifier]) for k, e in enumerate(experiments) if e.identifier in of]
    sections: list[Section] = []
    for number, experiment, own in shown:
        if experiment.scan is None or experiment.goniometer is None:
            continue
        correlation = zone_correlations(number, experiment, table, own)
        for axis, heading, name, axes in _VIEWS:
            many = len(experiments) > 1
            text = (
                f"What reflections were fitted with ({axes}), in {own.across} x {own.across} parts of the detector "
                f"along the scan; below each its median correlation with reflections of I/σ > {_STRONG:g}. "
                "One even spot each is good; tails and double spots are split crystals, or spots of a second lattice."
            )
            sections.append(
                Section(
                    heading + (f", data set {number}" if many else ""),
                    text,
                    _pictures(own, correlation, axis),
                    name=f"{name}/{number}" if many else name,
                    wide=True,
                )
            )
    return sections


def zone_correlations(
    number: int, experiment: Experiment, table: ReflectionTable, own: ReferenceProfiles
) -> Float64[np.ndarray, " zones"]:
    """Median correlations of the strong reflections nearest to each profile; NaN of fewer than five."""
    zones = own.across**2 * own.along
    found = np.full(zones, np.nan)
    values = profile_correlations(table)
    good = np.isfinite(values) & (significance(table) > _STRONG) & (table["id"] == number)
    if not good.any() or "s1" not in table:
        return found
    grid = Zones.of(experiment, across=own.across, along=own.along)
    z = place_along(table)[good] - (own.image_range[0] - 1)
    nearest, weights = grid.on_detector(table["s1"][good])
    place = nearest[np.arange(len(nearest)), weights.argmax(axis=1)].astype(np.int64)
    part = z / (own.image_range[1] - own.image_range[0] + 1) * own.along
    place += own.across**2 * np.clip(part, 0, own.along - 1).astype(np.int64)
    order = np.argsort(place, kind="stable")
    first = np.searchsorted(place[order], np.arange(zones + 1))
    for k in np.flatnonzero(np.diff(first) >= _FEWEST):
        found[k] = np.median(values[good][order[first[k] : first[k + 1]]])
    return found


def _pictures(own: ReferenceProfiles, correlation: Float64[np.ndarray, " zones"], axis: int) -> dict[str, Any]:
    """Tiles of the profiles summed along their dimension `axis` - 1 (e3, e2), in blocks of a part of the scan each."""
    across, size = own.across, own.profiles.shape[1]
    together = -(-own.along // _MOST_PARTS)
    parts = np.split(np.arange(own.along), np.arange(together, own.along, together))
    tile = size + 5, size + 1  # rows and columns, with room for a number below
    block = across * tile[0] + 6, across * tile[1] + 4
    rows = -(-len(parts) // _IN_A_ROW)
    in_a_row = -(-len(parts) // rows)
    canvas = np.full((rows * block[0], in_a_row * block[1]), np.nan)
    labels: list[tuple[float, float, str, str]] = []
    annotations: list[dict[str, Any]] = []
    images = _images_of(own)
    for k, along in enumerate(parts):
        top, left = (k // in_a_row) * block[0] + 6, (k % in_a_row) * block[1]
        first, last = images[along[0]][0], images[along[-1]][1]
        annotations.append(
            {"x": left + (block[1] - 5) / 2, "y": top - 3, "text": f"images {first} to {last}", "showarrow": False,
             "font": {"size": 12}}
        )  # fmt: skip
        for place in range(across**2):
            zones = along * across**2 + place
            weight = own.numbers[zones]
            weight = weight / weight.sum() if weight.sum() > 0 else np.full(len(zones), 1 / len(zones))
            picture = np.einsum("z,zijk->ijk", weight, own.profiles[zones]).sum(axis=axis - 1)
            y, x = top + place // across * tile[0], left + place % across * tile[1]
            canvas[y : y + size, x : x + size] = np.round(picture / (picture.max() or 1.0), 3)
            labels.append((x + (size - 1) / 2, y + size + 1.3, *_label(own, correlation, zones, (first, last), place)))
    x, y, short, text = (list(column) for column in zip(*labels, strict=True))
    heat = {"type": "heatmap", "z": canvas, "colorscale": _TAILS, "hoverinfo": "skip", "zmin": 0, "zmax": 1,
            "colorbar": {"title": {"text": "of the peak"}}}  # fmt: skip
    centres = {"type": "scatter", "mode": "text", "x": x, "y": y, "text": short, "textfont": {"size": 10},
               "hovertext": text, "hoverinfo": "text", "showlegend": False}  # fmt: skip
    hidden = {"showgrid": False, "showticklabels": False, "ticks": "", "constrain": "domain"}
    return figure(
        [heat, centres], x="", y="", xaxis=hidden, annotations=annotations, height=int(60 + _KNOT * canvas.shape[0]),
        yaxis={**hidden, "autorange": "reversed", "scaleanchor": "x"}, margin={"l": 10, "r": 10, "t": 10, "b": 10},
    )  # fmt: skip


def _images_of(own: ReferenceProfiles) -> list[tuple[int, int]]:
    """First and last image of each part of the scan."""
    first, last = own.image_range
    ends = np.linspace(first - 1, last, own.along + 1)
    return [(round(a) + 1, round(b)) for a, b in itertools.pairwise(ends)]


def _label(
    own: ReferenceProfiles,
    correlation: Float64[np.ndarray, " zones"],
    zones: Int64[np.ndarray, " k"],
    images: tuple[int, int],
    place: int,
) -> tuple[str, str]:
    """What is written below a picture, and said when it is pointed at."""
    known = correlation[zones][np.isfinite(correlation[zones])]
    value = f"{np.mean(known):.2f}" if len(known) else "-"
    where = f"part {place % own.across + 1} along the rotation axis, {place // own.across + 1} across it"
    learnt = f"learnt from {own.numbers[zones].sum():.0f} reflections"
    return value, f"images {images[0]} to {images[1]}<br>{where}<br>{learnt}<br>correlation {value}"
