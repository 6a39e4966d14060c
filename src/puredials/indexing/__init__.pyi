from .indexing import IndexResult, index
from .params import IndexParams
from .tables import candidate_table, course_text, index_text

__all__ = [
    "IndexParams",
    "IndexResult",
    "candidate_table",
    "course_text",
    "index",
    "index_text",
]
