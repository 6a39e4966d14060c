"""Corrections of the physical scaling model: where their parameters sit, and how observations depend on them.

The inverse scale factor of an observation is g = C(t) exp(B(t) / (2 d^2)) A(directions), by which its intensity is
divided: C a smooth scale along the rotation, B a smooth relative B factor, A the transmission of the crystal for the
path of the beam (Beilsten-Edmands et al. 2020, Acta D76, 385, section 2; Evans & Murshudov 2013, Acta D69, 1204).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from puredials.geometry import rotate
from puredials.kernels.harmonics import add_harmonics
from puredials.model import Experiment

__all__ = ["NODES_AVERAGED", "Nodes", "absorption_terms", "default_interval", "nodes_for_sweep"]

NODES_AVERAGED = 3
Values = Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class Nodes:
    """Parameters of a quantity that changes smoothly along the rotation.

    Nodes are at -0.5, 0.5, ... in intervals from the first image (at 0, 1 or 0, 1, 2 for one or two intervals; a single
    node is a constant). The value at a position is the mean of the nearest three with weights exp(-(dx / sigma)^2).

    Attributes:
        count: number of nodes.
        interval: degrees.
        per_image: intervals an image; a little less than width / interval, so that the last image is inside.
    """

    count: int
    interval: float = 0.0
    per_image: float = 0.0

    def weights(self, images: Values) -> tuple[Int64[np.ndarray, "n 3"], Float64[np.ndarray, "n 3"]]:
        """Numbers of the nodes that matter at positions in images from the first, ascending, and their weights."""
        n = len(images)
        index, weight = np.zeros((n, NODES_AVERAGED), np.int64), np.zeros((n, NODES_AVERAGED))
        if self.count == 1:
            weight[:, 0] = 1.0
            return index, weight
        averaged = min(NODES_AVERAGED, self.count)
        offset = 0.0 if self.count <= 3 else -0.5
        position = images * self.per_image - offset
        # The three nearest nodes start one before the nearest.
        start = np.clip(np.rint(position).astype(np.int64) - 1, 0, self.count - averaged)
        index[:, :averaged] = start[:, None] + np.arange(averaged)
        sigma = 0.65 + 0.05 * (averaged - 2)
        weight[:, :averaged] = np.exp(-(((position[:, None] - index[:, :averaged]) / sigma) ** 2))
        return index, weight / weight.sum(axis=1, keepdims=True)


def default_interval(width: float) -> tuple[float, float]:
    """Spacing (degrees) of the nodes of scale and of decay for a sweep of `width` degrees.

    How smooth the scale is tells its prior, learnt from the data, so that its nodes may be close.
    """
    for limit, intervals in ((5, (1.0, 1.5)), (10, (2.0, 3.0)), (25, (3.0, 5.0)), (90, (3.0, 10.0))):
        if width < limit:
            return intervals
    return 3.0, 20.0


def nodes_for_sweep(width: float, image_width: float, interval: float) -> Nodes:
    """The fewest intervals of at most `interval` degrees that cover a sweep of `width` degrees."""
    n = max(1, math.ceil(width / (interval + 1e-5)))
    length = width / n
    # As other programs do, so that they read the same model: 0.999 keeps the end of the sweep inside the last interval.
    return Nodes(n + 1 if n <= 2 else n + 2, length, 0.999 * image_width / length)


def absorption_terms(
    experiment: Experiment, s1: Float64[np.ndarray, "n 3"], phi: Values, lmax: int
) -> Float32[np.ndarray, "n k"]:
    """Real spherical harmonics l = 1..lmax, averaged over the directions in which beams enter and leave the crystal.

    Directions are as the crystal sees them, turned back by all rotations of the goniometer, in a frame with the
    rotation axis along z (Katayama 1986, Acta A42, 19; Blessing 1995, Acta A51, 33). The entering beam counts by the
    direction it comes from.
    """
    goniometer = experiment.goniometer
    terms = np.zeros((len(s1), lmax * (lmax + 2)))
    for vectors in (np.broadcast_to(-experiment.beam.s0, s1.shape), s1):
        unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
        if goniometer is not None:
            back = rotate(unit @ goniometer.setting_rotation, goniometer.axis, -phi)
            unit = back @ goniometer.fixed_rotation @ _axis_along_z(goniometer.rotation_axis).T
        add_harmonics(np.ascontiguousarray(unit), lmax, 0.5, terms)
    return terms.astype(np.float32)


def _axis_along_z(axis: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3 3"]:
    """The rotation that takes `axis` to z the shortest way."""
    x, y, z = axis / np.linalg.norm(axis)
    if z < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    cross = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0]])  # of the vector axis x z
    return np.eye(3) + cross + cross @ cross / (1 + z)
