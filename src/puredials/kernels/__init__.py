"""Compiled loops: numba only, one file per concern. Nothing here imports other parts of puredials."""

__all__: list[str] = []
