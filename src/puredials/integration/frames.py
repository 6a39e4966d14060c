"""Reflections in the frame of Kabsch (2010, Acta D66, 133): where a reflection is, how wide, and its box of pixels."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from puredials.geometry import depth_variance, zeta
from puredials.model import Detector, Experiment, Profile
from puredials.prediction import Predicted

__all__ = ["Frames", "Spread", "e1_e2", "reflection_frames"]

# The box is that of a circle of this many times the radius of the foreground: background pixels enough (about five
# times the foreground's) that the background adds little to the variance of weak intensities.
BOX_RADIUS = 2.8
# Widths are found from strong spots: however they depend on resolution, none is narrower than this (sigma^2).
LEAST_VARIANCE = 0.05


@dataclass(frozen=True, eq=False)
class Spread:
    """How much wider reflections are at higher resolution: variances along e1, e2, e3 in units of the mean profile's.

    variance = coefficients[:, 0] + coefficients[:, 1] (wavelength / d)^2, besides what the depth of the sensor does.
    Along e1 the mosaic spread turns reciprocal lattice vectors, by as much the longer they are; along e2 the range of
    wavelengths acts.
    """

    coefficients: Float64[np.ndarray, "3 2"]

    def variances(self, q: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, "n 3"]:
        """Variances along e1, e2, e3 at q = (wavelength / d)^2."""
        return np.maximum(self.coefficients[:, 0] + np.outer(q, self.coefficients[:, 1]), LEAST_VARIANCE)


@dataclass(frozen=True, eq=False)
class Frames:
    """Geometry of n reflections as the kernels take it (see `kernels.boxes`).

    Attributes:
        centre: (n, 3) predicted position, px, px, images from the first image of the scan.
        jacobian: (n, 4) d(e1, e2)/d(x, y) in sigma_b / px; drift: (n,) de3/dz in sigma_m / image.
        depth: (n, 2) how far a spot is drawn out along e1 and e2 (sigma_b) by the depths at which photons convert.
        slide: (n, 2) px / image: how a spot moves along e1 while it crosses the sphere.
        fine, pace: jacobian and drift in the standard deviations of the reflection itself, see `Spread`.
        panel: (n,). bbox: (n, 6), z from the first image of the scan. reach: (n, 4) x0, x1, y0, y1 around the
            foreground.
        zones, weights: (n, m) reference profiles and their weights.
    """

    centre: Float64[np.ndarray, "n 3"]
    jacobian: Float64[np.ndarray, "n 4"]
    drift: Float64[np.ndarray, " n"]
    depth: Float64[np.ndarray, "n 2"]
    slide: Float64[np.ndarray, "n 2"]
    fine: Float64[np.ndarray, "n 4"]
    pace: Float64[np.ndarray, " n"]
    panel: Int32[np.ndarray, " n"]
    bbox: Int32[np.ndarray, "n 6"]
    reach: Int32[np.ndarray, "n 4"]
    zones: Int32[np.ndarray, "n m"]
    weights: Float64[np.ndarray, "n m"]

    def __len__(self) -> int:
        return len(self.drift)

    def select(self, which: Int64[np.ndarray, " m"] | Bool[np.ndarray, " n"]) -> "Frames":
        return Frames(**{name: values[which] for name, values in vars(self).items()})

    def with_spread(self, spread: Spread, q: Float64[np.ndarray, " n"]) -> "Frames":
        """The same frames with the widths of each reflection."""
        variances = spread.variances(q)
        covariance = np.einsum("ni,nj->nij", self.depth, self.depth)
        covariance[:, [0, 1], [0, 1]] += variances[:, :2]
        fine = _inverse_root(covariance) @ self.jacobian.reshape(-1, 2, 2)
        return replace(self, fine=fine.reshape(-1, 4), pace=self.drift / np.sqrt(variances[:, 2]))

    @property
    def sizes(self) -> Int64[np.ndarray, " n"]:
        """Pixels of each box."""
        b = self.bbox.astype(np.int64)
        return (b[:, 1] - b[:, 0]) * (b[:, 3] - b[:, 2]) * (b[:, 5] - b[:, 4])


def e1_e2(
    s1: Float64[np.ndarray, "n 3"], s0: Float64[np.ndarray, "3"]
) -> tuple[Float64[np.ndarray, "n 3"], Float64[np.ndarray, "n 3"]]:
    """e1 = s1 x s0 and e2 = s1 x e1, of unit length (Kabsch 2010)."""
    e1 = np.cross(s1, s0)
    e1 /= np.linalg.norm(e1, axis=1)[:, None]
    e2 = np.cross(s1, e1)
    return e1, e2 / np.linalg.norm(e2, axis=1)[:, None]


def reflection_frames(
    experiment: Experiment,
    predicted: Predicted,
    profile: Profile,
    zones: Int32[np.ndarray, "n m"],
    weights: Float64[np.ndarray, "n m"],
) -> Frames:
    """Frames and boxes of predicted reflections, n_sigma standard deviations wide, clipped to the scan."""
    scan, goniometer = experiment.scan, experiment.goniometer
    assert scan is not None
    assert goniometer is not None
    sigma_b, sigma_m = np.radians(np.mean(profile.sigma_b)), np.radians(np.mean(profile.sigma_m))
    s1, panel = predicted.s1, predicted.panel.astype(np.int32)
    jacobian = _jacobian(s1, experiment.beam.s0, panel, experiment.detector) / sigma_b
    drift = zeta(s1, experiment.beam.s0, goniometer.rotation_axis) * np.radians(scan.oscillation[1]) / sigma_m
    centre = predicted.xyz_px - np.array([0.0, 0.0, scan.array_range[0]])
    # |J d| <= R within |dx| <= R |first row of J^-1|, and so on.
    inverse = np.linalg.inv(jacobian.reshape(-1, 2, 2))
    extent = np.linalg.norm(inverse, axis=2) * profile.n_sigma
    duration = profile.n_sigma / np.abs(drift)
    slide = _slide(s1, experiment, sigma_b)[:, None] * inverse[:, :, 0]
    travel = np.abs(slide) * duration[:, None]
    bbox = np.empty((len(s1), 6), np.int32)
    reach = np.empty((len(s1), 4), np.int32)
    for axis in range(2):
        box = np.maximum(extent[:, axis] * BOX_RADIUS, extent[:, axis] * 2 + travel[:, axis])
        for target, width in ((bbox, box), (reach, extent[:, axis] + travel[:, axis] + 1)):
            target[:, 2 * axis] = np.floor(centre[:, axis] - width)
            target[:, 2 * axis + 1] = np.ceil(centre[:, axis] + width)
    bbox[:, 4] = np.clip(np.floor(centre[:, 2] - duration), 0, len(scan))
    bbox[:, 5] = np.clip(np.ceil(centre[:, 2] + duration), 0, len(scan))
    depth = _depth(s1, jacobian, panel, experiment.detector)
    return Frames(centre, jacobian, drift, depth, slide, jacobian, drift, panel, bbox, reach, zones, weights)


def _depth(
    s1: Float64[np.ndarray, "n 3"], jacobian: Float64[np.ndarray, "n 4"], panel: Int32[np.ndarray, " n"],
    detector: Detector,
) -> Float64[np.ndarray, "n 2"]:  # fmt: skip
    """Standard deviations along e1 and e2, in units of the jacobian, of where rays along s1 convert in the sensor.

    These places are in line: the two are those of one number.
    """
    unit = s1 / np.linalg.norm(s1, axis=1)[:, None]
    depth = np.empty((len(s1), 2))
    for number, model in enumerate(detector.panels):
        here = panel == number
        step = unit[here] @ np.stack([model.fast, model.slow], axis=1) / model.pixel_size
        along = np.einsum("nij,nj->ni", jacobian[here].reshape(-1, 2, 2), step)
        depth[here] = along * np.sqrt(depth_variance(model, np.abs(unit[here] @ model.normal)))[:, None]
    return depth


def _inverse_root(matrix: Float64[np.ndarray, "n 2 2"]) -> Float64[np.ndarray, "n 2 2"]:
    """The symmetric M^-1/2 of symmetric, positive M: M^1/2 = (M + sqrt(det M)) / sqrt(tr M + 2 sqrt(det M))."""
    root = np.sqrt(np.linalg.det(matrix))[:, None, None]
    trace = np.trace(matrix, axis1=1, axis2=2)[:, None, None]
    return np.linalg.inv(matrix + root * np.eye(2)) * np.sqrt(trace + 2 * root)


def _slide(s1: Float64[np.ndarray, "n 3"], experiment: Experiment, sigma_b: float) -> Float64[np.ndarray, " n"]:
    """de1/dz (sigma_b / image) of the part of a reflection that crosses the sphere at z.

    A block of the mosaic that is turned by w diffracts a rotation dphi later, such that w . e1 + zeta dphi = 0. The two
    turn r by (w + m2 dphi) x r, whose part along e1 is, averaged over all w with the same dphi, dphi (m2 x r) . e1.
    """
    assert experiment.goniometer is not None
    assert experiment.scan is not None
    s0 = experiment.beam.s0
    e1, _ = e1_e2(s1, s0)
    along = np.einsum("ij,ij->i", np.cross(experiment.goniometer.rotation_axis, s1 - s0), e1)
    return along * experiment.beam.wavelength * np.radians(experiment.scan.oscillation[1]) / sigma_b


def _jacobian(
    s1: Float64[np.ndarray, "n 3"],
    s0: Float64[np.ndarray, "3"],
    panel: Int32[np.ndarray, " n"],
    detector: Detector,
) -> Float64[np.ndarray, "n 4"]:
    """d(e1, e2)/d(x, y) (rad / px) of directions seen through the pixels at the tip of s1.

    A step d on the panel turns the direction u of s1 by (d - (d . u) u) / r, with the distance r to the sample.
    """
    e1, e2 = e1_e2(s1, s0)
    unit = s1 / np.linalg.norm(s1, axis=1)[:, None]
    jacobian = np.empty((len(s1), 4))
    for number, model in enumerate(detector.panels):
        here = panel == number
        distance = model.distance / (unit[here] @ model.normal)
        for column, (axis, size) in enumerate(zip((model.fast, model.slow), model.pixel_size, strict=True)):
            step = axis * size
            jacobian[here, column] = e1[here] @ step / distance
            jacobian[here, 2 + column] = e2[here] @ step / distance
    return jacobian
