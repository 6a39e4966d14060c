"""Plots of many unit cells: the tree of their distances, and the spread of their parameters."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.cluster.hierarchy import dendrogram

from puredials.report.page import Section, figure
from puredials.symmetry import CellClusters
from puredials.symmetry.cell_tables import CLUSTER_HEADER, cluster_rows

__all__ = ["cell_histogram", "cluster_sections", "dendrogram_section"]

# Beyond this, names of leaves are unreadable.
_MOST_NAMES = 60
_COLOURS = ("#1f6f8b", "#c0562f", "#4f8a3c", "#7a4fa3", "#b0892a", "#b13f6c")


def cluster_sections(clusters: CellClusters, names: Sequence[str], *, log: bool) -> list[Section]:
    """The page of dials.cluster_unit_cell."""
    cells = clusters.clusters[0].cells
    return [
        Section(
            "Clusters",
            "Medians (standard deviations) of the reduced primitive cells, Å and degrees; the lattice of highest "
            "symmetry that the median cell allows, and by how much (δ) it deviates from it.",
            header=CLUSTER_HEADER, rows=cluster_rows(clusters),
        ),
        dendrogram_section(clusters, names, log=log),
        Section(
            "Cell parameters of the largest cluster",
            "Distributions with one peak each speak for one crystal form.",
            cell_histogram(cells), name="cell_parameters",
        ),
    ]  # fmt: skip


def dendrogram_section(clusters: CellClusters, names: Sequence[str], *, log: bool) -> Section:
    """The tree with a sentence that explains it."""
    return Section(
        "Unit cells",
        "Lattices are joined at the height of the distance between their cells in the space of squared lengths and "
        f"scalar products of the axes; those joined below the threshold of {clusters.threshold:g} Å² are one cluster.",
        _dendrogram(clusters, names, log=log),
        name="dendrogram",
    )


def _dendrogram(clusters: CellClusters, names: Sequence[str], *, log: bool) -> dict[str, Any]:
    """The tree of lattices by distance, a colour a cluster."""
    n = len(clusters.distances)
    if n == 1:
        return figure([], x="crystal", y="distance (Å²)")
    tree = dendrogram(clusters.linkage, no_plot=True, color_threshold=0)
    label = np.empty(n, dtype=int)
    for number, cluster in enumerate(clusters.clusters):
        label[cluster.members] = number
    leaves = np.array(tree["leaves"])
    # A logarithm has no zero: all leaves start a little below the least distance.
    heights = np.array(tree["dcoord"])
    least = heights[heights > 0].min(initial=np.inf)
    floor = 0.7 * (least if np.isfinite(least) else 1.0) if log else 0.0
    lines: dict[str, tuple[list[float | None], list[float | None]]] = {}
    for x, y in zip(np.array(tree["icoord"]), heights, strict=True):
        leaf = leaves[int(np.clip((x[0] - 5) // 10, 0, n - 1))]
        joined = y.max() <= clusters.threshold
        colour = _COLOURS[label[leaf] % len(_COLOURS)] if joined else "#8a939c"
        xs, ys = lines.setdefault(colour, ([], []))
        xs += [*((x - 5) / 10 + 1).tolist(), None]
        ys += [*np.maximum(y, floor).tolist(), None]
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "x": xs, "y": ys, "line": {"color": colour, "width": 1.5},
         "showlegend": False, "hoverinfo": "y"}
        for colour, (xs, ys) in lines.items()
    ]  # fmt: skip
    traces.append(
        {"type": "scatter", "mode": "markers", "x": list(range(1, n + 1)), "y": [floor] * n, "showlegend": False,
         "text": [names[k] for k in leaves], "hoverinfo": "text", "cliponaxis": False,
         "marker": {"size": 6, "color": [_COLOURS[label[k] % len(_COLOURS)] for k in leaves]}}
    )  # fmt: skip
    highest = float(heights.max())
    # A threshold far above would press the tree flat.
    if clusters.threshold <= 3 * highest:
        traces.append(
            {"type": "scatter", "mode": "lines", "x": [0.5, n + 0.5], "y": [clusters.threshold] * 2,
             "line": {"dash": "dash", "color": "#8a939c"}, "name": "threshold"}
        )  # fmt: skip
    ticks = {"tickvals": list(range(1, n + 1)), "ticktext": [names[k] for k in leaves]} if n <= _MOST_NAMES else {}
    return figure(
        traces, x="crystal", y="distance (Å²)",
        xaxis={"range": [0.4, n + 0.6], "showgrid": False, "automargin": True, **ticks,
               "showticklabels": n <= _MOST_NAMES},
        yaxis={"type": "log"} if log else {"rangemode": "tozero"},
    )  # fmt: skip


def cell_histogram(cells: Float64[np.ndarray, "n 6"]) -> dict[str, Any]:
    """Histograms of the six parameters side by side."""
    traces: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    for k, label in enumerate(("a (Å)", "b (Å)", "c (Å)", "α (°)", "β (°)", "γ (°)")):
        number = "" if k == 0 else str(k + 1)
        column, row = k % 3, k // 3
        values = cells[:, k]
        # Of cells all but equal, what is left are the errors of floating-point numbers.
        width = max(float(np.ptp(values)) / 20, 1e-3)
        traces.append(
            {"type": "histogram", "x": values, "xaxis": f"x{number}", "yaxis": f"y{number}", "showlegend": False,
             "xbins": {"start": float(values.min()) - width / 2, "end": float(values.max()) + width, "size": width},
             "marker": {"color": _COLOURS[0]}}
        )  # fmt: skip
        axes[f"xaxis{number}"] = {
            "title": {"text": label, "standoff": 4}, "domain": [column / 3 + 0.03, column / 3 + 0.31],
            "anchor": f"y{number}", "nticks": 3, "tickangle": 0, "tickfont": {"size": 10},
            "ticklabeloverflow": "hide past domain",
            "range": [float(values.min()) - 5 * width, float(values.max()) + 5 * width],
        }  # fmt: skip
        axes[f"yaxis{number}"] = {
            "domain": [0.58, 1.0] if row == 0 else [0.0, 0.42], "anchor": f"x{number}", "nticks": 4,
            "title": {"text": "crystals" if column == 0 else ""},
        }  # fmt: skip
    return figure(traces, x="", y="", **axes)
