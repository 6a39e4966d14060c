"""Refinement of the experimental geometry against the centroids of indexed spots (Waterman et al. 2016)."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "params": ["RefineParams"],
        "crystals": ["crystal_text", "with_esd"],
        "refining": ["RefinementResult", "refine", "refine_experiments"],
        "tables": ["macrocycle_text", "rmsd_table", "steps_table"],
    },
)
