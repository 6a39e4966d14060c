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

__all__ = [
    "Decision",
    "Record",
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
