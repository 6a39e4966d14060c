"""Experiments and reflections of several files, joined; reflections are checked to belong to the experiments."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from puredials.errors import MismatchError
from puredials.model import Experiments, ReflectionTable

__all__ = ["join_experiments", "join_reflections"]


def join_experiments(paths: Sequence[Path], parts: Sequence[Experiments]) -> Experiments:
    """The experiments of several files, in order. No identifier may come twice."""
    if len(parts) == 1:
        return parts[0]
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
    return Experiments(tuple(e for part in parts for e in part), history, extra)


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
