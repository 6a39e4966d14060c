"""Maps of the detector: means of a quantity in squares of pixels, all panels in one flat picture."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from puredials.model import Detector, Experiments
from puredials.report.page import figure

__all__ = ["DetectorMap", "detector_maps", "flat_positions", "map_figure", "outline"]

Values = Float64[np.ndarray, " n"]
_FEWEST = 3


@dataclass(frozen=True, eq=False)
class DetectorMap:
    """Means in squares.

    Attributes:
        experiments: numbers of those that share the detector.
        x, y: middles of columns and rows, px of the first panel.
        mean, error, count: (rows, columns); NaN where there are too few reflections.
    """

    experiments: tuple[int, ...]
    x: Float64[np.ndarray, " columns"]
    y: Float64[np.ndarray, " rows"]
    mean: Float64[np.ndarray, "rows columns"]
    error: Float64[np.ndarray, "rows columns"]
    count: Float64[np.ndarray, "rows columns"]

    @property
    def spread(self) -> float:
        """R.m.s. of the means about zero beyond what their errors explain."""
        good = np.isfinite(self.mean)
        weight = self.count[good]
        if not weight.sum():
            return 0.0
        return float(np.sqrt(max(np.average(self.mean[good] ** 2 - self.error[good] ** 2, weights=weight), 0.0)))


def flat_positions(
    px: Float64[np.ndarray, "n 2"], panels: Int64[np.ndarray, " n"], detector: Detector
) -> Float64[np.ndarray, "n 2"]:
    """Positions in the plane of the first panel and in its pixels."""
    if len(detector) == 1:
        return px
    first = detector[0]
    flat = np.full((len(px), 2), np.nan)
    for number, panel in enumerate(detector.panels):
        here = panels == number
        mm = px[here] * np.array(panel.pixel_size)
        at = panel.origin - first.origin + mm[:, :1] * panel.fast + mm[:, 1:] * panel.slow
        flat[here] = np.stack([at @ first.fast, at @ first.slow], axis=1) / np.array(first.pixel_size)
    return flat


def outline(detector: Detector) -> tuple[Float64[np.ndarray, "2"], Float64[np.ndarray, "2"]]:
    """The least and greatest flat positions on a detector."""
    corners = np.array([[x, y] for p in detector.panels for x in (0, p.image_size[0]) for y in (0, p.image_size[1])])
    frame = flat_positions(corners.astype(np.float64), np.repeat(np.arange(len(detector)), 4), detector)
    return frame.min(axis=0), frame.max(axis=0)


def detector_maps(
    experiments: Experiments,
    numbers: Int64[np.ndarray, " n"],
    px: Float64[np.ndarray, "n 2"],
    panels: Int64[np.ndarray, " n"],
    values: Values,
    pixels_per_bin: int,
) -> list[DetectorMap]:
    """A map for each detector. Squares have `pixels_per_bin` pixels a side."""
    users: dict[int, list[int]] = {}
    for number, experiment in enumerate(experiments):
        users.setdefault(id(experiment.detector), []).append(number)
    found = ((own, np.isin(numbers, own) & np.isfinite(values)) for own in users.values())
    return [
        _detector_map(tuple(own), experiments[own[0]].detector, px[here], panels[here], values[here], pixels_per_bin)
        for own, here in found
        if here.any()
    ]


def _detector_map(
    own: tuple[int, ...],
    detector: Detector,
    px: Float64[np.ndarray, "n 2"],
    panels: Int64[np.ndarray, " n"],
    values: Values,
    size: int,
) -> DetectorMap:
    flat = flat_positions(px, panels, detector)
    low, high = outline(detector)
    columns, rows = np.maximum(np.ceil((high - low) / size), 1).astype(int)
    cell = np.floor((flat - low) / size).astype(np.int64)
    index = np.clip(cell[:, 1], 0, rows - 1) * columns + np.clip(cell[:, 0], 0, columns - 1)
    count = np.bincount(index, minlength=rows * columns).astype(np.float64)
    enough = count >= _FEWEST
    divisor = np.where(enough, count, np.nan)
    mean = np.bincount(index, values, rows * columns) / divisor
    square = np.bincount(index, values**2, rows * columns) / divisor
    error = np.sqrt(np.maximum(square - mean**2, 0) / (divisor - 1))
    shape = (rows, columns)
    middle_x, middle_y = (low[k] + size * (np.arange(n) + 0.5) for k, n in ((0, columns), (1, rows)))
    return DetectorMap(own, middle_x, middle_y, mean.reshape(shape), error.reshape(shape), count.reshape(shape))


def map_figure(found: DetectorMap, unit: str, *, largest: float | None = None, signed: bool = False) -> dict[str, Any]:
    """The picture of a map. `signed`: colours diverge from 0, up to `largest` either way."""
    finite = found.mean[np.isfinite(found.mean)]
    # A few squares near the beam, or of few reflections, are not to take all the colours.
    top = largest or (float(np.quantile(np.abs(finite), 0.98)) if len(finite) else 1.0) or 1.0
    if signed:
        colours = {"colorscale": "RdBu", "zmid": 0, "zmin": -top, "zmax": top}
    else:
        colours = {"colorscale": "Viridis", "zmin": float(finite.min(initial=top)), "zmax": top}
    heat = {"type": "heatmap", "x": found.x, "y": found.y, "z": found.mean, "colorbar": {"title": {"text": unit}}}
    # Rows count downwards, as in the image; a pixel is as wide as it is high.
    down = {"autorange": "reversed", "scaleanchor": "x", "constrain": "domain"}
    return figure([{**heat, **colours}], x="x (px)", y="y (px)", yaxis=down, xaxis={"constrain": "domain"})
