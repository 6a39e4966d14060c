"""The crystal: cell, orientation and space group, possibly changing along the scan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from puredials.model.arrays import frozen, frozen_or_none

__all__ = ["Crystal", "b_matrix", "cell_parameters", "u_and_b"]


def cell_parameters(A: NDArray[np.float64]) -> tuple[float, float, float, float, float, float]:
    """Cell lengths (Angstrom) and angles (degrees) of a setting matrix A = U B (columns a*, b*, c*, 1/Angstrom)."""
    real = np.linalg.inv(A)
    a, b, c = np.linalg.norm(real, axis=1)
    cosines = np.array([real[1] @ real[2] / (b * c), real[0] @ real[2] / (a * c), real[0] @ real[1] / (a * b)])
    alpha, beta, gamma = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return float(a), float(b), float(c), float(alpha), float(beta), float(gamma)


def b_matrix(cell: gemmi.UnitCell) -> NDArray[np.float64]:
    """(3, 3) B: reciprocal cell vectors in the columns, 1/Angstrom, in the PDB frame (a along x, b in the xy plane)."""
    return np.array(cell.frac.mat.tolist()).T


def u_and_b(A: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rotation U and the matrix B (PDB frame) of A = U B."""
    B = b_matrix(gemmi.UnitCell(*cell_parameters(A)))
    return A @ np.linalg.inv(B), B


@dataclass(frozen=True, eq=False)
class Crystal:
    """A crystal.

    Attributes:
        A: (3, 3) setting matrix U B at the goniometer's datum; columns a*, b*, c* in 1/Angstrom (no 2 pi).
        hall: Hall symbol of the space group, in the setting of A.
        A_at_scan_points: (n_images + 1, 3, 3) at the boundaries of the images, if scan-varying.
        B_covariance: (9, 9), of the row-major elements of B; B_covariance_at_scan_points: (n_images + 1, 9, 9).
        extra: keys of an .expt file that have no meaning here; kept for writing.
    """

    A: NDArray[np.float64]
    hall: str = "P 1"
    A_at_scan_points: NDArray[np.float64] | None = None
    B_covariance: NDArray[np.float64] | None = None
    B_covariance_at_scan_points: NDArray[np.float64] | None = None
    recalculated_unit_cell: tuple[float, ...] | None = None
    recalculated_cell_parameter_sd: tuple[float, ...] | None = None
    recalculated_cell_volume_sd: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        object.__setattr__(self, "hall", self.hall.strip())
        object.__setattr__(self, "A", frozen(self.A, (3, 3)))
        object.__setattr__(self, "A_at_scan_points", frozen_or_none(self.A_at_scan_points, (None, 3, 3)))
        object.__setattr__(self, "B_covariance", frozen_or_none(self.B_covariance, (9, 9)))
        at_points = frozen_or_none(self.B_covariance_at_scan_points, (None, 9, 9))
        object.__setattr__(self, "B_covariance_at_scan_points", at_points)

    @cached_property
    def U(self) -> NDArray[np.float64]:
        """(3, 3) rotation from the PDB frame of the crystal to the laboratory, at the datum."""
        return u_and_b(self.A)[0]

    @cached_property
    def B(self) -> NDArray[np.float64]:
        """(3, 3) reciprocal cell vectors in the columns, PDB frame, 1/Angstrom."""
        return u_and_b(self.A)[1]

    @property
    def real_space(self) -> NDArray[np.float64]:
        """(3, 3) cell vectors a, b, c in the ROWS, Angstrom, laboratory frame at the datum."""
        return np.linalg.inv(self.A).astype(np.float64, copy=False)

    @cached_property
    def unit_cell(self) -> gemmi.UnitCell:
        """The unit cell (Angstrom, degrees)."""
        return gemmi.UnitCell(*cell_parameters(self.A))

    @cached_property
    def operations(self) -> gemmi.GroupOps:
        """The symmetry operations of the space group."""
        return gemmi.symops_from_hall(self.hall)

    @cached_property
    def space_group(self) -> gemmi.SpaceGroup | None:
        """The space group, or None if its setting is not tabulated."""
        return gemmi.find_spacegroup_by_ops(self.operations)

    @property
    def is_scan_varying(self) -> bool:
        return self.A_at_scan_points is not None
