"""Integrated reflections made ready for scaling: selected, corrected for geometry, profile-fitted and summed."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.errors import MismatchError, TooFewReflectionsError
from puredials.merging.equivalents import Equivalents, find_equivalents
from puredials.merging.observations import combine_partials, median_cell, symmetry_of
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.scaling.params import CutParams, ScaleParams
from puredials.sets.choosing import on_valid_images

__all__ = ["Observations", "prepare"]

Values = Float64[np.ndarray, " n"]
Mask = Bool[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Observations:
    """All rows of a table, with what scaling needs to know of each.

    Attributes:
        table: the rows, partials joined; columns of an earlier scaling are gone.
        sweep: number of the experiment; images: position in the scan (array index); d: Angstrom.
        factor: L / (P Q) of an intensity in counts: the scaled unit of one count.
        profile, profile_variance, summed, summed_variance: intensities times `factor`; NaN where not measured.
        unusable: neither measured; user_excluded: cut by the user's limits, or on images left out.
        complete: recorded to a share that is good enough to determine the model.
        equivalents: unique reflections in the common symmetry.
        n_joined: rows that were joined to others.
    """

    table: ReflectionTable
    sweep: Int64[np.ndarray, " n"]
    images: Values
    d: Values
    factor: Values
    profile: Values
    profile_variance: Values
    summed: Values
    summed_variance: Values
    unusable: Mask
    user_excluded: Mask
    complete: Mask
    equivalents: Equivalents
    n_joined: int

    @property
    def usable(self) -> Mask:
        return ~self.unusable & ~self.user_excluded


def prepare(experiments: Experiments, table: ReflectionTable, params: ScaleParams) -> Observations:
    """Select and correct the reflections of all sweeps."""
    for name in ("miller_index", "lp", "s1", "xyzobs.px.value", "flags"):
        if name not in table:
            raise MismatchError(f"The reflections lack the column {name}: run dials.integrate before dials.scale.")
    n_before = table.n_rows
    table = table.without(
        ["shoebox", "intensity.scale.value", "intensity.scale.variance", "inverse_scale_factor",
         "inverse_scale_factor_variance"]
    )  # fmt: skip
    table = table.with_columns({"original_index": np.arange(n_before, dtype=np.uint64)})
    old = np.uint64(Flags.BAD_FOR_SCALING | Flags.SCALED)
    table = combine_partials(table.with_columns({"flags": table["flags"] & ~old}))

    sweep = table["id"].astype(np.int64)
    hkl = np.ascontiguousarray(table["miller_index"], dtype=np.int32)
    d = np.asarray(median_cell(experiments).calculate_d_array(hkl), dtype=np.float64)
    d = np.where(hkl.any(axis=1), d, 1.0)
    partiality = table["partiality"] if "partiality" in table else np.ones(table.n_rows)
    efficiency = next((table[name] for name in ("qe", "dqe") if name in table), np.ones(table.n_rows))
    factor = table["lp"] / np.where(efficiency > 0, efficiency, 1.0)
    cuts = params.cut_data
    whole = partiality >= max(cuts.partiality_cutoff, 1e-3)
    profile, profile_variance = _intensity(table, "prf", Flags.INTEGRATED_PRF, factor)
    # A fitted profile estimates the whole reflection, a sum only the part that was recorded.
    summed, summed_variance = _intensity(table, "sum", Flags.INTEGRATED_SUM, factor / np.maximum(partiality, 1e-3))
    choice = params.reflection_selection.intensity_choice
    measured = {"profile": np.isfinite(profile), "sum": np.isfinite(summed)}
    measured["combine"] = measured["profile"] | measured["sum"]
    unusable = ~measured[choice] | ~whole | ~hkl.any(axis=1) | ~(factor > 0)
    with np.errstate(invalid="ignore"):
        for value, variance in ((profile, profile_variance), (summed, summed_variance)):
            unusable |= value < cuts.min_isigi * np.sqrt(variance)
    excluded = _outside(d, cuts) | ~on_valid_images(experiments, table)
    if not (~unusable & ~excluded).any():
        raise TooFewReflectionsError(
            "No reflections are left for scaling within the limits of resolution, partiality and I/sigma."
        )
    return Observations(
        table, sweep, table["xyzobs.px.value"][:, 2], d, factor, profile, profile_variance, summed, summed_variance,
        unusable, excluded, partiality >= params.reflection_selection.min_partiality,
        find_equivalents(hkl, symmetry_of(experiments)), n_before - table.n_rows,
    )  # fmt: skip


def _intensity(table: ReflectionTable, kind: str, flag: Flags, factor: Values) -> tuple[Values, Values]:
    """Corrected intensities and their variances, NaN where there is none."""
    if f"intensity.{kind}.value" not in table:
        return np.full(table.n_rows, np.nan), np.full(table.n_rows, np.nan)
    value, variance = table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"]
    good = table.has(flag) & (variance > 0)
    return np.where(good, value * factor, np.nan), np.where(good, variance * factor**2, np.nan)


def _outside(d: Values, cuts: CutParams) -> Mask:
    return (d < (cuts.d_min or 0)) | (d > (cuts.d_max or np.inf))
