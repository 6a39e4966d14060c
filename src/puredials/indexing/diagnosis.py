"""Why so little is indexed: what files often get wrong is tried, and the evidence for each likely cause is given.

Nothing is tried while most spots are indexed. A wrong geometry blurs the periods of the lattice, so another geometry
deserves to be indexed only if it makes the inner spots clearly more periodic; and it is spoken of only if it then
explains clearly more spots than the present one does.
"""

import numpy as np

from puredials.errors import ProcessingError, PuredialsError
from puredials.execute import SERIAL, Threads
from puredials.indexing.alternatives import EXCHANGED, alternatives
from puredials.indexing.beam_search import beam_centre, search_beam_position
from puredials.indexing.finding import CLEARLY_BETTER, TRIAL_SPOTS, Diagnosis
from puredials.indexing.known_diagnosis import diagnose_known
from puredials.indexing.known_symmetry import Known
from puredials.indexing.lattices import OTHER_LATTICE, Model, misorientation, remap
from puredials.indexing.max_cell import ICE_WIDTH, on_ice_rings
from puredials.indexing.params import IndexParams, KnownSymmetry
from puredials.indexing.reciprocal import map_spots, with_observations
from puredials.indexing.search import find_lattice
from puredials.indexing.trials import Trial, inner, periodicity, trial_lattice
from puredials.model import Experiments, ReflectionTable

__all__ = ["UNEXPLAINED", "Diagnosis", "diagnose", "diagnose_spots", "further_lattice"]

# Causes are looked for when at least this share of the spots is not indexed; lattices that are wrong with the geometry
# may come near to three spots in four. Spots of ice or of a further lattice are spoken of from `MATTERS` on.
UNEXPLAINED, MATTERS = 0.2, 0.1
# Of several causes those are told that are nearly as good as the best.
AS_GOOD = 0.1
# Times as periodic as now that spots must be before another geometry is indexed. Chance alone gives strong periods
# sums that differ by some 10 %.
MORE_PERIODIC, TRIED = 1.3, 2
# An exchanged beam centre is at most this far (px) from where it was meant to be.
EXCHANGED_WITHIN = 5.0
FEW_SPOTS = 50
UNKNOWN = Known(None, None, KnownSymmetry())


def diagnose(
    experiments: Experiments, table: ReflectionTable, share: float, known: Known, params: IndexParams, workers: int
) -> tuple[Diagnosis, ...]:
    """Geometries (of image sets indexed together) that explain clearly more spots than `share`, the best first."""
    wrong = diagnose_known(experiments, inner(experiments, table, TRIAL_SPOTS), known, params, workers)
    if wrong:
        return wrong
    # What is known may be wrong, too, and would then hide what is wrong with the geometry.
    found = _another_geometry(experiments, table, share, params, workers)
    if not found and all(not e.is_still for e in experiments):
        found = _beam_centre(experiments, table, share, params, workers)
    best = max((d.share for d in found), default=0.0)
    return tuple(sorted((d for d in found if d.share > best - AS_GOOD), key=lambda d: -d.share))


def _another_geometry(
    experiments: Experiments, table: ReflectionTable, share: float, params: IndexParams, workers: int
) -> list[Diagnosis]:
    """What is wrong in one of the usual ways."""
    spots = inner(experiments, table, TRIAL_SPOTS)
    others = list(alternatives(experiments))
    now = periodicity(experiments, spots, workers=workers)
    strengths = np.array([periodicity(a.experiments, spots, workers=workers) for a in others])
    found = []
    for k in np.argsort(-strengths, kind="stable")[:TRIED]:
        if strengths[k] < MORE_PERIODIC * now:
            break
        other = others[k]
        trial = trial_lattice(other.experiments, spots, known=UNKNOWN, params=params, workers=workers)
        if trial is None or (other.cause == EXCHANGED and _strayed(other.experiments, trial)):
            continue
        better = trial.share_of(table, _tolerance(params))
        if better > share + CLEARLY_BETTER:
            words = " ".join(f"{name}={value}" for name, value in other.parameters)
            command = f"dials.modify_geometry imported.expt {words}, then dials.index modified.expt strong.refl"
            found.append(Diagnosis(other.cause, better, _with(other.cause, better), command, other.parameters))
    return found


