"""Crystals grouped by their unit cells."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float64, Int64
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from puredials.execute import SERIAL, Executor, map_blocks
from puredials.kernels.cells import nearest_image
from puredials.model import Crystal
from puredials.symmetry.cosym_cells import common_minimum_bases, unimodular
from puredials.symmetry.lattice import LatticeSetting, lattice_settings, metric_tensor, primitive_reduced_basis

__all__ = ["CellCluster", "CellClusters", "cluster_cells", "lattice_distances"]

# Tolerance (degrees) of the symmetry that is told of a cluster's median cell.
_MAX_DELTA = 3.0


@dataclass(frozen=True, eq=False)
class CellCluster:
    """Crystals of similar lattices.

    Attributes:
        members: numbers of the crystals.
        cells: their cells, brought to one choice of reduced axes.
        space_groups: number of members by symbol, as they were indexed.
        lattice: the highest symmetry of the median cell, and its setting.
    """

    members: Int64[np.ndarray, " m"]
    cells: Float64[np.ndarray, "m 6"]
    space_groups: dict[str, int]
    lattice: LatticeSetting

    @property
    def median(self) -> Float64[np.ndarray, "6"]:
        """The median of each cell parameter (Angstrom, degrees)."""
        return np.median(self.cells, axis=0)

    @property
    def spread(self) -> Float64[np.ndarray, "6"]:
        """Their standard deviations; 0 of a single crystal."""
        return self.cells.std(axis=0, ddof=1) if len(self.cells) > 1 else np.zeros(6)


@dataclass(frozen=True, eq=False)
class CellClusters:
    """Clusters, the largest first; `linkage` is the tree that they are cut from (as of scipy), by distances (A^2)."""

    clusters: tuple[CellCluster, ...]
    distances: Float64[np.ndarray, "n n"]
    linkage: Float64[np.ndarray, "k 4"]
    threshold: float


def cluster_cells(crystals: Sequence[Crystal], *, threshold: float, executor: Executor = SERIAL) -> CellClusters:
    """Join crystals whose lattices are nearer than `threshold` (Angstrom^2) to any of a cluster (single linkage)."""
    distances = lattice_distances(crystals, executor=executor)
    if len(crystals) > 1:
        tree = linkage(squareform(distances, checks=False), method="single")
        label = fcluster(tree, threshold, criterion="distance")
    else:
        tree, label = np.zeros((0, 4)), np.ones(1, dtype=int)
    groups = [np.flatnonzero(label == k) for k in np.unique(label)]
    groups.sort(key=lambda members: (-len(members), int(members[0])))
    clusters = tuple(_cluster(crystals, members) for members in groups)
    return CellClusters(clusters, distances, tree, threshold)


def _cluster(crystals: Sequence[Crystal], members: Int64[np.ndarray, " m"]) -> CellCluster:
    chosen = [crystals[k] for k in members]
    _, cells = common_minimum_bases(chosen)
    groups = Counter(c.space_group.xhm() if c.space_group else c.hall for c in chosen)
    lattice = lattice_settings(gemmi.UnitCell(*np.median(cells, axis=0)), max_delta=_MAX_DELTA)[0]
    return CellCluster(members, cells, dict(groups.most_common()), lattice)


def lattice_distances(crystals: Sequence[Crystal], *, executor: Executor = SERIAL) -> Float64[np.ndarray, "n n"]:
    """Distances (Angstrom^2) between the primitive lattices of crystals.

    A cell is the point (a^2, b^2, c^2, 2bc cos alpha, 2ac cos beta, 2ab cos gamma) of a space of six dimensions, and a
    lattice all points of its cells. Small errors move a reduced cell across a boundary to where another choice of axes
    is the reduced one; the distance of two lattices must not jump there (Andrews & Bernstein 2014, J. Appl. Cryst. 47,
    346). It is taken as that of the reduced cell of one from the nearest of all cells of the other that changes of
    basis with elements -1, 0 and 1 make of its reduced cell.
    """
    changes = unimodular()
    metrics = []
    for crystal in crystals:
        basis = primitive_reduced_basis(crystal.unit_cell, crystal.operations.find_centering())
        metrics.append(metric_tensor(np.linalg.inv(crystal.A @ np.linalg.inv(basis).T)))
    points = _points(np.array(metrics))

    def row(k: int) -> Float64[np.ndarray, " n"]:
        images = _points(np.einsum("mji,jk,mkl->mil", changes, metrics[k], changes))
        radius = np.linalg.norm(images - images[0], axis=1)
        order = np.argsort(radius, kind="stable")
        out = np.empty(len(points))
        nearest_image(images[order], radius[order], points, out)
        return out

    distances = np.array(list(map_blocks(row, range(len(points)), executor)))
    # Changes of basis stretch the six-dimensional space: which lattice is moved makes a difference.
    distances = np.minimum(distances, distances.T)
    np.fill_diagonal(distances, 0)
    return distances


def _points(metrics: Float64[np.ndarray, "n 3 3"]) -> Float64[np.ndarray, "n 6"]:
    i, j = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]
    return np.ascontiguousarray(metrics[:, i, j] * [1, 1, 1, 2, 2, 2])
