"""Merging symmetry-equivalent observations: intensities, amplitudes, free flags, limits of resolution."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "equivalents": ["Equivalents", "Merged", "find_equivalents", "merge"],
        "cross_validation": ["extend_free_flags", "free_flags"],
        "french_wilson": ["amplitudes", "local_mean_intensity"],
        "observations": ["Observations", "combine_partials", "scaled_observations"],
        "params": ["MergeParams", "ResolutionParams", "UnmergedParams"],
        "resolution": ["ResolutionResult", "estimate_resolution"],
        "tables": ["anomalous_table", "merging_statistics", "merging_summary", "merging_table"],
        "unique": ["MergeResult", "merge_data"],
        "unmerged": ["UnmergedData", "unmerged_data"],
        "wilson": ["WilsonPlot", "wilson_plot"],
    },
)
