from dataclasses import replace

import gemmi
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from puredials.geometry import depth_variance, entering, intersect, px_to_s1, s1_to_rlp
from puredials.model import Beam, Crystal, Detector, Experiment, Goniometer, Panel, Scan, b_matrix, rotation_matrix
from puredials.prediction import observed_mm, predict_indexed, setting_matrices, still_rays

small = st.floats(-1, 1)
vectors = st.tuples(small, small, small).map(np.array).filter(lambda v: np.linalg.norm(v) > 0.1)


def experiment(orientation=(0.3, 0.5, 0.8), axis=(1, 0, 0), start=0.0, parallax=True, kappa=0.0):
    o = np.array(orientation, dtype=float)
    A = rotation_matrix(o, float(np.linalg.norm(o))) @ b_matrix(gemmi.UnitCell(40, 50, 60, 85, 95, 100))
    panel = Panel([1, 0, 0], [0, -1, 0], [-41.0, 39.0, -100.0], (400, 400), (0.2, 0.2), thickness=0.3, mu=1.0)
    goniometer = Goniometer([[1.0, 0, 0], [0.6, 0, 0.8], axis], [20.0, kappa, 0.0], ("phi", "kappa", "omega"), 2)
    panel = replace(panel, parallax=parallax)
    return Experiment(Beam([0, 0, 1], 1.0), Detector([panel]), goniometer, Scan((1, 360), (start, 0.5)), Crystal(A))


def indices(n=300, seed=0):
    h = np.random.default_rng(seed).integers(-12, 13, (n, 3))
    return h[(h != 0).any(axis=1)]


@settings(max_examples=30)
@given(orientation=vectors, axis=vectors, kappa=st.floats(-90, 90), sense=st.booleans())
def test_predicted_rays_lie_on_the_ewald_sphere_at_the_lattice_points(orientation, axis, kappa, sense):
    e, h = experiment(orientation, axis, kappa=kappa), indices()
    p = predict_indexed(e, h, entering=np.full(len(h), sense))
    s1, phi = p.s1[p.valid], p.xyz_mm[p.valid, 2]
    assert np.linalg.norm(s1, axis=1) == pytest.approx(1 / e.beam.wavelength, rel=1e-9)
    assert s1_to_rlp(s1, phi, e.beam, e.goniometer) == pytest.approx(h[p.valid] @ e.crystal.A.T, abs=1e-9)
    volume = s1 @ np.cross(e.beam.s0, e.goniometer.rotation_axis)
    clear = np.abs(volume) > 1e-6
    assert (entering(s1, e.beam.s0, e.goniometer.rotation_axis)[clear] == sense).all()
    assert (p.entering[p.valid] == sense).all()


@given(turns=st.integers(-3, 3), start=st.floats(-500, 500))
def test_the_turn_nearest_to_the_guess_is_taken(turns, start):
    e, h = experiment(start=start), indices()
    guess = np.full(len(h), 100.0 + 720.0 * turns)
    z = predict_indexed(e, h, entering=np.ones(len(h), dtype=bool), z_guess=guess).xyz_px[:, 2]
    z0 = predict_indexed(e, h, entering=np.ones(len(h), dtype=bool), z_guess=guess - 720 * turns).xyz_px[:, 2]
    assert np.abs(z - guess)[np.isfinite(z)].max() <= 360.0 + 1e-6
    assert (z - z0)[np.isfinite(z)] == pytest.approx(720.0 * turns, abs=1e-6)


def test_without_a_sense_the_crossing_nearest_to_the_guess_is_taken():
    e, h = experiment(), indices()
    yes, no = np.ones(len(h), dtype=bool), np.zeros(len(h), dtype=bool)
    enter, leave = predict_indexed(e, h, entering=yes), predict_indexed(e, h, entering=no)
    for wanted in (enter, leave):
        z = wanted.xyz_px[:, 2]
        ok = wanted.valid & enter.valid & leave.valid
        free = predict_indexed(e, h[ok], z_guess=z[ok])
        assert free.xyz_px[:, 2] == pytest.approx(z[ok])


def test_a_constant_scan_varying_crystal_predicts_as_the_static_one():
    e, h = experiment(), indices()
    varying = replace(e, crystal=replace(e.crystal, A_at_scan_points=np.tile(e.crystal.A, (361, 1, 1))))
    sense = np.arange(len(h)) % 2 == 0
    a, b = predict_indexed(e, h, entering=sense), predict_indexed(varying, h, entering=sense)
    assert b.xyz_px == pytest.approx(a.xyz_px, nan_ok=True, abs=1e-6)
    assert (a.valid == b.valid).all()


def test_a_varying_crystal_diffracts_by_its_matrix_at_that_angle():
    e, h = experiment(), indices()
    turning = np.array([rotation_matrix(np.array([0, 1.0, 1.0]), 2e-5 * k) @ e.crystal.A for k in range(361)])
    varying = replace(e, crystal=replace(e.crystal, A_at_scan_points=turning))
    p = predict_indexed(varying, h, entering=np.ones(len(h), dtype=bool))
    ok = p.valid & (p.xyz_px[:, 2] > 0) & (p.xyz_px[:, 2] < 360)
    assert ok.sum() > 50
    A = setting_matrices(varying.crystal, varying.scan, p.xyz_px[ok, 2])
    rlp = s1_to_rlp(p.s1[ok], p.xyz_mm[ok, 2], e.beam, e.goniometer)
    assert rlp == pytest.approx(np.einsum("nij,nj->ni", A, h[ok].astype(float)), abs=1e-8)


