"""Which reflections diffract during a sweep, where, and how widely: geometry without intensities."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float64, Int64

from puredials.geometry import rotate
from puredials.simulate.beam import true_s0
from puredials.simulate.config import BeamConfig, SweepConfig
from puredials.simulate.crystal import SimulatedCrystal
from puredials.simulate.detector import SimulatedDetector
from puredials.simulate.goniometer import Setting
from puredials.simulate.protein import Protein

__all__ = ["Rays", "Sweep", "covariance", "diffracted"]

Vector = Float64[np.ndarray, "3"]
Vectors = Float64[np.ndarray, "n 3"]
Values = Float64[np.ndarray, " n"]

# Reflections whose centre lies this far (degrees) outside of the sweep may still be partly in it.
_MARGIN_DEG = 3.0
# Spots may reach onto the detector from this far (px) beyond its edge.
_MARGIN_PX = 12
# Below this |zeta| a reflection hardly crosses the Ewald sphere, and first-order propagation fails.
_SMALLEST_ZETA = 0.03


@dataclass(frozen=True, eq=False)
class Sweep:
    """A sweep: its settings, the true goniometer, and the rotation (degrees) that its crystal was exposed for."""

    config: SweepConfig
    setting: Setting
    dose_deg: float

    @property
    def start(self) -> float:
        return float(np.radians(self.config.start_deg))

    @property
    def width(self) -> float:
        """Of an image, rad."""
        return float(np.radians(self.config.width_deg))

    @property
    def end(self) -> float:
        return self.start + self.config.n_images * self.width

    @property
    def axis(self) -> Vector:
        """The true scan axis in the laboratory."""
        return self.setting.setting_rotation @ self.setting.axis


@dataclass(frozen=True, eq=False)
class Rays:
    """Diffracted rays.

    Attributes:
        row: of the reflection in the P1 list of the protein; lattice, share: its lattice and that one's share.
        phi: rotation (rad) at which it meets the Ewald sphere; r, s1: 1/Angstrom, laboratory frame.
        zeta, sin_2theta: see `puredials.geometry`.
        mm: position on the sensor's face; t: position in the laboratory = t s1.
    """

    row: Int64[np.ndarray, " n"]
    lattice: Int64[np.ndarray, " n"]
    share: Values
    phi: Values
    r: Vectors
    s1: Vectors
    zeta: Values
    sin_2theta: Values
    mm: Float64[np.ndarray, "n 2"]
    t: Values

    @property
    def unit(self) -> Vectors:
        return self.s1 / np.linalg.norm(self.s1, axis=1)[:, None]

    def select(self, keep: np.ndarray) -> "Rays":
        return Rays(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})


def diffracted(
    protein: Protein, crystal: SimulatedCrystal, detector: SimulatedDetector, sweep: Sweep, beam: BeamConfig
) -> Rays:
    """All rays of a sweep that hit the detector."""
    s0 = true_s0(beam)
    parts = []
    for lattice, (share, A) in enumerate(crystal.lattices):
        for branch in (0, 1):
            row, phi, r = _crossings(protein.p1_hkl @ A.T, branch, crystal, sweep, s0)
            parts.append((row, phi, r, np.full(len(row), lattice), np.full(len(row), share)))
    row, phi, r, lattice, share = (np.concatenate(column) for column in zip(*parts, strict=True))
    s1 = s0 + r
    cross = np.cross(s1, s0)
    length = np.linalg.norm(cross, axis=1)
    zeta = (cross / length[:, None]) @ sweep.axis
    mm, t = detector.intersect(s1)
    rays = Rays(row, lattice, share, phi, r, s1, zeta, length / (s0 @ s0), mm, t)
    edge = _MARGIN_PX * detector.pixel_mm
    size = np.array(detector.kind.image_size) * detector.pixel_mm
    on_detector = ((mm > -edge) & (mm < size + edge)).all(axis=1)
    return rays.select((t > 0) & (np.abs(zeta) > _SMALLEST_ZETA) & on_detector)


def _crossings(
    q: Vectors, branch: int, crystal: SimulatedCrystal, sweep: Sweep, s0: Vector
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of q (1/Angstrom, datum) that cross the Ewald sphere in the sweep, the angles (rad), and r there.

    The crystal slips and its cell grows with time, so the time of diffraction is found by iteration.
    """
    S, F = sweep.setting.setting_rotation, sweep.setting.fixed_rotation
    margin = np.radians(_MARGIN_DEG)

    def at_zero(q: np.ndarray, phi: np.ndarray) -> np.ndarray:
        """r before the scan's rotation, in the laboratory, for the crystal as it is at phi."""
        span = max(sweep.end - sweep.start, 1e-9)
        time = np.clip((phi - sweep.start) / span, -0.05, 1.05)
        growth = crystal.config.cell_expansion_per_degree * (sweep.dose_deg + time * np.degrees(span))
        slip = time[:, None] * crystal.slip[0] + np.sin(2 * np.pi * time)[:, None] * 0.5 * crystal.slip[1]
        grown = q * (1 - growth)[:, None]
        return (grown + np.cross(slip, grown)) @ F.T @ S.T

    r0 = at_zero(q, np.full(len(q), 0.5 * (sweep.start + sweep.end)))
    phi = _laue_angle(r0, sweep.axis, s0, branch)
    row = np.flatnonzero(np.isfinite(phi))
    base = sweep.start - margin
    phi = base + np.mod(phi[row] - base, 2 * np.pi)
    near = phi < sweep.end + margin
    row, phi, r0 = row[near], phi[near], r0[row[near]]
    for _ in range(3):
        r0 = at_zero(q[row], phi)
        better = _laue_angle(r0, sweep.axis, s0, branch)
        better = phi + np.mod(better - phi + np.pi, 2 * np.pi) - np.pi
        phi = np.where(np.isfinite(better), better, phi)
    return row, phi, rotate(r0, sweep.axis, phi)


