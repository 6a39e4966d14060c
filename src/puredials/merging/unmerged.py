"""Unmerged intensities for other programs: rows, corrections and columns."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from puredials.errors import MismatchError, TooFewReflectionsError
from puredials.merging.observations import (
    combine_partials,
    image_numbers,
    median_cell,
    scaled_rows,
    symmetry_of,
    wavelength_groups,
)
from puredials.merging.params import UnmergedParams
from puredials.model import Experiments, Flags, ReflectionTable

__all__ = ["UnmergedData", "batch_offsets", "unmerged_data"]

Values = Float64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class UnmergedData:
    """Observations to be exported.

    Attributes:
        table: their rows (partials joined), in the order of the input.
        hkl: (n, 3) as measured; batch: (n,) image number plus the offset of its experiment.
        intensities: kind ("scale", "sum", "profile") -> (I, sigma), corrected; the first is the principal one.
        cell, symmetry of all; offsets: of the batch numbers, one an experiment.
        wavelengths: (Angstrom) that differ; dataset: of each experiment, the number of its wavelength, from 1.
        counts: what was read, selected, joined and left out, for the log.
    """

    table: ReflectionTable
    hkl: Int32[np.ndarray, "n 3"]
    batch: Int64[np.ndarray, " n"]
    intensities: Mapping[str, tuple[Values, Values]]
    cell: gemmi.UnitCell
    symmetry: gemmi.GroupOps
    wavelengths: tuple[float, ...]
    dataset: tuple[int, ...]
    offsets: tuple[int, ...]
    counts: Mapping[str, int]

    @property
    def d(self) -> Values:
        """(n,) Angstrom."""
        return np.asarray(self.cell.calculate_d_array(self.hkl), dtype=np.float64)

    def columns(self) -> dict[str, tuple[str, np.ndarray]]:
        """Columns of an unmerged MTZ file after H K L M/ISYM BATCH: label -> (type, values)."""
        columns: dict[str, tuple[str, np.ndarray]] = {}
        for kind, (value, sigma) in self.intensities.items():
            name = "IPR" if kind == "profile" and len(self.intensities) > 1 else "I"
            columns[name], columns[f"SIG{name}"] = ("J", value), ("Q", sigma)
        table = self.table

        def add(label: str, name: str, change: Any = None) -> None:
            if name in table:
                columns[label] = ("R", table[name] if change is None else change(table[name]))

        if "scale" in self.intensities:
            add("SCALEUSED", "inverse_scale_factor")
            add("SIGSCALEUSED", "inverse_scale_factor_variance", lambda v: np.sqrt(np.maximum(v, 0)))
        add("BG", "background.sum.value")
        add("SIGBG", "background.sum.variance", lambda v: np.sqrt(np.maximum(v, 0)))
        add("FRACTIONCALC", "partiality")
        add("XDET", "xyzobs.px.value", lambda v: v[:, 0])
        add("YDET", "xyzobs.px.value", lambda v: v[:, 1])
        add("ROT", "xyzcal.mm", lambda v: np.degrees(v[:, 2]))
        add("LP", "lp")
        add("QE", "qe" if "qe" in table else "dqe")
        return columns


def unmerged_data(
    experiments: Experiments, table: ReflectionTable, *, params: UnmergedParams | None = None
) -> UnmergedData:
    """Select, join and correct the observations: scaled ones, or integrated ones with Lorentz, polarization and
    detector efficiency applied."""
    params = params or UnmergedParams()
    symmetry = symmetry_of(experiments)
    cell = gemmi.UnitCell(*params.best_unit_cell) if params.best_unit_cell else median_cell(experiments)
    kinds = _kinds(table, params.intensity)
    counts = {"read": table.n_rows}
    chosen = table.select(_rows(table, kinds))
    counts["selected"] = chosen.n_rows
    if params.combine_partials:
        chosen = combine_partials(chosen)
        counts["joined"] = counts["selected"] - chosen.n_rows
    keep = np.ones(chosen.n_rows, dtype=bool)
    if "partiality" in chosen:
        keep &= chosen["partiality"] >= params.partiality_threshold
    intensities = {kind: _intensity(chosen, kind) for kind in kinds}
    for value, sigma in intensities.values():
        keep &= (sigma > 0) & (value >= params.min_isigi * sigma)
    hkl = np.ascontiguousarray(chosen["miller_index"], dtype=np.int32)
    if params.d_min is not None:
        keep &= np.asarray(cell.calculate_d_array(hkl)) >= params.d_min
    counts["removed"] = int((~keep).sum())
    if not keep.any():
        raise TooFewReflectionsError(
            "No integrated reflections are left to export: run dials.integrate, or loosen min_isigi, "
            "partiality_threshold or d_min."
        )
    chosen, hkl = chosen.select(keep), hkl[keep]
    groups = wavelength_groups(experiments, absolute=params.wavelength_tolerance)
    wavelengths = tuple(float(np.median([experiments[n].beam.wavelength for n in group])) for group in groups)
    dataset = tuple(next(k for k, group in enumerate(groups, 1) if n in group) for n in range(len(experiments)))
    offsets = batch_offsets(experiments)
    batch = image_numbers(experiments, chosen) + np.array(offsets)[chosen["id"]]
    return UnmergedData(
        chosen,
        hkl,
        batch,
        {kind: (value[keep], sigma[keep]) for kind, (value, sigma) in intensities.items()},
        cell,
        symmetry,
        wavelengths,
        dataset,
        offsets,
        counts,
    )


def batch_offsets(experiments: Experiments) -> tuple[int, ...]:
    """What to add to the image numbers of each experiment so that no batch number occurs twice.

    Offsets of the scans are kept if they serve; else each sweep starts at 1 more than a multiple of 100.
    """
    ranges = [e.scan.image_range if e.scan is not None else (1, 1) for e in experiments]
    given = [e.scan.batch_offset if e.scan is not None else 0 for e in experiments]
    taken = sorted((first + o, last + o) for (first, last), o in zip(ranges, given, strict=True))
    if all(b[0] > a[1] for a, b in itertools.pairwise(taken)):
        return tuple(given)
    offsets: list[int] = []
    highest = 0
    for first, last in ranges:
        offset = 0 if not offsets else -(-(highest + 1 - first) // 100) * 100
        offsets.append(max(offset, 0))
        highest = last + offsets[-1]
    return tuple(offsets)


def _kinds(table: ReflectionTable, asked: str) -> tuple[str, ...]:
    scaled = "intensity.scale.value" in table and "inverse_scale_factor" in table
    fitted = "intensity.prf.value" in table and bool(table.has(Flags.INTEGRATED_PRF).any())
    if asked == "auto":
        if scaled:
            return ("scale",)
        return ("profile", "sum") if fitted else ("sum",)
    kinds = tuple(asked.split("+"))
    if "scale" in kinds and not scaled:
        raise MismatchError("The reflections are not scaled: run dials.scale first, or choose intensity=sum.")
    if "profile" in kinds and not fitted:
        raise MismatchError("The reflections have no profile-fitted intensities: choose intensity=sum.")
    return kinds


def _rows(table: ReflectionTable, kinds: tuple[str, ...]) -> Bool[np.ndarray, " n"]:
    rows = table["miller_index"].any(axis=1) & (table["id"] >= 0)
    if "scale" in kinds:
        rows &= scaled_rows(table)
    if "sum" in kinds:
        rows &= table.has(Flags.INTEGRATED_SUM) & (table["intensity.sum.variance"] > 0)
    if "profile" in kinds:
        rows &= table.has(Flags.INTEGRATED_PRF) & (table["intensity.prf.variance"] > 0)
    return rows


def _intensity(table: ReflectionTable, kind: str) -> tuple[Values, Values]:
    if kind == "scale":
        factor = 1 / table["inverse_scale_factor"]
        name = "intensity.scale"
    else:
        name = "intensity.sum" if kind == "sum" else "intensity.prf"
        factor = np.ones(table.n_rows)
        if "lp" in table:
            factor = factor * table["lp"]
        for efficiency in ("qe", "dqe"):
            if efficiency in table:
                factor = factor / table[efficiency]
                break
        if kind == "sum" and "partiality" in table:
            factor = factor / np.where(table["partiality"] > 0, table["partiality"], np.inf)
    return table[f"{name}.value"] * factor, np.sqrt(np.maximum(table[f"{name}.variance"], 0)) * factor
