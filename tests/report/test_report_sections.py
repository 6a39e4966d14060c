"""The pages of dials.report at each stage, and what its plots show."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_set import IMAGES, data, one_experiment

from parameter_flips import without_effect
from puredials.cli import report as program
from puredials.errors import MismatchError
from puredials.io.expt import write_experiments
from puredials.io.refl import write_reflections
from puredials.merging.params import MergeParams
from puredials.merging.tables import merging_statistics
from puredials.merging.unique import merge_data
from puredials.model import Experiments, Flags, Panel, Profile, ReflectionTable, Shoeboxes
from puredials.report import figure, figures_of, plain, report, stacked
from puredials.report.along import along, totals
from puredials.report.centroids import centroid_residuals, centroid_sections
from puredials.report.crystals import crystal_sections
from puredials.report.damage import pairwise_r, relative_intensity
from puredials.report.maps import detector_maps, flat_positions
from puredials.report.merging import merged_sections
from puredials.report.scaling import absorption_surface, model_curve
from puredials.report.spots import spot_counts, spots_of_sets
from puredials.scaling import ScaleParams, scale
from scaling_synthetic import sweeps


def names(found):
    return {s.name for s in found.sections if s.figure is not None}


SPOTS = {"spots_per_image"}
CENTROIDS = {"rmsd_along_scan", "residuals_scan", *(f"residuals_{n}" for n in ("x", "y", "phi"))}
CENTROIDS |= {f"residual_map_{n}" for n in ("x", "y", "phi")} | {f"residuals_{n}" for n in ("x_y", "x_phi", "phi_y")}
INTENSITIES = {
    *("i_over_sigma", "i_over_sigma_scan", "i_over_sigma_map", "background_scan", "background_resolution"),
    *("partiality", "profile_correlation", "profile_correlation_i_over_sigma", "profile_correlation_resolution"),
    *("profile_correlation_scan", "profile_correlation_map"),
}


def test_strong_spots_show_counts_and_the_mean_spot():
    experiments, table = data(500, integrated=False)
    table = table.without(["xyzcal.px", "miller_index"]).with_columns(
        {"flags": np.full(500, int(Flags.STRONG), np.uint64), "shoebox": boxes(table["xyzobs.px.value"])}
    )
    found = report(experiments, table)
    assert found.stage == "strong"
    assert names(found) == {*SPOTS, "mean_spot_xy", "mean_spot_xz"}
    picture = np.array(figures_of(found.sections)["mean_spot_xy"]["data"][0]["z"])
    peaks = [(6 + 14 * k, 6 + 14 * j) for k in range(3) for j in range(3)]
    assert all(picture[peak] == pytest.approx(1) for peak in peaks)


def boxes(xyz):
    """A pixel of 100 counts at each centre, in boxes of 3 x 3 x 1 whose other pixels have 2."""
    n, low = len(xyz), np.floor(xyz).astype(np.int32)
    bbox = np.column_stack([low[:, 0] - 1, low[:, 0] + 2, low[:, 1] - 1, low[:, 1] + 2, low[:, 2], low[:, 2] + 1])
    pixels = np.tile(np.array([2, 2, 2, 2, 100, 2, 2, 2, 2], np.float32), n)
    mask = np.tile(np.array([3, 3, 3, 3, 13, 3, 3, 3, 3], np.uint8), n)
    return Shoeboxes(np.zeros(n, np.uint32), bbox, np.arange(n + 1) * 9, pixels, mask, np.zeros(9 * n, np.float32))


def test_indexed_spots_add_centroids():
    found = report(*data(integrated=False))
    assert (found.stage, names(found)) == ("indexed", {*SPOTS, *CENTROIDS, "indexed_share"})


def test_integrated_reflections_add_intensities_and_profiles():
    found = report(*data())
    assert (found.stage, names(found)) == ("integrated", SPOTS | CENTROIDS | INTENSITIES)


@pytest.fixture(scope="module")
def scaled():
    made = sweeps(images=60, d_min=3.0)
    panels = np.zeros(made.table.n_rows, np.uint64)
    return scale(made.experiments, made.table.with_columns({"panel": panels}), params=ScaleParams())


def test_scaled_reflections_add_models_statistics_errors_and_outliers(scaled):
    found = report(scaled.experiments, scaled.table)
    assert found.stage == "scaled"
    assert found.notes == ()
    assert names(found) >= {
        *("scale", "decay", "cc_one_half", "i_over_sig_i", "completeness", "multiplicity", "r_pim", "wilson"),
        *("l_test", "second_moment", "batch_rmerge", "batch_i_over_sigma", "batch_scale", "radiation_damage"),
        *("completeness_scan", "normal_probability", "deviation_intensity", "outliers_map", "outliers_scan"),
        *("r_cp", "relative_intensity", "multiplicities", "cumulative_intensity", "i_over_sigma_intensity"),
        *("image_deviation", "anomalous", "anomalous_probability", "anomalous_halves"),
    } - ({"outliers_map", "outliers_scan"} if not scaled.table.has(Flags.OUTLIER_IN_SCALING).any() else set())


def test_intensities_of_wilson_are_on_the_ideal_lines_and_those_of_twins_are_not(scaled):
    def off(values):
        changed = replace(merged, mean=replace(merged.mean, value=values * groups.epsilon, sigma=values * 0 + 1e-3))
        plot = figures_of(merged_sections(changed, merging_statistics(changed, 5)))["cumulative_intensity"]
        measured, ideal = plot["data"][:2]
        assert (measured["name"], ideal["name"]) == ("acentric", "acentric, ideal")
        return float(np.max(np.abs(measured["y"] - ideal["y"])))

    merged = merge_data(scaled.experiments, scaled.table, params=MergeParams())
    groups, rng = merged.equivalents, np.random.default_rng(0)
    one, other = rng.exponential(size=(2, len(groups)))
    error = 1.5 / np.sqrt((~groups.centric).sum())
    assert off(one) < error
    assert off((one + other) / 2) > 0.08 > 2 * error


def test_pairs_up_to_an_image_and_relative_intensities_show_damage(scaled):
    merged = merge_data(scaled.experiments, scaled.table, params=MergeParams())
    whole = pairwise_r(scaled.experiments, merged)[0]
    observations = merged.observations
    z = observations.table["xyzobs.px.value"][:, 2]
    late = z > 45
    # The last quarter of the images disagrees with the rest, by a half of its intensity, and no image with its own.
    fallen = replace(observations, value=np.where(late, 0.5, 1.0) * merged.mean.value[merged.equivalents.group])
    damaged = replace(merged, observations=fallen)
    found = pairwise_r(scaled.experiments, damaged)[0]
    before = found.image < 44
    assert np.nanmax(found.cumulative[before]) < 1e-12 < 0.05 < found.cumulative[-1]
    assert np.nanmax(whole.cumulative) < 0.2
    # As integrated they are half as strong there; the scale factors are taken back out.
    raw = fallen.table.with_columns({"inverse_scale_factor": np.ones(len(z))})
    damaged = replace(damaged, observations=replace(fallen, table=raw))
    for _, part in relative_intensity(scaled.experiments[:1], damaged):
        np.testing.assert_allclose(part.value[part.image < 44], 1, atol=1e-9)
        np.testing.assert_allclose(part.value[part.image > 47], 0.5, atol=1e-9)


def test_a_weak_set_shows_its_intensities_in_fewer_groups_without_gaps(scaled):
    whole = merge_data(scaled.experiments, scaled.table, params=MergeParams())
    some = np.arange(scaled.table.n_rows) % 4 == 0
    few = merge_data(scaled.experiments, scaled.table.select(some), params=MergeParams())
    many = relative_intensity(scaled.experiments, whole)[0][1]
    for _, part in relative_intensity(scaled.experiments, few):
        assert 5 <= len(part.value) < len(many.value)
        assert np.isfinite(part.value).all()


def test_the_growth_of_the_cell_is_that_of_its_volume():
    crystal = one_experiment().crystal
    assert crystal is not None
    points = crystal.A * np.linspace(1, 0.99, IMAGES + 1)[:, None, None]
    varying = one_experiment(replace(crystal, A_at_scan_points=points))
    (trace,) = figures_of(crystal_sections(Experiments((varying,))))["cell_volume"]["data"]
    assert trace["y"][0] == 0
    assert trace["y"][-1] == pytest.approx(100 * (0.99**-3 - 1))


def test_residuals_that_go_together_are_seen_together():
    experiments, table = data(20_000)
    off = np.random.default_rng(3).normal(size=20_000) * 0.2
    together = table["xyzcal.px"] + np.column_stack([off, -off, 0 * off])
    found = centroid_residuals(experiments, table.with_columns({"xyzobs.px.value": together}))
    assert found is not None
    counts = np.nan_to_num(figures_of(centroid_sections(experiments, found))["residuals_x_y"]["data"][0]["z"])
    assert np.trace(counts[::-1]) > 0.95 * counts.sum()


def test_traces_of_one_name_have_one_colour_in_all_parts_of_a_plot():
    def line(name):
        return {"type": "scatter", "mode": "lines", "x": [1], "y": [1], "name": name}

    plot = stacked({"a": [line("one"), line("two")], "b": [line("one"), line("two")]}, x="image")
    colours = [t["line"]["color"] for t in plot["data"]]
    assert colours[:2] == colours[2:]
    assert colours[0] != colours[1]
    assert plot["layout"].get("showlegend", True)
    many = figure([line(str(k)) for k in range(40)], x="x", y="y")
    assert many["layout"]["showlegend"] is False  # hundreds of names would hide the plot


def test_the_curve_of_a_model_is_what_scaling_used(scaled):
    experiment, table = scaled.experiments[0], scaled.table
    scales, decay = model_curve(experiment, "scale"), model_curve(experiment, "decay")
    assert scales is not None
    assert decay is not None
    (angle, value, error), b = scales, decay[1]
    phi = np.degrees(experiment.scan.phi(table["xyzobs.px.value"][:, 2]))
    g = np.interp(phi, angle, value) * np.exp(np.interp(phi, angle, b) / (2 * table["d"] ** 2))
    assert absorption_surface(experiment) is None  # the sweep is too short for one
    np.testing.assert_allclose(g, table["inverse_scale_factor"], rtol=2e-3)
    assert (error > 0).all()


def test_every_plot_is_explained_in_a_sentence_and_has_labelled_axes(scaled):
    for found in (report(*data()), report(scaled.experiments, scaled.table)):
        for section in found.sections:
            if section.figure is not None:
                assert section.text.endswith("."), section.heading
                layout = section.figure["layout"]
                assert layout["xaxis"].get("title", {}).get("text"), section.heading
                assert layout["yaxis"].get("title", {}).get("text"), section.heading


def test_names_are_told_apart(scaled):
    for found in (report(*data()), report(scaled.experiments, scaled.table)):
        used = [s.name for s in found.sections if s.name]
        assert len(used) == len(set(used))


def test_an_empty_file_is_refused():
    experiments, table = data(10)
    with pytest.raises(MismatchError, match="empty"):
        report(experiments, table.select(np.zeros(10, bool)))


def test_rows_that_cannot_be_merged_leave_a_note():
    experiments, table = data(300)
    made = {"inverse_scale_factor": np.ones(300), "intensity.scale.value": np.ones(300)}
    found = report(experiments, table.with_columns({**made, "intensity.scale.variance": -np.ones(300)}))
    assert "No merging statistics" in found.notes[0]
    assert "rmsd_along_scan" in names(found)


def test_scaling_models_that_cannot_be_drawn_leave_a_note(scaled):
    (experiment,) = scaled.experiments
    other = replace(experiment, scaling_model={**experiment.scaling_model, "__id__": "array"})
    found = report(scaled.experiments.with_items([other]), scaled.table)
    assert found.notes == ("Scaling models of the kind array have no plots of their own.",)
    assert "scale" not in names(found)


def test_means_along_the_scan_are_those_of_the_reflections():
    experiments, table = data(5000)
    z, values = table["xyzcal.px"][:, 2], np.arange(5000.0)
    (part,) = along(experiments, table["id"].astype(np.int64), z, values, groups=50)
    assert part.width == 4
    inside = (z >= 8) & (z < 12)
    assert part.value[2] == pytest.approx(values[inside].mean())
    assert part.image[2] == 10.5  # images 9 to 12
    (count,) = totals(experiments, table["id"].astype(np.int64), z, np.ones(5000, bool))
    assert count.value.sum() == 5000
    assert len(count.image) == IMAGES


def test_maps_hold_means_of_squares_and_flat_positions_join_panels():
    experiments, table = data(5000)
    at, panel = table["xyzcal.px"][:, :2], table["panel"].astype(np.int64)
    (found,) = detector_maps(experiments, table["id"].astype(np.int64), at, panel, at[:, 0].copy(), 100)
    assert found.mean.shape == (10, 10)
    inside = (at[:, 0] < 100) & (at[:, 1] >= 900)
    assert found.mean[9, 0] == pytest.approx(at[inside, 0].mean())
    first = experiments[0].detector[0]
    second = Panel(first.fast, first.slow, first.origin + np.array([110.0, 0, 0]), (1000, 1000), (0.1, 0.1))
    two = type(experiments[0].detector)((first, second))
    flat = flat_positions(np.array([[5.0, 7.0], [5.0, 7.0]]), np.array([0, 1]), two)
    np.testing.assert_allclose(flat, [[5, 7], [1105, 7]])


def test_residuals_leave_out_parts_of_reflections_and_outliers():
    experiments, table = data(1000)
    rows = np.arange(1000)
    flags = np.where(rows < 100, table["flags"] | np.uint64(Flags.CENTROID_OUTLIER), table["flags"])
    parts = np.where((rows >= 100) & (rows < 200), 0.4, 1.0)
    found = centroid_residuals(experiments, table.with_columns({"flags": flags, "partiality": parts}))
    whole = centroid_residuals(experiments, table.select(rows >= 200))
    assert found is not None
    assert whole is not None
    np.testing.assert_array_equal(found.difference, whole.difference)
    np.testing.assert_allclose(found.rmsd, [0.2, 0.2, 0.02], rtol=0.1)


def test_spots_without_an_experiment_count_for_their_images():
    experiments, table = data(1000, integrated=False)
    both = Experiments((experiments[0], one_experiment(identifier="two", imageset=experiments[0].imageset)))
    lost = table.with_columns({"id": np.full(1000, -1, np.int32)})
    sets, numbers = spots_of_sets(both, lost)
    assert len(sets) == 1
    assert (numbers == 0).all()
    assert spot_counts(both, lost)["strong"][0].value.sum() == 1000


def test_widths_that_vary_are_curves():
    experiments, table = data(100)
    varying = one_experiment(profile=Profile(np.linspace(0.02, 0.03, IMAGES), np.full(IMAGES, 0.1)))
    assert "profile_model" in names(report(Experiments((varying,)), table))
    assert "profile_model" not in names(report(experiments, table))


def test_stacked_plots_share_their_x_axis():
    plot = stacked({"a": [{"x": [1], "y": [1]}], "b": [{"x": [1], "y": [1]}]}, x="image")
    assert [t["yaxis"] for t in plot["data"]] == ["y", "y2"]
    assert plot["layout"]["yaxis"]["domain"][0] > plot["layout"]["yaxis2"]["domain"][1]


def test_numbers_on_the_page_are_rounded_to_what_can_be_seen():
    assert plain({"a": np.array([1 / 3, 1234567.0])}, 6) == {"a": [0.333333, 1234570.0]}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiments, table = data(2000)
    write_experiments(experiments, "a.expt")
    write_reflections(table, "a.refl")


def test_the_program_writes_a_page_and_its_data_and_says_what_to_look_at(files, capsys):
    assert program.main(["a.expt", "a.refl", "output.json=a.json"]) == 0
    assert "No plot stands out." in capsys.readouterr().out
    page = Path("dials.report.html").read_text()
    assert len(page) < 8e6
    assert page.count('class="data"') == len(json.loads(Path("a.json").read_text()))
    _, table = data(20_000)
    late = table["xyzcal.px"][:, 2] > 100
    steps = np.where(late, 2, 1) * table["background.mean"]
    write_reflections(table.with_columns({"background.mean": steps}), "b.refl")
    assert program.main(["a.expt", "b.refl"]) == 0
    assert "Background along the scan: The background rises after image 100" in capsys.readouterr().out


def test_each_parameter_changes_the_page():
    experiments, table = data(2000)

    def outcome(params):
        found = report(
            experiments,
            ReflectionTable(table.columns, table.identifiers),
            pixels_per_bin=params.pixels_per_bin,
            centroid_diff_max=params.centroid_diff_max,
        )
        return json.dumps(plain(figures_of(found.sections)))

    # A file, which has a test of its own.
    skip = {"reference_profiles"}
    assert without_effect(program.PROGRAM, outcome, {"centroid_diff_max": ([], "0.3")}, skip=skip) == []
