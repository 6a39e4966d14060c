"""Levels of Poisson counts and what their neighbours add."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from puredials.kernels.local_levels import local_levels

NEIGHBOURS = 24


def _places(n=1500, seed=0):
    return np.random.default_rng(seed).random((n, 3)) * [20.0, 20.0, 2.0]


def _best(places, level, pixels, rows=None, fewest=12, kernel=local_levels):
    rows = np.arange(len(level)) if rows is None else rows
    _, near = cKDTree(places).query(places[rows], k=NEIGHBOURS + 1)
    best, variance = level[rows], np.maximum(level, 0.5 / pixels)[rows] / pixels[rows]
    kernel(rows, near, places, level, pixels, fewest, best, variance)
    return best, variance


def _drawn(true, seed=1):
    """Levels of true means, from 300 to 2000 counts each."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(300, 2000, len(true)).astype(np.float64)
    return rng.poisson(true * pixels) / pixels, pixels


@pytest.mark.parametrize("mean", [0.01, 0.3, 20.0])
def test_levels_that_vary_smoothly_become_twice_as_certain_and_say_so(mean):
    places = _places()
    true = mean * (1 + 0.02 * places[:, 0] - 0.01 * places[:, 1] + 0.05 * places[:, 2])
    level, pixels = _drawn(true)
    best, variance = _best(places, level, pixels)
    own, shared = level - true, best - true
    assert shared.std() < 0.55 * own.std()
    assert abs(shared.mean()) < 0.1 * own.std()
    assert 0.85 < np.std(shared / np.sqrt(variance)) < 1.15


def test_levels_with_a_structure_of_their_own_keep_to_themselves():
    places = _places()
    true = 0.5 * np.exp(np.random.default_rng(5).normal(size=len(places)) * 0.5)
    level, pixels = _drawn(true)
    best, variance = _best(places, level, pixels)
    assert np.median(np.abs(best - level) / np.sqrt(variance)) < 0.1
    assert 0.9 < np.std((best - true) / np.sqrt(true / pixels)) < 1.1


def test_an_alien_keeps_its_level_and_does_not_spoil_its_neighbours():
    places = _places()
    level, pixels = _drawn(np.full(len(places), 0.4))
    calm, variance = _best(places, level, pixels)
    level[700] = 4.0
    best, _ = _best(places, level, pixels)
    assert best[700] == 4.0
    others = np.arange(len(level)) != 700
    assert np.count_nonzero(best[others] != calm[others]) > 10
    assert (best[others] - 0.4).std() < 1.05 * (calm[others] - 0.4).std()
    assert (np.abs(best - calm)[others] < np.sqrt(variance[others])).mean() > 0.99


def test_a_level_on_the_plane_of_its_neighbours_stays():
    places = _places(200)
    level, pixels = 3 + places @ [0.1, -0.05, 0.2], np.full(200, 1000.0)
    best, variance = _best(places, level, pixels)
    np.testing.assert_allclose(best, level, rtol=1e-5)
    assert (variance < 0.5 * level / pixels).all()


def test_neighbours_on_one_image_and_one_ring_are_enough():
    places = _places(200)
    places[:, [0, 2]] = 7.0
    level, pixels = _drawn(np.full(200, 0.4))
    best, _ = _best(places, level, pixels)
    assert (best - 0.4).std() < 0.6 * (level - 0.4).std()


def test_too_few_neighbours_change_nothing():
    places = _places(9)
    level, pixels = np.array([0.0, *np.full(8, 0.2)]), np.full(9, 100.0)
    best, variance = _best(places, level, pixels)
    np.testing.assert_array_equal(best, level)
    np.testing.assert_array_equal(variance, [0.5 / 100 / 100, *np.full(8, 0.2 / 100)])


def test_no_counts_at_all_are_no_level_of_certain_zero():
    places = _places(100)
    best, variance = _best(places, np.zeros(100), np.full(100, 50.0))
    np.testing.assert_allclose(best, 0, atol=0.5 / 50)
    assert (variance > 0).all()


def test_compiled_and_plain_python_agree():
    places = _places(60)
    level, pixels = _drawn(np.full(60, 0.4))
    expected = _best(places, level, pixels, kernel=local_levels.py_func)
    np.testing.assert_allclose(_best(places, level, pixels), expected, rtol=1e-9)
