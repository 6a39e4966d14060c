from .beam_params import BeamSearchParams
from .beam_search import BeamSearchResult, Shift, search_beam_position
from .bravais import BravaisResult, BravaisSetting, refine_bravais_settings
from .bravais_params import BravaisParams
from .bravais_tables import bravais_summary, bravais_text
from .indexing import IndexResult, index
from .params import IndexParams
from .tables import candidate_table, course_text, index_text

__all__ = [
    "BeamSearchParams",
    "BeamSearchResult",
    "BravaisParams",
    "BravaisResult",
    "BravaisSetting",
    "IndexParams",
    "IndexResult",
    "Shift",
    "bravais_summary",
    "bravais_text",
    "candidate_table",
    "course_text",
    "index",
    "index_text",
    "refine_bravais_settings",
    "search_beam_position",
]
