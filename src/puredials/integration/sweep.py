"""All reflections of a sweep, in a few bytes each: the rest of their geometry is worked out where it is needed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from puredials.errors import ProcessingError
from puredials.geometry import zeta
from puredials.integration.frames import Frames, Spread, reflection_frames
from puredials.integration.params import IntegrateParams
from puredials.integration.zones import Zones
from puredials.model import Experiment, Profile
from puredials.prediction import Predicted, sweep_positions, sweep_reflections

__all__ = ["Sweep", "predict"]

# Rows whose geometry is worked out at once.
ROWS = 20_000


@dataclass(frozen=True, eq=False)
class Sweep:
    """The reflections of a sweep, sorted by z.

    Attributes:
        experiment, profile, zones: what their frames depend on; spread: the same, once it is known.
        force_static: predict with the mean setting of the crystal.
        index: (n, 3). z: (n,) images (array index). entering: (n,).
        span: (n, 2) first and last + 1 image of the box, from the first image of the scan. layer: (n,) pixels of the
            box on each of them. whole: (n,) True where the scan records the rocking curve to n_sigma on both sides.
    """

    experiment: Experiment
    profile: Profile
    zones: Zones
    spread: Spread | None
    force_static: bool
    index: Int32[np.ndarray, "n 3"]
    z: Float64[np.ndarray, " n"]
    entering: Bool[np.ndarray, " n"]
    span: Int32[np.ndarray, "n 2"]
    layer: Int32[np.ndarray, " n"]
    whole: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.z)

    def predicted(self, rows: Int64[np.ndarray, " m"]) -> Predicted:
        return sweep_positions(
            self.experiment, self.index[rows], self.z[rows], self.entering[rows], force_static=self.force_static
        )

    def frames(
        self, rows: Int64[np.ndarray, " m"], *, predicted: Predicted | None = None, on_detector: bool = False
    ) -> Frames:
        """Frames of reflections, with the zones around them: of the whole sweep, or of the detector alone."""
        predicted = predicted or self.predicted(rows)
        zones, weights = self.zones.on_detector(predicted.s1)
        if not on_detector:
            zones, weights = self.zones.around(predicted.s1, self.z[rows] - self.start)
        frames = reflection_frames(self.experiment, predicted, self.profile, zones, weights)
        return frames if self.spread is None else frames.with_spread(self.spread, self.q(rows))

    def q(self, rows: Int64[np.ndarray, " m"]) -> Float64[np.ndarray, " m"]:
        """(wavelength / d)^2, d by the mean cell."""
        assert self.experiment.crystal is not None
        r = self.index[rows] @ self.experiment.crystal.A.T
        return np.sum(r * r, axis=1) * self.experiment.beam.wavelength**2

    def resolution_range(self) -> tuple[float, float]:
        """(d_min, d_max), Angstrom."""
        q = [self.q(rows) for rows in _pieces(len(self))]
        highest, lowest = max(v.max() for v in q), min(v.min() for v in q)
        wavelength = self.experiment.beam.wavelength
        return float(wavelength / np.sqrt(highest)), float(wavelength / np.sqrt(lowest))

    def near(self, first: int, last: int) -> Int64[np.ndarray, " m"]:
        """Numbers of the reflections on images first <= z < last of the scan."""
        return np.flatnonzero((self.span[:, 0] < last) & (first < self.span[:, 1]))

    def blocks(self, pixels: int) -> list[tuple[int, int, int]]:
        """Blocks of images (first, last + 1, reflections that end there) with about so many pixels in boxes."""
        n = self.zones.n_images
        starts, ends = (np.bincount(self.span[:, k], self.layer, n + 1) for k in range(2))
        upto = np.cumsum(np.cumsum(starts - ends)[:n])
        closing = np.bincount(self.span[:, 1], minlength=n + 1)
        blocks, first = [], 0
        while first < n:
            before = upto[first - 1] if first else 0.0
            last = int(np.clip(np.searchsorted(upto, before + pixels, "right"), first + 1, n))
            blocks.append((first, last, int(closing[first + 1 : last + 1].sum())))
            first = last
        return blocks

    def overlap(self) -> float:
        """How many boxes a pixel of the images is in, on average."""
        boxes = float(np.sum(self.layer.astype(np.float64) * (self.span[:, 1] - self.span[:, 0])))
        pixels = sum(panel.image_size[0] * panel.image_size[1] for panel in self.experiment.detector)
        return boxes / (pixels * self.zones.n_images)

    @property
    def start(self) -> int:
        """Array index of the first image."""
        assert self.experiment.scan is not None
        return self.experiment.scan.array_range[0]


def predict(experiment: Experiment, profile: Profile, params: IntegrateParams, across: int) -> Sweep:
    """All reflections whose boxes reach into the scan, but those too close to the rotation axis, and those with a part
    on images that are left out."""
    wanted, scan, goniometer = params.prediction, experiment.scan, experiment.goniometer
    assert scan is not None
    assert goniometer is not None
    index, z, entering = sweep_reflections(
        experiment, d_min=wanted.d_min, d_max=wanted.d_max, padding=wanted.padding, force_static=wanted.force_static
    )
    n = len(z)
    sweep = Sweep(
        experiment, profile, Zones.of(experiment, across=across, along=1), None, wanted.force_static, index, z,
        entering, np.zeros((n, 2), np.int32), np.zeros(n, np.int32), np.zeros(n, bool),
    )  # fmt: skip
    seen = np.zeros(n, bool)
    for rows in _pieces(n):
        predicted = sweep.predicted(rows)
        frames = sweep.frames(rows, predicted=predicted)
        depth, at = profile.n_sigma / np.abs(frames.drift), frames.centre[:, 2]
        sweep.span[rows] = frames.bbox[:, 4:]
        sweep.layer[rows] = (frames.bbox[:, 1] - frames.bbox[:, 0]) * (frames.bbox[:, 3] - frames.bbox[:, 2])
        sweep.whole[rows] = (at - depth >= 0) & (at + depth <= len(scan))
        far = np.abs(zeta(predicted.s1, experiment.beam.s0, goniometer.rotation_axis))
        seen[rows] = (far >= params.integration.filter.min_zeta) & (at + depth > 0) & (at - depth < len(scan))
    seen &= sweep.span[:, 1] > sweep.span[:, 0]
    left_out = np.concatenate([[0], np.cumsum(~experiment.valid_images)])
    first, last = np.clip(sweep.span, 0, len(scan)).T
    seen &= left_out[last] == left_out[first]
    if not seen.any():
        raise ProcessingError("No reflections are predicted on the detector: check the models and prediction.d_min.")
    columns = ("index", "z", "entering", "span", "layer", "whole")
    return replace(sweep, **{name: getattr(sweep, name)[seen] for name in columns})


def _pieces(n: int) -> Iterator[Int64[np.ndarray, " m"]]:
    for low in range(0, n, ROWS):
        yield np.arange(low, min(low + ROWS, n))
