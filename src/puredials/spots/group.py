"""Strong pixels -> spots: connected components, their moments, filters on them, and their shoeboxes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from puredials.kernels.components import fill_boxes, label, measure
from puredials.model import MaskBits, Shoeboxes
from puredials.spots.threshold import StrongPixels

__all__ = ["Frames", "Spots", "group", "shoeboxes"]


@dataclass(frozen=True, eq=False)
class Frames:
    """The strong pixels of one panel in consecutive images.

    Attributes:
        starts: (n_images + 1,) the pixels of image f are ``index[starts[f] : starts[f + 1]]``.
        index, values: flat indices (ascending within an image) and photons.
        width: of the panel, px.
        first: z of the first image.
    """

    starts: Int64[np.ndarray, " boundaries"]
    index: Int32[np.ndarray, " pixels"]
    values: Float32[np.ndarray, " pixels"]
    width: int
    first: int

    @staticmethod
    def of(images: Sequence[StrongPixels], width: int, first: int) -> "Frames":
        starts = np.cumsum([0] + [len(image.index) for image in images]).astype(np.int64)
        index = np.concatenate([image.index for image in images])
        values = np.concatenate([image.values for image in images])
        return Frames(starts, index, values, width, first)


@dataclass(frozen=True, eq=False)
class Spots:
    """Connected components of strong pixels, in the order of their first pixels, with moments as `measure` defines.

    Attributes:
        labels: the spot of each pixel.
        size: number of pixels; total: photons; bbox, peak, centroid, variance: px, px, image.
    """

    labels: Int32[np.ndarray, " pixels"]
    size: Int32[np.ndarray, " n"]
    total: Float64[np.ndarray, " n"]
    bbox: Int32[np.ndarray, "n 6"]
    peak: Float64[np.ndarray, "n 3"]
    centroid: Float64[np.ndarray, "n 3"]
    variance: Float64[np.ndarray, "n 3"]

    @property
    def separation(self) -> Float64[np.ndarray, " n"]:
        """Distance of the peak from the centroid (px, px, image)."""
        return np.linalg.norm(self.peak - self.centroid, axis=1)


def group(frames: Frames, *, join_images: bool) -> Spots:
    """The 6-connected components, or 4-connected within each image alone."""
    labels = np.empty(len(frames.index), dtype=np.int32)
    n = label(frames.starts, frames.index, frames.width, join_images, labels)
    size, total = np.empty(n, dtype=np.int32), np.empty(n)
    bbox = np.empty((n, 6), dtype=np.int32)
    peak, centroid, variance = np.empty((n, 3)), np.empty((n, 3)), np.empty((n, 3))
    where = (frames.starts, frames.index, frames.values, frames.width, frames.first)
    measure(*where, labels, size, total, bbox, peak, centroid, variance)
    return Spots(labels, size, total, bbox, peak, centroid, variance)


def shoeboxes(frames: Frames, spots: Spots, keep: Bool[np.ndarray, " n"], panel: int) -> Shoeboxes:
    """The boxes of the spots to keep: photons of their strong pixels, 0 elsewhere."""
    bbox = spots.bbox[keep]
    sides = np.diff(bbox.astype(np.int64).reshape(-1, 3, 2), axis=2)
    offsets = np.concatenate([[0], np.cumsum(sides.prod(axis=(1, 2)))]).astype(np.int64)
    rows = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.int32)
    data, mask = np.empty(offsets[-1], dtype=np.float32), np.empty(offsets[-1], dtype=np.uint8)
    code = int(MaskBits.VALID | MaskBits.FOREGROUND)
    where = (frames.starts, frames.index, frames.values, frames.width, frames.first)
    fill_boxes(*where, spots.labels, rows, bbox, offsets, code, data, mask)
    panels = np.full(len(bbox), panel, dtype=np.uint32)
    return Shoeboxes(panels, bbox, offsets, data, mask, np.zeros_like(data))
