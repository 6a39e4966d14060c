"""Change of the crystal's basis, for models and reflections together."""

from dataclasses import replace

import gemmi
import numpy as np
from jaxtyping import Float64

from puredials.errors import ParameterError
from puredials.model import Crystal, Experiments, ReflectionTable, b_matrix, cell_parameters

__all__ = [
    "basis_of_operator",
    "changed_group",
    "move_experiments",
    "reindex_crystal",
    "reindex_experiments",
    "reindex_table",
    "symmetrized_setting",
    "with_indices",
    "with_offset",
]

Matrix = Float64[np.ndarray, "3 3"]


def basis_of_operator(text: str) -> Matrix:
    """P of a change of basis (columns: new basis vectors in the old basis).

    It is written for the vectors (``b,c,a``, ``a+b,a-b,c/2``) or for the indices, which change alike (``k,l,h``), or
    for the coordinates (``y,z,x``), which change by the inverse.
    """
    of_coordinates = any(letter in text.lower() for letter in "xyz")
    try:
        operator = gemmi.Op(text.strip().translate(str.maketrans("abcABChklHKL", "xyzxyzxyzxyz")))
    except (RuntimeError, ValueError) as error:
        raise ParameterError(
            f"The change of basis {text!r} cannot be read; write it like b,c,a or a+b,a-b,c."
        ) from error
    basis = (np.array(operator.rot) / operator.DEN).T
    if abs(np.linalg.det(basis)) < 1e-6:
        raise ParameterError(f"The change of basis {text!r} is singular: the new axes are not independent.")
    if np.linalg.det(basis) < 0:
        raise ParameterError(f"The change of basis {text!r} turns the axes left-handed; use its negative.")
    return np.linalg.inv(basis.T) if of_coordinates else basis


def changed_group(hall: str, basis: Matrix) -> gemmi.SpaceGroup:
    """The space group in the basis (a, b, c) P.

    Raises:
        ParameterError: that setting is not tabulated.
    """
    change = gemmi.Op()
    change.rot = np.rint(np.linalg.inv(basis) * change.DEN).astype(int).tolist()
    changed = gemmi.symops_from_hall(hall)
    changed.change_basis_forward(change)
    group = gemmi.find_spacegroup_by_ops(changed)
    if group is None:
        raise ParameterError("The change of basis leads to a setting that is not tabulated: name its space_group.")
    return group


def symmetrized_setting(A: Matrix, operations: gemmi.GroupOps) -> Matrix:
    """The setting matrix nearest to A whose cell obeys the symmetry.

    The metric tensor is averaged over the rotations; the orientation is the rotation that best brings the new B onto
    A (orthogonal Procrustes problem).
    """
    real = np.linalg.inv(A)
    metric = real @ real.T
    rotations = [np.array(op.rot) / op.DEN for op in operations.sym_ops]
    metric = np.mean([r.T @ metric @ r for r in rotations], axis=0)
    reciprocal = np.linalg.cholesky(np.linalg.inv(metric)).T  # any matrix of this metric; only its cell matters
    B = b_matrix(gemmi.UnitCell(*cell_parameters(reciprocal)))
    u, _, v = np.linalg.svd(A @ np.linalg.inv(B))
    return u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v @ B


def reindex_crystal(crystal: Crystal, basis: Matrix, space_group: gemmi.SpaceGroup) -> Crystal:
    """The crystal in the basis (a, b, c) P; its static cell obeys `space_group`. Covariances of B are propagated."""
    change = np.linalg.inv(basis).T
    at_points = crystal.A_at_scan_points
    covariance, covariances = crystal.B_covariance, crystal.B_covariance_at_scan_points
    J = _jacobian_of_b(crystal.B, change)
    return replace(
        crystal,
        A=symmetrized_setting(crystal.A @ change, space_group.operations()),
        hall=space_group.hall,
        A_at_scan_points=None if at_points is None else at_points @ change,
        B_covariance=None if covariance is None else J @ covariance @ J.T,
        B_covariance_at_scan_points=None if covariances is None else J @ covariances @ J.T,
        recalculated_unit_cell=None,
        recalculated_cell_parameter_sd=None,
        recalculated_cell_volume_sd=None,
    )


