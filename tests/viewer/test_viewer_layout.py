"""Where things are on the detector, and where the page puts them."""

import json

import numpy as np
import pytest
from viewer_set import Shown

from puredials.errors import ParameterError
from puredials.geometry import mm_to_px
from puredials.model import Beam, Crystal, Detector, Experiment, Goniometer, Panel, Scan
from puredials.prediction import predict_sweep
from puredials.viewer.layout import describe, hkl_matrix, ring_positions, ring_spacings


def panel(x, y, **keywords):
    return Panel(
        np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([x, y, -50.0]), (100, 80), (0.1, 0.1), **keywords
    )


@pytest.fixture(scope="module")
def experiment():
    """Two panels beside each other, 1 mm apart; the beam meets the second."""
    tilt = np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1]])
    return Experiment(
        Beam(np.array([0, 0, 1.0]), 0.9),
        Detector((panel(-15.0, 4.0), panel(-4.0, 4.0))),
        Goniometer(np.array([1.0, 0, 0])),
        Scan((1, 90), (0.0, 1.0)),
        Crystal(tilt @ np.diag([1 / 40, 1 / 50, 1 / 60])),
    )


def described(experiment):
    shape = experiment.detector[0].image_size[::-1]
    found = describe(experiment, Shown(np.zeros((3, *shape), np.int32)))
    assert json.loads(json.dumps(found)) is not None
    return found


def test_panels_are_beside_each_other_as_in_the_laboratory(experiment):
    first, second = described(experiment)["places"]["lab"]
    assert (first["corner"], first["along"], first["down"]) == ([0, 0], [1, 0], [0, 1])
    np.testing.assert_allclose(second["corner"], [110, 0], atol=1e-9)


def test_panels_that_do_not_say_where_they_were_read_are_below_each_other(experiment):
    assert [p["corner"] for p in described(experiment)["places"]["image"]] == [[0, 0], [0, 80]]


def test_panels_are_where_they_were_read(experiment):
    panels = (panel(-15.0, 4.0), panel(-4.0, 4.0, raw_image_offset=(120, 3)))
    other = Experiment(experiment.beam, Detector(panels))
    assert [p["corner"] for p in described(other)["places"]["image"]] == [[0, 0], [120, 3]]


def test_the_beam_is_on_its_panel_or_beside_the_nearest(experiment):
    np.testing.assert_allclose(described(experiment)["beam"], [1, 40, 40])
    between = Experiment(Beam(np.array([4.4, 0, 50.0]) / np.hypot(4.4, 50), 1.0), experiment.detector)
    assert described(between)["beam"][0] == 1
    np.testing.assert_allclose(described(between)["beam"][1:], [-4, 40], atol=1e-9)


def test_beams_that_miss_the_detector_are_nowhere(experiment):
    away = Experiment(Beam(np.array([0, 0, -1.0]), 1.0), experiment.detector)
    assert described(away)["beam"] is None


def test_the_lattice_under_a_reflection_is_its_indices(experiment):
    indices, predicted = predict_sweep(experiment, d_min=3.0)
    assert len(indices) > 20
    for hkl, s1, z in zip(indices, predicted.s1, predicted.xyz_px[:, 2], strict=True):
        matrix = hkl_matrix(experiment, float(z))
        np.testing.assert_allclose(matrix @ (s1 - experiment.beam.s0), hkl, atol=1e-6)


def test_stills_have_a_lattice_and_images_without_a_crystal_none(experiment):
    still = Experiment(experiment.beam, experiment.detector, crystal=experiment.crystal)
    np.testing.assert_allclose(hkl_matrix(still, 0.5) @ experiment.crystal.A @ [1, 2, 3], [1, 2, 3], atol=1e-9)
    assert hkl_matrix(Experiment(experiment.beam, experiment.detector), 0.5) is None


def test_rings_of_too_high_resolution_are_empty(experiment):
    panels, _ = ring_positions(experiment, 0.4)
    assert (panels == -1).all()


def test_resolution_rings_divide_the_detector_evenly(experiment):
    d = ring_spacings(experiment, "resolution")
    np.testing.assert_allclose(np.diff(1 / d**2), 1 / d[0] ** 2)


def test_a_cell_of_words_is_refused(experiment):
    with pytest.raises(ParameterError, match="six numbers"):
        ring_spacings(experiment, "powder", "a b c")


def test_positions_of_rings_are_corrected_for_parallax(experiment):
    thick = panel(-4.0, 4.0, thickness=0.45, mu=4.0, parallax=True)
    other = Experiment(experiment.beam, Detector((thick,)))
    hit, at = ring_positions(other, 14.0)
    _, plain = ring_positions(Experiment(experiment.beam, Detector((panel(-4.0, 4.0),))), 14.0)
    assert (hit == 0).all()
    radius = np.linalg.norm(plain - 40, axis=1)
    moved = np.linalg.norm(at - 40, axis=1)
    expected = np.linalg.norm(mm_to_px(np.array([[4.0 + radius[0] * 0.1, 4.0]]), thick) - 40)
    np.testing.assert_allclose(moved, expected, atol=1e-3)
    assert moved[0] > radius[0]
