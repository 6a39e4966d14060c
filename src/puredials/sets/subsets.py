"""Some of many experiments, and files of limited size for them."""

import numpy as np

from puredials.errors import InputError, MismatchError
from puredials.model import ReflectionTable
from puredials.sets.params import SubsetParams

__all__ = ["choose_subset", "in_batches"]

DEFAULTS = SubsetParams()
_SEED = 42


def choose_subset(n: int, table: ReflectionTable | None = None, *, params: SubsetParams = DEFAULTS) -> list[int]:
    """The numbers of the experiments, of n, that are kept: by how many reflections they have, or a random few.

    The same experiments give the same choice.
    """
    least, most = params.min_reflections_per_experiment, params.max_reflections_per_experiment
    by_count = params.n_subset is not None and params.n_subset_method == "n_refl"
    if table is None and (by_count or least is not None or most is not None):
        raise InputError("Experiments can be chosen by their reflections only if these are given, too.")
    keep = np.arange(n)
    if table is not None:
        count = _counts(table["id"], n)
        keep = keep[(count >= (least or 0)) & (count <= (np.inf if most is None else most))]
        if len(keep) == 0:
            raise MismatchError(
                f"No experiment has between {least or 0} and {most or 'any number of'} reflections; "
                f"they have {count.min()} to {count.max()}."
            )
    if params.n_subset is None or params.n_subset >= len(keep):
        return keep.tolist()
    if not by_count:
        return np.sort(np.random.default_rng(_SEED).choice(keep, params.n_subset, replace=False)).tolist()
    assert table is not None
    ids = table["id"]
    if params.n_refl_panel_list is not None:
        ids = ids[np.isin(table["panel"], params.n_refl_panel_list)]
    order = np.argsort(-_counts(ids, n)[keep], kind="stable")
    return np.sort(keep[order[: params.n_subset]]).tolist()


def _counts(ids: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(ids[ids >= 0], minlength=n)


def in_batches(n: int, max_size: int) -> list[list[int]]:
    """0 to n - 1 in the fewest batches of at most `max_size`, as equal in size as can be."""
    return [batch.tolist() for batch in np.array_split(np.arange(n), -(-n // max_size))]
