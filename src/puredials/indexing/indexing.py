"""Indexing: crystals, and the Miller indices of strong spots (Gildea et al. 2014, Acta D70, 2652; Steller et al. 1997).

Spots are mapped to reciprocal space; the distances of neighbours give the longest cell edge to expect; peaks of the
three-dimensional Fourier transform are lattice vectors; triplets of these are candidate lattices, which are fitted, and
refined together with the geometry; the one that explains the spots in the fewest bits is taken. Then indices are
assigned and models refined in macrocycles.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from puredials.errors import NoLatticeError, ProcessingError
from puredials.execute import SERIAL, Executor
from puredials.indexing.candidates import Candidate
from puredials.indexing.cycles import Cycle, run_cycles
from puredials.indexing.diagnosis import diagnose_spots, further_lattice
from puredials.indexing.finding import Diagnosis, advice_text, index_command
from puredials.indexing.geometry_diagnosis import UNEXPLAINED, diagnose
from puredials.indexing.joint_fit import diagnose_apart, diagnose_joint
from puredials.indexing.known_symmetry import Known, known_symmetry
from puredials.indexing.lattices import Model, misorientation, remap
from puredials.indexing.max_cell import estimate_max_cell
from puredials.indexing.params import IndexParams
from puredials.indexing.reciprocal import Spots, map_spots, one_per_set, strong_spots, with_observations
from puredials.indexing.search import Found, find_lattice
from puredials.indexing.unrecorded import diagnose_stills
from puredials.model import Crystal, Experiment, Experiments, ReflectionTable

__all__ = ["GroupResult", "IndexResult", "Lattice", "index"]

DEFAULTS = IndexParams()
# Candidates that get macrocycles, if those of the better ones fail.
CANDIDATES_REFINED = 3
# The group of least symmetry that a centred conventional cell is written with.
LOWEST_GROUPS = {"A": "A1", "B": "B1", "C": "C1", "I": "I1", "F": "F1", "R": "R3"}


@dataclass(frozen=True, eq=False)
class Lattice:
    """The search for one lattice: FFT grid, number of spots in it, candidates (best first), macrocycles after it."""

    n_points: int
    d_min: float
    n_used: int
    candidates: tuple[Candidate, ...]
    cycles: tuple[Cycle, ...]


@dataclass(frozen=True, eq=False)
class GroupResult:
    """What was found on image sets (their numbers) that were indexed together; `counts`: (sets, 2) indexed, not.

    `spots` are all spots by the geometry of `model`. `ended` tells why no further lattice was looked for, `remark` of a
    crystal that is not in the cell given.
    """

    imagesets: tuple[int, ...]
    max_cell: float
    max_cell_estimated: bool
    lattices: tuple[Lattice, ...]
    model: Model
    spots: Spots
    counts: np.ndarray
    ended: str
    remark: str


@dataclass(frozen=True, eq=False)
class IndexResult:
    """One experiment for each crystal and image set; the spots with indices; and the course, group by group.

    `failures` are image sets without a lattice, and why; `diagnoses` are likely causes of what is not indexed.
    """

    experiments: Experiments
    table: ReflectionTable
    groups: tuple[GroupResult, ...]
    failures: tuple[tuple[int, str], ...]
    diagnoses: tuple[Diagnosis, ...]

    @property
    def advice(self) -> tuple[str, ...]:
        """The diagnoses in words, with their tables, each once."""
        return tuple(dict.fromkeys(d.advice for d in self.diagnoses))


def index(
    experiments: Experiments,
    table: ReflectionTable,
    *,
    params: IndexParams = DEFAULTS,
    executor: Executor = SERIAL,
    progress: Callable[[int, int], None] | None = None,
) -> IndexResult:
    """Index strong spots.

    Raises NoLatticeError if no image set has a lattice that explains its spots.
    """
    known = known_symmetry(params.indexing.known_symmetry)
    spots = strong_spots(experiments, table, params.indexing.image_range)
    geometry = one_per_set(experiments)
    groups = _groups(geometry, params.indexing.joint_indexing)
    results: list[GroupResult] = []
    parts: list[tuple[Experiments, ReflectionTable]] = []
    failures: list[tuple[int, str]] = []
    diagnoses: list[Diagnosis] = []
    last: ProcessingError | None = None
    for done, group in enumerate(groups):
        members = np.isin(spots["imageset_id"], group)
        own = spots if members.all() else spots.select(members)
        try:
            if own.n_rows == 0:
                raise NoLatticeError("There are no spots.")
            result, part = _index_group(geometry, group, own, known, params, executor.workers)
        except ProcessingError as error:
            hints = _hints(geometry, group, own, None, known, params, executor.workers)
            if len(groups) == 1:
                raise NoLatticeError("\n".join([str(error), *(d.advice for d in hints)])) from error
            diagnoses += hints
            failures += [(number, str(error)) for number in group]
            last = error
            sets = geometry.with_items(replace(e, crystal=None) for e in geometry)
            parts.append((experiments.with_items(()), with_observations(sets, own, map_spots(sets, own))))
        else:
            results.append(result)
            parts.append(part)
            hints = _hints(geometry, group, own, result, known, params, executor.workers)
            diagnoses += hints
            if len(group) > 1 and not hints:
                rmsds = result.lattices[-1].cycles[-1].result.rmsds
                diagnoses += diagnose_joint(part[0], part[1].without(["shoebox"]), rmsds, known, params)
        if progress:
            progress(done + 1, len(groups))
    if not results:
        raise NoLatticeError(f"None of the {len(groups)} image sets has a lattice; the last one: {last}")
    indexed, joined = _joined(geometry, parts)
    diagnoses += diagnose_stills(indexed, joined, known, params, executor.workers)
    return IndexResult(indexed, joined, tuple(results), tuple(failures), tuple(diagnoses))


def _groups(geometry: Experiments, joint: bool) -> list[tuple[int, ...]]:
    """Numbers of the image sets that are indexed together: all sweeps, or each by itself; stills always so."""
    numbers = range(len(geometry))
    stills = [n for n in numbers if geometry[n].is_still]
    sweeps = [n for n in numbers if not geometry[n].is_still]
    together = [tuple(sweeps)] if joint and sweeps else [(n,) for n in sweeps]
    return sorted(together + [(n,) for n in stills])


def _hints(
    geometry: Experiments,
    group: tuple[int, ...],
    own: ReflectionTable,
    result: GroupResult | None,
    known: Known,
    params: IndexParams,
    workers: int,
) -> tuple[Diagnosis, ...]:
    """What may be wrong with a group of which few spots, or not all of them, are indexed.

    Spots beyond the resolution of the last cycle were not meant to be.
    """
    indexed = np.zeros(own.n_rows, dtype=bool)
    if result is not None:
        last = result.lattices[-1].cycles
        within = _within(last, result.spots)
        indexed, own = (_last_ids(last) >= 0)[within], own.select(within)
    share = float(indexed.mean()) if own.n_rows else 0.0
    sets = geometry.with_items(geometry[n] for n in group)
    # One of many stills tells little of the geometry.
    if own.n_rows == 0 or share > 1 - UNEXPLAINED or (len(geometry) > 1 and all(e.is_still for e in sets)):
        return ()
    local = np.searchsorted(np.array(group), own["imageset_id"]).astype(np.int32)
    table = own.with_columns({"imageset_id": local}).without(["shoebox"])
    found = diagnose_spots(sets, table, share)
    wrong = diagnose(sets, table, share, known, params, workers)
    wrong = wrong or diagnose_apart(sets, table, share, known, params, workers)
    most = params.indexing.multiple_lattice_search.max_lattices
    if result is not None and not wrong and len(result.lattices) == most:
        wrong = further_lattice(result.model, table, indexed, result.max_cell, known, params, workers)
    return (*wrong, *found)


def _index_group(
    geometry: Experiments, group: tuple[int, ...], own: ReflectionTable, known: Known, params: IndexParams, workers: int
) -> tuple[GroupResult, tuple[Experiments, ReflectionTable]]:
    """Find the lattices of one group of image sets."""
    sets = geometry.with_items(geometry[n] for n in group)
    if all(e.is_still for e in sets):
        # The few spots of a still do not determine beam and detector beside the crystal.
        params = params.with_instrument_fixed()
    local = np.searchsorted(np.array(group), own["imageset_id"]).astype(np.int32)
    table = own.with_columns({"imageset_id": local})
    search = params.indexing.multiple_lattice_search
    model = Model(sets.with_items(replace(e, crystal=None) for e in sets), ())
    spots = map_spots(model.experiments, table)
    max_cell = params.indexing.max_cell or _known_max_cell(known, params)
    estimated = max_cell is None
    if max_cell is None:
        max_cell = estimate_max_cell(spots, params.indexing.max_cell_estimation)
    # Pixels are not needed, and costly to carry along.
    first_view = with_observations(sets, table.without(["shoebox"]), spots)
    lattices: list[Lattice] = []
    free = np.ones(table.n_rows, dtype=bool)
    ended = ""
    while len(lattices) < search.max_lattices:
        try:
            found = find_lattice(model, spots, first_view, free, max_cell, known, params, workers)
            nearest = min((misorientation(c, found.models[0].crystals[-1]) for c in model.crystals), default=360.0)
            if nearest < search.minimum_angular_separation:
                ended = f"The next lattice is only {nearest:.1f} degrees from one found before."
                break
            trial, trial_spots, cycles = _first_that_refines(found, first_view, params)
        except ProcessingError as error:
            if not lattices:
                raise
            ended = f"No further lattice: {error}"
            break
        model, spots = trial, trial_spots
        basis = found.basis
        lattices.append(Lattice(basis.n_points, basis.d_min, basis.n_used, found.candidates, cycles))
        within = _within(cycles, spots)
        free = within & (_last_ids(cycles) < 0)
        if free.sum() < within.sum() * search.recycle_unindexed_reflections_cutoff:
            break
    last = lattices[-1].cycles
    part = _final(model, last[-1], table, group)
    indexed = np.bincount(local[_last_ids(last) >= 0], minlength=len(group))
    counts = np.column_stack([indexed, np.bincount(local, minlength=len(group)) - indexed])
    remark = _remark(known, model.crystals[0])
    return GroupResult(group, max_cell, estimated, tuple(lattices), model, spots, counts, ended, remark), part


def _first_that_refines(
    found: Found, table: ReflectionTable, params: IndexParams
) -> tuple[Model, Spots, tuple[Cycle, ...]]:
    """The cycles of the best candidate that survives them; if none does, the error of the best is raised."""
    first: ProcessingError | None = None
    for model in found.models[:CANDIDATES_REFINED]:
        try:
            return run_cycles(model, table, params, found.basis.d_min)
        except ProcessingError as error:
            first = first or error
    assert first is not None
    raise first


def _known_max_cell(known: Known, params: IndexParams) -> float | None:
    """From a known cell: its longest edge in the primitive setting, with the margin of the estimate."""
    edges = [edge for cell in known.primitive_cells for edge in cell.parameters[:3]]
    return params.indexing.max_cell_estimation.multiplier * max(edges) if edges else None


def _remark(known: Known, crystal: Crystal) -> str:
    """That the crystal is described by a primitive cell although the known one is centred, and how to have that."""
    centring = None if known.space_group is not None else known.centring(crystal.A)
    if centring in (None, "P"):
        return ""
    return advice_text(
        f"The unit_cell given is {centring}-centred. As no space group is, the crystal has the primitive cell of the "
        "same lattice; to index in the cell given, name a space group too",
        index_command(*known.words, f"space_group={LOWEST_GROUPS[centring]}"),
    )


def _within(cycles: tuple[Cycle, ...], spots: Spots) -> np.ndarray:
    """Which spots are within the resolution of the last cycle."""
    d_min = cycles[-1].d_min
    return spots.d_star <= (1 / d_min if d_min > 0 else np.inf)


def _last_ids(cycles: tuple[Cycle, ...]) -> np.ndarray:
    return cycles[-1].result.table["id"]


def _final(
    model: Model, cycle: Cycle, table: ReflectionTable, group: tuple[int, ...]
) -> tuple[Experiments, ReflectionTable]:
    """Experiments with spots, and the table of the last refinement with the numbers of the image sets restored."""
    result = cycle.result
    spots = remap(model, result.table)
    numbers = np.array(group, dtype=np.int32)
    final = {"rlp": spots.rlp, "imageset_id": numbers[table["imageset_id"]]}
    if "shoebox" in table:
        final["shoebox"] = table["shoebox"]
    return result.experiments, result.table.with_columns(final)


def _joined(
    geometry: Experiments, parts: list[tuple[Experiments, ReflectionTable]]
) -> tuple[Experiments, ReflectionTable]:
    """All parts as one, with identifiers; ``imageset_id`` becomes the number among the experiments written."""
    items: list[Experiment] = []
    tables = []
    for experiments, table in parts:
        tables.append(
            table.with_columns({"id": np.where(table["id"] >= 0, table["id"] + len(items), -1).astype(np.int32)})
        )
        items += experiments
    names: set[str] = set()
    for i, item in enumerate(items):
        name = item.identifier or str(uuid.uuid4())
        # A further crystal on the same images needs a name of its own, the same every time.
        while name in names:
            name = str(uuid.uuid5(uuid.UUID(int=0), name))
        names.add(name)
        items[i] = replace(item, identifier=name)
    joined = ReflectionTable.concatenate(tables)
    imagesets = np.array(geometry.imageset_ids(), dtype=np.int32)
    joined = joined.with_columns({"imageset_id": imagesets[joined["imageset_id"]]})
    indexed = geometry.with_items(items)
    return indexed, joined.with_identifiers(dict(enumerate(indexed.identifiers)))
