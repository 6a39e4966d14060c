"""Prediction of sweeps, frames, zones and matching."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

from integration_synthetic import small_experiment
from puredials.geometry import rlp_to_r, zeta
from puredials.integration.columns import partiality
from puredials.integration.frames import Spread, e1_e2, reflection_frames
from puredials.integration.reference import match
from puredials.integration.summary import ranks
from puredials.integration.zones import Zones
from puredials.model import Crystal, Detector, Profile, rotation_matrix
from puredials.prediction import predict_indexed, predict_sweep


def _frames(experiment, **changes):
    index, predicted = predict_sweep(experiment, padding=1.0)
    zones = np.zeros((len(index), 1), np.int32), np.ones((len(index), 1))
    frames = reflection_frames(experiment, predicted, Profile(0.06, 0.12, **changes), *zones)
    return index, predicted, frames


def test_all_crossings_of_the_sphere_are_predicted():
    experiment = small_experiment()
    index, predicted = predict_sweep(experiment, d_min=8.0)
    # Brute force: the sign of |s0 + r| - |s0| on a fine grid of angles.
    n = int(60 / 8.0) + 1
    grid = np.arange(-n, n + 1)
    h = np.stack(np.meshgrid(grid, grid, grid), axis=-1).reshape(-1, 3)
    rlp = h @ experiment.crystal.A.T
    keep = (np.linalg.norm(rlp, axis=1) <= 1 / 8.0) & np.any(h != 0, axis=1)
    h, rlp = h[keep], rlp[keep]
    z = np.linspace(0, len(experiment.scan), 2001)
    s0 = experiment.beam.s0
    inside = np.array([
        np.linalg.norm(rlp_to_r(rlp, np.full(len(h), phi), experiment.goniometer) + s0, axis=1) < np.linalg.norm(s0)
        for phi in experiment.scan.phi(z)
    ])  # fmt: skip
    step, which = np.nonzero(inside[1:] != inside[:-1])
    crossing = predict_indexed(experiment, h[which], entering=inside[step + 1, which], z_guess=z[step])
    seen = crossing.valid & np.all((crossing.xyz_px[:, :2] >= 0) & (crossing.xyz_px[:, :2] < 240), axis=1)
    expected = {(*i, e) for i, e in zip(h[which][seen].tolist(), inside[step + 1, which][seen].tolist(), strict=True)}
    assert expected == {(*i, e) for i, e in zip(index.tolist(), predicted.entering.tolist(), strict=True)}
    assert len(expected) == len(index)


def test_every_turn_is_predicted():
    experiment = small_experiment()
    two_turns = replace(
        experiment, scan=replace(experiment.scan, image_range=(1, 2880), exposure_times=None, epochs=None)
    )
    index, predicted = predict_sweep(two_turns, d_min=15.0)
    once = len(np.unique(np.column_stack([index, predicted.entering]), axis=0))
    assert len(index) == 2 * once
    assert (np.diff(predicted.xyz_px[:, 2]) >= 0).all()


def test_a_crystal_that_turns_along_the_scan_is_followed():
    experiment = small_experiment()
    A = experiment.crystal.A
    points = np.array([A * (1 + 1e-4 * k) for k in range(len(experiment.scan) + 1)])
    varying = replace(experiment, crystal=replace(experiment.crystal, A_at_scan_points=points))
    index, predicted = predict_sweep(varying)
    again = predict_indexed(varying, index, entering=predicted.entering, z_guess=predicted.xyz_px[:, 2])
    np.testing.assert_allclose(predicted.xyz_px, again.xyz_px, atol=1e-4)


def test_reflections_that_the_lattice_forbids_are_not_predicted():
    experiment = small_experiment()
    centred = replace(experiment, crystal=Crystal(experiment.crystal.A, hall="I 2 2 3"))
    index, _ = predict_sweep(centred)
    assert (index.sum(axis=1) % 2 == 0).all()


def test_the_jacobian_is_the_change_of_direction_seen_through_a_pixel():
    experiment = small_experiment()
    _, predicted, frames = _frames(experiment)
    panel, s1 = experiment.detector[0], predicted.s1
    e1, e2 = e1_e2(s1, experiment.beam.s0)
    at = panel.origin + predicted.xyz_mm[:, :1] * panel.fast + predicted.xyz_mm[:, 1:2] * panel.slow
    for column, axis in enumerate((panel.fast, panel.slow)):
        moved = at + 0.01 * axis  # a tenth of a pixel
        change = moved / np.linalg.norm(moved, axis=1)[:, None] - at / np.linalg.norm(at, axis=1)[:, None]
        for row, e in enumerate((e1, e2)):
            expected = 10 * np.einsum("ij,ij->i", change, e) / np.radians(0.06)
            np.testing.assert_allclose(frames.jacobian[:, 2 * row + column], expected, rtol=1e-3, atol=1e-3)


def test_blocks_of_a_mosaic_crystal_slide_along_the_detector():
    """Turning the crystal about a random axis moves z and x together, on average as `slide` says."""
    experiment = small_experiment()
    index, predicted, frames = _frames(experiment)
    rng = np.random.default_rng(1)
    shifts = []
    for turn in np.radians(0.12) * rng.normal(size=(300, 3)):
        rotated = replace(experiment, crystal=Crystal(experiment.crystal.A + np.cross(turn, experiment.crystal.A.T).T))
        new = predict_indexed(rotated, index, entering=predicted.entering, z_guess=predicted.xyz_px[:, 2])
        shifts.append(new.xyz_px - predicted.xyz_px)
    shifts = np.array(shifts)
    z = zeta(predicted.s1, experiment.beam.s0, experiment.goniometer.rotation_axis)
    good = (np.abs(z) > 0.2) & np.isfinite(shifts).all(axis=(0, 2))
    dx, dz = shifts[:, good, :2], shifts[:, good, 2]
    slope = np.einsum("tnk,tn->nk", dx, dz) / np.einsum("tn,tn->n", dz, dz)[:, None]
    assert np.median(np.abs(slope - frames.slide[good])) < 0.02
    assert np.corrcoef(slope.ravel(), frames.slide[good].ravel())[0, 1] > 0.95


def test_the_scan_is_partial_at_its_ends_only():
    _, predicted, frames = _frames(small_experiment(), n_sigma=4.0)
    part = partiality(frames)
    z = predicted.xyz_px[:, 2]
    depth = 4 / np.abs(frames.drift)
    assert (part[(z > depth) & (z < 40 - depth)] > 0.9999).all()
    assert (part[(z < -2 * depth)] < 1e-6).all()
    at_start = np.argmin(np.abs(z))
    assert part[at_start] == pytest.approx(0.5, abs=0.2)


def test_variances_follow_resolution():
    spread = Spread(np.array([[0.5, 2.0], [1.0, 0.0], [1.0, -10.0]]))
    variances = spread.variances(np.array([0.0, 0.25]))
    np.testing.assert_allclose(variances, [[0.5, 1.0, 1.0], [1.0, 1.0, 0.05]])


def test_spots_are_drawn_out_by_as_much_as_photons_convert_at_different_depths():
    experiment = small_experiment()
    turned = rotation_matrix(np.array([0.6, 0.8, 0.0]), 0.4)
    panel = experiment.detector.panels[0]
    tilted = replace(
        panel, fast=turned @ panel.fast, slow=turned @ panel.slow, origin=turned @ panel.origin, thickness=0.6, mu=3.0
    )
    _, predicted, frames = _frames(replace(experiment, detector=Detector((tilted,))))
    rng = np.random.default_rng(3)
    for k in range(0, len(frames), 97):
        ray = predicted.s1[k] / np.linalg.norm(predicted.s1[k])
        whole = tilted.thickness / abs(ray @ tilted.normal)
        path = -np.log(rng.uniform(np.exp(-tilted.mu * whole), 1.0, 100_000)) / tilted.mu
        px = path[:, None] * np.array([ray @ tilted.fast, ray @ tilted.slow]) / tilted.pixel_size
        jacobian = frames.jacobian[k].reshape(2, 2)
        drawn = jacobian @ np.cov(px.T) @ jacobian.T
        np.testing.assert_allclose(np.outer(frames.depth[k], frames.depth[k]), drawn, rtol=0.03)
    spread = Spread(np.array([[0.5, 2.0], [0.3, 0.1], [1.0, 0.0]]))
    q = np.linspace(0.1, 0.5, len(frames))
    turn = frames.with_spread(spread, q).fine.reshape(-1, 2, 2) @ np.linalg.inv(frames.jacobian.reshape(-1, 2, 2))
    shape = frames.depth[:, :, None] * frames.depth[:, None, :]
    shape[:, [0, 1], [0, 1]] += spread.variances(q)[:, :2]
    np.testing.assert_allclose(
        turn @ shape @ turn.transpose(0, 2, 1), np.broadcast_to(np.eye(2), shape.shape), atol=1e-9
    )


def test_weights_of_zones_sum_to_one_and_a_zone_centre_has_one_zone():
    experiment = small_experiment()
    zones = Zones.of(experiment, across=3, along=4)
    _, predicted, _ = _frames(experiment)
    numbers, weights = zones.around(predicted.s1, predicted.xyz_px[:, 2])
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert numbers.min() >= 0
    assert numbers.max() < zones.number
    u, v, z = zones.centres()[17]
    beam = experiment.beam.s0 * experiment.beam.wavelength
    s1 = u * zones.axes[0] + v * zones.axes[1] + np.sqrt(1 - u * u - v * v) * beam
    numbers, weights = zones.around(s1[None], np.array([z]))
    assert weights[numbers == 17].sum() == pytest.approx(1)


def test_reflections_are_matched_with_the_nearest_turn():
    h = np.array([[1, 2, 3]] * 4 + [[1, 2, 4]])
    entering = np.array([True, True, False, True, True])
    z = np.array([10.0, 1450.0, 12.0, 700.0, 20.0])
    found = match(np.array([[1, 2, 3], [1, 2, 3], [9, 9, 9], [1, 2, 4]]), np.array([True, False, True, True]),
                  np.array([1449.0, 11.0, 5.0, 40.0]), h, entering, z, 8.0)  # fmt: skip
    assert found.tolist() == [1, 2, -1, -1]


def test_ranks_of_equal_values_are_their_mean():
    values = np.random.default_rng(0).integers(0, 20, 100).astype(float)
    np.testing.assert_array_equal(ranks(values), rankdata(values))
