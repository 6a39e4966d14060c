"""The scaling model of all sweeps: layout of its parameters, values, normal equations, and its form in .expt files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from puredials.execute import SERIAL, Executor, map_blocks
from puredials.kernels.scaling_equations import accumulate_equations, scale_factors, scale_variances
from puredials.leastsq import NormalEquations
from puredials.model import Experiment
from puredials.scaling.components import NODES_AVERAGED, Nodes, absorption_terms, default_interval, nodes_for_sweep
from puredials.scaling.params import ScaleParams

__all__ = [
    "WIDTH_FOR_ABSORPTION",
    "Design",
    "Prior",
    "SweepModel",
    "choose_models",
    "design_matrix",
    "model_mapping",
    "normal_equations",
    "start_values",
]

Values = Float64[np.ndarray, " n"]
# Degrees of rotation up to which a sweep gets no absorption surface unless it is asked for.
WIDTH_FOR_ABSORPTION = 60.0
_LMAX = {"low": 4, "medium": 6, "high": 6}
_COMPARISONS = 3


@dataclass(frozen=True)
class Allowed:
    """What a model may have, in words and by name."""

    words: str = ""
    coarse: bool = False
    absorption: bool = True
    decay: bool = True
    constant: bool = False


# What is determined by the fewest comparisons comes last.
_ALLOWED = (
    Allowed(),
    Allowed("with the scale in larger steps", coarse=True),
    Allowed("without absorption", coarse=True, absorption=False),
    Allowed("without absorption and decay", coarse=True, absorption=False, decay=False),
    Allowed("one scale for each sweep", absorption=False, decay=False, constant=True),
)


@dataclass(frozen=True)
class SweepModel:
    """The corrections of one sweep and where their parameters are in the vector of all.

    Attributes:
        kind: "physical" or "KB".
        scale, decay: nodes; decay is None if it is not refined.
        lmax: order of the absorption surface, 0 for none.
        first: number of the first parameter; they come in the order scale, decay, absorption.
    """

    kind: str
    scale: Nodes
    decay: Nodes | None
    lmax: int
    first: int = 0

    @property
    def n_absorption(self) -> int:
        return self.lmax * (self.lmax + 2)

    @property
    def n_parameters(self) -> int:
        return self.scale.count + (self.decay.count if self.decay else 0) + self.n_absorption

    @property
    def parts(self) -> dict[str, slice]:
        """Place of each correction in the vector of parameters."""
        a = self.first + self.scale.count
        b = a + (self.decay.count if self.decay else 0)
        places = {"scale": slice(self.first, a)}
        if self.decay:
            places["decay"] = slice(a, b)
        if self.lmax:
            places["absorption"] = slice(b, b + self.n_absorption)
        return places


def choose_models(
    experiments: Sequence[Experiment], params: ScaleParams, comparisons: int
) -> tuple[tuple[SweepModel, ...], str | None]:
    """The model of each sweep, by the user's choice, the width of the sweep and what the data can determine.

    What a model needs least is left out first, until there are `_COMPARISONS` comparisons of equivalents for each
    parameter; the text tells of it.
    """
    full = _place([_choose_model(e, params, _ALLOWED[0]) for e in experiments])
    models, allowed = full, _ALLOWED[0]
    for allowed in _ALLOWED:
        models = _place([_choose_model(e, params, allowed) for e in experiments])
        if comparisons >= _COMPARISONS * _count(models):
            break
    if _count(models) == _count(full):
        return full, None
    return models, (
        f"{comparisons} comparisons of equivalent reflections are too few for a model of {_count(full)} parameters "
        f"({_COMPARISONS} each are needed): it has {_count(models)}, {allowed.words}."
    )


def _count(models: Sequence[SweepModel]) -> int:
    return sum(model.n_parameters for model in models)


def _place(models: Sequence[SweepModel]) -> tuple[SweepModel, ...]:
    """The models with their parameters one after the other."""
    placed, first = [], 0
    for model in models:
        placed.append(replace(model, first=first))
        first += model.n_parameters
    return tuple(placed)


def _choose_model(experiment: Experiment, params: ScaleParams, allowed: Allowed) -> SweepModel:
    scan = experiment.scan
    image_width = abs(scan.oscillation[1]) if scan is not None else 0.0
    width = image_width * len(scan) if scan is not None else 0.0
    kind = params.model or ("KB" if width < 1 else "physical")
    if kind == "KB" or width == 0 or allowed.constant:
        decay = params.KB.decay_correction if kind == "KB" else params.physical.decay_correction
        return SweepModel("KB", Nodes(1), Nodes(1) if decay and allowed.decay else None, 0)
    physical = params.physical
    scale_interval, decay_interval = default_interval(width)
    if allowed.coarse:
        scale_interval = decay_interval
    absorption = (
        width > WIDTH_FOR_ABSORPTION if physical.absorption_correction is None else physical.absorption_correction
    )
    if physical.absorption_correction is None and physical.absorption_level is None:
        absorption &= allowed.absorption
    lmax = physical.lmax or _LMAX[physical.absorption_level or "low"]
    decay = nodes_for_sweep(width, image_width, physical.decay_interval or decay_interval)
    return SweepModel(
        "physical",
        nodes_for_sweep(width, image_width, physical.scale_interval or scale_interval),
        decay if physical.decay_correction and allowed.decay else None,
        lmax if absorption else 0,
    )


def start_values(models: Sequence[SweepModel]) -> Float64[np.ndarray, " p"]:
    """Parameters of models that correct nothing."""
    x = np.zeros(sum(m.n_parameters for m in models))
    for model in models:
        x[model.parts["scale"]] = 1.0
    return x


@dataclass(frozen=True, eq=False)
class Design:
    """How each of n observations depends on the parameters; see `scale_factors`."""

    scale_index: Int64[np.ndarray, "n 3"]
    scale_weight: Float64[np.ndarray, "n 3"]
    decay_index: Int64[np.ndarray, "n 3"]
    decay_weight: Float64[np.ndarray, "n 3"]
    inverse_d2: Values
    first: Int64[np.ndarray, " n"]
    harmonics: Float32[np.ndarray, "n k"]

    def arrays(self) -> "tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]":
        """In the order in which the kernels take them."""
        return (self.scale_index, self.scale_weight, self.decay_index, self.decay_weight, self.inverse_d2,
                self.first, self.harmonics)  # fmt: skip

    def select(self, which: np.ndarray | slice) -> "Design":
        return Design(*(a[which] for a in self.arrays()))

    def factors(self, x: Float64[np.ndarray, " p"]) -> Values:
        """Inverse scale factors g; -1 or less where the model has no valid value."""
        g, scale = np.empty(len(self.first)), np.empty(len(self.first))
        scale_factors(x, *self.arrays(), scale, g)
        return g

    def variances(self, x: Float64[np.ndarray, " p"], covariance: Float64[np.ndarray, "p p"], g: Values) -> Values:
        """Variances of g from the covariance of the parameters."""
        out = np.empty_like(g)
        scale_variances(x, covariance, g, *self.arrays(), out)
        return out


def design_matrix(
    models: Sequence[SweepModel],
    experiments: Sequence[Experiment],
    sweep: Int64[np.ndarray, " n"],
    images: Values,
    s1: Float64[np.ndarray, "n 3"],
    d: Values,
) -> Design:
    """The design of observations of sweeps `sweep` at positions `images` (array index), along s1."""
    n = len(sweep)
    shape = (n, NODES_AVERAGED)
    design = Design(
        np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape), 1 / d**2,
        np.full(n, -1, np.int64), np.zeros((n, max(m.n_absorption for m in models)), np.float32),
    )  # fmt: skip
    for number, (model, experiment) in enumerate(zip(models, experiments, strict=True)):
        here = np.flatnonzero(sweep == number)
        scan = experiment.scan
        position = images[here] - (scan.array_range[0] if scan is not None else 0)
        index, design.scale_weight[here] = model.scale.weights(position)
        design.scale_index[here] = index + model.first
        if model.decay:
            index, design.decay_weight[here] = model.decay.weights(position)
            design.decay_index[here] = index + model.parts["decay"].start
        if model.lmax and scan is not None:
            here = here[s1[here].any(axis=1)]  # strong spots without a prediction have no direction
            design.first[here] = model.parts["absorption"].start
            terms = absorption_terms(experiment, s1[here], scan.phi(images[here]), model.lmax)
            design.harmonics[here, : model.n_absorption] = terms
    return design


@dataclass(frozen=True, eq=False)
class Prior:
    """What is expected of the parameters: 1/2 (x - centre)^T matrix (x - centre) is added to the objective."""

    matrix: Float64[np.ndarray, "p p"]
    centre: Float64[np.ndarray, " p"]


def normal_equations(
    x: Float64[np.ndarray, " p"],
    design: Design,
    starts: Int64[np.ndarray, " m"],
    intensity: Values,
    weight: Values,
    prior: Prior,
    executor: Executor = SERIAL,
    *,
    block: int = 20_000,
) -> NormalEquations:
    """Of data grouped by unique reflection, and the prior. `info` is the RMSD of the data in units of sigma.

    Sums are made over blocks of about `block` observations, always the same, so that the number of workers does not
    change the rounding.
    """
    p = len(x)
    g = design.factors(x)
    if not (g > 0).all():
        return NormalEquations(np.inf, np.zeros(p), np.eye(p), len(g))
    ends = np.searchsorted(starts, np.arange(block, starts[-1] + block, block))
    edges = np.unique(np.concatenate([[0], np.minimum(ends, len(starts) - 1)]))

    def accumulate(part: tuple[int, int]) -> tuple[float, np.ndarray, np.ndarray]:
        own = starts[part[0] : part[1] + 1]
        rows = slice(own[0], own[-1])
        gradient, hessian = np.zeros(p), np.zeros((p, p))
        objective = accumulate_equations(
            x, own - own[0], intensity[rows], weight[rows], g[rows], *design.select(rows).arrays(), gradient, hessian
        )
        return objective, gradient, hessian

    objective, gradient, hessian = 0.0, np.zeros(p), np.zeros((p, p))
    for part in map_blocks(accumulate, zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True), executor):
        objective, gradient, hessian = objective + part[0], gradient + part[1], hessian + part[2]
    hessian += np.triu(hessian, 1).T
    counts = np.add.reduceat((weight > 0).astype(np.int64), starts[:-1])
    freedom = int(np.maximum(counts - 1, 0).sum())
    rmsd = float(np.sqrt(2 * objective / max(freedom, 1)))
    pull = prior.matrix @ (x - prior.centre)
    objective += 0.5 * float((x - prior.centre) @ pull)
    return NormalEquations(objective, gradient + pull, hessian + prior.matrix, freedom + p, rmsd)


def model_mapping(
    model: SweepModel,
    experiment: Experiment,
    x: Float64[np.ndarray, " p"],
    esd: Float64[np.ndarray, " p"],
    configuration: Mapping[str, Any],
) -> dict[str, Any]:
    """The model as the mapping of an .expt file."""
    mapping: dict[str, Any] = {"__id__": model.kind}
    for name, part in model.parts.items():
        mapping[name] = {
            "n_parameters": part.stop - part.start,
            "parameters": x[part].tolist(),
            "null_parameter_value": 1.0 if name == "scale" else 0.0,
            "est_standard_devs": esd[part].tolist(),
        }
    own: dict[str, Any] = {"corrections": list(model.parts)}
    scan = experiment.scan
    if model.kind == "physical" and scan is not None:
        own["valid_osc_range"] = list(scan.oscillation_range)
        own |= {"s_norm_fac": model.scale.per_image, "scale_rot_interval": model.scale.interval}
        if model.decay:
            own |= {"d_norm_fac": model.decay.per_image, "decay_rot_interval": model.decay.interval}
        if model.lmax:
            own["lmax"] = model.lmax
    if scan is not None:
        own["valid_image_range"] = list(scan.image_range)
    mapping["configuration_parameters"] = {**own, **configuration}
    return mapping
