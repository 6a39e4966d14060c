"""Crystals on image sets: their bases, how they differ, and their refinement against assigned spots."""

import itertools
from dataclasses import dataclass, replace
from functools import lru_cache

import gemmi
import numpy as np
from jaxtyping import Float64

from puredials.errors import NoLatticeError
from puredials.indexing.reciprocal import Spots, map_spots
from puredials.model import Crystal, Experiments, Flags, ReflectionTable, cell_parameters
from puredials.refinement.params import RefineParams
from puredials.refinement.refining import RefinementResult, refine_experiments
from puredials.symmetry.lattice import primitive_reduced_basis

__all__ = [
    "OTHER_LATTICE",
    "Assigned",
    "Model",
    "misorientation",
    "primitive_basis",
    "primitive_cell",
    "reduced_setting",
    "refine_model",
    "remap",
    "smallest_rotation",
]

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
    rotation = smallest_rotation(A, B)
    if rotation is None:
        return OTHER_LATTICE
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def smallest_rotation(
    first: Float64[np.ndarray, "3 3"], second: Float64[np.ndarray, "3 3"]
) -> Float64[np.ndarray, "3 3"] | None:
    """The smallest rotation that brings one primitive lattice (A) to the other; None if they are not alike."""
    A, B = reduced_setting(first), reduced_setting(second)
    u, stretch, v = np.linalg.svd(B @ _reduced_bases() @ np.linalg.inv(A))
    same = np.abs(stretch - 1).max(axis=1) < SAME_CELL
    if not same.any():
        return None
    turns = u[same] @ v[same]
    return turns[np.argmax(np.trace(turns, axis1=1, axis2=2))]


@lru_cache(maxsize=1)
def _reduced_bases() -> Float64[np.ndarray, "n 3 3"]:
    """Changes N (A to A N) between reduced bases of a lattice: errors of the cell may have chosen any of them.

    Vectors of one are sums and differences of those of another, each taken at most once.
    """
    changes = np.array(list(itertools.product((-1, 0, 1), repeat=9)), dtype=np.float64).reshape(-1, 3, 3)
    changes = changes[np.abs(np.linalg.det(changes) - 1) < 0.5]
    return np.linalg.inv(changes).transpose(0, 2, 1)


def primitive_cell(cell: gemmi.UnitCell, centring: str) -> gemmi.UnitCell:
    """The reduced primitive cell of a conventional one."""
    real = np.array(cell.orth.mat.tolist()).T
    return gemmi.UnitCell(*cell_parameters(np.linalg.inv(primitive_reduced_basis(cell, centring).T @ real)))
