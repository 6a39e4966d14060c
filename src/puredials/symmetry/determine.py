"""Laue group, then space group, of integrated data: the verb of this package."""

from dataclasses import dataclass, replace

import gemmi
import numpy as np
from jaxtyping import Float64

from puredials.errors import MismatchError, ParameterError
from puredials.model import Crystal, Experiments, ReflectionTable, cell_parameters
from puredials.sets.choosing import exclude_images, on_valid_images
from puredials.symmetry.absences import AbsenceAnalysis, analyse_absences
from puredials.symmetry.lattice import LatticeSetting, lattice_settings, primitive_reduced_basis
from puredials.symmetry.laue import LaueAnalysis, analyse_laue_group
from puredials.symmetry.observations import (
    Observations,
    ResolutionLimits,
    limit_resolution,
    normalise,
    observations_from_table,
)
from puredials.symmetry.params import SymmetryParams
from puredials.symmetry.reindex import basis_of_operator, reindex_experiments, reindex_table

__all__ = ["SymmetryResult", "determine_symmetry"]


@dataclass(frozen=True, eq=False)
class SymmetryResult:
    """The outcome, and what it rests on.

    Attributes:
        experiments, table: in the new setting.
        space_group: chosen.
        basis: P from the input cell to the new one.
        minimum_basis: P from the input cell to the reduced primitive ("minimum") cell.
        minimum_cell: that cell.
        lattice: the setting of the whole lattice group.
        setting: the setting of the chosen Laue group.
        n_observations: reflections used, within `limits`.
        laue: None if the Laue group was given; absences: None if not asked for, or if none are possible.
    """

    experiments: Experiments
    table: ReflectionTable
    space_group: gemmi.SpaceGroup
    basis: Float64[np.ndarray, "3 3"]
    minimum_basis: Float64[np.ndarray, "3 3"]
    minimum_cell: gemmi.UnitCell
    lattice: LatticeSetting
    setting: LatticeSetting
    n_observations: int
    limits: ResolutionLimits
    laue: LaueAnalysis
    absences: AbsenceAnalysis | None


def determine_symmetry(
    experiments: Experiments, table: ReflectionTable, *, params: SymmetryParams | None = None
) -> SymmetryResult:
    """Find the Laue group from the agreement of intensities, and the space group from systematic absences.

    All experiments must be indexed consistently (one crystal, or crystals brought to one setting before).

    Raises:
        MismatchError: crystals with different cells or space groups, or none.
        TooFewReflectionsError: too few integrated reflections.
        ParameterError: `laue_group` does not fit the lattice.
    """
    params = params or SymmetryParams()
    experiments = exclude_images(experiments, params.exclude_images)
    crystal = _common_crystal(experiments, params)
    minimum_basis = primitive_reduced_basis(crystal.unit_cell, crystal.operations.find_centering())
    to_minimum = np.linalg.inv(minimum_basis).T
    minimum_cell = gemmi.UnitCell(*cell_parameters(crystal.A @ to_minimum))
    chosen = table.select(on_valid_images(experiments, table))
    hkl = np.rint(chosen["miller_index"] @ minimum_basis).astype(np.int64)
    data, limits = limit_resolution(
        _without_wilson_outliers(normalise(observations_from_table(chosen, hkl, minimum_cell, params))), params
    )
    settings = lattice_settings(
        minimum_cell, max_delta=params.lattice_symmetry_max_delta, best_monoclinic_beta=params.best_monoclinic_beta
    )
    laue = analyse_laue_group(data, settings, seed=params.seed)
    setting = laue.groups[0].setting if params.laue_group is None else _given_group(params.laue_group, settings, laue)

    space_group = gemmi.SpaceGroup(setting.space_group)
    absences = None
    if params.systematic_absences.check:
        conventional = replace(data, hkl=np.rint(data.hkl @ setting.basis).astype(np.int64), cell=setting.unit_cell)
        absences = analyse_absences(
            conventional, space_group, significance=params.systematic_absences.significance_level
        )
        space_group = gemmi.SpaceGroup(absences.best)
    space_group, to_reference = _reference_setting(space_group)
    basis = minimum_basis @ setting.basis @ to_reference
    if params.change_of_basis_op is not None:
        extra = basis_of_operator(params.change_of_basis_op)
        basis, space_group = basis @ extra, _changed_group(space_group, extra, params.change_of_basis_op)
    return SymmetryResult(
        reindex_experiments(experiments, basis, space_group), reindex_table(table, basis), space_group, basis,
        minimum_basis, minimum_cell, settings[0], setting, len(data.hkl), limits, laue, absences,
    )  # fmt: skip


