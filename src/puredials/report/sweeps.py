"""Statistics by data set, for the pages of dials.scale and dials.merge."""

from collections.abc import Sequence

from puredials.merging.by_sweep import SWEEP_HEADER, SweepStatistics, sweep_rows
from puredials.report.page import Section

__all__ = ["sweep_sections"]


def sweep_sections(statistics: Sequence[SweepStatistics]) -> list[Section]:
    """A table, if there are several data sets."""
    if len(statistics) < 2:
        return []
    text = (
        "Each data set by itself: completeness to Rmeas, and CC½; and against the others: Rmerge to the means of all, "
        "and the correlation of its merged intensities with those of the others. A data set that stands out here is of "
        "another crystal, in another setting or damaged."
    )
    header = [title.replace("\n", " ") for title in SWEEP_HEADER]
    return [Section("Statistics by data set", text, header=header, rows=sweep_rows(statistics))]
