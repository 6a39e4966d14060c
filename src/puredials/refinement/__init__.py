"""Refinement of the experimental geometry against the centroids of indexed spots (Waterman et al. 2016)."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "params": ["RefineParams"],
        "refine": ["RefinementResult", "refine", "refine_experiments"],
        "tables": ["crystal_text", "macrocycle_text", "rmsd_table"],
    },
)
