"""Scaling of reflections whose scales and errors are known."""

from dataclasses import replace

import numpy as np
import pytest

from puredials.errors import MismatchError, ParameterError, TooFewReflectionsError
from puredials.execute import Threads
from puredials.io.expt import read_experiments, write_experiments
from puredials.model import Flags, ReflectionTable
from puredials.scaling import ScaleParams, ScaleResult, scale
from scaling_synthetic import Sweeps, sweeps


def scaled(data: Sweeps, params: dict | None = None) -> ScaleResult:
    return scale(data.experiments, data.table, params=ScaleParams.model_validate(params or {}))


def ratios(result: ScaleResult, data: Sweeps) -> np.ndarray:
    """Inverse scale factors over the true ones, about 1."""
    ratio = result.table["inverse_scale_factor"] / data.scale
    return ratio / np.median(ratio)


def deviations(result: ScaleResult, data: Sweeps) -> np.ndarray:
    """(I - k I_true) / sigma of the observations in use."""
    table = result.table
    good = table.has(Flags.SCALED) & ~table.has(Flags.BAD_FOR_SCALING)
    g = table["inverse_scale_factor"]
    k = 1 / np.median(g / data.scale)
    value, sigma = table["intensity.scale.value"] / g, np.sqrt(table["intensity.scale.variance"]) / g
    return ((value - k * data.true) / sigma)[good]


def robust_std(z: np.ndarray) -> float:
    return float(1.4826 * np.median(np.abs(z - np.median(z))))


@pytest.fixture(scope="module")
def data() -> Sweeps:
    return sweeps()


@pytest.fixture(scope="module")
def result(data: Sweeps) -> ScaleResult:
    return scaled(data)


def test_a_known_smooth_scale_decay_and_absorption_are_recovered(data: Sweeps, result: ScaleResult):
    assert np.std(np.log(data.scale)) > 0.1
    assert np.std(ratios(result, data)) < 0.01


def test_standard_deviations_are_true_at_all_intensities(data: Sweeps, result: ScaleResult):
    z = deviations(result, data)
    strong = np.argsort(-data.true)
    for part in np.array_split(strong, 4):
        assert robust_std(z[part]) == pytest.approx(1, abs=0.1)


def test_wrongly_stated_errors_are_put_right():
    wrong = sweeps(sigma_factor=1.7)
    found = scaled(wrong)
    assert robust_std(deviations(found, wrong)) == pytest.approx(1, abs=0.06)
    assert found.errors[0].a == pytest.approx(1 / 1.7, rel=0.1)


def test_means_of_errors_with_long_tails_are_better_than_weighted_ones_and_their_sigmas_true():
    long = sweeps(b=0.05, tails=3.0, seed=4)
    found = scaled(long)
    assert found.errors[0].nu < 8
    table, group = found.table, found.observations.equivalents.group
    good = table.has(Flags.SCALED) & ~table.has(Flags.BAD_FOR_SCALING)
    g = table["inverse_scale_factor"]
    value, k = table["intensity.scale.value"] / g, np.median(long.scale / g)
    true = np.zeros(group.max() + 1)
    true[group] = k * long.true
    strong = true > np.median(true)
    z, spread = {}, {}
    plain = found.errors[0].variance(long.table["intensity.prf.variance"] * table["lp"] ** 2, table["lp"], value * g)
    for name, variance in (("plain", plain), ("robust", table["intensity.scale.variance"])):
        weight = np.where(good, g**2 / variance, 0)
        total = np.bincount(group, weight)
        mean = np.bincount(group, weight * value) / np.where(total > 0, total, 1)
        use = strong & (np.bincount(group, good) > 3)
        spread[name] = np.std((mean / true)[use])
        z[name] = ((mean - true) * np.sqrt(total))[use]
    assert spread["robust"] < 0.9 * spread["plain"]
    assert np.std(z["robust"]) == pytest.approx(1, abs=0.12)
    assert robust_std(deviations(found, long)) == pytest.approx(1, abs=0.12)


