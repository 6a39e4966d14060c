from .bravais import BravaisResult, BravaisSetting, refine_bravais_settings
from .bravais_params import BravaisParams
from .bravais_tables import bravais_summary, bravais_text
from .indexing import IndexResult, index
from .params import IndexParams
from .tables import candidate_table, course_text, index_text

__all__ = [
    "BravaisParams",
    "BravaisResult",
    "BravaisSetting",
    "IndexParams",
    "IndexResult",
    "bravais_summary",
    "bravais_text",
    "candidate_table",
    "course_text",
    "index",
    "index_text",
    "refine_bravais_settings",
]
