from .combining import combine_experiments, merge_equal_imagesets
from .names import assign_identifiers
from .params import CombineParams, SliceParams, SplitParams
from .slicing import block_ranges, slice_experiments, slice_reflections
from .splitting import select_experiments, split_experiments

__all__ = [
    "CombineParams",
    "SliceParams",
    "SplitParams",
    "assign_identifiers",
    "block_ranges",
    "combine_experiments",
    "merge_equal_imagesets",
    "select_experiments",
    "slice_experiments",
    "slice_reflections",
    "split_experiments",
]
