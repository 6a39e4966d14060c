"""Parameters of symmetry determination."""

from puredials.params import Params, param
from puredials.sets.params import ImageSelection

__all__ = ["AbsenceParams", "AnalysisParams", "SymmetryParams"]


class AbsenceParams(Params):
    """Systematic absences."""

    check: bool = param(True, "Look for screw axes in systematic absences.")
    significance_level: float = param(
        0.95, "Other space groups are named beside the likeliest one if its probability is less than this.",
        gt=0, lt=1,
    )  # fmt: skip


class AnalysisParams(ImageSelection):
    """What the analyses of the symmetry of one crystal and of several have in common."""

    d_min: float | None = param(None, "High-resolution limit of the analysis (Auto: from the two limits below).",
                                unit="Angstrom", gt=0)  # fmt: skip
    min_i_mean_over_sigma_mean: float | None = param(
        4.0, "Auto limit: use shells in which <I>/<sigma> is at least this.", expert=2, ge=0
    )
    min_cc_half: float | None = param(
        0.6, "Auto limit: use shells in which CC1/2 is at least this (the wider of the two limits is taken).",
        expert=2, ge=0, le=1,
    )  # fmt: skip
    seed: int = param(230, "Of the random numbers that draw unrelated pairs.", expert=2, ge=0)
    lattice_symmetry_max_delta: float = param(
        2.0, "Largest deviation of a two-fold axis from the normal of its lattice plane.", unit="degrees", ge=0, le=10
    )
    relative_length_tolerance: float = param(
        0.05, "Cells of several experiments may differ by this share in length.", expert=2, gt=0
    )
    absolute_angle_tolerance: float = param(
        2.0, "Cells of several experiments may differ by this in angle.", unit="degrees", expert=2, gt=0
    )
    partiality_threshold: float = param(
        0.4, "Leave out reflections of which a smaller share was recorded.", expert=1, ge=0, le=1
    )
    best_monoclinic_beta: bool = param(True, "Use I centring instead of C where beta comes closer to 90 degrees.")
    systematic_absences: AbsenceParams = AbsenceParams()


class SymmetryParams(AnalysisParams):
    """Laue group and space group of one crystal."""

    laue_group: str | None = param(
        None, "Use this group (a space group symbol such as P422 stands for its Laue group) instead of the best one."
    )
    change_of_basis_op: str | None = param(None, "Apply this change of basis (such as b,c,a) to the result.", expert=1)
