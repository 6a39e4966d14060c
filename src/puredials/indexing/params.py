"""Parameters of indexing; names as in DIALS's `indexing` scope."""

from typing import Literal

from puredials.params import Params, param
from puredials.refinement.params import (
    AutoReduction,
    BeamParams,
    DetectorParams,
    OutlierParams,
    RefineParams,
    Refinery,
    ReflectionParams,
)

__all__ = ["IndexParams", "IndexingParams", "KnownSymmetry", "MaxCellParams"]


class MaxCellParams(Params):
    filter_ice: bool = param(True, "Leave out spots on the powder rings of ice.", expert=2)
    multiplier: float = param(1.3, "Margin: max_cell is this times the longest cell edge found.", gt=0, expert=2)
    step_size: float = param(
        45.0, "Neighbours are looked for within steps of the rotation of this width.", unit="degrees", gt=0, expert=2
    )
    nearest_neighbor_percentile: float = param(
        0.99, "Share of the distances that is used: the very shortest are due to split spots.", gt=0, le=1, expert=2
    )
    nn_per_bin: int = param(5, "Mean number of distances in a bin of their histogram.", ge=1, expert=2)
    max_height_fraction: float = param(
        0.25, "A bin counts if it is this high relative to the highest.", gt=0, lt=1, expert=2
    )


class KnownSymmetry(Params):
    space_group: str | None = param(None, "Space group, such as P212121, or its number.")
    unit_cell: tuple[float, float, float, float, float, float] | None = param(
        None,
        "Unit cell, primitive or in the setting of the space group; centred cells need no space group.",
        unit="Angstrom, degrees",
    )
    relative_length_tolerance: float = param(
        0.1, "Largest relative difference of cell lengths from those of unit_cell.", gt=0, expert=1
    )
    absolute_angle_tolerance: float = param(
        5.0, "Largest difference of cell angles from those of unit_cell.", unit="degrees", gt=0, expert=1
    )
    max_delta: float = param(
        5.0,
        "Tolerance of Le Page's angle in finding cells that have the symmetry of the space group.",
        unit="degrees",
        gt=0,
        expert=1,
    )


class SimpleAssignment(Params):
    hkl_tolerance: float = param(
        0.3, "Largest distance of a spot from a lattice point, in indices.", gt=0, lt=0.87, expert=1
    )


class LocalAssignment(Params):
    epsilon: float = param(
        0.05, "Misfit of an index difference from whole numbers that costs no quality.", gt=0, lt=0.5, expert=1
    )
    delta: int = param(8, "Largest index difference that costs no quality.", ge=1, expert=1)
    l_min: float = param(0.8, "Smallest quality of an index difference.", ge=0, lt=1, expert=1)
    nearest_neighbours: int = param(20, "Neighbours of each spot to which differences are taken.", ge=1, expert=1)


class Assignment(Params):
    method: Literal["simple", "local"] = param(
        "simple",
        "The nearest node of the lattice, or whole differences of index from spot to neighbouring spot, which bear "
        "with a crystal that turns or bends.",
        expert=1,
    )
    simple: SimpleAssignment = SimpleAssignment()
    local: LocalAssignment = LocalAssignment()


class Grid(Params):
    n_points: int = param(256, "Points along each edge of the grid.", ge=32, expert=1)
    d_min: float | None = param(
        None,
        "Only spots to this resolution are transformed. Auto: what the grid resolves for cells of max_cell.",
        unit="Angstrom",
        gt=0,
        expert=1,
    )


class Fft3d(Params):
    b_iso: float | None = param(
        None, "Spots are damped as by this B factor. Auto: to 5 % at d_min.", unit="Angstrom^2", ge=0, expert=2
    )
    reciprocal_space_grid: Grid = Grid()


class Fft1d(Params):
    characteristic_grid: float = param(
        0.029, "Angle between neighbouring directions that are searched.", unit="radians", gt=0.002, lt=0.5, expert=1
    )


class GridSearch(Params):
    characteristic_grid: float = param(
        0.02, "Angle between neighbouring directions that are searched.", unit="radians", gt=0.002, lt=0.5, expert=1
    )
    max_vectors: int = param(30, "Most vectors that are kept.", ge=3, expert=1)


class Combinations(Params):
    max_combinations: int | None = param(
        None, "Most combinations of three basis vectors that are looked at; None is 2000.", ge=1, expert=1
    )
    max_refine: int | None = param(None, "Most candidates that are refined. Auto is 10.", ge=1, expert=1)


