"""Why so little is indexed: what the spots themselves tell, and further lattices. See also `geometry_diagnosis`."""

import numpy as np

from puredials.errors import ProcessingError
from puredials.indexing.finding import EXPERIMENTS, Diagnosis, index_command
from puredials.indexing.known_symmetry import Known
from puredials.indexing.lattices import OTHER_LATTICE, Model, misorientation, primitive_cell, remap
from puredials.indexing.max_cell import ICE_WIDTH, on_ice_rings
from puredials.indexing.params import IndexParams
from puredials.indexing.reciprocal import map_spots, with_observations
from puredials.indexing.search import find_lattice
from puredials.model import Experiments, ReflectionTable

__all__ = ["diagnose_spots", "further_lattice"]

# Spots of ice or of a further lattice are spoken of from `MATTERS` on.
MATTERS = 0.1
FEW_SPOTS = 50


def diagnose_spots(experiments: Experiments, table: ReflectionTable, share: float) -> tuple[Diagnosis, ...]:
    """What the spots themselves tell: there are too few, or many are of ice."""
    found = []
    if table.n_rows < FEW_SPOTS:
        evidence = (
            f"There are only {table.n_rows} spots: too few to tell one lattice from another; use more images, or "
            "weaker spots"
        )
        command = f"dials.find_spots {EXPERIMENTS} threshold.dispersion.sigma_strong=2"
        found.append(Diagnosis("too few spots", share, evidence, (command,)))
    d_star = map_spots(experiments, table).d_star
    on, about = (on_ice_rings(d_star, width).mean() for width in (ICE_WIDTH, 3 * ICE_WIDTH))
    chance = 0.5 * (about - on)  # of the same width beside the rings
    if on - chance > MATTERS:
        evidence = f"{100 * on:.0f} % of the spots are on powder rings of ice, and {100 * chance:.0f} % beside these"
        command = f"dials.find_spots {EXPERIMENTS} spotfinder.filter.ice_rings.filter=True"
        found.append(Diagnosis("ice", share, evidence, (command,)))
    return tuple(found)


def further_lattice(
    model: Model,
    table: ReflectionTable,
    indexed: np.ndarray,
    max_cell: float,
    known: Known,
    params: IndexParams,
    workers: int,
) -> tuple[Diagnosis, ...]:
    """Whether a lattice beside those of the `model` explains spots that are not `indexed`."""
    free = ~indexed
    spots = remap(model, table)
    try:
        view = with_observations(model.experiments, table.without(["shoebox"]), spots)
        found = find_lattice(model, spots, view, free, max_cell, known, params, workers)
    except ProcessingError:
        return ()
    gain = found.candidates[0].evidence.share * float(free.mean())
    crystal = found.models[0].crystals[-1]
    if gain < MATTERS or min(crystal.unit_cell.parameters[:3]) < params.indexing.min_cell:
        return ()
    angle = min(misorientation(c, crystal) for c in model.crystals)
    if angle < _resolved_angle(model, float(spots.d_star.max()), params):
        return ()
    if angle == OTHER_LATTICE:
        what = f"of another cell ({' '.join(f'{v:.1f}' for v in crystal.unit_cell.parameters)})"
    else:
        what = f"turned by {angle:.1f} degrees"
    number = len(model.crystals) + 1
    words = [*known.words, f"max_lattices={number}"]
    least = params.indexing.multiple_lattice_search.minimum_angular_separation
    if angle < least:
        words.append(f"minimum_angular_separation={0.5 * angle:.2g}")
    evidence = f"A further lattice {what} explains {100 * gain:.0f} % of the spots"
    return (Diagnosis("a further lattice", float(indexed.mean()) + gain, evidence, (index_command(*words),)),)


def _resolved_angle(model: Model, d_star: float, params: IndexParams) -> float:
    """The least angle, degrees, between lattices that are told apart: of less, each would index the other's outermost
    spots."""
    cells = [primitive_cell(c.unit_cell, c.operations.find_centering()) for c in model.crystals]
    longest = max(edge for cell in cells for edge in cell.parameters[:3])
    return float(np.degrees(params.indexing.index_assignment.simple.hkl_tolerance / (longest * d_star)))
