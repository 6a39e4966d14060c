"""Pixels on their way to the page: stacks of images, parts of them, and counts coded in as few bytes as they need."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.errors import ParameterError
from puredials.kernels.reduction import largest_of_blocks
from puredials.model import ImageSource, Panel

__all__ = ["LARGEST", "Picture", "coded", "corrected", "stacked", "stacked_panels", "valid_pixels"]

# JSON has no infinity; this is nearly the largest single-precision number.
LARGEST = 3e38
# Codes for a value that is listed by itself, and for a pixel that may not be used; counts from 254 on are two higher.
_LISTED, _UNUSABLE = 254, 255
# The whitest value shown at first is so many times this quantile of a sample of the pixels.
_QUANTILE, _ABOVE = 0.99, 3.0
_SAMPLE = 100_003


@dataclass(frozen=True, eq=False)
class Picture:
    """What is shown of an image, or of a stack: one (slow, fast) array a panel.

    Attributes:
        values: counts, or a stage of the threshold.
        usable: False for pixels that may not be used.
        limits: the lowest and highest valid value of each panel.
    """

    values: tuple[NDArray[Any], ...]
    usable: tuple[NDArray[np.bool_], ...]
    limits: tuple[tuple[float, float], ...]

    @cached_property
    def high(self) -> float:
        """A value that only bright pixels exceed."""
        found = []
        step = max(sum(v.size for v in self.values) // _SAMPLE, 1)
        for values, usable in zip(self.values, self.usable, strict=True):
            sample = values.ravel()[::step][usable.ravel()[::step]]
            found.append(sample[sample >= 0])
        every = np.concatenate(found)
        return float(max(_ABOVE * np.quantile(every, _QUANTILE), 1.0)) if every.size else 1.0

    def part(self, panel: int, area: tuple[int, int, int, int], size: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values and usable pixels within an area (x0, y0, x1, y1) of a panel, each the largest valid value of a block
        of `size` x `size` pixels; blocks without any valid pixel keep one that is not."""
        width, height = self.values[panel].shape[::-1]
        x0, y0, x1, y1 = area
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise ParameterError(f"Panel {panel} has no area {area}: it is {width} x {height} pixels.")
        values, usable = self.values[panel][y0:y1, x0:x1], self.usable[panel][y0:y1, x0:x1]
        if size == 1:
            return values, usable
        shape = -(-(y1 - y0) // size), -(-(x1 - x0) // size)
        largest, known = np.empty(shape, values.dtype), np.empty(shape, np.bool_)
        bounds = _bounds(values.dtype, *self.limits[panel])
        largest_of_blocks(values, usable, *bounds, size, largest, known)
        return largest, known


def _bounds(dtype: np.dtype[Any], low: float, high: float) -> tuple[Any, Any, Any]:
    """The lowest and highest valid value, and the least of all, as numbers of a type."""
    if dtype.kind == "f":
        return dtype.type(low), dtype.type(high), dtype.type(-np.inf)
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    return dtype.type(max(np.ceil(low), least)), dtype.type(min(np.floor(high), most)), dtype.type(least)


def coded(values: Sequence[NDArray[Any]], usable: Sequence[NDArray[np.bool_]]) -> dict[str, NDArray[Any]]:
    """Pixels of all parts, one after the other, as arrays to be sent.

    Whole numbers become `codes`, of 8 or 16 bits: 254 stands for a value that is listed in `large`, at the index in
    `at`; 255 for an unusable pixel; codes above are counts + 2. Others become float32 `values`, of which the lowest
    that there is stands for an unusable pixel, or one that has no number.
    """
    flat = np.concatenate([v.ravel() for v in values])
    good = np.concatenate([u.ravel() for u in usable])
    if flat.dtype.kind == "f":
        good &= ~np.isnan(flat)
        shown = np.clip(flat, -LARGEST, LARGEST)
        return {"values": np.where(good, shown, np.finfo(np.float32).min).astype(np.float32, copy=False)}
    # Negative numbers become large ones here.
    counts = flat.astype(np.int32, copy=False).view(np.uint32)
    listed = counts >= _LISTED
    listed &= good
    if 8 * np.count_nonzero(listed) > counts.size:
        codes = (counts + 2 * (counts >= _LISTED)).astype(np.uint16)
        listed &= counts > np.iinfo(np.uint16).max - 2
    else:
        codes = counts.astype(np.uint8)
    codes[listed] = _LISTED
    codes[~good] = _UNUSABLE
    at = np.flatnonzero(listed).astype(np.uint32)
    return {"codes": codes, "at": at, "large": flat[at].astype(np.int32)}


def corrected(values: Sequence[NDArray[Any]], panels: Sequence[Panel]) -> tuple[NDArray[Any], ...]:
    """Photons: counts less the pedestal, over the gain. Counts stay as they are where these are 0 and 1."""
    return tuple(
        v if (p.pedestal, p.gain) == (0, 1) else ((v - p.pedestal) / p.gain).astype(np.float32)
        for v, p in zip(values, panels, strict=True)
    )


def stacked_panels(panels: Sequence[Panel], n: int, how: str) -> tuple[Panel, ...]:
    """Panels as they count in stacks of n images: sums have the pedestal of each, and valid counts may add up to more
    than the largest of an image."""
    if n == 1:
        return tuple(panels)
    times = n if how == "sum" else 1
    lows = [p.valid_range[0] for p in panels]
    return tuple(
        replace(p, trusted_range=(min(low, low * times), LARGEST), pedestal=p.pedestal * times)
        for low, p in zip(lows, panels, strict=True)
    )


def valid_pixels(picture: Picture) -> list[NDArray[np.bool_]]:
    """Where pixels may be used and their values are valid."""
    return [
        usable & (low <= values) & (values <= high)
        for values, usable, (low, high) in zip(picture.values, picture.usable, picture.limits, strict=True)
    ]


def stacked(source: ImageSource, images: range, panels: Sequence[Panel], how: str) -> tuple[NDArray[Any], ...]:
    """Sum, mean or largest value of images, pixel by pixel; below the valid range where any of them is invalid."""
    combine = {"sum": np.add, "mean": np.add, "max": np.maximum}.get(how)
    if combine is None:
        raise ParameterError(f"how={how} is none of sum, mean, max.")
    first = source.read(images[0])
    whole = all(v.dtype.kind != "f" for v in first)
    total = [v.astype(np.int32 if whole else np.float32) for v in first]
    valid = [np.ones(v.shape, dtype=np.bool_) for v in first]
    for n in images:
        for panel, out, good, raw in zip(
            panels, total, valid, first if n == images[0] else source.read(n), strict=True
        ):
            low, high = panel.valid_range
            good &= (low <= raw) & (raw <= high)
            if n != images[0]:
                combine(out, raw, out=out, casting="unsafe")
    if how == "mean":
        total = [(out / len(images)).astype(np.float32) for out in total]
    for panel, out, good in zip(stacked_panels(panels, len(images), how), total, valid, strict=True):
        out[~good] = np.floor(panel.valid_range[0]) - 1
    return tuple(total)
