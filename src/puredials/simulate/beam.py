"""The simulated beam: its true direction and polarization."""

import numpy as np
from jaxtyping import Float64

from puredials.model import rotation_matrix
from puredials.simulate.config import BeamConfig

__all__ = ["polarization", "true_s0"]


def true_s0(config: BeamConfig) -> Float64[np.ndarray, "3"]:
    """True incident wave vector (1/Angstrom); files record it along -z."""
    v = np.array([0.0, 0.0, -1.0])
    for axis, angle in zip(np.eye(3), config.direction_error_deg, strict=False):
        v = rotation_matrix(axis, np.radians(angle)) @ v
    return v / config.wavelength


def polarization(unit_s1: Float64[np.ndarray, "n 3"], fraction: float) -> Float64[np.ndarray, " n"]:
    """Polarization factor for a beam with that fraction polarized along x and the rest along y."""
    return fraction * (1 - unit_s1[:, 0] ** 2) + (1 - fraction) * (1 - unit_s1[:, 1] ** 2)
