"""Which node is the origin of reciprocal space, when the geometry leaves that open.

With a wrong beam centre or distance the spots still form a lattice, but its nodes miss the origin, and the indices of
all spots may be wrong by the same small integers. The lattice is fitted with a free offset, which gives relative
indices h' of all spots; then the true indices are h' + n. For each n within reach of a plausible error the geometry is
refined, and the one that explains the spots best is taken.
"""

import itertools

import numpy as np
from jaxtyping import Float64, Int64

from puredials.errors import ProcessingError
from puredials.indexing.lattices import Assigned, Model, refine_model, remap
from puredials.indexing.reciprocal import Spots
from puredials.indexing.score import evidence, fit_setting, nodes
from puredials.model import Experiment, ReflectionTable
from puredials.refinement.params import RefineParams

__all__ = ["settle_origin"]

# Offsets below this many indices round to the right node.
AMBIGUOUS = 0.25
MAX_SPOTS = 1000  # that a trial is refined against
REACH_MM = 5.0
MAX_TRIALS = 40
MAX_INDEX = 3


def settle_origin(
    model: Model, spots: Spots, table: ReflectionTable, offset: Float64[np.ndarray, "s 3"], params: RefineParams
) -> tuple[Model, Spots]:
    """The model (of one crystal, at the end) with a geometry that agrees with the origin, and its spots.

    The image set with the most spots decides; those that share its beam and detector follow.
    """
    counts = np.bincount(spots.imageset, minlength=len(offset))
    for number in np.argsort(-counts, kind="stable"):
        own = spots.imageset == number
        A = model.crystals[-1].A
        if np.abs(offset[number]).max() < AMBIGUOUS or own.sum() < 20:
            continue
        model = _best_shift(model, spots, table, offset[number], own, params)
        spots = remap(model, table)
        A = model.crystals[-1].A
        free, points = fit_setting(spots.rlp, A, sets=spots.imageset, n_steps=2)
        shift = spots.rlp - points
        offset = (
            np.array([shift[spots.imageset == s][0] if counts[s] else np.zeros(3) for s in range(len(offset))])
            @ np.linalg.inv(free).T
        )
    return model, spots


def _best_shift(
    model: Model, spots: Spots, table: ReflectionTable, offset: np.ndarray, own: np.ndarray, params: RefineParams
) -> Model:
    """The model refined with the shift of indices that explains the spots of one image set best."""
    A = model.crystals[-1].A
    first = (len(model.crystals) - 1) * len(model.experiments)
    relative, misfit = nodes(spots.rlp - (A @ offset), A)
    close = own & (misfit < 0.3)
    best, best_bits = model, -np.inf
    rows = np.flatnonzero(close)
    rows = rows[:: max(len(rows) // MAX_SPOTS, 1)]
    table, relative, sets = table.select(rows), relative[rows], spots.imageset[rows]
    for n in _shifts(A, offset, model.experiments[int(sets[0])]):
        index = relative + n.astype(np.int32)
        good = index.any(axis=1)
        id = np.where(good, first + sets, -1).astype(np.int32)
        try:
            trial = refine_model(model, table, Assigned(id, np.where(good[:, None], index, 0)), params)[0]
        except ProcessingError:
            continue
        bits = evidence(remap(trial, table).rlp, trial.crystals[-1].A).bits
        if bits > best_bits:
            best, best_bits = trial, bits
    return best


def _shifts(A: Float64[np.ndarray, "3 3"], offset: np.ndarray, experiment: Experiment) -> Int64[np.ndarray, "n 3"]:
    """Shifts n, those first that leave the smallest error of the geometry: |A (offset - n)|."""
    reach = REACH_MM / (abs(experiment.detector[0].distance) * experiment.beam.wavelength)
    grid = np.array(list(itertools.product(range(-MAX_INDEX, MAX_INDEX + 1), repeat=3)), dtype=np.int64)
    grid = grid + np.rint(offset).astype(np.int64)
    error = np.linalg.norm((offset - grid) @ A.T, axis=1)
    order = np.argsort(error, kind="stable")[:MAX_TRIALS]
    return grid[order[: max(int((error[order] <= reach).sum()), 8)]]
