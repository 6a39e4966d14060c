from .determine import SymmetryResult, determine_symmetry
from .lattice import LatticeSetting, basis_text, lattice_settings, primitive_reduced_basis
from .params import SymmetryParams
from .reindex import reindex_crystal, reindex_experiments, reindex_table, symmetrized_setting
from .tables import symmetry_report, symmetry_summary

__all__ = [
    "LatticeSetting",
    "SymmetryParams",
    "SymmetryResult",
    "basis_text",
    "determine_symmetry",
    "lattice_settings",
    "primitive_reduced_basis",
    "reindex_crystal",
    "reindex_experiments",
    "reindex_table",
    "symmetrized_setting",
    "symmetry_report",
    "symmetry_summary",
]
