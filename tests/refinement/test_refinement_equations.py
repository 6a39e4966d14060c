"""The kernel's normal equations against prediction and finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puredials.model import Experiments
from puredials.prediction import predict_indexed
from puredials.refinement.params import Parameterisation, ReflectionParams
from puredials.refinement.problem import build_problem
from puredials.refinement.selection import match
from refinement_synthetic import SYNTHETIC

EVERYTHING = Parameterisation(beam={"fix": ()})
small = st.floats(-1, 1)


def problem_of(experiments, *, scan_varying=False, params=EVERYTHING, n=60):
    table = SYNTHETIC.table(experiments, n=n, noise=0.3)
    observations = match(experiments, table, ReflectionParams()).observations
    return build_problem(experiments, observations, params, scan_varying=scan_varying, with_prior=False)


def check_derivatives(problem, x, *, step=1e-6):
    """Hessian and gradient are those of the numerical Jacobian."""
    equations = problem.evaluate(x)
    columns = []
    for k in range(len(x)):
        d = np.zeros(len(x))
        d[k] = step
        columns.append((problem.evaluate(x + d).info - problem.evaluate(x - d).info).ravel() / (2 * step))
    J, w, r = np.array(columns).T, problem.observations.weight.ravel(), equations.info.ravel()
    hessian = J.T @ (w[:, None] * J)
    scale = np.sqrt(np.diag(hessian))
    scale[scale == 0] = 1
    assert equations.hessian / np.outer(scale, scale) == pytest.approx(hessian / np.outer(scale, scale), abs=1e-5)
    assert equations.gradient / scale == pytest.approx(J.T @ (w * r) / scale, abs=1e-5 * np.sqrt(w @ r**2))
    assert equations.objective == pytest.approx(0.5 * w @ r**2)
    assert equations.n_residuals == len(r)


@settings(max_examples=15)
@given(
    orientation=st.tuples(small, small, small).filter(lambda v: np.linalg.norm(v) > 0.01),
    axis=st.tuples(small, small, small).filter(lambda v: np.linalg.norm(v[:2]) > 0.5),
    tilt=st.floats(-0.3, 0.3),
    kappa=st.booleans(),
    n_panels=st.sampled_from([1, 4]),
    seed=st.integers(0, 100),
)
def test_derivatives_are_right_in_any_geometry(orientation, axis, tilt, kappa, n_panels, seed):
    e = SYNTHETIC.experiment(
        cell=(40, 50, 60, 80, 95, 100), orientation=orientation, axis=axis, tilt=tilt, kappa=kappa, n_panels=n_panels
    )
    problem = problem_of(Experiments([e]))
    assert problem.n_parameters == 3 + 6 + 9
    check_derivatives(problem, 1e-3 * np.random.default_rng(seed).normal(size=problem.n_parameters))


def test_derivatives_are_right_along_a_scan():
    problem = problem_of(Experiments([SYNTHETIC.experiment(images=360)]), scan_varying=True, n=300)
    assert problem.n_parameters == 3 + 6 + 9 * 7
    check_derivatives(problem, 1e-3 * np.random.default_rng(1).normal(size=problem.n_parameters))


def test_derivatives_are_right_for_stills():
    still = SYNTHETIC.still(SYNTHETIC.experiment(cell=(40, 50, 60, 80, 95, 100)))
    problem = problem_of(Experiments([still]))
    check_derivatives(problem, 1e-4 * np.random.default_rng(1).normal(size=problem.n_parameters))


def test_derivatives_are_right_for_shared_and_separate_models():
    one = SYNTHETIC.experiment(images=40)
    moved = replace(one, goniometer=SYNTHETIC.experiment(kappa=True).goniometer)  # the same crystal and detector
    other = replace(SYNTHETIC.experiment(hall="P 4", cell=(50, 50, 60, 90, 90, 90)), detector=one.detector)
    problem = problem_of(Experiments([one, moved, other]))
    assert problem.n_parameters == 2 * 3 + 6 + 9 + (3 + 2)  # two beams, one detector, two crystals
    check_derivatives(problem, 1e-3 * np.random.default_rng(1).normal(size=problem.n_parameters))


@pytest.mark.parametrize("still", [False, True])
def test_residuals_are_those_of_prediction(still):
    e = SYNTHETIC.experiment(kappa=True, tilt=0.1)
    experiments = Experiments([SYNTHETIC.still(e) if still else e])
    table = SYNTHETIC.table(experiments, n=100, noise=0.2)
    matches = match(experiments, table, ReflectionParams())
    problem = build_problem(experiments, matches.observations, EVERYTHING, scan_varying=False)
    assert problem.evaluate(np.zeros(problem.n_parameters)).info == pytest.approx(matches.residuals, abs=1e-9)


def test_residuals_after_a_step_are_those_of_the_moved_models():
    from puredials.leastsq import Solution, Stats
    from puredials.refinement.update import refined_experiments

    problem = problem_of(Experiments([SYNTHETIC.experiment(kappa=True, n_panels=4)]))
    x = 1e-3 * np.random.default_rng(1).normal(size=problem.n_parameters)
    equations = problem.evaluate(x)
    (moved,) = refined_experiments(problem, Solution(x, equations, "", True, Stats(0, 0, 0.0)))
    o = problem.observations
    p = predict_indexed(moved, o.h.astype(int), entering=o.entering, z_guess=o.z, panel=o.panel)
    assert p.xyz_mm - o.xyz_mm == pytest.approx(equations.info, abs=1e-9)


def test_the_compiled_kernel_does_what_its_source_says():
    from puredials.kernels import centroid_equations as kernels

    problem = problem_of(Experiments([SYNTHETIC.experiment()]), n=60)
    x = 1e-3 * np.random.default_rng(1).normal(size=problem.n_parameters)
    o, m = problem.observations, sum(problem.slots)
    answers = []
    for function in (kernels.normal_equations, kernels.normal_equations.py_func):
        residual, N, g = np.empty((len(o.id), 3)), np.zeros((1, m, m)), np.zeros((1, m))
        inputs = (o.h, o.xyz_mm, o.weight, problem.cell_of, problem.panel_of, o.entering, *problem._compose(x))
        function(*inputs, residual, N, g)
        answers.append((residual, N, g))
    for compiled, plain in zip(*answers, strict=True):
        assert compiled == pytest.approx(plain, rel=1e-9, abs=1e-9 * np.abs(plain).max())
