"""One damped Gauss-Newton loop for every least-squares problem of the code base.

The problem is to minimise F(x) = 1/2 sum_i w_i r_i(x)^2. What it needs to know of the problem are the normal equations:
F, its gradient J^T W r, and J^T W J, the Gauss-Newton approximation of its Hessian. How a caller accumulates them
(blocks, threads, sparsity) is its own affair.

The loop is the Levenberg-Marquardt method with the damping of H. B. Nielsen (Madsen, Nielsen & Tingleff 2004, "Methods
for non-linear least squares problems", 2nd ed., algorithm 3.16). Damping acts on each parameter in units of its own
curvature (Moré 1978, Lecture Notes in Mathematics 630, 105), so that the course of the iterations does not depend on
the units of the parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.linalg import LinAlgError, cho_factor, cho_solve

__all__ = ["NormalEquations", "Solution", "Stats", "covariance", "levenberg_marquardt"]

Vector = Float64[np.ndarray, " n"]
Matrix = Float64[np.ndarray, "n n"]


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """The problem, linearised at one point.

    Attributes:
        objective: F = 1/2 sum w r^2.
        gradient: (n,) J^T W r.
        hessian: (n, n) J^T W J, full and symmetric.
        n_residuals: number of residuals (restraints included).
        info: anything that the caller wants to see again, such as RMSDs.
    """

    objective: float
    gradient: Vector
    hessian: Matrix
    n_residuals: int
    info: Any = None

    @property
    def reduced_chi_squared(self) -> float:
        """sum w r^2 / (n_residuals - n_parameters): the variance of an observation of unit weight."""
        return 2 * self.objective / max(self.n_residuals - len(self.gradient), 1)


@dataclass(frozen=True)
class Stats:
    """How a minimisation went: steps accepted, evaluations made, objective at the start."""

    steps: int
    evaluations: int
    start_objective: float


@dataclass(frozen=True, eq=False)
class Solution:
    """The best point found, the normal equations there, and in one sentence why the loop ended.

    `success` is False if the loop ran out of iterations or the problem could not be evaluated at the start.
    """

    value: Vector
    at_value: NormalEquations
    result: str
    success: bool
    stats: Stats

    def covariance(self, *, scaled: bool = True) -> Matrix:
        """(n, n) covariance of the parameters; see `covariance`."""
        return covariance(self.at_value, scaled=scaled)


def covariance(equations: NormalEquations, *, scaled: bool = True) -> Matrix:
    """Inverse of the Hessian, times the reduced chi^2 if `scaled` (weights are then only relative).

    A parameter (or a combination) that the data do not determine gets the variance 0 of a fixed one.
    """
    scale = np.sqrt(np.diag(equations.hessian))
    scale[scale == 0] = 1.0
    inverse = np.linalg.pinv(equations.hessian / np.outer(scale, scale), rcond=1e-13, hermitian=True)
    inverse /= np.outer(scale, scale)
    return inverse * equations.reduced_chi_squared if scaled else inverse


def levenberg_marquardt(
    evaluate: Callable[[Vector], NormalEquations],
    x0: Vector,
    *,
    max_iterations: int = 100,
    tau: float = 1e-3,
    gradient_tolerance: float = 1e-10,
    step_tolerance: float = 1e-9,
    converged: Callable[[NormalEquations, NormalEquations], str | None] | None = None,
    observe: Callable[[int, Vector, NormalEquations], None] | None = None,
) -> Solution:
    """Minimise 1/2 sum w r^2 from `x0`.

    Args:
        evaluate: the normal equations at a point; if any of them is not finite, the point is not allowed.
        x0: (n,) where to start.
        max_iterations: of steps tried, accepted or not.
        tau: initial damping relative to the curvature; small for a good start.
        gradient_tolerance: stop when no parameter promises a relative fall of the objective above it.
        step_tolerance: stop when a step is this small, relative to the parameters in units of their curvature.
        converged: called after each accepted step with the equations before and after it; a sentence ends the loop.
        observe: called with (step number, x, equations) at the start and after each accepted step.
    """
    x = np.array(x0, dtype=np.float64)
    here = evaluate(x)
    evaluations, steps, start = 1, 0, here.objective
    if observe:
        observe(0, x, here)

    def end(result: str, success: bool = True) -> Solution:
        return Solution(x, here, result, success, Stats(steps, evaluations, start))

    if not _finite(here):
        return end("The objective is not finite at the start", False)
    if len(x) == 0:
        return end("No parameters to refine")

    scale = _curvature(here, np.zeros(len(x)))
    damping, growth = tau, 2.0
    while evaluations <= max_iterations:
        if np.max(np.abs(here.gradient) / scale) ** 2 <= gradient_tolerance**2 * 2 * here.objective:
            return end("Gradient is zero")
        step = _solve(here.hessian, scale, damping, here.gradient)
        if step is None:
            damping, growth = damping * growth, growth * 2
            evaluations += 1
            continue
        if np.linalg.norm(scale * step) <= step_tolerance * (np.linalg.norm(scale * x) + step_tolerance):
            return end("Step too small")
        there = evaluate(x + step)
        evaluations += 1
        # What the damped linear model promises: eq. 2.18 and 3.14 of Madsen et al.
        promised = 0.5 * float(step @ (damping * scale**2 * step - here.gradient))
        gained = here.objective - there.objective
        if _finite(there) and gained > 0 and promised > 0:
            ratio = gained / promised
            damping, growth = damping * max(1 / 3, 1 - (2 * ratio - 1) ** 3), 2.0
            before, here, x = here, there, x + step
            scale = _curvature(here, scale)
            steps += 1
            if observe:
                observe(steps, x, here)
            reason = converged(before, here) if converged else None
            if reason:
                return end(reason)
        else:
            if _finite(there) and abs(gained) <= 1e-14 * here.objective:
                return end("Objective no longer decreasing")  # to the last digit: rounding decides from here on
            damping, growth = damping * growth, growth * 2
            if damping > 1e16:
                return end("No step lowers the objective")
    return end("Reached the largest number of iterations", False)


def _finite(equations: NormalEquations) -> bool:
    """Whether objective, gradient and Hessian are numbers: derivatives may overflow where the objective does not."""
    parts = (equations.objective, equations.gradient, equations.hessian)
    return all(bool(np.isfinite(part).all()) for part in parts)


def _curvature(equations: NormalEquations, before: Vector) -> Vector:
    """Scale of each parameter: the largest sqrt(J^T W J)_ii met so far (Moré 1978); 1 where there is no curvature."""
    scale = np.maximum(before, np.sqrt(np.maximum(np.diag(equations.hessian), 0)))
    return np.where(scale > 0, scale, 1.0)


def _solve(hessian: Matrix, scale: Vector, damping: float, gradient: Vector) -> Vector | None:
    """The step -(H + damping scale^2)^-1 gradient, or None if the matrix is not positive definite."""
    damped = hessian / np.outer(scale, scale)
    damped[np.diag_indices_from(damped)] += damping
    try:
        return -cho_solve(cho_factor(damped, lower=True), gradient / scale) / scale
    except LinAlgError:
        return None
