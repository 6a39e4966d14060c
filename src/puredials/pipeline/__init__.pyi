from .decisions import (
    Decision,
    choose_beam_search,
    choose_cut,
    choose_joint,
    choose_minimum,
    choose_scan_varying,
    choose_symmetry,
    enough_equivalents,
    enough_indexed,
    is_rotation,
)
from .record import Record
from .running import Activity, Running, activities

__all__ = [
    "Activity",
    "Decision",
    "Record",
    "Running",
    "activities",
    "choose_beam_search",
    "choose_cut",
    "choose_joint",
    "choose_minimum",
    "choose_scan_varying",
    "choose_symmetry",
    "enough_equivalents",
    "enough_indexed",
    "is_rotation",
]
