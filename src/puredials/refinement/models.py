"""One parametrisation for each kind of model: parameters -> state of the model and its derivatives.

All start at 0: the state given. Lengths are in mm, angles in rad (Waterman et al. 2016, Acta D72, 558, section 3.3).
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from puredials.model import Beam, Crystal, Detector, Experiment
from puredials.model.crystal import u_and_b
from puredials.refinement.cell import b_from_metric, invariant_metrics, symmetrised_metric
from puredials.refinement.params import Parameterisation
from puredials.refinement.rotations import rotation_from_vector

__all__ = ["BeamModel", "CrystalModel", "DetectorModel"]

Vector = Float64[np.ndarray, "3"]

# How far from their readings beam and detector can be (rad, mm). Wide: hundreds of spots over tens of degrees outweigh
# them a thousandfold. But in a narrow wedge a detector can turn by many degrees about the beam, with the crystal, at no
# cost, and then the rotation axis is no longer where the models say.
BEAM_SIGMA = 0.01
SHIFT_SIGMA = 10.0
TURN_SIGMA = 0.02


@dataclass(frozen=True, eq=False)
class BeamModel:
    """s0 = (|s0| + nu) R(mu1 a1 + mu2 a2) s0 / |s0|.

    a2 is normal to the plane of beam and rotation axis: mu2 moves the beam within that plane; a1 lies in the plane and
    is normal to the beam. `free` are the numbers of the free ones of (mu1, mu2, nu).
    """

    beam: Beam
    axes: Float64[np.ndarray, "2 3"]
    free: tuple[int, ...]

    @classmethod
    def of(cls, experiment: Experiment, params: Parameterisation) -> "BeamModel":
        fix = set(params.beam.fix)
        fixed = {"in_spindle_plane": 0, "out_spindle_plane": 1, "wavelength": 2}
        gone = {
            fixed[name]
            for name in fix
            if name in fixed and not (experiment.goniometer is None and name == "in_spindle_plane")
        }
        free = () if "all" in fix else tuple(k for k in range(3) if k not in gone)
        forward = -experiment.beam.direction
        goniometer = experiment.goniometer
        spindle = np.array([1.0, 0, 0]) if goniometer is None else goniometer.rotation_axis
        normal = np.cross(spindle, forward)
        if np.linalg.norm(normal) < 1e-3:  # a rotation axis along the beam: any plane will do
            normal = np.cross(np.eye(3)[np.argmin(np.abs(forward))], forward)
        normal = normal / np.linalg.norm(normal)
        return cls(experiment.beam, np.array([np.cross(forward, normal), normal]), free)

    @property
    def n(self) -> int:
        return len(self.free)

    @property
    def prior(self) -> Float64[np.ndarray, " m"]:
        """1 / variance of the free parameters, as known before any spot is seen."""
        sigmas = np.array([BEAM_SIGMA, BEAM_SIGMA, BEAM_SIGMA / self.beam.wavelength])
        return sigmas[list(self.free)] ** -2

    def state(self, p: Float64[np.ndarray, " m"]) -> tuple[Vector, Float64[np.ndarray, "m 3"]]:
        """s0, and its derivatives by the free parameters."""
        q = np.zeros(3)
        q[list(self.free)] = p
        length = 1 / self.beam.wavelength + q[2]
        R, dR = rotation_from_vector((q[:2] @ self.axes)[None])
        unit = R[0] @ -self.beam.direction
        along = np.einsum("kij,j->ki", dR[0], -self.beam.direction)
        derivatives = np.array([length * (self.axes[0] @ along), length * (self.axes[1] @ along), unit])
        return length * unit, derivatives[list(self.free)]

    def moved(self, p: Float64[np.ndarray, " m"]) -> Beam:
        s0 = self.state(p)[0]
        return replace(self.beam, direction=-s0, wavelength=float(1 / np.linalg.norm(s0))) if self.n else self.beam


@dataclass(frozen=True, eq=False)
class DetectorModel:
    """The whole detector as a rigid body: r -> R(tau) (r - foot) + foot + shift.

    Shifts and rotation vector are along the axes normal, fast, slow of the panel that the beam hits (or the first);
    `foot` is where that normal through the sample meets the panel's plane. The six parameters are Dist, Shift1, Shift2
    (mm), Tau1, Tau2, Tau3 (rad).
    """

    detector: Detector
    axes: Float64[np.ndarray, "3 3"]
    foot: Vector
    free: tuple[int, ...]

    @classmethod
    def of(cls, experiment: Experiment, params: Parameterisation) -> "DetectorModel":
        fixed = {"all": range(6), "position": range(3), "orientation": range(3, 6), "distance": (0,), None: ()}
        free = tuple(k for k in range(6) if k not in fixed[params.detector.fix])
        panel = experiment.detector.panels[_central_panel(experiment)]
        axes = np.array([panel.normal, panel.fast, panel.slow])
        return cls(experiment.detector, axes, panel.distance * panel.normal, free)

    @property
    def n(self) -> int:
        return len(self.free)

    @property
    def prior(self) -> Float64[np.ndarray, " m"]:
        """1 / variance of the free parameters, as known before any spot is seen."""
        return np.array([SHIFT_SIGMA] * 3 + [TURN_SIGMA] * 3)[list(self.free)] ** -2

    def _motion(self, p: Float64[np.ndarray, " m"]) -> tuple[Float64[np.ndarray, "3 3"], Vector, np.ndarray]:
        q = np.zeros(6)
        q[list(self.free)] = p
        R, dR = rotation_from_vector((q[3:] @ self.axes)[None])
        return R[0], self.foot - R[0] @ self.foot + q[:3] @ self.axes, np.einsum("ka,aij->kij", self.axes, dR[0])

    def state(
        self, p: Float64[np.ndarray, " m"]
    ) -> tuple[Float64[np.ndarray, "panels 3 3"], Float64[np.ndarray, "panels m 3 3"]]:
        """The d matrices of the panels (columns fast, slow, origin), and their derivatives."""
        R, shift, dR = self._motion(p)
        d0 = np.array([panel.d_matrix for panel in self.detector.panels])
        d = R @ d0
        d[:, :, 2] += shift
        derivatives = np.zeros((len(d0), 6, 3, 3))
        derivatives[:, :3, :, 2] = self.axes
        derivatives[:, 3:] = dR[None] @ d0[:, None]
        derivatives[:, 3:, :, 2] -= dR @ self.foot
        return d, derivatives[:, list(self.free)]

    def moved(self, p: Float64[np.ndarray, " m"]) -> Detector:
        R, shift, _ = self._motion(p)
        return self.detector.moved(R, shift) if self.n else self.detector


def _central_panel(experiment: Experiment) -> int:
    """The panel whose middle is nearest to the direct beam."""
    panels = experiment.detector.panels
    middles = np.array([p.origin + 0.5 * (p.size_mm[0] * p.fast + p.size_mm[1] * p.slow) for p in panels])
    middles /= np.linalg.norm(middles, axis=1)[:, None]
    return int(np.argmax(middles @ -experiment.beam.direction))


@dataclass(frozen=True, eq=False)
class CrystalModel:
    """A = R(omega) U0 B(G0 + sum g_k M_k): a rotation vector (rad, laboratory axes) and the symmetric metric `M`.

    `orientation_free`, `cell_free`: whether the three and the m parameters are refined.
    """

    crystal: Crystal
    U0: Float64[np.ndarray, "3 3"]
    G0: Float64[np.ndarray, "3 3"]
    M: Float64[np.ndarray, "m 3 3"]
    orientation_free: bool
    cell_free: bool

    @classmethod
    def of(cls, crystal: Crystal, params: Parameterisation) -> "CrystalModel":
        fix = params.crystal.fix
        U0, B0 = u_and_b(crystal.A)
        G0 = symmetrised_metric(B0.T @ B0, crystal.operations)
        # In units of the cell's own metric, so that a parameter of 1e-3 is a strain of that order.
        M = invariant_metrics(crystal.operations) * np.trace(G0) / 3
        return cls(crystal, U0, G0, M, fix not in ("all", "orientation"), fix not in ("all", "cell"))

    @property
    def n_orientation(self) -> int:
        return 3 if self.orientation_free else 0

    @property
    def n_cell(self) -> int:
        return len(self.M) if self.cell_free else 0

    def state(
        self, omega: Float64[np.ndarray, "n k"], g: Float64[np.ndarray, "n m"]
    ) -> tuple[Float64[np.ndarray, "n 3 3"], Float64[np.ndarray, "n p 3 3"]]:
        """A at n points, and its derivatives by the free ones of the 3 + m parameters.

        A fixed part is passed with the width 0 and stays at its start.
        """
        n = max(len(omega), len(g))
        if not omega.shape[1]:
            omega = np.zeros((n, 3))
        R, dR = rotation_from_vector(omega)
        G = np.broadcast_to(self.G0, (n, 3, 3)) + np.einsum("nk,kij->nij", g, self.M[: g.shape[1]])
        B, dB = b_from_metric(G, self.M[: g.shape[1]])
        U = R @ self.U0
        parts = [U[:, None] @ dB]
        if self.orientation_free:
            parts.insert(0, dR @ (self.U0 @ B)[:, None])
        return U @ B, np.concatenate(parts, axis=1)

    def cell_covariance(self, g: Float64[np.ndarray, " m"], covariance: Float64[np.ndarray, "m m"]) -> np.ndarray:
        """(9, 9) covariance of the row-major elements of B from that of the cell's parameters at `g`."""
        _, dB = b_from_metric((self.G0 + np.einsum("k,kij->ij", g, self.M))[None], self.M)
        jacobian = dB[0].reshape(len(self.M), 9)
        return jacobian.T @ covariance @ jacobian