def test_means_of_weak_reflections_are_not_too_low_where_photons_were_counted():
    weak = sweeps(level=20.0, background=10.0, counted=True, d_min=2.0)
    found = scaled(weak)
    table, group = found.table, found.observations.equivalents.group
    g = table["inverse_scale_factor"]
    value, k = table["intensity.scale.value"] / g, np.median(weak.scale / g)
    stated = weak.table["intensity.prf.variance"] * weak.table["lp"] ** 2
    ratio = {}
    for name, variance in (("stated", stated), ("scaled", table["intensity.scale.variance"])):
        weight = g**2 / variance
        mean = np.bincount(group, weight * value) / np.bincount(group, weight)
        ratio[name] = float(mean[group].sum() / (k * weak.true.sum()))
    assert ratio["stated"] < 0.92
    assert ratio["scaled"] == pytest.approx(1, abs=0.04)


def test_the_sigma_of_a_weak_reflection_measured_once_hardly_tells_how_its_noise_fell():
    weak = sweeps(level=20.0, background=10.0, counted=True, d_min=2.0, share=0.2)
    found = scaled(weak)
    table, group = found.table, found.observations.equivalents.group
    once = (np.bincount(group)[group] == 1) & ~table.has(Flags.BAD_FOR_SCALING)
    g = table["inverse_scale_factor"]
    off = table["intensity.scale.value"] - g * np.median(weak.scale / g) * weak.true
    sigma = np.sqrt(table["intensity.scale.variance"])
    stated = np.sqrt(weak.table["intensity.prf.variance"]) * table["lp"]
    low, high = once & (off < 0), once & (off > 0)
    assert stated[low].mean() < 0.9 * stated[high].mean()
    assert sigma[low].mean() > 0.92 * sigma[high].mean()
    assert np.mean((off / sigma)[once] ** 2) == pytest.approx(1, abs=0.04)


def test_the_worse_of_two_intensities_is_not_chosen(result: ScaleResult):
    # Sums have 1.5 times the errors of fitted profiles in these data.
    assert {c.middle: c.r_meas for c in result.combinations}[0.0] < {c.middle: c.r_meas for c in result.combinations}[
        1.0
    ]
    assert result.middle != 1.0


def test_planted_outliers_are_found_and_good_observations_kept(data: Sweeps, result: ScaleResult):
    rng = np.random.default_rng(5)
    counts = np.bincount(result.observations.equivalents.group)[result.observations.equivalents.group]
    strong = np.flatnonzero((counts > 4) & (data.true > np.quantile(data.true, 0.5)))
    bad = rng.choice(strong, 20, replace=False)
    columns = {
        name: np.where(np.isin(np.arange(data.table.n_rows), bad), 3.0, 1.0) * data.table[name]
        for name in ("intensity.prf.value", "intensity.sum.value")
    }
    found = scaled(replace(data, table=data.table.with_columns(columns)))
    marked = found.table.has(Flags.OUTLIER_IN_SCALING)
    assert marked[bad].sum() >= 19
    marked[bad] = False
    assert marked.mean() < 0.002
    assert np.std(ratios(found, data)) < 0.01


def test_sweeps_are_brought_to_one_scale():
    two = sweeps(n_sweeps=2)
    found = scaled(two)
    assert np.std(ratios(found, two)) < 0.01
    second = found.table["id"] == 1
    assert np.median(ratios(found, two)[second]) == pytest.approx(np.median(ratios(found, two)[~second]), rel=0.005)


def test_the_order_of_the_reflections_does_not_matter(data: Sweeps, result: ScaleResult):
    order = np.random.default_rng(6).permutation(data.table.n_rows)
    found = scale(data.experiments, data.table.select(order))
    g = result.table["inverse_scale_factor"][order]
    np.testing.assert_allclose(found.table["inverse_scale_factor"], g, rtol=1e-6)
    assert (found.table["flags"] == result.table["flags"][order]).all()


