"""The reflections on some images, as arrays of positions for a page."""

import numpy as np
from numpy.typing import NDArray

from puredials.model import Flags, ReflectionTable
from puredials.model.shoebox import MaskBits, Shoeboxes

__all__ = ["reflections_on"]

_INDEXED = Flags.INDEXED | Flags.PREDICTED | Flags.INTEGRATED_SUM | Flags.INTEGRATED_PRF
# Spot finding calls its strong pixels foreground.
_STRONG = MaskBits.STRONG | MaskBits.FOREGROUND


def reflections_on(
    table: ReflectionTable, experiments: NDArray[np.int64], images: range, *, indexed: bool, integrated: bool
) -> dict[str, NDArray[np.generic]]:
    """Positions (panel, x, y in px) of reflections that touch `images` (array indices of the scan):

    boxes: (panel, x0, x1, y0, y1)
    observed, predicted: of those whose centre is on one of the images; hkl: the indices of `labelled` positions
    strong, peak: strong pixels, and the largest of each reflection
    boxes_of, observed_of, predicted_of: the experiment of each, -1 for what is not indexed
    """
    rows = _chosen(table, experiments, indexed=indexed, integrated=integrated)
    panel = np.asarray(table["panel"], dtype=np.int32)
    owner = np.asarray(table["id"], dtype=np.int32) if "id" in table else np.full(len(panel), -1, np.int32)
    if "flags" in table:  # before indexing, ids count sets of images
        owner = np.where(np.asarray(table["flags"]) & np.uint64(_INDEXED), owner, -1).astype(np.int32)
    found: dict[str, NDArray[np.generic]] = {}
    for name, key in (("xyzobs.px.value", "observed"), ("xyzcal.px", "predicted")):
        if name in table:
            xyz = np.asarray(table[name])
            # A position of zeros stands for none.
            here = (xyz[:, 2] >= images.start) & (xyz[:, 2] < images.stop) & xyz.any(axis=1)
            here = np.flatnonzero(rows & here)
            found[key] = np.column_stack([panel[here], xyz[here, :2]]).astype(np.float32)
            found[f"{key}_of"] = owner[here]
            if "miller_index" in table:
                indices = np.asarray(table["miller_index"])[here]
                some = (indices != 0).any(axis=1)
                if key == "predicted" or not len(found.get("hkl", ())):
                    found["labelled"], found["hkl"] = found[key][some], indices[some].astype(np.int32)
    if "bbox" in table:
        box = np.asarray(table["bbox"])
        touched = np.flatnonzero(rows & (box[:, 4] < images.stop) & (box[:, 5] > images.start))
        found["boxes"] = np.column_stack([panel[touched], box[touched, :4]]).astype(np.float32)
        found["boxes_of"] = owner[touched]
        if "shoebox" in table:
            found |= _pixels(table["shoebox"], touched, images)
    return found


def _chosen(
    table: ReflectionTable, experiments: NDArray[np.int64], *, indexed: bool, integrated: bool
) -> NDArray[np.bool_]:
    rows = np.ones(table.n_rows, dtype=np.bool_)
    if "id" in table:
        ids = np.asarray(table["id"])
        rows = np.isin(ids, experiments) | (ids < 0)
    if "imageset_id" in table and (unindexed := np.asarray(table["id"]) < 0).any():
        sets = np.asarray(table["imageset_id"])
        rows &= ~unindexed | np.isin(sets, sets[rows & ~unindexed])
    flags = np.asarray(table["flags"]) if "flags" in table else np.zeros(table.n_rows, dtype=np.uint64)
    if indexed:
        rows &= (flags & np.uint64(Flags.INDEXED)) > 0
    if integrated:
        rows &= (flags & np.uint64(Flags.INTEGRATED)) > 0
    return rows


def _pixels(boxes: Shoeboxes, rows: NDArray[np.intp], images: range) -> dict[str, NDArray[np.generic]]:
    """Strong pixels, and the strongest of each reflection, that are on the images."""
    rows = rows[np.diff(boxes.offsets)[rows] > 0]
    none = np.zeros((0, 3), np.float32)
    if not len(rows):
        return {"strong": none, "peak": none}
    part = boxes.select(rows)
    owner = np.repeat(np.arange(len(part)), np.diff(part.offsets))
    strong = np.flatnonzero(((part.mask & MaskBits.VALID) != 0) & ((part.mask & _STRONG) != 0))
    owner, data, within = owner[strong], part.data[strong], (strong - part.offsets[owner[strong]])
    x0, x1, y0, y1, z0, _ = part.bbox[owner].T
    width, height = x1 - x0, y1 - y0
    x, y, z = x0 + within % width, y0 + within // width % height, z0 + within // (width * height)
    here = (z >= images.start) & (z < images.stop)
    places = np.column_stack([part.panel[owner], x, y]).astype(np.float32)
    order = np.lexsort((-data, owner))
    top = order[np.flatnonzero(np.diff(owner[order], prepend=-1))]
    return {"strong": places[here], "peak": places[top[here[top]]]}
