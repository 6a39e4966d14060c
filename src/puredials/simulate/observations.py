"""The observations of a sweep: intensities, truth, and the Gaussian slice of each reflection on each image."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import erf

from puredials.geometry import rotate
from puredials.simulate.beam import polarization, true_s0
from puredials.simulate.config import SimulationConfig
from puredials.simulate.crystal import SimulatedCrystal
from puredials.simulate.detector import SimulatedDetector
from puredials.simulate.diffraction import Rays, Sweep, covariance, diffracted
from puredials.simulate.protein import Protein

__all__ = ["Observations", "Slices", "observe"]

Values = Float64[np.ndarray, " n"]
Observations = dict[str, np.ndarray]

# Of a rocking curve, less than this share in a sweep counts as none.
_LEAST_PARTIALITY = 1e-3
# Slices are cut to this many standard deviations of the rocking curve, and those of fewer photons are left out.
_REACH = 4
_LEAST_PHOTONS = 0.02


@dataclass(frozen=True, eq=False)
class Slices:
    """What each reflection leaves on each image, sorted by image.

    Attributes:
        owner: row of the observation; frame: number of the image, from 0.
        x, y: centroid (px); cxx, cxy, cyy: covariance (px^2); photons: expected.
    """

    owner: Int64[np.ndarray, " n"]
    frame: Int64[np.ndarray, " n"]
    x: Values
    y: Values
    cxx: Values
    cxy: Values
    cyy: Values
    photons: Values


def observe(
    config: SimulationConfig,
    protein: Protein,
    crystal: SimulatedCrystal,
    detector: SimulatedDetector,
    sweep: Sweep,
    rng: np.random.Generator,
) -> tuple[Observations, Slices]:
    """All reflections of a sweep, as columns of the truth, and their slices."""
    rays = diffracted(protein, crystal, detector, sweep, config.beam)
    cov = covariance(rays, crystal, detector, sweep, config.beam)
    ideal, efficiency = _record(rays, detector, cov)
    n = len(rays.phi)
    centre = detector.misplaced(ideal) + config.errors.position_px * rng.normal(size=ideal.shape)
    phi = rays.phi + np.radians(config.errors.phi_deg) * rng.normal(size=n) / np.abs(rays.zeta)
    factors = _factors(config, crystal, sweep, rays, phi)
    noise = np.exp(config.errors.multiplicative * rng.normal(size=n))
    scale = crystal.config.strength * factors["volume"] * factors["damage"] * factors["absorption"]
    f_sq = protein.p1_intensity[rays.row]
    full = f_sq * factors["lorentz"] * factors["polarization"] * efficiency * scale * rays.share

    sigma = np.sqrt(cov[:, 0, 0])
    partiality, mean, _ = _truncated_normal((sweep.start - phi) / sigma, (sweep.end - phi) / sigma)
    mean = np.where(partiality > _LEAST_PARTIALITY, mean, 0)
    z = (phi + mean * sigma - sweep.start) / sweep.width
    xy = centre + (mean / sigma)[:, None] * cov[:, 0, 1:]
    every = {
        "hkl": protein.p1_hkl[rays.row],
        "unique_id": protein.p1_id[rays.row],
        "is_minus": protein.p1_minus[rays.row],
        "lattice": rays.lattice,
        "photons_full": full,
        "photons_recorded": full * partiality,
        "partiality": partiality,
        "true_f_sq": f_sq,
        "xyz": np.column_stack([xy, z]),
        "xyz_laue": np.column_stack([ideal, (rays.phi - sweep.start) / sweep.width]),
        "phi": phi,
        "covariance": cov,
        **factors,
        "efficiency": efficiency,
        "scale": scale * efficiency,
        "multiplicative_error": noise,
        "zeta": rays.zeta,
        "d": 1 / np.linalg.norm(rays.r, axis=1),
        "s1": rays.s1,
    }
    kept = np.flatnonzero(partiality > _LEAST_PARTIALITY)
    observations = {name: values[kept] for name, values in every.items()}
    return observations, _slices(observations, centre[kept], sweep)


def _record(rays: Rays, detector: SimulatedDetector, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the rays are recorded (px), and the efficiency of the sensor; its blur is added to `cov`."""
    unit = rays.unit
    depth, depth_variance, efficiency = detector.conversion(np.abs(unit @ detector.normal))
    centre = rays.mm / detector.pixel_mm
    cov[:, 1, 1] += detector.point_spread_px**2
    cov[:, 2, 2] += detector.point_spread_px**2
    if detector.parallax:
        if detector.parallax == "dxtbx":
            depth = depth * efficiency
        px_per_mm = np.stack([unit @ detector.fast, unit @ detector.slow], axis=1) / detector.pixel_mm
        centre = centre + depth[:, None] * px_per_mm
        cov[:, 1:, 1:] += depth_variance[:, None, None] * px_per_mm[:, :, None] * px_per_mm[:, None, :]
    return centre, efficiency


