"""Indexing: the lattice of a crystal from the positions of strong spots."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "indexing": ["IndexResult", "index"],
        "params": ["IndexParams"],
        "tables": ["candidate_table", "course_text", "index_text"],
    },
)
