"""The geometry that image headers tell."""

import struct
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from image_files import SHAPE, minicbf, minicbf_sweep, nxmx, pixels, smv
from puredials.errors import FileError
from puredials.io.expt import read_experiments
from puredials.io.formats import open_images
from puredials.io.formats.frames import epoch, gap_rectangles
from puredials.io.formats.materials import attenuation, material_symbol
from puredials.io.import_params import Geometry, GoniometerGeometry, ImportParams, ScanGeometry
from puredials.io.importing import import_files


def only(*paths):
    (experiment,) = import_files(paths).experiments
    return experiment


SNASE = ImportParams(
    geometry=Geometry(
        scan=ScanGeometry(oscillation=(0, 1)),
        goniometer=GoniometerGeometry(axis=(1, 0, 0)),
    )
)
ORACLES = {
    "l_cysteine": ("l_cysteine/*.cbf.bz2", ImportParams()),
    "thaumatin_6m": ("thaumatin_6m/*.cbf.bz2", ImportParams()),
    "snase": ("snase/*.img.bz2", SNASE),
    "DLS_I03_smargon_0001.cbf.gz": ("formats/DLS_I03_smargon_0001.cbf.gz", ImportParams()),
    "TIMEPIX_SU_512-stdgoni_0001.img.gz": ("formats/TIMEPIX_SU_512-stdgoni_0001.img.gz", ImportParams()),
    "dlsnxs2cbf_therm_0001.cbf.gz": ("formats/dlsnxs2cbf_therm_0001.cbf.gz", ImportParams()),
    "simtbx_FormatSMVJHSim_001.img.gz": ("formats/simtbx_FormatSMVJHSim_001.img.gz", ImportParams()),
}


@pytest.mark.parametrize("name", ORACLES)
def test_real_headers_give_the_geometry_that_dials_reads(shared, name):
    """Oracle: dials.import 3.12 on the same files. Its trusted ranges exclude their ends, so those differ."""
    pattern, params = ORACLES[name]
    ours = import_files(sorted((shared / "data").glob(pattern)), params=params).experiments
    oracle = read_experiments(shared / "data" / "geometry_oracle" / f"{name}.expt")
    assert len(ours) == len(oracle)
    for a, b in zip(ours, oracle, strict=True):
        for field in ("direction", "wavelength", "polarization_normal", "polarization_fraction", "flux"):
            np.testing.assert_allclose(getattr(a.beam, field), getattr(b.beam, field), atol=1e-9)
        assert len(a.detector) == len(b.detector)
        for p, q in zip(a.detector.panels, b.detector.panels, strict=True):
            for field in ("fast", "slow", "origin", "pixel_size", "thickness", "mu", "gain", "pedestal"):
                np.testing.assert_allclose(getattr(p, field), getattr(q, field), rtol=1e-6, atol=1e-6)
            for field in ("image_size", "raw_image_offset", "mask", "material", "type", "name", "parallax"):
                assert getattr(p, field) == getattr(q, field), field
            assert p.valid_range[0] == -0.5
            assert abs(p.trusted_range[1] - q.trusted_range[1]) == 0.5
        g, h = a.goniometer, b.goniometer
        for field in ("axes", "angles", "fixed", "setting", "scan_axis"):
            np.testing.assert_allclose(getattr(g, field), getattr(h, field), atol=1e-9)
        assert g.multi_axis == h.multi_axis
        assert g.names == h.names or not g.multi_axis
        s, t = a.scan, b.scan
        assert (s.image_range, s.batch_offset) == (t.image_range, t.batch_offset)
        np.testing.assert_allclose(s.oscillation, t.oscillation, atol=1e-9)
        np.testing.assert_allclose(s.exposure_times, t.exposure_times)
        np.testing.assert_allclose(s.epochs, t.epochs, rtol=0, atol=1e-4)
        assert Path(a.imageset.template).name == Path(b.imageset.template).name
    for kind in ("beam", "detector", "goniometer"):
        share = [[[id(getattr(e, kind)) for e in x].index(id(getattr(e, kind))) for e in x] for x in (ours, oracle)]
        assert share[0] == share[1], kind


