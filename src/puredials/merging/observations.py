"""Which rows of a reflection table are merged or exported, and their corrected intensities."""

from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from puredials.errors import MismatchError, TooFewReflectionsError
from puredials.model import Experiments, Flags, ReflectionTable

__all__ = [
    "Observations",
    "combine_partials",
    "image_numbers",
    "median_cell",
    "scaled_observations",
    "scaled_rows",
    "symmetry_of",
    "wavelength_groups",
]

Values = Float64[np.ndarray, " n"]
# Columns of parts that add up; those of the other columns are taken from the part that recorded most.
_ADDITIVE = (
    "intensity.sum.value",
    "intensity.sum.variance",
    "background.sum.value",
    "background.sum.variance",
    "partiality",
    "num_pixels.valid",
    "num_pixels.background",
    "num_pixels.background_used",
    "num_pixels.foreground",
)
_WEIGHTED = ("intensity.prf", "intensity.scale")


@dataclass(frozen=True, eq=False)
class Observations:
    """Scaled, unmerged intensities: I = value / g, its variance, and d (Angstrom); `experiment` is the id."""

    hkl: Int32[np.ndarray, "n 3"]
    value: Values
    variance: Values
    d: Values
    experiment: Int32[np.ndarray, " n"]
    table: ReflectionTable

    def select(self, which: Bool[np.ndarray, " n"]) -> "Observations":
        return Observations(
            self.hkl[which],
            self.value[which],
            self.variance[which],
            self.d[which],
            self.experiment[which],
            self.table.select(which),
        )


def symmetry_of(experiments: Experiments) -> gemmi.GroupOps:
    """The symmetry that all crystals share."""
    halls = {e.crystal.hall for e in experiments if e.crystal is not None}
    if not halls:
        raise MismatchError("The experiments have no crystal; index and integrate them first.")
    groups = {tuple(sorted(op.triplet() for op in gemmi.symops_from_hall(hall))) for hall in halls}
    if len(groups) > 1:
        names = ", ".join(sorted(halls))
        raise MismatchError(f"The experiments have different space groups (Hall symbols {names}); reindex them to one.")
    return gemmi.symops_from_hall(halls.pop())


def median_cell(experiments: Experiments) -> gemmi.UnitCell:
    """The median of each cell parameter over all crystals."""
    cells = [e.crystal.unit_cell.parameters for e in experiments if e.crystal is not None]
    if not cells:
        raise MismatchError("The experiments have no crystal; index and integrate them first.")
    return gemmi.UnitCell(*(float(v) for v in np.median(cells, axis=0)))


def wavelength_groups(
    experiments: Experiments, chosen: Sequence[int] | None = None, *, absolute: float = 0.0, relative: float = 0.0
) -> list[tuple[int, ...]]:
    """Numbers of experiments (of all, or those `chosen`) by wavelength, from the shortest on.

    Members are within `absolute` (Angstrom) plus `relative` times the shortest wavelength of their group.
    """
    groups: list[list[int]] = []
    chosen = range(len(experiments)) if chosen is None else chosen
    for n in sorted(chosen, key=lambda n: experiments[n].beam.wavelength):  # sorting is stable: order is kept
        shortest = experiments[groups[-1][0]].beam.wavelength if groups else 0.0
        if not groups or experiments[n].beam.wavelength > shortest * (1 + relative) + absolute:
            groups.append([])
        groups[-1].append(n)
    return [tuple(sorted(group)) for group in groups]


def scaled_rows(table: ReflectionTable) -> Bool[np.ndarray, " n"]:
    """Rows that were scaled and neither excluded nor found to be outliers."""
    if "inverse_scale_factor" not in table or "intensity.scale.value" not in table:
        raise MismatchError("The reflections are not scaled: run dials.scale first.")
    scaled = table.has(Flags.SCALED)
    if not scaled.any():  # written before there was a bit for it
        scaled = table.has(Flags.INTEGRATED)
    good = scaled & ~table.has(Flags.BAD_FOR_SCALING)
    return good & (table["inverse_scale_factor"] > 0) & (table["intensity.scale.variance"] > 0)


