"""The goniometer: a chain of rotation axes, one of which scans."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.model.arrays import frozen, frozen_or_none

__all__ = ["Goniometer", "rotation_matrix"]


def rotation_matrix(axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """(3, 3) matrix of the right-handed rotation by `angle` (rad) about the unit vector along `axis` (Rodrigues)."""
    x, y, z = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)


@dataclass(frozen=True, eq=False)
class Goniometer:
    """A goniometer that brings a reciprocal lattice vector A h to  r = S R(e, phi) F A h.

    Attributes:
        axes: (n, 3) unit vectors at the datum, INNERMOST (next to the crystal) FIRST.
        angles: (n,) degrees; that of the scan axis is overridden by the scan.
        names: of the axes.
        scan_axis: number of the scanning axis e.
        fixed: (3, 3), an extra rotation inside all axes (the fixed rotation of a single-axis file).
        setting: (3, 3), an extra rotation outside all axes (the setting rotation of a single-axis file).
        multi_axis: written to .expt files as a chain of axes, or as one axis with its two rotations.
        setting_rotation_at_scan_points: (n_images + 1, 3, 3), for a scan-varying goniometer.
    """

    axes: NDArray[np.float64]
    angles: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    names: tuple[str, ...] = ("omega",)
    scan_axis: int = 0
    fixed: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    setting: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    multi_axis: bool = False
    setting_rotation_at_scan_points: NDArray[np.float64] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        axes = np.atleast_2d(np.asarray(self.axes, dtype=np.float64))
        object.__setattr__(self, "axes", frozen(axes / np.linalg.norm(axes, axis=1)[:, None], (None, 3)))
        object.__setattr__(self, "angles", frozen(self.angles, (len(axes),)))
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "fixed", frozen(self.fixed, (3, 3)))
        object.__setattr__(self, "setting", frozen(self.setting, (3, 3)))
        at_points = frozen_or_none(self.setting_rotation_at_scan_points, (None, 3, 3))
        object.__setattr__(self, "setting_rotation_at_scan_points", at_points)
        if len(self.names) != len(axes) or not 0 <= self.scan_axis < len(axes):
            raise ValueError("a goniometer needs one name for each axis and a scan axis among them")

    @property
    def axis(self) -> NDArray[np.float64]:
        """(3,) the scan axis e at the datum: inside the setting rotation."""
        return self.axes[self.scan_axis]

    @property
    def fixed_rotation(self) -> NDArray[np.float64]:
        """(3, 3) F: all rotations between the crystal and the scan axis."""
        return self._product(range(self.scan_axis)) @ self.fixed

    @property
    def setting_rotation(self) -> NDArray[np.float64]:
        """(3, 3) S: all rotations between the scan axis and the laboratory."""
        return self.setting @ self._product(range(self.scan_axis + 1, len(self.axes)))

    @property
    def rotation_axis(self) -> NDArray[np.float64]:
        """(3,) the scan axis in the laboratory frame, S e."""
        return self.setting_rotation @ self.axis

    def _product(self, numbers: range) -> NDArray[np.float64]:
        total = np.eye(3)
        for k in numbers:  # outer axes multiply from the left
            total = rotation_matrix(self.axes[k], float(np.radians(self.angles[k]))) @ total
        return total
