"""Experiments and reflections of several files, joined; reflections are checked to belong to the experiments."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from puredials.errors import MismatchError
from puredials.geometry import s1_to_rlp
from puredials.model import Experiment, Experiments, ReflectionTable
from puredials.prediction import setting_matrices
from puredials.sets import named

__all__ = ["check_indices", "join_experiments", "join_reflections"]

# Reflections of an experiment that are looked at, and the misfit of A h to where they were, as a share of its length,
# above which at least half of them tell of another basis: errors of geometry are a few percent at most, while a change
# of basis moves most reflections by as much as they are away from the origin.
SAMPLE = 500
LARGEST_MISFIT = 0.1


def join_experiments(paths: Sequence[Path], parts: Sequence[Experiments]) -> Experiments:
    """The experiments of several files, in order. No identifier may come twice; of several experiments, those without
    get one, by which their reflections are told apart from now on."""
    if len(parts) == 1:
        return parts[0] if len(parts[0]) == 1 else named(parts[0])
    owner: dict[str, Path] = {}
    for path, part in zip(paths, parts, strict=True):
        for identifier in filter(None, part.identifiers):
            if owner.setdefault(identifier, path) != path:
                raise MismatchError(
                    f"{owner[identifier]} and {path} both hold the experiment {identifier}; "
                    "dials.assign_experiment_identifiers tells them apart."
                )
    history = tuple(dict.fromkeys(line for part in parts for line in part.history))
    extra = {key: value for part in reversed(parts) for key, value in part.extra.items()}
    return named(Experiments(tuple(e for part in parts for e in part), history, extra))


def join_reflections(
    tables: Sequence[ReflectionTable],
    experiments: Experiments,
    paths: Sequence[Path],
    counts: Sequence[int],
    experiment_paths: Sequence[Path],
) -> ReflectionTable:
    """The reflections of several files, their ids (and image set numbers) those of the joined experiments.

    Tables with identifiers are matched by them. Older tables without are matched by position: file to file, or one
    table to each experiment, or a single table to all; the few reflections of experiments beyond these are left out.
    `counts` holds the number of experiments of each .expt file.
    """
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(int)
    joined: list[ReflectionTable] = []
    for k, (table, path) in enumerate(zip(tables, paths, strict=True)):
        ids = np.asarray(table["id"]) if "id" in table else np.full(table.n_rows, -1, np.int32)
        used = np.unique(ids[ids >= 0])
        names = {int(i): table.identifiers.get(int(i), "") for i in {*used.tolist(), *table.identifiers}}
        where = _names(experiment_paths)
        if any(names.values()):
            position = {name: n for n, name in enumerate(experiments.identifiers) if name}
            missing = [n for i, n in names.items() if n not in position and i in used]
            if missing:
                what = f"experiment {missing[0]}" if missing[0] else "an experiment without an identifier"
                raise MismatchError(
                    f"{path} has reflections of {what}, which is not in {where}: they do not belong together."
                )
            target = {i: position[n] for i, n in names.items() if n in position}
        else:
            first, last = _range_by_position(k, len(tables), starts, int(used.max(initial=-1)))
            beyond = ids >= last - first
            if 2 * beyond.sum() >= len(ids) > 0:
                raise MismatchError(
                    f"{path} has reflections of experiment number {used.max()}, but {where} has only {last - first}:"
                    " they do not belong together."
                )
            if beyond.any():
                # Old files, without identifiers, of which an experiment was thrown away later.
                warnings.warn(
                    f"{beyond.sum()} of {len(ids)} reflections in {path} are of experiments that {where} lacks; they "
                    "are left out.",
                    stacklevel=2,
                )
                table, ids = table.select(~beyond), ids[~beyond]
            target = {i: first + i for i in range(last - first)}
        joined.append(_renumbered(table, ids, target, experiments, starts))
    return ReflectionTable.concatenate(joined).with_identifiers(dict(enumerate(experiments.identifiers)))


def check_indices(
    experiments: Experiments,
    table: ReflectionTable,
    paths: Sequence[Path],
    experiment_paths: Sequence[Path],
) -> None:
    """Raise if crystals are missing, or are in another setting than the Miller indices.

    Identifiers do not tell files of different steps apart: the crystals of symmetrized.expt and the reflections of
    integrated.refl belong to the same experiments, but their indices count other axes.
    """
    if "miller_index" not in table or "s1" not in table:
        return
    ids = np.asarray(table["id"])
    indexed = np.flatnonzero(np.asarray(table["miller_index"]).any(axis=1) & np.asarray(table["s1"]).any(axis=1))
    indexed = indexed[np.argsort(ids[indexed], kind="stable")]
    ends = np.searchsorted(ids[indexed], np.arange(len(experiments) + 1))
    wrong = [n for n, e in enumerate(experiments) if _misfit(e, table, indexed[ends[n] : ends[n + 1]]) > LARGEST_MISFIT]
    if wrong:
        if experiments[wrong[0]].crystal is None:
            raise MismatchError(
                f"{_names(experiment_paths)} has no crystal for the indexed reflections in {_names(paths)}: give the "
                "files that one step wrote together."
            )
        raise MismatchError(
            f"The Miller indices in {_names(paths)} are not those of the crystal in {_names(experiment_paths)}"
            f"{f', experiment {wrong[0]}' if len(experiments) > 1 else ''}: they count other axes. Give the files that "
            "one step wrote together, or change the basis of one of them with dials.reindex."
        )


def _misfit(experiment: Experiment, table: ReflectionTable, rows: np.ndarray) -> float:
    """Median of |A h - q| / |q| of some rows, with q where their rays say they were; infinite without a crystal."""
    if len(rows) == 0:
        return 0.0
    if experiment.crystal is None:
        return np.inf
    rows = rows[:: max(1, len(rows) // SAMPLE)]
    z = np.zeros(len(rows))
    positions = next((name for name in ("xyzcal.px", "xyzobs.px.value") if name in table), None)
    if positions is not None:
        z = table[positions][rows, 2]
    phi = np.zeros(len(rows)) if experiment.scan is None else experiment.scan.phi(z)
    q = s1_to_rlp(table["s1"][rows], phi, experiment.beam, experiment.goniometer)
    A = setting_matrices(experiment.crystal, experiment.scan, z)
    r = np.einsum("nij,nj->ni", A, table["miller_index"][rows].astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        misfit = np.linalg.norm(r - q, axis=1) / np.linalg.norm(q, axis=1)
    misfit = misfit[np.isfinite(misfit)]
    return float(np.median(misfit)) if len(misfit) else 0.0


def _names(paths: Sequence[Path]) -> str:
    return " or ".join(str(path) for path in paths)


def _range_by_position(k: int, n_tables: int, starts: np.ndarray, highest: int) -> tuple[int, int]:
    """First and last + 1 of the experiments to which table k without identifiers belongs."""
    n_files, n_experiments = len(starts) - 1, int(starts[-1])
    if n_tables == n_files:
        return int(starts[k]), int(starts[k + 1])
    if n_tables == n_experiments and highest <= 0:
        return k, k + 1
    return 0, n_experiments


def _renumbered(
    table: ReflectionTable, ids: np.ndarray, target: dict[int, int], experiments: Experiments, starts: np.ndarray
) -> ReflectionTable:
    if all(old == new for old, new in target.items()):
        return table if "id" in table else table.with_columns({"id": ids})
    lookup = np.full(max(target) + 2, -1, np.int32)  # the last item stands for id -1
    for old, new in target.items():
        lookup[old] = new
    columns: dict[str, np.ndarray] = {"id": lookup[ids]}
    if "imageset_id" in table:
        columns["imageset_id"] = _imagesets(table, columns["id"], target, experiments, starts)
    return table.with_columns(columns)


def _imagesets(
    table: ReflectionTable, ids: np.ndarray, target: dict[int, int], experiments: Experiments, starts: np.ndarray
) -> np.ndarray:
    """Image set numbers among those of the joined experiments: learnt from the reflections that have an experiment;
    for the others, those of the file that the table belongs to are counted on."""
    of_experiment = np.array(experiments.imageset_ids(), dtype=np.int32)
    old = np.asarray(table["imageset_id"])
    file = int(np.searchsorted(starts, min(target.values()), side="right")) - 1
    before = len(set(of_experiment[: starts[file]].tolist()))
    new = (old + before).astype(np.int32)
    for number in np.unique(old):
        rows = (old == number) & (ids >= 0)
        if rows.any():
            new[old == number] = of_experiment[ids[rows][0]]
    return new
