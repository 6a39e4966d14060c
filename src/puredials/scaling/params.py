"""Parameters of scaling."""

from typing import Literal

from puredials.params import Params, param
from puredials.scaling.leave_out_params import FilteringParams
from puredials.sets.params import ImageSelection

__all__ = [
    "BasicErrorParams",
    "CombineParams",
    "CutParams",
    "DatasetParams",
    "ErrorModelParams",
    "KBParams",
    "PhysicalParams",
    "ScaleParams",
    "ScalingOptions",
    "ScalingRefineryParams",
    "SelectionParams",
    "WeightingParams",
]


class PhysicalParams(Params):
    """The physical model: scale and decay along the rotation, absorption by direction."""

    scale_interval: float | None = param(
        None, "Rotation between parameters of the scale (Auto: 1 to 3, by the width of the sweep).",
        unit="degrees", gt=0,
    )  # fmt: skip
    decay_correction: bool = param(True, "Refine relative B factors along the rotation.")
    decay_interval: float | None = param(
        None, "Rotation between parameters of the decay (Auto: 1.5 to 20, by the width of the sweep).",
        unit="degrees", gt=0,
    )  # fmt: skip
    decay_restraint: float = param(0.1, "Weight that pulls relative B factors to 0.", expert=1, ge=0)
    absorption_correction: bool | None = param(
        None, "Refine an absorption surface (Auto: for sweeps of more than 60 degrees)."
    )
    absorption_level: Literal["low", "medium", "high"] | None = param(
        None, "Expected relative absorption: low 1 %, medium 5 %, high 25 %; sets lmax and surface_weight."
    )
    lmax: int | None = param(
        None, "Highest order of the spherical harmonics of the surface (Auto: 4, or by absorption_level).",
        expert=1, ge=1, le=12,
    )  # fmt: skip
    surface_weight: float | None = param(
        None, "Weight that pulls the absorption surface to 1 (Auto: from the data, or by absorption_level).",
        expert=1, ge=0,
    )  # fmt: skip


class KBParams(Params):
    """The KB model: one scale and one relative B factor a sweep."""

    decay_correction: bool = param(True, "Refine a relative B factor.")


class CombineParams(Params):
    """Profile-fitted and summed intensities combined."""

    Imid: tuple[float, ...] | None = param(
        None, "Intensities at which both count alike, to choose from (0: profile only, 1: sum only; Auto: 0, 1 and "
        "several between the mean and the largest intensity).", expert=1,
    )  # fmt: skip


class SelectionParams(Params):
    """Which reflections determine the model, and by which of their intensities."""

    min_partiality: float = param(
        0.95, "Reflections of which a smaller share was recorded are scaled, but do not determine the model.",
        expert=1, ge=0, le=1,
    )  # fmt: skip
    intensity_choice: Literal["profile", "sum", "combine"] = param(
        "combine", "Intensities to scale: profile-fitted, summed, or sums for strong reflections where that is better."
    )
    combine: CombineParams = CombineParams()


class BasicErrorParams(Params):
    """sigma'^2 = a^2 (sigma^2 + c L I + (b I)^2)."""

    a: float | None = param(None, "Fixed value of a (Auto: fitted).", gt=0)
    b: float | None = param(None, "Fixed value of b (Auto: fitted).", ge=0)
    c: float | None = param(None, "Fixed value of c, in which L turns counts into scaled units (Auto: fitted).", ge=0)


class ErrorModelParams(Params):
    """Standard deviations that agree with the spread of equivalent reflections."""

    error_model: Literal["basic"] | None = param("basic", "None leaves the standard deviations of integration.")
    basic: BasicErrorParams = BasicErrorParams()
    grouping: Literal["individual", "combined"] = param(
        "combined", "One error model for each sweep, or one for all sweeps.", expert=1
    )


class WeightingParams(Params):
    """Weights of the observations."""

    error_model: ErrorModelParams = ErrorModelParams()


class CutParams(Params):
    """Reflections to leave out."""

    d_min: float | None = param(None, "Leave out reflections beyond this resolution.", unit="Angstrom", gt=0)
    d_max: float | None = param(None, "Leave out reflections of lower resolution than this.", unit="Angstrom", gt=0)
    partiality_cutoff: float = param(
        0.4, "Leave out reflections of which a smaller share was recorded.", expert=1, ge=0, le=1
    )
    min_isigi: float = param(-5.0, "Leave out reflections whose I/sigma(I) is below this.", expert=1)


class ScalingOptions(Params):
    """Outliers, and workers."""

    nproc: int | None = param(None, "Blocks worked on at a time (Auto: as many as there are processors).", ge=1)
    outlier_rejection: Literal["standard", "simple"] | None = param(
        "standard", "standard: the worst deviation of an observation from the others of its group, again and again; "
        "simple: all deviations from the group's mean at once; None: no rejection."
    )  # fmt: skip
    outlier_zmax: float = param(6.0, "Deviation, in standard deviations, beyond which an observation is an outlier.",
                                ge=3)  # fmt: skip
    emax: float = param(10.0, "Leave out reflections whose normalised intensity E^2 is above emax^2, and by more than "
                        "outlier_zmax standard deviations.", expert=1, gt=0)  # fmt: skip


class ScalingRefineryParams(Params):
    """The least-squares fit of the model."""

    max_iterations: int = param(50, "Largest number of steps.", expert=1, ge=1)
    rmsd_tolerance: float = param(1e-4, "Stop when the RMSD falls by less than this share in a step.", expert=1, gt=0)


class DatasetParams(Params):
    """Which data sets to use, by their numbers from 0 or their identifiers."""

    use_datasets: tuple[int | str, ...] | None = param(None, "Use only these data sets.")
    exclude_datasets: tuple[int | str, ...] | None = param(None, "Leave out these data sets.")


class ScaleParams(ImageSelection):
    """Scaling."""

    model: Literal["physical", "KB"] | None = param(
        None, "Scaling model (Auto: physical, but KB for stills and sweeps of less than 1 degree)."
    )
    physical: PhysicalParams = PhysicalParams()
    KB: KBParams = KBParams()
    anomalous: bool = param(False, "Treat Friedel mates as different reflections.")
    reflection_selection: SelectionParams = SelectionParams()
    weighting: WeightingParams = WeightingParams()
    cut_data: CutParams = CutParams()
    scaling_options: ScalingOptions = ScalingOptions()
    scaling_refinery: ScalingRefineryParams = ScalingRefineryParams()
    dataset_selection: DatasetParams = DatasetParams()
    filtering: FilteringParams = FilteringParams()
