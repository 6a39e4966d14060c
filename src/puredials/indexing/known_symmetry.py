"""Bring a found lattice to a cell and space group that the user knows."""

import itertools
import shlex
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float64

from puredials.errors import ParameterError
from puredials.indexing.lattices import primitive_cell
from puredials.indexing.params import KnownSymmetry
from puredials.model import Crystal, b_matrix, cell_parameters
from puredials.symmetry.lattice import lattice_settings, primitive_reduced_basis
from puredials.symmetry.reindex import symmetrized_setting

__all__ = ["Known", "known_symmetry"]

Matrix = Float64[np.ndarray, "3 3"]

# Lattice points in a cell of each centring, and where (in sixths of the axes) some are that make out all others.
_CENTRINGS = {
    "P": (1, []), "A": (2, [(0, 3, 3)]), "B": (2, [(3, 0, 3)]), "C": (2, [(3, 3, 0)]), "I": (2, [(3, 3, 3)]),
    "F": (4, [(0, 3, 3), (3, 3, 0)]), "R": (3, [(4, 2, 2)]), "H": (3, [(4, 2, 0)]),
}  # fmt: skip
# How far (degrees; relative) a cell may be from the shape that a centring goes with.
_SHAPE_ANGLE, _SHAPE_LENGTH = 0.5, 0.02


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the crystal: space group and conventional cell, either may be None.

    `centrings` are those that the cell may have: that of the space group or, without one, those that go with its shape.
    """

    space_group: gemmi.SpaceGroup | None
    unit_cell: gemmi.UnitCell | None
    params: KnownSymmetry
    centrings: tuple[str, ...] = ("P",)

    @property
    def primitive_cells(self) -> tuple[gemmi.UnitCell, ...]:
        """The reduced primitive cells that the known one may have, one for each centring."""
        cell = self.unit_cell
        return () if cell is None else tuple(primitive_cell(cell, centring) for centring in self.centrings)

    @property
    def words(self) -> tuple[str, ...]:
        """What to type to give the same."""
        cell = () if self.params.unit_cell is None else (f"unit_cell={_text(self.params.unit_cell)}",)
        group = self.params.space_group
        return cell if group is None else (*cell, f"space_group={shlex.quote(group)}")

    def centring(self, A: Matrix) -> str | None:
        """The centring with which the known cell describes a found lattice; None if there is none."""
        fit = None if self.unit_cell is None else _basis_of_cell(A, self.unit_cell, self.centrings, self.params)
        return None if fit is None else fit[1]

    def crystal(self, A: Matrix) -> Crystal | None:
        """The crystal of a found reduced lattice in the known setting, or None if the lattice does not fit.

        That of a centred cell without a space group stays in its reduced cell: in P 1 half of the indices or more
        would be those of no reflections.
        """
        if self.space_group is None and self.unit_cell is None:
            return Crystal(A)
        group = self.space_group or gemmi.SpaceGroup("P 1")
        if self.unit_cell is not None:
            fit = _basis_of_cell(A, self.unit_cell, self.centrings, self.params)
            if fit is None:
                return None
            basis, centring = fit
            if centring != group.centring_type():
                return Crystal(A)
        else:
            basis = _basis_of_group(A, group, self.params)
        if basis is None:
            return None
        conventional = A @ np.linalg.inv(basis).T
        return Crystal(symmetrized_setting(conventional, group.operations()), group.hall)


def known_symmetry(params: KnownSymmetry) -> Known:
    """Read the parameters.

    Raises:
        ParameterError: an unknown space group, an impossible cell, or a cell that does not obey the group.
    """
    group = None
    if params.space_group is not None:
        group = _space_group(params.space_group)
        if group is None:
            raise ParameterError(
                f"space_group={params.space_group} is not a space group symbol; write it like P212121 or 'I 2 3'."
            )
    cell = None
    if params.unit_cell is not None:
        cell = gemmi.UnitCell(*params.unit_cell)
        if not cell.volume > 1 or max(params.unit_cell[3:]) >= 180:
            raise ParameterError(f"unit_cell={_text(params.unit_cell)} is no cell; check its lengths and angles.")
        if group is not None and not cell.is_compatible_with_spacegroup(group, 0.05):
            cell = _conventional(cell, group, params)
        if group is not None and cell is None:
            raise ParameterError(
                f"unit_cell={_text(params.unit_cell)} does not have the symmetry of {group.xhm()}; mend one of them."
            )
    if group is not None:
        return Known(group, cell, params, (group.centring_type(),))
    return Known(None, cell, params, ("P",) if cell is None else _possible_centrings(cell))


def _possible_centrings(cell: gemmi.UnitCell) -> tuple[str, ...]:
    """Those of conventional cells of this shape, whatever the names of the axes."""
    right = np.abs(np.array(cell.parameters[3:]) - 90) < _SHAPE_ANGLE
    if right.all():
        return ("P", "I", "F", "C", "A", "B")
    if right.sum() < 2:
        return ("P",)
    unique = int(np.argmin(right))
    centrings = ("P", *(c for c in "ABC" if c != "ABC"[unique]), "I")
    same = abs(cell.a / cell.b - 1) < _SHAPE_LENGTH
    hexagonal = unique == 2 and same and abs(cell.gamma - 120) < _SHAPE_ANGLE
    return ("P", "R") if hexagonal else centrings


def _conventional(cell: gemmi.UnitCell, group: gemmi.SpaceGroup, params: KnownSymmetry) -> gemmi.UnitCell | None:
    """The cell of the group's setting for the lattice of a primitive cell, or None if that has not its symmetry."""
    A = b_matrix(cell) @ np.linalg.inv(primitive_reduced_basis(cell, "P")).T
    strict = params.model_copy(update={"max_delta": min(params.max_delta, 0.5)})
    basis = _basis_of_group(A, group, strict)
    if basis is None:
        return None
    conventional = symmetrized_setting(np.asarray(A @ np.linalg.inv(basis).T), group.operations())
    return gemmi.UnitCell(*cell_parameters(conventional))


