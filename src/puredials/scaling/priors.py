"""What is expected of the corrections before the data are seen: smooth scales and B factors, little absorption.

Directions in the space of the parameters that the data do not determine (a P1 crystal with few repeated observations
has many) are held by priors: differences between neighbouring nodes of scale and decay, and the coefficients of
absorption, are normal deviates about 0. How large they are is learnt from the data themselves: the weight 1 / sigma^2
of each kind that makes the data most probable (MacKay 1992, Neural Comput. 4, 415, eq. 4.10: weight = number of
well-determined parameters / sum of squares). Weights that the user gives are kept.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64, Int64

from puredials.scaling.model import Prior, SweepModel
from puredials.scaling.params import PhysicalParams

__all__ = ["prior_of", "start_weights", "updated_weights"]

_SURFACE_WEIGHT = {"low": 5e5, "medium": 5e4, "high": 5e3}
# Lowest and highest weights: from 20 % a node, 3 A^2 a node and 3 % of each harmonic, which restrain nothing that is
# determined at all, to values at which nothing happens.
_RANGE = {"scale": (25.0, 1e6), "decay": (0.1, 1e4), "absorption": (25.0, 1e6)}
_GAUGE = 1e6


def start_weights(params: PhysicalParams) -> dict[str, float]:
    """10 % in scale and 1 A^2 in B a node, 1 % of absorption, unless the user knows better."""
    absorption = _SURFACE_WEIGHT[params.absorption_level] if params.absorption_level else 1e4
    if params.surface_weight is not None:
        absorption = params.surface_weight
    return {"scale": 100.0, "decay": 1.0, "absorption": absorption}


def _block(model: SweepModel, name: str) -> Float64[np.ndarray, "k k"]:
    """The quadratic form of the prior of one correction at unit weight."""
    part = model.parts[name]
    n = part.stop - part.start
    if name == "absorption":
        return np.eye(n)
    steps = np.diff(np.eye(n), axis=0)
    return steps.T @ steps


def prior_of(
    models: Sequence[SweepModel],
    weights: Mapping[str, float],
    decay_restraint: float,
    centre: Float64[np.ndarray, " p"],
    component: Int64[np.ndarray, " k"],
) -> Prior:
    """The prior of all sweeps at the given weights.

    Differences alone would be smallest if all scales were 0. So the mean scale of sweeps that reflections connect
    (those with the same `component`) is held where it is at `centre`: it is a convention.
    """
    matrix = np.zeros((len(centre), len(centre)))
    for number in np.unique(component):
        together = np.zeros(len(centre))
        for k in np.flatnonzero(component == number).tolist():
            together[models[k].parts["scale"]] = 1.0
        matrix += _GAUGE / len(centre) * np.outer(together, together)
    for model in models:
        for name, part in model.parts.items():
            matrix[part, part] += weights[name] * _block(model, name)
            if name == "decay":
                matrix[part, part] += decay_restraint * np.eye(part.stop - part.start)
    return Prior(matrix, centre)


def updated_weights(
    models: Sequence[SweepModel],
    weights: Mapping[str, float],
    fixed: Sequence[str],
    x: Float64[np.ndarray, " p"],
    hessian: Float64[np.ndarray, "p p"],
) -> dict[str, float]:
    """The next weights, given the best parameters for the present ones and the Hessian there (prior included)."""
    # Without a restraint on B the matrix is singular along the mean B, which no weight depends on.
    inverse = np.linalg.inv(hessian + 1e-10 * np.diag(np.diag(hessian)))
    new = dict(weights)
    for name in weights:
        determined, squares = 0.0, 0.0
        for model in models:
            if name in model.parts:
                part, block = model.parts[name], _block(model, name)
                rank = len(block) if name == "absorption" else len(block) - 1
                determined += rank - weights[name] * float(np.sum(inverse[part, part] * block))
                squares += float(x[part] @ block @ x[part])
        if name not in fixed and squares > 0:
            new[name] = float(np.clip(max(determined, 1e-3) / squares, *_RANGE[name]))
    return new
