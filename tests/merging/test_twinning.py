"""Twin statistics of crystals that are not twinned, wholly twinned, and noisy."""

import gemmi
import numpy as np
import pytest

from puredials.merging import twin_statistics
from puredials.merging.equivalents import Merged, find_equivalents


def statistics_of(intensity, hkl, cell, sigma=0.01):
    """Statistics of these intensities."""
    groups = find_equivalents(hkl, gemmi.SpaceGroup("P 1"))
    values = np.empty(len(groups))
    values[groups.group] = intensity
    mean = Merged(values, np.full(len(values), sigma), np.ones(len(values), np.int64))
    d = np.asarray(cell.calculate_d_array(groups.hkl), dtype=np.float64)
    return twin_statistics(groups, mean, d)


@pytest.fixture(scope="module")
def unique():
    cell = gemmi.UnitCell(40, 45, 50, 90, 90, 90)
    return gemmi.make_miller_array(cell, gemmi.SpaceGroup("P 1"), 3.0).astype(np.int32), cell


def wilson(n, seed=0):
    return np.random.default_rng(seed).exponential(size=n)


def test_an_untwinned_crystal_has_half_and_two(unique):
    hkl, cell = unique
    found = statistics_of(wilson(len(hkl)), hkl, cell)
    assert found is not None
    assert found.mean_l == pytest.approx(0.5, abs=0.01)
    assert found.mean_l2 == pytest.approx(1 / 3, abs=0.01)
    assert found.moment.mean() == pytest.approx(2, abs=0.1)
    np.testing.assert_allclose(found.share, found.level, atol=0.02)


def test_a_perfect_twin_has_three_eighths_and_one_and_a_half(unique):
    hkl, cell = unique
    twin = (wilson(len(hkl)) + wilson(len(hkl), 1)) / 2
    found = statistics_of(twin, hkl, cell)
    assert found is not None
    assert found.mean_l == pytest.approx(3 / 8, abs=0.01)
    assert found.mean_l2 == pytest.approx(1 / 5, abs=0.01)
    assert found.moment.mean() == pytest.approx(1.5, abs=0.1)
    np.testing.assert_allclose(found.share, found.level * (3 - found.level**2) / 2, atol=0.02)


def test_neither_scale_nor_fall_off_matter(unique):
    hkl, cell = unique
    intensity = wilson(len(hkl))
    fall = np.exp(-10 / cell.calculate_d_array(hkl) ** 2)
    plain, fallen = (statistics_of(i, hkl, cell) for i in (intensity, 1000 * fall * intensity))
    assert plain is not None
    assert fallen is not None
    assert fallen.mean_l == pytest.approx(plain.mean_l, abs=0.01)


def test_noise_is_left_out_and_taken_off_the_moments(unique):
    hkl, cell = unique
    d = np.asarray(cell.calculate_d_array(hkl))
    intensity = wilson(len(hkl)) * np.where(d > 3.8, 1, 0.001)
    noise = np.random.default_rng(3).normal(size=len(hkl)) * 0.1
    found = statistics_of(intensity + noise, hkl, cell, sigma=0.1)
    assert found is not None
    assert found.mean_l == pytest.approx(0.5, abs=0.05)
    assert found.moment.mean() == pytest.approx(2, abs=0.15)
    assert (found.s_squared < 3.7**-2).all()


def test_too_few_reflections_say_nothing(unique):
    hkl, cell = unique
    assert statistics_of(wilson(len(hkl)), hkl, cell, sigma=1e3) is None
