"""Simulated data sets: what is in the files agrees with the truth, and the truth with physics."""

import json

import gemmi
import h5py
import numpy as np
import pytest

from puredials.errors import FileError, ParameterError
from puredials.execute import SERIAL, Threads
from puredials.geometry import attenuation_depth, depth_variance
from puredials.io.formats import open_images
from puredials.io.importing import import_files
from puredials.model import Panel
from puredials.simulate import SimulationConfig, agreement_with_truth, preset_names, read_config, simulate
from puredials.simulate.__main__ import main
from puredials.simulate.detector import DETECTORS, make_detector
from puredials.simulate.protein import make_protein
from puredials.simulate.truth import indistinguishable

TINY = {
    "name": "tiny",
    "seed": 5,
    "protein": {"space_group": "P 43 21 2", "cell": [60, 60, 40, 90, 90, 90], "d_min": 3.0, "seed": 3},
    "detector": {"type": "pilatus_300k", "distance_mm": 150},
    "sweeps": [{"n_images": 4, "width_deg": 0.5}],
}


def tiny(**changes):
    return SimulationConfig.model_validate(TINY | changes)


def images_of(made):
    """All images of the first sweep, panel by panel, and their experiment."""
    experiment = import_files([str(p) for p in made.sweeps[0].images]).experiments[0]
    source = open_images(experiment)
    return [source.read(k) for k in range(len(source))], source.static_mask(), experiment


def test_photons_convert_where_geometry_has_them():
    """The two are written independently: what is integrated must not be drawn by the code that integrates."""
    detector = make_detector(tiny().detector, 1.0, np.random.default_rng(1))
    panel = Panel(
        np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 100.0]), (10, 10), (0.1, 0.1),
        thickness=detector.kind.sensor_mm, mu=detector.mu, parallax=True,
    )  # fmt: skip
    cos = np.linspace(0.3, 1, 8)
    mean, variance, share = detector.conversion(cos)
    np.testing.assert_allclose(depth_variance(panel, cos), variance, rtol=1e-9)
    np.testing.assert_allclose(attenuation_depth(panel, cos), mean * share, rtol=1e-9)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return simulate(tiny(), tmp_path_factory.mktemp("tiny"))


def test_the_data_do_not_depend_on_the_number_of_workers(made, tmp_path):
    with Threads(3) as executor:
        other = simulate(tiny(), tmp_path, executor=executor)
    for name in ("tiny_1_000001.h5", "dataset.json", "truth.h5"):
        assert (made.folder / name).read_bytes() == (other.folder / name).read_bytes()


def test_other_seeds_give_other_data(made, tmp_path):
    other = simulate(tiny(seed=6), tmp_path)
    assert (images_of(made)[0][0][0] != images_of(other)[0][0][0]).any()


def test_progress_counts_the_images_of_all_sweeps(tmp_path):
    seen = []
    sweeps = [{"n_images": 2}, {"n_images": 3, "start_deg": 50}]
    made = simulate(tiny(sweeps=sweeps), tmp_path, progress=lambda *at: seen.append(at))
    assert seen == [(k + 1, 5) for k in range(5)]
    assert [s.path.name for s in made.sweeps] == ["tiny_1.nxs", "tiny_2.nxs"]


def test_cbf_and_nxmx_files_hold_the_same_counts(made, tmp_path):
    cbf = simulate(tiny(format="cbf", goniometer={"type": "single"}), tmp_path)
    nxmx = simulate(tiny(goniometer={"type": "single"}), tmp_path)
    (a, _, one), (b, mask, other) = images_of(cbf), images_of(nxmx)
    assert len(a) == len(b) == 4
    for image, same in zip(a, b, strict=True):
        np.testing.assert_array_equal(image[0][mask[0]], same[0][mask[0]])
    assert one.scan.oscillation == pytest.approx(other.scan.oscillation)
    np.testing.assert_allclose(one.detector[0].origin, other.detector[0].origin, atol=1e-3)


def test_a_detector_split_into_modules_records_the_same(made, tmp_path):
    detector = TINY["detector"] | {"split_modules": True}
    split, masks, experiment = images_of(simulate(tiny(detector=detector), tmp_path))
    whole, whole_mask, whole_experiment = images_of(made)
    kind = DETECTORS["pilatus_300k"]
    assert len(experiment.detector) == len(kind.module_corners) == 3
    one = whole_experiment.detector[0]
    for k, (i, j) in enumerate(kind.module_corners):
        part = slice(j, j + kind.module[1]), slice(i, i + kind.module[0])
        np.testing.assert_array_equal(masks[k], whole_mask[0][part])
        for image, same in zip(split, whole, strict=True):
            np.testing.assert_array_equal(image[k], same[0][part])
        corner = one.origin + kind.pixel_mm * (i * one.fast + j * one.slow)
        np.testing.assert_allclose(experiment.detector[k].origin, corner, atol=1e-9)
        np.testing.assert_allclose(experiment.detector[k].fast, one.fast, atol=1e-12)


