"""Backgrounds that neighbours make more certain, against images with a known background."""

import importlib

import numpy as np
import pytest

from integration_synthetic import BACKGROUND, SIZE, ArrayImages
from puredials.integration import IntegrateParams, integrate, shared_background
from puredials.model import Flags

step = importlib.import_module("puredials.integration.integrating")


def _params(shared, **background):
    return IntegrateParams.model_validate({"integration": {"background": {"shared": shared, **background}}})


@pytest.fixture(scope="module")
def tables(truth):
    """With backgrounds of their own, and shared ones."""
    return tuple(integrate(truth.images, truth.experiment, truth.spots, params=_params(k)).table for k in (False, True))


def _errors(truth, table, which):
    part = table.select(which)
    return part["intensity.prf.value"] - truth.photons_of(part)


def test_a_flat_background_is_found_better_than_by_any_reflection_alone(tables):
    own, shared = (t["background.mean"] - BACKGROUND for t in tables)
    assert shared.std() < 0.6 * own.std()
    assert abs(shared.mean()) < 0.15 * own.std()


def test_weak_intensities_come_closer_to_the_truth_and_their_sigmas_know(truth, tables):
    own, shared = tables
    np.testing.assert_array_equal(own["miller_index"], shared["miller_index"])
    known = own.has(Flags.INTEGRATED_PRF) & own.has(Flags.INTEGRATED_SUM) & (own["partiality"] > 0.99)
    own, shared = own.select(known), shared.select(known)
    photons = truth.photons_of(own)
    weak = photons < 30
    assert weak.sum() > 50
    for kind in ("sum", "prf"):
        value, variance = f"intensity.{kind}.value", f"intensity.{kind}.variance"
        before, after = (t[value][weak] - photons[weak] for t in (own, shared))
        assert np.mean(after**2) < 0.99 * np.mean(before**2)
        assert shared[variance][weak].mean() < 0.995 * own[variance][weak].mean()
        assert 0.8 < np.std(after / np.sqrt(shared[variance][weak])) < 1.2


def test_a_sharp_ring_under_spots_does_them_no_more_harm_than_before(truth):
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
    ring = np.abs(np.hypot(x, y) - 80) < 2
    counts = truth.images.panels[0] + np.random.default_rng(2).poisson(6.0 * ring, truth.images.panels[0].shape)
    images = ArrayImages((counts.astype(np.uint16),), truth.images.masks)
    own, shared = (integrate(images, truth.experiment, truth.spots, params=_params(k)).table for k in (False, True))
    place = own["xyzcal.px"][:, :2] - SIZE / 2
    near = np.abs(np.hypot(*place.T) - 80) < 14
    fitted = near & own.has(Flags.INTEGRATED_PRF) & (own["partiality"] > 0.99)
    assert fitted.sum() > 50
    error = [np.sqrt(np.mean(_errors(truth, t, fitted) ** 2)) for t in (own, shared)]
    assert error[1] < 1.005 * error[0]


def test_blocks_of_images_and_slabs_that_wait_for_each_other_change_nothing(truth, monkeypatch):
    monkeypatch.setattr(shared_background, "SLAB", 2.0)
    whole = integrate(truth.images, truth.experiment, truth.spots)
    monkeypatch.setattr(step, "BLOCK_PIXELS", 50_000)
    parts = integrate(truth.images, truth.experiment, truth.spots)
    assert len(parts.blocks) > 10 > len(whole.blocks)
    a, b = (t.select(np.argsort(t["partial_id"])) for t in (whole.table, parts.table))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_reflections_that_take_a_whole_slab_to_cross_the_sphere_keep_their_own(truth, monkeypatch, tables):
    own = tables[0]
    monkeypatch.setattr(shared_background, "SLAB", 1.25)
    table = integrate(truth.images, truth.experiment, truth.spots).table
    long = own["bbox"][:, 5] - own["bbox"][:, 4] > 5
    assert 20 < long.sum() < len(long) - 20
    np.testing.assert_array_equal(table["background.mean"][long], own["background.mean"][long])
    assert (table["background.mean"] != own["background.mean"])[~long].mean() > 0.9


@pytest.mark.parametrize("background", [{"algorithm": "null"}, {"glm": {"model": {"algorithm": "constant2d"}}}])
def test_no_background_and_one_for_each_image_are_not_shared(truth, background):
    a, b = (
        integrate(truth.images, truth.experiment, truth.spots, params=_params(k, **background)).table
        for k in (False, True)
    )
    np.testing.assert_array_equal(a["intensity.prf.value"], b["intensity.prf.value"])


def test_counts_that_come_several_to_a_photon_are_shared_as_well(truth):
    """A detector that gives 5 counts a photon and does not say so."""
    images = ArrayImages((truth.images.panels[0] * np.uint16(5),), truth.images.masks)
    own, shared = (
        integrate(images, truth.experiment, truth.spots, params=_params(k)).table["background.mean"] - 5 * BACKGROUND
        for k in (False, True)
    )
    assert shared.std() < 0.7 * own.std()


def test_the_variance_of_the_background_counts_once(tables):
    """By hand, for sums: counts, and twice the background: as they scatter, and as it is uncertain."""
    own = tables[0]
    whole = own.has(Flags.INTEGRATED_SUM) & ~own.has(Flags.FOREGROUND_INCLUDES_BAD_PIXELS)
    part = own.select(whole)
    n, under = part["num_pixels.foreground"], part["background.sum.value"]
    expected = np.maximum(part["intensity.sum.value"], 0) + under * (1 + n / part["num_pixels.background_used"])
    np.testing.assert_allclose(part["intensity.sum.variance"], expected, rtol=1e-5)
