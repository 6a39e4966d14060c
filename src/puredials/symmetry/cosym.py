"""Symmetry and indexing ambiguity of many sets together (Gildea & Winter 2018, Acta D74, 405): the verb."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import gemmi
import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.errors import MismatchError, TooFewReflectionsError
from puredials.execute import SERIAL, Executor, map_blocks
from puredials.model import Crystal, Experiment, Experiments, Flags, ReflectionTable
from puredials.sets import exclude_images, on_valid_images, select_experiments
from puredials.symmetry.cell_clusters import CellClusters, cluster_cells
from puredials.symmetry.cosym_agreement import Agreement, Settings, correlated_group, set_agreements, tied_sets
from puredials.symmetry.cosym_cells import common_minimum_bases
from puredials.symmetry.cosym_params import CosymParams
from puredials.symmetry.cosym_target import best_copies, coordinates, pairwise_correlations
from puredials.symmetry.determine import SymmetryAnalysis, analyse_symmetry, known_group, settings_of
from puredials.symmetry.lattice import LatticeSetting, lattice_settings
from puredials.symmetry.laue import merge_friedel
from puredials.symmetry.observations import Observations, limit_resolution, normalised_observations
from puredials.symmetry.reindex import reindex_experiments, with_indices

__all__ = ["CosymResult", "cosym"]

Matrix = Float64[np.ndarray, "3 3"]
Progress = Callable[[int, int], None]

_MEDIAN_SAMPLE = 100  # sets, of which one is of the most frequent kind


@dataclass(frozen=True, eq=False)
class CosymResult:
    """The sets in one setting, and what it rests on. Sets are numbered as they were given.

    Attributes:
        experiments, reflections: those kept, in the space group found.
        cb_ops: P from the input cell to the new one, by set.
        excluded: the reason by set.
        analysis: of the sets taken together; their minimum cell is the median of theirs.
        cells: the lattices of all sets.
        settings: correlations and chosen copies of the sets kept, the reference last if there is one.
        agreements: of each of those with the others.
        n_reflections: of each set kept, unique ones within the resolution limits.
        coordinates: (n_sets * n_ops, dimensions); functional: (dimensions, value) tried.
    """

    experiments: Experiments
    reflections: ReflectionTable
    space_group: gemmi.SpaceGroup
    cb_ops: dict[int, Matrix]
    excluded: dict[int, str]
    analysis: SymmetryAnalysis
    cells: CellClusters
    settings: Settings
    agreements: list[Agreement]
    n_reflections: list[int]
    coordinates: Float64[np.ndarray, "m d"]
    functional: list[tuple[int, float]]


def cosym(
    experiments: Experiments,
    reflections: ReflectionTable,
    *,
    reference: tuple[Crystal, ReflectionTable] | None = None,
    params: CosymParams | None = None,
    executor: Executor = SERIAL,
    progress: Progress | None = None,
) -> CosymResult:
    """Bring all sets to one setting and find their space group.

    Args:
        reference: a crystal with merged intensities (``intensity.prf``), whose setting and space group are taken.

    Raises:
        MismatchError: an experiment has no crystal, or the reference has another cell.
        TooFewReflectionsError: no set is left, or no two have enough reflections in common.
        ParameterError: a group that is given does not fit the lattice.
    """
    params = params or CosymParams()
    experiments = exclude_images(experiments, params.exclude_images)
    crystals = [_crystal(e) for e in experiments]
    if not crystals:
        raise MismatchError("There are no experiments: give the .expt and .refl files that dials.integrate wrote.")
    cells = cluster_cells(crystals, threshold=params.unit_cell_clustering.threshold, executor=executor)
    bases, median, excluded = _common_cell(crystals, cells, reference, params)
    tables = _tables(experiments, reflections, reference, bases)
    data = _observations(tables, bases, median, excluded, params, executor, progress)
    del tables

    settings = _settings_of_lattice(median, params)
    rotations = settings[0].rotations
    merged = [merge_friedel(limit_resolution(d, params)[0]) for d in data.values()]
    signal = np.array([_signal(m) for m in merged])
    correlations = pairwise_correlations(
        merged, rotations, params=params, executor=executor,
        progress=progress and (lambda done, total: progress(total + done, 2 * total)),
    )  # fmt: skip
    given = None if reference else known_group(params.space_group, "space_group")
    numbers = np.array(list(data))
    sets = np.ones(len(numbers), dtype=bool)
    while True:
        known = correlations.select(sets)
        x, functional = coordinates(known, params)
        copies = best_copies(x, known)
        group = correlated_group(known, copies, rotations, [s.rotations for s in settings])
        keep, reasons = tied_sets(Settings.of(known, copies, signal[sets], rotations, group))
        if keep.all():
            break
        if keep.sum() < 2:
            raise TooFewReflectionsError(
                f"No two sets have enough reflections in common to tell their relative settings (set "
                f"{numbers[sets][0]}: {next(iter(reasons.values()))}): give wider sweeps, or more of them."
            )
        excluded |= {int(numbers[sets][k]): reason for k, reason in reasons.items()}
        sets[np.flatnonzero(sets)[~keep]] = False

    chosen = dict(zip(numbers[sets].tolist(), copies.tolist(), strict=True))
    aligned = {k: bases[k] @ _inverse(rotations[c]) for k, c in chosen.items()}
    analysis = analyse_symmetry(
        _joined([_turned(data[k], rotations[c]) for k, c in chosen.items() if k < len(crystals)]),
        settings, params, minimum_basis=np.eye(3), space_group=given,
    )  # fmt: skip
    final_settings = Settings.of(known, copies, signal[sets], rotations, analysis.setting.rotations)
    if reference is not None and len(crystals) not in aligned:
        raise MismatchError(f"The reference does not fit the sets: {excluded[len(crystals)]}.")
    basis = analysis.basis
    space_group = analysis.space_group
    if reference is not None:
        basis, space_group = np.linalg.inv(aligned.pop(len(crystals))), _tabulated(reference[0])
    final = {k: p @ basis for k, p in aligned.items()}
    kept, table = _reindexed(experiments, reflections, final, space_group)
    excluded.pop(len(crystals), None)
    return CosymResult(
        kept, table, space_group, final, dict(sorted(excluded.items())), analysis, cells, final_settings,
        set_agreements(final_settings), [len(m.hkl) for m, s in zip(merged, sets, strict=True) if s], x, functional,
    )  # fmt: skip


def _crystal(experiment: Experiment) -> Crystal:
    if experiment.crystal is None:
        raise MismatchError("An experiment has no crystal; run dials.index before the analysis of symmetry.")
    return experiment.crystal


def _tabulated(crystal: Crystal) -> gemmi.SpaceGroup:
    if crystal.space_group is None:
        raise MismatchError(
            "The setting of the reference's space group is not tabulated; reindex it to a standard one."
        )
    return crystal.space_group


def _inverse(rotation: Int64[np.ndarray, "3 3"]) -> Int64[np.ndarray, "3 3"]:
    return np.rint(np.linalg.inv(rotation)).astype(np.int64)


def _common_cell(
    crystals: list[Crystal],
    cells: CellClusters,
    reference: tuple[Crystal, ReflectionTable] | None,
    params: CosymParams,
) -> tuple[dict[int, Matrix], gemmi.UnitCell, dict[int, str]]:
    """P to the common minimum cell of the sets whose cell is that of most, that cell, and why others are left out.

    The reference counts as the set after the last.
    """
    largest = cells.clusters[0].members.tolist()
    excluded = {
        k: f"its lattice is {cells.distances[k, largest].min():.0f} Å² from the nearest of the largest cluster of "
        f"{len(largest)} sets"
        for k in range(len(crystals)) if k not in largest
    }  # fmt: skip
    numbers = largest + ([len(crystals)] if reference else [])
    bases, found = common_minimum_bases([*(crystals[k] for k in largest), *([reference[0]] if reference else [])])
    sets = found[: len(largest)]
    # Of two kinds of crystal the median of all is no cell at all: it is taken of one kind, the more frequent one.
    sample = sets[np.unique(np.linspace(0, len(sets) - 1, _MEDIAN_SAMPLE).astype(int))]
    like = ~_differ(sets, sample, params)
    median = np.median(sets[like[:, np.argmax(like.sum(axis=0))]], axis=0)
    for k, cell, differs in zip(numbers, found, _differ(found, median[None], params)[:, 0], strict=True):
        if differs:
            text = [" ".join(f"{v:.2f}" for v in c) for c in (cell, median)]
            if k == len(crystals):
                raise MismatchError(f"The reference's minimum cell {text[0]} differs from the median cell {text[1]}.")
            excluded[k] = f"its minimum cell {text[0]} differs from the median cell {text[1]}"
    kept = {k: basis for k, basis in zip(numbers, bases, strict=True) if k not in excluded}
    return kept, gemmi.UnitCell(*median), excluded


def _differ(
    cells: Float64[np.ndarray, "n 6"], others: Float64[np.ndarray, "m 6"], params: CosymParams
) -> Bool[np.ndarray, "n m"]:
    """Whether cells differ from others by more than the tolerances."""
    limits = np.full(others.shape, params.absolute_angle_tolerance)
    limits[:, :3] = params.relative_length_tolerance * others[:, :3]
    return np.asarray((np.abs(cells[:, None] - others) > limits).any(axis=2))


def _tables(
    experiments: Experiments,
    reflections: ReflectionTable,
    reference: tuple[Crystal, ReflectionTable] | None,
    sets: Iterable[int],
) -> dict[int, ReflectionTable]:
    """For each set what the analysis needs of its reflections on valid images."""
    needed = {"miller_index", "id", "flags", "lp", "partiality"}
    needed |= {f"intensity.{kind}.{what}" for kind in ("prf", "sum") for what in ("value", "variance")}
    table = reflections.without(set(reflections) - needed)
    valid = on_valid_images(experiments, reflections)
    found = {k: table.select(valid & (table["id"] == k)) for k in sorted(sets) if k < len(experiments)}
    return found if reference is None else {**found, len(experiments): _all_equivalents(*reference)}


def _all_equivalents(crystal: Crystal, table: ReflectionTable) -> ReflectionTable:
    """The reflections of a reference with all that its symmetry makes of them, as of a measured set."""
    rotations = np.unique([np.array(op.rot) // op.DEN for op in crystal.operations.sym_ops], axis=0)
    columns = {name: np.tile(table[name], len(rotations)) for name in ("intensity.prf.value", "intensity.prf.variance")}
    hkl = np.concatenate([table["miller_index"] @ r for r in rotations]).astype(np.int32)
    flags = np.full(len(hkl), int(Flags.INTEGRATED_PRF), dtype=np.uint64)
    return ReflectionTable({"miller_index": hkl, "flags": flags, **columns})


def _observations(
    tables: dict[int, ReflectionTable],
    bases: dict[int, Matrix],
    cell: gemmi.UnitCell,
    excluded: dict[int, str],
    params: CosymParams,
    executor: Executor,
    progress: Progress | None,
) -> dict[int, Observations]:
    """Normalised intensities of each set, with indices in the common cell; sets of too few are added to `excluded`."""

    def prepare(k: int) -> Observations | str:
        hkl = np.rint(tables[k]["miller_index"] @ bases[k]).astype(np.int64)
        try:
            data = normalised_observations(tables[k], hkl, cell, params)
        except TooFewReflectionsError:
            return "it has too few integrated reflections"
        return data if len(data.hkl) >= params.min_reflections else f"it has only {len(data.hkl)} reflections"

    found: dict[int, Observations] = {}
    for done, (k, data) in enumerate(zip(tables, map_blocks(prepare, list(tables), executor), strict=True), start=1):
        if isinstance(data, str):
            excluded[k] = data
        else:
            found[k] = data
        if progress:
            progress(done, 2 * len(tables))
    if not found:
        raise TooFewReflectionsError("No set has enough integrated reflections for the analysis of symmetry.")
    return found


def _settings_of_lattice(cell: gemmi.UnitCell, params: CosymParams) -> list[LatticeSetting]:
    """All groups of rotations that are considered, that of the lattice first."""
    settings = lattice_settings(
        cell, max_delta=params.lattice_symmetry_max_delta, best_monoclinic_beta=params.best_monoclinic_beta
    )
    group = known_group(params.lattice_group, "lattice_group")
    if group is None:
        return settings
    lattice = min(settings_of(group, settings, "lattice_group"), key=lambda s: s.delta)
    known = {r.tobytes() for r in lattice.rotations}
    within = [s for s in settings if all(r.tobytes() in known for r in s.rotations)]
    return sorted(within, key=lambda s: s is not lattice)


def _turned(data: Observations, rotation: Int64[np.ndarray, "3 3"]) -> Observations:
    return replace(data, hkl=data.hkl @ _inverse(rotation))


def _signal(data: Observations) -> float:
    """The share of the variance of intensities that is not of their errors."""
    variance = float(np.var(data.intensity))
    return float(np.clip(1 - np.mean(data.sigma**2) / variance, 0.01, 1)) if variance > 0 else 0.01


def _joined(sets: list[Observations]) -> Observations:
    """The observations of sets in one setting, each normalised by itself since they are not scaled yet."""
    hkl, intensity, sigma, d = (np.concatenate([getattr(s, name) for s in sets])
                                for name in ("hkl", "intensity", "sigma", "d"))  # fmt: skip
    return Observations(hkl, intensity, sigma, d, sets[0].cell)


def _reindexed(
    experiments: Experiments, reflections: ReflectionTable, bases: dict[int, Matrix], space_group: gemmi.SpaceGroup
) -> tuple[Experiments, ReflectionTable]:
    """The sets of `bases`, each in its new basis."""
    kept, table = experiments, reflections
    if len(bases) < len(experiments):
        kept, table = select_experiments(experiments, reflections, list(bases))
        assert table is not None
    moved = [reindex_experiments(kept.with_items([e]), basis, space_group)[0]
             for e, basis in zip(kept, bases.values(), strict=True)]  # fmt: skip
    hkl = np.empty((table.n_rows, 3))
    for new, basis in enumerate(bases.values()):
        rows = table["id"] == new
        hkl[rows] = table["miller_index"][rows] @ basis
    return kept.with_items(moved), with_indices(table, hkl)