def _space_group(name: str) -> gemmi.SpaceGroup | None:
    """The group of a symbol or a number, or None."""
    if name.strip().isdigit():
        return gemmi.find_spacegroup_by_number(int(name))
    return gemmi.find_spacegroup_by_name(name)


def _text(cell: tuple[float, ...]) -> str:
    return ",".join(f"{v:g}" for v in cell)


def _basis_of_cell(
    A: Matrix, cell: gemmi.UnitCell, centrings: tuple[str, ...], params: KnownSymmetry
) -> tuple[Matrix, str] | None:
    """P (columns: a, b, c of `cell` in the basis of A), the one nearest to `cell`, and its centring; or None.

    Lattice vectors of about the right lengths are combined so that angles and the number of lattice points in the
    cell are right.
    """
    target = np.array(cell.parameters)
    grid = np.array(list(itertools.product(range(-4, 5), repeat=3)))
    vectors = grid @ np.linalg.inv(A)
    lengths = np.linalg.norm(vectors, axis=1)
    near = [np.flatnonzero(np.abs(lengths - t) < params.relative_length_tolerance * t).tolist() for t in target[:3]]

    def angle(i: int, j: int) -> float:
        cosine = vectors[i] @ vectors[j] / (lengths[i] * lengths[j])
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))

    best, smallest = None, np.inf
    for i, j in itertools.product(near[0], near[1]):
        if abs(angle(i, j) - target[5]) > params.absolute_angle_tolerance:
            continue
        for k in near[2]:
            if abs(angle(j, k) - target[3]) > params.absolute_angle_tolerance:
                continue
            if abs(angle(i, k) - target[4]) > params.absolute_angle_tolerance:
                continue
            basis = grid[[i, j, k]].T.astype(np.float64)
            centring = next((c for c in centrings if _has_centring(basis, c)), None)
            if centring is None:
                continue
            conventional = np.asarray(A @ np.linalg.inv(basis).T, dtype=np.float64)
            found = np.array(cell_parameters(conventional))
            off = np.abs(found[:3] / target[:3] - 1).sum() + np.radians(np.abs(found[3:] - target[3:])).sum()
            if off < smallest - 1e-9:
                best, smallest = (basis, centring), off
    return best


def _has_centring(basis: Matrix, centring: str) -> bool:
    """Whether the lattice of whole coordinates has, in a right-handed `basis`, the points of the centring's letter."""
    points, places = _CENTRINGS[centring]
    at = [basis @ np.array(p) / 6 for p in places]
    return round(float(np.linalg.det(basis))) == points and all(np.abs(p - np.rint(p)).max() < 1e-6 for p in at)


def _basis_of_group(A: Matrix, group: gemmi.SpaceGroup, params: KnownSymmetry) -> Matrix | None:
    """P of the best conventional setting that the lattice allows for the group's Laue class and centring."""
    cell = gemmi.UnitCell(*cell_parameters(A))
    settings = lattice_settings(cell, max_delta=params.max_delta, best_monoclinic_beta=group.centring_type() == "I")
    settings = sorted(settings, key=lambda s: s.delta)
    for setting in settings:
        if _is_setting_of(setting.basis, gemmi.SpaceGroup(setting.space_group), group, np.eye(3)):
            return setting.basis
    # An unusual setting: by way of the usual one of the same group.
    usual = gemmi.find_spacegroup_by_number(group.number)
    change = np.array(group.basisop.rot) / group.basisop.DEN
    settings = lattice_settings(cell, max_delta=params.max_delta, best_monoclinic_beta=False)
    for setting in sorted(settings, key=lambda s: s.delta):
        own = gemmi.SpaceGroup(setting.space_group)
        if usual is not None and _is_setting_of(setting.basis, own, usual, np.eye(3)):
            for turn in (change, np.linalg.inv(change)):
                if _is_setting_of(setting.basis, own, group, turn):
                    return setting.basis @ turn
    return None


def _is_setting_of(basis: Matrix, own: gemmi.SpaceGroup, group: gemmi.SpaceGroup, turn: Matrix) -> bool:
    """Whether the rotations of `own`, after a change of its `basis` by `turn`, are the proper ones of `group`, and the
    lattice is centred as that demands."""
    inverse = np.linalg.inv(turn)
    found = {tuple(np.rint(inverse @ r @ turn).astype(int).ravel()) for r in _rotations(own)}
    wanted = {tuple(np.rint(r).astype(int).ravel()) for r in _rotations(group)}
    points = len(group.operations().cen_ops)
    return found == wanted and _has_centring(basis @ turn, group.centring_type() if points > 1 else "P")


def _rotations(group: gemmi.SpaceGroup) -> list[Matrix]:
    """The proper rotations of the Laue class."""
    rotations = [np.array(op.rot) / op.DEN for op in group.operations().sym_ops]
    return [r * np.linalg.det(r).round() for r in rotations]
