"""Symmetry and indexing ambiguity of many sets together (Gildea & Winter 2018, Acta D74, 405): the verb."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import gemmi
import numpy as np
from jaxtyping import Float64

from puredials.errors import MismatchError, TooFewReflectionsError
from puredials.execute import SERIAL, Executor
from puredials.model import Crystal, Experiment, Experiments, Flags, ReflectionTable
from puredials.sets.choosing import exclude_images, on_valid_images
from puredials.symmetry.cosym_cells import common_minimum_bases
from puredials.symmetry.cosym_params import CosymParams
from puredials.symmetry.cosym_target import best_copies, coordinates, pairwise_correlations
from puredials.symmetry.determine import SymmetryResult, determine_symmetry
from puredials.symmetry.lattice import lattice_settings
from puredials.symmetry.laue import merge_friedel
from puredials.symmetry.observations import Observations, limit_resolution, normalise, observations_from_table
from puredials.symmetry.reindex import reindex_crystal, reindex_experiments, reindex_table

__all__ = ["CosymResult", "cosym"]


@dataclass(frozen=True, eq=False)
class CosymResult:
    """The sets in one setting, and what it rests on.

    Attributes:
        experiments, reflections: those kept, in the space group found.
        cb_ops: P from the input cell to the new one, by identifier.
        excluded: the reason by identifier.
        symmetry: the analysis of the sets taken together.
        coordinates: (n_sets * n_ops, dimensions); functional: (dimensions, value) tried.
    """

    experiments: Experiments
    reflections: ReflectionTable
    space_group: gemmi.SpaceGroup
    cb_ops: dict[str, Float64[np.ndarray, "3 3"]]
    excluded: dict[str, str]
    symmetry: SymmetryResult
    coordinates: Float64[np.ndarray, "m d"]
    functional: list[tuple[int, float]]


def cosym(
    experiments: Experiments,
    reflections: ReflectionTable,
    *,
    params: CosymParams | None = None,
    executor: Executor = SERIAL,
    progress: Callable[[int, int], None] | None = None,
) -> CosymResult:
    """Bring all sets to one setting and find their space group.

    Raises:
        MismatchError: an experiment has no crystal.
        TooFewReflectionsError: no set is left, or no two have reflections in common.
    """
    params = params or CosymParams()
    experiments = exclude_images(experiments, params.exclude_images)
    crystals = [_crystal(e) for e in experiments]
    if not crystals:
        raise MismatchError("There are no experiments: give the .expt and .refl files that dials.integrate wrote.")
    bases, cells = common_minimum_bases(crystals)
    excluded = _odd_cells(experiments, cells, params)
    median = gemmi.UnitCell(*np.median([c for e, c in zip(experiments, cells, strict=True)
                                        if e.identifier not in excluded], axis=0))  # fmt: skip
    tables = [reflections.select(reflections["id"] == k) for k in range(len(experiments))]
    valid = on_valid_images(experiments, reflections)
    data: dict[int, Observations] = {}
    for k, experiment in enumerate(experiments):
        if experiment.identifier not in excluded:
            try:
                chosen = tables[k].select(valid[reflections["id"] == k])
                data[k] = _normalised(chosen, bases[k], median, params)
            except TooFewReflectionsError:
                excluded[experiment.identifier] = "too few integrated reflections"
                continue
            if len(data[k].hkl) < params.min_reflections:
                excluded[experiment.identifier] = f"only {len(data.pop(k).hkl)} reflections"
    if not data:
        raise TooFewReflectionsError("No set has enough integrated reflections for the analysis of symmetry.")
    rotations = lattice_settings(median, max_delta=params.lattice_symmetry_max_delta)[0].rotations
    merged = [merge_friedel(limit_resolution(d, params)[0]) for d in data.values()]
    correlations = pairwise_correlations(
        merged, rotations, min_pairs=params.min_pairs, executor=executor, progress=progress
    )
    connected = correlations.connected()
    for k in np.array(list(data))[~connected].tolist():
        excluded[experiments[k].identifier] = f"fewer than {params.min_pairs} reflections in common with any other set"
        del data[k]
    if not data:
        raise TooFewReflectionsError(
            f"No two sets have {params.min_pairs} reflections in common, so nothing tells their relative settings: "
            "give wider sweeps, or a smaller min_pairs."
        )
    correlations = correlations.select(connected)
    x, functional = coordinates(correlations, dimensions=params.dimensions, seed=params.seed)
    copies = dict(zip(data, best_copies(x, correlations).tolist(), strict=True))
    aligned = {k: bases[k] @ np.rint(np.linalg.inv(rotations[c])) for k, c in copies.items()}

    symmetry = _joint_symmetry(experiments, data, aligned, rotations, copies, params)
    final = {k: basis @ symmetry.basis for k, basis in aligned.items()}
    kept = [reindex_experiments(experiments.with_items([experiments[k]]), final[k], symmetry.space_group)[0]
            for k in final]  # fmt: skip
    moved = []
    for new, k in enumerate(final):
        table = reindex_table(tables[k], final[k])
        ids = np.full(table.n_rows, new, dtype=table["id"].dtype)
        moved.append(table.with_columns({"id": ids}).with_identifiers({new: experiments[k].identifier}))
    return CosymResult(
        experiments.with_items(kept), ReflectionTable.concatenate(moved), symmetry.space_group,
        {experiments[k].identifier: basis for k, basis in final.items()}, excluded, symmetry, x, functional,
    )  # fmt: skip


def _crystal(experiment: Experiment) -> Crystal:
    if experiment.crystal is None:
        raise MismatchError("An experiment has no crystal; run dials.index before the analysis of symmetry.")
    return experiment.crystal


def _odd_cells(experiments: Experiments, cells: Float64[np.ndarray, "n 6"], params: CosymParams) -> dict[str, str]:
    """Sets whose cell is not that of most."""
    median = np.median(cells, axis=0)
    excluded = {}
    for experiment, cell in zip(experiments, cells, strict=True):
        off = np.abs(cell - median)
        if (off[:3] > params.relative_length_tolerance * median[:3]).any() or (
            off[3:] > params.absolute_angle_tolerance
        ).any():
            text = [" ".join(f"{v:.2f}" for v in c) for c in (cell, median)]
            excluded[experiment.identifier] = f"its minimum cell {text[0]} differs from the median cell {text[1]}"
    return excluded


def _normalised(table: ReflectionTable, basis: np.ndarray, cell: gemmi.UnitCell, params: CosymParams) -> Observations:
    hkl = table["miller_index"] @ basis
    data = normalise(observations_from_table(table, np.rint(hkl).astype(np.int64), cell, params))
    return data.select(data.intensity < 16)


def _joint_symmetry(
    experiments: Experiments,
    data: dict[int, Observations],
    aligned: dict[int, np.ndarray],
    rotations: np.ndarray,
    copies: dict[int, int],
    params: CosymParams,
) -> SymmetryResult:
    """Laue and space group of the sets in one setting, each normalised by itself since they are not scaled yet."""
    primitive = gemmi.SpaceGroup("P 1")
    items, hkl, number = [], [], []
    for new, k in enumerate(data):
        crystal = reindex_crystal(_crystal(experiments[k]), aligned[k], primitive)
        items.append(replace(experiments[k], crystal=crystal, scan=None))  # the images are selected already
        hkl.append(data[k].hkl @ np.rint(np.linalg.inv(rotations[copies[k]])).astype(np.int64))
        number.append(np.full(len(data[k].hkl), new, dtype=np.int32))
    n = sum(map(len, hkl))
    table = ReflectionTable(
        {
            "miller_index": np.concatenate(hkl).astype(np.int32),
            "id": np.concatenate(number),
            "intensity.prf.value": np.concatenate([d.intensity for d in data.values()]),
            "intensity.prf.variance": np.concatenate([d.sigma for d in data.values()]) ** 2,
            "flags": np.full(n, int(Flags.INTEGRATED_PRF), dtype=np.uint64),
        }
    )
    return determine_symmetry(
        experiments.with_items(items), table, params=params.model_copy(update={"exclude_images": None})
    )
