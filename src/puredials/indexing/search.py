"""The search for one lattice: candidates, each with the geometry that suits it, and the one that explains most."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from puredials.errors import NoLatticeError, ParameterError, ProcessingError
from puredials.indexing.assignment import assign
from puredials.indexing.candidates import Candidate, candidate, find_candidates, same_lattice, without_absences
from puredials.indexing.fft1d import find_directional_vectors
from puredials.indexing.fft3d import BasisVectors, find_basis_vectors
from puredials.indexing.grid_search import find_vectors_of_lengths
from puredials.indexing.known_symmetry import Known
from puredials.indexing.lattices import (
    OTHER_LATTICE,
    Assigned,
    Model,
    misorientation,
    reduced_setting,
    refine_model,
    remap,
)
from puredials.indexing.origin import settle_origin
from puredials.indexing.params import IndexingParams, IndexParams
from puredials.indexing.reciprocal import Spots
from puredials.indexing.score import evidence
from puredials.model import Crystal, ReflectionTable
from puredials.refinement.params import RefineParams

__all__ = ["Found", "find_lattice", "quick_refinement"]

# Shares of the spots, inner ones first, that a candidate is refined against.
SHELLS = (0.5, 1.0)
# Candidates, the best ones, whose offset from the origin is looked into.
ORIGINS_TRIED = 3
QUICK_SAMPLE, QUICK_ITERATIONS = 1000, 10
# A refined candidate that explains this share of the spots, and each of them this many bits better, has no rival.
CONVINCING_SHARE, CONVINCING_BITS = 0.9, 3.0
# Bits that the best of many lattices may gain from all spots together although they have no order.
CHANCE_BITS = 200.0


@dataclass(frozen=True, eq=False)
class Found:
    """Lattices that explain the spots, the best first: `models`, each with its crystal last, and all candidates."""

    models: tuple[Model, ...]
    candidates: tuple[Candidate, ...]
    basis: BasisVectors


def quick_refinement(params: RefineParams) -> RefineParams:
    """For candidates: a sample of the spots, few steps, and no demands on the number of reflections."""
    values = params.model_dump()
    values["refinery"]["max_iterations"] = QUICK_ITERATIONS
    values["parameterisation"]["auto_reduction"]["action"] = "fix"
    reflections = values["reflections"]
    reflections.update(maximum_sample_size=QUICK_SAMPLE)
    reflections["outlier"].update(
        algorithm="tukey", separate_experiments=False, separate_blocks=False, minimum_number_of_reflections=10
    )
    reflections["outlier"]["tukey"]["iqr_multiplier"] = 2.0
    return RefineParams.model_validate(values)


def find_lattice(
    model: Model,
    spots: Spots,
    table: ReflectionTable,
    free: np.ndarray,
    max_cell: float,
    known: Known,
    params: IndexParams,
    workers: int,
) -> Found:
    """The lattices that explain the `free` spots best.

    Raises NoLatticeError if there is none, or none that has the known cell and symmetry.
    """
    p = params.indexing
    own = spots.select(free)
    basis = _basis(own, max_cell, known, p, workers)
    inner = own.select(own.d_star <= 1 / basis.d_min)
    candidates = find_candidates(inner, basis, p)
    if not candidates:
        raise NoLatticeError(
            f"The {basis.n_used} spots to {basis.d_min:.2f} Angstrom show no three-dimensional period up to "
            f"{max_cell:.0f} Angstrom; check the beam centre and the rotation axis, or set max_cell."
        )
    fitting = [c for c in candidates if known.crystal(c.A) is not None]
    if not fitting:
        cells = "; ".join(" ".join(f"{v:.1f}" for v in c.cell) for c in candidates[:3])
        raise NoLatticeError(
            f"No lattice found has the known unit cell and space group; the best primitive cells are {cells}: "
            "index without unit_cell and space_group, or with wider tolerances."
        )
    settled: list[tuple[Model, Candidate]] = []
    for c in fitting:
        if not settled or not _uncontested(max((s for _, s in settled), key=lambda s: s.evidence.bits), c):
            # Where many lattices compete none is clear, and another origin would not make it so.
            origin_open = len(settled) < ORIGINS_TRIED
            settled.append(_settled(model, c, spots, table, free, params, origin_open))
    price = 3 * np.log2(max(len(own.rlp), 2)) / max(len(own.rlp), 1)
    settled = _distinct(settled, lambda c: -c.evidence.bits + (price if _new_cell(c, model) else 0.0))
    models = []
    for refined, found in settled:
        crystal = known.crystal(found.A)
        if crystal is not None and found.evidence.bits * len(own.rlp) >= CHANCE_BITS:
            models.append(refined.with_crystals((*refined.crystals[:-1], crystal)))
    if models:
        return Found(tuple(models), tuple(c for _, c in settled), basis)
    best = settled[0][1]
    raise NoLatticeError(
        f"No lattice explains the spots better than chance would: the best cell, "
        f"{' '.join(f'{v:.1f}' for v in best.cell)}, comes near {100 * best.share_indexed:.0f} % of them; check the "
        "beam centre, the rotation axis and its direction."
    )


def _basis(own: Spots, max_cell: float, known: Known, p: IndexingParams, workers: int) -> BasisVectors:
    """Vectors of the lattice, by the method asked for."""
    match p.method:
        case "fft1d":
            return find_directional_vectors(own, max_cell, p.fft1d, min_cell=p.min_cell)
        case "real_space_grid_search":
            if known.unit_cell is None:
                raise ParameterError("method=real_space_grid_search needs the known cell: give unit_cell=a,b,c,...")
            cells = known.primitive_cells
            return find_vectors_of_lengths(own, cells, p.real_space_grid_search, min_cell=p.min_cell)
        case _:
            return find_basis_vectors(own, max_cell, p.fft3d, min_cell=p.min_cell, workers=workers)


def _uncontested(best: Candidate, rival: Candidate) -> bool:
    """Whether the best candidate so far, refined, is so good that a rival before refinement need not be tried."""
    return best.evidence.share > CONVINCING_SHARE and best.evidence.bits > rival.evidence.bits + CONVINCING_BITS


def _new_cell(found: Candidate, model: Model) -> bool:
    """Whether a further lattice has a cell of its own: its six parameters must pay, half of log2 n bits for each."""
    return bool(model.crystals) and all(misorientation(c, Crystal(found.A)) == OTHER_LATTICE for c in model.crystals)


def _distinct(
    settled: list[tuple[Model, Candidate]], cost: Callable[[Candidate], float]
) -> list[tuple[Model, Candidate]]:
    """Cheapest first; candidates that became the same lattice in refinement once."""
    kept: list[tuple[Model, Candidate]] = []
    for model, found in sorted(settled, key=lambda pair: cost(pair[1])):
        if not any(same_lattice(other.A, found.A) for _, other in kept):
            kept.append((model, found))
    return kept


def _settled(
    model: Model,
    found: Candidate,
    spots: Spots,
    table: ReflectionTable,
    free: np.ndarray,
    params: IndexParams,
    origin_open: bool,
) -> tuple[Model, Candidate]:
    """The candidate after refinement of crystal and geometry against inner spots, then all; as it was if that fails."""
    refinement = quick_refinement(params.refinement.full())
    trial = model.with_crystals((*model.crystals, Crystal(found.A)))
    rmsd = None
    own_spots, own_table = spots.select(free), table.select(free)
    now = own_spots
    try:
        if origin_open:
            trial, now = settle_origin(trial, own_spots, own_table, found.offset, refinement)
        for share in SHELLS:
            reduced = reduced_setting(without_absences(now.rlp, trial.crystals[-1].A))
            trial = trial.with_crystals((*trial.crystals[:-1], Crystal(reduced)))
            only = Model(trial.experiments, trial.crystals[-1:])
            within = now.d_star <= np.quantile(now.d_star, share)
            assigned = assign(only, now, params.indexing.index_assignment, within=within)
            shift = (len(trial.crystals) - 1) * len(trial.experiments)
            id = np.where(assigned.id >= 0, assigned.id + shift, -1).astype(np.int32)
            trial, result, _ = refine_model(trial, own_table, Assigned(id, assigned.index), refinement)
            last = result.history[-1].steps[-1]
            rmsd = float(np.hypot(last.x, last.y))
            now = remap(trial, own_table)
    except ProcessingError:
        if rmsd is None:
            trial, now = model.with_crystals((*model.crystals, Crystal(found.A))), own_spots
    A = trial.crystals[-1].A
    better = candidate(now, now.rlp, A, len(trial.experiments), params.indexing)
    if rmsd is None or better.evidence.bits < evidence(own_spots.rlp, found.A).bits:
        trial = model.with_crystals((*model.crystals, Crystal(found.A)))
        better = candidate(own_spots, own_spots.rlp, found.A, len(trial.experiments), params.indexing)
    return trial, replace(better, rmsd_xy=rmsd)