def test_the_number_of_workers_does_not_matter(data: Sweeps, result: ScaleResult):
    with Threads(3) as threads:
        found = scale(data.experiments, data.table, executor=threads)
    for name in ("inverse_scale_factor", "intensity.scale.variance", "flags"):
        assert (found.table[name] == result.table[name]).all()


def test_the_input_is_left_as_it_was(data: Sweeps):
    before = {name: values.copy() for name, values in data.table.columns.items()}
    scaled(data)
    assert data.experiments[0].scaling_model is None
    assert all((data.table[name] == values).all() for name, values in before.items())


def test_scaling_again_gives_the_same(data: Sweeps, result: ScaleResult):
    again = scale(result.experiments, result.table)
    np.testing.assert_array_equal(again.table["inverse_scale_factor"], result.table["inverse_scale_factor"])


def test_directions_without_data_stay_where_they_are_expected():
    # In P 1 only Friedel mates repeat; few of them say little of the scales.
    few = sweeps(symbol="P 1", share=0.55, d_min=4.0, scale=np.ones_like, decay=0.0, absorption=0.0)
    found = scaled(few)
    assert np.std(ratios(found, few)) < 0.06


def test_a_model_that_the_comparisons_do_not_determine_is_reduced_and_says_so():
    few = sweeps(symbol="P 1", share=0.2, d_min=5.0, images=100)
    found = scaled(few)
    assert f"it has {len(found.parameters)}" in found.remarks[0]
    assert len(found.parameters) < 20
    assert found.table["inverse_scale_factor"].min() > 0.3
    assert found.table["inverse_scale_factor"].max() < 3
    enough = scaled(sweeps(d_min=3.0))
    assert not enough.remarks


def test_a_sweep_that_nothing_connects_with_the_others_stays_at_its_scale():
    three = sweeps(n_sweeps=3, scale=np.ones_like, decay=0.0, absorption=0.0, d_min=3.0)
    group = scaled(three).observations.equivalents.group
    alone = np.where(three.table["id"] == 2, group % 5 == 0, group % 5 != 0)
    found = scale(three.experiments, three.table.select(alone))
    g = found.table["inverse_scale_factor"]
    medians = [np.median(g[found.table["id"] == k]) for k in range(3)]
    assert medians[1] / medians[0] == pytest.approx(2, rel=0.02)
    assert 0.5 < medians[2] < 1.5
    assert "connect data set 2 with" in found.remarks[0]


def test_sweeps_with_hardly_a_reflection_in_common_are_refused():
    narrow = sweeps(symbol="P 1", n_sweeps=4, images=15, d_min=6.0, share=0.03)
    with pytest.raises(TooFewReflectionsError, match="to bring 4 sweeps to one scale"):
        scaled(narrow)


def test_data_without_any_repeated_reflection_keep_their_scale():
    single = sweeps(symbol="P 1", d_min=4.0)
    _, first = np.unique(np.abs(single.table["miller_index"]), axis=0, return_index=True)
    found = scale(single.experiments, single.table.select(np.sort(first)))
    np.testing.assert_allclose(found.table["inverse_scale_factor"], 1, rtol=0.02)
    assert found.table.has(Flags.SCALED).all()
    assert not found.errors[0].refined


def test_the_model_survives_a_file_and_is_complete(result: ScaleResult, tmp_path):
    write_experiments(result.experiments, tmp_path / "scaled.expt")
    model = read_experiments(tmp_path / "scaled.expt")[0].scaling_model
    assert model is not None
    assert model["__id__"] == "physical"
    configuration = model["configuration_parameters"]
    assert configuration["corrections"] == ["scale", "decay", "absorption"]
    for name, null, count in (("scale", 1.0, 62), ("decay", 0.0, 11), ("absorption", 0.0, 24)):
        part = model[name]
        assert part["n_parameters"] == len(part["parameters"]) == len(part["est_standard_devs"]) == count
        assert part["null_parameter_value"] == null
    assert configuration["s_norm_fac"] == pytest.approx(0.999 / 3)
    assert configuration["valid_image_range"] == [1, 180]
    assert len(configuration["error_model_parameters"]) == 2


