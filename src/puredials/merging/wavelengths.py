"""Data of several wavelengths, merged apart and put into one table."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int32

from puredials.merging.cross_validation import extend_free_flags, free_flags
from puredials.merging.observations import median_cell, wavelength_groups
from puredials.merging.params import MergeParams
from puredials.merging.unique import FreeReference, MergeResult, merge_data
from puredials.model import Experiments, ReflectionTable

__all__ = ["joined_columns", "merge_wavelengths"]

Columns = dict[str, tuple[str, np.ndarray]]


def merge_wavelengths(
    experiments: Experiments,
    table: ReflectionTable,
    *,
    params: MergeParams | None = None,
    free_reference: FreeReference | None = None,
) -> list[MergeResult]:
    """The merged data of each wavelength, from the shortest on; the same cell and free flags hold for all.

    Wavelengths are one if they differ by no more than `wavelength_tolerance`.
    """
    params = params or MergeParams()
    groups = wavelength_groups(experiments, absolute=params.wavelength_tolerance)
    if len(groups) == 1:
        return [merge_data(experiments, table, params=params, free_reference=free_reference)]
    flags = params.r_free_flags
    apart = params.model_copy(
        update={
            "best_unit_cell": params.best_unit_cell or median_cell(experiments).parameters,
            "r_free_flags": flags.model_copy(update={"generate": False, "reference": None}),
        }
    )
    results = [
        merge_data(experiments.with_items(experiments[n] for n in group), table.select(np.isin(table["id"], group)),
                   params=apart)
        for group in groups
    ]  # fmt: skip
    hkl, rows = _union(results)
    cell, symmetry = results[0].cell, results[0].symmetry
    if free_reference is not None:
        free = extend_free_flags(hkl, cell, symmetry, reference=free_reference, params=flags)
    elif flags.generate:
        free = free_flags(hkl, cell, symmetry, params=flags)
    else:
        return results
    return [replace(result, free=free[own]) for result, own in zip(results, rows, strict=True)]


def _union(results: Sequence[MergeResult]) -> tuple[Int32[np.ndarray, "m 3"], list[np.ndarray]]:
    """All unique indices, and where those of each result are among them."""
    hkl, where = np.unique(np.concatenate([r.hkl for r in results]), axis=0, return_inverse=True)
    return hkl, np.split(where.reshape(-1), np.cumsum([len(r.hkl) for r in results])[:-1])


def joined_columns(
    results: Sequence[MergeResult], *, anomalous: bool = True
) -> tuple[Int32[np.ndarray, "m 3"], Float64[np.ndarray, " m"], list[Columns]]:
    """Indices, d (Angstrom) and, for each wavelength, the columns of one file.

    Labels of several wavelengths end in _WAVE1, _WAVE2, ...; the free flags are a column of the first.
    """
    if len(results) == 1:
        return results[0].hkl, results[0].d, [results[0].columns(anomalous=anomalous)]
    hkl, rows = _union(results)
    d = np.asarray(results[0].cell.calculate_d_array(hkl), dtype=np.float64)
    joined: list[Columns] = []
    free = np.full(len(hkl), np.nan)
    for number, (result, own) in enumerate(zip(results, rows, strict=True), 1):
        columns: Columns = {}
        for label, (kind, values) in result.columns(anomalous=anomalous).items():
            whole = np.full(len(hkl), np.nan)
            whole[own] = values
            if label == "FreeR_flag":
                free[own] = values
            else:
                columns[_label(label, number)] = (kind, whole)
        joined.append(columns)
    if np.isfinite(free).any():
        joined[0]["FreeR_flag"] = ("I", free)
    return hkl, d, joined


def _label(label: str, number: int) -> str:
    """I(+) becomes I_WAVE1(+)."""
    side = next((s for s in ("(+)", "(-)") if label.endswith(s)), "")
    return f"{label.removesuffix(side)}_WAVE{number}{side}"
