"""The simulated detector: true and recorded geometry, bad pixels, and the response of the sensor."""

from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float32, Float64, UInt32

from puredials.errors import ParameterError
from puredials.model import rotation_matrix
from puredials.simulate.config import DetectorConfig

__all__ = [
    "DEAD",
    "DETECTORS",
    "GAP",
    "HOT",
    "DetectorKind",
    "RecordedDetector",
    "SimulatedDetector",
    "make_detector",
    "silicon_mu",
]

# Bits of the pixel mask, as NXmx defines them.
GAP, DEAD, HOT = 1, 2, 16

Points = Float64[np.ndarray, "n 2"]
Vectors = Float64[np.ndarray, "n 3"]
Values = Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class DetectorKind:
    """A detector of modules; pairs are (fast, slow), in pixels."""

    module: tuple[int, int]
    gap: tuple[int, int]
    layout: tuple[int, int]
    pixel_mm: float
    sensor_mm: float
    saturation: int
    dtype: str
    description: str

    @property
    def pitch(self) -> tuple[int, int]:
        return self.module[0] + self.gap[0], self.module[1] + self.gap[1]

    @property
    def image_size(self) -> tuple[int, int]:
        fast, slow = (n * p - g for n, p, g in zip(self.layout, self.pitch, self.gap, strict=True))
        return fast, slow

    @property
    def module_corners(self) -> list[tuple[int, int]]:
        """The first pixel (fast, slow) of each module, row by row."""
        columns, rows = self.layout
        return [(i * self.pitch[0], j * self.pitch[1]) for j in range(rows) for i in range(columns)]


def _eiger2(columns: int, rows: int, name: str) -> DetectorKind:
    return DetectorKind(
        (1028, 512), (12, 38), (columns, rows), 0.075, 0.45, 46000, "uint16", f"Simulated Eiger2 {name}"
    )


def _pilatus(columns: int, rows: int, name: str) -> DetectorKind:
    return DetectorKind((487, 195), (7, 17), (columns, rows), 0.172, 0.32, 1048500, "int32", f"PILATUS {name}")


DETECTORS = {
    "eiger2_1m": _eiger2(1, 2, "1M"),
    "eiger2_4m": _eiger2(2, 4, "4M"),
    "eiger2_16m": _eiger2(4, 8, "16M"),
    "eiger_500k": DetectorKind((1030, 514), (10, 37), (1, 1), 0.075, 0.45, 46000, "uint16", "Simulated Eiger 500K"),
    "pilatus_300k": _pilatus(1, 3, "300K"),
    "pilatus_1m": _pilatus(2, 5, "1M"),
}


