"""Data sets and images that do not agree with the rest are found, and good ones are left alone."""

import itertools
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puredials.errors import ParameterError
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.scaling import DeltaCCHalfParams, ScaleParams, delta_cc_half, scale_and_filter, without_groups
from puredials.scaling.leave_out import low_outliers
from puredials.scaling.leave_out_tables import delta_cc_half_report, delta_cc_half_summary, filter_report
from puredials.sets import on_valid_images
from scaling_synthetic import Sweeps, sweeps


def scaled_sweeps(n_sweeps: int, *, images: int = 60, seed: int = 1) -> Sweeps:
    """As after scaling: the true scales are known."""
    data = sweeps(n_sweeps=n_sweeps, images=images, d_min=3.0, share=0.5, seed=seed)
    value, variance = (data.table[f"intensity.prf.{what}"] for what in ("value", "variance"))
    lp = data.table["lp"]
    flags = data.table["flags"] | np.uint64(Flags.SCALED)
    columns = {
        "intensity.scale.value": value * lp,
        "intensity.scale.variance": (variance + (0.02 * value) ** 2) * lp**2,
        "inverse_scale_factor": data.scale,
        "flags": flags,
    }
    return replace(data, table=data.table.with_columns(columns))


def spoiled(table: ReflectionTable, rows: np.ndarray, name: str, share: float = 0.7) -> ReflectionTable:
    """Some reflections have intensities of others instead of their own."""
    rng = np.random.default_rng(5)
    rows = np.flatnonzero(rows)
    rows = rows[rng.random(len(rows)) < share]
    other = rng.permutation(rows)
    columns = {f"{n}.{what}": table[f"{n}.{what}"].copy() for n in name.split() for what in ("value", "variance")}
    for values in columns.values():
        values[rows] = values[other]
    return table.with_columns(columns)


def directly(data: Sweeps, edges: np.ndarray, without: np.ndarray | None = None) -> list[float]:
    """Mean CC1/2 by the formulas, reflection by reflection: of all; or with and without some rows, of the same ones."""
    out = np.zeros(data.table.n_rows, bool) if without is None else without
    table = data.table
    group, cell = gemmi.SpaceGroup("P 4"), data.experiments[0].crystal.unit_cell
    asu, operations = gemmi.ReciprocalAsu(group), group.operations()
    unique: dict[tuple[int, ...], list[tuple[float, bool]]] = {}
    values = table["intensity.scale.value"] / table["inverse_scale_factor"]
    for hkl, value, gone in zip(table["miller_index"].tolist(), values, out, strict=True):
        unique.setdefault(tuple(asu.to_asu(hkl, operations)[0]), []).append((value, gone))
    repeated = {h: v for h, v in unique.items() if sum(not gone for _, gone in v) > 1}
    found = []
    for take in (lambda gone: True, lambda gone: not gone):
        total, count = 0.0, 0
        for high, low in itertools.pairwise(edges):
            here = [[x for x, gone in v if take(gone)]
                    for h, v in repeated.items() if low < cell.calculate_d(h) <= high]  # fmt: skip
            y = np.var([np.mean(v) for v in here], ddof=1)
            error = np.mean([np.var(v, ddof=1) / (len(v) / 2) for v in here])
            total += len(here) * (y - error / 2) / (y + error / 2)
            count += len(here)
        found.append(total / count)
    return found


@pytest.mark.parametrize("mode", ["dataset", "image_group"])
def test_all_groups_left_out_at_once_are_as_left_out_one_by_one(mode):
    data = scaled_sweeps(3)
    found = delta_cc_half(data.experiments, data.table, params=DeltaCCHalfParams(mode=mode, group_size=25, nbins=4))
    assert found.cc_half == pytest.approx(directly(data, found.edges)[0], abs=1e-10)
    for k in (0, len(found.groups) - 1):
        expected = directly(data, found.edges, found.group == k)
        assert [found.including[k], found.excluding[k]] == pytest.approx(expected, abs=1e-10)


def test_groups_of_images_are_those_of_the_valid_ones_and_a_short_rest_joins_the_last():
    data = scaled_sweeps(2, images=64)
    params = DeltaCCHalfParams(mode="image_group", group_size=10)
    groups = delta_cc_half(data.experiments, data.table, params=params).groups
    assert [(g.first, g.last) for g in groups if g.experiment == 1] == [
        (1, 10), (11, 20), (21, 30), (31, 40), (41, 50), (51, 64)]  # fmt: skip
    experiments, table = without_groups(data.experiments, data.table, [groups[0], groups[2]])
    table = table.select(on_valid_images(experiments, table))
    groups = delta_cc_half(experiments, table, params=params).groups
    assert [(g.first, g.last) for g in groups if g.experiment == 0] == [(11, 20), (31, 40), (41, 50), (51, 64)]


