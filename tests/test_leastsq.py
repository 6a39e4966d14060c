import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puredials.leastsq import NormalEquations, covariance, levenberg_marquardt


def linear(J, y, w):
    def evaluate(x):
        r = J @ x - y
        return NormalEquations(0.5 * float(w @ r**2), J.T @ (w * r), J.T @ (w[:, None] * J), len(y))

    return evaluate


def exponential(scale):
    """y = a exp(-b t) with b in units of `scale`."""
    t = np.linspace(0, 4, 50)
    y = 3 * np.exp(-1.3 * t)

    def evaluate(x):
        e = np.exp(-x[1] / scale * t)
        r = x[0] * e - y
        J = np.column_stack([e, -x[0] * t * e / scale])
        return NormalEquations(0.5 * float(r @ r), J.T @ r, J.T @ J, len(y))

    return evaluate


@given(seed=st.integers(0, 1000), n=st.integers(1, 8))
def test_a_linear_problem_is_solved_as_by_numpy(seed, n):
    rng = np.random.default_rng(seed)
    J, y, w = rng.normal(size=(30, n)), rng.normal(size=30), rng.uniform(0.5, 2, 30)
    solution = levenberg_marquardt(linear(J, y, w), np.zeros(n))
    expected = np.linalg.lstsq(J * np.sqrt(w)[:, None], y * np.sqrt(w), rcond=None)[0]
    assert solution.success
    assert solution.value == pytest.approx(expected, abs=1e-7)


def test_the_banana_valley_is_followed_to_its_end():
    def evaluate(x):
        r = np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
        J = np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])
        return NormalEquations(0.5 * float(r @ r), J.T @ r, J.T @ J, 2)

    assert levenberg_marquardt(evaluate, np.array([-1.2, 1.0])).value == pytest.approx([1, 1], abs=1e-7)


def test_the_course_does_not_depend_on_the_units_of_the_parameters():
    plain = levenberg_marquardt(exponential(1.0), np.array([1.0, 0.5]))
    scaled = levenberg_marquardt(exponential(1e6), np.array([1.0, 0.5e6]))
    assert plain.value == pytest.approx([3, 1.3])
    assert scaled.value[1] / 1e6 == pytest.approx(plain.value[1], rel=1e-9)
    assert scaled.stats.steps == plain.stats.steps


def test_the_objective_never_rises_along_the_accepted_steps():
    seen = []
    levenberg_marquardt(exponential(1.0), np.array([8.0, -0.3]), observe=lambda _, x, e: seen.append(e.objective))
    assert len(seen) > 3
    assert (np.diff(seen) < 0).all()


def test_the_caller_can_end_the_loop():
    solution = levenberg_marquardt(
        exponential(1.0), np.array([1.0, 0.5]), converged=lambda before, after: "Good enough"
    )
    assert solution.result == "Good enough"
    assert solution.stats.steps == 1


def test_running_out_of_iterations_is_no_success():
    solution = levenberg_marquardt(exponential(1.0), np.array([8.0, -0.3]), max_iterations=2)
    assert not solution.success


def test_a_step_to_where_the_problem_has_no_value_is_taken_back():
    inner = exponential(1.0)

    def evaluate(x):
        equations = inner(x)
        return equations if x[1] > 0.2 else NormalEquations(np.inf, equations.gradient, equations.hessian, 50)

    assert levenberg_marquardt(evaluate, np.array([1.0, 0.21])).value == pytest.approx([3, 1.3])


def test_a_step_to_where_only_the_hessian_has_no_value_is_taken_back():
    inner = exponential(1.0)

    def evaluate(x):
        equations = inner(x)
        return equations if x[1] > 0.2 else NormalEquations(1e-9, equations.gradient, np.full((2, 2), np.nan), 50)

    assert levenberg_marquardt(evaluate, np.array([1.0, 0.21])).value == pytest.approx([3, 1.3])


def test_a_start_without_a_value_is_reported():
    solution = levenberg_marquardt(lambda x: NormalEquations(np.inf, x, np.eye(2), 2), np.zeros(2))
    assert not solution.success
    assert "start" in solution.result


def test_no_parameters_is_a_solution():
    solution = levenberg_marquardt(lambda x: NormalEquations(1.0, np.zeros(0), np.zeros((0, 0)), 3), np.zeros(0))
    assert solution.success


def test_the_covariance_is_that_of_linear_regression():
    rng = np.random.default_rng(1)
    J, w = rng.normal(size=(2000, 3)), np.ones(2000)
    y = J @ [1, 2, 3] + 0.5 * rng.normal(size=2000)
    solution = levenberg_marquardt(linear(J, y, w), np.zeros(3))
    r = J @ solution.value - y
    assert solution.covariance() == pytest.approx(np.linalg.inv(J.T @ J) * (r @ r) / 1997)
    assert solution.covariance(scaled=False) == pytest.approx(np.linalg.inv(J.T @ J))


def test_a_parameter_that_the_data_do_not_see_stays_and_has_no_variance():
    J = np.column_stack([np.arange(5.0), np.zeros(5)])
    solution = levenberg_marquardt(linear(J, np.arange(5.0) * 2, np.ones(5)), np.array([0.0, 7.0]))
    assert solution.value == pytest.approx([2, 7])
    assert covariance(solution.at_value, scaled=False)[1, 1] == 0
