"""Kernels of scaling against their plain definitions."""

from itertools import pairwise

import numpy as np
from scipy.special import sph_harm_y

from puredials.execute import SERIAL, Threads
from puredials.kernels.group_outliers import mark_outliers
from puredials.kernels.harmonics import add_harmonics
from puredials.scaling.components import Nodes, nodes_for_sweep
from puredials.scaling.model import Design, Prior, normal_equations


def test_harmonics_are_those_of_scipy_without_the_phase():
    directions = np.random.default_rng(1).normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    found = np.zeros((50, 35))
    add_harmonics(directions, 5, 0.5, found)
    t, f = np.arccos(directions[:, 2]), np.arctan2(directions[:, 1], directions[:, 0])
    for l in range(1, 6):  # noqa: E741
        for m in range(-l, l + 1):
            y = sph_harm_y(l, abs(m), t, f)
            expected = y.real if m == 0 else np.sqrt(2) * (-1) ** m * (y.imag if m < 0 else y.real)
            np.testing.assert_allclose(found[:, l * l - 1 + l + m], 0.5 * expected, atol=1e-12)


def small_problem(seed: int = 2):
    """40 groups, one to six observations each; two sweeps of 3 + 2 + 3 parameters, the second without absorption."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, 40)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    n, p = int(starts[-1]), 13
    sweep = rng.integers(0, 2, n)
    scale, decay = Nodes(3, 10.0, 0.1), Nodes(2, 20.0, 0.05)
    images = rng.uniform(0, 20, n)
    scale_index, scale_weight = scale.weights(images)
    decay_index, decay_weight = decay.weights(images)
    scale_index += 8 * sweep[:, None]
    decay_index += 3 + 8 * sweep[:, None]
    harmonics = rng.normal(size=(n, 3)).astype(np.float32) * 0.3
    design = Design(scale_index, scale_weight, decay_index, decay_weight, rng.uniform(0.05, 0.3, n),
                    np.where(sweep == 0, 5, -1), harmonics)  # fmt: skip
    x = np.concatenate([1 + 0.1 * rng.normal(size=3), rng.normal(size=2), 0.1 * rng.normal(size=3),
                        1.5 + 0.1 * rng.normal(size=3), rng.normal(size=2)])  # fmt: skip
    intensity = np.repeat(rng.exponential(10, 40), sizes) * (1 + 0.2 * rng.normal(size=n))
    weight = rng.uniform(0.5, 2, n)
    root = rng.normal(size=(p, p))
    return design, starts, intensity, weight, Prior(root @ root.T / 100, rng.normal(size=p)), x


def plain_objective(x, design, starts, intensity, weight, prior):
    c = (x[design.scale_index] * design.scale_weight).sum(axis=1)
    b = (x[design.decay_index] * design.decay_weight).sum(axis=1)
    has = design.first >= 0
    a = np.ones(len(c))
    a[has] += (design.harmonics[has] * x[design.first[has][:, None] + np.arange(3)]).sum(axis=1)
    g = c * np.exp(b * design.inverse_d2 / 2) * a
    total = 0.5 * (x - prior.centre) @ prior.matrix @ (x - prior.centre)
    for first, last in pairwise(starts):
        part = slice(first, last)
        w, i, k = weight[part], intensity[part], g[part]
        total += 0.5 * np.sum(w * (i - k * np.sum(w * k * i) / np.sum(w * k * k)) ** 2)
    return total


def test_objective_and_gradient_are_those_of_the_definition():
    *problem, x = small_problem()
    found = normal_equations(x, *problem)
    np.testing.assert_allclose(found.objective, plain_objective(x, *problem), rtol=1e-12)
    step = 1e-6
    numeric = [
        (plain_objective(x + d, *problem) - plain_objective(x - d, *problem)) / (2 * step)
        for d in step * np.eye(len(x))
    ]
    np.testing.assert_allclose(found.gradient, numeric, rtol=1e-6, atol=1e-6 * np.abs(numeric).max())


def test_the_hessian_is_that_of_second_differences_where_the_fit_is_perfect():
    design, starts, _, weight, prior, x = small_problem()
    g = design.factors(x)
    true = np.repeat(np.random.default_rng(3).exponential(10, 40), np.diff(starts))
    flat = Prior(0 * prior.matrix, x)
    found = normal_equations(x, design, starts, true * g, weight, flat)
    assert found.objective < 1e-20
    step = 1e-5
    numeric = [
        (normal_equations(x + d, design, starts, true * g, weight, flat).gradient
         - normal_equations(x - d, design, starts, true * g, weight, flat).gradient) / (2 * step)
        for d in step * np.eye(len(x))
    ]  # fmt: skip
    np.testing.assert_allclose(found.hessian, numeric, rtol=1e-5, atol=1e-5 * found.hessian.max())


def test_equations_do_not_depend_on_the_workers():
    *problem, x = small_problem()
    one = normal_equations(x, *problem, SERIAL, block=10)
    with Threads(3) as threads:
        three = normal_equations(x, *problem, threads, block=10)
    assert one.objective == three.objective
    assert (one.hessian == three.hessian).all()
    assert (one.gradient == three.gradient).all()


def test_a_scale_that_is_not_positive_is_no_solution():
    *problem, x = small_problem()
    assert normal_equations(np.where(np.arange(len(x)) < 3, -1.0, x), *problem).objective == np.inf


def test_variances_of_scale_factors_are_those_of_propagation():
    design, *_, x = small_problem()
    root = np.random.default_rng(4).normal(size=(len(x), len(x)))
    matrix = 1e-4 * root @ root.T
    g = design.factors(x)
    step = 1e-6
    jacobian = np.array([(design.factors(x + d) - design.factors(x - d)) / (2 * step) for d in step * np.eye(len(x))])
    np.testing.assert_allclose(
        design.variances(x, matrix, g), np.sum(jacobian * (matrix @ jacobian), axis=0), rtol=1e-6
    )


def test_equal_nodes_give_that_value_everywhere_and_the_weights_add_up():
    for nodes in (
        Nodes(1),
        nodes_for_sweep(20.0, 0.5, 30.0),
        nodes_for_sweep(40.0, 0.5, 30.0),
        nodes_for_sweep(90.0, 0.5, 15.0),
    ):
        index, weight = nodes.weights(np.linspace(0.0, 40.0, 77))
        np.testing.assert_allclose(weight.sum(axis=1), 1)
        assert index.min() >= 0
        assert index.max() < nodes.count


def test_a_smooth_curve_is_followed_between_the_nodes():
    nodes = nodes_for_sweep(120.0, 1.0, 10.0)
    images = np.linspace(0, 120, 500)
    index, weight = nodes.weights(images)
    at = (np.arange(nodes.count) - 0.5) / nodes.per_image
    curve = np.sin(at / 40)
    assert np.abs((curve[index] * weight).sum(axis=1) - np.sin(images / 40)).max() < 0.05


def outliers(value, *, sizes, z_max=6.0, iterate=True, linear=0.0, quadratic=0.0):
    n = len(value)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    mark = np.zeros(n, bool)
    mark_outliers(starts, np.asarray(value, float), np.ones(n), np.full(n, linear), np.full(n, quadratic), z_max,
                  iterate, mark)  # fmt: skip
    return mark.tolist()


def test_one_wild_observation_is_found_and_its_equivalents_are_kept():
    assert outliers([10, 11, 9, 1000], sizes=[4]) == [False, False, False, True]
    assert outliers([10, 11, 9, 10], sizes=[4]) == [False] * 4


def test_two_that_disagree_are_both_kept():
    assert outliers([10, 1000], sizes=[2]) == [False, False]
    assert outliers([10, 1000, -500], sizes=[3]).count(True) == 1


def test_several_outliers_of_a_group_are_found_one_after_the_other():
    assert outliers([10, 11, 9, 10, 300, -400], sizes=[6]) == [False] * 4 + [True] * 2


def test_the_simple_method_judges_all_at_once():
    # The mean of all is drawn to the wild one, so that good ones go as well.
    assert outliers([10, 11, 9, 1000], sizes=[4], iterate=False) == [True] * 4
    assert outliers([10, 11, 9, 12], sizes=[4], iterate=False) == [False] * 4


def test_errors_in_proportion_to_the_intensity_count():
    value = [1000, 1002, 998, 1050]
    assert outliers(value, sizes=[4]) == [False, False, False, True]
    assert not any(outliers(value, sizes=[4], quadratic=0.02**2))
    assert not any(outliers(value, sizes=[4], linear=1.0))
