"""Refinement of beam, detector and crystals against the centroids of indexed spots.

Each macrocycle predicts the indexed reflections, leaves out unsuitable ones and outliers, and minimises
sum w_x (X_c - X_o)^2 + w_y (Y_c - Y_o)^2 + w_phi (phi_c - phi_o)^2 (Waterman et al. 2016, Acta D72, 558, eq. 1). The
first refines one crystal for a whole scan; then the crystal may vary smoothly along it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from puredials.errors import MissingColumnError, TooFewReflectionsError
from puredials.execute import SERIAL, Executor
from puredials.leastsq import NormalEquations, levenberg_marquardt
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.refinement.params import RefineParams
from puredials.refinement.problem import Observations, build_problem
from puredials.refinement.selection import Matches, choose, match, predict_table, with_pixels
from puredials.refinement.update import refined_experiments

__all__ = ["Macrocycle", "RefinementResult", "Rmsd", "Step", "Summary", "refine", "refine_experiments"]

DEFAULTS = RefineParams()
# The minimiser stops when no RMSD changes by more than this from one step to the next.
RMSD_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Rmsd:
    """Root mean square residuals: px, px, images (degrees of delpsi for stills) of one experiment or panel."""

    number: int
    n: int
    x: float
    y: float
    z: float


@dataclass(frozen=True)
class Step:
    """One step of the minimiser: RMSDs in mm, mm, degrees."""

    n: int
    x: float
    y: float
    phi: float


@dataclass(frozen=True, eq=False)
class Summary:
    """Minimum, quartiles and maximum (columns) of the residuals in mm, mm, degrees and of the weights (rows)."""

    n: int
    values: Float64[np.ndarray, "6 5"]


@dataclass(frozen=True, eq=False)
class Macrocycle:
    """What happened in one macrocycle; `steps` of the minimiser and the sentence why it ended."""

    scan_varying: bool
    all_still: bool
    algorithm: str
    before: Summary
    after: Summary
    n_outliers: int
    n_parameters: int
    n_experiments: int
    steps: tuple[Step, ...]
    reason: str
    rmsds: tuple[Rmsd, ...]
    panel_rmsds: tuple[Rmsd, ...]


@dataclass(frozen=True, eq=False)
class RefinementResult:
    """Refined models, the reflections with predictions and flags by them, final RMSDs by experiment, and the course."""

    experiments: Experiments
    table: ReflectionTable
    rmsds: tuple[Rmsd, ...]
    history: tuple[Macrocycle, ...]


def refine(
    experiments: Experiments,
    table: ReflectionTable,
    *,
    params: RefineParams = DEFAULTS,
    n_static_macrocycles: int = 1,
    executor: Executor = SERIAL,
    progress: Callable[[int, int], None] | None = None,
) -> RefinementResult:
    """Refine static models, then (unless `scan_varying` says otherwise) crystals that vary along their scans.

    If crystals may vary along scans, each scan gets a crystal of its own at the start. Where one crystal was shared,
    the scans may turn out to differ by more than a first rejection of outliers can see through (a remounted crystal,
    an ill-known goniometer): a second static macrocycle looks again, and only that one demands enough reflections.
    """
    if "miller_index" not in table:
        raise MissingColumnError("The spots have no Miller indices yet: run dials.index on them first.")
    wanted = params.parameterisation.scan_varying
    varying = wanted is not False and any(not e.is_still for e in experiments)
    n_static = 0 if wanted is True and varying else max(n_static_macrocycles, 1)
    split = varying and len({id(e.crystal) for e in experiments}) < len(experiments)
    if split:
        experiments = split_crystals(experiments)
        n_static += 1
    total = n_static + varying
    history: list[Macrocycle] = []
    result = RefinementResult(experiments, table, (), ())

    def run(scan_varying: bool, params: RefineParams = params) -> RefinementResult:
        found = refine_experiments(
            result.experiments, result.table, params=params, scan_varying=scan_varying, executor=executor
        )
        history.extend(found.history)
        if progress:
            progress(len(history), total)
        return found

    for cycle in range(n_static):
        provisional = split and cycle < n_static - 1
        result = run(scan_varying=False, params=_undemanding(params) if provisional else params)
    if varying:
        result = run(scan_varying=True)
    return replace(result, history=tuple(history))


def _undemanding(params: RefineParams) -> RefineParams:
    """The same, but what the reflections do not determine stays fixed, and is no reason to stop."""
    reduction = params.parameterisation.auto_reduction.model_copy(update={"action": "fix"})
    parameterisation = params.parameterisation.model_copy(update={"auto_reduction": reduction})
    return params.model_copy(update={"parameterisation": parameterisation})


def split_crystals(experiments: Experiments) -> Experiments:
    """Each experiment with a crystal of its own."""
    return experiments.with_items(replace(e, crystal=e.crystal and replace(e.crystal)) for e in experiments)


def refine_experiments(
    experiments: Experiments,
    table: ReflectionTable,
    *,
    params: RefineParams = DEFAULTS,
    scan_varying: bool = False,
    executor: Executor = SERIAL,
) -> RefinementResult:
    """One macrocycle of refinement. Reflections need indices, panels, observed centroids and flags."""
    table = with_pixels(experiments, table)
    experiments = _without_scan_points(experiments)
    matches = match(experiments, table, params.reflections)
    sample, outliers = choose(matches, experiments, params.reflections, executor)
    used = sample & ~outliers
    if not used.any() and params.parameterisation.auto_reduction.action == "fail":
        raise TooFewReflectionsError(
            f"None of the {len(used)} indexed reflections can be refined against: {(~matches.suitable).sum()} are not "
            f"suitable, {outliers.sum()} are outliers (as all in a block of fewer than "
            f"{params.reflections.outlier.minimum_number_of_reflections}); index more spots."
        )
    observations = _select(matches.observations, used)
    problem = build_problem(
        experiments,
        observations,
        params.parameterisation,
        scan_varying=scan_varying,
        with_prior=params.reflections.weighting_strategy.override != "constant",
    )
    steps: list[Step] = []

    def observe(_: int, x: np.ndarray, equations: NormalEquations) -> None:
        rms = np.sqrt(np.mean(equations.info**2, axis=0)) if len(observations.id) else np.zeros(3)
        steps.append(Step(len(observations.id), float(rms[0]), float(rms[1]), float(np.degrees(rms[2]))))

    def converged(before: NormalEquations, after: NormalEquations) -> str | None:
        last, new = steps[-2], steps[-1]
        changes = [abs(b - a) > RMSD_TOLERANCE * b for b, a in ((last.x, new.x), (last.y, new.y), (last.phi, new.phi))]
        return None if any(changes) else "RMSD no longer decreasing"

    solution = levenberg_marquardt(
        problem.evaluate,
        np.zeros(problem.n_parameters),
        max_iterations=params.refinery.max_iterations or 100,
        converged=converged,
        observe=observe,
    )
    errors = params.parameterisation.set_scan_varying_errors
    refined = refined_experiments(problem, solution, errors_at_scan_points=errors)
    residuals = solution.at_value.info
    rmsds = _rmsds(refined, observations.id, observations.id, residuals)
    # Panels of several different detectors are not comparable: a table by panel is for one detector.
    by_panel = len({id(e.detector) for e in refined}) == 1 and len(refined[0].detector) > 1
    macrocycle = Macrocycle(
        scan_varying=scan_varying,
        all_still=all(e.is_still for e in experiments),
        algorithm={"auto": "mcd"}.get(params.reflections.outlier.algorithm, params.reflections.outlier.algorithm),
        before=_summary(matches, sample),
        after=_summary(matches, used),
        n_outliers=int(outliers.sum()),
        n_parameters=problem.n_parameters,
        n_experiments=len(experiments),
        steps=tuple(steps),
        reason=solution.result,
        rmsds=rmsds,
        panel_rmsds=_rmsds(refined, observations.panel, observations.id, residuals) if by_panel else (),
    )
    updated = _updated_table(refined, table, matches, used, outliers)
    return RefinementResult(refined, updated, rmsds, (macrocycle,))


def _without_scan_points(experiments: Experiments) -> Experiments:
    """Static crystals to start from; shared ones stay shared."""
    static = {
        id(e.crystal): replace(e.crystal, A_at_scan_points=None, B_covariance_at_scan_points=None)
        for e in experiments
        if e.crystal is not None and e.crystal.is_scan_varying
    }
    if not static:
        return experiments
    return experiments.with_items(replace(e, crystal=static.get(id(e.crystal), e.crystal)) for e in experiments)


def _select(o: Observations, which: np.ndarray) -> Observations:
    return Observations(
        o.id[which], o.h[which], o.panel[which], o.entering[which], o.z[which], o.xyz_mm[which], o.weight[which]
    )


def _summary(matches: Matches, which: np.ndarray) -> Summary:
    if not which.any():
        return Summary(0, np.zeros((6, 5)))
    columns = np.column_stack([matches.residuals[which], matches.observations.weight[which]])
    columns[:, 2] = np.degrees(columns[:, 2])
    columns[:, 5] *= np.radians(1) ** 2
    return Summary(int(which.sum()), np.quantile(columns, [0, 0.25, 0.5, 0.75, 1], axis=0).T)


def _rmsds(experiments: Experiments, labels: np.ndarray, ids: np.ndarray, residuals: np.ndarray) -> tuple[Rmsd, ...]:
    """RMSDs in px, px, images of the residuals of each label (experiment or panel)."""
    widths = np.array(
        [
            [*e.detector[0].pixel_size, np.radians(1.0 if e.is_still or e.scan is None else e.scan.oscillation[1])]
            for e in experiments
        ]
    )
    squares = (residuals / widths[ids]) ** 2
    found = []
    for label in np.unique(labels):
        here = labels == label
        x, y, z = np.sqrt(squares[here].mean(axis=0))
        found.append(Rmsd(int(label), int(here.sum()), float(x), float(y), float(z)))
    return tuple(found)


def _updated_table(
    experiments: Experiments, table: ReflectionTable, matches: Matches, used: np.ndarray, outliers: np.ndarray
) -> ReflectionTable:
    """The table with predictions by the refined models, and flags that tell how each reflection was used."""
    rows = matches.rows
    predicted = predict_table(experiments, table, rows)
    flags = table["flags"].copy()
    flags &= ~np.uint64(
        Flags.PREDICTED | Flags.USED_IN_REFINEMENT | Flags.CENTROID_OUTLIER | Flags.EXCLUDED_FOR_REFINEMENT
    )
    unsuitable = np.ones(table.n_rows, dtype=bool)
    unsuitable[rows[matches.suitable]] = False
    flags[unsuitable] |= np.uint64(Flags.EXCLUDED_FOR_REFINEMENT)
    flags[rows[predicted.valid]] |= np.uint64(Flags.PREDICTED)
    flags[rows[used & predicted.valid]] |= np.uint64(Flags.USED_IN_REFINEMENT)
    flags[rows[outliers]] |= np.uint64(Flags.CENTROID_OUTLIER)
    good, valid = rows[predicted.valid], predicted.valid
    columns = {"flags": flags}

    def put(name: str, values: np.ndarray, at: np.ndarray) -> None:
        shape = (table.n_rows, *values.shape[1:])
        columns[name] = table[name].copy() if name in table else np.zeros(shape, dtype=values.dtype)
        columns[name][at] = values

    put("xyzcal.mm", predicted.xyz_mm[valid], good)
    put("xyzcal.px", predicted.xyz_px[valid], good)
    put("s1", predicted.s1[valid], good)
    put("entering", predicted.entering[valid], good)
    put("xyzobs.mm.value", matches.observations.xyz_mm, rows)
    if any(e.is_still for e in experiments):
        put("delpsical.rad", predicted.delpsi[valid], good)
    return table.with_columns(columns)
