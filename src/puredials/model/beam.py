"""The incident beam."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.model.arrays import frozen, frozen_or_none

__all__ = ["Beam"]


@dataclass(frozen=True, eq=False)
class Beam:
    """A monochromatic beam.

    Attributes:
        direction: (3,) unit vector from the SAMPLE TO THE SOURCE (as in .expt files); s0 points the other way.
        wavelength: Angstrom.
        s0_at_scan_points: (n_images + 1, 3) in 1/Angstrom, for a scan-varying beam.
        divergence, sigma_divergence: degrees.
        polarization_normal: (3,) unit vector normal to the plane of polarization.
        polarization_fraction: share of the intensity polarized in that plane.
        probe: "x-ray", "electron" or "neutron".
        sample_to_source_distance: mm.
        extra: keys of an .expt file that have no meaning here; kept for writing.
    """

    direction: NDArray[np.float64]
    wavelength: float
    s0_at_scan_points: NDArray[np.float64] | None = None
    divergence: float = 0.0
    sigma_divergence: float = 0.0
    polarization_normal: NDArray[np.float64] = field(default_factory=lambda: np.array([0.0, 1.0, 0.0]))
    polarization_fraction: float = 0.999
    flux: float = 0.0
    transmission: float = 1.0
    probe: str = "x-ray"
    sample_to_source_distance: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        direction = np.asarray(self.direction, dtype=np.float64)
        object.__setattr__(self, "direction", frozen(direction / np.linalg.norm(direction), (3,)))
        object.__setattr__(self, "polarization_normal", frozen(self.polarization_normal, (3,)))
        object.__setattr__(self, "s0_at_scan_points", frozen_or_none(self.s0_at_scan_points, (None, 3)))

    @property
    def s0(self) -> NDArray[np.float64]:
        """(3,) incident wave vector, 1/Angstrom, along the travel of the beam; |s0| = 1 / wavelength."""
        return -self.direction / self.wavelength

    @property
    def is_electron(self) -> bool:
        """True for an electron beam (short wavelength or so declared)."""
        return self.probe == "electron" or self.wavelength < 0.05
