"""The unit cell under the constraints of its symmetry, and its standard uncertainties.

The parameters are coefficients of the reciprocal metric tensor G* = B^T B on a basis of the symmetric matrices that the
point group leaves unchanged: G* = R G* R^T for all its operations (x' = R x). One coefficient remains for a cubic cell,
six for a triclinic one, in any setting, without a table of cases.
"""

import gemmi
import numpy as np
from jaxtyping import Float64

__all__ = ["b_from_metric", "cell_and_esds", "invariant_metrics", "symmetrised_metric"]

Matrix = Float64[np.ndarray, "3 3"]
_SYMMETRIC = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


def _point_operations(operations: gemmi.GroupOps) -> Float64[np.ndarray, "n 3 3"]:
    return np.array([op.rot for op in operations.sym_ops], dtype=np.float64) / gemmi.Op.DEN


def symmetrised_metric(G: Matrix, operations: gemmi.GroupOps) -> Matrix:
    """The mean of G* over the point group."""
    R = _point_operations(operations)
    return (R @ G @ np.swapaxes(R, 1, 2)).mean(axis=0)


def invariant_metrics(operations: gemmi.GroupOps) -> Float64[np.ndarray, "m 3 3"]:
    """A basis of the reciprocal metric tensors with the symmetry of the point group."""
    basis: list[Matrix] = []
    rows = np.zeros((0, 9))
    for i, j in _SYMMETRIC:
        unit = np.zeros((3, 3))
        unit[i, j] = unit[j, i] = 1
        mean = symmetrised_metric(unit, operations)
        larger = np.vstack([rows, mean.ravel()])
        if np.linalg.matrix_rank(larger, tol=1e-6) > len(rows):
            rows = larger
            basis.append(mean)
    return np.array(basis)


def b_from_metric(
    G: Float64[np.ndarray, "n 3 3"], dG: Float64[np.ndarray, "m 3 3"]
) -> tuple[Float64[np.ndarray, "n 3 3"], Float64[np.ndarray, "n m 3 3"]]:
    """B (lower triangular: the PDB frame) with B^T B = G, and its change with each of the metrics `dG`.

    With dB = X B, X lower triangular: dG = B^T (X + X^T) B, so X is the lower triangle of B^-T dG B^-1 with half its
    diagonal. Raises LinAlgError if a G is not positive definite.
    """
    B = np.swapaxes(np.linalg.cholesky(G[:, ::-1, ::-1])[:, ::-1, ::-1], 1, 2)
    inverse = np.linalg.inv(B)
    S = np.swapaxes(inverse, 1, 2)[:, None] @ dG[None] @ inverse[:, None]
    lower = np.tril(np.ones((3, 3)), -1) + 0.5 * np.eye(3)
    return B, (S * lower) @ B[:, None]


def cell_and_esds(
    B: Matrix, covariance: Float64[np.ndarray, "9 9"] | None
) -> tuple[Float64[np.ndarray, "6"], Float64[np.ndarray, "6"]]:
    """Cell lengths (Angstrom) and angles (degrees), and their standard uncertainties (0 without a covariance).

    `covariance` is that of the row-major elements of B.
    """
    real = np.linalg.inv(B.T @ B)
    lengths = np.sqrt(np.diag(real))
    pairs = [(1, 2), (0, 2), (0, 1)]
    cosines = np.array([real[i, j] / (lengths[i] * lengths[j]) for i, j in pairs])
    cell = np.concatenate([lengths, np.degrees(np.arccos(cosines))])
    if covariance is None:
        return cell, np.zeros(6)
    jacobian = np.empty((6, 9))
    for element in range(9):
        dB = np.zeros(9)
        dB[element] = 1
        dB = dB.reshape(3, 3)
        d_real = -real @ (dB.T @ B + B.T @ dB) @ real
        d_lengths = np.diag(d_real) / (2 * lengths)
        jacobian[:3, element] = d_lengths
        for k, (i, j) in enumerate(pairs):
            relative = d_lengths[i] / lengths[i] + d_lengths[j] / lengths[j]
            d_cosine = d_real[i, j] / (lengths[i] * lengths[j]) - cosines[k] * relative
            jacobian[3 + k, element] = -np.degrees(d_cosine / np.sqrt(1 - cosines[k] ** 2))
    variances = np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian)
    esds = np.sqrt(np.maximum(variances, 0))
    # What symmetry fixes comes out as rounding noise; it has no uncertainty.
    relative = esds / np.array([*lengths, *[np.degrees(1)] * 3])
    return cell, np.where(relative > 1e-6 * relative.max(), esds, 0.0)
