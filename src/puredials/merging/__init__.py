"""Merging symmetry-equivalent observations: intensities, amplitudes, free flags, limits of resolution."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "equivalents": ["Equivalents", "Merged", "find_equivalents", "merge"],
        "free_flags": ["extend_free_flags", "free_flags"],
        "french_wilson": ["amplitudes", "local_mean_intensity"],
        "merge_data": ["MergeResult", "merge_data"],
        "observations": ["Observations", "combine_partials", "scaled_observations"],
        "params": ["MergeParams", "ResolutionParams"],
        "resolution": ["ResolutionResult", "estimate_resolution"],
        "unmerged": ["UnmergedData", "unmerged_data"],
        "wilson": ["WilsonPlot", "wilson_plot"],
    },
)