def _strayed(exchanged: Experiments, trial: Trial) -> bool:
    """Whether refinement has moved the beam centre so far that its coordinates were not exchanged: it was elsewhere."""
    return bool(np.abs(beam_centre(trial.model.experiments[0]) - beam_centre(exchanged[0])).max() > EXCHANGED_WITHIN)


def _beam_centre(
    experiments: Experiments, table: ReflectionTable, share: float, params: IndexParams, workers: int
) -> list[Diagnosis]:
    """Whether another beam centre explains clearly more spots."""
    own = table.with_columns({"id": table["imageset_id"].astype(np.int32)})  # there is one experiment to an image set
    try:
        executor = Threads(workers) if workers > 1 else SERIAL
        result = search_beam_position(experiments, own, clearer=MORE_PERIODIC, executor=executor)
    except PuredialsError:
        return []
    spots = inner(experiments, table, TRIAL_SPOTS)
    trial = trial_lattice(result.experiments, spots, known=UNKNOWN, params=params, workers=workers)
    better = trial.share_of(table, _tolerance(params)) if trial else 0.0
    if better <= share + CLEARLY_BETTER:
        return []
    shift = max(result.shifts, key=lambda s: float(np.hypot(*s.px)))
    cause = f"the beam centre moved by {float(np.hypot(*shift.px)):.1f} px"
    command = "dials.search_beam_position imported.expt strong.refl, then dials.index optimised.expt strong.refl"
    return [Diagnosis(cause, better, _with(cause, better), command)]


def _tolerance(params: IndexParams) -> float:
    return params.indexing.index_assignment.simple.hkl_tolerance


def _with(cause: str, share: float) -> str:
    return f"With {cause} {100 * share:.0f} % of the spots are indexed"


def diagnose_spots(experiments: Experiments, table: ReflectionTable, share: float) -> tuple[Diagnosis, ...]:
    """What the spots themselves tell: there are too few, or many are of ice."""
    found = []
    if table.n_rows < FEW_SPOTS:
        evidence = f"There are only {table.n_rows} spots: too few to tell one lattice from another"
        command = "dials.find_spots imported.expt threshold.dispersion.sigma_strong=2, or use more images"
        found.append(Diagnosis("too few spots", share, evidence, command))
    d_star = map_spots(experiments, table).d_star
    on, about = (on_ice_rings(d_star, width).mean() for width in (ICE_WIDTH, 3 * ICE_WIDTH))
    chance = 0.5 * (about - on)  # of the same width beside the rings
    if on - chance > MATTERS:
        evidence = f"{100 * on:.0f} % of the spots are on powder rings of ice, and {100 * chance:.0f} % beside these"
        command = "dials.find_spots imported.expt spotfinder.filter.ice_rings.filter=True"
        found.append(Diagnosis("ice", share, evidence, command))
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
    if angle == OTHER_LATTICE:
        what = f"of another cell ({' '.join(f'{v:.1f}' for v in crystal.unit_cell.parameters)})"
    else:
        what = f"turned by {angle:.1f} degrees"
    number = len(model.crystals) + 1
    command = f"dials.index imported.expt strong.refl max_lattices={number}"
    least = params.indexing.multiple_lattice_search.minimum_angular_separation
    if angle < least:
        command += f" minimum_angular_separation={0.5 * angle:.2g}"
    evidence = f"A further lattice {what} explains {100 * gain:.0f} % of the spots"
    return (Diagnosis("a further lattice", float(indexed.mean()) + gain, evidence, command),)
