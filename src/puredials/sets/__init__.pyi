from .choosing import choose_datasets, exclude_images, on_valid_images, without_images
from .combining import combine_experiments, merge_equal_imagesets, named
from .names import assign_identifiers, image_names
from .params import CombineParams, SliceParams, SplitParams, SubsetParams
from .slicing import block_ranges, slice_experiments, slice_reflections
from .splitting import select_experiments, split_experiments
from .subsets import choose_subset, in_batches

__all__ = [
    "CombineParams",
    "SliceParams",
    "SplitParams",
    "SubsetParams",
    "assign_identifiers",
    "block_ranges",
    "choose_datasets",
    "choose_subset",
    "combine_experiments",
    "exclude_images",
    "image_names",
    "in_batches",
    "merge_equal_imagesets",
    "named",
    "on_valid_images",
    "select_experiments",
    "slice_experiments",
    "slice_reflections",
    "split_experiments",
    "without_images",
]
