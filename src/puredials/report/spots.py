"""Spots: how many there are on each image, which share of them is indexed, and what they look like."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.indexing.reciprocal import set_numbers
from puredials.model import Experiments, Flags, MaskBits, ReflectionTable, Shoeboxes
from puredials.report.along import Along, along, curves, place_along, totals
from puredials.report.page import Section, figure

__all__ = ["indexed_share", "spot_counts", "spot_sections", "spots_of_sets"]

# Pixels to each side of a mean spot, and spots that it is made of.
_REACH = 6
_MOST = 20_000


def spots_of_sets(experiments: Experiments, table: ReflectionTable) -> tuple[Experiments, Int64[np.ndarray, " n"]]:
    """One experiment for each set of images, and the number among these of each spot (-1: none)."""
    numbers = np.array(set_numbers(experiments), dtype=np.int64)
    first = [int(np.argmax(numbers == k)) for k in range(numbers.max(initial=-1) + 1)]
    ids = table["id"].astype(np.int64) if "id" in table else np.full(table.n_rows, -1)
    inside = (ids >= 0) & (ids < len(experiments))
    of = np.where(inside, numbers[np.where(inside, ids, 0)], -1)
    if "imageset_id" in table:
        of_imageset = np.array(experiments.imageset_ids(), dtype=np.int64)
        for k, number in enumerate(first):
            of[(of < 0) & (table["imageset_id"] == of_imageset[number])] = k
    elif len(first) == 1:
        of[:] = 0
    return experiments.with_items(experiments[k] for k in first), of


def _strong(table: ReflectionTable) -> Bool[np.ndarray, " n"]:
    strong = table.has(Flags.STRONG)
    return strong if strong.any() else np.ones(table.n_rows, dtype=np.bool_)


def spot_counts(experiments: Experiments, table: ReflectionTable) -> dict[str, list[Along]]:
    """Strong spots of each image: all, and indexed ones if any are."""
    sets, number = spots_of_sets(experiments, table)
    z, strong, indexed = place_along(table), _strong(table), table.has(Flags.INDEXED)
    counts = {"strong": totals(sets, number, z, strong)}
    if indexed.any() and not table.has(Flags.INTEGRATED).any():
        counts |= {"indexed": totals(sets, number, z, strong & indexed)}
        counts |= {"not indexed": totals(sets, number, z, strong & ~indexed)}
    return counts


def indexed_share(experiments: Experiments, table: ReflectionTable) -> list[Along]:
    """Share of the strong spots that are indexed; empty where nothing is, or only indexed spots are left."""
    strong, indexed = _strong(table), table.has(Flags.INDEXED)
    if not (indexed & strong).any() or table.has(Flags.INTEGRATED).any():
        return []
    sets, number = spots_of_sets(experiments, table)
    return along(sets, np.where(strong, number, -1), place_along(table), indexed.astype(np.float64))


def spot_sections(experiments: Experiments, table: ReflectionTable) -> list[Section]:
    """What is known of the spots."""
    sections: list[Section] = []
    counts = spot_counts(experiments, table)
    traces = _count_traces(counts)
    if traces:
        text = "Spots whose centre is on each image: gaps are beam or shutter trouble, a slow fall is damage."
        if len(counts["strong"]) > 1 and "not indexed" in counts:
            text += " Dotted: those not indexed."
        plot = figure(traces, x="image", y="spots", yaxis={"rangemode": "tozero"})
        sections.append(Section("Spots on each image", text, plot, name="spots_per_image"))
    share = indexed_share(experiments, table)
    if share:
        text = "Indexed spots over all: what is missing belongs to other lattices, ice or bad images."
        plot = figure(curves(share, "indexed"), x="image", y="share of the spots", yaxis={"range": [0, 1.02]})
        sections.append(Section("Indexed share", text, plot, name="indexed_share"))
    if isinstance(table.columns.get("shoebox"), Shoeboxes):
        sections += _mean_spot(table)
    return sections


def _count_traces(counts: dict[str, list[Along]]) -> list[dict[str, Any]]:
    """One line each; of several data sets, all spots and, dotted, those that are not indexed."""
    if len(counts["strong"]) < 2:
        return [trace for name, parts in counts.items() for trace in curves(parts, name)]
    rest = curves(counts.get("not indexed", []), "not indexed,", line={"dash": "dot"}, showlegend=False)
    return [*curves(counts["strong"]), *rest]


def _mean_spot(table: ReflectionTable) -> list[Section]:
    """Pictures of the mean spot in nine parts of the detector, seen along the beam and from the side."""
    rows = np.flatnonzero(_strong(table) & ~table.has(Flags.OVERLOADED))
    rows = rows[:: max(1, -(-len(rows) // _MOST))]
    part = table.select(rows)
    boxes: Shoeboxes = part["shoebox"]
    if not boxes.offsets[-1]:
        return []
    xyz = part["xyzobs.px.value"]
    edges = [np.quantile(xyz[:, k], [1 / 3, 2 / 3]) for k in (0, 1)]
    region = 3 * np.searchsorted(edges[1], xyz[:, 1]) + np.searchsorted(edges[0], xyz[:, 0])
    sections: list[Section] = []
    for name, axes, heading, text in (
        ("mean_spot_xy", (0, 1), "Mean spot on the detector", "Strong spots laid on each other, in nine parts of the "
         "detector: long ones are split crystals or parallax, and double ones another lattice."),
        ("mean_spot_xz", (0, 2), "Mean spot through the images", "The same from the side, x across and images "
         "down: its height is the mosaic spread."),
    ):  # fmt: skip
        pictures = _pictures(boxes, xyz, region, axes)
        sections.append(Section(heading, text, _tiles(pictures, "x (px)", "xyz"[axes[1]]), name=name))
    return sections


def _pictures(
    boxes: Shoeboxes, xyz: Float64[np.ndarray, "n 3"], region: Int64[np.ndarray, " n"], axes: tuple[int, int]
) -> Float64[np.ndarray, "9 s s"]:
    """Sums of the spots' counts less their background about the centres, each of weight 1."""
    counts = np.diff(boxes.offsets)
    spot = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(spot)) - boxes.offsets[:-1][spot]
    nx, ny = (boxes.bbox[:, 2 * k + 1] - boxes.bbox[:, 2 * k] for k in (0, 1))
    at = (within % nx[spot], within // nx[spot] % ny[spot], within // (nx * ny)[spot])
    good = (boxes.mask & MaskBits.VALID) != 0
    strong = good & ((boxes.mask & (MaskBits.STRONG | MaskBits.FOREGROUND)) != 0)
    signal = np.where(strong, boxes.data - boxes.background, 0.0).astype(np.float64)
    total = np.bincount(spot, signal, len(counts))
    weight = np.where(total > 0, 1 / np.where(total > 0, total, 1), 0)[spot] * signal
    size = 2 * _REACH + 1
    # From the centre of the spot to those of its pixels.
    centres = [at[k] + boxes.bbox[spot, 2 * k] + 0.5 - xyz[spot, k] for k in axes]
    place = [np.floor(c + 0.5).astype(np.int64) + _REACH for c in centres]
    inside = np.all([(p >= 0) & (p < size) for p in place], axis=0)
    flat = (region[spot] * size + place[1]) * size + place[0]
    sums = np.bincount(flat[inside], weight[inside], 9 * size * size).reshape(9, size, size)
    return sums / np.maximum(np.bincount(region, minlength=9), 1)[:, None, None]


def _tiles(pictures: Float64[np.ndarray, "9 s s"], x: str, down: str) -> dict[str, Any]:
    """Nine pictures in one heat map, with a line of nothing between them."""
    size = pictures.shape[1]
    canvas = np.full((3 * size + 2, 3 * size + 2), np.nan)
    for k, picture in enumerate(pictures):
        row, column = (k // 3) * (size + 1), (k % 3) * (size + 1)
        canvas[row : row + size, column : column + size] = picture / (picture.max() or 1.0)
    places = [size // 2 + k * (size + 1) for k in range(3)]
    ticks = {"tickvals": places, "ticktext": ["first third", "second", "last third"]}
    heat = {"type": "heatmap", "z": canvas, "colorscale": "Viridis", "colorbar": {"title": {"text": "of the peak"}}}
    y = "y (px)" if down == "y" else "z (images)"
    return figure(
        [heat],
        x=f"{x}; tiles: x on the detector",
        y=f"{y}; tiles: y on the detector",
        xaxis={**ticks, "constrain": "domain", "showgrid": False},
        yaxis={**ticks, "autorange": "reversed", "scaleanchor": "x", "tickangle": -90, "showgrid": False},
    )
