"""Background counts: air, water, ice rings and the shadow of the beam stop."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from puredials.simulate.beam import polarization, true_s0
from puredials.simulate.config import BackgroundConfig, BeamConfig
from puredials.simulate.detector import DEAD, GAP, SimulatedDetector

__all__ = ["LIVE", "Background", "PixelState", "make_background"]

# States of pixels, as the painting kernel knows them.
SHADOW, LIVE, IN_GAP, IS_DEAD = 0, 1, 2, 3
PixelState = UInt8[np.ndarray, "slow fast"]

# Rings of hexagonal ice: d (Angstrom) and relative weight.
_ICE = (
    (3.897, 1.0), (3.669, 0.6), (3.441, 0.8), (2.671, 0.3), (2.249, 0.5),
    (2.072, 0.4), (1.948, 0.25), (1.918, 0.25), (1.883, 0.15), (1.721, 0.1),
)  # fmt: skip
_ICE_WIDTH = 0.0012
# What passes the beam stop nevertheless.
_SHADOW_TRANSMISSION = 0.03


@dataclass(frozen=True, eq=False)
class Background:
    """Mean counts of each pixel and image, and the state of each pixel: shadow, live, in a gap or dead."""

    mean: Float32[np.ndarray, "slow fast"]
    state: PixelState


def make_background(config: BackgroundConfig, beam: BeamConfig, detector: SimulatedDetector) -> Background:
    """The background of all images of a data set, but for its variation with rotation."""
    direction, distance = detector.pixel_directions()
    s0 = true_s0(beam)
    s = np.linalg.norm(direction * np.linalg.norm(s0) - s0, axis=1)
    cos_obliquity = np.abs(direction @ detector.normal)
    solid_angle = cos_obliquity / distance**2
    efficiency = detector.conversion(cos_obliquity)[2]
    mean = _radial(s, config) * polarization(direction, beam.polarization) * solid_angle * efficiency
    mean = mean.reshape(detector.shape)
    state = np.full(detector.shape, LIVE, np.uint8)
    if config.beamstop_mm:
        shadow = _shadow(config, detector, s0)
        state[shadow] = SHADOW
        mean[shadow] *= _SHADOW_TRANSMISSION
    state[detector.mask & GAP > 0] = IN_GAP
    state[detector.mask & DEAD > 0] = IS_DEAD
    mean *= config.mean / mean[state == LIVE].mean()
    return Background(mean.astype(np.float32), state)


def _radial(s: np.ndarray, config: BackgroundConfig) -> np.ndarray:
    """Relative scattering at s = 1/d (1/Angstrom)."""
    water = (
        0.9 * np.exp(-0.5 * ((s - 0.31) / 0.045) ** 2)
        + 0.45 * np.exp(-0.5 * ((s - 0.47) / 0.06) ** 2)
        + 0.25 * np.exp(-0.5 * (s / 0.35) ** 2)
    )
    total = config.air * np.exp(-s / 0.10) + config.flat + config.water * water
    for d, weight in _ICE:
        total += config.ice * weight * np.exp(-0.5 * ((s - 1 / d) / _ICE_WIDTH) ** 2)
    return total


def _shadow(config: BackgroundConfig, detector: SimulatedDetector, s0: np.ndarray) -> np.ndarray:
    """Pixels behind the beam stop and its arm, which comes from the right."""
    cx, cy = detector.intersect(s0[None])[0][0] / detector.pixel_mm
    ny, nx = detector.shape
    x, y = np.meshgrid(np.arange(nx) + 0.5 - cx, np.arange(ny) + 0.5 - cy)
    shadow = np.hypot(x, y) * detector.pixel_mm < config.beamstop_mm
    if config.beamstop_arm:
        shadow |= (np.abs(y + 0.03 * x) * detector.pixel_mm < 0.25 * config.beamstop_mm) & (x > 0)
    return shadow
