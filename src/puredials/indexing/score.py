"""How well a lattice explains spots, in bits.

Two descriptions of the spots are compared: points spread evenly through reciprocal space, and the nodes of the lattice,
blurred, among a share of stray points. With e the distance of a spot from its node, V the cell's volume, p the share of
spots that belong to the lattice and s the width of the blur, the likelihood ratio of one spot is
    1 - p + p exp(-e^2 / 2 s^2) / (V (2 pi s^2)^(3/2)),
since evenly spread points have the density V in reciprocal space, one for each node. p and s are those of the largest
likelihood, found by expectation maximisation (Dempster, Laird & Rubin 1977, J. R. Stat. Soc. B39, 1). The mean of the
logarithm of the ratio rewards indexing many spots, closely, with a small cell, in one currency: a cell that is twice as
large as needed explains the spots with one bit less each.

That bit is given back if the larger cell's nodes are used unevenly: with q_c the shares of the indexed spots in the
eight classes of parity of (h, k, l), a node of class c is 8 q_c times as probable as the average node, which adds
p (3 - entropy of q) bits. So a lattice with weak superstructure spots beats both the one without them and, by as much
as they are more than stray, a needless multiple cell (which explains as much as its smaller rival, but no more).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from puredials.kernels.lattice_points import blur_mixture, nearest_nodes

__all__ = ["Evidence", "evidence", "fit_setting", "n_indexed", "nodes"]

Matrix = Float64[np.ndarray, "3 3"]
EM_STEPS = 12
# A spot farther from its node than this share of the distance between nodes cannot tell one node from another.
START_WIDTH = 0.1
MIN_WIDTH = 1e-3
MIN_MEMBERS, MAX_CONDITION = 6, 1e8


@dataclass(frozen=True, eq=False)
class Evidence:
    """Bits gained per spot, share of spots that belong to the lattice, and width of the blur (1/Angstrom)."""

    bits: float
    share: float
    width: float
    membership: Float64[np.ndarray, " n"]
    index: np.ndarray


def nodes(points: Float64[np.ndarray, "n 3"], A: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the nearest nodes, and the misfits in indices (infinite where the nearest node is the origin)."""
    n = len(points)
    index, lattice, misfit2 = np.zeros((n, 3), dtype=np.int32), np.empty(n, dtype=np.int32), np.empty(n)
    nearest_nodes(points, np.linalg.inv(A)[None], lattice, index, misfit2)
    return index, np.sqrt(misfit2)


def evidence(points: Float64[np.ndarray, "n 3"], A: Matrix, n_steps: int = EM_STEPS) -> Evidence:
    """What the lattice of A says of the points."""
    index, _ = nodes(points, A)
    spacing = float(abs(np.linalg.det(A)) ** (1 / 3))
    e2, member = np.empty(len(points)), np.empty(len(points))
    A = np.ascontiguousarray(A)
    share, width, bits = blur_mixture(points, A, index, n_steps, START_WIDTH * spacing, MIN_WIDTH * spacing, e2, member)
    parity = (index & 1) @ np.array([4, 2, 1])
    q = np.bincount(parity, weights=member, minlength=8)
    q = q / max(q.sum(), 1e-9)
    entropy = -float((q[q > 0] * np.log2(q[q > 0])).sum())
    return Evidence(bits + share * (3 - entropy), share, width, member, index)


def fit_setting(
    points: Float64[np.ndarray, "n 3"], A: Matrix, *, sets: Int64[np.ndarray, " n"] | None = None, n_steps: int = 4
) -> tuple[Matrix, Float64[np.ndarray, "n 3"]]:
    """A that minimises sum m |r - A h - o|^2 over the members m of the lattice, and the points r - o.

    The offsets o are 0 without `sets`; with them each set of points has one of its own, which is free.
    Errors of A grow with resolution: points that they carry too near to a wrong node join when A has improved.
    """
    d_star = np.linalg.norm(points, axis=1)
    limits = np.quantile(d_star, np.linspace(0.5, 1, n_steps)) if n_steps > 1 else [np.inf]
    for limit in limits:
        inner = d_star <= limit
        r = points[inner]
        found = evidence(r, A)
        m, h = found.membership, found.index.astype(np.float64)
        if found.share * len(r) < MIN_MEMBERS:
            break
        if sets is not None:
            means = _set_means(np.column_stack([h, r]), m, sets[inner], int(sets.max()) + 1)
            h, r = h - means[sets[inner], :3], r - means[sets[inner], 3:]
        normal = (h * m[:, None]).T @ h
        if np.linalg.cond(normal) > MAX_CONDITION:
            break
        A = np.linalg.solve(normal, (h * m[:, None]).T @ r).T
        if sets is not None:
            points = points - (means[:, 3:] - means[:, :3] @ A.T)[sets]
    return A, points


def _set_means(
    values: Float64[np.ndarray, "n k"], weight: Float64[np.ndarray, " n"], sets: np.ndarray, n_sets: int
) -> Float64[np.ndarray, "s k"]:
    """Weighted means of each set; 0 for one with so little weight that it has no offset of its own."""
    total = np.bincount(sets, weights=weight, minlength=n_sets)
    sums = np.array([np.bincount(sets, weights=weight * v, minlength=n_sets) for v in values.T]).T
    return np.where(total[:, None] >= MIN_MEMBERS, sums / np.maximum(total, 1e-9)[:, None], 0.0)


def n_indexed(points: Float64[np.ndarray, "n 3"], A: Matrix, tolerance: float) -> int:
    """How many points are within `tolerance` of a node."""
    return int((nodes(points, A)[1] <= tolerance).sum())