def test_cbf_files_refuse_split_modules(tmp_path):
    with pytest.raises(ParameterError, match="split_modules"):
        simulate(tiny(format="cbf", detector={"split_modules": True}), tmp_path)


def test_true_reflections_lie_on_the_ewald_sphere(insulin_small):
    with h5py.File(insulin_small.truth) as truth:
        s0, s1 = truth["experiment/s0"][:], truth["sweep_0/observations/s1"][:].astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(s1, axis=1), np.linalg.norm(s0), rtol=1e-5)


def test_truth_obeys_the_diffraction_condition_of_the_true_models(insulin_small):
    with h5py.File(insulin_small.truth) as truth:
        sweep, A = truth["sweep_0"], truth["crystal_0/A"][:]
        hkl, z = sweep["observations/hkl"][:], sweep["observations/xyz_laue"][:, 2].astype(np.float64)
        S, e, F = (sweep[name][:] for name in ("setting_rotation", "rotation_axis", "fixed_rotation"))
        r = sweep["observations/s1"][:] - truth["experiment/s0"][:]
    v = hkl @ A.T @ F.T
    phi = np.radians(0.4 * z)[:, None]
    turned = v * np.cos(phi) + np.cross(e, v) * np.sin(phi) + (v @ e)[:, None] * e * (1 - np.cos(phi))
    # Slip (0.03 degrees about each axis) and expansion are not in A.
    error = np.linalg.norm(turned @ S.T - r, axis=1) / np.linalg.norm(r, axis=1)
    assert np.degrees(np.median(error)) < 0.1


def test_spots_have_the_photons_that_truth_tells(insulin_small):
    images, masks, _ = images_of(insulin_small)
    with h5py.File(insulin_small.truth) as truth:
        observed = truth["sweep_0/observations"]
        expected = observed["photons_expected"][:] * observed["fraction_on_live_pixels"][:]
        background = truth["experiment/background_mean"][:]
    total = sum(float(image[0][masks[0]].sum(dtype=np.int64)) for image in images)
    above = total - len(images) * float(background[masks[0]].sum(dtype=np.float64))
    # Flicker, the background's variation, hot pixels and overloads leave a few per cent.
    assert above == pytest.approx(expected.sum(), rel=0.1)


def test_strong_isolated_spots_lie_where_truth_tells(insulin_small):
    images, _, _ = images_of(insulin_small)
    stack = np.array([image[0] for image in images])
    with h5py.File(insulin_small.truth) as truth:
        observed = truth["sweep_0/observations"]
        xyz, photons = observed["xyz"][:], observed["photons_expected"][:]
        background = truth["experiment/background_mean"][:]
        live = observed["fraction_on_live_pixels"][:]
    inside = (xyz > [10, 10, 5]).all(axis=1) & (xyz < [1020, 500, 75]).all(axis=1)
    errors = []
    for k in np.flatnonzero(inside & (live > 0.99) & (photons > 3000) & (photons < 10000))[:200]:
        x, y, z = (int(v) for v in xyz[k])
        box = slice(z - 3, z + 4), slice(y - 4, y + 5), slice(x - 4, x + 5)
        near = np.abs(xyz - xyz[k]) < [9, 9, 7]
        if (near.all(axis=1) & (photons > 0.01 * photons[k])).sum() > 1:
            continue
        w = stack[box].astype(np.float64) - background[box[1:]]
        axes = np.mgrid[z - 3 : z + 4, y - 4 : y + 5, x - 4 : x + 5] + 0.5
        errors.append([(w * axis).sum() / w.sum() for axis in axes[::-1]] - xyz[k])
    assert len(errors) > 20
    assert (np.median(np.abs(errors), axis=0) < [0.05, 0.05, 0.05]).all()
    assert (np.abs(np.mean(errors, axis=0)) < 0.03).all()