@dataclass(frozen=True)
class RecordedDetector:
    """What the headers of image files say: the detector before its errors, for the beam along -z.

    `modules` are the first pixels (fast, slow) of the rectangles that are recorded as panels, `module_size` their size.
    """

    image_size: tuple[int, int]
    pixel_mm: float
    sensor_mm: float
    distance_mm: float
    beam_centre_px: tuple[float, float]
    two_theta_deg: float
    two_theta_axis: tuple[float, float, float]
    saturation: int
    description: str
    material: str
    modules: tuple[tuple[int, int], ...]
    module_size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class SimulatedDetector:
    """A flat detector as it truly is; lengths in mm unless they are in pixels.

    Attributes:
        fast, slow, origin, normal: in the laboratory frame.
        mu: attenuation of the sensor, 1/mm.
        mask: `GAP`, `DEAD` and `HOT` pixels; hot_rate: additional mean counts of each pixel.
        point_spread_px: r.m.s.; parallax: see `DetectorConfig`.
        module_shift (px), module_turn (rad): misplacement of each module.
    """

    kind: DetectorKind
    recorded: RecordedDetector
    fast: Float64[np.ndarray, "3"]
    slow: Float64[np.ndarray, "3"]
    origin: Float64[np.ndarray, "3"]
    mu: float
    mask: UInt32[np.ndarray, "slow fast"]
    hot_rate: Float32[np.ndarray, "slow fast"]
    point_spread_px: float
    parallax: bool | str
    module_shift: Float64[np.ndarray, "m 2"]
    module_turn: Float64[np.ndarray, " m"]

    @property
    def normal(self) -> Float64[np.ndarray, "3"]:
        return np.cross(self.fast, self.slow)

    @property
    def pixel_mm(self) -> float:
        return self.kind.pixel_mm

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast) number of pixels."""
        return self.kind.image_size[1], self.kind.image_size[0]

    def intersect(self, s: Vectors) -> tuple[Points, Values]:
        """Position (mm) on the sensor's face of rays along s, and t with position = t s (t <= 0: they miss)."""
        t = (self.normal @ self.origin) / (s @ self.normal)
        at = t[:, None] * s - self.origin
        return np.stack([at @ self.fast, at @ self.slow], axis=1), t

    def misplaced(self, px: Points) -> Points:
        """Where spots at `px` appear, with the modules off their places."""
        kind = self.kind
        pitch = np.array(kind.pitch)
        cell = np.clip((px // pitch).astype(int), 0, np.array(kind.layout) - 1)
        number = cell[:, 1] * kind.layout[0] + cell[:, 0]
        from_middle = px - (cell * pitch + np.array(kind.module) / 2)
        turn = self.module_turn[number]
        turned = np.stack([-turn * from_middle[:, 1], turn * from_middle[:, 0]], axis=1)
        return px + self.module_shift[number] + turned

    def conversion(self, cos_obliquity: Values) -> tuple[Values, Values, Values]:
        """Mean (mm) and variance (mm^2) of the depth at which photons convert along their path, and their share."""
        path = self.kind.sensor_mm / cos_obliquity
        q = np.exp(-self.mu * path)
        p = 1 - q
        mean = (1 / self.mu - (path + 1 / self.mu) * q) / p
        mean_square = (2 / self.mu**2 - (path**2 + 2 * path / self.mu + 2 / self.mu**2) * q) / p
        return mean, mean_square - mean**2, p

    def pixel_directions(self) -> tuple[Vectors, Values]:
        """Unit vectors to the centres of all pixels, and their distances (mm)."""
        ny, nx = self.shape
        x, y = np.meshgrid((np.arange(nx) + 0.5) * self.pixel_mm, (np.arange(ny) + 0.5) * self.pixel_mm)
        v = self.origin + x.reshape(-1, 1) * self.fast + y.reshape(-1, 1) * self.slow
        r = np.linalg.norm(v, axis=1)
        return v / r[:, None], r


def silicon_mu(wavelength: float) -> float:
    """Photoelectric attenuation of silicon (1/mm): 2 r_e lambda n f'' (f'' of Cromer & Liberman)."""
    _, f2 = gemmi.cromer_liberman(z=14, energy=12398.4198 / wavelength)
    electron_radius_mm, atoms_per_mm3 = 2.8179403e-12, 4.9959e19
    return 2 * electron_radius_mm * wavelength * 1e-7 * f2 * atoms_per_mm3


def make_detector(config: DetectorConfig, wavelength: float, rng: np.random.Generator) -> SimulatedDetector:
    """Draw the errors of a detector."""
    if config.type not in DETECTORS:
        raise ParameterError(f"detector.type={config.type} is unknown; there are {', '.join(DETECTORS)}.")
    kind = DETECTORS[config.type]
    nx, ny = kind.image_size
    centre = np.array(config.beam_centre_px or (nx / 2 + 3.3, ny / 2 + 30.6))
    two_theta = rotation_matrix(np.array(config.two_theta_axis), np.radians(config.two_theta_deg))
    tilt = np.eye(3)
    for axis, angle in zip(np.eye(3), config.tilt_error_deg, strict=True):
        tilt = rotation_matrix(axis, np.radians(angle)) @ tilt
    fast, slow = np.array([1.0, 0, 0]), np.array([0, -1.0, 0])
    # Tilts turn the detector about its nominal beam centre.
    corner = -kind.pixel_mm * (centre[0] * fast + centre[1] * slow)
    origin = two_theta @ (np.array([0, 0, -config.distance_mm]) + tilt @ corner)
    mask = _gaps(kind)
    n_modules = len(kind.module_corners)
    module_shift = config.module_shift_px * rng.normal(size=(n_modules, 2))
    module_turn = np.radians(config.module_turn_deg) * rng.normal(size=n_modules)
    hot_rate = _spoil_pixels(mask, config, rng)
    turn = two_theta @ tilt
    return SimulatedDetector(
        kind=kind,
        recorded=_recorded(config, kind, centre),
        fast=turn @ fast,
        slow=turn @ slow,
        origin=origin,
        mu=silicon_mu(wavelength),
        mask=mask,
        hot_rate=hot_rate,
        point_spread_px=config.point_spread_px,
        parallax=config.parallax,
        module_shift=module_shift,
        module_turn=module_turn,
    )


def _recorded(config: DetectorConfig, kind: DetectorKind, centre: np.ndarray) -> RecordedDetector:
    x, y = (centre + config.beam_centre_error_px).tolist()
    split = config.split_modules
    return RecordedDetector(
        image_size=kind.image_size,
        pixel_mm=kind.pixel_mm,
        sensor_mm=kind.sensor_mm,
        distance_mm=config.distance_mm + config.distance_error_mm,
        beam_centre_px=(x, y),
        two_theta_deg=config.two_theta_deg,
        two_theta_axis=config.two_theta_axis,
        saturation=kind.saturation,
        description=kind.description,
        material="Si",
        modules=tuple(kind.module_corners) if split else ((0, 0),),
        module_size=kind.module if split else kind.image_size,
    )


def _gaps(kind: DetectorKind) -> np.ndarray:
    mask = np.full(kind.image_size[::-1], GAP, dtype=np.uint32)
    for i, j in kind.module_corners:
        mask[j : j + kind.module[1], i : i + kind.module[0]] = 0
    return mask


def _spoil_pixels(mask: np.ndarray, config: DetectorConfig, rng: np.random.Generator) -> np.ndarray:
    """Mark dead and hot pixels in the mask, but for a few hot ones that nobody knows of; the rates of all hot ones."""
    hot_rate = np.zeros(mask.shape, np.float32)
    live = np.flatnonzero(mask.ravel() == 0)
    chosen = rng.choice(live, config.n_dead + config.n_hot + config.n_hot_unmasked, replace=False)
    dead, hot = chosen[: config.n_dead], chosen[config.n_dead :]
    mask.ravel()[dead] |= DEAD
    mask.ravel()[hot[: config.n_hot]] |= HOT
    hot_rate.ravel()[hot] = config.hot_rate * rng.exponential(size=len(hot))
    return hot_rate
