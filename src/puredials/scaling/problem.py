"""The scaling problem: observations in groups, and the moves that improve the state of knowledge about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from puredials.errors import TooFewReflectionsError
from puredials.execute import Executor
from puredials.kernels.group_outliers import mark_outliers
from puredials.leastsq import NormalEquations, Solution, covariance, levenberg_marquardt
from puredials.model import Experiments
from puredials.scaling.error_model import ErrorModel, fit_error_model, group_means
from puredials.scaling.model import Prior, choose_models, design_matrix, normal_equations, start_values
from puredials.scaling.observations import Observations
from puredials.scaling.params import ScaleParams
from puredials.scaling.priors import prior_of, start_weights, updated_weights

__all__ = ["Deviations", "Problem", "Round", "State"]

Values = Float64[np.ndarray, " n"]
_PRIOR_CYCLES = 2
_DOUBTFUL = 3.0
_TURNS = 3
_TOLERANCE = 3e-4  # of the error model, each of whose fits starts where the last one ended
_ROBUST_CYCLES = 5
_COMPARISONS_A_SWEEP = 10


@dataclass(frozen=True)
class Round:
    """How one fit went: RMSDs (in sigma) at the start and after each step, observations, and why it ended."""

    name: str
    rmsds: tuple[float, ...]
    n_observations: int
    n_outliers: int
    result: str


@dataclass(frozen=True, eq=False)
class Deviations:
    """How observations deviate from their equivalents, in units of their own sigma: ideally normal deviates.

    Attributes:
        rows: rows of the table; expected: mean intensity of the group.
        stated, corrected: deviation over sigma of integration, and over sigma by the error model.
    """

    rows: Int64[np.ndarray, " k"]
    expected: Float64[np.ndarray, " k"]
    stated: Float64[np.ndarray, " k"]
    corrected: Float64[np.ndarray, " k"]


@dataclass(frozen=True, eq=False)
class State:
    """What is known at some moment about the sorted, usable observations.

    Attributes:
        value, variance: unscaled intensities and the variances of integration.
        x: parameters of the model; start: their first estimates, one scale a sweep; g: inverse scale factors by x.
        weights: of the prior of each correction.
        outlier: marked as such; errors: error model of each sweep.
    """

    value: Values
    variance: Values
    x: Float64[np.ndarray, " p"]
    start: Float64[np.ndarray, " p"]
    g: Values
    outlier: Bool[np.ndarray, " n"]
    errors: tuple[ErrorModel, ...]
    weights: Mapping[str, float]
    rounds: tuple[Round, ...] = ()


class Problem:
    """What does not change: the usable observations sorted by group, and how they depend on the parameters.

    Attributes:
        models: of the sweeps; component: of each sweep, the same for those that reflections in common connect.
        remarks: what the user should know of both.
        rows: their rows in the table, sorted by group; group, starts, m: see `normal_equations`.
        sides: group with Friedel mates apart; thin_shell: number of a shell of resolution with some 500 observations.
    """

    def __init__(
        self, experiments: Experiments, observations: Observations, params: ScaleParams, executor: Executor
    ) -> None:
        self.observations, self.params, self.executor = observations, params, executor
        equivalents = observations.equivalents
        usable = np.flatnonzero(observations.usable)
        label = equivalents.half if params.anomalous else equivalents.group
        self.rows = usable[np.argsort(label[usable], kind="stable")]
        _, self.group = np.unique(label[self.rows], return_inverse=True)
        self.m = int(self.group[-1]) + 1
        self.starts = np.searchsorted(self.group, np.arange(self.m + 1))
        _, self.sides = np.unique(equivalents.half[self.rows], return_inverse=True)
        self.sweep = observations.sweep[self.rows]
        self.complete = observations.complete[self.rows]
        self.component = self._components(len(experiments))
        self.models, remark = choose_models(experiments, params, self._comparisons())
        self.remarks = tuple(text for text in (self._unconnected(), remark) if text)
        self.design = design_matrix(
            self.models, experiments, observations.sweep, observations.images, observations.table["s1"], observations.d
        )
        self.sorted_design = self.design.select(self.rows)
        self.unit = observations.factor[self.rows]
        self.thin_shell = _thin_shells(self.sorted_design.inverse_d2)

    def _comparisons(self) -> int:
        """Observations beyond the first of each unique reflection: what tells of the scales.

        Raises:
            TooFewReflectionsError: they cannot tell of the relative scales of the sweeps.
        """
        counts = np.bincount(self.group[self.complete], minlength=self.m)
        comparisons = int(np.maximum(counts - 1, 0).sum())
        n_sweeps = len(np.unique(self.sweep))
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
        pairs = np.unique((self.sweep * self.m + self.group)[self.complete])
        of = csr_array((np.ones(len(pairs)), (pairs // self.m, pairs % self.m)), shape=(n, self.m))
        return connected_components(of @ of.T, directed=False)[1].astype(np.int64)

    def _unconnected(self) -> str | None:
        alone = [k for k in np.unique(self.sweep) if np.count_nonzero(self.component == self.component[k]) == 1]
        if len(np.unique(self.sweep)) == 1 or not alone:
            return None
        return (
            f"No reflections connect data set {', '.join(map(str, alone))} with the others: "
            "its scale is a guess. Leave it out with dataset_selection.exclude_datasets."
        )

    # What follows from a state

    def variances(self, state: State) -> Values:
        """Variances sigma'^2 of the unscaled intensities by the error model."""
        if self.params.weighting.error_model.error_model is None:
            return state.variance
        variance = state.variance
        # The expected intensity and the weights it is a mean with depend on each other; twice is enough.
        for _ in range(2):
            expected = self._expected(state, variance)
            variance = self._modelled(state.errors, self._stated(state, expected), expected)
        return variance

    def robust_variances(self, state: State) -> Values:
        """Variances by which the intensities are to be weighted: larger where an observation deviates from the others.

        See `error_model` for what each counts. Deviations are from equivalents that no anomalous difference parts; an
        observation without any counts as it is.
        """
        if self.params.weighting.error_model.error_model is None:
            return state.variance
        nu = self._degrees_of_freedom(state)
        g, good = state.g, ~state.outlier
        value, variance = state.value / g, self.variances(state) / g**2
        group = self._error_groups(good)
        m = int(group.max()) + 1
        others = np.bincount(group[good], minlength=m)[group] - good > 0
        count = np.ones(len(g))
        for _ in range(_ROBUST_CYCLES):
            mean, total = group_means(value, np.where(good, count / variance, 0), group, m)
            # Of the deviation from a mean in which the own share is `own`, or none.
            own = np.where(good, count, 1.0) / (variance * np.where(total > 0, total, np.inf)[group])
            share = np.where(good, 1 - own, 1 + own)
            z2 = (value - mean[group]) ** 2 / (np.maximum(share, 1e-9) * variance)
            count = np.where(others, (nu + 1) / (nu + z2), 1.0)
        return variance * g**2 * (nu + 3) / (nu + 1) / count

    def _degrees_of_freedom(self, state: State) -> Values:
        return np.array([errors.nu for errors in state.errors])[self.sweep]

    def _expected(self, state: State, variance: Values) -> Values:
        """Unscaled intensities expected from the mean of the equivalents; the own one where there is no other."""
        g = state.g
        weight = np.where(state.outlier, 0, g**2 / variance)
        mean, total = group_means(state.value / g, weight, self.group, self.m)
        return np.where(total[self.group] > 0, mean[self.group] * g, state.value)

    def _stated(self, state: State, expected: Values) -> Values:
        """Variances of integration, with the photons expected of each reflection in place of those counted.

        Counting statistics give a weak reflection that came out too low too small a variance, and so too much weight:
        means would be too low. Photons enter the variance as they are counted, one for one.
        """
        change = self.unit * (np.maximum(expected, 0) - np.maximum(state.value, 0))
        return np.maximum(state.variance + change, 0.25 * state.variance)

    def _modelled(self, errors: Sequence[ErrorModel], variance: Values, expected: Values) -> Values:
        if len(set(errors)) == 1:
            return errors[0].variance(variance, self.unit, expected)
        out = np.empty_like(variance)
        for number, model in enumerate(errors):
            here = self.sweep == number
            out[here] = model.variance(variance[here], self.unit[here], expected[here])
        return out

    def deviations(self, state: State) -> Deviations:
        """Of all observations in use that are repeated."""
        g, variance = state.g, self.variances(state)
        use = np.flatnonzero(~state.outlier)
        group = self._error_groups(~state.outlier)[use]
        m = int(group.max(initial=-1)) + 1
        value, own = (state.value / g)[use], (g**2 / variance)[use]
        mean, total = group_means(value, own, group, m)
        share = 1 - own / total[group]
        several = (np.bincount(group, minlength=m)[group] > 1) & (share > 1e-6)
        use, mean, share = use[several], mean[group][several], share[several]
        off = (value[several] - mean) * g[use] / np.sqrt(share)
        nu = self._degrees_of_freedom(state)
        typical = variance * (nu + 3) / (nu + 1)
        stated, corrected = (off / np.sqrt(v[use]) for v in (state.variance, typical))
        return Deviations(self.rows[use], mean, stated, corrected)

    # Moves

    def start(self, value: Values, variance: Values) -> State:
        """No corrections but the relative scales of the sweeps."""
        x = start_values(self.models)
        state = State(
            value[self.rows], variance[self.rows], x, x, self.sorted_design.factors(x),
            np.zeros(len(self.rows), bool), (ErrorModel(),) * len(self.models), start_weights(self.params.physical),
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
        weight = 1 / ErrorModel().variance(state.variance, self.unit, np.abs(state.value))
        for _ in range(cycles):
            g = scales[self.sweep]
            mean, _ = group_means(state.value / g, weight * g**2, self.group, self.m)
            expected = mean[self.group]
            squares = np.bincount(self.sweep, weight * expected**2, n)
            new = np.bincount(self.sweep, weight * expected * state.value, n) / np.where(squares > 0, squares, 1)
            scales = np.where(new > 0.01 * scales, new, scales)
        return scales / scales.mean()

    def _with_parameters(self, state: State, x: Float64[np.ndarray, " p"]) -> State:
        return replace(state, x=x, g=self.sorted_design.factors(x))

    def with_intensities(self, state: State, value: Values, variance: Values) -> State:
        return replace(state, value=value[self.rows], variance=variance[self.rows])

    def judge(self, state: State) -> State:
        """Fit the error model and mark outliers by it, in turns, since each depends on the other."""
        for _ in range(_TURNS):
            before = state.outlier
            state = replace(state, errors=self._errors(state))
            state = replace(state, outlier=self._outliers(state))
            if (state.outlier == before).all():
                break
        return state

    def _errors(self, state: State) -> tuple[ErrorModel, ...]:
        error_params = self.params.weighting.error_model
        if error_params.error_model is None:
            return state.errors
        g = state.g
        chosen = self.complete & ~state.outlier
        parts = [chosen]
        if error_params.grouping == "individual":
            parts = [chosen & (self.sweep == number) for number in range(len(self.models))]
        fitted, stated = [], self._stated(state, self._expected(state, self.variances(state)))
        for part, before in zip(parts, state.errors, strict=False):
            group = self._error_groups(part)
            fitted.append(
                fit_error_model(
                    (state.value / g)[part], (stated / g**2)[part], (self.unit / g)[part], group[part],
                    int(group.max()) + 1, start=before, fixed=error_params.basic, tolerance=_TOLERANCE,
                )
            )  # fmt: skip
        return tuple(fitted) if len(fitted) > 1 else (fitted[0],) * len(self.models)

    def _error_groups(self, part: Bool[np.ndarray, " n"]) -> np.ndarray:
        """Friedel mates apart, since anomalous differences are no errors, if that leaves most of the comparisons."""

        def freedom(group: np.ndarray) -> int:
            return int(np.maximum(np.bincount(group[part]) - 1, 0).sum())

        return self.sides if freedom(self.sides) >= 0.5 * freedom(self.group) else self.group

    def _outliers(self, state: State) -> Bool[np.ndarray, " n"]:
        options = self.params.scaling_options
        outlier = np.zeros(len(self.rows), bool)
        g = state.g
        if options.outlier_rejection is not None:
            none = np.zeros(len(g))
            if self.params.weighting.error_model.error_model is None:
                constant, linear, quadratic = state.variance / g**2, none, none
            else:
                a2 = np.array([e.a**2 for e in state.errors])[self.sweep]
                linear = a2 * np.array([e.c for e in state.errors])[self.sweep] * self.unit / g
                quadratic = a2 * np.array([e.b**2 for e in state.errors])[self.sweep]
                constant = a2 * self._stated(state, self._expected(state, self.variances(state))) / g**2
            iterate = options.outlier_rejection == "standard"
            mark_outliers(
                self.starts, state.value / g, constant, linear, quadratic, options.outlier_zmax, iterate, outlier
            )
        return outlier | self._impossible(state)

    def _impossible(self, state: State) -> Bool[np.ndarray, " n"]:
        """Intensities whose normalised E^2 is above emax^2, and not by an error: a Wilson (1949) distribution has none.

        Where hardly anything is diffracted, noise alone is any number of times the mean.
        """
        options, thin = self.params.scaling_options, self.thin_shell
        value, sigma = state.value / state.g, np.sqrt(self.variances(state)) / state.g
        level = np.bincount(thin, value) / np.bincount(thin)
        return value > options.emax**2 * np.maximum(level, 0)[thin] + options.outlier_zmax * sigma

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
        done = Round(name, tuple(rmsds), int((self.complete & ~state.outlier).sum()), int(state.outlier.sum()), result)
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
        variance = self.variances(state)
        weight = np.where(self.complete & ~state.outlier, 1 / variance, 0.0)
        g = state.g
        value, own = state.value / g, weight * g**2
        mean, total = group_means(value, own, self.group, self.m)
        # Leaving i out: z^2 = (value - mean)^2 / (v_i - variance of the mean).
        share = 1 - own / np.where(total > 0, total, 1)[self.group]
        z2 = (value - mean[self.group]) ** 2 * own / np.maximum(share, 1e-9)
        return weight * np.minimum(1, _DOUBTFUL**2 / np.maximum(z2, 1e-9))

    def _equations(self, x: Float64[np.ndarray, " p"], state: State, weight: Values, prior: Prior) -> NormalEquations:
        return normal_equations(x, self.sorted_design, self.starts, state.value, weight, prior, self.executor)

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


def _thin_shells(inverse_d2: Values) -> Int64[np.ndarray, " n"]:
    order = np.argsort(inverse_d2, kind="stable")
    shell = np.empty(len(order), np.int64)
    n_shells = max(1, min(100, len(order) // 500))
    shell[order] = np.arange(len(order)) * n_shells // len(order)
    return shell
