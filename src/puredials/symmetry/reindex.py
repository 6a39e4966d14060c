"""Change of the crystal's basis, for models and reflections together."""

from dataclasses import replace

import gemmi
import numpy as np
from jaxtyping import Float64

from puredials.errors import ParameterError
from puredials.model import Crystal, Experiments, ReflectionTable, b_matrix, cell_parameters

__all__ = ["basis_of_operator", "reindex_crystal", "reindex_experiments", "reindex_table", "symmetrized_setting"]

Matrix = Float64[np.ndarray, "3 3"]


def basis_of_operator(text: str) -> Matrix:
    """P of a change of basis such as ``b,c,a`` or ``a+b,a-b,c/2`` (columns: new basis vectors in the old basis)."""
    try:
        operator = gemmi.Op(text.strip().translate(str.maketrans("abcABC", "xyzxyz")))
    except (RuntimeError, ValueError) as error:
        raise ParameterError(
            f"The change of basis {text!r} cannot be read; write it like b,c,a or a+b,a-b,c."
        ) from error
    basis = (np.array(operator.rot) / operator.DEN).T
    if abs(np.linalg.det(basis)) < 1e-6:
        raise ParameterError(f"The change of basis {text!r} is singular: the new axes are not independent.")
    if np.linalg.det(basis) < 0:
        raise ParameterError(f"The change of basis {text!r} turns the axes left-handed; use its negative.")
    return basis


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
    """The crystal in the basis (a, b, c) P; its static cell obeys `space_group`. Covariances are dropped."""
    change = np.linalg.inv(basis).T
    at_points = crystal.A_at_scan_points
    return replace(
        crystal,
        A=symmetrized_setting(crystal.A @ change, space_group.operations()),
        hall=space_group.hall,
        A_at_scan_points=None if at_points is None else at_points @ change,
        B_covariance=None,
        B_covariance_at_scan_points=None,
        recalculated_unit_cell=None,
        recalculated_cell_parameter_sd=None,
        recalculated_cell_volume_sd=None,
    )


def reindex_table(table: ReflectionTable, basis: Matrix) -> ReflectionTable:
    """The table with hkl' = hkl P; reflections whose indices are no longer whole are dropped."""
    hkl = table["miller_index"] @ basis
    whole = np.rint(hkl)
    keep = np.abs(hkl - whole).max(axis=1, initial=0) < 1e-3
    return table.with_columns({"miller_index": whole.astype(np.int32)}).select(keep)


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
