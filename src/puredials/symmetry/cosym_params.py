"""Parameters of the joint analysis of symmetry and indexing ambiguity."""

from typing import Literal

from puredials.params import Params, param
from puredials.symmetry.params import AnalysisParams

__all__ = ["CellClustering", "CosymParams", "Minimization"]


class CellClustering(Params):
    """Crystals of other lattices than most are left out."""

    threshold: float = param(
        5000.0, "Lattices nearer than this are of one cluster; the largest is kept.", unit="Angstrom^2", ge=0
    )
    log: bool = param(False, "Show the tree of lattices with a logarithmic scale.")


class Minimization(Params):
    """The search for coordinates."""

    max_iterations: int = param(100, "Stop after this many.", ge=1)


class CosymParams(AnalysisParams):
    """Symmetry and indexing ambiguity of many sets."""

    unit_cell_clustering: CellClustering = CellClustering()
    lattice_symmetry_max_delta: float = param(
        5.0, "Largest deviation of a two-fold axis from the normal of its lattice plane.", unit="degrees", ge=0, le=10
    )
    lattice_group: str | None = param(
        None, "Symmetry of the lattice (a space group symbol), within which settings are sought (Auto: by the cell)."
    )
    space_group: str | None = param(None, "The space group, instead of the one found.")
    dimensions: int | None = param(
        None, "Number of dimensions of the coordinates (Auto: at the elbow of the functional).", ge=2
    )
    weights: Literal["count", "standard_error"] | None = param(
        "count",
        "Weights of correlations: the number of common reflections, or the inverse square of the standard error that "
        "follows from it and the correlation (None: all alike).",
        expert=1,
    )
    cc_weights: Literal["sigma"] | None = param(
        None, "Weights of reflections in a correlation: by their errors (None: all alike).", expert=1
    )
    min_pairs: int = param(3, "A correlation needs this many common reflections.", expert=1, ge=3)
    min_reflections: int = param(10, "Sets with fewer reflections are left out.", expert=1, ge=3)
    minimization: Minimization = Minimization()
    nproc: int | None = param(None, "Sets worked on at a time (Auto: as many as there are processors).", ge=1)
