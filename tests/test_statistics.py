"""Merging statistics: limits, sums that add, and brute force."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puredials.statistics import (
    Correlation,
    MergingSums,
    equal_volume_shells,
    half_sets,
    merging_sums,
    pearson,
    shell_numbers,
)


def observations(seed: int = 1, m: int = 300, noise: float = 0.1, most: int = 9):
    """n observations of m acentric reflections in 4 shells; some reflections have one observation, some none."""
    rng = np.random.default_rng(seed)
    true = rng.exponential(100, m)
    group = np.repeat(np.arange(m), rng.integers(0, most, m))
    sigma = noise * 100 * rng.uniform(0.5, 2, len(group))
    value = true[group] + sigma * rng.normal(size=len(group))
    return value, sigma**2, group, rng.random(len(group)) < 0.5, np.arange(m) % 4, np.zeros(m, dtype=bool)


def same(first: MergingSums, second: MergingSums, rtol: float = 1e-9) -> None:
    for f in fields(MergingSums):
        a, b = getattr(first, f.name), getattr(second, f.name)
        pairs = (
            [(getattr(a, g.name), getattr(b, g.name)) for g in fields(a)] if isinstance(a, Correlation) else [(a, b)]
        )
        for x, y in pairs:
            np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-9 * np.abs(y).max(initial=1), err_msg=f.name)


@given(seed=st.integers(0, 10_000), cut=st.integers(1, 299))
@settings(max_examples=25)
def test_sums_of_two_sets_of_reflections_add_to_those_of_both(seed, cut):
    value, variance, group, plus, shell, centric = observations(seed)
    every = merging_sums(value, variance, group, plus, shell, centric, 4)
    low = group < cut
    parts = [
        merging_sums(value[which], variance[which], group[which] - shift, plus[which], shell[part], centric[part], 4)
        for which, part, shift in ((low, slice(None, cut), 0), (~low, slice(cut, None), cut))
    ]
    same(parts[0] + parts[1], every)


def test_shells_add_to_the_overall_value():
    value, variance, group, plus, shell, centric = observations()
    shells = merging_sums(value, variance, group, plus, shell, centric, 4)
    same(shells.total(), merging_sums(value, variance, group, plus, np.zeros_like(shell), centric, 1))


def test_the_order_of_the_observations_does_not_matter():
    value, variance, group, plus, shell, centric = observations()
    order = np.random.default_rng(2).permutation(len(value))
    first = merging_sums(value, variance, group, plus, shell, centric, 4)
    same(merging_sums(value[order], variance[order], group[order], plus[order], shell, centric, 4), first)


def test_r_factors_are_those_of_a_plain_loop():
    value, variance, group, plus, shell, centric = observations()
    found = merging_sums(value, variance, group, plus, shell, centric, 4).total()
    top = {"merge": 0.0, "meas": 0.0, "pim": 0.0}
    bottom = anomalous = pairs = 0.0
    for h in np.unique(group):
        here = group == h
        n = here.sum()
        mean = np.average(value[here], weights=1 / variance[here])
        if n > 1:
            off = np.abs(value[here] - mean).sum()
            top = {"merge": top["merge"] + off, "meas": top["meas"] + off * np.sqrt(n / (n - 1)),
                   "pim": top["pim"] + off * np.sqrt(1 / (n - 1))}  # fmt: skip
            bottom += value[here].sum()
        sides = [here & plus, here & ~plus]
        if all(s.any() for s in sides):
            a, b = (np.average(value[s], weights=1 / variance[s]) for s in sides)
            anomalous, pairs = anomalous + abs(a - b), pairs + (a + b) / 2
    for name, value_of in top.items():
        np.testing.assert_allclose(getattr(found, f"r_{name}"), value_of / bottom)
    np.testing.assert_allclose(found.r_anom, anomalous / pairs)
    assert found.multiplicity[0] == pytest.approx(len(value) / len(np.unique(group)))


def test_centric_reflections_have_no_anomalous_statistics():
    value, variance, group, _, shell, centric = observations()
    found = merging_sums(value, variance, group, np.ones(len(value), bool), shell, ~centric, 4).total()
    assert found.n_pairs[0] == 0
    assert np.isnan(found.r_anom[0])
    np.testing.assert_allclose(found.r_merge_sides, found.r_merge)


def test_cc_half_is_one_for_perfect_data_and_zero_for_noise():
    _, variance, group, plus, shell, centric = observations(m=3000)
    true = np.random.default_rng(3).exponential(100, 3000)
    perfect = merging_sums(true[group], variance, group, plus, shell, centric, 4).total()
    assert perfect.cc_half[0] == pytest.approx(1)
    assert perfect.cc_half_sigma_tau[0] == pytest.approx(1)
    noise = np.random.default_rng(4).normal(size=len(group))
    nothing = merging_sums(noise, np.ones(len(group)), group, plus, shell, centric, 4).total()
    assert abs(nothing.cc_half[0]) < 0.06
    assert abs(nothing.cc_half_sigma_tau[0]) < 0.06
    assert not nothing.half.significant(1e-4)[0]
    assert perfect.half.significant(0.01)[0]


def test_both_kinds_of_cc_half_agree_on_noisy_data():
    value, variance, group, plus, shell, centric = observations(m=4000, noise=1.0)
    found = merging_sums(value, variance, group, plus, shell, centric, 4).total()
    assert 0.5 < found.cc_half[0] < 0.95
    assert found.cc_half_sigma_tau[0] == pytest.approx(found.cc_half[0], abs=0.04)


def test_a_large_mean_costs_correlations_no_digits():
    rng = np.random.default_rng(5)
    x = rng.normal(size=500)
    y = x + 0.5 * rng.normal(size=500)
    assert pearson(x + 1e8, y - 1e8) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    assert np.isnan(pearson(np.ones(5), x[:5]))


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=40), seed=st.integers(0, 1000))
@settings(max_examples=40)
def test_half_sets_are_balanced_and_follow_the_observations(counts, seed):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(counts)), counts)
    value = rng.normal(size=len(group))
    half = half_sets(value, group)
    second = np.bincount(group, half)
    assert (np.abs(2 * second - counts) <= 1).all()
    order = rng.permutation(len(group))
    assert (half_sets(value[order], group[order]) == half[order]).all()


def test_shells_have_equal_volume_and_hold_all_reflections():
    edges = equal_volume_shells(50.0, 1.5, 10)
    np.testing.assert_allclose(np.diff(edges**-3.0), np.diff(edges**-3.0).mean())
    d = np.array([50.0, 1.5, 3.0, 60.0, 1.4])
    shell = shell_numbers(d, edges)
    assert shell[0] == 0
    assert shell[1] == 9
    assert (shell[3:] == -1).all()
    assert edges[shell[2]] >= 3.0 >= edges[shell[2] + 1]


def test_two_pairs_have_no_correlation_however_they_lie():
    x, y = np.array([1.0, 2.0, 1.0, 2.0, 3.0]), np.array([5.0, 4.0, 1.0, 2.0, 3.0])
    found = Correlation.of(x, y, np.array([0, 0, 1, 1, 1]), 2)
    np.testing.assert_allclose(found.coefficient, [np.nan, 1.0])