def test_a_varying_crystal_can_be_taken_as_it_was_at_the_guess():
    e, h = experiment(), indices(40)
    turning = np.array([rotation_matrix(np.array([0, 1.0, 1.0]), 2e-5 * k) @ e.crystal.A for k in range(361)])
    varying = replace(e, crystal=replace(e.crystal, A_at_scan_points=turning))
    guess = np.full(len(h), 123.0)
    at_guess = replace(e, crystal=replace(e.crystal, A=turning[123]))
    found = predict_indexed(varying, h, z_guess=guess, crystal_at_guess=True)
    expected = predict_indexed(at_guess, h, z_guess=guess)
    assert found.xyz_px[found.valid] == pytest.approx(expected.xyz_px[found.valid])


def test_positions_lead_back_to_the_rays():
    e, h = experiment(parallax=False), indices()
    p = predict_indexed(e, h, entering=np.ones(len(h), dtype=bool))
    panel, mm, hit = intersect(p.s1[p.valid], e.detector)
    assert p.xyz_mm[p.valid, :2] == pytest.approx(mm)
    assert hit.all()
    back = px_to_s1(p.xyz_px[p.valid, :2], panel, e.detector, e.beam)
    assert back == pytest.approx(p.s1[p.valid])
    xyz, variance = observed_mm(e, p.xyz_px[p.valid], np.ones((hit.sum(), 3)), panel)
    assert xyz == pytest.approx(p.xyz_mm[p.valid])
    assert variance == pytest.approx(np.tile([0.04, 0.04, np.radians(0.5) ** 2], (hit.sum(), 1)))


def test_photons_convert_all_along_a_thin_sensor_and_near_the_face_of_a_thick_one():
    panel = Panel(np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 100.0]), (10, 10), (0.1, 0.1))
    cos = np.array([1.0, 0.8, 0.5])
    thin, thick = replace(panel, thickness=1e-3, mu=4.0), replace(panel, thickness=50.0, mu=4.0)
    np.testing.assert_allclose(depth_variance(thin, cos), (1e-3 / cos) ** 2 / 12, rtol=1e-4)
    np.testing.assert_allclose(depth_variance(thick, cos), 1 / 4.0**2, rtol=1e-12)
    np.testing.assert_array_equal(depth_variance(panel, cos), 0)
    along_the_face = depth_variance(replace(panel, thickness=0.45, mu=4.0), np.zeros(1))
    np.testing.assert_allclose(along_the_face, 1 / 4.0**2)


def test_points_on_the_axis_or_too_far_out_never_diffract():
    e = experiment()
    far = predict_indexed(e, np.array([[200, 0, 0]]), entering=np.array([True]))
    assert not far.valid[0]
    assert np.isnan(far.xyz_px[0]).all()


@settings(max_examples=30)
@given(orientation=vectors)
@example(orientation=np.array([0.0, 1e-160, 1.0]))
def test_a_still_turns_points_onto_the_sphere_by_the_smallest_rotation(orientation):
    e, h = experiment(orientation), indices()
    r = h @ e.crystal.A.T
    s1, delpsi, valid = still_rays(r, e.beam)
    onto = s1 - e.beam.s0
    assert np.linalg.norm(s1[valid], axis=1) == pytest.approx(1 / e.beam.wavelength)
    assert np.linalg.norm(onto[valid], axis=1) == pytest.approx(np.linalg.norm(r[valid], axis=1))
    cosine = np.einsum("ni,ni->n", onto[valid], r[valid]) / np.einsum("ni,ni->n", r[valid], r[valid])
    assert np.arccos(np.clip(cosine, -1, 1)) == pytest.approx(np.abs(delpsi[valid]), abs=1e-6)
    inside = np.linalg.norm(r + e.beam.s0, axis=1) < 1 / e.beam.wavelength
    clear = valid & (np.abs(delpsi) > 1e-6)
    assert ((delpsi < 0) == inside)[clear].all()
    again, zero, _ = still_rays(onto[valid], e.beam)
    assert zero == pytest.approx(0, abs=1e-6)
    assert again == pytest.approx(s1[valid], abs=1e-6)


def test_predictions_equal_those_of_dials(shared):
    from puredials.io.expt import read_experiments
    from puredials.io.refl import read_reflections

    files = shared / "data/dials_files"
    (e,) = read_experiments(files / "quartz_indexed.expt")
    table = read_reflections(files / "quartz_indexed.refl")
    table = table.select(table["id"] == 0)
    p = predict_indexed(
        e,
        table["miller_index"],
        entering=table["entering"],
        z_guess=table["xyzobs.px.value"][:, 2],
        panel=table["panel"],
    )
    assert p.valid.all()
    assert p.xyz_px == pytest.approx(table["xyzcal.px"], abs=1e-9)
    assert p.xyz_mm == pytest.approx(table["xyzcal.mm"], abs=1e-9)
    free = predict_indexed(e, table["miller_index"], z_guess=table["xyzobs.px.value"][:, 2])
    assert (free.entering == table["entering"]).all()