def scaled_observations(
    table: ReflectionTable,
    cell: gemmi.UnitCell,
    *,
    join_partials: bool = True,
    partiality_threshold: float = 0.4,
    d_min: float | None = None,
    d_max: float | None = None,
) -> Observations:
    """The scaled observations that take part in merging."""
    chosen = table.select(scaled_rows(table))
    if join_partials:
        chosen = combine_partials(chosen)
    if "partiality" in chosen:
        chosen = chosen.select(chosen["partiality"] >= partiality_threshold)
    hkl = np.ascontiguousarray(chosen["miller_index"], dtype=np.int32)
    d = np.asarray(cell.calculate_d_array(hkl), dtype=np.float64)
    inside = (d >= (d_min or 0)) & (d <= (d_max or np.inf))
    if not inside.any():
        raise TooFewReflectionsError("No scaled reflections are left within the limits of resolution and partiality.")
    g = chosen["inverse_scale_factor"]
    value, variance = chosen["intensity.scale.value"] / g, chosen["intensity.scale.variance"] / g**2
    every = Observations(hkl, value, variance, d, chosen["id"].astype(np.int32), chosen)
    return every if inside.all() else every.select(inside)


def image_numbers(experiments: Experiments, table: ReflectionTable) -> Int64[np.ndarray, " n"]:
    """Numbers of the images on which reflections are centred; beyond the ends of a scan its first or last image.

    The end of a reflection may be recorded whose centre is not.
    """
    z = (table["xyzobs.px.value"] if "xyzobs.px.value" in table else table["xyzcal.px"])[:, 2]
    image = np.floor(z).astype(np.int64) + 1
    for number, experiment in enumerate(experiments):
        if experiment.scan is not None:
            own = table["id"] == number
            image[own] = np.clip(image[own], *experiment.scan.image_range)
    return image


def combine_partials(table: ReflectionTable) -> ReflectionTable:
    """Parts of one reflection (same experiment, index and `partial_id`) become one row.

    A row of which nothing was recorded (partiality 0: a strong spot without a prediction) is part of none. Sums,
    backgrounds and partialities add. Fitted and scaled intensities are estimates of the whole already: their mean is
    weighted by partiality / variance, as a small part says little whatever its variance claims. Centroids are weighted
    by the partiality.
    """
    if "partial_id" not in table or "partiality" not in table:
        return table
    first, part = _groups(table)
    if len(first) == table.n_rows:
        return table
    order = np.lexsort((-table["partiality"], part))
    leader = order[np.searchsorted(part[order], np.arange(len(first)))]
    counts = np.bincount(part)
    joined = (counts > 1)[part]
    rows, of = np.flatnonzero(joined), part[joined]
    new = table.select(leader)
    many = np.flatnonzero(counts > 1)
    columns = {name: new[name].copy() for name in new if isinstance(new[name], np.ndarray)}

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(of, values, len(first))[many]

    share = np.maximum(table["partiality"][rows], 1e-6)
    for name in _ADDITIVE:
        if name in table:
            columns[name][many] = total(table[name][rows]).astype(columns[name].dtype)
    for name in _WEIGHTED:
        if f"{name}.value" in table:
            variance = table[f"{name}.variance"][rows]
            known = variance > 0
            weight = np.where(known, share / np.where(known, variance, 1), 0)
            sums = total(weight)
            good = sums > 0
            columns[f"{name}.value"][many[good]] = total(weight * table[f"{name}.value"][rows])[good] / sums[good]
            columns[f"{name}.variance"][many[good]] = total(weight**2 * variance)[good] / sums[good] ** 2
    for name in ("xyzobs.px.value", "xyzobs.mm.value"):
        if name in table:
            for axis in range(3):
                columns[name][many, axis] = total(share * table[name][rows, axis]) / total(share)
    # Rows stay in the order of their first parts.
    return new.with_columns(columns).select(np.argsort(first, kind="stable"))


def _groups(table: ReflectionTable) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " n"]]:
    """The first row of each reflection, and each row's reflection."""
    key = np.column_stack([table["id"], table["partial_id"].astype(np.int64), table["miller_index"]]).astype(np.int64)
    recorded = table["partiality"] > 0
    if len(np.unique(key[recorded, 1])) == recorded.sum():  # the usual case, without sorting rows
        return np.arange(len(key)), np.arange(len(key))
    alone = np.where(recorded, 0, 1 + np.arange(len(key)))
    _, first, part = np.unique(np.column_stack([key, alone]), axis=0, return_index=True, return_inverse=True)
    return first, part.reshape(-1)