def _common_crystal(experiments: Experiments, params: SymmetryParams) -> Crystal:
    """The crystal whose cell is the median, if all agree."""
    crystals = [e.crystal for e in experiments if e.crystal is not None]
    if not crystals:
        raise MismatchError("The experiments have no crystal; run dials.index before the analysis of symmetry.")
    if len({c.hall for c in crystals}) > 1:
        raise MismatchError("The crystals are in different space groups; index them alike, or reindex them first.")
    cells = np.array([c.unit_cell.parameters for c in crystals])
    median = np.median(cells, axis=0)
    off = np.abs(cells - median)
    bad = (off[:, :3] > params.relative_length_tolerance * median[:3]).any(axis=1)
    bad |= (off[:, 3:] > params.absolute_angle_tolerance).any(axis=1)
    if bad.any():
        number = int(np.flatnonzero(bad)[0])
        raise MismatchError(
            f"The cell of experiment {number}, {_cell_text(cells[number])}, differs from the median cell "
            f"{_cell_text(median)}; index the crystals consistently or leave this one out."
        )
    return crystals[int(np.argmin(off.sum(axis=1)))]


def _cell_text(cell: np.ndarray) -> str:
    return " ".join(f"{v:.2f}" for v in cell)


def _without_wilson_outliers(data: Observations) -> Observations:
    """E^2 >= 16 happens once in nine million acentric reflections: such intensities are mistakes."""
    return data.select(data.intensity < 16)


def _given_group(symbol: str, settings: list[LatticeSetting], laue: LaueAnalysis) -> LatticeSetting:
    """The best-scored setting with the Laue group of a space group symbol."""
    group = gemmi.find_spacegroup_by_name(symbol)
    if group is None:
        raise ParameterError(f"laue_group={symbol} is not a space group symbol; write it like P422 or 'I 2 3'.")
    wanted = group.laue_str(), group.centring_type()
    for score in laue.groups:
        own = gemmi.SpaceGroup(score.setting.space_group)
        if (own.laue_str(), own.centring_type()) == wanted:
            return score.setting
    known = ", ".join(dict.fromkeys(s.patterson for s in settings))
    raise ParameterError(f"laue_group={symbol} does not fit the lattice; its groups are {known}.")


def _reference_setting(space_group: gemmi.SpaceGroup) -> tuple[gemmi.SpaceGroup, Float64[np.ndarray, "3 3"]]:
    """The tabulated standard of the group and P to it; settings of another centring (I2 for C2) stay as they are."""
    if space_group.is_reference_setting() or space_group.centring_type() != _reference(space_group).centring_type():
        return space_group, np.eye(3)
    operator = space_group.basisop  # takes coordinates of the standard setting to those of this one: x = P x'
    return _reference(space_group), np.array(operator.rot) / operator.DEN


def _reference(space_group: gemmi.SpaceGroup) -> gemmi.SpaceGroup:
    return next(sg for sg in gemmi.spacegroup_table() if sg.number == space_group.number and sg.is_reference_setting())


def _changed_group(group: gemmi.SpaceGroup, basis: Float64[np.ndarray, "3 3"], text: str) -> gemmi.SpaceGroup:
    """The space group after a change of basis."""
    operations = group.operations()
    change = gemmi.Op()
    change.rot = np.rint(np.linalg.inv(basis) * change.DEN).astype(int).tolist()
    operations.change_basis_forward(change)
    changed = gemmi.find_spacegroup_by_ops(operations)
    if changed is None:
        raise ParameterError(f"change_of_basis_op={text} leads to a setting of {group.xhm()} that is not tabulated.")
    return changed