class Protocol(Params):
    n_macro_cycles: int = param(
        5, "Most cycles of assignment and refinement; they end early when assignment settles.", ge=1
    )
    d_min_start: float | None = param(
        None, "Resolution of the first cycle. Auto: that of the Fourier transform.", unit="Angstrom", gt=0
    )
    d_min_step: float | None = param(
        None, "Change of the resolution limit with each cycle. Auto: in equal steps.", unit="Angstrom", ge=0
    )
    d_min_final: float | None = param(None, "Resolution of the last cycle. Auto: all spots.", unit="Angstrom", ge=0)
    disable_unit_cell_volume_sanity_check: bool = param(
        False, "Accept a change of the cell volume by more than half in refinement.", expert=1
    )


class MultipleLattices(Params):
    max_lattices: int = param(1, "Most lattices to look for.", ge=1)
    recycle_unindexed_reflections_cutoff: float = param(
        0.1, "Look for a further lattice if at least this share of the spots is not indexed.", ge=0, le=1, expert=1
    )
    minimum_angular_separation: float = param(
        5.0, "Smallest misorientation of a further lattice from those found.", unit="degrees", ge=0, expert=1
    )


class IndexingParams(Params):
    """The `indexing` scope."""

    nproc: int | None = param(None, "Threads at work (Auto: as many as there are processors).", ge=1)
    image_range: tuple[int, int] | None = param(
        None, "Only spots with centroids on the images from the first to the last one given are indexed."
    )
    joint_indexing: bool = param(
        True, "One crystal for all image sets; false: each image set is indexed by itself (stills always are)."
    )
    method: Literal["fft3d", "fft1d", "real_space_grid_search"] = param(
        "fft3d",
        "Lattice vectors from a three-dimensional Fourier transform, from one-dimensional ones, or from the edges of "
        "the known unit cell tried in all directions.",
    )
    min_cell: float = param(3.0, "Shortest cell edge.", unit="Angstrom", gt=0, expert=1)
    max_cell: float | None = param(
        None,
        "Longest cell edge. Auto: from the known cell, or from the distances of neighbouring spots.",
        unit="Angstrom",
        gt=0,
    )
    min_cell_volume: float = param(25.0, "Smallest volume of a cell.", unit="Angstrom^3", gt=0, expert=1)
    max_cell_estimation: MaxCellParams = MaxCellParams()
    known_symmetry: KnownSymmetry = KnownSymmetry()
    index_assignment: Assignment = Assignment()
    fft1d: Fft1d = Fft1d()
    fft3d: Fft3d = Fft3d()
    real_space_grid_search: GridSearch = GridSearch()
    basis_vector_combinations: Combinations = Combinations()
    refinement_protocol: Protocol = Protocol()
    multiple_lattice_search: MultipleLattices = MultipleLattices()


class StaticCrystal(Params):
    fix: Literal["all", "cell", "orientation"] | None = param(None, "What of the crystal stays fixed.")


class StaticParameterisation(Params):
    # A narrow sweep among others may have few spots.
    auto_reduction: AutoReduction = AutoReduction(action="fix")
    beam: BeamParams = BeamParams()
    crystal: StaticCrystal = StaticCrystal()
    detector: DetectorParams = DetectorParams()


class StaticRefinement(Params):
    """The `refinement` scope of indexing: the crystal is the same all along a scan."""

    parameterisation: StaticParameterisation = StaticParameterisation()
    refinery: Refinery = Refinery()
    reflections: ReflectionParams = ReflectionParams(
        reflections_per_degree=100.0, outlier=OutlierParams(algorithm="tukey")
    )

    def full(self) -> RefineParams:
        """The same as parameters of refinement."""
        values = self.model_dump()
        values["parameterisation"]["scan_varying"] = False
        return RefineParams.model_validate(values)


class IndexParams(Params):
    """Parameters of `dials.index`."""

    indexing: IndexingParams = IndexingParams()
    refinement: StaticRefinement = StaticRefinement()

    def with_instrument_fixed(self) -> "IndexParams":
        """The same but that refinement moves neither beam nor detector."""
        values = self.model_dump()
        values["refinement"]["parameterisation"]["beam"]["fix"] = ("all",)
        values["refinement"]["parameterisation"]["detector"]["fix"] = "all"
        return type(self).model_validate(values)
