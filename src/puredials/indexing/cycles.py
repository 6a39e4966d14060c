"""Macrocycles: assignment of indices and refinement, to ever higher resolution, until both settle."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from puredials.errors import NoLatticeError, TooFewReflectionsError
from puredials.indexing.assignment import assign
from puredials.indexing.lattices import Assigned, Model, refine_model, remap
from puredials.indexing.params import IndexParams, Protocol
from puredials.indexing.reciprocal import Spots
from puredials.model import Crystal, ReflectionTable
from puredials.refinement.params import RefineParams
from puredials.refinement.refining import RefinementResult

__all__ = ["Cycle", "run_cycles"]

# Cycles end when fewer than this share of the spots change their index and no RMSD changes by more than that share.
SETTLED, SETTLED_RMSD = 1e-3, 1e-2
# Spots beyond the resolution of the Fourier transform are met at once if they are fewer than this share.
FEW = 0.05
LARGEST_VOLUME_CHANGE = 0.5


@dataclass(frozen=True, eq=False)
class Cycle:
    """One macrocycle.

    Attributes:
        d_min: resolution limit, Angstrom; 0 for all spots.
        crystals_before, crystals: before and after refinement.
        assigned: indices before refinement; result: of refinement, whose experiments are those with spots.
        number: for each crystal and image set, in order, its experiment in `result`, or -1.
    """

    d_min: float
    crystals_before: tuple[Crystal, ...]
    crystals: tuple[Crystal, ...]
    assigned: Assigned
    result: RefinementResult
    number: np.ndarray


def run_cycles(
    model: Model, table: ReflectionTable, params: IndexParams, d_min_grid: float
) -> tuple[Model, Spots, tuple[Cycle, ...]]:
    """Refine the model; also returns the spots by its geometry, and the cycles."""
    protocol = params.indexing.refinement_protocol
    spots = remap(model, table)
    limits = _limits(protocol, d_min_grid, spots.d_star)
    cycles: list[Cycle] = []
    for d_min in limits:
        within = spots.d_star <= (1 / d_min if d_min > 0 else np.inf)
        assigned = assign(model, spots, params.indexing.index_assignment, within=within)
        if len(cycles) > 1 and d_min == cycles[-1].d_min and _settled(assigned, cycles[-2:]):
            break
        refined, result, number = _refine(model, table, assigned, params.refinement.full())
        if not protocol.disable_unit_cell_volume_sanity_check:
            _check_volumes(model.crystals, refined.crystals)
        cycles.append(Cycle(d_min, model.crystals, refined.crystals, assigned, result, number))
        model = refined
        spots = remap(model, table)
    return model, spots, tuple(cycles)


def _limits(protocol: Protocol, d_min_grid: float, d_star: Float64[np.ndarray, " n"]) -> list[float]:
    """Resolution limits of the cycles; 0 stands for all spots."""
    n = protocol.n_macro_cycles
    smallest = float(1 / d_star.max())
    final = protocol.d_min_final if protocol.d_min_final is not None else 0.0
    start = protocol.d_min_start
    if start is None:
        start = final if (d_star > 1 / d_min_grid).mean() < FEW else d_min_grid
    step = protocol.d_min_step
    if step is None:
        step = max(start - max(final, smallest), 0.0) / max(n - 1, 1)
    limits = [max(start - i * step, final) for i in range(n)]
    return [final if d <= max(final, smallest) * (1 + 1e-6) else d for d in limits]


def _settled(new: Assigned, last: list[Cycle]) -> bool:
    """Whether all but a few spots keep crystal and index, and the last refinement brought next to nothing."""
    old = last[-1].assigned
    changed = (new.id != old.id) | (new.index != old.index).any(axis=1)
    before, after = ([v for r in c.result.rmsds for v in (r.x, r.y, r.z)] for c in last)
    if len(before) != len(after):
        return False
    steady = np.allclose(before, after, rtol=SETTLED_RMSD, atol=1e-9)
    return bool(changed.sum() <= SETTLED * max(new.n, 1)) and steady


def _refine(
    model: Model, table: ReflectionTable, assigned: Assigned, params: RefineParams
) -> tuple[Model, RefinementResult, np.ndarray]:
    """Refine as asked; with too few reflections in some experiment to judge outliers there, judge all together."""
    try:
        return refine_model(model, table, assigned, params)
    except TooFewReflectionsError:
        values = params.model_dump()
        values["reflections"]["outlier"].update(separate_experiments=False, separate_blocks=False)
        return refine_model(model, table, assigned, RefineParams.model_validate(values))


def _check_volumes(before: tuple[Crystal, ...], after: tuple[Crystal, ...]) -> None:
    for old, new in zip(before, after, strict=True):
        change = new.unit_cell.volume / old.unit_cell.volume
        if not 1 - LARGEST_VOLUME_CHANGE < change < 1 + LARGEST_VOLUME_CHANGE:
            raise NoLatticeError(
                f"The cell's volume changed from {old.unit_cell.volume:.0f} to {new.unit_cell.volume:.0f} Angstrom^3 "
                "in refinement: the lattice is not right; try another max_cell, or check the beam centre and distance."
            )
