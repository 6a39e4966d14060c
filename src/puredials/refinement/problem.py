"""The least-squares problem of joint refinement: which parameters there are, and the normal equations at any of them.

Models that several experiments share (the same object) have their parameters once. The crystal is evaluated at a number
of cells along each scan (one cell if it is static). Within a cell a reflection depends on few parameters, the slots, so
the kernel accumulates a small matrix for each cell. A slot is a weighted sum of parameters (the nodes of a smoother),
and by those weights the small matrices add up to the full normal matrix: memory does not grow with the product of
reflections and parameters.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.kernels.centroid_equations import normal_equations
from puredials.leastsq import NormalEquations
from puredials.model import Experiment, Experiments
from puredials.refinement.params import Parameterisation
from puredials.refinement.parts import BeamPart, CrystalPart, DetectorPart, allocate
from puredials.refinement.smoother import NODES_AVERAGED

__all__ = ["Observations", "Problem", "build_problem"]

# Enough for the steps between cells to be small beside the changes from node to node, however short the scan.
CELLS_PER_INTERVAL = 20

Vector = Float64[np.ndarray, " p"]


@dataclass(frozen=True, eq=False)
class Observations:
    """The centroids to be fitted.

    Attributes:
        id: experiment; h: (n, 3) indices; panel: number; entering: sense of the crossing.
        z: observed position in images.
        xyz_mm: (n, 3) mm, mm, rad; weight: (n, 3), usually 1 / variance. For stills the third component belongs to
            delpsi, whose observed value is 0.
    """

    id: Int64[np.ndarray, " n"]
    h: Float64[np.ndarray, "n 3"]
    panel: Int64[np.ndarray, " n"]
    entering: Bool[np.ndarray, " n"]
    z: Float64[np.ndarray, " n"]
    xyz_mm: Float64[np.ndarray, "n 3"]
    weight: Float64[np.ndarray, "n 3"]


@dataclass(frozen=True, eq=False)
class Problem:
    """See the module's text.

    Attributes:
        beams, detectors, crystals: the part of each experiment (shared ones are the same object).
        cells: of each experiment; cell_weights: of the nodes of its crystal in them; panels: first row of each
            experiment in the table of panels, and the total.
        cell_of, panel_of: rows of each observation in the tables of cells and panels.
        prior: (n_parameters,) 1 / variance of each parameter about its start; 0 where nothing is known beforehand.
        slots: numbers of beam, crystal and detector slots. expansion: (cells, slots, k) parameter and weight of the k
            terms of each slot, padded with weight 0.
    """

    experiments: Experiments
    beams: tuple[BeamPart, ...]
    detectors: tuple[DetectorPart, ...]
    crystals: tuple[CrystalPart, ...]
    cells: tuple[slice, ...]
    cell_weights: tuple[tuple[np.ndarray, np.ndarray], ...]
    panels: tuple[int, ...]
    observations: Observations
    cell_of: Int64[np.ndarray, " n"]
    panel_of: Int64[np.ndarray, " n"]
    slots: tuple[int, int, int]
    expansion: tuple[np.ndarray, np.ndarray]
    n_parameters: int
    prior: Vector

    def evaluate(self, x: Vector) -> NormalEquations:
        """The normal equations at `x`; `info` holds the residuals (n, 3) in mm, mm, rad."""
        m, n_cells = sum(self.slots), self.cells[-1].stop
        residual = np.empty_like(self.observations.xyz_mm)
        N, g = np.zeros((n_cells, m, m)), np.zeros((n_cells, m))
        try:
            state = self._compose(x)
        except np.linalg.LinAlgError:  # no cell has this metric tensor
            return NormalEquations(np.inf, np.zeros(len(x)), np.eye(len(x)), residual.size)
        o = self.observations
        still, M, dM, s0, ds0, axis, D, E = state
        normal_equations(
            o.h,
            o.xyz_mm,
            o.weight,
            self.cell_of,
            self.panel_of,
            o.entering,
            still,
            M,
            dM,
            s0,
            ds0,
            axis,
            D,
            E,
            residual,
            N,
            g,
        )
        objective = 0.5 * float(np.einsum("ni,ni,ni->", o.weight, residual, residual))
        gradient, hessian = self._expand(N, g)
        objective += 0.5 * float(self.prior @ x**2)
        gradient += self.prior * x
        hessian[np.diag_indices_from(hessian)] += self.prior
        return NormalEquations(
            objective if np.isfinite(objective) else np.inf, gradient, hessian, residual.size, residual
        )

    def _compose(self, x: Vector) -> tuple[np.ndarray, ...]:
        """Arrays of the kernel: still, M, dM, s0, ds0, axis, D, E."""
        nb, nc, nd = self.slots
        n_cells, n_panels = self.cells[-1].stop, self.panels[-1]
        still, axis = np.zeros(n_cells, dtype=bool), np.zeros((n_cells, 3))
        M, dM = np.empty((n_cells, 3, 3)), np.zeros((n_cells, nc, 3, 3))
        s0, ds0 = np.empty((n_cells, 3)), np.zeros((n_cells, nb, 3))
        D, E = np.empty((n_panels, 3, 3)), np.zeros((n_panels, nd, 3, 3))
        beams = {key: part.model.state(part.values(x)) for key, part in _unique(self.beams).items()}
        detectors = {key: part.model.state(part.values(x)) for key, part in _unique(self.detectors).items()}
        for i, experiment in enumerate(self.experiments):
            cells, panels = self.cells[i], slice(self.panels[i], self.panels[i + 1])
            setting, fixed, still[cells], axis[cells] = _goniometer(experiment)
            A, dA = self.crystals[i].state(x, self.cell_weights[i])
            M[cells], dM[cells, : dA.shape[1]] = fixed @ A, fixed @ dA
            beam, d_beam = beams[id(self.beams[i])]
            s0[cells], ds0[cells, : len(d_beam)] = beam @ setting, d_beam @ setting
            d, dd = detectors[id(self.detectors[i])]
            inverse = np.linalg.inv(d)
            D[panels], E[panels, : dd.shape[1]] = inverse @ setting, inverse[:, None] @ dd
        return still, M, dM, s0, ds0, axis, D, E

    def _expand(self, N: np.ndarray, g: np.ndarray) -> tuple[Vector, Float64[np.ndarray, "p p"]]:
        """Full gradient and normal matrix of those of the cells."""
        n = self.n_parameters
        parameter, weight = self.expansion
        # Added to zeros, since bincount of nothing is made of integers.
        gradient, hessian = np.zeros(n), np.zeros(n * n)
        gradient += np.bincount(parameter.ravel(), weights=(g[:, :, None] * weight).ravel(), minlength=n)
        width = parameter.shape[2]
        for a in range(width):
            for b in range(width):
                terms = weight[:, :, None, a] * N * weight[:, None, :, b]
                index = parameter[:, :, None, a] * n + parameter[:, None, :, b]
                hessian += np.bincount(index.ravel(), weights=terms.ravel(), minlength=n * n)
        return gradient, hessian.reshape(n, n)


def build_problem(
    experiments: Experiments,
    observations: Observations,
    params: Parameterisation,
    *,
    scan_varying: bool,
    with_prior: bool = True,
) -> Problem:
    """Choose the parameters and lay out the cells. Raises TooFewReflectionsError as `auto_reduction` says.

    The prior of beam and detector makes sense only beside weights that are 1 / variance.
    """
    beams, detectors, crystals, n_parameters = allocate(
        experiments, observations.id, observations.z, params, scan_varying=scan_varying
    )
    cells, weights, first_cell = [], [], 0
    cell_of = np.zeros(len(observations.id), dtype=np.int64)
    for i, (experiment, crystal) in enumerate(zip(experiments, crystals, strict=True)):
        here = observations.id == i
        if crystal.is_scan_varying and experiment.scan is not None:
            width = params.block_width / abs(experiment.scan.oscillation[1])
            width = 1.0 if params.compose_model_per == "image" else min(width, crystal.spacing / CELLS_PER_INTERVAL)
            first, last = experiment.scan.array_range
            n_cells = max(int(np.ceil((last - first) / width - 1e-9)), 1)
            width = (last - first) / n_cells
            middles = first + width * (np.arange(n_cells) + 0.5)
            number = ((observations.z[here] - first) / width).astype(np.int64)
            cell_of[here] = first_cell + np.clip(number, 0, n_cells - 1)
        else:
            n_cells, middles = 1, np.zeros(1)
            cell_of[here] = first_cell
        cells.append(slice(first_cell, first_cell + n_cells))
        weights.append(crystal.weights(middles))
        first_cell += n_cells
    panels = np.cumsum([0] + [len(e.detector) for e in experiments])
    slots = (
        max(part.model.n for part in beams),
        max(part.model.n_orientation + part.model.n_cell for part in crystals),
        max(part.model.n for part in detectors),
    )
    prior = np.zeros(n_parameters)
    for part in (*beams, *detectors):
        prior[part.start : part.start + part.model.n] = part.model.prior * with_prior
    return Problem(
        experiments=experiments,
        beams=beams,
        detectors=detectors,
        crystals=crystals,
        cells=tuple(cells),
        cell_weights=tuple(weights),
        panels=tuple(panels.tolist()),
        observations=observations,
        cell_of=cell_of,
        panel_of=panels[observations.id] + observations.panel,
        slots=slots,
        expansion=_expansion(beams, detectors, crystals, cells, weights, slots),
        n_parameters=n_parameters,
        prior=prior,
    )


def _expansion(beams, detectors, crystals, cells, weights, slots) -> tuple[np.ndarray, np.ndarray]:
    """What each slot of each cell is made of; see `Problem`."""
    nb, nc, _ = slots
    terms = [part.terms(w) for part, w in zip(crystals, weights, strict=True)]
    n_cells = cells[-1].stop
    nodes = [max(part.orientation.n_nodes, part.cell.n_nodes) for part in crystals]
    width = min(max(nodes), NODES_AVERAGED)
    parameter = np.zeros((n_cells, sum(slots), width), dtype=np.int64)
    weight = np.zeros((n_cells, sum(slots), width))
    for i, here in enumerate(cells):
        for part, offset in ((beams[i], 0), (detectors[i], nb + nc)):
            own = slice(offset, offset + part.model.n)
            parameter[here, own, 0] = part.start + np.arange(part.model.n)
            weight[here, own, 0] = 1.0
        filled = np.zeros((here.stop - here.start, sum(slots)), dtype=np.int64)
        rows = np.arange(here.start, here.stop)
        for slot, number, w in terms[i]:
            used = np.flatnonzero(w)
            at = filled[used, nb + slot]
            parameter[rows[used], nb + slot, at] = number
            weight[rows[used], nb + slot, at] = w[used]
            filled[used, nb + slot] += 1
    return parameter, weight


def _goniometer(experiment: Experiment) -> tuple[np.ndarray, np.ndarray, bool, np.ndarray]:
    """S, F, whether it is a still, and the scan axis. For a still all rotations count as F."""
    goniometer = experiment.goniometer
    if goniometer is None:
        return np.eye(3), np.eye(3), True, np.zeros(3)
    if experiment.is_still:
        return np.eye(3), goniometer.setting_rotation @ goniometer.fixed_rotation, True, np.zeros(3)
    return goniometer.setting_rotation, goniometer.fixed_rotation, False, goniometer.axis


def _unique(parts):
    return {id(part): part for part in parts}
