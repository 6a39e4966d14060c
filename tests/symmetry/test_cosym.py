"""Wedges of many crystals, each indexed in a setting of its own, come back in one setting."""

from dataclasses import replace

import numpy as np
import pytest
from wedge_sets import assert_one_true_setting, integrated_wedges

from puredials.errors import TooFewReflectionsError
from puredials.kernels.correlation import common_correlation
from puredials.symmetry import CosymParams, cosym, cosym_report


@pytest.mark.parametrize(
    ("symbol", "seed", "cell"),
    [
        ("P 3", 1, None),
        ("I 2 3", 2, None),
        ("R 3:H", 3, None),
        ("C 1 2 1", 4, (80, 40, 62, 90, 118, 90)),
        ("P 21 21 21", 5, (50, 50.3, 71, 90, 90, 90)),
        ("P 3 2 1", 6, None),
    ],
)
def test_all_wedges_get_one_setting_and_the_laue_group_of_the_crystal(symbol, seed, cell):
    wedges = integrated_wedges(symbol, seed=seed, cell=cell, n_wedges=4)
    result = cosym(wedges.experiments, wedges.table)
    assert not result.excluded
    assert_one_true_setting(wedges, result)
    assert "Reindexing operators" in cosym_report(result)


# The cells after the first groups have more symmetry, all but exactly, than the structures in them.
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 13))
@pytest.mark.parametrize(
    ("symbol", "cell"),
    [
        *((s, None) for s in ("P 3", "P 4", "P 6", "I 2 3", "R 3:H", "C 1 2 1", "P 1 21 1", "P 2 2 2", "P 21 21 21",
                              "P 3 2 1", "P 3 1 2", "R 3 2:H", "I 4", "P 2 3", "P 1")),
        ("P 1", (40, 40.2, 40.3, 89.8, 90.1, 90.2)),
        ("P 1 2 1", (50, 41, 50.4, 90, 98, 90)),
        ("P 1 21 1", (41, 52, 63, 90, 90.4, 90)),
        ("C 1 2 1", (80, 40, 62, 90, 118, 90)),
        ("P 21 21 21", (50, 50.3, 71, 90, 90, 90)),
    ],
)  # fmt: skip
def test_wedges_of_many_crystals_and_groups(symbol, seed, cell):
    wedges = integrated_wedges(symbol, seed=seed, cell=cell)
    result = cosym(wedges.experiments, wedges.table)
    assert not result.excluded
    assert_one_true_setting(wedges, result)


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["P 3", "I 2 3", "C 1 2 1", "P 21 21 21"])
def test_weak_wedges(symbol):
    wedges = integrated_wedges(symbol, seed=3, n_wedges=12, degrees=(10, 15), photons_at_4A=30.0, background=60.0)
    result = cosym(wedges.experiments, wedges.table)
    assert not result.excluded
    assert_one_true_setting(wedges, result)


def test_a_set_of_another_cell_is_left_out_with_the_reason():
    wedges = integrated_wedges("P 4", seed=7, n_wedges=4)
    experiments, table = wedges.experiments, wedges.table
    crystal = experiments[2].crystal
    assert crystal is not None
    odd = replace(experiments[2], crystal=replace(crystal, A=crystal.A * 0.8))
    result = cosym(experiments.with_items([*experiments[:2], odd, experiments[3]]), table)
    assert list(result.excluded) == [2]
    assert "differs from the median cell" in result.excluded[2]
    assert result.experiments.identifiers == ("wedge-0", "wedge-1", "wedge-3")
    assert set(np.unique(result.reflections["id"])) == {0, 1, 2}


def test_of_as_many_sets_of_two_cells_the_first_kind_is_kept():
    wedges = integrated_wedges("P 4", seed=7, n_wedges=4)
    items = [replace(e, crystal=e.crystal and replace(e.crystal, A=e.crystal.A * 0.8)) for e in wedges.experiments]
    mixed = wedges.experiments.with_items([*wedges.experiments[:2], *items[2:]])
    result = cosym(mixed, wedges.table)
    assert list(result.excluded) == [2, 3]
    assert result.experiments.identifiers == ("wedge-0", "wedge-1")


def test_a_set_that_shares_no_reflections_with_the_others_is_left_out_with_the_reason():
    wedges = integrated_wedges("P 4", seed=7, n_wedges=4)
    experiments, table = wedges.experiments, wedges.table
    h = np.abs(table["miller_index"]).max(axis=1)
    low = h <= np.quantile(h, 0.6)
    result = cosym(experiments, table.select(low == (table["id"] != 3)))
    assert list(result.excluded) == [3]
    assert "common" in result.excluded[3]
    assert result.experiments.identifiers == ("wedge-0", "wedge-1", "wedge-2")


def test_sets_of_which_no_two_share_reflections_are_refused():
    wedges = integrated_wedges("P 4", seed=7, n_wedges=2)
    experiments, table = wedges.experiments, wedges.table
    h = np.abs(table["miller_index"]).max(axis=1)
    with pytest.raises(TooFewReflectionsError, match="common"):
        cosym(experiments, table.select((h <= np.quantile(h, 0.6)) == (table["id"] == 0)))


def test_the_kernel_correlates_what_is_common():
    rng = np.random.default_rng(2)
    a, b = np.sort(rng.choice(100, 60, replace=False)), np.sort(rng.choice(100, 50, replace=False))
    x, y, u, v = rng.normal(size=60), rng.normal(size=50), rng.uniform(size=60), rng.uniform(size=50)
    _, i, j = np.intersect1d(a, b, return_indices=True)
    out = np.zeros(2)
    common_correlation(a, x, u, b, y, v, out)
    w = u[i] * v[j]
    c = np.cov(x[i], y[j], aweights=w)
    np.testing.assert_allclose(out, [c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]), w.sum() ** 2 / (w**2).sum()])
    common_correlation(a, x, np.ones(60), b, y, np.ones(50), out)
    np.testing.assert_allclose(out, [np.corrcoef(x[i], y[j])[0, 1], len(i)])


def test_images_that_the_user_leaves_out_do_not_count():
    wedges = integrated_wedges("P 4", seed=7, n_wedges=4)
    z = np.random.default_rng(1).uniform(0, 10, wedges.table.n_rows)
    table = wedges.table.with_columns({"xyzobs.px.value": np.column_stack([z, z, z])})
    late = (table["id"] == 1) & (z >= 5)
    last = wedges.experiments[1].scan.image_range[1]
    without = cosym(wedges.experiments, table.select(~late))
    result = cosym(wedges.experiments, table, params=CosymParams(exclude_images=(f"wedge-1:6:{last}",)))
    assert result.analysis.n_observations == without.analysis.n_observations
    assert result.experiments[1].scan.valid_image_ranges == {"wedge-1": [[1, 5]]}
    assert result.reflections.n_rows == table.n_rows
