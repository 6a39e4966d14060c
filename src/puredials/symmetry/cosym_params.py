"""Parameters of the joint analysis of symmetry and indexing ambiguity."""

from puredials.params import param
from puredials.symmetry.params import SymmetryParams

__all__ = ["CosymParams"]


class CosymParams(SymmetryParams):
    """Symmetry and indexing ambiguity of many sets."""

    lattice_symmetry_max_delta: float = param(
        5.0, "Largest deviation of a two-fold axis from the normal of its lattice plane.", unit="degrees", ge=0, le=10
    )
    dimensions: int | None = param(
        None, "Number of dimensions of the coordinates (Auto: at the elbow of the functional).", ge=2
    )
    min_pairs: int = param(3, "A correlation needs this many common reflections.", expert=1, ge=3)
    min_reflections: int = param(10, "Sets with fewer reflections are left out.", expert=1, ge=3)
