"""Plots of anomalous differences on data whose differences are known."""

from dataclasses import replace

import numpy as np
import pytest

from puredials.merging.anomalous import anomalous_deviations, anomalous_halves, central_slope
from puredials.merging.equivalents import merge
from puredials.merging.params import MergeParams
from puredials.merging.tables import merging_statistics
from puredials.merging.unique import MergeResult, merge_data
from puredials.report import figures_of
from puredials.report.anomalous import anomalous_sections
from puredials.scaling import ScaleParams, scale
from scaling_synthetic import sweeps


@pytest.fixture(scope="module")
def merged():
    made = sweeps(images=180, d_min=3.0)
    result = scale(made.experiments, made.table, params=ScaleParams())
    return merge_data(result.experiments, result.table, params=MergeParams())


def with_signal(merged: MergeResult, signal: float) -> MergeResult:
    """Observations of errors 1 about +-signal / 2 times a normal deviate of each reflection, I+ and I-."""
    groups, rng = merged.equivalents, np.random.default_rng(5)
    half = signal / 2 * rng.normal(size=len(groups))[groups.group] * np.where(groups.plus, 1, -1)
    value = 100 + half + rng.normal(size=len(groups.group))
    observations = replace(merged.observations, value=value, variance=np.ones(len(value)))
    m = len(groups)
    sides = merge(value, observations.variance, groups.half, 2 * m)
    plus, minus = (replace(sides, value=sides.value[i::2], sigma=sides.sigma[i::2], count=sides.count[i::2])
                   for i in (0, 1))  # fmt: skip
    return replace(merged, observations=observations, plus=plus, minus=minus)


def test_without_signal_differences_are_normal_and_halves_agree_on_nothing(merged):
    none = with_signal(merged, 0.0)
    deviation, halves = anomalous_deviations(none), anomalous_halves(none)
    n = len(halves.first)
    assert n > 100
    assert deviation.std() == pytest.approx(1, abs=3 / np.sqrt(2 * len(deviation)))
    assert abs(halves.correlation) < 3 / np.sqrt(n)
    assert halves.ratio == pytest.approx(1, abs=3 / np.sqrt(n))


def test_signal_steepens_the_line_and_draws_the_cloud_out(merged):
    found = with_signal(merged, 3.0)
    deviation, halves = anomalous_deviations(found), anomalous_halves(found)
    assert deviation.std() > 2
    # Of halves with the variance e of their differences, and a signal of variance 9.
    e = float(np.mean((halves.first - halves.second) ** 2)) / 2
    assert halves.correlation == pytest.approx(9 / (9 + e), abs=0.1)
    assert halves.ratio == pytest.approx(np.sqrt((18 + e) / e), rel=0.2)


def test_the_correlation_of_the_halves_is_that_of_the_merging_statistics(merged):
    found = with_signal(merged, 1.0)
    assert anomalous_halves(found).correlation == pytest.approx(float(merging_statistics(found, 1).overall.cc_anom[0]))


def test_shells_hold_all_the_differences_and_signal_only_where_it_is(merged):
    whole = anomalous_halves(with_signal(merged, 3.0))
    middle = float(np.median(whole.d))
    low, high = whole.within(np.inf, middle), whole.within(middle, 0.0)
    np.testing.assert_array_equal(np.sort(np.concatenate([low.first, high.first])), np.sort(whole.first))
    assert min(low.ratio, high.ratio) < whole.ratio < max(low.ratio, high.ratio)
    assert min(low.ratio, high.ratio) > 1.5


def test_plots_say_what_was_measured_and_are_left_out_where_there_are_no_pairs(merged):
    found = with_signal(merged, 3.0)
    sections = {s.name: s for s in anomalous_sections(found, 5)}
    assert set(sections) == {"anomalous", "anomalous_probability", "anomalous_halves", "anomalous_ratio"}
    assert f"{anomalous_halves(found).correlation:.3f}" in sections["anomalous_halves"].text
    slope = central_slope(anomalous_deviations(found))
    assert slope > 2
    assert f"{slope:.2f}" in sections["anomalous_probability"].text
    plot = figures_of(list(sections.values()))["anomalous_probability"]["data"][0]
    assert np.polyfit(plot["x"], plot["y"], 1)[0] == pytest.approx(slope, rel=0.1)
    alone = replace(found.minus, value=np.full(len(found.hkl), np.nan), count=np.zeros(len(found.hkl), np.int64))
    assert [s.name for s in anomalous_sections(replace(found, minus=alone, F_plus=None), 5)] == []
