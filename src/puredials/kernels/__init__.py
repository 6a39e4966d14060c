"""Compiled loops: numba only, one file per concern. Nothing here imports other parts of puredials."""