def _jacobian_of_b(B: Matrix, change: Matrix) -> Float64[np.ndarray, "9 9"]:
    """Derivatives of the elements (row by row) of B in the new basis by those in the old one, by central differences:
    B change is turned into the frame in which B is defined."""

    def turned(elements: Float64[np.ndarray, " 9"]) -> Float64[np.ndarray, " 9"]:
        return b_matrix(gemmi.UnitCell(*cell_parameters(elements.reshape(3, 3) @ change))).ravel()

    step = 1e-5 * float(np.linalg.norm(B))
    columns = [(turned(B.ravel() + d) - turned(B.ravel() - d)) / (2 * step) for d in step * np.eye(9)]
    return np.column_stack(columns)


def reindex_table(table: ReflectionTable, basis: Matrix) -> ReflectionTable:
    """The table with hkl' = hkl P; reflections whose indices are no longer whole are dropped."""
    return with_indices(table, table["miller_index"] @ basis)


def with_indices(table: ReflectionTable, hkl: Float64[np.ndarray, "n 3"]) -> ReflectionTable:
    """The table with other indices; reflections for which they are not whole are dropped."""
    whole = np.rint(hkl)
    keep = np.abs(hkl - whole).max(axis=1, initial=0) < 1e-3
    moved = table.with_columns({"miller_index": whole.astype(np.int32)})
    return moved if keep.all() else moved.select(keep)


def reindex_experiments(experiments: Experiments, basis: Matrix, space_group: gemmi.SpaceGroup) -> Experiments:
    """All crystals in the new basis; crystals shared by experiments stay shared."""
    done: dict[int, Crystal] = {}
    items = []
    for experiment in experiments:
        crystal = experiment.crystal
        if crystal is not None:
            crystal = done.setdefault(id(experiment.crystal), reindex_crystal(crystal, basis, space_group))
        items.append(replace(experiment, crystal=crystal))
    return experiments.with_items(items)


def with_offset(table: ReflectionTable, offset: tuple[int, int, int]) -> ReflectionTable:
    """The table with a constant added to the indices of indexed reflections (misindexed by a lattice row or more)."""
    hkl = table["miller_index"]
    indexed = (hkl != 0).any(axis=1)
    moved = np.where(indexed[:, None], hkl + np.array(offset, dtype=hkl.dtype), hkl)
    return table.with_columns({"miller_index": moved.astype(hkl.dtype)})


def move_experiments(experiments: Experiments, basis: Matrix, space_group: str | None) -> Experiments:
    """All crystals in the new basis, and in the space group of that name or number (None: their own, changed alike).

    Raises:
        ParameterError: the group is unknown, or the new cell does not have its symmetry.
    """
    groups = [changed_group(e.crystal.hall, basis) if space_group is None else _named(space_group)
              for e in experiments if e.crystal is not None]  # fmt: skip
    moved = experiments
    for group in {g.hall: g for g in groups}.values():
        if len({g.hall for g in groups}) > 1:
            raise ParameterError("The crystals are in different space groups: name the one for all by space_group=.")
        moved = reindex_experiments(experiments, basis, group)
    for before, after in zip(experiments, moved, strict=True):
        if before.crystal is None or after.crystal is None or space_group is None:
            continue
        free = np.array(cell_parameters(before.crystal.A @ np.linalg.inv(basis).T))
        off = np.abs(np.array(after.crystal.unit_cell.parameters) - free)
        if (off[:3] > 0.05 * free[:3]).any() or (off[3:] > 5).any():
            cell = ", ".join(f"{v:.2f}" for v in free)
            raise ParameterError(f"The cell {cell} does not have the symmetry of space_group={space_group}.")
    return moved


def _named(name: str) -> gemmi.SpaceGroup:
    number = int(name) if name.strip().isdigit() else None
    group = gemmi.find_spacegroup_by_name(name) if number is None else gemmi.find_spacegroup_by_number(number)
    if group is None:
        raise ParameterError(f"space_group={name} is not a space group symbol; write it like P212121 or 'I 2 3'.")
    return group
