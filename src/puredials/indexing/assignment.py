"""Which spots belong to which node of which crystal.

Simple assignment takes the nearest node. Local assignment (Kabsch 1988, J. Appl. Cryst. 21, 67; Gildea et al. 2014,
Acta Cryst. D70, 2652) takes whole differences of index between neighbouring spots, along the tree of the best
differences: a crystal that turns little by little, or bends, takes its neighbourhoods along with it.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import KDTree

from puredials.indexing.lattices import Assigned, Model, primitive_basis
from puredials.indexing.params import Assignment, LocalAssignment
from puredials.indexing.reciprocal import Spots
from puredials.kernels.lattice_points import nearest_nodes

__all__ = ["assign"]

# Spots of the same index, sense and crystal nearer than this in rotation are one reflection.
SAME_REFLECTION = np.pi / 4
# Trees of fewer spots than this say too little of where they are in the lattice.
SMALLEST_TREE = 5
# A crystal turns with time: a spot so many degrees of rotation away counts as one node farther than it is, and one of
# another image set as so many nodes.
NODE_APART, SETS_APART = 5.0, 72.0


def assign(model: Model, spots: Spots, params: Assignment, *, within: Bool[np.ndarray, " n"] | None = None) -> Assigned:
    """Give spots their nodes of any crystal, as `params` say; `within` limits the spots considered.

    Of several spots on one node, at the same crossing, the one that fits best is kept.
    """
    bases = [primitive_basis(c) for c in model.crystals]
    inverse = np.array([q.T @ np.linalg.inv(c.A) for q, c in zip(bases, model.crystals, strict=True)])
    considered = np.ones(len(spots.rlp), dtype=bool) if within is None else within
    if params.method == "local":
        index, lattice, cost = _by_neighbours(spots, inverse, considered, params.local)
    else:
        index, lattice, cost = _nearest(spots, inverse, params.simple.hkl_tolerance)
    good = considered & (lattice >= 0)
    rows = np.flatnonzero(good)
    good[rows[_repeated(spots, lattice, index, cost, rows)]] = False
    index[~good] = 0
    for m, basis in enumerate(bases):
        if not np.array_equal(basis, np.eye(3)):
            here = good & (lattice == m)
            index[here] = np.rint(index[here] @ np.linalg.inv(basis))
    id = np.where(good, lattice * len(model.experiments) + spots.imageset, -1)
    return Assigned(id.astype(np.int32), index)


def _nearest(
    spots: Spots, inverse: Float64[np.ndarray, "m 3 3"], tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index and number of the lattice (-1: none within `tolerance`) of the nearest node, and the misfit squared."""
    n = len(spots.rlp)
    index, lattice, misfit2 = np.zeros((n, 3), dtype=np.int32), np.empty(n, dtype=np.int32), np.empty(n)
    nearest_nodes(spots.rlp, inverse, lattice, index, misfit2)
    lattice[misfit2 > tolerance**2] = -1
    return index, lattice, misfit2


