"""Laue group, space group and reindexing."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "determine": ["SymmetryResult", "determine_symmetry"],
        "lattice": ["LatticeSetting", "basis_text", "lattice_settings", "primitive_reduced_basis"],
        "params": ["SymmetryParams"],
        "reindex": ["reindex_crystal", "reindex_experiments", "reindex_table", "symmetrized_setting"],
        "tables": ["symmetry_report", "symmetry_summary"],
    },
)
