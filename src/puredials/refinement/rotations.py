"""Rotations by a rotation vector, and how they change with it."""

import numpy as np
from jaxtyping import Float64

__all__ = ["cross_matrices", "rotation_from_vector"]


def cross_matrices(vectors: Float64[np.ndarray, "*n 3"]) -> Float64[np.ndarray, "*n 3 3"]:
    """K with K @ x = v cross x."""
    K = np.zeros((*vectors.shape, 3))
    K[..., 0, 1], K[..., 0, 2], K[..., 1, 2] = -vectors[..., 2], vectors[..., 1], -vectors[..., 0]
    K[..., 1, 0], K[..., 2, 0], K[..., 2, 1] = vectors[..., 2], -vectors[..., 1], vectors[..., 0]
    return K


def rotation_from_vector(
    omega: Float64[np.ndarray, "n 3"],
) -> tuple[Float64[np.ndarray, "n 3 3"], Float64[np.ndarray, "n 3 3 3"]]:
    """R = exp([omega]x), and dR (n, 3, 3, 3) with dR[:, k] = dR / d omega_k.

    Rodrigues' formula; dR/d omega_k = [J e_k]x R with the left Jacobian
    J = 1 + (1 - cos t)/t^2 [omega]x + (t - sin t)/t^3 [omega]x^2 (e.g. Sola et al. 2018, arXiv:1812.01537, eq. 145).
    """
    t2 = np.einsum("ni,ni->n", omega, omega)[:, None, None]
    t = np.sqrt(t2)
    small = t2 < 1e-4
    with np.errstate(divide="ignore", invalid="ignore"):
        # Series to t^4 where the closed forms lose digits.
        a = np.where(small, 1 - t2 / 6 + t2**2 / 120, np.sin(t) / t)
        b = np.where(small, 0.5 - t2 / 24 + t2**2 / 720, (1 - np.cos(t)) / t2)
        c = np.where(small, 1 / 6 - t2 / 120 + t2**2 / 5040, (t - np.sin(t)) / (t2 * t))
    K = cross_matrices(omega)
    K2 = K @ K
    R = np.eye(3) + a * K + b * K2
    J = np.eye(3) + b * K + c * K2
    columns = np.swapaxes(J, 1, 2)  # [:, k] is J e_k
    return R, cross_matrices(columns) @ R[:, None]
