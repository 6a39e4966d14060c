"""Why so little is indexed: what files often get wrong is tried, and the evidence for each likely cause is given.

Nothing is tried while most spots are indexed. A wrong geometry blurs the periods of the lattice, so another geometry
deserves to be indexed only if it makes the inner spots clearly more periodic; and it is spoken of only if it then
explains clearly more spots than the present one does.

One fault is looked for first, then two at once. A wrong beam centre would hide what is gained by a better rotation.
But it moves the spots of one image alike: so rotations are compared by the differences of spots from about the same
image, and the beam centre is then searched for with the best of them only.
"""

from collections.abc import Callable, Iterable

import numpy as np

from puredials.errors import PuredialsError
from puredials.execute import SERIAL, Threads
from puredials.indexing.alternatives import EXCHANGED, Alternative, alternatives, exchanged, rotations
from puredials.indexing.beam_search import beam_centre, search_beam_position
from puredials.indexing.finding import CLEARLY_BETTER, TRIAL_SPOTS, Diagnosis, geometry_commands
from puredials.indexing.known_diagnosis import diagnose_known
from puredials.indexing.known_symmetry import Known
from puredials.indexing.params import IndexParams, KnownSymmetry
from puredials.indexing.trials import Trial, difference_periodicity, inner, periodicity, trial_lattice
from puredials.model import Experiments, ReflectionTable

__all__ = ["UNEXPLAINED", "diagnose"]

# Causes are looked for when at least this share of the spots is not indexed; lattices that are wrong with the geometry
# may come near to three spots in four.
UNEXPLAINED = 0.2
# Of several causes those are told that are nearly as good as the best.
AS_GOOD = 0.1
# Times as periodic as now that spots must be before another geometry is indexed. Chance alone gives strong periods
# sums that differ by some 10 %.
MORE_PERIODIC, TRIED = 1.3, 2
# An exchanged beam centre is at most this far (px) from where it was meant to be.
EXCHANGED_WITHIN = 5.0
UNKNOWN = Known(None, None, KnownSymmetry())


def diagnose(
    experiments: Experiments, table: ReflectionTable, share: float, known: Known, params: IndexParams, workers: int
) -> tuple[Diagnosis, ...]:
    """Geometries (of image sets indexed together) that explain clearly more spots than `share`, the best first."""
    wrong = diagnose_known(experiments, inner(experiments, table, TRIAL_SPOTS), known, params, workers)
    if wrong:
        return wrong
    # What is known may be wrong, too, and would then hide what is wrong with the geometry.
    found = _another_geometry(experiments, table, share, known, params, workers)
    if all(not e.is_still for e in experiments):
        if not found:
            found = _beam_centre(experiments, table, share, known, params, workers)
        one = max((d.share for d in found), default=share)
        if one < 1 - UNEXPLAINED:
            found += _two_faults(experiments, table, one, known, params, workers)
    best = max((d.share for d in found), default=0.0)
    return tuple(sorted((d for d in found if d.share > best - AS_GOOD), key=lambda d: -d.share))


def _another_geometry(
    experiments: Experiments, table: ReflectionTable, share: float, known: Known, params: IndexParams, workers: int
) -> list[Diagnosis]:
    """What is wrong in one of the usual ways."""
    spots = inner(experiments, table, TRIAL_SPOTS)
    found = []
    for other in _more_periodic(periodicity, experiments, alternatives(experiments), spots, workers):
        better = _explained(other, table, spots, params, workers)
        if better > share + CLEARLY_BETTER:
            found.append(_changed(other, better, known))
    return found


def _more_periodic(
    measure: Callable[..., float],
    experiments: Experiments,
    others: Iterable[Alternative],
    spots: ReflectionTable,
    workers: int,
) -> list[Alternative]:
    """Of other geometries the few that make the spots clearly more periodic than they are now, the best first."""
    others, now = list(others), measure(experiments, spots, workers=workers)
    strengths = np.array([measure(other.experiments, spots, workers=workers) for other in others])
    best = np.argsort(-strengths, kind="stable")[:TRIED]
    return [others[k] for k in best if strengths[k] >= MORE_PERIODIC * now]