def test_short_sweeps_get_the_kb_model():
    still = sweeps(images=1, n_sweeps=3, scale=np.ones_like, decay=0.0, absorption=0.0, d_min=2.5)
    short = []
    for e in still.experiments:
        assert e.scan is not None
        short.append(replace(e, scan=replace(e.scan, oscillation=(0.0, 0.5))))
    found = scale(still.experiments.with_items(short), still.table)
    assert [m.kind for m in found.models] == ["KB"] * 3
    assert found.experiments[0].scaling_model["__id__"] == "KB"
    assert np.std(ratios(found, still)) < 0.02


def test_flags_tell_who_was_left_out_and_why(data: Sweeps):
    table = data.table
    partiality, flags = table["partiality"].copy(), table["flags"].copy()
    partiality[:10] = 0.2
    flags[10:20] = 0
    changed = table.with_columns({"partiality": partiality, "flags": flags})
    found = scale(data.experiments, changed, params=ScaleParams.model_validate({"cut_data": {"d_min": 2.4}})).table
    assert found.has(Flags.EXCLUDED_FOR_SCALING)[:20].all()
    assert found.has(Flags.EXCLUDED_FOR_SCALING).sum() == 20
    np.testing.assert_array_equal(found.has(Flags.USER_EXCLUDED_IN_SCALING), found["d"] < 2.4)
    left = found.has(Flags.SCALED)
    np.testing.assert_array_equal(left, ~found.has(Flags.BAD_FOR_SCALING))
    assert (found["intensity.scale.variance"][left] > 0).all()
    assert (found["inverse_scale_factor"] > 0).all()


def test_images_are_left_out_as_asked(data: Sweeps):
    found = scaled(data, {"exclude_images": ["0:11:20", "0:100:100"]}).table
    image = np.floor(found["xyzobs.px.value"][:, 2]) + 1
    expected = ((image >= 11) & (image <= 20)) | (image == 100)
    np.testing.assert_array_equal(found.has(Flags.USER_EXCLUDED_IN_SCALING), expected)


def test_sweeps_are_chosen_by_number():
    three = sweeps(n_sweeps=3, d_min=3.0)
    found = scaled(three, {"dataset_selection": {"exclude_datasets": [1]}})
    assert [e.identifier for e in found.experiments] == ["sweep-0", "sweep-2"]
    assert found.table.identifiers == {0: "sweep-0", 1: "sweep-2"}
    assert set(found.table["id"]) == {0, 1}


def test_parts_of_a_reflection_become_one(data: Sweeps):
    table = data.table.with_columns({"partial_id": np.arange(data.table.n_rows, dtype=np.uint64)})
    halves = table.select(np.arange(5)).with_columns({"partiality": np.full(5, 0.5)})
    found = scale(
        data.experiments, ReflectionTable.concatenate([halves, table.select(np.arange(5, table.n_rows)), halves])
    )
    assert found.observations.n_joined == 5
    assert found.table.n_rows == table.n_rows


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"cut_data": {"d_min": 100.0}}, TooFewReflectionsError, "No reflections are left"),
        ({"exclude_images": ["0:5"]}, ParameterError, "experiment:first:last"),
        ({"exclude_images": ["3:1:5"]}, ParameterError, "no data set 3"),
        ({"dataset_selection": {"use_datasets": [4]}}, ParameterError, "no data set 4"),
        ({"dataset_selection": {"exclude_datasets": [0]}}, ParameterError, "leave none of the 1"),
    ],
)
def test_what_cannot_be_scaled_is_refused_with_a_sentence(data: Sweeps, change, error, message):
    with pytest.raises(error, match=message):
        scaled(data, change)


def test_reflections_that_are_not_integrated_are_refused(data: Sweeps):
    with pytest.raises(MismatchError, match=r"run dials\.integrate"):
        scale(data.experiments, data.table.without(["lp"]))
    bare = data.experiments.with_items([replace(data.experiments[0], crystal=None)])
    with pytest.raises(MismatchError, match="no crystal"):
        scale(bare, data.table)
