from .crystals import crystal_text, with_esd
from .params import RefineParams
from .refining import RefinementResult, refine, refine_experiments
from .tables import macrocycle_text, rmsd_table, steps_table

__all__ = [
    "RefineParams",
    "RefinementResult",
    "crystal_text",
    "macrocycle_text",
    "refine",
    "refine_experiments",
    "rmsd_table",
    "steps_table",
    "with_esd",
]
