from .cross_validation import extend_free_flags, free_flags
from .equivalents import Equivalents, Merged, find_equivalents, merge
from .french_wilson import amplitudes, local_mean_intensity
from .observations import Observations, combine_partials, scaled_observations
from .params import MergeParams, ResolutionParams, UnmergedParams
from .resolution import ResolutionResult, estimate_resolution
from .tables import anomalous_table, merging_statistics, merging_summary, merging_table
from .twinning import TwinStatistics, twin_statistics
from .unique import MergeResult, merge_data
from .unmerged import UnmergedData, unmerged_data
from .wilson import WilsonPlot, wilson_plot

__all__ = [
    "Equivalents",
    "MergeParams",
    "MergeResult",
    "Merged",
    "Observations",
    "ResolutionParams",
    "ResolutionResult",
    "TwinStatistics",
    "UnmergedData",
    "UnmergedParams",
    "WilsonPlot",
    "amplitudes",
    "anomalous_table",
    "combine_partials",
    "estimate_resolution",
    "extend_free_flags",
    "find_equivalents",
    "free_flags",
    "local_mean_intensity",
    "merge",
    "merge_data",
    "merging_statistics",
    "merging_summary",
    "merging_table",
    "scaled_observations",
    "twin_statistics",
    "unmerged_data",
    "wilson_plot",
]
