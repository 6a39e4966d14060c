"""The scaling problem: observations in groups, and the moves that improve the state of knowledge about them."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from puredials.errors import TooFewReflectionsError
from puredials.execute import Executor
from puredials.leastsq import NormalEquations, Solution, covariance, levenberg_marquardt
from puredials.model import Experiments
from puredials.scaling.error_model import ErrorModel, group_means
from puredials.scaling.model import Prior, choose_models, design_matrix, normal_equations, start_values
from puredials.scaling.observations import Observations
from puredials.scaling.params import ScaleParams
from puredials.scaling.priors import prior_of, start_weights, updated_weights
from puredials.scaling.state import Groups, Round, State
from puredials.scaling.trust import Trust

__all__ = ["Problem"]

Values = Float64[np.ndarray, " n"]
_PRIOR_CYCLES = 2
_DOUBTFUL = 3.0
_COMPARISONS_A_SWEEP = 10


class Problem:
    """What does not change: the usable observations sorted by group, and how they depend on the parameters.

    Attributes:
        models: of the sweeps; component: of each sweep, the same for those that reflections in common connect.
        remarks: what the user should know of both.
        groups: the usable observations; trust: what follows about their errors.
        design, sorted_design: of all observations, of those in `groups`.
    """

    def __init__(
        self, experiments: Experiments, observations: Observations, params: ScaleParams, executor: Executor
    ) -> None:
        self.observations, self.params, self.executor = observations, params, executor
        self.groups = Groups.of(observations, anomalous=params.anomalous)
        self.trust = Trust(self.groups, params)
        self.component = self._components(len(experiments))
        self.models, remark = choose_models(experiments, params, self._comparisons())
        self.remarks = tuple(text for text in (self._unconnected(), remark) if text)
        self.design = design_matrix(
            self.models, experiments, observations.sweep, observations.images, observations.table["s1"], observations.d
        )
        self.sorted_design = self.design.select(self.groups.rows)

    def _comparisons(self) -> int:
        """Observations beyond the first of each unique reflection: what tells of the scales.

        Raises:
            TooFewReflectionsError: they cannot tell of the relative scales of the sweeps.
        """
        counts = np.bincount(self.groups.group[self.groups.complete], minlength=self.groups.m)
        comparisons = int(np.maximum(counts - 1, 0).sum())
        n_sweeps = len(np.unique(self.groups.sweep))
        needed = _COMPARISONS_A_SWEEP * (n_sweeps - 1)
        if comparisons < needed:
            raise TooFewReflectionsError(
                f"Only {comparisons} comparisons of equivalent reflections ({counts.sum()} observations of "
                f"{np.count_nonzero(counts)}) are too few to bring {n_sweeps} sweeps to one scale, for which {needed} "
                "are needed: measure wider sweeps, or choose those that overlap with dataset_selection.use_datasets."
            )
        return comparisons

    def _components(self, n: int) -> Int64[np.ndarray, " k"]:
        if n == 1:
            return np.zeros(1, np.int64)
        pairs = np.unique((self.groups.sweep * self.groups.m + self.groups.group)[self.groups.complete])
        of = csr_array((np.ones(len(pairs)), (pairs // self.groups.m, pairs % self.groups.m)), shape=(n, self.groups.m))
        return connected_components(of @ of.T, directed=False)[1].astype(np.int64)

    def _unconnected(self) -> str | None:
        alone = [k for k in np.unique(self.groups.sweep) if np.count_nonzero(self.component == self.component[k]) == 1]
        if len(np.unique(self.groups.sweep)) == 1 or not alone:
            return None
        return (
            f"No reflections connect data set {', '.join(map(str, alone))} with the others: "
            "its scale is a guess. Leave it out with dataset_selection.exclude_datasets."
        )

    def start(self, value: Values, variance: Values) -> State:
        """No corrections but the relative scales of the sweeps."""
        x, rows = start_values(self.models), self.groups.rows
        state = State(
            value[rows], variance[rows], x, x, self.sorted_design.factors(x), np.zeros(len(rows), bool),
            (ErrorModel(),) * len(self.models), start_weights(self.params.physical),
        )  # fmt: skip
        if len(self.models) > 1:
            x = x.copy()
            for model, factor in zip(self.models, self._sweep_scales(state), strict=True):
                x[model.parts["scale"]] = factor
        return replace(self._with_parameters(state, x), start=x)

    def _sweep_scales(self, state: State, cycles: int = 20) -> Float64[np.ndarray, " k"]:
        """One scale a sweep, alternating with the mean intensities (Fox & Holmes 1966, Acta Cryst. 20, 886)."""
        n = len(self.models)
        scales = np.ones(n)
        weight = 1 / ErrorModel().variance(state.variance, self.groups.unit, np.abs(state.value))
        for _ in range(cycles):
            g = scales[self.groups.sweep]
            mean, _ = group_means(state.value / g, weight * g**2, self.groups.group, self.groups.m)
            expected = mean[self.groups.group]
            squares = np.bincount(self.groups.sweep, weight * expected**2, n)
            new = np.bincount(self.groups.sweep, weight * expected * state.value, n) / np.where(squares > 0, squares, 1)
            scales = np.where(new > 0.01 * scales, new, scales)
        return scales / scales.mean()

    def _with_parameters(self, state: State, x: Float64[np.ndarray, " p"]) -> State:
        return replace(state, x=x, g=self.sorted_design.factors(x))

    def with_intensities(self, state: State, value: Values, variance: Values) -> State:
        return replace(state, value=value[self.groups.rows], variance=variance[self.groups.rows])

    def fit(self, state: State, name: str) -> State:
        """Refine the model, and what is expected of it, with the present weights."""
        rmsds: list[float] = []
        result = ""
        for _ in range(_PRIOR_CYCLES):
            weight = self._weights(state)
            solution = self._minimise(state, weight, rmsds)
            x, result = solution.value, solution.result
            physical = self.params.physical
            given = physical.absorption_level is not None or physical.surface_weight is not None
            fixed = ("absorption",) if given else ()
            weights = updated_weights(self.models, state.weights, fixed, x, solution.at_value.hessian)
            state = replace(self._with_parameters(state, x), weights=weights)
        done = Round(
            name, tuple(rmsds), int((self.groups.complete & ~state.outlier).sum()), int(state.outlier.sum()), result
        )
        return replace(state, rounds=(*state.rounds, done))

    def _minimise(self, state: State, weight: Values, rmsds: list[float]) -> Solution:
        """One minimisation; RMSDs are appended."""
        refinery = self.params.scaling_refinery
        prior = prior_of(self.models, state.weights, self.params.physical.decay_restraint, state.start, self.component)

        def evaluate(x: Float64[np.ndarray, " p"]) -> NormalEquations:
            equations = self._equations(x, state, weight, prior)
            if not rmsds:
                rmsds.append(equations.info)
            return equations

        def converged(before: NormalEquations, after: NormalEquations) -> str | None:
            # The objective, not the RMSD: a step may trade one for the prior.
            fall = before.objective - after.objective
            return "RMSD no longer decreasing" if fall < 2 * refinery.rmsd_tolerance * after.objective else None

        return levenberg_marquardt(
            evaluate, state.x, max_iterations=refinery.max_iterations, tau=1e-6, converged=converged,
            observe=lambda step, x, equations: rmsds.append(equations.info) if step else None,
        )  # fmt: skip

    def _weights(self, state: State) -> Values:
        """Weights for the fit; an observation that is z > 3 sigma from the others of its group counts (3 / z)^2 less.

        Of two that disagree none can be called the outlier, yet with their full weight one such pair of strong
        reflections would outvote hundreds of others.
        """
        variance = self.trust.variances(state)
        weight = np.where(self.groups.complete & ~state.outlier, 1 / variance, 0.0)
        g = state.g
        value, own = state.value / g, weight * g**2
        mean, total = group_means(value, own, self.groups.group, self.groups.m)
        # Leaving i out: z^2 = (value - mean)^2 / (v_i - variance of the mean).
        share = 1 - own / np.where(total > 0, total, 1)[self.groups.group]
        z2 = (value - mean[self.groups.group]) ** 2 * own / np.maximum(share, 1e-9)
        return weight * np.minimum(1, _DOUBTFUL**2 / np.maximum(z2, 1e-9))

    def _equations(self, x: Float64[np.ndarray, " p"], state: State, weight: Values, prior: Prior) -> NormalEquations:
        return normal_equations(x, self.sorted_design, self.groups.starts, state.value, weight, prior, self.executor)

    def uncertainties(self, state: State) -> tuple[Float64[np.ndarray, " p"], Values]:
        """Standard deviations of the parameters, and the variances of the scale factors of all rows."""
        prior = prior_of(self.models, state.weights, self.params.physical.decay_restraint, state.start, self.component)
        equations = self._equations(state.x, state, self._weights(state), prior)
        # The mean B factor is a convention, without an error.
        along = np.zeros(len(state.x))
        for model in self.models:
            if "decay" in model.parts:
                along[model.parts["decay"]] = 1.0
        hessian = equations.hessian + 1e3 * equations.hessian.max() * np.outer(along, along)
        matrix = covariance(replace(equations, hessian=hessian))
        g = self.design.factors(state.x)
        return np.sqrt(np.maximum(np.diag(matrix), 0)), self.design.variances(state.x, matrix, g)
