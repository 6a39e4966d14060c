"""Parts of a set of experiments, each with its reflections."""

from collections.abc import Sequence

import numpy as np

from puredials.errors import ParameterError
from puredials.merging.observations import wavelength_groups
from puredials.model import Experiments, ReflectionTable
from puredials.sets.params import SplitParams

__all__ = ["in_chunks", "of_experiments", "select_experiments", "split_experiments"]

# Wavelengths that differ by less than this share of their value are one.
_WAVELENGTH_TOLERANCE = 1e-4

DEFAULTS = SplitParams()


def split_experiments(experiments: Experiments, *, params: SplitParams = DEFAULTS) -> list[tuple[int, ...]]:
    """The groups into which experiments (by their numbers) are split: each by itself, or by detector or wavelength."""
    if params.by_detector and params.by_wavelength:
        raise ParameterError("Experiments are split either by_detector or by_wavelength, not by both at a time.")
    if params.experiment_ids is None:
        chosen = range(len(experiments))
    else:
        chosen = params.experiment_ids
        beyond = [n for n in chosen if not 0 <= n < len(experiments)]
        if beyond:
            raise ParameterError(
                f"experiment_ids={beyond[0]} does not exist; there are experiments 0 to {len(experiments) - 1}."
            )
        if len(set(chosen)) < len(chosen):
            raise ParameterError("experiment_ids names an experiment twice.")
    if params.by_wavelength:
        return wavelength_groups(experiments, chosen, relative=_WAVELENGTH_TOLERANCE)
    groups: dict[int, list[int]] = {}
    for n in chosen:
        groups.setdefault(id(experiments[n].detector) if params.by_detector else n, []).append(n)
    return [tuple(group) for group in groups.values()]


def in_chunks(
    groups: Sequence[tuple[int, ...]], size: int | None, sizes: Sequence[int] | None
) -> list[tuple[int, ...]]:
    """The experiments of `groups`, in their order, in chunks of at most `size`, or of the given `sizes`."""
    if size is None and sizes is None:
        return list(groups)
    numbers = [n for group in groups for n in group]
    if sizes is None:
        assert size is not None
        sizes = [min(size, len(numbers) - first) for first in range(0, len(numbers), size)]
    elif sum(sizes) != len(numbers) or min(sizes, default=0) < 1:
        raise ParameterError(
            f"chunk_sizes must be positive and add up to the number of experiments, {len(numbers)}; "
            f"{','.join(map(str, sizes))} was given."
        )
    ends = np.cumsum(sizes).tolist()
    return [tuple(numbers[end - n : end]) for n, end in zip(sizes, ends, strict=True)]


def select_experiments(
    experiments: Experiments, table: ReflectionTable | None, numbers: Sequence[int]
) -> tuple[Experiments, ReflectionTable | None]:
    """Some experiments, in the order of `numbers`, and their reflections. Reflections of no experiment are left out.

    Models that were shared still are. The ids, identifiers and image set numbers of the reflections are those of the
    experiments returned.
    """
    chosen = experiments.with_items(experiments[n] for n in numbers)
    if table is None:
        return chosen, None
    new_id = np.full(len(experiments) + 1, -1, np.int32)  # the last item stands for id -1
    new_id[list(numbers)] = np.arange(len(numbers))
    ids = new_id[table["id"]]
    rows = ids >= 0
    return chosen, of_experiments(table.select(rows), ids[rows], chosen)


def of_experiments(table: ReflectionTable, ids: np.ndarray, experiments: Experiments) -> ReflectionTable:
    """Reflections with new ids, all of an experiment, and the identifiers and image set numbers that follow."""
    columns = {"id": ids.astype(np.int32)}
    if "imageset_id" in table:
        columns["imageset_id"] = np.array(experiments.imageset_ids(), dtype=np.int32)[ids]
    names = {n: name for n, name in enumerate(experiments.identifiers) if name}
    return table.with_columns(columns).with_identifiers(names)
