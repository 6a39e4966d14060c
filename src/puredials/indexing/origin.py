"""Which node is the origin of reciprocal space, when the geometry leaves that open.

With a wrong beam centre or distance the spots still form a lattice, but its nodes miss the origin, and the indices of
all spots may be wrong by the same small integers. The lattice is fitted with a free offset, which gives relative
indices h' of all spots; then the true indices are h' + n. For each n within reach of a plausible error the geometry is
refined, and the one that explains the spots best is taken. An error of one whole node leaves no offset, so that the
neighbours of the recorded origin are always tried: with a true lattice but another node the geometry fits much worse.
"""

import itertools

import numpy as np
from jaxtyping import Float64, Int64

from puredials.errors import ProcessingError
from puredials.geometry import s1_to_rlp
from puredials.indexing.lattices import Assigned, Model, refine_model, remap
from puredials.indexing.reciprocal import Spots
from puredials.indexing.score import evidence, fit_setting, nodes
from puredials.model import Experiment, ReflectionTable
from puredials.refinement.params import RefineParams

__all__ = ["settle_origin"]

# Offsets below this many indices round to the right node, once the geometry was refined.
AMBIGUOUS = 0.25
# Errors of recorded beam centres (mm, r.m.s.), before the spots are looked at.
USUAL_ERROR_MM = 1.0
MAX_SPOTS = 1000  # that a trial is refined against
REACH_MM = 8.0
MAX_TRIALS = 40
MAX_INDEX, FARTHEST_INDEX = 3, 16


def settle_origin(
    model: Model, spots: Spots, table: ReflectionTable, offset: Float64[np.ndarray, "s 3"], params: RefineParams
) -> tuple[Model, Spots]:
    """The model (of one crystal, at the end) with a geometry that agrees with the origin, and its spots.

    The image set with the most spots decides; those that share its beam and detector follow.
    """
    detectors = [id(e.detector) for e in model.experiments]
    settled: set[int] = set()
    counts = np.bincount(spots.imageset, minlength=len(offset))
    for number in np.argsort(-counts, kind="stable"):
        own = spots.imageset == number
        known = detectors[number] in settled or model.experiments[int(number)].is_still
        if own.sum() < 20 or (known and np.abs(offset[number]).max() < AMBIGUOUS):
            continue
        settled.add(detectors[number])
        better = _best_shift(model, spots, table, offset[number], own, params)
        if better is model:
            continue
        model = better
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
    """The model refined with the shift of indices that explains the spots of one image set best; if the recorded origin
    does, the model as it is: its refinement is to start there."""
    A = model.crystals[-1].A
    first = (len(model.crystals) - 1) * len(model.experiments)
    relative, misfit = nodes(spots.rlp - (A @ offset), A)
    close = own & (misfit < 0.3)
    best, best_shift, best_bits = model, np.zeros(3), -np.inf
    rows = np.flatnonzero(close)
    rows = rows[:: max(len(rows) // MAX_SPOTS, 1)]
    table, relative, sets = table.select(rows), relative[rows], spots.imageset[rows]
    shifts, errors = _shifts(A, offset, model.experiments[int(sets[0])])
    for n, error in zip(shifts, errors, strict=True):
        index = relative + n.astype(np.int32)
        good = index.any(axis=1)
        id = np.where(good, first + sets, -1).astype(np.int32)
        try:
            trial = refine_model(model, table, Assigned(id, np.where(good[:, None], index, 0)), params)[0]
        except ProcessingError:
            continue
        bits = len(rows) * evidence(remap(trial, table).rlp, trial.crystals[-1].A).bits
        bits -= (error / USUAL_ERROR_MM) ** 2 / np.log(4)
        if bits > best_bits:
            best, best_shift, best_bits = trial, n, bits
    return best if best_shift.any() or np.abs(offset).max() >= AMBIGUOUS else model


def _shifts(
    A: Float64[np.ndarray, "3 3"], offset: np.ndarray, experiment: Experiment
) -> tuple[Int64[np.ndarray, "n 3"], Float64[np.ndarray, " n"]]:
    """Shifts n, those first that leave the smallest error of the geometry: |A (offset - n)|; and these errors (mm).

    Beyond the nearest ones, only those matter whose error is along the rotation axis: others blur the lattice.
    """
    to_lattice = 1 / (abs(experiment.detector[0].distance) * experiment.beam.wavelength)
    edges = np.linalg.norm(np.linalg.inv(A), axis=1)
    most = np.clip(np.ceil(REACH_MM * to_lattice * edges).astype(int), MAX_INDEX, FARTHEST_INDEX)
    grid = np.array(list(itertools.product(*(range(-m, m + 1) for m in most))), dtype=np.int64)
    grid = grid + np.rint(offset).astype(np.int64)
    vectors = (offset - grid) @ A.T
    error = np.linalg.norm(vectors, axis=1)
    order = np.argsort(error, kind="stable")
    near = order[:MAX_TRIALS]
    near = near[: max(int((error[near] <= REACH_MM * to_lattice).sum()), 8)]
    if experiment.goniometer is None:
        return grid[near], error[near] / to_lattice
    s0, axis = experiment.beam.s0, experiment.goniometer.rotation_axis
    axis = s1_to_rlp((s0 + axis)[None], np.zeros(1), experiment.beam, experiment.goniometer)[0]
    across = np.linalg.norm(vectors - np.outer(vectors @ axis, axis), axis=1)
    spacing = abs(np.linalg.det(A)) ** (1 / 3)
    along = order[(across[order] < spacing) & (error[order] <= REACH_MM * to_lattice)]
    chosen = np.concatenate([near, along[~np.isin(along, near)][:MAX_TRIALS]])
    return grid[chosen], error[chosen] / to_lattice
