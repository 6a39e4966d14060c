"""The simulated crystal: orientation, lattices, absorption and illuminated volume."""

from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float64
from scipy.special import sph_harm_y

from puredials.errors import ParameterError
from puredials.model import b_matrix, rotation_matrix
from puredials.simulate.config import CrystalConfig
from puredials.simulate.protein import Protein, lattice_rotation_outside, strained_cell

__all__ = ["AbsorptionSurface", "SimulatedCrystal", "make_crystal"]

Matrix = Float64[np.ndarray, "3 3"]
Vectors = Float64[np.ndarray, "n 3"]
Values = Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class AbsorptionSurface:
    """f, a random smooth function of the direction in the crystal: `terms` (l, m, coefficient) times `scale`."""

    terms: tuple[tuple[int, int, float], ...]
    scale: float

    def transmission(self, towards_source: Vectors, outgoing: Vectors) -> Values:
        """exp(-(f(in) + f(out)) / 2)."""
        return np.exp(-0.5 * (self._at(towards_source) + self._at(outgoing)))

    def _at(self, v: Vectors) -> Values:
        theta, phi = np.arccos(np.clip(v[:, 2], -1, 1)), np.arctan2(v[:, 1], v[:, 0])
        total = np.zeros(len(v))
        for l, m, c in self.terms:  # noqa: E741
            y = sph_harm_y(l, abs(m), theta, phi)
            part = y.real if m == 0 else np.sqrt(2) * (y.real if m > 0 else y.imag)
            total += c * part
        return self.scale * total


@dataclass(frozen=True, eq=False)
class SimulatedCrystal:
    """The true crystal at the goniometer's datum.

    Attributes:
        A, U, B: as in `puredials.geometry`; reindex: the lattice symmetry by which indices differ from the protein's.
        lattices: (share of the intensity, A) of each lattice.
        slip: (2, 3) rad: linear and sinusoidal slip over a sweep.
        volume_phases: of the variation of the illuminated volume.
    """

    config: CrystalConfig
    cell: gemmi.UnitCell
    U: Matrix
    B: Matrix
    A: Matrix
    reindex: np.ndarray
    absorption: AbsorptionSurface
    volume_phases: Float64[np.ndarray, "3"]
    slip: Float64[np.ndarray, "2 3"]
    lattices: tuple[tuple[float, Matrix], ...]

    def volume(self, phi: Values) -> Values:
        """Relative illuminated volume at rotation phi (rad)."""
        a, b, c = self.volume_phases
        waves = 0.7 * np.sin(phi + a) + 0.4 * np.sin(2 * phi + b) + 0.15 * np.sin(5 * phi + c)
        return 1 + self.config.volume_variation * waves


def make_crystal(config: CrystalConfig, protein: Protein, seed: int) -> SimulatedCrystal:
    """Draw a crystal."""
    rng = np.random.default_rng([seed, config.orientation_seed])
    cell = strained_cell(protein, config.cell_variation, rng) if config.cell_variation else protein.cell
    U, B = _random_rotation(rng), b_matrix(cell)
    A, reindex = U @ B, np.eye(3, dtype=int)
    if config.alternative_setting:
        extra = lattice_rotation_outside(protein)
        if extra is None:
            raise ParameterError(f"the lattice of {protein.space_group.hm} has no alternative setting.")
        # The same lattice, but the intensity of h now sits where that of h R would have been.
        reindex = extra
        U = A @ extra.T @ np.linalg.inv(B)
        A = U @ B
    absorption = _absorption(config, rng)
    volume_phases = rng.uniform(0, 2 * np.pi, 3)
    slip = np.radians(config.slip_deg) * rng.normal(size=(2, 3))
    lattices = [(1.0, A)]
    if config.second_lattice:
        axis = rng.normal(size=3)
        turn = rotation_matrix(axis / np.linalg.norm(axis), np.radians(config.second_lattice.angle_deg))
        lattices.append((config.second_lattice.fraction, turn @ A))
    return SimulatedCrystal(config, cell, U, B, A, reindex, absorption, volume_phases, slip, tuple(lattices))


def _absorption(config: CrystalConfig, rng: np.random.Generator) -> AbsorptionSurface:
    orders = [(l, m) for l in range(1, config.absorption_lmax + 1) for m in range(-l, l + 1)]  # noqa: E741
    terms = tuple((l, m, rng.normal() / l) for l, m in orders)  # noqa: E741
    norm = np.sqrt(sum(c * c for *_, c in terms) / (4 * np.pi))
    return AbsorptionSurface(terms, config.absorption / norm if norm else 0.0)


def _random_rotation(rng: np.random.Generator) -> Matrix:
    """Uniform over all rotations: from a random unit quaternion."""
    q = rng.normal(size=4)
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
