"""Scaling: the verb of this package.

Relative scales of all observations are found from the agreement of those that symmetry relates (Beilsten-Edmands et al.
2020, Acta D76, 385), together with outliers, the better of two integrated intensities, and standard deviations.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from puredials.errors import MismatchError
from puredials.execute import SERIAL, Executor
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.scaling.error_model import ErrorModel
from puredials.scaling.intensities import PROFILE, SUM, Combination, candidates, combine, compare_combinations
from puredials.scaling.model import SweepModel, model_mapping
from puredials.scaling.observations import Observations, prepare
from puredials.scaling.params import ScaleParams
from puredials.scaling.problem import Problem
from puredials.scaling.state import Round, State
from puredials.scaling.trust import Deviations
from puredials.sets.choosing import choose_datasets, exclude_images

__all__ = ["ScaleResult", "scale"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class ScaleResult:
    """Scaled data, and what they rest on.

    Attributes:
        experiments, table: with scaling models; with scaled intensities and flags.
        observations: what went in, in the rows of `table`.
        models: of the sweeps; parameters, esds: (p,) of all of them.
        errors: error model of each sweep.
        prior_weights: of the prior of each correction.
        deviations: of observations from their equivalents.
        combinations: intensities that were compared; middle: the one chosen.
        rounds: how the fits went.
        remarks: sweeps that nothing connects, models that were reduced.
    """

    experiments: Experiments
    table: ReflectionTable
    observations: Observations
    models: tuple[SweepModel, ...]
    parameters: Float64[np.ndarray, " p"]
    esds: Float64[np.ndarray, " p"]
    errors: tuple[ErrorModel, ...]
    prior_weights: Mapping[str, float]
    deviations: Deviations
    combinations: tuple[Combination, ...]
    middle: float
    rounds: tuple[Round, ...]
    remarks: tuple[str, ...]


def scale(
    experiments: Experiments,
    table: ReflectionTable,
    *,
    params: ScaleParams | None = None,
    executor: Executor = SERIAL,
    progress: Progress | None = None,
) -> ScaleResult:
    """Scale the integrated reflections of one or several sweeps together.

    Raises:
        MismatchError: the reflections are not integrated, or the crystals are of different symmetry.
        TooFewReflectionsError: the cuts leave no reflections, or too few to compare the sweeps.
    """
    params = params or ScaleParams()
    step = _counter(progress, 7)
    selection = params.dataset_selection
    # Images are named by the numbers of the data sets that were given.
    experiments = exclude_images(experiments, params.exclude_images)
    experiments, table = choose_datasets(experiments, table, selection.use_datasets, selection.exclude_datasets)
    if any(e.crystal is None for e in experiments):
        raise MismatchError("An experiment has no crystal; index and integrate it before scaling.")
    observations = prepare(experiments, table, params)
    middles = _middles(observations, params)
    problem = Problem(experiments, observations, params, executor)
    step()

    state = problem.trust.judge(problem.start(*combine(observations, middles[0])))
    middle, combinations = middles[0], ()
    step()
    # Twice, as intensities have an advantage once the model was fitted to them.
    for name in ("first", "second"):
        before = middle
        if len(middles) > 1:
            combinations = _compare(problem, state, middles)
            middle = min(combinations, key=lambda c: c.r_meas if c.r_meas == c.r_meas else np.inf).middle
        if middle != before:
            state = problem.trust.judge(problem.with_intensities(state, *combine(observations, middle)))
        state = problem.trust.judge(problem.fit(state, name))
        step()
    state = problem.trust.judge(problem.fit(state, "final"))
    step()
    esds, factor_variance = problem.uncertainties(state)
    step()
    configuration = {
        "abs_surface_weight": state.weights["absorption"],
        "error_model_type": "BasicErrorModel" if params.weighting.error_model.error_model else "NullErrorModel",
        "Imid": middle,
    }
    scaled = []
    for experiment, model, errors in zip(experiments, problem.models, state.errors, strict=True):
        own = configuration | _error_configuration(errors, params)
        mapping = model_mapping(model, experiment, state.x, esds, own)
        scaled.append(replace(experiment, scaling_model=mapping))
    result = ScaleResult(
        experiments.with_items(scaled), _scaled_table(problem, state, factor_variance), observations, problem.models,
        state.x, esds, state.errors, state.weights, problem.trust.deviations(state), combinations, middle, state.rounds,
        problem.remarks,
    )  # fmt: skip
    step()
    return result


def _compare(problem: Problem, state: State, middles: Sequence[float]) -> tuple[Combination, ...]:
    """How the intensities of each combination agree, on the present scales."""
    good = ~state.outlier
    return tuple(
        compare_combinations(
            problem.observations, middles, problem.groups.rows[good], problem.groups.group[good], problem.groups.m,
            state.g[good], np.sqrt(problem.trust.variances(state)[good]),
        )
    )  # fmt: skip


def _counter(progress: Progress | None, total: int) -> Callable[[], None]:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    return step


def _middles(observations: Observations, params: ScaleParams) -> list[float]:
    selection = params.reflection_selection
    if selection.intensity_choice == "profile":
        return [PROFILE]
    if selection.intensity_choice == "sum":
        return [SUM]
    if selection.combine.Imid:
        return list(selection.combine.Imid)
    return candidates(observations, observations.usable)


def _error_configuration(errors: ErrorModel, params: ScaleParams) -> dict[str, object]:
    if params.weighting.error_model.error_model is None:
        return {}
    return {
        "error_model_parameters": [errors.a, errors.b],
        "error_model_photon_term": errors.c,
        "error_model_degrees_of_freedom": errors.nu,
    }


def _scaled_table(problem: Problem, state: State, factor_variance: np.ndarray) -> ReflectionTable:
    """All rows with scales and flags. Rows that were not used keep their unscaled intensity and a scale as well."""
    observations = problem.observations
    table = observations.table
    g = np.maximum(problem.design.factors(state.x), 1e-8)
    value, variance = _unscaled(observations)
    value[problem.groups.rows], variance[problem.groups.rows] = state.value, problem.trust.robust_variances(state)
    flags = table["flags"].copy()
    used = np.zeros(table.n_rows, dtype=bool)
    used[problem.groups.rows[~state.outlier]] = True
    flags[used] |= np.uint64(Flags.SCALED)
    flags[problem.groups.rows[state.outlier]] |= np.uint64(Flags.OUTLIER_IN_SCALING)
    flags[observations.unusable] |= np.uint64(Flags.EXCLUDED_FOR_SCALING)
    flags[observations.user_excluded] |= np.uint64(Flags.USER_EXCLUDED_IN_SCALING)
    return table.with_columns(
        {
            "d": observations.d,
            "intensity.scale.value": value,
            "intensity.scale.variance": variance,
            "inverse_scale_factor": g,
            "inverse_scale_factor_variance": factor_variance,
            "flags": flags,
        }
    )


def _unscaled(observations: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Intensities of all rows; 0 with variance -1 where nothing was measured."""
    value = np.where(np.isfinite(observations.profile), observations.profile, observations.summed)
    variance = np.where(np.isfinite(observations.profile), observations.profile_variance, observations.summed_variance)
    return np.nan_to_num(value), np.nan_to_num(variance, nan=-1.0)
