"""Error models recovered from observations whose errors are known."""

import numpy as np
import pytest

from puredials.scaling.error_model import ErrorModel, fit_error_model
from puredials.scaling.params import BasicErrorParams


def data(true: ErrorModel, *, seed: int = 1, m: int = 4000, most: int = 8, wild: float = 0.0, nu: float | None = None):
    """Observations of m groups from very weak to strong with the variances of the model `true`.

    Errors are normal, or follow Student's t with `nu` degrees of freedom and that variance as the square of its scale.
    """
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(m), rng.integers(1, most, m))
    n = len(group)
    expected = (10 ** rng.uniform(-1, 4, m))[group]
    unit = rng.uniform(0.5, 2, n)
    variance = (unit * expected + 100) * rng.uniform(0.5, 2, n)
    sigma = np.sqrt(true.variance(variance, unit, expected))
    value = expected + sigma * (rng.normal(size=n) if nu is None else rng.standard_t(nu, n))
    bad = rng.random(n) < wild
    value[bad] += 30 * sigma[bad]
    return value, variance, unit, group, m


@pytest.mark.parametrize(
    ("a", "b", "c"), [(1.0, 0.02, 0.0), (0.6, 0.05, 2.0), (1.4, 0.03, 0.0), (1.0, 0.0, 0.0), (0.35, 0.06, 8.0)]
)
def test_a_b_and_c_are_recovered(a, b, c):
    found = fit_error_model(*data(ErrorModel(a, b, c)))
    assert found.refined
    assert found.a == pytest.approx(a, rel=0.05)
    assert found.a * found.b == pytest.approx(a * b, abs=0.004)
    assert found.a**2 * found.c == pytest.approx(a**2 * c, abs=0.15)


def test_normal_errors_are_found_to_be_normal():
    assert fit_error_model(*data(ErrorModel(0.8, 0.03, 1.0))).nu > 40


@pytest.mark.parametrize("nu", [3.0, 6.0])
def test_scale_and_tails_of_errors_that_are_not_normal_are_recovered(nu):
    found = fit_error_model(*data(ErrorModel(0.8, 0.03, 1.0), nu=nu))
    assert found.nu == pytest.approx(nu, rel=0.15)
    assert found.a == pytest.approx(0.8, rel=0.08)
    assert found.b == pytest.approx(0.03, rel=0.1)


def test_a_few_wild_observations_do_not_inflate_the_errors():
    value, *others, group, m = data(ErrorModel(0.8, 0.03, 1.0), wild=0.003)
    variance, unit = others
    found = fit_error_model(value, variance, unit, group, m)
    assert found.a < 0.8
    assert found.b == pytest.approx(0.03, rel=0.2)
    middle = np.array([np.median(value[group == g]) for g in range(m)])[group]
    good = np.abs(value - middle) < 6 * np.sqrt(found.variance(variance, unit, middle))
    found = fit_error_model(value[good], variance[good], unit[good], group[good], m)
    assert found.a == pytest.approx(0.8, rel=0.06)
    assert found.b == pytest.approx(0.03, rel=0.1)


def test_the_start_does_not_matter():
    observed = data(ErrorModel(0.7, 0.04, 1.0))
    first, second = (
        fit_error_model(*observed, start=start) for start in (ErrorModel(3.0, 0.2, 5.0), ErrorModel(0.2, 0.0, 0.0))
    )
    assert first.a == pytest.approx(second.a, rel=1e-3)
    assert first.b == pytest.approx(second.b, rel=1e-3)


def test_deviations_of_many_groups_of_two_are_not_underestimated():
    found = fit_error_model(*data(ErrorModel(1.0, 0.02), most=3, m=8000))
    assert found.a == pytest.approx(1.0, rel=0.06)


def test_given_values_are_kept():
    observed = data(ErrorModel(0.8, 0.03, 0.0))
    found = fit_error_model(*observed, fixed=BasicErrorParams(b=0.1))
    assert found.b == 0.1
    found = fit_error_model(*observed, fixed=BasicErrorParams(a=0.8, c=0.0))
    assert (found.a, found.c) == (pytest.approx(0.8), 0.0)
    assert found.b == pytest.approx(0.03, rel=0.1)
    found = fit_error_model(*observed, fixed=BasicErrorParams(a=1, b=0.2, c=3))
    assert (found.a, found.b, found.c, found.refined) == (1.0, 0.2, 3.0, True)


def test_too_few_repeated_observations_leave_the_start():
    value, variance, unit, group, m = data(ErrorModel(2.0, 0.1))
    few = fit_error_model(value[:20], variance[:20], unit[:20], group[:20], m)
    assert few == ErrorModel()


def test_asymptotic_i_over_sigma():
    assert ErrorModel(0.5, 0.04, nu=1e6).isa == pytest.approx(50)
    assert ErrorModel(1.0, 0.0).isa == float("inf")
