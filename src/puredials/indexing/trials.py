"""A geometry on trial: how periodic the spots are by it, and the lattice that they show."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from puredials.errors import ProcessingError
from puredials.indexing.fft3d import POINTS_PER_MAX_CELL, find_basis_vectors
from puredials.indexing.known_symmetry import Known
from puredials.indexing.lattices import Model, remap
from puredials.indexing.max_cell import estimate_max_cell
from puredials.indexing.params import Fft3d, Grid, IndexParams, MaxCellParams
from puredials.indexing.reciprocal import Spots, map_spots, with_observations
from puredials.indexing.score import n_indexed
from puredials.indexing.search import find_lattice
from puredials.model import Crystal, Experiments, ReflectionTable

__all__ = ["MAX_CELL", "Trial", "difference_periodicity", "inner", "periodicity", "trial_lattice"]

MAX_CELL = MaxCellParams()
GRID_POINTS = 96  # along each edge, of the transform that tells how periodic spots are
PERIODS = 12  # the strongest ones, that tell it
PERIODIC_SPOTS = 3000
# Spots that follow each one in the sweep, whose differences from it are taken.
DIFFERENCES = 5
# Spots that a trial's lattice is looked for in; its transform is as small as these allow.
TRANSFORMED_SPOTS, SMALLEST_GRID = 2000, 64


@dataclass(frozen=True, eq=False)
class Trial:
    """The best lattice of a geometry: the refined model, and how well it explains the spots that it was found with.

    `bits` per spot and `share` are those of `score.Evidence`.
    """

    model: Model
    bits: float
    share: float

    @property
    def crystal(self) -> Crystal:
        return self.model.crystals[-1]

    def share_of(self, table: ReflectionTable, tolerance: float) -> float:
        """The share of these spots that is within `tolerance` of a node of the lattice."""
        return n_indexed(remap(self.model, table).rlp, self.crystal.A, tolerance) / table.n_rows


def inner(experiments: Experiments, table: ReflectionTable, most: int) -> ReflectionTable:
    """The spots of lowest resolution, `most` of them: they keep the neighbours that tell the longest cell edge."""
    if table.n_rows <= most:
        return table
    d_star = map_spots(experiments, table).d_star
    return table.select(np.sort(np.argsort(d_star, kind="stable")[:most]))


def periodicity(
    experiments: Experiments,
    table: ReflectionTable,
    *,
    max_cell: float | None = None,
    d_min: float | None = None,
    workers: int = 1,
) -> float:
    """How periodic the spots are: the sum of the squared amplitudes of the strongest periods, in units of chance."""
    return _periodicity(map_spots(experiments, table), max_cell, d_min, workers)


def difference_periodicity(experiments: Experiments, table: ReflectionTable, *, workers: int = 1) -> float:
    """The same of the differences between spots from about the same image, which no beam centre changes much.

    A wrong beam centre adds one vector of the laboratory to all spots, the same in spots of one image.
    """
    spots = map_spots(experiments, inner(experiments, table, PERIODIC_SPOTS))
    order = np.lexsort((spots.phi, spots.imageset))
    first = np.repeat(order, DIFFERENCES)
    place = np.repeat(np.arange(len(order)), DIFFERENCES) + np.tile(np.arange(1, DIFFERENCES + 1), len(order))
    there = place < len(order)
    first, second = first[there], order[place[there]]
    same = spots.imageset[first] == spots.imageset[second]
    first, second = first[same], second[same]
    rlp = spots.rlp[second] - spots.rlp[first]
    differences = replace(spots.select(first), rlp=rlp, d_star=np.linalg.norm(rlp, axis=1))
    try:
        longest = estimate_max_cell(spots, MAX_CELL)
    except ProcessingError:
        return 0.0
    return _periodicity(differences, longest, None, workers, most=len(first))


def _periodicity(
    spots: Spots, max_cell: float | None, d_min: float | None, workers: int, *, most: int = PERIODIC_SPOTS
) -> float:
    fft = Fft3d(reciprocal_space_grid=Grid(n_points=GRID_POINTS, d_min=d_min))
    try:
        longest = max_cell or estimate_max_cell(spots, MAX_CELL)
        rank = np.argsort(spots.d_star, kind="stable")[:most]
        basis = find_basis_vectors(spots.select(rank), longest, fft, most=2 * PERIODS, workers=workers)
    except ProcessingError:
        return 0.0
    return float((np.sort(basis.amplitudes)[::-1][:PERIODS] ** 2).sum()) * basis.n_used


def trial_lattice(
    experiments: Experiments, table: ReflectionTable, *, known: Known, params: IndexParams, workers: int = 1
) -> Trial | None:
    """The best lattice that the spots show by this geometry, which is refined with it; None if there is none."""
    model = Model(experiments.with_items(replace(e, crystal=None) for e in experiments), ())
    spots = map_spots(model.experiments, table)
    view = with_observations(model.experiments, table.without(["shoebox"]), spots)
    free = np.ones(table.n_rows, dtype=bool)
    try:
        max_cell = params.indexing.max_cell or estimate_max_cell(spots, params.indexing.max_cell_estimation)
        small = _with_grid(params, max_cell, np.sort(spots.d_star))
        found = find_lattice(model, spots, view, free, max_cell, known, small, workers)
    except ProcessingError:
        return None
    best = found.candidates[0].evidence
    return Trial(found.models[0], best.bits, best.share)


def _with_grid(params: IndexParams, max_cell: float, d_star: np.ndarray) -> IndexParams:
    """The parameters with a grid no larger than needed for the innermost `TRANSFORMED_SPOTS`."""
    largest = params.indexing.fft3d.reciprocal_space_grid.n_points
    d_min = 1 / d_star[min(len(d_star), TRANSFORMED_SPOTS) - 1]
    points = int(np.clip(np.ceil(POINTS_PER_MAX_CELL * max_cell / d_min), SMALLEST_GRID, largest))
    points = min(scipy.fft.next_fast_len(points, real=True) or largest, largest)
    grid = params.indexing.fft3d.reciprocal_space_grid.model_copy(update={"n_points": points})
    fft = params.indexing.fft3d.model_copy(update={"reciprocal_space_grid": grid})
    return params.model_copy(update={"indexing": params.indexing.model_copy(update={"fft3d": fft, "method": "fft3d"})})
