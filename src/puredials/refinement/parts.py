"""The parts of the parameter vector: which model's parameters are where, shared by which experiments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from puredials.errors import TooFewReflectionsError
from puredials.model import Experiment, Experiments
from puredials.refinement.models import BeamModel, CrystalModel, DetectorModel
from puredials.refinement.params import Parameterisation, SmootherParams
from puredials.refinement.smoother import Smoother, constant, smoother_for_scan

__all__ = ["BeamPart", "CrystalPart", "DetectorPart", "allocate"]

Vector = Float64[np.ndarray, " p"]
COORDINATES = 3  # observed for each reflection: X, Y and angle
UNSEEN = 0.05  # share of a scan without spots at either end beyond which the smoother's range is cut there


@dataclass(frozen=True, eq=False)
class BeamPart:
    """A beam and where its parameters start."""

    model: BeamModel
    start: int

    def values(self, x: Vector) -> Float64[np.ndarray, " own"]:
        return x[self.start : self.start + self.model.n]


@dataclass(frozen=True, eq=False)
class DetectorPart:
    """A detector and where its parameters start."""

    model: DetectorModel
    start: int

    def values(self, x: Vector) -> Float64[np.ndarray, " own"]:
        return x[self.start : self.start + self.model.n]


@dataclass(frozen=True, eq=False)
class CrystalPart:
    """A crystal, its smoothers, and where its parameters start: all nodes of the orientation, then of the cell.

    `limits` are the positions (images) beyond which it stays as it is: no spot was observed there.
    """

    model: CrystalModel
    orientation: Smoother
    cell: Smoother
    start: int
    limits: tuple[float, float] = (-np.inf, np.inf)

    @property
    def is_scan_varying(self) -> bool:
        return self.orientation.n_nodes > 1 or self.cell.n_nodes > 1

    @property
    def spacing(self) -> float:
        """Images between the nodes of the finest smoother; infinite for a static crystal."""
        return min((s.spacing for s in (self.orientation, self.cell) if s.n_nodes > 1), default=np.inf)

    @property
    def cell_start(self) -> int:
        return self.start + self.orientation.n_nodes * self.model.n_orientation

    @property
    def end(self) -> int:
        return self.cell_start + self.cell.n_nodes * self.model.n_cell

    def weights(self, z: Float64[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        """(n, nodes) weights of orientation and cell at positions `z`."""
        z = np.clip(z, *self.limits)
        return self.orientation.weights(z), self.cell.weights(z)

    def nodes(self, x: Vector) -> tuple[np.ndarray, np.ndarray]:
        """(nodes, 3 or 0) rotation vectors and (nodes, m or 0) metric coefficients."""
        orientation = x[self.start : self.cell_start].reshape(self.orientation.n_nodes, self.model.n_orientation)
        return orientation, x[self.cell_start : self.end].reshape(self.cell.n_nodes, self.model.n_cell)

    def state(self, x: Vector, weights: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """A and its derivatives where the nodes have these weights."""
        omega, g = self.nodes(x)
        return self.model.state(weights[0] @ omega, weights[1] @ g)

    def terms(self, weights: tuple[np.ndarray, np.ndarray]) -> list[tuple[int, int, Float64[np.ndarray, " n"]]]:
        """(slot, parameter, weight at each position) of everything that A depends on."""
        found = []
        for slots, first_slot, start, w in (
            (self.model.n_orientation, 0, self.start, weights[0]),
            (self.model.n_cell, self.model.n_orientation, self.cell_start, weights[1]),
        ):
            for node in range(w.shape[1]):
                found += [(first_slot + k, start + node * slots + k, w[:, node]) for k in range(slots)]
        return found


def allocate(
    experiments: Experiments,
    number: Int64[np.ndarray, " n"],
    z: Float64[np.ndarray, " n"],
    params: Parameterisation,
    *,
    scan_varying: bool,
) -> tuple[tuple[BeamPart, ...], tuple[DetectorPart, ...], tuple[CrystalPart, ...], int]:
    """Parameters for every model; the parts of each experiment, and the number of parameters.

    `number` and `z` are experiment and position of each reflection. A model with too few of them is kept fixed or
    refused; a scan-varying crystal first gets fewer intervals, then becomes static.
    """
    counts = np.bincount(number, minlength=len(experiments))
    start = 0
    beams, detectors, crystals = {}, {}, {}
    for key, users in _users([e.beam for e in experiments]).items():
        model = BeamModel.of(experiments[users[0]], params)
        if not _enough(int(counts[users].sum()), model.n, params, "beam", users):
            model = replace(model, free=())
        beams[key] = BeamPart(model, start)
        start += model.n
    for key, users in _users([e.detector for e in experiments]).items():
        model = DetectorModel.of(experiments[users[0]], params)
        if not _enough(int(counts[users].sum()), model.n, params, "detector", users):
            model = replace(model, free=())
        detectors[key] = DetectorPart(model, start)
        start += model.n
    for key, users in _users([e.crystal for e in experiments]).items():
        crystal = experiments[users[0]].crystal
        assert crystal is not None
        model = CrystalModel.of(crystal, params)
        n = int(counts[users].sum())
        if not _enough(n, model.n_orientation + model.n_cell, params, "crystal", users):
            model = replace(model, orientation_free=False, cell_free=False)
        varies = scan_varying and len(users) == 1 and not experiments[users[0]].is_still
        if varies:
            part = _scan_varying_part(model, experiments[users[0]], z[number == users[0]], params, start)
        else:
            part = CrystalPart(model, constant(), constant(), start)
        crystals[key] = part
        start = part.end
    return (
        tuple(beams[id(e.beam)] for e in experiments),
        tuple(detectors[id(e.detector)] for e in experiments),
        tuple(crystals[id(e.crystal)] for e in experiments),
        start,
    )


def _users(models: Sequence[object]) -> dict[int, list[int]]:
    """Identity of each model -> experiments that use it, in order of first use."""
    users: dict[int, list[int]] = {}
    for i, model in enumerate(models):
        users.setdefault(id(model), []).append(i)
    return users


def _enough(n_reflections: int, n_parameters: int, params: Parameterisation, name: str, users: list[int]) -> bool:
    """Whether the reflections suffice; if not and the action is to fail, raise."""
    needed = -(-params.auto_reduction.min_nref_per_parameter * n_parameters // COORDINATES)
    if n_reflections >= needed or n_parameters == 0:
        return True
    if params.auto_reduction.action == "fail":
        raise TooFewReflectionsError(
            f"Only {n_reflections} reflections for the {n_parameters} parameters of the {name} of experiment"
            f"{'s' if len(users) > 1 else ''} {', '.join(map(str, users))}, of which at least {needed} are needed: "
            f"index more spots, or set auto_reduction.action=fix."
        )
    return False


def _scan_varying_part(
    model: CrystalModel, experiment: Experiment, z: Float64[np.ndarray, " n"], params: Parameterisation, start: int
) -> CrystalPart:
    """A crystal that varies over the range of the observed positions `z`, as finely as their number allows."""
    scan = experiment.scan
    assert scan is not None
    first, last = (float(edge) for edge in scan.array_range)
    # Where a good part of the scan shows no spots (the crystal left the beam), there is nothing to refine.
    slack = UNSEEN * (last - first)
    if len(z) and z.min() > first + slack:
        first = float(np.floor(z.min()))
    if len(z) and z.max() < last - slack:
        last = float(np.ceil(z.max()))

    def smoother(settings: SmootherParams, force_static: bool, n_free: int) -> Smoother:
        if force_static or n_free == 0:
            return constant()
        width = abs(scan.oscillation[1])
        wanted = smoother_for_scan(
            first,
            last,
            width=width,
            interval_width=settings.interval_width_degrees,
            n_intervals=settings.absolute_num_intervals,
        )
        allowed = COORDINATES * len(z) // max(params.auto_reduction.min_nref_per_parameter * n_free, 1)
        if wanted.n_nodes <= allowed:
            return wanted
        if allowed < 2:
            return constant()
        n_intervals = allowed - 2 if allowed >= 5 else min(allowed - 1, 2)
        return smoother_for_scan(first, last, width=width, interval_width=360.0, n_intervals=n_intervals)

    crystal = params.crystal
    return CrystalPart(
        model,
        smoother(crystal.orientation.smoother, crystal.orientation.force_static, model.n_orientation),
        smoother(crystal.unit_cell.smoother, crystal.unit_cell.force_static, model.n_cell),
        start,
        (first, last),
    )
