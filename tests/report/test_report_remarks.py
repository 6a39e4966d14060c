"""Each remark is made where what it says is true, and not on data that are as they should be."""

import re

import gemmi
import numpy as np
import pytest
from report_set import IMAGES, data, one_experiment

from puredials.merging.tables import MergingStatistics
from puredials.merging.twinning import TwinStatistics
from puredials.model import Crystal, Experiments, Flags
from puredials.report import remarks as on
from puredials.report import report
from puredials.report.along import Along, find_step
from puredials.report.crystals import crystal_course
from puredials.report.damage import PairwiseR
from puredials.report.scaling import outlier_share
from puredials.statistics import merging_sums

RNG = np.random.default_rng(5)


def texts(experiments, table):
    return {r.plot: r.text for r in report(experiments, table).remarks}


def changed(table, name, function):
    values = table[name].copy()
    return table.with_columns({name: function(values)})


@pytest.mark.parametrize("integrated", [False, True])
def test_good_data_get_no_remarks(integrated):
    assert texts(*data(integrated=integrated)) == {}


def test_rmsd_that_rises_is_told_with_its_image_and_levels():
    experiments, table = data()
    late = table["xyzcal.px"][:, 2] > 150
    off = table["xyzobs.px.value"] - table["xyzcal.px"]
    worse = table.with_columns({"xyzobs.px.value": table["xyzcal.px"] + off * np.where(late, 2.0, 1.0)[:, None]})
    (remark,) = (r.text for r in report(experiments, worse).remarks if "RMSD in x" in r.text)
    image, before, after = map(float, re.findall(r"[\d.]*\d", remark))
    assert "rises after image" in remark
    assert abs(image - 150) <= 4
    np.testing.assert_allclose([before, after], [0.2, 0.4], rtol=0.03)


def test_residuals_that_are_large_at_the_ends_of_the_scan_alone_are_as_usual():
    experiments, table = data()
    z, n = table["xyzcal.px"][:, 2], IMAGES
    off = table["xyzobs.px.value"] - table["xyzcal.px"]
    at_ends = np.where((z < 0.06 * n) | (z > 0.94 * n), 2.0, 1.0)[:, None]
    worse = table.with_columns({"xyzobs.px.value": table["xyzcal.px"] + off * at_ends})
    assert not [r for r in report(experiments, worse).remarks if "RMSD" in r.text]


def test_images_with_few_spots_are_named():
    experiments, table = data(integrated=False)
    image = np.floor(table["xyzobs.px.value"][:, 2])
    gone = np.isin(image, (77, 78)) & (np.arange(table.n_rows) % 4 != 0)
    remark = texts(experiments, table.select(~gone))["spots_per_image"]
    assert remark.startswith("Few spots on images 78, 79: ")


def test_a_fall_of_the_number_of_spots_is_told():
    experiments, table = data(integrated=False)
    gone = (table["xyzobs.px.value"][:, 2] > 100) & (np.arange(table.n_rows) % 3 != 0)
    assert "falls after image 10" in texts(experiments, table.select(~gone))["spots_per_image"]


def test_spots_that_are_not_indexed_are_told():
    experiments, table = data(integrated=False)
    lost = np.arange(table.n_rows) % 2 == 0
    flags = np.where(lost, np.uint64(Flags.STRONG), table["flags"])
    ids = np.where(lost, -1, table["id"]).astype(np.int32)
    remark = texts(experiments, table.with_columns({"flags": flags, "id": ids}))["indexed_share"]
    assert "Only 50 % of the 199" in remark


def test_sets_that_are_indexed_worse_than_others_are_named():
    def share(number, value):
        return Along(number, np.arange(10.0), 1, np.full(10, value), np.full(10, 50.0), np.full(10, 0.01))

    assert on.of_uneven_indexing([share(0, 0.9), share(1, 0.95)]) == []
    assert on.of_uneven_indexing([share(0, 0.1), share(1, 0.2)]) == []  # all are bad: no matter of single sets
    (remark,) = on.of_uneven_indexing([share(0, 0.1), share(1, 0.95), share(2, 0.2)])
    assert remark.text.startswith("Of data sets 0, 2 15 % of the spots are indexed")


