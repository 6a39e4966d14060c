"""Amplitudes from intensities: limits, exact integrals, and truth from simulated measurements."""

import numpy as np
import pytest
from scipy.integrate import quad

from puredials.merging.french_wilson import (
    amplitudes,
    flat_prior_amplitudes,
    local_mean_intensity,
    posterior_moments,
)


def exact_moments(h: float, a: float) -> list[float]:
    """By adaptive quadrature in t = sqrt(x)."""
    low, high = np.sqrt(max(h - 12, 0)), np.sqrt(h + 14 if h > -5 else 60 / -h)
    shift = h * h / 2 if h < 0 else 0
    m = [
        quad(lambda t, k=k: t ** (2 * a - 1 + k) * np.exp(-((t * t - h) ** 2) / 2 + shift), low, high, epsabs=0)[0]
        for k in (0, 1, 2, 4)
    ]
    mean, root = m[2] / m[0], m[1] / m[0]
    return [mean, np.sqrt(m[3] / m[0] - mean**2), root, np.sqrt(mean - root**2)]


@pytest.mark.parametrize("centric", [False, True])
@pytest.mark.parametrize("h", [-200.0, -41.0, -20.3, -4.01, -0.77, 0.512, 3.3, 8.98, 9.02, 25.5, 39.7, 41.0, 90.0])
def test_moments_of_the_posterior_are_those_of_exact_integrals(h: float, centric: bool) -> None:
    found = [float(v[0]) for v in posterior_moments(np.array([h]), np.array([centric]))]
    np.testing.assert_allclose(found, exact_moments(h, 0.5 if centric else 1.0), rtol=3e-4)


def test_strong_intensities_keep_their_square_root_and_error() -> None:
    value, s = np.array([1e4, 1e6]), np.array([50.0, 400.0])
    found = amplitudes(value, s, np.array([5e3, 1e6]), np.array([False, True]))
    np.testing.assert_allclose(found.F, np.sqrt(value), rtol=1e-3)
    np.testing.assert_allclose(found.sigma_F, s / (2 * np.sqrt(value)), rtol=1e-2)


def test_measurements_without_information_give_the_mean_of_the_prior() -> None:
    mean = np.full(2, 7.0)
    found = amplitudes(np.array([1.0, -2.0]), np.full(2, 1e4), mean, np.array([False, True]))
    np.testing.assert_allclose(found.J, mean, rtol=2e-3)
    np.testing.assert_allclose(found.F, np.sqrt(7) * np.array([np.sqrt(np.pi) / 2, np.sqrt(2 / np.pi)]), rtol=2e-3)


def test_only_impossible_measurements_are_rejected() -> None:
    found = amplitudes(np.array([-3.6, -3.8, np.nan]), np.ones(3), np.full(3, 0.01), np.zeros(3, bool))
    np.testing.assert_array_equal(found.rejected, [False, True, True])
    np.testing.assert_array_equal(np.isfinite(found.F), [True, False, False])


def test_amplitudes_scale_with_the_square_root_of_the_data() -> None:
    value, s, S = np.array([-1.0, 0.5, 9.0]), np.array([1.0, 2.0, 1.0]), np.array([3.0, 3.0, 3.0])
    centric = np.array([False, True, False])
    one, other = amplitudes(value, s, S, centric), amplitudes(100 * value, 100 * s, 100 * S, centric)
    np.testing.assert_allclose(other.F, 10 * one.F)
    np.testing.assert_allclose(other.sigma_F, 10 * one.sigma_F)


def simulated(n: int = 20000, seed: int = 5):
    rng = np.random.default_rng(seed)
    s_squared = rng.uniform(0.001, 0.4, n)
    S = 500 * np.exp(-15 * s_squared)
    centric = rng.random(n) < 0.2
    epsilon = np.where(rng.random(n) < 0.05, 2, 1)
    J = S * epsilon * np.where(centric, rng.chisquare(1, n), rng.exponential(1, n))
    s = np.sqrt(S + 30)  # of the mean, so that the error says nothing about J
    return J, J + rng.normal(size=n) * s, s, s_squared, S, epsilon, centric


def test_the_local_mean_is_found_even_where_it_is_far_below_the_noise() -> None:
    _, value, s, s_squared, S, epsilon, centric = simulated()
    found = local_mean_intensity(value, s, s_squared, epsilon, centric)
    assert (found > 0).all()
    assert np.median(np.abs(found / S - 1)) < 0.06
    weak = s_squared > 0.3
    assert abs(np.mean(found[weak]) / np.mean(S[weak]) - 1) < 0.1


def test_estimates_are_unbiased_and_closer_to_the_truth_than_naive_ones() -> None:
    J, value, s, s_squared, _, epsilon, centric = simulated()
    S = epsilon * local_mean_intensity(value, s, s_squared, epsilon, centric)
    found = amplitudes(value, s, S, centric)
    known = ~found.rejected
    error = (np.sqrt(J) - found.F)[known]
    assert abs(error.mean()) < 0.03 * error.std()
    assert abs((error / found.sigma_F[known]).std() - 1) < 0.05
    naive = np.sqrt(np.maximum(value, 0))
    assert error.std() < 0.9 * np.std((np.sqrt(J) - naive)[known])


def test_the_flat_prior_keeps_strong_amplitudes_and_makes_negative_ones_positive() -> None:
    found = flat_prior_amplitudes(np.array([1e4, -1.0, -9.0]), np.array([10.0, 1.0, 1.0]))
    np.testing.assert_allclose(found.F[0], 100, rtol=1e-4)
    np.testing.assert_allclose(found.sigma_F[0], 0.05, rtol=1e-2)
    assert found.F[1] > 0
    assert np.isnan(found.F[2])
