"""The simulated goniometer: recorded and true axes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from puredials.errors import ParameterError
from puredials.model import rotation_matrix
from puredials.simulate.config import GoniometerConfig

__all__ = ["GONIOMETERS", "Setting", "SimulatedGoniometer", "make_goniometer"]

Vector = Float64[np.ndarray, "3"]
Matrix = Float64[np.ndarray, "3 3"]

_KAPPA = np.radians(50.0)
# Axes in the laboratory frame at the datum, the outermost (fixed to the laboratory) first.
GONIOMETERS = {
    "omega_chi_phi": (("omega", (1, 0, 0)), ("chi", (0, 0, -1)), ("phi", (1, 0, 0))),
    "omega_kappa_phi": (("omega", (1, 0, 0)), ("kappa", (np.cos(_KAPPA), 0, np.sin(_KAPPA))), ("phi", (1, 0, 0))),
    "single": (("omega", (1, 0, 0)),),
}


@dataclass(frozen=True, eq=False)
class Setting:
    """The true goniometer during a sweep: r = S R(e, phi) F rlp; `recorded` are the angles (degrees) of the files."""

    setting_rotation: Matrix
    axis: Vector
    fixed_rotation: Matrix
    recorded: dict[str, float]


@dataclass(frozen=True, eq=False)
class SimulatedGoniometer:
    """Axes, the outermost first; `scan` is the number of the one that turns during a sweep."""

    names: tuple[str, ...]
    nominal: tuple[Vector, ...]
    true: tuple[Vector, ...]
    scan: int
    angle_error_deg: float

    def setting(self, fixed_deg: dict[str, float], rng: np.random.Generator) -> Setting:
        """Draw the errors of the fixed angles of a sweep."""
        recorded = {name: float(fixed_deg.get(name, 0.0)) for name in self.names}
        outer, inner = np.eye(3), np.eye(3)
        for k, name in enumerate(self.names):
            error = self.angle_error_deg * rng.normal()
            turn = rotation_matrix(self.true[k], np.radians(recorded[name] + error))
            if k < self.scan:
                outer = outer @ turn
            elif k > self.scan:
                inner = inner @ turn
        return Setting(outer, self.true[self.scan], inner, recorded)


def make_goniometer(config: GoniometerConfig, rng: np.random.Generator) -> SimulatedGoniometer:
    """Draw the errors of the axes."""
    if config.type not in GONIOMETERS:
        raise ParameterError(f"goniometer.type={config.type} is unknown; there are {', '.join(GONIOMETERS)}.")
    names = tuple(name for name, _ in GONIOMETERS[config.type])
    if config.scan_axis not in names:
        raise ParameterError(f"goniometer.scan_axis={config.scan_axis} must be one of {', '.join(names)}.")
    nominal = tuple(_unit(np.array(axis, dtype=np.float64)) for _, axis in GONIOMETERS[config.type])
    error = np.radians(config.axis_error_deg)
    true = tuple(_unit(axis + error * rng.normal(size=3)) for axis in nominal)
    return SimulatedGoniometer(names, nominal, true, names.index(config.scan_axis), config.angle_error_deg)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)
