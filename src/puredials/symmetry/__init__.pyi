from .cell_clusters import CellCluster, CellClusters, cluster_cells, lattice_distances
from .cell_tables import cluster_report, cluster_summary
from .cosym import CosymResult, cosym
from .cosym_params import CosymParams
from .cosym_tables import cosym_report, cosym_summary
from .determine import SymmetryAnalysis, SymmetryResult, determine_symmetry
from .lattice import LatticeSetting, basis_text, lattice_settings, primitive_reduced_basis
from .match_reference import ReferenceMatch, match_reference, match_text
from .params import SymmetryParams
from .reindex import reindex_crystal, reindex_experiments, reindex_table, symmetrized_setting
from .tables import symmetry_report, symmetry_summary

__all__ = [
    "CellCluster",
    "CellClusters",
    "CosymParams",
    "CosymResult",
    "LatticeSetting",
    "ReferenceMatch",
    "SymmetryAnalysis",
    "SymmetryParams",
    "SymmetryResult",
    "basis_text",
    "cluster_cells",
    "cluster_report",
    "cluster_summary",
    "cosym",
    "cosym_report",
    "cosym_summary",
    "determine_symmetry",
    "lattice_distances",
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
