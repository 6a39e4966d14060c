"""The whole step against a sweep whose intensities are known."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from integration_synthetic import SIZE, ArrayImages, least_variances
from puredials.errors import MismatchError, ProcessingError, TooFewReflectionsError
from puredials.execute import Threads
from puredials.geometry import lorentz_polarization
from puredials.integration import IntegrateParams, integrate
from puredials.integration import tables as text
from puredials.model import Flags

step = importlib.import_module("puredials.integration.integrating")
OWN_BACKGROUNDS = {"integration": {"background": {"shared": False}}}


@pytest.fixture(scope="module")
def result(truth):
    return integrate(truth.images, truth.experiment, truth.spots)


def _z_scores(truth, table, kind, flag):
    good = table.has(flag) & (table["partiality"] > 0.99)
    table = table.select(good)
    sigma = np.sqrt(table[f"intensity.{kind}.variance"])
    return (table[f"intensity.{kind}.value"] - truth.photons_of(table)) / sigma, truth.photons_of(table)


def _keys(table):
    return [(*h, e) for h, e in zip(table["miller_index"].tolist(), table["entering"].tolist(), strict=True)]


def _foreground(complete, table):
    """Foreground pixels of the same reflections in another table."""
    number = dict(zip(_keys(complete), complete["num_pixels.foreground"], strict=True))
    return np.array([number.get(key, 0) for key in _keys(table)])


@pytest.mark.parametrize(("kind", "flag"), [("sum", Flags.INTEGRATED_SUM), ("prf", Flags.INTEGRATED_PRF)])
def test_intensities_are_unbiased_and_their_sigmas_honest(truth, result, kind, flag):
    z, photons = _z_scores(truth, result.table, kind, flag)
    assert len(z) > 500
    assert abs(np.mean(z)) < 0.15
    for part in (photons < 200, photons >= 200):
        assert 0.87 < 1.4826 * np.median(np.abs(z[part] - np.median(z[part]))) < 1.15


def test_profile_fitting_is_more_precise_than_summation_for_weak_reflections(truth, result):
    table = result.table.select(result.table.has(Flags.INTEGRATED_PRF) & result.table.has(Flags.INTEGRATED_SUM))
    weak = truth.photons_of(table) < 30
    assert np.mean(table["intensity.prf.variance"][weak]) < 0.8 * np.mean(table["intensity.sum.variance"][weak])


def test_sigmas_of_fitted_profiles_are_hardly_above_the_least_possible(truth, result):
    table = result.table.select(result.table.has(Flags.INTEGRATED_PRF) & (result.table["partiality"] > 0.99))
    ratio = table["intensity.prf.variance"] / least_variances(truth, table)
    # What lies above 1 is the background's own uncertainty, most of it; what below, the noise of the variances.
    assert 0.97 < np.median(ratio) < 1.05
    assert np.mean(ratio < 1.3) > 0.9


def test_nearly_all_predicted_reflections_are_integrated(truth, result):
    inside = (truth.z > 0) & (truth.z < len(truth.images))
    assert result.table.has(Flags.INTEGRATED_SUM).sum() > 0.9 * inside.sum()


def test_the_profile_model_is_found(result):
    assert result.experiment.profile.sigma_m == pytest.approx(0.12, rel=0.1)
    # sigma_b counts the size of a pixel (0.095 degrees here) and the background under the spots as well.
    assert 0.06 < result.experiment.profile.sigma_b < 0.1


def test_any_number_of_workers_gives_the_same_table(truth, result):
    with Threads(3) as executor:
        other = integrate(truth.images, truth.experiment, truth.spots, executor=executor)
    for name in result.table:
        np.testing.assert_array_equal(result.table[name], other.table[name], err_msg=name)


def test_few_references_are_read_once_for_all_and_once_for_their_zone(truth, monkeypatch):
    reads = []
    read = ArrayImages.read
    monkeypatch.setattr(ArrayImages, "read", lambda self, index: reads.append(index) or read(self, index))
    some = np.arange(0, truth.spots.n_rows, 3)
    integrate(truth.images, truth.experiment, truth.spots.select(some))
    # The survey, the zones, which meet on a few images, and the measurement.
    assert len(reads) < 3.5 * len(truth.images)


def test_blocks_of_images_do_not_change_intensities(truth, result, monkeypatch):
    monkeypatch.setattr(step, "BLOCK_PIXELS", 50_000)
    other = integrate(truth.images, truth.experiment, truth.spots)
    assert len(other.blocks) > len(result.blocks)
    for name in ("miller_index", "intensity.sum.value", "intensity.prf.value", "background.mean"):
        a = result.table[name][np.argsort(result.table["partial_id"])]
        b = other.table[name][np.argsort(other.table["partial_id"])]
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_a_sink_gets_the_table_in_parts(truth, result):
    parts = []
    other = integrate(truth.images, truth.experiment, truth.spots, sink=parts.append)
    assert other.table.n_rows == 0
    assert sum(p.n_rows for p in parts) == result.table.n_rows


@pytest.mark.parametrize("shared", [False, True])
def test_a_detector_of_two_panels_gives_the_same_intensities(truth, halves, shared):
    # Not all spots are in both tables, so the widths would differ a little.
    widths = {"gaussian_rs": {"parameters": {"sigma_b": 0.06, "sigma_m": 0.12}}}
    background = {"integration": {"background": {"shared": shared}}}
    params = IntegrateParams.model_validate({"profile": widths, **background})
    result = integrate(truth.images, truth.experiment, truth.spots, params=params)
    other = integrate(halves.images, halves.experiment, halves.spots, params=params)
    rows = {
        (*h, e): k
        for k, (h, e) in enumerate(zip(result.table["miller_index"].tolist(), result.table["entering"], strict=True))
    }
    pairs = [
        (rows[(*h, e)], k)
        for k, (h, e) in enumerate(zip(other.table["miller_index"].tolist(), other.table["entering"], strict=True))
        if (*h, e) in rows
    ]
    i, j = np.array(pairs).T
    away = np.abs(result.table["xyzcal.px"][i, 0] - 120) > 15  # boxes that the edge cuts differ in background
    for kind, tolerance in (("sum", 1e-3), ("prf", 1e-2)):  # profiles are learnt from a few spots less
        a, b = (t[f"intensity.{kind}.value"][k][away] for t, k in ((result.table, i), (other.table, j)))
        # Boxes that the edge cuts have other backgrounds, which are felt by their neighbours'.
        sigma = np.sqrt(np.maximum(result.table[f"intensity.{kind}.variance"][i][away], 0))
        allowed = 0.5 * sigma if shared else 0.5
        assert (np.abs(a - b) <= allowed + tolerance * np.abs(b)).all()


def test_spots_near_hot_pixels_keep_their_intensities(truth, result):
    rng = np.random.default_rng(3)
    counts = truth.images.panels[0].copy()
    y, x = rng.integers(0, counts.shape[1], (2, 60))
    hot = np.ones(counts.shape[1:], bool)
    hot[y, x] = False  # known to be bad: masked ...
    counts[:, y, x] = 5000
    images = ArrayImages((counts,), (hot,))
    masked = integrate(images, truth.experiment, truth.spots).table
    z, _ = _z_scores(truth, masked, "prf", Flags.INTEGRATED_PRF)
    assert 0.85 < 1.4826 * np.median(np.abs(z)) < 1.15
    assert (np.abs(z) > 6).mean() < 0.01


def test_overloaded_spots_are_measured_by_their_flanks_with_sigmas_that_say_so(truth, result):
    panel = truth.experiment.detector.panels[0]
    limit = float(np.quantile(truth.images.panels[0], 0.9998))
    low = replace(panel, trusted_range=(-0.5, limit))
    experiment = replace(truth.experiment, detector=replace(truth.experiment.detector, panels=(low,)))
    table = integrate(truth.images, experiment, truth.spots).table
    overloaded = table.has(Flags.INTEGRATED_PRF) & (table["partiality"] > 0.99)
    overloaded &= table["num_pixels.foreground"] < _foreground(result.table, table) - 1
    part = table.select(overloaded)
    photons, sigma = truth.photons_of(part), np.sqrt(part["intensity.prf.variance"])
    off = (part["intensity.prf.value"] - photons) / sigma
    assert len(off) > 50
    assert np.median(sigma / np.sqrt(photons)) > 1.5
    assert abs(np.mean(off)) < 0.5
    assert 0.6 < np.std(off) < 1.2


def test_a_failing_module_under_a_mask_changes_no_intensity_elsewhere(truth):
    params = IntegrateParams.model_validate(OWN_BACKGROUNDS)
    x0, x1, y0, y1 = 60, 130, 90, 150
    mask = np.ones((SIZE, SIZE), bool)
    mask[y0:y1, x0:x1] = False
    counts = truth.images.panels[0]
    spoilt = counts.copy()
    spoilt[:, y0:y1, x0:x1] = np.random.default_rng(0).poisson(300, (len(counts), y1 - y0, x1 - x0))
    clean, masked = (
        integrate(ArrayImages((values,), (mask,)), truth.experiment, truth.spots, params=params).table
        for values in (counts, spoilt)
    )
    for name in ("bbox", "flags", "intensity.sum.value", "intensity.prf.value", "background.mean"):
        np.testing.assert_array_equal(masked[name], clean[name])
    whole = integrate(truth.images, truth.experiment, truth.spots, params=params).table
    x, y = whole["xyzcal.px"][:, :2].T
    inside = (x > x0) & (x < x1) & (y > y0) & (y < y1)
    rows = {(*h, e): k for k, (h, e) in enumerate(zip(whole["miller_index"].tolist(), whole["entering"], strict=True))}
    of = [rows[(*h, e)] for h, e in zip(masked["miller_index"].tolist(), masked["entering"], strict=True)]
    assert inside.sum() > 10
    assert not inside[of].any()
    left, right, top, bottom = whole["bbox"].T[:4]
    apart = (left >= x1) | (right <= x0) | (top >= y1) | (bottom <= y0)
    assert set(np.flatnonzero(apart)) <= set(of)
    here = apart[of]
    sums = masked["intensity.sum.value"][here], whole["intensity.sum.value"][np.array(of)[here]]
    np.testing.assert_allclose(*sums, rtol=1e-3)  # widths are learnt from a few spots less
    z, _ = _z_scores(truth, masked.select(~here), "prf", Flags.INTEGRATED_PRF)  # the edge cuts their boxes
    assert len(z) > 5
    assert np.abs(z).max() < 5


def test_lp_of_the_table_is_that_of_its_formula(truth, result):
    lp = lorentz_polarization(result.table["s1"], truth.experiment.beam, truth.experiment.goniometer.rotation_axis)
    np.testing.assert_allclose(result.table["lp"], lp)


def test_too_few_references_leave_summation_only(truth):
    few = truth.spots.select(np.arange(3))
    params = IntegrateParams.model_validate({"profile": {"gaussian_rs": {"min_spots": {"overall": 2}}}})
    result = integrate(truth.images, truth.experiment, few, params=params)
    assert result.learnt is None
    assert result.table.has(Flags.INTEGRATED_SUM).all()
    assert "summation only" in text.reference_table(result)


def test_a_dozen_references_give_a_profile(truth):
    some = truth.spots.select(np.linspace(0, truth.spots.n_rows - 1, 12).astype(int))
    params = IntegrateParams.model_validate({"profile": {"gaussian_rs": {"min_spots": {"overall": 5}}}})
    result = integrate(truth.images, truth.experiment, some, params=params)
    z, _ = _z_scores(truth, result.table, "prf", Flags.INTEGRATED_PRF)
    assert len(z) > 400
    assert 0.8 < 1.4826 * np.median(np.abs(z)) < 1.25


def test_resolution_limits_and_static_prediction_are_obeyed(truth, result):
    params = IntegrateParams.model_validate({"prediction": {"d_min": 6.0, "d_max": 12.0, "force_static": True}})
    d = integrate(truth.images, truth.experiment, truth.spots, params=params).table["d"]
    assert d.min() >= 6.0
    assert d.max() <= 12.0
    assert result.table["d"].min() < 6.0


@pytest.mark.parametrize("algorithm", ["glm", "simple", "null"])
def test_background_algorithms(truth, algorithm):
    params = IntegrateParams.model_validate({"integration": {"background": {"algorithm": algorithm}}})
    table = integrate(truth.images, truth.experiment, truth.spots, params=params).table
    assert np.median(table["background.mean"]) == pytest.approx(0.0 if algorithm == "null" else 0.8, abs=0.05)


def test_the_log_has_its_tables(result):
    assert "sigma m" in text.profile_model_text(result)
    assert "Frame From" in text.blocks_text(result)
    assert "# reflections" in text.reference_table(result)
    assert text.image_table(result).count("\n") > len(result.summary.by_image)
    assert "d min" in text.resolution_table(result)
    assert "cc_pearson" in text.overall_table(result)


def test_mistakes_get_a_sentence(truth):
    with pytest.raises(MismatchError, match="no crystal"):
        integrate(truth.images, replace(truth.experiment, crystal=None), truth.spots)
    with pytest.raises(MismatchError, match="40 images"):
        integrate(truth.images, replace(truth.experiment, scan=truth.experiment.scan.sliced(1, 30)), truth.spots)
    with pytest.raises(MismatchError, match="shoeboxes"):
        integrate(truth.images, truth.experiment, truth.spots.without(["shoebox"]))
    with pytest.raises(TooFewReflectionsError, match="min_spots"):
        integrate(truth.images, truth.experiment, truth.spots.select(np.arange(3)))
    params = IntegrateParams.model_validate({"prediction": {"d_max": 0.1}})
    with pytest.raises(ProcessingError, match="predicted"):
        integrate(truth.images, truth.experiment, truth.spots, params=params)


def test_spots_that_are_not_where_the_models_have_them_are_refused(truth):
    """Indexed by chance, they make widths whose boxes cover the images many times."""
    z = truth.spots["xyzcal.px"].copy()
    z[:, 2] = np.roll(z[:, 2], 7)
    spots = truth.spots.with_columns({"xyzcal.px": z, "s1": np.roll(truth.spots["s1"], 7, axis=0)})
    with pytest.raises(ProcessingError, match="index again"):
        integrate(truth.images, truth.experiment, spots)


def test_images_that_are_left_out_hold_no_part_of_a_reflection(truth, result):
    experiment = truth.experiment
    first = experiment.scan.image_range[0]
    low, high = 4, 6  # the fifth and sixth image
    ranges = {experiment.identifier: [[first, first + low - 1], [first + high, experiment.scan.image_range[1]]]}
    some = replace(experiment, scan=replace(experiment.scan, valid_image_ranges=ranges))
    less = integrate(truth.images, some, truth.spots).table
    boxes = result.table["bbox"][:, 4:] - experiment.scan.array_range[0]
    touches = (boxes[:, 0] < high) & (boxes[:, 1] > low)
    assert touches.any()
    assert set(_keys(less)) == set(_keys(result.table.select(~touches)))
    assert less["bbox"][:, 4:].min() == result.table["bbox"][:, 4:].min()