def _laue_angle(r0: Vectors, axis: Vector, s0: Vector, branch: int) -> Values:
    """One of the two rotation angles at which |s0 + R r0| = |s0|; NaN where there is none."""
    along = r0 @ axis
    perpendicular = r0 - along[:, None] * axis
    a, b = perpendicular @ s0, np.cross(axis, r0) @ s0
    c = -0.5 * np.einsum("ij,ij->i", r0, r0) - along * (axis @ s0)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = np.arccos(c / np.hypot(a, b))
    return np.arctan2(b, a) + (half if branch else -half)


def covariance(
    rays: Rays, crystal: SimulatedCrystal, detector: SimulatedDetector, sweep: Sweep, beam: BeamConfig
) -> Float64[np.ndarray, "n 3 3"]:
    """Covariance of (phi rad, x px, y px) of each spot, but for the depth of the sensor.

    Small independent perturbations are propagated to first order: one that changes |s0 + r|^2 - |s0|^2 by dG changes
    phi by -dG / (2 axis . (s1 x s0)).
    """
    s0 = true_s0(beam)
    k0 = np.linalg.norm(s0)
    r, s1 = rays.r, rays.s1
    per_phi = 2 * np.cross(s1, s0) @ sweep.axis
    turned = np.cross(sweep.axis, r)
    along_normal = s1 @ detector.normal
    out = np.zeros((len(r), 3, 3))

    def add(dphi: np.ndarray, shift_mm: np.ndarray, sigma: float) -> None:
        x, y = shift_mm @ detector.fast / detector.pixel_mm, shift_mm @ detector.slow / detector.pixel_mm
        j = np.stack([dphi, x, y], axis=1) * sigma
        out[:] += j[:, :, None] * j[:, None, :]

    def in_plane(v: np.ndarray) -> np.ndarray:
        """The shift within the detector's plane of a ray that is displaced by v."""
        return v - s1 * ((v @ detector.normal) / along_normal)[:, None]

    def perturb(dr: np.ndarray, ds0: np.ndarray, dG: np.ndarray, sigma: float) -> None:
        dphi = -dG / per_phi
        ds1 = ds0 + dr + dphi[:, None] * turned
        add(dphi, rays.t[:, None] * in_plane(ds1), sigma)

    for unit in np.eye(3):
        dr = np.cross(unit, r)
        mosaicity = np.radians(crystal.config.mosaicity_deg)
        perturb(dr, np.zeros(3), 2 * np.einsum("ij,ij->i", s1, dr), mosaicity)
    horizontal = np.cross(s0, [0.0, 1.0, 0.0]) / k0
    horizontal /= np.linalg.norm(horizontal)
    vertical = np.cross(horizontal, s0) / k0
    for direction, rms in zip((horizontal, vertical), beam.divergence_deg, strict=True):
        perturb(np.zeros_like(r), k0 * direction, 2 * k0 * r @ direction, np.radians(rms))
    perturb(np.zeros_like(r), s0, -np.einsum("ij,ij->i", r, r), beam.bandwidth)
    for unit in np.eye(3):
        add(np.zeros(len(r)), in_plane(np.broadcast_to(unit, r.shape)), crystal.config.size_mm)
    return out
