from .cosym import CosymResult, cosym
from .cosym_params import CosymParams
from .cosym_tables import cosym_report, cosym_summary
from .determine import SymmetryResult, determine_symmetry
from .lattice import LatticeSetting, basis_text, lattice_settings, primitive_reduced_basis
from .match_reference import ReferenceMatch, match_reference, match_text
from .params import SymmetryParams
from .reindex import reindex_crystal, reindex_experiments, reindex_table, symmetrized_setting
from .tables import symmetry_report, symmetry_summary

__all__ = [
    "CosymParams",
    "CosymResult",
    "LatticeSetting",
    "ReferenceMatch",
    "SymmetryParams",
    "SymmetryResult",
    "basis_text",
    "cosym",
    "cosym_report",
    "cosym_summary",
    "determine_symmetry",
    "lattice_settings",
    "match_reference",
    "match_text",
    "primitive_reduced_basis",
    "reindex_crystal",
    "reindex_experiments",
    "reindex_table",
    "symmetrized_setting",
    "symmetry_report",
    "symmetry_summary",
]
