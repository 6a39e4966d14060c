"""What deserves a look: remarks on scaled and on merged data, and how remarks are told on a page and in a terminal."""

from collections.abc import Sequence

import numpy as np

from puredials.merging.tables import MergingStatistics
from puredials.merging.twinning import twin_statistics
from puredials.merging.unique import MergeResult
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.report import remarks as on
from puredials.report.damage import pairwise_r
from puredials.report.page import Section
from puredials.report.remarks import Remark
from puredials.report.scaling import (
    absorption_factors,
    batch_statistics,
    deviations_of,
    image_deviations,
    model_curve,
    outlier_share,
)

__all__ = ["attention_section", "attention_text", "merged_remarks", "remarks_on", "scaled_remarks"]

# Reflections that show the range of a correction.
_ENOUGH = 5000


def remarks_on(sections: Sequence[Section], remarks: Sequence[Remark]) -> tuple[Remark, ...]:
    """The remarks on plots that there are."""
    names = {s.name for s in sections}
    return tuple(r for r in remarks if r.plot in names)


def _rows(sections: Sequence[Section], remarks: Sequence[Remark]) -> list[tuple[str, str]]:
    headings = {s.name: s.heading for s in sections if s.name}
    return [(headings[r.plot], r.text) for r in remarks_on(sections, remarks)]


def attention_section(sections: Sequence[Section], remarks: Sequence[Remark]) -> Section:
    """The first section of a page of `sections`."""
    rows = _rows(sections, remarks)
    text = "Measured by fixed limits; the plots have the details." if rows else "Nothing stands out."
    return Section("What deserves a look", text, header=("plot", "why"), rows=rows, wide=True)


def attention_text(sections: Sequence[Section], remarks: Sequence[Remark]) -> str:
    """The same in lines."""
    rows = _rows(sections, remarks)
    if not rows:
        return "No plot stands out."
    return "\n".join(["Plots that deserve a look:", *(f"  {heading}: {text}" for heading, text in rows)])


def scaled_remarks(
    experiments: Experiments, table: ReflectionTable, merged: MergeResult, statistics: MergingStatistics
) -> list[Remark]:
    """On the scaling models, the images, the errors, and the merged data."""
    batches = batch_statistics(experiments, merged)
    remarks = on.of_steps("batch_rmerge", "Rmerge by image", batches["batch_rmerge"], rise=1.5, fall=0.67)
    remarks += on.of_steps("batch_scale", "The scale", batches["batch_scale"], rise=2.0, fall=0.5)
    remarks += on.of_flicker(image_deviations(experiments, merged))
    decay = [(k, *c) for k, e in enumerate(experiments) if (c := model_curve(e, "decay")) is not None]
    remarks += on.of_decay(decay)
    scaled = table.has(Flags.SCALED)
    for k, experiment in enumerate(experiments):
        own = np.flatnonzero(scaled & (table["id"] == k))
        factors = absorption_factors(experiment, table.select(own[:: max(1, len(own) // _ENOUGH)]))
        if factors is not None:
            order = (experiment.scaling_model or {}).get("configuration_parameters", {}).get("lmax", 0)
            remarks += on.of_absorption(k, factors, order)
    remarks += on.of_deviations(deviations_of(merged)[1]["scaled"])
    # At the ends of the scan the share of a reflection that was seen is not known well: some of these are always off.
    remarks += on.of_outliers(outlier_share(experiments, table, whole=True))
    remarks += on.of_damage(pairwise_r(experiments, merged))
    return remarks + merged_remarks(merged, statistics)


def merged_remarks(merged: MergeResult, statistics: MergingStatistics) -> list[Remark]:
    """On completeness, resolution and twinning."""
    remarks = on.of_completeness(statistics) + on.of_resolution(statistics)
    return remarks + on.of_twinning(twin_statistics(merged.equivalents, merged.mean, merged.d))