def _explained(
    other: Alternative, table: ReflectionTable, spots: ReflectionTable, params: IndexParams, workers: int
) -> float:
    """The share of the spots that a geometry explains, by the lattice that the inner `spots` show with it."""
    trial = trial_lattice(other.experiments, spots, known=UNKNOWN, params=params, workers=workers)
    # Coordinates of the beam centre that refinement moves far were not exchanged: it was elsewhere.
    if trial is None or (other.cause.endswith(EXCHANGED) and _strayed(other.experiments, trial)):
        return 0.0
    return trial.share_of(table, params.indexing.index_assignment.simple.hkl_tolerance)


def _strayed(experiments: Experiments, trial: Trial) -> bool:
    """Whether refinement has moved the beam centre farther than such guesses are off."""
    return bool(np.abs(beam_centre(trial.model.experiments[0]) - beam_centre(experiments[0])).max() > EXCHANGED_WITHIN)


def _beam_centre(
    experiments: Experiments, table: ReflectionTable, share: float, known: Known, params: IndexParams, workers: int
) -> list[Diagnosis]:
    """Whether another beam centre explains clearly more spots."""
    same = Alternative("", (), experiments)
    found = _with_beam_centre(same, table, share, known, params, workers, clearer=MORE_PERIODIC)
    return [found] if found is not None else []


def _two_faults(
    experiments: Experiments, table: ReflectionTable, share: float, known: Known, params: IndexParams, workers: int
) -> list[Diagnosis]:
    """Whether another rotation, of another axis, width or both, explains clearly more, or does with a moved beam."""
    spots = inner(experiments, table, TRIAL_SPOTS)
    for rotation in _more_periodic(difference_periodicity, experiments, rotations(experiments), spots, workers):
        best = None
        for other in (rotation, *map(rotation.followed_by, exchanged(rotation.experiments))):
            better = _explained(other, table, spots, params, workers)
            if better > share + CLEARLY_BETTER:
                best = _changed(other, better, known)
                break
        # A better rotation alone may index a part of the spots where the beam centre is wrong as well.
        if best is None or best.share < 1 - UNEXPLAINED:
            reached = best.share if best else share
            best = _with_beam_centre(rotation, table, reached, known, params, workers) or best
        if best is not None:
            return [best]
    return []


def _with_beam_centre(
    other: Alternative,
    table: ReflectionTable,
    share: float,
    known: Known,
    params: IndexParams,
    workers: int,
    *,
    clearer: float = 0.0,
) -> Diagnosis | None:
    """Whether a geometry with another beam centre explains clearly more spots, if it makes them so much clearer."""
    own = table.with_columns({"id": table["imageset_id"].astype(np.int32)})  # there is one experiment to an image set
    try:
        executor = Threads(workers) if workers > 1 else SERIAL
        result = search_beam_position(other.experiments, own, clearer=clearer, executor=executor)
    except PuredialsError:
        return None
    shift = max(float(np.hypot(*s.px)) for s in result.shifts)
    moved = Alternative(f"the beam centre moved by {shift:.1f} px", (), result.experiments)
    better = _explained(moved, table, inner(result.experiments, table, TRIAL_SPOTS), params, workers)
    if better <= share + CLEARLY_BETTER:
        return None
    return _changed(other.followed_by(moved), better, known, search_beam=True)


def _changed(other: Alternative, share: float, known: Known, *, search_beam: bool = False) -> Diagnosis:
    """That with another geometry a share of the spots is indexed."""
    evidence = f"With {other.cause} {100 * share:.0f} % of the spots are indexed"
    commands = geometry_commands(other.parameters, known.words, search_beam=search_beam)
    return Diagnosis(other.cause, share, evidence, commands, other.parameters, search_beam)
