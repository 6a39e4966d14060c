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
    normalised_observations,
)
from puredials.symmetry.params import AnalysisParams, SymmetryParams
from puredials.symmetry.reindex import basis_of_operator, reindex_experiments, reindex_table

__all__ = [
    "SymmetryAnalysis",
    "SymmetryResult",
    "analyse_symmetry",
    "determine_symmetry",
    "known_group",
    "settings_of",
]


@dataclass(frozen=True, eq=False)
class SymmetryAnalysis:
    """The groups found, and what they rest on.

    Attributes:
        space_group: chosen.
        basis: P from the input cell to its setting.
        minimum_basis: P from the input cell to the reduced primitive ("minimum") cell.
        minimum_cell: that cell.
        lattice: the setting of the whole lattice group.
        setting: the setting of the chosen Laue group.
        n_observations: reflections used, within `limits`.
        absences: None if not asked for.
    """

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


@dataclass(frozen=True, eq=False)
class SymmetryResult:
    """Experiments and reflections in the setting that `analysis` found."""

    experiments: Experiments
    table: ReflectionTable
    analysis: SymmetryAnalysis

    @property
    def space_group(self) -> gemmi.SpaceGroup:
        return self.analysis.space_group

    @property
    def basis(self) -> Float64[np.ndarray, "3 3"]:
        """P from the input cell to the new one."""
        return self.analysis.basis


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
    data = normalised_observations(chosen, hkl, minimum_cell, params)
    settings = lattice_settings(
        minimum_cell, max_delta=params.lattice_symmetry_max_delta, best_monoclinic_beta=params.best_monoclinic_beta
    )
    analysis = analyse_symmetry(
        data, settings, params, minimum_basis=minimum_basis, laue_group=known_group(params.laue_group, "laue_group")
    )
    if params.change_of_basis_op is not None:
        extra = basis_of_operator(params.change_of_basis_op)
        group = _changed_group(analysis.space_group, extra, params.change_of_basis_op)
        analysis = replace(analysis, basis=analysis.basis @ extra, space_group=group)
    return SymmetryResult(
        reindex_experiments(experiments, analysis.basis, analysis.space_group),
        reindex_table(table, analysis.basis),
        analysis,
    )


def analyse_symmetry(
    data: Observations,
    settings: list[LatticeSetting],
    params: AnalysisParams,
    *,
    minimum_basis: Float64[np.ndarray, "3 3"],
    laue_group: gemmi.SpaceGroup | None = None,
    space_group: gemmi.SpaceGroup | None = None,
) -> SymmetryAnalysis:
    """The groups of normalised intensities whose indices are those of the minimum cell.

    Args:
        settings: the candidates (see `lattice_settings`).
        minimum_basis: P from the input cell to the minimum cell.
        laue_group: of it the Laue group is taken; space_group: is taken, in its standard setting.
    """
    minimum_cell = data.cell
    data, limits = limit_resolution(data, params)
    laue = analyse_laue_group(data, settings, seed=params.seed)
    ranked = [score.setting for score in laue.groups]
    for given, name in ((space_group, "space_group"), (laue_group, "laue_group")):
        if given is not None:
            ranked = settings_of(given, ranked, name)
    setting = ranked[0]

    found = gemmi.SpaceGroup(setting.space_group)
    absences = None
    if params.systematic_absences.check or space_group is not None:
        conventional = replace(data, hkl=np.rint(data.hkl @ setting.basis).astype(np.int64), cell=setting.unit_cell)
        absences = analyse_absences(conventional, found, significance=params.systematic_absences.significance_level)
        found = gemmi.SpaceGroup(absences.best) if space_group is None else _axes_of(space_group, absences)
    found, to_reference = _reference_setting(found)
    return SymmetryAnalysis(
        found, minimum_basis @ setting.basis @ to_reference, minimum_basis, minimum_cell, settings[0], setting,
        len(data.hkl), limits, laue, absences,
    )  # fmt: skip


def _axes_of(space_group: gemmi.SpaceGroup, absences: AbsenceAnalysis) -> gemmi.SpaceGroup:
    """The most likely setting of a group whose screw axes may lie along any of several axes."""
    candidates = [gemmi.SpaceGroup(symbol) for score in absences.groups for symbol in score.space_groups]
    return next((g for g in candidates if g.number == space_group.number), space_group)


def _common_crystal(experiments: Experiments, params: AnalysisParams) -> Crystal:
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


def known_group(symbol: str | None, parameter: str) -> gemmi.SpaceGroup | None:
    """The space group of a symbol that the user gave.

    Raises:
        ParameterError: there is no such group.
    """
    if symbol is None:
        return None
    group = gemmi.find_spacegroup_by_name(symbol)
    if group is None:
        raise ParameterError(f"{parameter}={symbol} is not a space group symbol; write it like P422 or 'I 2 3'.")
    return group


def settings_of(group: gemmi.SpaceGroup, settings: list[LatticeSetting], parameter: str) -> list[LatticeSetting]:
    """Those of the settings, in their order, that have the Laue class and the centring of a space group.

    Raises:
        ParameterError: none has.
    """
    wanted = _reference(group)
    found = []
    for setting in settings:
        own = _reference(gemmi.SpaceGroup(setting.space_group))
        if _laue_rotations(own) == _laue_rotations(wanted) and own.centring_type() == wanted.centring_type():
            found.append(setting)
    if not found:
        known = ", ".join(dict.fromkeys(s.patterson for s in settings))
        raise ParameterError(f"{parameter}={group.xhm()} does not fit the lattice; its groups are {known}.")
    return found


def _laue_rotations(group: gemmi.SpaceGroup) -> set[tuple[int, ...]]:
    """The rotations of a group, mirrors and other improper ones times the inversion that every Laue group has."""
    rotations = [np.array(op.rot) // op.DEN for op in group.operations().sym_ops]
    return {tuple((rotation * round(np.linalg.det(rotation))).ravel().tolist()) for rotation in rotations}


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
