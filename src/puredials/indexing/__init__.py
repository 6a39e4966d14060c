"""Indexing: the lattice of a crystal from the positions of strong spots."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
