from .decisions import (
    Decision,
    choose_beam_search,
    choose_joint,
    choose_lattices,
    choose_minimum,
    choose_scan_varying,
    enough_indexed,
    is_rotation,
    may_hold_another_lattice,
)
from .evidence import LatticeAgreement, lattice_agreement, lattices_on_the_same_images, rejected_shares
from .merging_decisions import (
    choose_anomalous,
    choose_cells,
    choose_cut,
    choose_exclusions,
    choose_merged_lattices,
    choose_scaling,
    choose_symmetry,
    explain_space_group,
    judge_merged,
)
from .record import Record
from .running import Activity, Running, activities

__all__ = [
    "Activity",
    "Decision",
    "LatticeAgreement",
    "Record",
    "Running",
    "activities",
    "choose_anomalous",
    "choose_beam_search",
    "choose_cells",
    "choose_cut",
    "choose_exclusions",
    "choose_joint",
    "choose_lattices",
    "choose_merged_lattices",
    "choose_minimum",
    "choose_scaling",
    "choose_scan_varying",
    "choose_symmetry",
    "enough_indexed",
    "explain_space_group",
    "is_rotation",
    "judge_merged",
    "lattice_agreement",
    "lattices_on_the_same_images",
    "may_hold_another_lattice",
    "rejected_shares",
]
