"""Parameters of refinement; names as in DIALS's `refinement` scope."""

from typing import Literal

from puredials.params import Params, param

__all__ = ["OutlierParams", "Parameterisation", "RefineParams", "SmootherParams"]


class SmootherParams(Params):
    interval_width_degrees: float = param(36.0, "Width of an interval between nodes.", unit="degrees", gt=0, expert=1)
    absolute_num_intervals: int | None = param(
        None, "Number of intervals; overrides interval_width_degrees.", ge=1, expert=1
    )


class BeamParams(Params):
    fix: tuple[Literal["all", "in_spindle_plane", "out_spindle_plane", "wavelength"], ...] = param(
        ("in_spindle_plane", "wavelength"),
        "What of the beam stays fixed. By default its direction moves in the plane of beam and rotation axis only: a "
        "turn about the axis cannot be told from a turn of the crystal.",
        expert=1,
    )


class UnitCell(Params):
    force_static: bool = param(False, "Keep the cell the same all along the scan.", expert=1)
    smoother: SmootherParams = SmootherParams()


class Orientation(Params):
    force_static: bool = param(False, "Keep the orientation the same all along the scan.", expert=1)
    smoother: SmootherParams = SmootherParams()


class CrystalParams(Params):
    fix: Literal["all", "cell", "orientation"] | None = param(None, "What of the crystal stays fixed.")
    unit_cell: UnitCell = UnitCell()
    orientation: Orientation = Orientation()


class DetectorParams(Params):
    fix: Literal["all", "position", "orientation", "distance"] | None = param(
        None, "What of the detector stays fixed. It moves as one rigid body, whatever its panels."
    )


class AutoReduction(Params):
    min_nref_per_parameter: int = param(
        5, "Fewest observed coordinates (three for each reflection) for each parameter of a model.", ge=0, expert=1
    )
    action: Literal["fail", "fix"] = param(
        "fail", "With fewer: stop, or keep that model fixed and refine the others.", expert=1
    )


class Parameterisation(Params):
    auto_reduction: AutoReduction = AutoReduction()
    scan_varying: bool | None = param(
        None, "Let the crystal vary along the scan. Auto: first static refinement, then scan-varying."
    )
    compose_model_per: Literal["image", "block"] = param(
        "block", "The crystal is evaluated for each image, or for each block of the scan.", expert=1
    )
    block_width: float = param(1.0, "Width of such a block.", unit="degrees", gt=0, expert=1)
    set_scan_varying_errors: bool = param(
        False, "Store the covariance of the cell at each scan point (makes large files).", expert=1
    )
    beam: BeamParams = BeamParams()
    crystal: CrystalParams = CrystalParams()
    detector: DetectorParams = DetectorParams()


class Refinery(Params):
    max_iterations: int | None = param(None, "Most iterations of the minimiser; None is 100.", ge=1, expert=1)


class Weighting(Params):
    override: Literal["statistical", "constant"] | None = param(
        None, "statistical: 1/variance of the centroids; constant: `constants`. None is statistical.", expert=1
    )
    delpsi_constant: float = param(1e6, "For stills, weight of the angle from the Ewald sphere.", gt=0, expert=1)
    constants: tuple[float, float, float] = param((1.0, 1.0, 1.0), "Weights of X, Y and angle.", expert=1)


class Tukey(Params):
    iqr_multiplier: float = param(1.5, "Distance from the quartiles in interquartile ranges.", gt=0, expert=1)


class Mcd(Params):
    alpha: float = param(0.5, "Share of the data that determines location and spread.", ge=0.5, le=1, expert=1)
    threshold_probability: float = param(0.975, "Quantile of chi^2 beyond which a spot is an outlier.", gt=0, lt=1)


class OutlierParams(Params):
    algorithm: Literal["null", "auto", "mcd", "tukey"] = param("auto", "How outliers are found; auto is mcd.")
    minimum_number_of_reflections: int = param(20, "A job with fewer reflections rejects all of them.", ge=0, expert=1)
    separate_experiments: bool = param(True, "One job for each experiment, or one for all.", expert=1)
    separate_panels: bool = param(False, "One job for each panel.", expert=1)
    separate_blocks: bool = param(True, "One job for each block of the scan.", expert=1)
    block_width: float | None = param(
        None, "Width of a block. Auto: 18 degrees or more, so that each has enough reflections.", unit="degrees", gt=0
    )
    tukey: Tukey = Tukey()
    mcd: Mcd = Mcd()


class ReflectionParams(Params):
    reflections_per_degree: float | None = param(
        None,
        "Reflections used for each degree of the scan. Auto: all, but of scans beyond one turn no more than one turn "
        "has, or 100 a degree.",
        gt=0,
    )
    minimum_sample_size: int = param(1000, "Never take a smaller sample than this.", ge=0, expert=1)
    maximum_sample_size: int | None = param(None, "Most reflections used in refinement.", ge=1, expert=1)
    random_seed: int = param(42, "Seed for sampling reflections.", ge=0, expert=1)
    close_to_spindle_cutoff: float = param(
        0.02,
        "Reflections with |s1 . (s0 x axis)| below this (1/Angstrom^2) are left out: they stay on the sphere too long.",
        ge=0,
        expert=1,
    )
    scan_margin: float = param(
        0.0,
        "Reflections this near to the centre of the first or last image are left out.",
        unit="degrees",
        ge=0,
        expert=1,
    )
    weighting_strategy: Weighting = Weighting()
    outlier: OutlierParams = OutlierParams()


class RefineParams(Params):
    """The `refinement` scope."""

    parameterisation: Parameterisation = Parameterisation()
    refinery: Refinery = Refinery()
    reflections: ReflectionParams = ReflectionParams()