def test_equivalent_reflections_have_equal_true_intensities():
    protein = make_protein(tiny().protein)
    group = gemmi.SpaceGroup("P 43 21 2").operations()
    lookup = {tuple(h): i for h, i in zip(protein.p1_hkl.tolist(), protein.p1_intensity, strict=True)}
    for h in protein.p1_hkl[::37].tolist():
        for op in group.sym_ops:
            assert lookup[tuple(op.apply_to_hkl(h))] == lookup[tuple(h)]
        assert not group.is_systematically_absent(h)


def test_intensities_follow_wilson_statistics():
    protein = make_protein(tiny().protein.model_copy(update={"d_min": 1.5}))
    far = protein.d < 2.5
    for centric, moment in ((False, 2.0), (True, 3.0)):
        these = far & (protein.centric == centric)
        # <I^2> / <I>^2, with the fall-off of the mean taken out in shells.
        relative = protein.intensity[these] / protein.epsilon[these]
        order = np.argsort(protein.d[these])
        shells = [relative[part] for part in np.array_split(order, 8)]
        ratio = np.mean([np.mean(i**2) / np.mean(i) ** 2 for i in shells])
        assert ratio == pytest.approx(moment, rel=0.15)
    acentric = ~protein.centric
    np.testing.assert_array_equal(protein.i_plus[protein.centric], protein.i_minus[protein.centric])
    bijvoet = (protein.i_plus - protein.i_minus) / (protein.i_plus + protein.i_minus)
    assert np.std(bijvoet[acentric]) == pytest.approx(0.012, rel=0.1)


def test_an_alternative_setting_has_the_same_lattice_and_other_intensities(tmp_path):
    protein = {"space_group": "P 43", "cell": [60, 60, 40, 90, 90, 90], "d_min": 4.0}
    made = [
        simulate(tiny(protein=protein, crystals=[{"alternative_setting": other}]), tmp_path / str(other))
        for other in (False, True)
    ]
    A = []
    for data in made:
        with h5py.File(data.truth) as truth:
            A.append(truth["crystal_0/A"][:])
    change = np.linalg.inv(A[0]) @ A[1]
    np.testing.assert_allclose(change, np.round(change), atol=1e-9)
    assert round(np.linalg.det(change)) == 1
    assert not np.allclose(change, np.eye(3))


def test_all_presets_can_be_read():
    assert {"insulin_1sweep", "insulin_small", "insulin_demo"} <= set(preset_names())
    for name in preset_names():
        config = read_config(name)
        assert SimulationConfig.model_validate_json(config.model_dump_json()) == config


def test_unknown_settings_and_files_are_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"beam": {"wave_length": 1.0}}))
    with pytest.raises(ParameterError, match=r"beam\.wave_length"):
        read_config(path)
    with pytest.raises(FileError, match="presets"):
        read_config("no_such_preset")
    with pytest.raises(ParameterError, match=r"detector\.type=ccd"):
        simulate(tiny(detector={"type": "ccd"}), tmp_path)
    with pytest.raises(ParameterError, match=r"goniometer\.scan_axis"):
        simulate(tiny(goniometer={"scan_axis": "chi", "type": "single"}), tmp_path)


def test_the_command_writes_a_data_set(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TINY))
    assert main([str(path), str(tmp_path / "out")]) == 0
    assert "4 images" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["images"] == ["tiny_1.nxs"]
    assert main(["no_such_preset", str(tmp_path)]) == 1
    assert main([]) == 2


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be made"):
        simulate(tiny(), tmp_path / "file" / "out", executor=SERIAL)


@pytest.mark.parametrize(
    ("group", "same"),
    [("P 43 21 2", {"P 43 21 2", "P 41 21 2"}), ("I 2 3", {"I 2 3", "I 21 3"}), ("C 1 2 1", {"C 1 2 1"})],
)
def test_groups_that_intensities_cannot_tell_apart(group, same):
    assert set(indistinguishable(group)) == same


def test_agreement_finds_the_setting_of_the_indices(insulin_small):
    protein = make_protein(insulin_small.config.protein)
    rng = np.random.default_rng(1)
    measured = protein.intensity * (1 + 0.1 * rng.normal(size=len(protein.hkl)))
    swapped = protein.hkl[:, [1, 0, 2]] * [1, 1, -1]
    for hkl, reindexed in ((protein.hkl, False), (swapped, True)):
        agreement = agreement_with_truth(insulin_small.truth, hkl, measured)
        assert agreement.reindexed == reindexed
        assert agreement.cc_all > 0.98
        assert (agreement.cc > 0.97).all()
        assert agreement.count.sum() == len(hkl)
        assert (agreement.d_max[1:] <= agreement.d_min[:-1] + 1e-9).all()
