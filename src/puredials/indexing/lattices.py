"""Crystals on image sets: which spots belong to which node of which crystal, and refinement against them."""

import itertools
from dataclasses import dataclass, replace
from functools import lru_cache

import gemmi
import numpy as np
from jaxtyping import Bool, Float64

from puredials.errors import NoLatticeError
from puredials.indexing.reciprocal import Spots, map_spots
from puredials.kernels.lattice_points import nearest_nodes
from puredials.model import Crystal, Experiments, Flags, ReflectionTable, cell_parameters
from puredials.refinement.params import RefineParams
from puredials.refinement.refining import RefinementResult, refine_experiments
from puredials.symmetry.lattice import primitive_reduced_basis

__all__ = [
    "OTHER_LATTICE",
    "Assigned",
    "Model",
    "assign",
    "longest_primitive_edge",
    "misorientation",
    "primitive_basis",
    "reduced_setting",
    "refine_model",
    "remap",
]

# Spots of the same index, sense and crystal nearer than this in rotation are one reflection.
SAME_REFLECTION = np.pi / 4
# Largest relative stretch between two crystals of the same lattice.
SAME_CELL = 0.05
OTHER_LATTICE = 360.0


@dataclass(frozen=True, eq=False)
class Model:
    """The geometry of each image set (`experiments`, one for each) and the crystals, all of them on all image sets."""

    experiments: Experiments
    crystals: tuple[Crystal, ...]

    def expanded(self) -> Experiments:
        """One experiment for each crystal and image set, crystal by crystal."""
        return self.experiments.with_items(
            replace(e, crystal=crystal) for crystal in self.crystals for e in self.experiments
        )

    def with_crystals(self, crystals: tuple[Crystal, ...]) -> "Model":
        return replace(self, crystals=crystals)


@dataclass(frozen=True, eq=False)
class Assigned:
    """Experiment (crystal by crystal, as in `Model.expanded`; -1: none), and indices of each spot."""

    id: np.ndarray
    index: np.ndarray

    @property
    def n(self) -> int:
        return int((self.id >= 0).sum())


def primitive_basis(crystal: Crystal) -> Float64[np.ndarray, "3 3"]:
    """Q with (a, b, c)_primitive = (a, b, c) Q; the identity for primitive cells."""
    centring = crystal.operations.find_centering()
    return np.eye(3) if centring == "P" else primitive_reduced_basis(crystal.unit_cell, centring)