# Of few sets it takes more to stand out, or a lower stdcutoff.
@pytest.mark.parametrize(("n_sweeps", "stdcutoff"), [(4, 3.0), (12, 4.0)])
def test_a_spoiled_data_set_is_found_and_good_ones_are_left_alone(n_sweeps, stdcutoff):
    data = scaled_sweeps(n_sweeps, images=30)
    params = DeltaCCHalfParams(stdcutoff=stdcutoff)
    good = delta_cc_half(data.experiments, data.table, params=params)
    assert not good.bad.any()
    table = spoiled(data.table, data.table["id"] == 2, "intensity.scale")
    found = delta_cc_half(data.experiments, table, params=params)
    assert np.flatnonzero(found.bad).tolist() == [2]
    assert "*" in delta_cc_half_report(found)
    assert [g["bad"] for g in delta_cc_half_summary(found)["groups"]] == found.bad.tolist()
    experiments, left = without_groups(data.experiments, table, [found.groups[2]])
    assert "sweep-2" not in experiments.identifiers
    assert "sweep-2" not in left.identifiers.values()
    assert left.n_rows == (table["id"] != 2).sum()


def test_spoiled_images_are_found_and_good_ones_are_left_alone():
    data = scaled_sweeps(2, images=200)
    params = DeltaCCHalfParams(mode="image_group", group_size=10)
    assert not delta_cc_half(data.experiments, data.table, params=params).bad.any()
    z = data.table["xyzobs.px.value"][:, 2]
    table = spoiled(data.table, (data.table["id"] == 1) & (z >= 50) & (z < 70), "intensity.scale")
    found = delta_cc_half(data.experiments, table, params=params)
    bad = [(g.experiment, g.first, g.last) for g, out in zip(found.groups, found.bad, strict=True) if out]
    assert bad == [(1, 51, 60), (1, 61, 70)]


def test_two_groups_cannot_tell_which_is_bad():
    data = scaled_sweeps(2, images=30)
    with pytest.raises(ParameterError, match=r"there are 2: give more data, or mode=image_group"):
        delta_cc_half(data.experiments, data.table)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(20, 100), st.integers(0, 3))
def test_outliers_do_not_hide_each_other_and_normal_values_are_none(seed, n, n_bad):
    values = np.random.default_rng(seed).normal(size=n)
    values[:n_bad] -= 30
    mean, std, cutoff = low_outliers(values, 5.0)
    assert (np.flatnonzero(values < cutoff) < n_bad).all()
    assert (values < cutoff).sum() == n_bad
    assert abs(mean) < 1
    assert 0.5 < std < 2


def test_of_many_values_the_limit_is_that_many_standard_deviations_below_the_mean():
    values = np.random.default_rng(1).normal(size=20_000)
    mean, std, cutoff = low_outliers(values, 5.0)
    assert cutoff == pytest.approx(mean - 5 * std, rel=0.01)


def filtered(experiments: Experiments, table: ReflectionTable, *, rejection: str | None = "standard", **rules):
    params = ScaleParams.model_validate(
        {
            "scaling_options": {"outlier_rejection": rejection},
            "filtering": {"method": "deltacchalf", "deltacchalf": rules},
        }
    )
    return scale_and_filter(experiments, table, params=params)


def test_scaling_and_filtering_removes_the_spoiled_data_set_and_ends():
    data = sweeps(n_sweeps=12, images=30, d_min=3.0, share=0.5)
    table = spoiled(data.table, data.table["id"] == 5, "intensity.prf intensity.sum")
    found = filtered(data.experiments, table)
    assert found.reason == "no_more_removed"
    assert [[g.experiment for g in c.removed] for c in found.cycles] == [[5], []]
    assert found.scaled.experiments.identifiers == tuple(f"sweep-{k}" for k in range(12) if k != 5)
    assert found.cycles[-1].analysis.cc_half > found.cycles[0].analysis.cc_half
    assert "no data disagree" in filter_report(found)


def test_filtering_leaves_images_out_of_the_scans():
    data = sweeps(n_sweeps=1, images=180, d_min=3.0, share=0.6)
    z = data.table["xyzobs.px.value"][:, 2]
    table = spoiled(data.table, (z >= 60) & (z < 70), "intensity.prf intensity.sum", share=1.0)
    found = filtered(data.experiments, table, mode="image_group")
    assert found.scaled.experiments[0].scan.valid_image_ranges == {"sweep-0": [[1, 60], [71, 180]]}
    out = found.scaled.table.has(Flags.USER_EXCLUDED_IN_SCALING)
    np.testing.assert_array_equal(out, (z >= 60) & (z < 70))


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"max_percent_removed": 5.0}, "max_percent_removed"),
        ({"min_completeness": 99.9}, "below_completeness_limit"),
        ({"max_cycles": 1}, "max_cycles"),
    ],
)
def test_filtering_keeps_within_its_limits(rules, reason):
    data = sweeps(n_sweeps=8, images=30, d_min=4.0, share=0.4)
    bad = data.table["id"] == 1
    table = spoiled(data.table, bad, "intensity.prf intensity.sum")
    table = table.select(bad | (np.abs(table["miller_index"][:, 2]) != 7))  # which only the bad data set has
    found = filtered(data.experiments, table, rejection=None, **{"max_percent_removed": 50.0, **rules})
    assert found.reason == reason
    assert [bool(c.removed) for c in found.cycles] == [reason == "max_cycles"]
