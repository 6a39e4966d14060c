import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puredials.execute import Threads
from puredials.refinement.outliers import find_outliers, mcd, mcd_outliers, tukey_outliers
from puredials.refinement.params import OutlierParams

COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.3], [0.0, -0.3, 0.5]])


def normal(n, seed=0):
    return np.random.default_rng(seed).multivariate_normal([1, 2, 3], COVARIANCE, n)


@pytest.mark.parametrize("n", [300, 5000])
def test_location_and_scatter_of_normal_data_are_found(n):
    location, scatter = mcd(normal(n))
    assert location == pytest.approx([1, 2, 3], abs=5 / np.sqrt(n))
    assert scatter == pytest.approx(COVARIANCE, abs=12 / np.sqrt(n))


@pytest.mark.parametrize("n", [300, 5000])
def test_a_third_of_wild_points_changes_little(n):
    x = normal(n)
    x[: n // 3] = np.array([30.0, -20.0, 8.0]) + 0.1 * x[: n // 3]
    location, scatter = mcd(x)
    assert location == pytest.approx([1, 2, 3], abs=8 / np.sqrt(n))
    assert np.linalg.det(scatter) < 4 * np.linalg.det(COVARIANCE)
    found = mcd_outliers(x, alpha=0.5, probability=0.975)
    assert found[: n // 3].all()
    assert found[n // 3 :].mean() < 0.15


def test_the_share_of_good_points_rejected_is_that_of_the_quantile():
    assert mcd_outliers(normal(20000), alpha=0.5, probability=0.9).mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("n", [20, 60, 150])
@pytest.mark.parametrize("alpha", [0.5, 0.8])
def test_few_good_points_are_not_rejected_for_being_few(n, alpha):
    shares = [mcd_outliers(normal(n, seed), alpha=alpha, probability=0.975).mean() for seed in range(30)]
    assert 0.005 < np.mean(shares) < 0.035


def test_wild_points_are_found_among_few():
    x = normal(40)
    x[:8] += 12
    found = mcd_outliers(x, alpha=0.5, probability=0.975)
    assert found[:8].all()
    assert found[8:].mean() < 0.1


@given(seed=st.integers(0, 50))
@settings(max_examples=10)
def test_units_and_correlations_do_not_matter(seed):
    x = normal(400, seed)
    x[:40] *= 5
    mixing = np.array([[1e-3, 0, 0], [2e-3, 5e-3, 0], [0, 0, 1e3]])
    plain = mcd_outliers(x, alpha=0.5, probability=0.975)
    mixed = mcd_outliers(x @ mixing.T, alpha=0.5, probability=0.975)
    assert (plain == mixed).mean() > 0.98


def test_a_residual_without_spread_says_nothing():
    x = normal(200)
    x[:, 2] = 0
    x[0] = [50, 50, 0]
    found = mcd_outliers(x, alpha=0.5, probability=0.975)
    assert found[0]
    assert found.mean() < 0.2


def test_tukey_rejects_beyond_the_whiskers():
    x = np.column_stack([np.arange(100.0), np.zeros(100), np.zeros(100)])
    x[0, 0], x[1, 1] = 500.0, 1.0
    found = tukey_outliers(x, iqr_multiplier=1.5)
    assert np.flatnonzero(found).tolist() == [0, 1]
    assert not tukey_outliers(x[2:], iqr_multiplier=1.5).any()


def jobs_input(n=2000):
    rng = np.random.default_rng(1)
    id = np.repeat([0, 1], n // 2)
    residuals = normal(n)
    residuals[: n // 2] += 20  # the experiments differ from each other
    return residuals, id, np.zeros(n, dtype=np.int64), rng.uniform(0, 90, n)


def test_experiments_are_judged_by_themselves():
    separate = find_outliers(*jobs_input(), params=OutlierParams())
    joint = find_outliers(*jobs_input(), params=OutlierParams(separate_experiments=False, separate_blocks=False))
    assert separate.mean() < 0.1
    assert joint.mean() > 0.3


def test_a_drift_along_the_scan_is_no_outlier():
    residuals, _, panel, angle = jobs_input()
    residuals = normal(2000) + angle[:, None]
    id = np.zeros(2000, dtype=np.int64)
    assert find_outliers(residuals, id, panel, angle, params=OutlierParams(block_width=5.0)).mean() < 0.1


def test_very_small_jobs_are_rejected_whole():
    residuals, id, panel, angle = jobs_input()
    few = np.r_[:1000, 1000:1010]
    found = find_outliers(residuals[few], id[few], panel[few], angle[few], params=OutlierParams())
    assert found[1000:].all()


@given(st.permutations(range(200)))
@settings(max_examples=10)
def test_the_order_of_reflections_does_not_matter(order):
    residuals, _, panel, angle = jobs_input(200)
    residuals[:20] *= 4
    id = np.zeros(200, dtype=np.int64)
    order = np.array(order)
    straight = find_outliers(residuals, id, panel, angle, params=OutlierParams())
    shuffled = find_outliers(residuals[order], id, panel, angle[order], params=OutlierParams())
    assert (shuffled == straight[order]).all()


def test_nothing_is_rejected_without_an_algorithm():
    assert not find_outliers(*jobs_input(), params=OutlierParams(algorithm="null")).any()


@pytest.mark.parametrize("algorithm", ["mcd", "tukey"])
def test_any_number_of_workers_finds_the_same_outliers(algorithm):
    params = OutlierParams(algorithm=algorithm)
    with Threads(3) as executor:
        together = find_outliers(*jobs_input(), params=params, executor=executor)
    alone = find_outliers(*jobs_input(), params=params)
    assert alone.any()
    np.testing.assert_array_equal(together, alone)