def test_real_images_are_those_of_fabio(shared):
    fabio = pytest.importorskip("fabio")
    for name in ("formats/DLS_I03_smargon_0001.cbf.gz", "snase/snc_newhead_00001.img.bz2"):
        path = shared / "data" / name
        np.testing.assert_array_equal(open_images(only(path)).read(0)[0], fabio.open(str(path)).data)


@pytest.mark.parametrize(
    ("wavelength", "mu"),
    [(0.98027, 3.96950806), (0.6889, 1.4153536), (0.9763, 3.9226247), (0.9795, 3.9603861), (0.96859, 3.8326187)],
)
def test_silicon_attenuates_as_in_the_tables_of_nist(wavelength, mu):
    """Oracle: dials.import 3.12."""
    assert attenuation("Si", wavelength) == pytest.approx(mu, rel=1e-6)


def test_cadmium_telluride_attenuates_as_in_the_tables_of_nist():
    """Oracle: dials.import 3.12, for the density 6.2 of those tables; the crystal's is 5.85 g/cm3."""
    assert attenuation("CdTe", 0.9795) * 6.2 / 5.85 == pytest.approx(45.5157, rel=5e-3)
    with pytest.raises(FileError, match='"unobtainium" is not one of'):
        material_symbol("unobtainium")