def _by_neighbours(
    spots: Spots, inverse: Float64[np.ndarray, "m 3 3"], considered: Bool[np.ndarray, " n"], params: LocalAssignment
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index and number of the lattice (-1: none) from differences between neighbours; the cost is less the more agree.

    Of several lattices a spot belongs to that whose differences to its neighbours are the best, all together.
    """
    n = len(spots.rlp)
    index, lattice = np.zeros((n, 3), dtype=np.int32), np.full(n, -1, dtype=np.int32)
    support = np.zeros(n)
    rows = np.flatnonzero(considered)
    if len(rows) < SMALLEST_TREE:
        return index, lattice, -support
    time = np.degrees(spots.phi[rows]) / NODE_APART + spots.imageset[rows] * SETS_APART
    for m, inverse_A in enumerate(inverse):
        spacing = float(np.abs(np.linalg.det(inverse_A)) ** (-1 / 3))
        places = np.column_stack([spots.rlp[rows] / spacing, time])
        pairs = _neighbours(places, params.nearest_neighbours)
        own, agreed, placed = _local_index(spots.rlp[rows] @ inverse_A.T, spots.d_star[rows], pairs, params)
        better = placed & (agreed > support[rows])
        index[rows[better]], lattice[rows[better]], support[rows[better]] = own[better], m, agreed[better]
    return index, lattice, -support


def _neighbours(points: Float64[np.ndarray, "n d"], k: int) -> Int64[np.ndarray, "p 2"]:
    """Each pair of points once of which one is among the `k` nearest of the other."""
    k = min(k + 1, len(points))  # each is its own nearest
    nearest = np.asarray(KDTree(points).query(points, k=k)[1])
    first, second = np.repeat(np.arange(len(points)), k), nearest.ravel()
    pairs = np.sort(np.column_stack([first, second])[first != second], axis=1)
    return np.unique(pairs, axis=0).astype(np.int64)


def _local_index(
    x: Float64[np.ndarray, "n 3"], d_star: np.ndarray, pairs: Int64[np.ndarray, "p 2"], params: LocalAssignment
) -> tuple[Int64[np.ndarray, "n 3"], Float64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Indices of points x (fractional indices), how much their neighbours agree, and which of them are in a tree.

    The quality of a difference x_i - x_j = h + e is exp(-2 sum_k {[max(|e_k| - epsilon, 0) / epsilon]^2 +
    max(|h_k| - delta, 0)^2}) (Kabsch 2010, Acta Cryst. D66, 125); below l_min it does not count.
    """
    n = len(x)
    difference = x[pairs[:, 1]] - x[pairs[:, 0]]
    whole = np.rint(difference)
    misfit = difference - whole
    beyond = np.maximum(np.abs(misfit) - params.epsilon, 0) / params.epsilon
    quality = np.exp(-2 * (beyond**2 + np.maximum(np.abs(whole) - params.delta, 0) ** 2).sum(axis=1))
    good = quality >= params.l_min
    i, j, quality, misfit = pairs[good, 0], pairs[good, 1], quality[good], misfit[good]
    agreed = np.bincount(i, weights=quality, minlength=n) + np.bincount(j, weights=quality, minlength=n)
    # Many differences have the best quality: of these, the closest.
    cost = 1 - quality + (misfit**2).sum(axis=1) + 1e-12
    tree = minimum_spanning_tree(coo_array((cost, (i, j)), shape=(n, n)).tocsr())
    n_trees, member = connected_components(tree, directed=False)
    parent = _parents(tree, member, n_trees)
    h = np.rint(x - x[parent]).astype(np.int64)
    while not np.array_equal(parent, parent[parent]):  # the way to the root, doubled each time
        h, parent = h + h[parent], parent[parent]
    # A lattice slightly turned misses inner spots the least, so these say best where the tree is.
    weight = 1 / np.maximum(d_star, 1e-6) ** 2
    total = np.bincount(member, weights=weight)
    rest = x - h
    origin = np.array([np.bincount(member, weights=weight * r) for r in rest.T]).T / total[:, None]
    index = h + np.rint(origin).astype(np.int64)[member]
    placed = (np.bincount(member)[member] >= SMALLEST_TREE) & index.any(axis=1)
    return index, agreed, placed


def _parents(tree: object, member: np.ndarray, n_trees: int) -> Int64[np.ndarray, " n"]:
    """The parent of each node of a forest; roots are their own."""
    n = len(member)
    _, roots = np.unique(member, return_index=True)
    edges = coo_array(tree)
    # One more node joins the roots, so that all trees are walked at once.
    row = np.concatenate([edges.row, np.full(n_trees, n)])
    column = np.concatenate([edges.col, roots])
    joined = coo_array((np.ones(len(row)), (row, column)), shape=(n + 1, n + 1)).tocsr()
    parent = breadth_first_order(joined, n, directed=False)[1][:n].astype(np.int64)
    return np.where(parent == n, np.arange(n), parent)


def _repeated(
    spots: Spots, lattice: np.ndarray, index: np.ndarray, cost: np.ndarray, rows: np.ndarray
) -> Bool[np.ndarray, " m"]:
    """Of `rows`, those that have a better rival for their node at the same crossing."""
    if len(rows) == 0:
        return np.zeros(0, dtype=bool)
    h = index[rows].astype(np.int64) + 100_000
    node = ((h[:, 0] * 200_000 + h[:, 1]) * 200_000 + h[:, 2]) % (2**62)
    crossing = (lattice[rows].astype(np.int64) * (spots.imageset.max() + 1) + spots.imageset[rows]) * 2
    crossing += spots.entering[rows]
    phi = spots.phi[rows]
    order = np.lexsort((phi, crossing, node))
    same = (np.diff(node[order]) == 0) & (np.diff(crossing[order]) == 0)
    same &= np.diff(phi[order]) < SAME_REFLECTION
    run = np.concatenate([[0], np.cumsum(~same)])  # chains of spots, each near to the next
    best = np.lexsort((cost[rows][order], run))
    first = np.concatenate([[True], np.diff(run[best]) > 0])
    repeated = np.zeros(len(rows), dtype=bool)
    repeated[order[best[~first]]] = True
    return repeated
