"""From images to measured reflections: cut boxes out of a block of images, mark them, estimate background, sum, fit."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped, UInt8
from numpy.typing import NDArray

from puredials.integration.frames import Frames
from puredials.integration.params import Background
from puredials.kernels.background import background_of_boxes
from puredials.kernels.boxes import cut_boxes, mark_boxes, neighbours, sum_boxes
from puredials.kernels.profiles import fit_boxes
from puredials.model import Detector, ImageSource

__all__ = ["MEASURED", "Images", "Marked", "Recipe", "References", "cut", "mark", "measure"]

# What is measured of a reflection. The uncertainty is the variance of the background, which adds to the fitted
# intensity's with the square of the slope -dI/db.
MEASURED = np.dtype(
    [
        ("sum", "f8"), ("under", "f8"), ("background", "f4"), ("dispersion", "f4"), ("mse", "f4"), ("used", "i4"),
        ("centroid", "f8", 3), ("spread", "f4", 3), ("pixels", "i4", 7),
        ("prf", "f8"), ("prf_variance", "f8"), ("correlation", "f4"), ("rmsd", "f4"), ("share", "f4"), ("lost", "f4"),
        ("slope", "f4"), ("uncertainty", "f4"), ("fitted", "?"),
    ]
)  # fmt: skip
CELL = 64


@dataclass(frozen=True, eq=False)
class Images:
    """The images of a sweep, and which of their pixels are valid."""

    source: ImageSource
    detector: Detector
    usable: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, eq=False)
class References:
    """Reference profiles (zones, knots, knots, knots) on a grid with `step` standard deviations between knots, within
    `radius` of which, across, they hold signal."""

    profiles: Float64[np.ndarray, "zones k k k"]
    step: float
    radius: float


@dataclass(frozen=True, eq=False)
class Recipe:
    """How reflections are measured: radius of the foreground (standard deviations), background, profiles if any."""

    radius: float
    background: Background
    references: References | None = None


@dataclass(frozen=True, eq=False)
class Marked:
    """Boxes with their masks and backgrounds."""

    frames: Frames
    rows: Int64[np.ndarray, " m"]
    offsets: Int64[np.ndarray, " n1"]
    counts: Float32[np.ndarray, " pixels"]
    mask: UInt8[np.ndarray, " pixels"]
    background: Float64[np.ndarray, "n depth"]
    used: Int64[np.ndarray, " n"]
    scatter: Float64[np.ndarray, "n 2"]


def box_offsets(sizes: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n1"]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def cut(
    images: Images, frames: Frames, first: int, last: int
) -> tuple[Frames, Int64[np.ndarray, " n1"], Float32[np.ndarray, " pixels"]]:
    """Pixels of the boxes on images first <= z < last; also the frames with boxes clipped to these images."""
    bbox = frames.bbox.copy()
    bbox[:, 4:] = np.clip(bbox[:, 4:], first, last)
    clipped = Frames(**{**vars(frames), "bbox": bbox})
    offsets = box_offsets(clipped.sizes)
    counts = np.empty(offsets[-1], np.float32)
    for z in range(first, last):
        active = np.flatnonzero((bbox[:, 4] <= z) & (z < bbox[:, 5]))
        if len(active) == 0:
            continue
        for number, image in enumerate(images.source.read(z)):
            here = active[frames.panel[active] == number]
            if len(here):
                panel = images.detector.panels[number]
                low, high = panel.valid_range
                cut_boxes(np.ascontiguousarray(image), images.usable[number], float(low), float(high),
                          float(panel.pedestal), float(panel.gain), here, bbox, offsets, z, counts)  # fmt: skip
    return clipped, offsets, counts


def mark(
    frames: Frames,
    rows: Int64[np.ndarray, " m"],
    offsets: Int64[np.ndarray, " n1"],
    counts: Float32[np.ndarray, " pixels"],
    recipe: Recipe,
) -> Marked:
    """Masks and backgrounds of the boxes of `rows`; the other frames count as their neighbours only."""
    first, partner = _partners(frames, rows)
    mask = np.zeros(len(counts), np.uint8)
    geometry = (frames.bbox, offsets, frames.centre, frames.jacobian, frames.slide, frames.drift)
    mark_boxes(rows, *geometry, recipe.radius, first, partner, counts, mask)
    n = len(frames)
    depth = frames.bbox[rows, 5] - frames.bbox[rows, 4]
    background, used = np.zeros((n, max(int(depth.max(initial=1)), 1))), np.zeros(n, np.int64)
    scatter = np.full((n, 2), np.nan)
    method = recipe.background
    if method.algorithm != "null":
        tuning, limits = 0.0, np.array([np.inf, np.inf])
        if method.algorithm == "glm":
            tuning = method.glm.robust.tuning_constant
        elif method.simple.outlier.algorithm == "nsigma":
            limits = np.array([method.simple.outlier.nsigma.lower, method.simple.outlier.nsigma.upper])
        background_of_boxes(rows, frames.bbox, offsets, counts, mask, method.estimator.model.algorithm == "constant2d",
                            tuning, limits, method.estimator.min_pixels, background, used, scatter)  # fmt: skip
    return Marked(frames, rows, offsets, counts, mask, background, used, scatter)


def measure(marked: Marked, recipe: Recipe) -> Shaped[np.ndarray, " k"]:
    """Sums and fitted intensities of the marked rows, as an array of type MEASURED."""
    frames, rows, n = marked.frames, marked.rows, len(marked.frames)
    intensity, under = np.zeros(n), np.zeros(n)
    centroid, spread, pixels = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((n, 7), np.int64)
    sum_boxes(rows, frames.bbox, marked.offsets, marked.background, marked.counts, marked.mask,
              intensity, under, centroid, spread, pixels)  # fmt: skip
    result = np.zeros(len(rows), MEASURED)
    result["sum"], result["under"] = intensity[rows], under[rows]
    depth = np.arange(marked.background.shape[1]) < (frames.bbox[:, 5] - frames.bbox[:, 4])[:, None]
    mean = np.sum(marked.background * depth, axis=1) / np.maximum(depth.sum(axis=1), 1)
    result["background"], result["used"] = mean[rows], marked.used[rows]
    result["dispersion"], result["mse"] = marked.scatter[rows].T
    result["centroid"], result["spread"], result["pixels"] = centroid[rows], spread[rows], pixels[rows]
    # A background of no counts in n pixels is known to be less than about 1/n.
    n_used = np.maximum(result["used"], 1)
    result["uncertainty"] = np.where(result["used"] > 0, np.maximum(result["background"], 0.5 / n_used) / n_used, 0)
    result["prf_variance"] = -1
    if recipe.references is not None:
        value, variance, share, lost = np.zeros(n), np.full(n, -1.0), np.zeros(n), np.zeros(n)
        correlation, rmsd, slope, fitted = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.bool_)
        good = rows[np.isfinite(mean[rows])]
        references = recipe.references
        fit_boxes(good, frames.bbox, marked.offsets, frames.centre, frames.fine, frames.slide, frames.pace,
                  marked.background, marked.used, marked.counts, marked.mask, references.radius,
                  references.profiles, frames.zones, frames.weights, references.step,
                  value, variance, slope, correlation, rmsd, share, lost, fitted)  # fmt: skip
        columns = zip(
            ("prf", "prf_variance", "slope", "correlation", "rmsd", "share", "lost", "fitted"),
            (value, variance, slope, correlation, rmsd, share, lost, fitted),
            strict=True,
        )
        for name, values in columns:
            result[name] = values[rows]
    return result


def _partners(
    frames: Frames, rows: Int64[np.ndarray, " m"]
) -> tuple[Int64[np.ndarray, " m1"], Int64[np.ndarray, " pairs"]]:
    """Neighbours of `rows` whose foreground reaches into their boxes, as CSR arrays."""
    middle = (frames.reach[:, 1::2] + frames.reach[:, ::2]) // 2
    largest = int((frames.reach[:, 1::2] - frames.reach[:, ::2]).max(initial=1))
    cell = max(CELL, largest)
    cx, cy = middle[:, 0] // cell, middle[:, 1] // cell
    shape = np.array([cy.max(initial=0) + 1, cx.max(initial=0) + 1], dtype=np.int64)
    key = (frames.panel.astype(np.int64) * shape[0] + cy) * shape[1] + cx
    order = np.argsort(key, kind="stable")
    cells = (int(frames.panel.max(initial=0)) + 1) * int(shape[0] * shape[1])
    starts = np.searchsorted(key[order], np.arange(cells + 1)).astype(np.int64)
    targets = np.column_stack([rows, frames.panel[rows].astype(np.int64)])
    first, capacity = np.empty(len(rows) + 1, np.int64), 4 * len(rows) + 1000
    while True:
        partner = np.empty(capacity, np.int64)
        n = neighbours(targets, frames.bbox, frames.reach, cell, starts, order, shape, first, partner)
        if n <= capacity:
            return first, partner[:n]
        capacity = n