def test_residuals_by_place_on_the_detector_are_told():
    experiments, table = data()
    bent = changed(table, "xyzobs.px.value", lambda v: v + np.array([1, 0, 0]) * 0.2 * np.sign(v[:, :1] - 500))
    remarks = texts(experiments, bent)
    assert re.search(r"by 0\.(19|20) px", remarks["residual_map_x"])
    assert "residual_map_y" not in remarks


def varying(lengths, turns):
    """The course of a crystal with lengths a (k,) and turns (k,) in degrees about x."""
    points = []
    for a, turn in zip(lengths, np.radians(turns), strict=True):
        B = np.array(gemmi.UnitCell(a, 50, 60, 90, 90, 90).frac.mat.tolist()).T
        R = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
        points.append(R @ B)
    crystal = Crystal(points[len(points) // 2], "P 1", A_at_scan_points=np.array(points))
    course = crystal_course(0, one_experiment(crystal))
    assert course is not None
    return course


def test_cell_and_orientation_that_change_are_told():
    n = IMAGES + 1
    quiet = varying(np.linspace(40, 40.01, n), np.linspace(-0.05, 0.05, n))
    assert on.of_cell([quiet]) == on.of_orientation([quiet]) == []
    grown = varying(np.linspace(40, 40.6, n), np.linspace(-0.5, 0.5, n))
    (cell,), (turn,) = on.of_cell([grown]), on.of_orientation([grown])
    assert "Cell length a changes by 1.5 % along the scan (40.000 to 40.600 Å)" in cell.text
    assert "turns by 1.00° about the rotation axis" in turn.text


def test_the_course_of_a_crystal_is_about_axis_and_beam():
    course = varying(np.full(IMAGES + 1, 40.0), np.linspace(-1, 1, IMAGES + 1))
    np.testing.assert_allclose(course.rotation[[0, -1]], [[-1, 0, 0], [1, 0, 0]], atol=1e-9)
    assert course.image[0] == 0.5
    assert course.image[-1] == IMAGES + 0.5


def test_bad_profiles_of_strong_reflections_are_told():
    experiments, table = data()
    worse = changed(table, "profile.correlation", lambda v: v - 0.4)
    assert "median correlation is 0.5" in texts(experiments, worse)["profile_correlation_i_over_sigma"]


def test_a_fall_of_the_signal_is_told():
    experiments, table = data()
    late = table["xyzcal.px"][:, 2] > 100
    for kind in ("sum", "prf"):
        table = changed(table, f"intensity.{kind}.value", lambda v: np.where(late, v / 3, v))
    assert "I/σ falls after image 100" in texts(experiments, table)["i_over_sigma_scan"]


def test_a_step_of_the_background_is_told():
    experiments, table = data()
    late = table["xyzcal.px"][:, 2] > 100
    brighter = changed(table, "background.mean", lambda v: np.where(late, 2 * v, v))
    assert "rises after image 100" in texts(experiments, brighter)["background_scan"]


def test_ice_rings_are_told_by_their_resolution():
    experiments, table = data(60_000)
    ring = np.any([np.abs(1 / table["d"] ** 2 - d**-2) < 0.004 for d in (3.90, 2.67, 2.25)], axis=0)
    icy = changed(table, "background.mean", lambda v: np.where(ring, 1.6 * v, v))
    assert "ice rings, at 3.90, 2.67, 2.25 Å" in texts(experiments, icy)["background_resolution"]


def test_a_beam_that_flickers_is_told_by_how_much():
    image, count, error = np.arange(1.0, 201), np.full(200, 40.0), np.full(200, 0.01)
    steady = RNG.normal(size=200) * 0.01
    assert on.of_flicker([Along(0, image, 1, steady, count, error)]) == []
    spoilt = np.where(image < 20, -0.9, steady)
    assert on.of_flicker([Along(0, image, 1, spoilt, count, error)]) == []
    drift = steady + 0.1 * np.sin(image / 40)
    assert on.of_flicker([Along(0, image, 1, drift, count, error)]) == []
    flicker = steady + RNG.normal(size=200) * 0.1
    (remark,) = on.of_flicker([Along(0, image, 1, flicker, count, error)])
    percent = int(remark.text.split("differ by ")[1].split()[0])
    assert 8 <= percent <= 12
    assert on.of_flicker([Along(0, image, 1, flicker, count * 0 + 2, error)]) == []


def test_overloads_are_told_where_they_are():
    experiments, table = data()
    few = np.flatnonzero(table["d"] > 4)[:5]
    strong = np.flatnonzero(table["d"] > 4)[::3]
    for rows in (few, strong):
        flags = table["flags"].copy()
        flags[rows] |= np.uint64(Flags.OVERLOADED)
        said = texts(experiments, table.with_columns({"flags": flags})).get("overloaded", "")
        assert said.startswith(f"{len(strong)} reflections have overloaded pixels, 3" if rows is strong else "")
        assert (said == "") == (rows is few)


def test_weak_ice_rings_are_told_from_a_ring_of_water():
    s_squared = (np.arange(80) + 0.5) * 0.0053
    water = 0.1 + 0.6 * np.exp(-0.5 * ((s_squared - 3.3**-2) / 0.015) ** 2) + 0.3 * np.exp(-s_squared / 0.2)
    water *= 1 + RNG.normal(size=80) * 0.003
    assert on.of_background(s_squared, water) == []
    rings = sum(np.exp(-0.5 * ((s_squared - d**-2) / 0.003) ** 2) for d in (3.67, 2.25, 2.07))
    (remark,) = on.of_background(s_squared, water * (1 + 0.25 * rings))
    assert "2.25, 2.07 Å" in remark.text
    # A sharp ring of water makes the shells of two rings of ice rise, but none beyond it.
    sharp = water + 0.5 * np.exp(-0.5 * ((s_squared - 3.55**-2) / 0.006) ** 2)
    assert on.of_background(s_squared, sharp) == []
    fine = (np.arange(200) + 0.5) * 0.0015
    strongest = sum(np.exp(-0.5 * ((fine - d**-2) / 0.0007) ** 2) for d in (3.897, 3.669, 3.441))
    (remark,) = on.of_background(fine, 0.5 + 0.002 * RNG.normal(size=200) + strongest)
    assert "3.90, 3.67, 3.44 Å" in remark.text


def test_damage_is_told_by_the_relative_b_factor_and_by_pairs():
    angle, error = np.linspace(0, 90, 50), np.full(50, 0.1)
    assert on.of_decay([(0, angle, np.linspace(1, -1, 50), error)]) == []
    (remark,) = on.of_decay([(0, angle, np.linspace(1, -8, 50), error)])
    assert "falls by 9.0 Å² to the rotation 90°" in remark.text
    apart, count = np.arange(20.0), np.full(20, 1000.0)
    noise = RNG.normal(size=20) * 0.002
    assert on.of_damage([PairwiseR(0, apart, 0.05 + noise, count, apart, 0.05 + noise)]) == []
    rising = 0.05 * (1 + apart / 10) + noise
    (remark,) = on.of_damage([PairwiseR(0, apart, rising, count, apart, rising)])
    assert "R_d rises from 0.06" in remark.text


def test_absorption_is_told_unless_the_surface_is_fine():
    strong, weak = np.linspace(0.85, 1.15, 500), np.linspace(0.98, 1.02, 500)
    assert "varies by 29 %" in on.of_absorption(0, strong, 4)[0].text
    assert on.of_absorption(0, strong, 6) == on.of_absorption(0, weak, 4) == []


@pytest.mark.parametrize(("spread", "word"), [(1.0, None), (1.6, "small"), (0.6, "large")])
def test_standard_deviations_that_are_wrong_are_told(spread, word):
    found = on.of_deviations(RNG.normal(size=5000) * spread)
    assert [r.text.rsplit(" ", 1)[1] for r in found] == ([f"{word}."] if word else [])


def test_outliers_that_crowd_on_images_are_told():
    image = np.arange(2.5, 200, 4)
    share = np.full(50, 0.001)
    part = Along(0, image, 4, share, np.full(50, 400.0), np.full(50, 0.001))
    assert on.of_outliers([part]) == []
    share[10] = 0.2
    (remark,) = on.of_outliers([part])
    assert remark.text == "20 % of the whole reflections on images 41-44 are outliers."


def test_outliers_among_reflections_cut_off_at_the_ends_are_as_usual():
    experiments, table = data()
    z = table["xyzcal.px"][:, 2]
    cut = (z < 2) | (z > IMAGES - 2)
    flags = np.where(cut, int(Flags.OUTLIER_IN_SCALING), int(Flags.SCALED)).astype(np.uint64)
    table = table.with_columns({"flags": flags, "partiality": np.where(cut, 0.6, 1.0)})
    assert on.of_outliers(outlier_share(experiments, table))
    assert not on.of_outliers(outlier_share(experiments, table, whole=True))
    assert on.of_outliers(outlier_share(experiments, table.with_columns({"partiality": np.ones(len(z))}), whole=True))


def statistics(noise, measured: object = 1.0):
    """Ten shells of 500 unique reflections, four observations each; `noise` of each shell in units of the signal;
    `measured`: share of the possible reflections, in each shell or all."""
    shell = np.repeat(np.arange(10), 500)
    group = np.repeat(np.arange(5000), 4)
    value = RNG.exponential(size=5000)[group] + RNG.normal(size=20_000) * np.asarray(noise)[shell[group]]
    plus, centric = np.ones(20_000, bool), np.zeros(5000, bool)
    there = (np.full(10, 500) / np.asarray(measured)).astype(int)
    variance = np.full(20_000, 0.1)
    sums = merging_sums(value, variance, group, plus, shell, centric, 10, possible=there, acentric_possible=there)
    return MergingStatistics(np.linspace(5, 1.5, 11), sums, sums.total(), False)


def test_the_end_of_the_data_is_judged_by_half_sets():
    fine = statistics(np.linspace(0.1, 2.2, 10))
    assert on.of_resolution(fine) == []
    assert "diffracts beyond" in on.of_resolution(statistics(np.full(10, 0.3)))[0].text
    noisy = statistics([0.3] * 6 + [60.0] * 4)
    assert "Beyond 2.90 Å there is only noise" in on.of_resolution(noisy)[0].text


def test_incomplete_data_are_told():
    noise = np.full(10, 0.3)
    assert on.of_completeness(statistics(noise)) == []
    assert "Only 70 %" in on.of_completeness(statistics(noise, 0.7))[0].text


def test_the_corners_of_the_detector_do_not_make_data_incomplete_but_a_lost_beamstop_shell_counts():
    noise = np.full(10, 0.3)
    falling = np.array([1, 1, 1, 1, 1, 1, 0.99, 0.8, 0.4, 0.1])
    assert on.of_completeness(statistics(noise, falling)) == []
    assert (
        "Only 70 % of the possible reflections to 2.55 Å"
        in on.of_completeness(statistics(noise, 0.7 * falling))[0].text
    )
    assert on.of_completeness(statistics(noise, np.array([0.1, *np.full(9, 0.85)])))


def test_twins_are_told():
    empty = np.zeros(0)
    whole = TwinStatistics(0.5, 1 / 3, 9000, empty, empty, empty, empty)
    twin = TwinStatistics(0.39, 0.21, 9000, empty, empty, empty, empty)
    few = TwinStatistics(0.44, 0.3, 300, empty, empty, empty, empty)
    assert on.of_twinning(None) == on.of_twinning(whole) == on.of_twinning(few) == []
    assert "⟨|L|⟩ is 0.390" in on.of_twinning(twin)[0].text


def test_a_step_is_found_where_it_is_and_none_in_noise_or_a_straight_line():
    image = np.arange(1.0, 101)
    noise = RNG.normal(size=100)

    def step(values):
        return find_step(Along(0, image, 1, values, np.full(100, 100.0), np.full(100, 1.0)))

    assert step(20 + noise) is None
    found = step(20 + noise + 10 * (image > 60))
    assert found is not None
    assert found.image == 60
    assert found.ratio == pytest.approx(1.5, rel=0.05)


def test_remarks_name_plots_that_the_page_has():
    experiments, table = data()
    late = table["xyzcal.px"][:, 2] > 100
    found = report(experiments, changed(table, "background.mean", lambda v: np.where(late, 2 * v, v)))
    assert {r.plot for r in found.remarks} <= {s.name for s in found.sections}
    assert found.sections[0].rows == [("Background along the scan", found.remarks[0].text)]


def test_several_sets_are_told_apart():
    experiments, table = data()
    both = Experiments((*experiments, one_experiment(identifier="two")))
    second = table.with_columns({"id": np.ones(table.n_rows, np.int32)})
    late = second["xyzcal.px"][:, 2] > 100
    second = changed(second, "background.mean", lambda v: np.where(late, 2 * v, v))
    found = texts(both, type(table).concatenate([table, second]))
    assert found["background_scan"].startswith("The background of data set 1 rises")
