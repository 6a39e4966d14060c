"""From image files to experiments: sweeps, overrides, references, refusals."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from image_files import minicbf, minicbf_sweep, nxmx, pixels, smv
from puredials.errors import FileError, InputError, MismatchError, ParameterError
from puredials.geometry import mm_to_px, ray_on_plane
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.formats import image_file, open_images
from puredials.io.import_params import (
    BeamGeometry,
    DetectorGeometry,
    Geometry,
    GoniometerGeometry,
    ImportParams,
    Input,
    Lookup,
    PanelGeometry,
    ScanGeometry,
)
from puredials.io.importing import describe, import_files, split_name


def with_geometry(paths, **parts):
    return import_files(paths, params=ImportParams(geometry=Geometry(**parts))).experiments


@pytest.mark.parametrize(
    ("name", "template", "number"),
    [
        ("l-cyst_01_00001.cbf.bz2", "l-cyst_01_#####.cbf.bz2", 1),
        ("thau_3_2_0011.cbf", "thau_3_2_####.cbf", 11),
        ("snc.0042", "snc.####", 42),
        ("x_001.mar2300", "x_###.mar2300", 1),
        ("one.cbf", "one.cbf", None),
    ],
)
def test_the_last_number_of_a_name_is_that_of_the_image(tmp_path, name, template, number):
    found, n = split_name(tmp_path / name)
    assert found == str(tmp_path / template)
    assert n == number
    if number is not None:
        assert image_file(found, number) == str(tmp_path / name)


def test_images_that_continue_each_other_are_one_sweep(tmp_path):
    paths = minicbf_sweep(tmp_path, 5)
    result = import_files(paths[::-1])
    (experiment,) = result.experiments
    assert experiment.scan.image_range == (1, 5)
    assert experiment.imageset.template == str(tmp_path / "img_1_####.cbf")
    assert (result.n_images, result.n_sweeps, result.n_still_sequences) == (5, 1, 0)
    np.testing.assert_array_equal(open_images(experiment).read(4)[0], pixels(seed=5)[0])


def test_a_gap_in_numbers_or_angles_or_another_model_starts_a_sweep(tmp_path):
    paths = minicbf_sweep(tmp_path, 6)
    assert len(import_files(paths[:2] + paths[3:]).experiments) == 2
    minicbf(paths[3], pixels()[0], start=30.0)
    assert [e.scan.image_range for e in import_files(paths).experiments] == [(1, 3), (4, 4), (5, 6)]
    minicbf(paths[3], pixels()[0], start=1.5, Wavelength="1.0000 A")
    assert len(import_files(paths).experiments) == 3


def test_sweeps_share_equal_models_and_have_identifiers_of_their_own(tmp_path):
    paths = [*minicbf_sweep(tmp_path, 3), *minicbf_sweep(tmp_path, 3, prefix="img_2")]
    a, b = import_files(paths).experiments
    assert a.beam is b.beam
    assert a.detector is b.detector
    assert a.goniometer is b.goniometer
    assert a.imageset is not b.imageset
    assert len({a.identifier, b.identifier}) == 2


def test_still_images_in_order_are_experiments_with_one_image_set(tmp_path):
    result = import_files(minicbf_sweep(tmp_path, 3, width=0.0))
    assert (result.n_still_sequences, result.n_sweeps, len(result.experiments)) == (1, 0, 3)
    assert len({id(e.imageset) for e in result.experiments}) == 1
    for k, experiment in enumerate(result.experiments):
        np.testing.assert_array_equal(open_images(experiment).read(0)[0], pixels(seed=k + 1)[0])


def test_templates_and_folders_name_the_same_images(tmp_path):
    paths = minicbf_sweep(tmp_path, 3)
    (tmp_path / "notes.txt").write_text("not an image")
    named = import_files(paths).experiments[0]
    for given in (
        Input(template=(str(tmp_path / "img_1_####.cbf"),)),
        Input(directory=(str(tmp_path),)),
    ):
        (found,) = import_files([], params=ImportParams(input=given)).experiments
        assert found.scan.image_range == named.scan.image_range
        assert found.imageset.template == named.imageset.template
    (found,) = import_files([tmp_path]).experiments
    assert len(found.scan) == 3


def test_data_files_beside_their_master_are_left_to_it(tmp_path):
    nxmx(tmp_path / "x.nxs", pixels(4), files=2)
    assert len(import_files(sorted(tmp_path.iterdir())).experiments) == 1


def test_image_range_takes_part_of_each_sweep(tmp_path):
    paths = [nxmx(tmp_path / "x.nxs", pixels(8)), *minicbf_sweep(tmp_path, 8)]
    for experiment in with_geometry(paths, scan=ScanGeometry(image_range=(3, 5))):
        start, width = experiment.scan.oscillation
        first = 10 if experiment.imageset.single_file_indices else 0
        assert experiment.scan.image_range == (3, 5)
        assert start == pytest.approx(first + 2 * width)
        assert experiment.imageset.single_file_indices in ((2, 3, 4), None)
    for outside in ((3, 9), (0, 4), (5, 3)):
        with pytest.raises(ParameterError, match="is not within the images 1 to 8"):
            with_geometry(paths, scan=ScanGeometry(image_range=outside))


def test_an_oscillation_makes_a_sweep_of_stills(tmp_path):
    paths = [smv(tmp_path / f"x_{k:03d}.img", pixels()[0], OSC_RANGE=0) for k in range(1, 5)]
    given = {"scan": ScanGeometry(oscillation=(5, 1)), "goniometer": GoniometerGeometry(axis=(1, 0, 0))}
    (experiment,) = with_geometry(paths, **given)
    assert experiment.scan.oscillation == (5, 1)
    assert experiment.scan.image_range == (1, 4)
    np.testing.assert_allclose(experiment.goniometer.axis, (1, 0, 0))


def beam_px(experiment):
    panel, s0 = experiment.detector[0], experiment.beam.s0
    return mm_to_px(ray_on_plane(s0[None], panel)[0], panel)[0]


def test_beam_centres_of_all_conventions_put_the_beam_there(tmp_path):
    paths = minicbf_sweep(tmp_path, 2)
    for given in (
        DetectorGeometry(fast_slow_beam_centre=(12.0, 34.0)),
        DetectorGeometry(slow_fast_beam_centre=(34.0, 12.0)),
        DetectorGeometry(mosflm_beam_centre=(34.0 * 0.172, 12.0 * 0.172)),
        DetectorGeometry(fast_slow_beam_centre=(12.0, 34.0, 0), distance=200.0),
    ):
        (experiment,) = with_geometry(paths, detector=given)
        np.testing.assert_allclose(beam_px(experiment), (12, 34), atol=1e-9)
        assert experiment.detector[0].distance == pytest.approx(given.distance or 150)


def test_the_distance_of_a_detector_on_an_arm_is_along_its_normal(tmp_path):
    path = nxmx(tmp_path / "x.nxs", pixels(2), two_theta=20)
    before = import_files([path]).experiments[0].detector[0]
    (experiment,) = with_geometry([path], detector=DetectorGeometry(distance=150.0))
    after = experiment.detector[0]
    assert after.distance == pytest.approx(150)
    np.testing.assert_allclose(np.cross(after.origin - before.origin, before.normal), 0, atol=1e-9)
    (experiment,) = with_geometry([path], detector=DetectorGeometry(mosflm_beam_centre=(1.5, 2.25)))
    np.testing.assert_allclose(experiment.detector[0].origin, before.origin, atol=1e-9)


def test_panel_values_replace_those_of_the_header(tmp_path):
    paths = minicbf_sweep(tmp_path, 2)
    given = PanelGeometry(
        fast_axis=(0, 1, 0), slow_axis=(1, 0, 0), origin=(1, 2, -80), gain=2.0, trusted_range=(0, 100), thickness=1.0,
        name="A", type="SENSOR_CCD", pedestal=5.0, pixel_size=(0.1, 0.1),
    )  # fmt: skip
    panel = with_geometry(paths, detector=DetectorGeometry(panel=given))[0].detector[0]
    np.testing.assert_allclose(panel.d_matrix, np.column_stack([(0, 1, 0), (1, 0, 0), (1, 2, -80)]))
    assert (panel.gain, panel.trusted_range, panel.thickness, panel.name) == (2, (0, 100), 1.0, "A")
    with pytest.raises(ParameterError, match="together"):
        with_geometry(paths, detector=DetectorGeometry(panel=PanelGeometry(origin=(0, 0, 1))))
    with pytest.raises(ParameterError, match="has 1 panels"):
        with_geometry(paths, detector=DetectorGeometry(panel=PanelGeometry(id=3, gain=2.0)))


def test_another_wavelength_or_material_changes_the_attenuation(tmp_path):
    paths = minicbf_sweep(tmp_path, 2)
    plain = import_files(paths).experiments[0].detector[0]
    longer = with_geometry(paths, beam=BeamGeometry(wavelength=1.2))[0].detector[0]
    heavier = with_geometry(paths, detector=DetectorGeometry(panel=PanelGeometry(material="CdTe")))[0].detector[0]
    assert plain.mu < longer.mu < heavier.mu
    flat = PanelGeometry(parallax_correction=False)
    assert not with_geometry(paths, detector=DetectorGeometry(panel=flat))[0].detector[0].parallax


def test_the_beam_can_be_replaced(tmp_path):
    given = BeamGeometry(
        wavelength=1.1, direction=(0, 0.1, 1), polarization_fraction=0.5, polarization_normal=(2, 0, 0), flux=9.0
    )
    beam = with_geometry(minicbf_sweep(tmp_path, 2), beam=given)[0].beam
    assert (beam.wavelength, beam.polarization_fraction, beam.flux) == (1.1, 0.5, 9.0)
    np.testing.assert_allclose(beam.direction, np.array([0, 0.1, 1]) / np.hypot(0.1, 1))
    np.testing.assert_allclose(beam.polarization_normal, (1, 0, 0))


def test_goniometers_can_be_replaced_and_inverted(tmp_path):
    path = nxmx(tmp_path / "x.nxs", pixels(2))
    axes = GoniometerGeometry(axes=(1, 0, 0, 0, 1, 0), angles=(3, 4), names=("a", "b"), scan_axis=0)
    gonio = with_geometry([path], goniometer=axes)[0].goniometer
    np.testing.assert_allclose(gonio.axes, [(1, 0, 0), (0, 1, 0)])
    assert (gonio.names, gonio.scan_axis, gonio.angles.tolist()) == (("a", "b"), 0, [3, 4])
    angles = with_geometry([path], goniometer=GoniometerGeometry(angles=(1, 2, 3)))[0].goniometer
    assert angles.angles.tolist() == [1, 2, 3]
    before = import_files([path]).experiments[0].goniometer
    after = with_geometry([path], goniometer=GoniometerGeometry(invert_rotation_axis=True))[0].goniometer
    np.testing.assert_allclose(after.axes, -before.axes)
    turned = GoniometerGeometry(axis=(0, 1, 0), setting_rotation=(0, -1, 0, 1, 0, 0, 0, 0, 1))
    np.testing.assert_allclose(with_geometry([path], goniometer=turned)[0].goniometer.rotation_axis, (-1, 0, 0))
    for wrong in (
        {"axes": (1, 0)},
        {"angles": (1, 2)},
        {"scan_axis": 3},
        {"fixed_rotation": (1, 0, 0, 0, 1, 0, 0, 0, 1)},
        {"axis": (0, 0, 0)},
    ):
        with pytest.raises(ParameterError):
            with_geometry([path], goniometer=GoniometerGeometry(**wrong))


def test_a_reference_gives_its_models_but_not_its_angles(tmp_path):
    path = nxmx(tmp_path / "x.nxs", pixels(2))
    reference = import_files([path]).experiments
    moved = reference[0].detector.moved(np.eye(3), np.array([0.5, 0, 0]))
    gonio = replace(reference[0].goniometer, angles=np.array([0.0, 90, 0]))
    write_experiments(
        reference.with_items([replace(reference[0], detector=moved, goniometer=gonio)]), tmp_path / "ref.expt"
    )
    params = ImportParams(input=Input(reference_geometry=str(tmp_path / "ref.expt")))
    (experiment,) = import_files([path], params=params).experiments
    np.testing.assert_allclose(experiment.detector[0].origin, moved[0].origin)
    assert experiment.goniometer.angles.tolist() == [0, 30, 10]
    kept = params.model_copy(update={"input": params.input.model_copy(update={"use_detector_reference": False})})
    own = import_files([path], params=kept).experiments[0].detector[0]
    np.testing.assert_allclose(own.origin, reference[0].detector[0].origin)
    with pytest.raises(MismatchError, match="other panels or pixels"):
        import_files(minicbf_sweep(tmp_path, 2), params=params)


def test_a_lookup_mask_is_checked_and_kept(tmp_path):
    paths = minicbf_sweep(tmp_path, 2)
    np.save(tmp_path / "m.npy", np.ones((40, 60), bool))
    params = ImportParams(lookup=Lookup(mask=str(tmp_path / "m.npy")))
    assert import_files(paths, params=params).experiments[0].imageset.mask == str(tmp_path / "m.npy")
    np.save(tmp_path / "m.npy", np.ones((4, 6), bool))
    with pytest.raises(MismatchError):
        import_files(paths, params=params)


def test_imported_experiments_survive_their_file(tmp_path):
    result = import_files([nxmx(tmp_path / "x.nxs", pixels(4), two_theta=5), *minicbf_sweep(tmp_path, 3)])
    write_experiments(result.experiments, tmp_path / "imported.expt")
    for a, b in zip(result.experiments, read_experiments(tmp_path / "imported.expt"), strict=True):
        np.testing.assert_allclose(a.detector[0].d_matrix, b.detector[0].d_matrix, atol=1e-12)
        np.testing.assert_array_equal(open_images(a).read(1)[0], open_images(b).read(1)[0])


def test_the_summary_counts_what_was_imported(tmp_path):
    params = ImportParams(geometry=Geometry(scan=ScanGeometry(image_range=(1, 2))))
    text = describe(import_files(minicbf_sweep(tmp_path, 3), params=params), params)
    for line in (
        "1. Manual geometry",
        "format: FormatCBFMiniPilatus",
        "num images: 2",
        "sweep:    1",
        "img_1_####.cbf",
    ):
        assert line in text


def test_files_that_cannot_be_imported_are_refused_in_a_sentence(tmp_path):
    good = minicbf_sweep(tmp_path, 2)
    cases = {
        "does not exist": tmp_path / "none.cbf",
        "is empty": tmp_path / "empty_1.cbf",
        "not an image file of a known kind": tmp_path / "foreign_1.img",
        "truncated: it ends": tmp_path / "cut_1.cbf",
        "truncated: it holds no image": tmp_path / "header_1.cbf",
        "truncated or damaged": tmp_path / "cut.nxs",
    }
    cases["is empty"].write_bytes(b"")
    cases["not an image file of a known kind"].write_text("hello")
    content = good[0].read_bytes()
    cases["truncated: it ends"].write_bytes(content[:-300])
    cases["truncated: it holds no image"].write_bytes(content[:200])
    whole = nxmx(tmp_path / "whole.nxs", pixels(2)).read_bytes()
    cases["truncated or damaged"].write_bytes(whole[: len(whole) // 2])
    for words, path in cases.items():
        with pytest.raises(FileError, match=words):
            import_files([path])
    shutil.move(tmp_path / "whole_000001.h5", tmp_path / "elsewhere.h5")
    with pytest.raises(FileError, match=r"refers to images in whole_000001.h5, which is not there"):
        import_files([tmp_path / "whole.nxs"])
    with pytest.raises(FileError, match="without an entry of images; give the master"):
        import_files([tmp_path / "elsewhere.h5"])
    minicbf(good[1], pixels(shape=(20, 30))[0], start=0.5)
    with pytest.raises(MismatchError, match=r"different detectors \(60 x 40 and 30 x 20 pixels\)"):
        import_files(good)
    with pytest.raises(InputError, match="No images"):
        import_files([])


def test_one_sequence_only_if_so_asked(tmp_path):
    params = ImportParams(input=Input(allow_multiple_sequences=False))
    paths = [*minicbf_sweep(tmp_path, 2), *minicbf_sweep(tmp_path, 2, prefix="img_2")]
    assert len(import_files(paths[:2], params=params).experiments) == 1
    with pytest.raises(InputError, match="2 sequences"):
        import_files(paths, params=params)
