"""What the user reads of clusters of unit cells."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from puredials.symmetry.cell_clusters import CellCluster, CellClusters
from puredials.text import text_table

__all__ = ["CLUSTER_HEADER", "cluster_report", "cluster_rows", "cluster_summary"]

CLUSTER_HEADER = ("Cluster", "N", "Indexed as", "a", "b", "c", "α", "β", "γ", "Lattice", "Cell of the lattice", "δ (°)")


def cluster_rows(clusters: CellClusters) -> list[list[str]]:
    """A row a cluster: medians of the reduced cell with standard deviations, and the lattice of highest symmetry."""
    return [_row(number, cluster) for number, cluster in enumerate(clusters.clusters, start=1)]


def _row(number: int, cluster: CellCluster) -> list[str]:
    values = [
        f"{m:.2f} ({s:.2f})" if len(cluster.members) > 1 else f"{m:.2f}"
        for m, s in zip(cluster.median, cluster.spread, strict=True)
    ]
    groups = ", ".join(f"{n} {symbol}" for symbol, n in cluster.space_groups.items())
    cell = " ".join(f"{v:.2f}" for v in cluster.lattice.unit_cell.parameters)
    lattice = cluster.lattice
    return [str(number), str(len(cluster.members)), groups, *values, lattice.bravais, cell, f"{lattice.delta:.2f}"]


def cluster_report(clusters: CellClusters, names: Sequence[str]) -> str:
    """The clusters as text; `names` are those of the crystals."""
    n_alone = sum(len(c.members) == 1 for c in clusters.clusters)
    n = len(clusters.clusters) - n_alone
    lines = [
        f"Clusters of lattices nearer than {clusters.threshold:g} Å²: "
        f"{n} cluster{'s' * (n != 1)}, {n_alone} singleton{'s' * (n_alone != 1)}",
        text_table(CLUSTER_HEADER, cluster_rows(clusters), left=(2, 9, 10)),
        "Medians (standard deviations) of the reduced primitive cells in common axes; the lattice of highest symmetry "
        "(Le Page 1982) of the median, and its deviation δ.",
    ]
    for number, cluster in enumerate(clusters.clusters, start=1):
        lines.append(f"Cluster {number}: {', '.join(names[int(k)] for k in cluster.members)}")
    return "\n".join(lines)


def cluster_summary(clusters: CellClusters) -> dict[str, Any]:
    """The clusters as JSON-able numbers."""
    return {
        "threshold": clusters.threshold,
        "clusters": [
            {
                "experiments": np.asarray(c.members).tolist(),
                "median_cell": c.median.tolist(),
                "cell_sd": c.spread.tolist(),
                "space_groups": c.space_groups,
                "lattice": c.lattice.bravais,
                "lattice_cell": list(c.lattice.unit_cell.parameters),
                "max_delta": c.lattice.delta,
            }
            for c in clusters.clusters
        ],
        "distances": clusters.distances.tolist(),
        "linkage": clusters.linkage.tolist(),
    }
