"""Spots of simulated images against the truth."""

import h5py
import numpy as np
import pytest
from scipy.spatial import cKDTree

from puredials.execute import Threads
from puredials.io.formats import open_images
from puredials.io.importing import import_files
from puredials.spots import find_spots


@pytest.fixture(scope="module")
def spots_and_truth(insulin_small):
    experiment = import_files([insulin_small.sweeps[0].path]).experiments[0]
    with Threads(2) as executor:
        table = find_spots(open_images(experiment), experiment, executor=executor).table
    with h5py.File(insulin_small.truth) as truth:
        observed = truth["sweep_0/observations"]
        return table, {n: observed[n][:] for n in ("xyz", "photons_expected", "fraction_on_live_pixels")}


def test_nearly_all_spots_are_true_reflections(spots_and_truth):
    table, truth = spots_and_truth
    visible = truth["xyz"][truth["photons_expected"] > 5]
    distance, _ = cKDTree(visible).query(table["xyzobs.px.value"])
    assert (distance < 2).mean() > 0.99


def test_nearly_all_bright_reflections_are_found_at_their_places(spots_and_truth):
    table, truth = spots_and_truth
    bright = (truth["photons_expected"] > 100) & (truth["fraction_on_live_pixels"] > 0.9)
    distance, nearest = cKDTree(table["xyzobs.px.value"]).query(truth["xyz"][bright])
    assert (distance < 2).mean() > 0.98
    error = np.abs(table["xyzobs.px.value"][nearest] - truth["xyz"][bright])
    assert (np.median(error, axis=0) < 0.06).all()
