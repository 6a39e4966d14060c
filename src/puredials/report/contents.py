"""The contents of dials.report: all that is known of the data at the stage they are at, and what deserves a look."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from puredials.errors import MismatchError, PuredialsError
from puredials.io.profiles import ReferenceProfiles
from puredials.merging.params import FreeFlagParams, MergeParams
from puredials.merging.tables import merging_statistics, merging_table
from puredials.merging.unique import merge_data
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.report import remarks as on
from puredials.report.along import along, place_along
from puredials.report.attention import attention_section, remarks_on, scaled_remarks
from puredials.report.beams import beam_sections
from puredials.report.centroids import centroid_residuals, centroid_sections, residual_maps, rmsd_along
from puredials.report.crystals import crystal_course, crystal_sections
from puredials.report.intensities import (
    background_by_resolution,
    intensity_sections,
    overloaded_share,
    significance,
)
from puredials.report.page import Section
from puredials.report.profiles import profile_correlations, profile_sections
from puredials.report.references import reference_sections
from puredials.report.remarks import Remark
from puredials.report.scaling import scaled_sections
from puredials.report.spots import indexed_share, spot_counts, spot_sections

__all__ = ["Report", "report", "stage_of"]

_SHELLS = 20
# Share of the scan at either end where residuals are larger: spots are cut off, and no later image holds the models.
_ENDS = 0.08
_MODELS = {"physical", "KB"}
_STAGES = {
    "strong": "Strong spots",
    "indexed": "Indexed spots",
    "integrated": "Integrated reflections",
    "scaled": "Scaled reflections",
}


@dataclass(frozen=True)
class Report:
    """`stage` is strong, indexed, integrated or scaled; `notes`: what could not be shown, and why."""

    stage: str
    sections: tuple[Section, ...]
    remarks: tuple[Remark, ...]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return _STAGES[self.stage]


def stage_of(table: ReflectionTable) -> str:
    """How far the data are."""
    if "inverse_scale_factor" in table:
        return "scaled"
    if table.has(Flags.INTEGRATED).any():
        return "integrated"
    return "indexed" if table.has(Flags.INDEXED).any() and "xyzcal.px" in table else "strong"


def report(
    experiments: Experiments,
    table: ReflectionTable,
    *,
    pixels_per_bin: int = 40,
    centroid_diff_max: float | None = None,
    profiles: Sequence[ReferenceProfiles] = (),
) -> Report:
    """All plots of the data, and remarks on them; `profiles`: with which the reflections were fitted.

    Raises:
        MismatchError: there are no reflections.
    """
    if table.n_rows == 0:
        raise MismatchError("There is nothing to report: the file of reflections is empty.")
    stage = stage_of(table)
    parts = [_spots(experiments, table)]
    if stage != "strong":
        parts.append(_models(experiments, table, pixels_per_bin, centroid_diff_max))
    if stage in ("integrated", "scaled"):
        parts.append(_intensities(experiments, table, pixels_per_bin))
        parts.append((reference_sections(experiments, table, profiles), []))
    notes: list[str] = []
    if stage == "scaled":
        notes += _unknown_models(experiments)
        try:
            parts.append(_scaled(experiments, table))
        except PuredialsError as error:
            notes.append(f"No merging statistics: {error}")
    sections = [s for found, _ in parts for s in found]
    remarks = [r for _, found in parts for r in found]
    shown = remarks_on(sections, remarks)
    return Report(stage, (attention_section(sections, shown), *sections), shown, tuple(notes))


def _unknown_models(experiments: Experiments) -> list[str]:
    kinds = {str((e.scaling_model or {}).get("__id__", "physical")) for e in experiments}
    return [f"Scaling models of the kind {kind} have no plots of their own." for kind in sorted(kinds - _MODELS)]


Part = tuple[list[Section], list[Remark]]


def _spots(experiments: Experiments, table: ReflectionTable) -> Part:
    counts = spot_counts(experiments, table)["strong"]
    remarks = on.of_steps("spots_per_image", "The number of spots", counts, rise=2.0, fall=0.5)
    remarks += on.of_few_spots(counts)
    share = indexed_share(experiments, table)
    if share:
        total = sum(float(p.count.sum()) for p in share)
        indexed = sum(float(np.nansum(p.value * p.count)) for p in share)
        remarks += on.of_uneven_indexing(share) or on.of_indexing(indexed / total, int(total))
        remarks += on.of_steps("indexed_share", "The indexed share", share, fall=0.7)
    return spot_sections(experiments, table), remarks


def _models(experiments: Experiments, table: ReflectionTable, pixels: int, largest: float | None) -> Part:
    sections: list[Section] = []
    remarks: list[Remark] = []
    residuals = centroid_residuals(experiments, table)
    if residuals is not None:
        sections += centroid_sections(experiments, residuals, pixels_per_bin=pixels, centroid_diff_max=largest)
        for name, parts in rmsd_along(experiments, residuals).items():
            unit = "°" if name == "phi" else " px"
            what = f"RMSD in {name}"
            remarks += on.of_steps("rmsd_along_scan", what, parts, rise=1.4, fall=0.7, unit=unit, ends=_ENDS)
        remarks += on.of_maps(residual_maps(experiments, residuals, pixels), residuals.rmsd)
    courses = [c for k, e in enumerate(experiments) if (c := crystal_course(k, e)) is not None]
    remarks += on.of_cell(courses) + on.of_orientation(courses)
    return [*sections, *crystal_sections(experiments), *beam_sections(experiments)], remarks


def _intensities(experiments: Experiments, table: ReflectionTable, pixels: int) -> Part:
    sections = [
        *intensity_sections(experiments, table, pixels_per_bin=pixels),
        *profile_sections(experiments, table, pixels_per_bin=pixels),
    ]
    number, z, ratio = table["id"].astype(np.int64), place_along(table), significance(table)
    correlation = profile_correlations(table)
    remarks = on.of_steps("i_over_sigma_scan", "I/σ", along(experiments, number, z, ratio), rise=2.0, fall=0.6)
    remarks += on.of_correlations(correlation, ratio)
    mean = along(experiments, number, z, correlation)
    remarks += on.of_steps("profile_correlation_scan", "The profile correlation", mean, fall=0.8)
    if (found := overloaded_share(table)) is not None:
        remarks += on.of_overloads(*found, int(table.has(Flags.OVERLOADED).sum()))
    if "background.mean" in table:
        measured = np.isfinite(ratio)
        background = along(experiments, number, z, np.where(measured, table["background.mean"], np.nan))
        remarks += on.of_steps("background_scan", "The background", background, rise=1.5, fall=0.67)
        if "d" in table:
            remarks += on.of_background(*background_by_resolution(table, measured))
    return sections, remarks


def _scaled(experiments: Experiments, table: ReflectionTable) -> Part:
    params = MergeParams(r_free_flags=FreeFlagParams(generate=False))
    merged = merge_data(experiments, table, params=params)
    statistics = merging_statistics(merged, _SHELLS)
    sections = [
        *scaled_sections(experiments, table, merged, statistics),
        Section("Merging statistics by resolution", log=merging_table(statistics)),
    ]
    return sections, scaled_remarks(experiments, table, merged, statistics)
