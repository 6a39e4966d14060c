"""Parameters of the search for data that do not agree with the rest."""

from typing import Literal

from puredials.params import Params, param

__all__ = ["DeltaCCHalfParams", "FilterCycleParams", "FilteringParams", "GroupParams"]


class GroupParams(Params):
    """What is left out at a time, and what is taken for bad."""

    mode: Literal["dataset", "image_group"] = param("dataset", "Leave out data sets, or groups of images in a row.")
    group_size: int = param(10, "Images in a group.", ge=1)
    stdcutoff: float = param(
        4.0, "Groups are bad whose ΔCC1/2 is below the mean of the others by this many standard deviations.", gt=0
    )


class DeltaCCHalfParams(GroupParams):
    """The analysis of ΔCC1/2."""

    nbins: int = param(10, "Shells of resolution over which CC1/2 is averaged.", ge=1)
    dmin: float | None = param(None, "Use no reflections beyond this resolution.", unit="Angstrom", gt=0)
    dmax: float | None = param(None, "Use no reflections of lower resolution.", unit="Angstrom", gt=0)


class FilterCycleParams(GroupParams):
    """Cycles of scaling and filtering by ΔCC1/2."""

    max_cycles: int = param(6, "Largest number of cycles.", ge=1)
    max_percent_removed: float = param(10.0, "Never remove more than this share of the reflections, in percent.",
                                       ge=0, le=100)  # fmt: skip
    min_completeness: float | None = param(
        None, "Remove nothing that would bring the completeness below this, in percent.", ge=0, le=100
    )


class FilteringOutput(Params):
    """Files of the filtering."""

    scale_and_filter_results: str | None = param(
        "scale_and_filter_results.json", "What each cycle of filtering found and removed (None: not written)."
    )


class FilteringParams(Params):
    """Removal of data that do not agree with the rest."""

    method: Literal["deltacchalf"] | None = param(None, "Scale and remove bad data in turn, or None.")
    deltacchalf: FilterCycleParams = FilterCycleParams()
    output: FilteringOutput = FilteringOutput()