def _factors(
    config: SimulationConfig, crystal: SimulatedCrystal, sweep: Sweep, rays: Rays, phi: Values
) -> dict[str, Values]:
    """What multiplies |F|^2, by name."""
    s0 = true_s0(config.beam)
    unit = rays.unit
    towards_source = np.broadcast_to(-s0 / np.linalg.norm(s0), unit.shape)
    settings = crystal.config
    exposed = np.clip(np.degrees(phi - sweep.start), 0, sweep.config.n_images * sweep.config.width_deg)
    dose = sweep.dose_deg + exposed
    s_sq = np.einsum("ij,ij->i", rays.r, rays.r)

    def in_crystal(v: np.ndarray) -> np.ndarray:
        turned = rotate(v @ sweep.setting.setting_rotation, sweep.setting.axis, -rays.phi)
        return turned @ sweep.setting.fixed_rotation

    return {
        "lorentz": 1 / (np.abs(rays.zeta) * rays.sin_2theta),
        "polarization": polarization(unit, config.beam.polarization),
        "volume": crystal.volume(phi),
        "damage": np.exp(-0.5 * settings.B_per_degree * dose * s_sq) * np.exp(-settings.decay_per_degree * dose),
        "absorption": crystal.absorption.transmission(in_crystal(towards_source), in_crystal(unit)),
    }


def _slices(observations: Observations, centre: np.ndarray, sweep: Sweep) -> Slices:
    """Cut each three-dimensional Gaussian of (phi, x, y) at the boundaries of images."""
    phi, cov = observations["phi"], observations["covariance"]
    sigma = np.sqrt(cov[:, 0, 0])
    first, last = (
        np.clip(np.floor((phi + side * _REACH * sigma - sweep.start) / sweep.width), 0, sweep.config.n_images - 1)
        for side in (-1, 1)
    )
    count = (last - first).astype(int) + 1
    owner = np.repeat(np.arange(len(phi)), count)
    frame = first[owner].astype(int) + np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    za = (sweep.start + frame * sweep.width - phi[owner]) / sigma[owner]
    share, mean, variance = _truncated_normal(za, za + sweep.width / sigma[owner])
    photons = observations["photons_full"][owner] * share * observations["multiplicative_error"][owner]
    order = np.flatnonzero(photons > _LEAST_PHOTONS)
    order = order[np.argsort(frame[order], kind="stable")]
    owner, frame, mean, variance, photons = (v[order] for v in (owner, frame, mean, variance, photons))
    # The distribution of x, y for a given range of phi: a regression on phi, and what phi does not explain.
    cross = cov[owner, 0, 1:] / sigma[owner, None]
    xy = centre[owner] + mean[:, None] * cross
    c = cov[owner, 1:, 1:] - (1 - variance)[:, None, None] * cross[:, :, None] * cross[:, None, :]
    x, y, cxx, cxy, cyy = (np.ascontiguousarray(v) for v in (*xy.T, c[:, 0, 0], c[:, 0, 1], c[:, 1, 1]))
    return Slices(owner, frame, x, y, cxx, cxy, cyy, photons)


def _truncated_normal(a: Values, b: Values) -> tuple[Values, Values, Values]:
    """Share, mean and variance of the part of a standard normal distribution between a and b."""
    share = 0.5 * (1 + erf(b / np.sqrt(2))) - 0.5 * (1 + erf(a / np.sqrt(2)))
    density_a, density_b = (np.exp(-0.5 * v * v) / np.sqrt(2 * np.pi) for v in (a, b))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = (density_a - density_b) / share
        variance = np.clip(1 + (a * density_a - b * density_b) / share - mean * mean, 0, 1)
    return share, mean, variance