def test_nxmx_axes_are_turned_into_our_frame(tmp_path):
    experiment = only(nxmx(tmp_path / "x.nxs", pixels(4)))
    panel, gonio = experiment.detector[0], experiment.goniometer
    np.testing.assert_allclose(panel.fast, (1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(panel.slow, (0, -1, 0), atol=1e-12)
    np.testing.assert_allclose(panel.origin, (-2.25, 1.5, -100), atol=1e-9)
    assert panel.image_size == (60, 40)
    assert panel.trusted_range == (-0.5, 46000.5)
    assert panel.parallax
    assert gonio.names == ("phi", "chi", "omega")
    np.testing.assert_allclose(gonio.axes, [(1, 0, 0), (0, 0, -1), (1, 0, 0)], atol=1e-12)
    np.testing.assert_allclose(gonio.angles, (0, 30, 10))
    assert gonio.scan_axis == 2
    np.testing.assert_allclose(experiment.scan.oscillation, (10, 0.2))
    assert experiment.imageset.single_file_indices == (0, 1, 2, 3)


def test_a_two_theta_arm_swings_the_detector_about_its_axis(tmp_path):
    """About +x by 25 degrees: the detector's centre rises by 100 sin 25 mm and keeps its distance."""
    straight = only(nxmx(tmp_path / "a.nxs", pixels(2))).detector[0]
    swung = only(nxmx(tmp_path / "b.nxs", pixels(2), two_theta=25)).detector[0]
    assert swung.distance == pytest.approx(straight.distance)
    centre = swung.origin + 2.25 * swung.fast + 1.5 * swung.slow
    np.testing.assert_allclose(centre, (0, 100 * np.sin(np.radians(25)), -100 * np.cos(np.radians(25))), atol=1e-9)


def test_modules_tile_the_detector_of_one_panel(tmp_path):
    whole = only(nxmx(tmp_path / "a.nxs", pixels(2), two_theta=10)).detector[0]
    for panel in only(nxmx(tmp_path / "b.nxs", pixels(2), two_theta=10, modules=2)).detector.panels:
        expected = whole.origin + 0.075 * panel.raw_image_offset[1] * whole.slow
        np.testing.assert_allclose(panel.origin, expected, atol=1e-9)
        np.testing.assert_allclose(panel.slow, whole.slow, atol=1e-12)


def test_a_scan_backwards_is_one_forwards_about_the_opposite_axis(tmp_path):
    forwards, backwards = (only(nxmx(tmp_path / f"{w}.nxs", pixels(3), width=w)) for w in (0.2, -0.2))
    assert backwards.scan.oscillation == pytest.approx((-10, 0.2))
    for z in (0.0, 2.5):
        turn = [e.goniometer.axis * e.scan.phi(np.array([z])) for e in (forwards, backwards)]
        start = forwards.goniometer.axis * np.radians(10)
        np.testing.assert_allclose(turn[0] - start, start - turn[1], atol=1e-12)


def test_images_that_do_not_turn_are_stills(tmp_path):
    result = import_files([nxmx(tmp_path / "x.nxs", pixels(3), width=0.0)])
    assert (result.n_images, result.n_stills, result.n_sweeps) == (3, 3, 0)
    assert all(e.goniometer is None and e.scan is None for e in result.experiments)
    np.testing.assert_array_equal(open_images(result.experiments[2]).read(0)[0], pixels(3)[2])


def test_a_master_file_of_the_file_writer_is_understood(tmp_path):
    images = pixels(4, dtype="u4")
    for k in (1, 2):
        with h5py.File(tmp_path / f"x_data_{k:06d}.h5", "w") as file:
            part = images[2 * k - 2 : 2 * k]
            file.create_dataset("entry/data/data", data=part, chunks=(1, *SHAPE), **hdf5plugin.Bitshuffle(cname="lz4"))
    with h5py.File(tmp_path / "x_master.h5", "w") as file:
        entry = file.create_group("entry")
        for k in (1, 2):
            link = h5py.ExternalLink(f"x_data_{k:06d}.h5", "/entry/data/data")
            entry.require_group("data")[f"data_{k:06d}"] = link
        entry["instrument/beam/incident_wavelength"] = 0.9763
        detector = entry.create_group("instrument/detector")
        values = {"beam_center_x": 30.0, "beam_center_y": 20.0, "detector_distance": 0.1, "x_pixel_size": 7.5e-5}
        values |= {"y_pixel_size": 7.5e-5, "frame_time": 0.02, "sensor_thickness": 4.5e-4, "sensor_material": "Si"}
        values |= {"detectorSpecific/countrate_correction_count_cutoff": 12000}
        for name, value in values.items():
            detector[name] = value
        entry["sample/goniometer/omega"] = [5.0, 5.1, 5.2, 5.3]
        entry["sample/goniometer/omega_range_average"] = 0.1
    experiment = only(tmp_path / "x_master.h5")
    panel = experiment.detector[0]
    np.testing.assert_allclose(panel.origin, (-2.25, 1.5, -100))
    assert panel.trusted_range == (-0.5, 12000.5)
    assert experiment.scan.oscillation == pytest.approx((5, 0.1))
    np.testing.assert_allclose(experiment.goniometer.axis, (1, 0, 0))
    np.testing.assert_array_equal(open_images(experiment).read(3)[0], images[3])


def test_a_mini_header_gives_beam_centre_axis_and_limits(tmp_path):
    experiment = only(*minicbf_sweep(tmp_path, 3))
    panel = experiment.detector[0]
    np.testing.assert_allclose(panel.origin, (-30.5 * 0.172, 20.25 * 0.172, -150))
    assert panel.trusted_range == (-0.5, 1048500.5)
    assert (panel.thickness, panel.material) == (0.32, "Si")
    np.testing.assert_allclose(experiment.goniometer.axis, (1, 0, 0))
    assert experiment.scan.oscillation == (0, 0.5)
    np.testing.assert_allclose(experiment.scan.exposure_times, 0.2)
    np.testing.assert_allclose(experiment.scan.epochs, 1704067200)


@pytest.mark.parametrize(
    ("detector", "axis", "expected"),
    [
        ("PILATUS3 6M, S/N 60-0125", "X.CW", (-1, 0, 0)),
        ("PILATUS3 6M, S/N 60-0119", "X.CW", (0, 1, 0)),
        ("PILATUS 6M, S/N 60-0100", "X.CW +SLOW", (0, 1, 0)),
        ("Dectris EIGER 16M, S/N E-32-0107", "omega", (0, 1, 0)),
        ("Dectris EIGER 16M, S/N E-32-0100", "omega", (1, 0, 0)),
    ],
)
def test_beamlines_with_another_axis_are_known(tmp_path, detector, axis, expected):
    """Oracle: dials.import 3.12 on headers with these serial numbers."""
    path = minicbf(tmp_path / "x_0001.cbf", pixels()[0], **{"Detector:": detector, "Oscillation_axis": axis})
    np.testing.assert_allclose(only(path).goniometer.axis, expected)


def test_a_header_without_wavelength_is_refused(tmp_path):
    path = minicbf(tmp_path / "x_0001.cbf", pixels()[0])
    path.write_bytes(path.read_bytes().replace(b"# Wavelength", b"# Wavelungth"))
    with pytest.raises(FileError, match='has no "Wavelength"'):
        import_files([path])


def test_adsc_beam_centres_run_along_slow_first(tmp_path):
    experiment = only(smv(tmp_path / "x_001.img", pixels()[0], TWOTHETA=0))
    np.testing.assert_allclose(experiment.detector[0].origin, (-3, 2, -100))
    assert experiment.detector[0].type == "SENSOR_CCD"
    assert experiment.detector[0].trusted_range == (-0.5, 65534.5)


def test_the_gaps_of_detectors_are_between_whole_modules():
    assert gap_rectangles((981, 1043), "PILATUS")[:2] == ((487, 0, 494, 1043), (0, 195, 981, 212))
    assert len(gap_rectangles((2463, 2527), "PILATUS")) == 15
    assert len(gap_rectangles((4150, 4371), "EIGER")) == 10
    assert gap_rectangles((1000, 1000), "PILATUS") == ()


def test_dates_of_all_styles_are_understood():
    for text in ("2024-01-01T00:00:00.500", "2024/Jan/01 00:00:00.500"):
        assert epoch(text) == 1704067200.5
    assert epoch("Mon Jan 1 00:00:00 2024") == 1704067200
    assert epoch("yesterday") == 0


def test_marccd_headers_and_pixels_are_read(tmp_path):
    image = pixels()[0]
    header = bytearray(4096)
    header[:4] = b"II*\0"
    header[1024 + 4 : 1024 + 7] = b"MMX"
    fields = {80: 60, 84: 40, 88: 2, 104: 65535, 640: 120000, 644: 30000, 648: 20000, 656: 1500, 684: 5000, 716: 5500}
    fields |= {772: 79000, 776: 79000, 908: 97900}
    for offset, value in fields.items():
        struct.pack_into("<i", header, 1024 + offset, value)
    path = tmp_path / "x_001.mccd"
    path.write_bytes(bytes(header) + image.tobytes())
    experiment = only(path)
    np.testing.assert_allclose(experiment.detector[0].origin, (-30 * 0.079, 20 * 0.079, -120))
    assert experiment.beam.wavelength == pytest.approx(0.979)
    assert experiment.scan.oscillation == pytest.approx((5, 0.5))
    np.testing.assert_array_equal(open_images(experiment).read(0)[0], image)
    path.write_bytes(bytes(header) + image.tobytes()[:-2])
    with pytest.raises(FileError, match="truncated"):
        open_images(experiment).read(0)


def test_images_without_geometry_in_their_header_are_refused(tmp_path):
    fabio = pytest.importorskip("fabio")
    path = tmp_path / "x_001.tif"
    fabio.tifimage.TifImage(data=pixels()[0]).write(str(path))
    with pytest.raises(FileError, match="does not tell wavelength and distance"):
        import_files([path])