def reduced_setting(A: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
    """A of the right-handed Niggli-reduced cell of the same lattice."""
    A = A if np.linalg.det(A) > 0 else -A
    # Rounded errors may keep the reduction from ending where it should: it is repeated until it changes nothing.
    for _ in range(5):
        basis = primitive_reduced_basis(gemmi.UnitCell(*cell_parameters(A)), "P")
        if np.linalg.det(basis) < 0:
            basis = -basis
        if np.array_equal(basis, np.eye(3)):
            break
        A = A @ np.linalg.inv(basis).T
    return A


def assign(model: Model, spots: Spots, *, tolerance: float, within: Bool[np.ndarray, " n"] | None = None) -> Assigned:
    """Give each spot the nearest node of any crystal, if it is within `tolerance` (in indices of the primitive cell).

    Of several spots on one node, at the same crossing, the nearest is kept. `within` limits the spots considered.
    """
    bases = [primitive_basis(c) for c in model.crystals]
    inverse = np.array([q.T @ np.linalg.inv(c.A) for q, c in zip(bases, model.crystals, strict=True)])
    n = len(spots.rlp)
    index, lattice, misfit2 = np.zeros((n, 3), dtype=np.int32), np.empty(n, dtype=np.int32), np.empty(n)
    nearest_nodes(spots.rlp, inverse, lattice, index, misfit2)
    good = misfit2 <= tolerance**2
    if within is not None:
        good &= within
    rows = np.flatnonzero(good)
    good[rows[_repeated(spots, lattice, index, misfit2, rows)]] = False
    index[~good] = 0
    for m, basis in enumerate(bases):
        if not np.array_equal(basis, np.eye(3)):
            here = good & (lattice == m)
            index[here] = np.rint(index[here] @ np.linalg.inv(basis))
    id = np.where(good, lattice * len(model.experiments) + spots.imageset, -1)
    return Assigned(id.astype(np.int32), index)


def _repeated(
    spots: Spots, lattice: np.ndarray, index: np.ndarray, misfit2: np.ndarray, rows: np.ndarray
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
    best = np.lexsort((misfit2[rows][order], run))
    first = np.concatenate([[True], np.diff(run[best]) > 0])
    repeated = np.zeros(len(rows), dtype=bool)
    repeated[order[best[~first]]] = True
    return repeated


def refine_model(
    model: Model, table: ReflectionTable, assigned: Assigned, params: RefineParams
) -> tuple[Model, RefinementResult, np.ndarray]:
    """Refine geometry and crystals together against the assigned spots.

    Returns the refined model, the full result (experiments with spots only), and for each experiment of
    `Model.expanded` its number in the result, or -1.
    """
    used = np.unique(assigned.id[assigned.id >= 0])
    expanded = model.expanded()
    number = np.full(len(expanded) + 1, -1, dtype=np.int32)
    number[used] = np.arange(len(used), dtype=np.int32)
    flags = table["flags"] & ~np.uint64(Flags.INDEXED)
    flags[assigned.id >= 0] |= np.uint64(Flags.INDEXED)
    chosen = table.with_columns({"id": number[assigned.id], "miller_index": assigned.index, "flags": flags})
    try:
        result = refine_experiments(expanded.with_items(expanded[int(i)] for i in used), chosen, params=params)
    except ValueError as error:  # of numpy, on numbers that are not finite: wrong indices may drive models anywhere
        raise NoLatticeError("Refinement diverged: the indices do not fit any geometry.") from error
    moved: dict[int, object] = {}
    for i, experiment in zip(used, result.experiments, strict=True):
        before = expanded[int(i)]
        for name in ("beam", "detector", "crystal"):
            moved[id(getattr(before, name))] = getattr(experiment, name)
    geometry = model.experiments.with_items(
        replace(e, beam=moved.get(id(e.beam), e.beam), detector=moved.get(id(e.detector), e.detector))
        for e in model.experiments
    )
    crystals = tuple(moved.get(id(c), c) for c in model.crystals)
    return Model(geometry, crystals), result, number[:-1]  # type: ignore[arg-type]


def remap(model: Model, table: ReflectionTable) -> Spots:
    """The spots by the geometry of the model."""
    return map_spots(model.experiments, table)


def misorientation(first: Crystal, second: Crystal) -> float:
    """The smallest rotation (degrees) that brings one crystal's lattice to the other's; 360 for another lattice."""
    A, B = (c.A @ np.linalg.inv(primitive_basis(c)).T for c in (first, second))
    A, B = reduced_setting(A), reduced_setting(B)
    u, stretch, v = np.linalg.svd(B @ _reduced_bases() @ np.linalg.inv(A))
    same = np.abs(stretch - 1).max(axis=1) < SAME_CELL
    if not same.any():
        return OTHER_LATTICE
    cosines = (np.trace(u[same] @ v[same], axis1=1, axis2=2) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosines.max(), -1, 1))))


@lru_cache(maxsize=1)
def _reduced_bases() -> Float64[np.ndarray, "n 3 3"]:
    """Changes N (A to A N) between reduced bases of a lattice: errors of the cell may have chosen any of them.

    Vectors of one are sums and differences of those of another, each taken at most once.
    """
    changes = np.array(list(itertools.product((-1, 0, 1), repeat=9)), dtype=np.float64).reshape(-1, 3, 3)
    changes = changes[np.abs(np.linalg.det(changes) - 1) < 0.5]
    return np.linalg.inv(changes).transpose(0, 2, 1)


def longest_primitive_edge(cell: gemmi.UnitCell, centring: str) -> float:
    """The longest edge (Angstrom) of the reduced primitive cell."""
    real = np.array(cell.orth.mat.tolist()).T
    return float(np.linalg.norm(primitive_reduced_basis(cell, centring).T @ real, axis=1).max())
