"""The scaling problem: observations in groups, and the moves that improve the state of knowledge about them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64

from puredials.execute import Executor
from puredials.kernels.group_outliers import mark_outliers
from puredials.leastsq import covariance, levenberg_marquardt
from puredials.model import Experiments
from puredials.scaling.error_model import ErrorModel, fit_error_model, group_means
from puredials.scaling.model import LEVELS, choose_models, design_matrix, normal_equations, start_values
from puredials.scaling.observations import Observations
from puredials.scaling.params import ScaleParams

__all__ = ["Problem", "Round", "State"]

Values = Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class Round:
    """How one fit went: RMSDs (in sigma) at the start and after each step, observations, and why it ended."""

    name: str
    rmsds: tuple[float, ...]
    n_observations: int
    n_outliers: int
    result: str


@dataclass(frozen=True, eq=False)
class State:
    """What is known at some moment about the sorted, usable observations.

    Attributes:
        value, variance: unscaled intensities and the variances of integration.
        x: parameters; equations at x are in `hessian` (None before the first fit).
        outlier: marked as such; errors: error model of each sweep.
    """

    value: Values
    variance: Values
    x: Float64[np.ndarray, " p"]
    outlier: Bool[np.ndarray, " n"]
    errors: tuple[ErrorModel, ...]
    surface_weight: float
    rounds: tuple[Round, ...] = ()


class Problem:
    """What does not change: the usable observations sorted by group, and how they depend on the parameters.

    Attributes:
        rows: their rows in the table, sorted by group; group, starts, m: see `normal_equations`.
        sides: group with Friedel mates apart.
    """

    def __init__(
        self, experiments: Experiments, observations: Observations, params: ScaleParams, executor: Executor
    ) -> None:
        self.observations, self.params, self.executor = observations, params, executor
        self.models = choose_models(experiments, params)
        self.design = design_matrix(
            self.models, experiments, observations.sweep, observations.images, observations.table["s1"], observations.d
        )
        equivalents = observations.equivalents
        usable = np.flatnonzero(observations.usable)
        label = equivalents.half if params.anomalous else equivalents.group
        self.rows = usable[np.argsort(label[usable], kind="stable")]
        _, self.group = np.unique(label[self.rows], return_inverse=True)
        self.m = int(self.group[-1]) + 1
        self.starts = np.searchsorted(self.group, np.arange(self.m + 1))
        _, self.sides = np.unique(equivalents.half[self.rows], return_inverse=True)
        self.sorted_design = self.design.select(self.rows)
        self.unit = observations.factor[self.rows]
        self.sweep = observations.sweep[self.rows]
        self.complete = observations.complete[self.rows]

    # What follows from a state

    def factors(self, state: State) -> Values:
        return self.sorted_design.factors(state.x)

    def variances(self, state: State) -> Values:
        """Variances of the unscaled intensities by the error model."""
        if self.params.weighting.error_model.error_model is None:
            return state.variance
        g = self.factors(state)
        good = ~state.outlier
        variance = state.variance
        # The expected intensity and the weights it is a mean with depend on each other; twice is enough.
        for _ in range(2):
            mean, total = group_means(state.value / g, np.where(good, g**2 / variance, 0), self.group, self.m)
            expected = np.where(total[self.group] > 0, mean[self.group] * g, state.value)
            variance = self._modelled(state.errors, state.variance, expected)
        return variance

    def _modelled(self, errors: Sequence[ErrorModel], variance: Values, expected: Values) -> Values:
        if len(set(errors)) == 1:
            return errors[0].variance(variance, self.unit, expected)
        out = np.empty_like(variance)
        for number, model in enumerate(errors):
            here = self.sweep == number
            out[here] = model.variance(variance[here], self.unit[here], expected[here])
        return out

    # Moves

    def start(self, value: Values, variance: Values) -> State:
        """No corrections but the relative scales of the sweeps."""
        x = start_values(self.models)
        physical = self.params.physical
        weight = LEVELS[physical.absorption_level or "low"][1]
        weight = weight if physical.surface_weight is None else physical.surface_weight
        state = State(
            value[self.rows], variance[self.rows], x, np.zeros(len(self.rows), bool),
            (ErrorModel(),) * len(self.models), weight,
        )  # fmt: skip
        if len(self.models) > 1:
            for model, factor in zip(self.models, self._sweep_scales(state), strict=True):
                x[model.parts["scale"]] = factor
        return state

    def _sweep_scales(self, state: State, cycles: int = 20) -> Float64[np.ndarray, " k"]:
        """One scale a sweep, alternating with the mean intensities (Fox & Holmes 1966, Acta Cryst. 20, 886)."""
        n = len(self.models)
        scales = np.ones(n)
        weight = 1 / ErrorModel().variance(state.variance, self.unit, np.abs(state.value))
        for _ in range(cycles):
            g = scales[self.sweep]
            mean, _ = group_means(state.value / g, weight * g**2, self.group, self.m)
            expected = mean[self.group]
            squares = np.bincount(self.sweep, weight * expected**2, n)
            new = np.bincount(self.sweep, weight * expected * state.value, n) / np.where(squares > 0, squares, 1)
            scales = np.where(new > 0.01 * scales, new, scales)
        return scales / scales.mean()

    def with_intensities(self, state: State, value: Values, variance: Values) -> State:
        return replace(state, value=value[self.rows], variance=variance[self.rows])

    def judge(self, state: State) -> State:
        """Fit the error model, and mark outliers by it; both depend on each other."""
        for _ in range(2):
            state = replace(state, errors=self._errors(state))
            state = replace(state, outlier=self._outliers(state))
        return state

    def _errors(self, state: State) -> tuple[ErrorModel, ...]:
        error_params = self.params.weighting.error_model
        if error_params.error_model is None:
            return state.errors
        g = self.factors(state)
        chosen = self.complete & ~state.outlier
        parts = [chosen]
        if error_params.grouping == "individual":
            parts = [chosen & (self.sweep == number) for number in range(len(self.models))]
        fitted = []
        for part, before in zip(parts, state.errors, strict=False):
            group = self._error_groups(part)
            fitted.append(
                fit_error_model(
                    (state.value / g)[part], (state.variance / g**2)[part], (self.unit / g)[part], group[part],
                    int(group.max()) + 1, start=before, fixed=error_params.basic,
                )  # fmt: skip
            )
        return tuple(fitted) if len(fitted) > 1 else (fitted[0],) * len(self.models)

    def _error_groups(self, part: Bool[np.ndarray, " n"]) -> np.ndarray:
        """Friedel mates apart, since anomalous differences are no errors, if that leaves most of the comparisons."""

        def freedom(group: np.ndarray) -> int:
            return int(np.maximum(np.bincount(group[part]) - 1, 0).sum())

        return self.sides if freedom(self.sides) >= 0.5 * freedom(self.group) else self.group

    def _outliers(self, state: State) -> Bool[np.ndarray, " n"]:
        options = self.params.scaling_options
        outlier = np.zeros(len(self.rows), bool)
        g = self.factors(state)
        value = state.value / g
        if options.outlier_rejection is not None:
            none = np.zeros(len(g))
            if self.params.weighting.error_model.error_model is None:
                constant, linear, quadratic = state.variance / g**2, none, none
            else:
                a2 = np.array([e.a**2 for e in state.errors])[self.sweep]
                linear = a2 * np.array([e.c for e in state.errors])[self.sweep] * self.unit / g
                quadratic = a2 * np.array([e.b**2 for e in state.errors])[self.sweep]
                constant = a2 * state.variance / g**2
            iterate = options.outlier_rejection == "standard"
            mark_outliers(self.starts, value, constant, linear, quadratic, options.outlier_zmax, iterate, outlier)
        return outlier | self._impossible(value)

    def _impossible(self, value: Values) -> Bool[np.ndarray, " n"]:
        """Intensities whose normalised E^2 is above emax^2: a Wilson (1949) distribution has no such."""
        inverse = self.sorted_design.inverse_d2
        order = np.argsort(inverse, kind="stable")
        thin = np.empty(len(order), np.int64)
        n_shells = max(1, min(100, len(order) // 500))
        thin[order] = np.arange(len(order)) * n_shells // len(order)
        level = np.bincount(thin, value) / np.bincount(thin)
        return value > self.params.scaling_options.emax**2 * np.where(level > 0, level, np.inf)[thin]

    def fit(self, state: State, name: str) -> State:
        """Refine the model with the present weights; the mean scale stays 1."""
        weight = np.where(self.complete & ~state.outlier, 1 / self.variances(state), 0.0)
        refinery = self.params.scaling_refinery
        rmsds: list[float] = []

        def evaluate(x):
            equations = self._equations(x, state, weight)
            if not rmsds:
                rmsds.append(equations.info)
            return equations

        solution = levenberg_marquardt(
            evaluate, state.x, max_iterations=refinery.max_iterations, tau=1e-6,
            converged=lambda before, after: (
                "RMSD no longer decreasing" if before.info - after.info < refinery.rmsd_tolerance * after.info else None
            ),
            observe=lambda step, x, equations: rmsds.append(equations.info),
        )  # fmt: skip
        x = solution.value.copy()
        scales = np.concatenate([x[m.parts["scale"]] for m in self.models])
        for model in self.models:
            x[model.parts["scale"]] /= scales.mean()
        done = Round(name, tuple(rmsds), int((weight > 0).sum()), int(state.outlier.sum()), solution.result)
        state = replace(state, x=x, rounds=(*state.rounds, done))
        return replace(state, surface_weight=self._surface_weight(state, solution.at_value))

    def _equations(self, x, state: State, weight: Values):
        return normal_equations(
            x, self.sorted_design, self.starts, state.value, weight, self._restraints(state.surface_weight),
            self.executor,
        )  # fmt: skip

    def _restraints(self, surface_weight: float) -> Float64[np.ndarray, " p"]:
        restraints = np.zeros(sum(m.n_parameters for m in self.models))
        for model in self.models:
            if "decay" in model.parts:
                restraints[model.parts["decay"]] = self.params.physical.decay_restraint
            if "absorption" in model.parts:
                restraints[model.parts["absorption"]] = surface_weight
        return restraints

    def _surface_weight(self, state: State, equations) -> float:
        return state.surface_weight

    def uncertainties(self, state: State) -> tuple[Float64[np.ndarray, " p"], Values]:
        """Standard deviations of the parameters, and the variances of the scale factors of all rows."""
        weight = np.where(self.complete & ~state.outlier, 1 / self.variances(state), 0.0)
        matrix = covariance(self._equations(state.x, state, weight))
        g = self.design.factors(state.x)
        return np.sqrt(np.maximum(np.diag(matrix), 0)), self.design.variances(state.x, matrix, g)
