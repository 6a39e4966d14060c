"""Where reference profiles are kept: zones of directions and of the scan, between which profiles are interpolated.

Zones are laid over the directions of the diffracted beams in the laboratory, not over panels: it does not matter how
a detector is cut into panels.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32

from puredials.model import Experiment

__all__ = ["Zones"]


@dataclass(frozen=True, eq=False)
class Zones:
    """A regular grid of zones over the detector and the scan.

    Attributes:
        across: zones along each direction of the detector (1 or 3).
        along: zones along the scan.
        axes: (2, 3) unit vectors perpendicular to the beam; directions are described by their components u, v.
        low, high: (2,) the range of u and v that the detector covers.
        n_images: of the scan.
    """

    across: int
    along: int
    axes: Float64[np.ndarray, "2 3"]
    low: Float64[np.ndarray, "2"]
    high: Float64[np.ndarray, "2"]
    n_images: int

    @staticmethod
    def of(experiment: Experiment, *, across: int, along: int) -> "Zones":
        assert experiment.goniometer is not None
        assert experiment.scan is not None
        beam = experiment.beam.s0 * experiment.beam.wavelength
        # Any vector that is not along the beam fixes the direction of u.
        axis = experiment.goniometer.rotation_axis
        u = axis - (axis @ beam) * beam
        if np.linalg.norm(u) < 0.1:
            u = np.cross(beam, np.eye(3)[np.argmin(np.abs(beam))])
        u = u / np.linalg.norm(u)
        axes = np.stack([u, np.cross(beam, u)])
        corners = np.concatenate(
            [p.origin + np.array([[x, y] for x in (0, 1) for y in (0, 1)]) * p.size_mm @ np.stack([p.fast, p.slow])
             for p in experiment.detector.panels]
        )  # fmt: skip
        uv = (corners / np.linalg.norm(corners, axis=1)[:, None]) @ axes.T
        return Zones(across, along, axes, uv.min(axis=0), uv.max(axis=0), len(experiment.scan))

    @property
    def number(self) -> int:
        return self.across**2 * self.along

    def on_detector(
        self, s1: Float64[np.ndarray, "n 3"]
    ) -> tuple[Int32[np.ndarray, "n 4"], Float64[np.ndarray, "n 4"]]:
        """The zones around each direction, within one zone of the scan, and their weights, which sum to 1."""
        uv = (s1 / np.linalg.norm(s1, axis=1)[:, None]) @ self.axes.T
        u0, u1, fu = self._between((uv[:, 0] - self.low[0]) / (self.high[0] - self.low[0]), self.across)
        v0, v1, fv = self._between((uv[:, 1] - self.low[1]) / (self.high[1] - self.low[1]), self.across)
        zones = np.stack([v * self.across + u for v in (v0, v1) for u in (u0, u1)], axis=1)
        weights = np.stack([a * b for a in (1 - fv, fv) for b in (1 - fu, fu)], axis=1)
        return zones.astype(np.int32), weights

    def around(
        self, s1: Float64[np.ndarray, "n 3"], z: Float64[np.ndarray, " n"]
    ) -> tuple[Int32[np.ndarray, "n 8"], Float64[np.ndarray, "n 8"]]:
        """The zones around each direction and position z (images from the start of the scan), and their weights."""
        zones, weights = self.on_detector(s1)
        z0, z1, fz = self._between(z / self.n_images, self.along)
        size = self.across**2
        both = np.concatenate([zones + z0[:, None] * size, zones + z1[:, None] * size], axis=1)
        return both.astype(np.int32), np.concatenate([weights * (1 - fz)[:, None], weights * fz[:, None]], axis=1)

    def scan_zone(self, z: Float64[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        """The zone of the scan in which z lies."""
        return np.clip(z / self.n_images * self.along, 0, self.along - 1).astype(np.int32)

    def centres(self) -> Float64[np.ndarray, "zones 3"]:
        """u, v and z (images) of the centre of each zone."""
        side = (np.arange(self.across) + 0.5) / self.across
        z, v, u = np.meshgrid((np.arange(self.along) + 0.5) / self.along * self.n_images, side, side, indexing="ij")
        span = self.high - self.low
        return np.column_stack([u.ravel() * span[0] + self.low[0], v.ravel() * span[1] + self.low[1], z.ravel()])

    @staticmethod
    def _between(position: Float64[np.ndarray, " n"], n: int):
        """Of n cells of unit range, those whose centres lie below and above, and the weight of the latter."""
        at = np.clip(position * n - 0.5, 0, n - 1)
        low = np.minimum(at.astype(np.int64), max(n - 2, 0))
        return low, np.minimum(low + 1, n - 1), at - low
