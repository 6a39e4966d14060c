"""Pixels on their way to the page: stacks of images, and counts coded in as few bytes as they need."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.errors import ParameterError
from puredials.model import ImageSource, Panel

__all__ = ["coded", "corrected", "stacked", "valid_pixels"]

# Codes for a value that is listed by itself, and for a pixel that may not be used; counts from 254 on are two higher.
_LISTED, _UNUSABLE = 254, 255
# The whitest value shown at first is so many times this quantile of a sample of the pixels.
_QUANTILE, _ABOVE = 0.99, 3.0
_SAMPLE = 100_003


def coded(
    values: Sequence[NDArray[Any]], usable: Sequence[NDArray[np.bool_]]
) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Pixels of all panels, one after the other, as arrays to be sent, and what the page should know of them.

    Whole numbers become `codes`, of 8 or 16 bits: 254 stands for a value that is listed in `large`, at the index in
    `at`; 255 for an unusable pixel; codes above are counts + 2. Others become float32 `values`, of which the lowest
    that there is stands for an unusable pixel.
    """
    flat = np.concatenate([v.ravel() for v in values]) if len(values) > 1 else values[0].ravel()
    good = np.concatenate([u.ravel() for u in usable]) if len(usable) > 1 else usable[0].ravel()
    about = {"high": _brightest(flat, good)}
    if flat.dtype.kind == "f":
        return {"values": np.where(good, flat, np.finfo(np.float32).min).astype(np.float32, copy=False)}, about
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
    return {"codes": codes, "at": at, "large": flat[at].astype(np.int32)}, about


def _brightest(flat: NDArray[Any], good: NDArray[np.bool_]) -> float:
    step = max(flat.size // _SAMPLE, 1)
    sample = flat[::step][good[::step]]
    sample = sample[sample >= 0]
    return float(max(_ABOVE * np.quantile(sample, _QUANTILE), 1.0)) if sample.size else 1.0


def corrected(values: Sequence[NDArray[Any]], panels: Sequence[Panel]) -> tuple[NDArray[Any], ...]:
    """Photons: counts less the pedestal, over the gain. Counts stay as they are where these are 0 and 1."""
    return tuple(
        v if (p.pedestal, p.gain) == (0, 1) else ((v - p.pedestal) / p.gain).astype(np.float32)
        for v, p in zip(values, panels, strict=True)
    )


def valid_pixels(
    values: Sequence[NDArray[Any]], panels: Sequence[Panel], usable: Sequence[NDArray[np.bool_]], *, stacked: bool
) -> list[NDArray[np.bool_]]:
    """Where pixels may be used and their values are within the trusted range, which has no upper end for stacks."""
    valid = []
    for v, panel, u in zip(values, panels, usable, strict=True):
        low, high = panel.valid_range
        valid.append(u & (v >= low) if stacked else u & (v >= low) & (v <= high))
    return valid


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
    for panel, out, good in zip(panels, total, valid, strict=True):
        out[~good] = np.floor(panel.valid_range[0]) - 1
    return tuple(total)
