"""Pictures and pages of geometry: pixels and coordinates are where they should be, and parameters matter."""

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_set import IMAGES, data, one_experiment

from parameter_flips import options, without_effect
from puredials.cli import geometry_viewer, plot_scan_varying_model, rl_png
from puredials.io.expt import write_experiments
from puredials.io.refl import write_reflections
from puredials.model import Beam, Crystal, Experiments, Flags, Goniometer, rotation_matrix
from puredials.report import plain
from puredials.report.beams import beam_course
from puredials.report.geometry import geometry_sections
from puredials.report.pictures import draw_points, view_down, write_png
from puredials.viewer import LatticeView

WHITE, RED = np.full((1, 3), 255, np.uint8), np.array([[255, 0, 0]], np.uint8)


def test_points_are_drawn_where_they_are_and_the_nearest_in_front():
    points = np.array([[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, -0.5]])
    colours = np.concatenate([WHITE, RED, WHITE])
    image = draw_points(points, colours, np.eye(3), size=(101, 101), marker=1, ground=0, reach=1.0)
    assert image[50, 50 + 48].tolist() == [255, 255, 255]
    assert image[50 - 24, 50 + 24].tolist() == [255, 0, 0]
    assert np.count_nonzero(image.any(axis=2)) == 2
    assert (draw_points(points[:0], colours[:0], np.eye(3), size=(9, 9), marker=1, ground=255) == 255).all()


def test_markers_are_discs():
    image = draw_points(np.zeros((1, 3)), WHITE, np.eye(3), size=(21, 21), marker=7, ground=0, reach=1.0)
    assert image[10, 7:14, 0].all()
    assert not image[7, 7].any()


def test_looking_down_a_direction_turns_it_to_the_eye():
    for direction, up in (([1.0, 2, 3], [0, 0, 1.0]), ([0, 0, 1.0], [0, 0, 1.0])):
        view = view_down(np.array(direction), np.array(up))
        np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(view) == pytest.approx(1)
        np.testing.assert_allclose(view[2], np.array(direction) / np.linalg.norm(direction))


def test_pictures_are_png(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    write_png(tmp_path / "a.png", image)
    raw = (tmp_path / "a.png").read_bytes()
    assert raw.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", raw[16:24]) == (7, 5)
    length = struct.unpack(">I", raw[33:37])[0]
    rows = np.frombuffer(zlib.decompress(raw[41 : 41 + length]), np.uint8).reshape(5, 22)
    np.testing.assert_array_equal(rows[:, 1:].reshape(5, 7, 3), image)


@pytest.fixture(scope="module")
def lattice():
    """Spots of two crystals that are turned; some of no experiment, some integrated, some outliers."""
    experiments, table = data(600, integrated=False)
    crystal = experiments[0].crystal
    assert crystal is not None
    B = np.asarray(crystal.A)
    turns = [rotation_matrix(np.array([1.0, 2, 3]), angle) for angle in (0.7, 1.9)]
    turned = [one_experiment(Crystal(turn @ B), identifier=f"crystal-{k}") for k, turn in enumerate(turns)]
    rows = np.arange(600)
    flags = table["flags"].copy()
    flags[rows % 3 == 0] |= np.uint64(Flags.INTEGRATED)
    flags[rows % 5 == 0] |= np.uint64(Flags.CENTROID_OUTLIER)
    flags[rows % 7 == 0] = int(Flags.STRONG)
    ids = np.where(rows % 7 == 0, -1, rows % 2).astype(np.int32)
    table = table.with_columns({"flags": flags, "id": ids})
    return Experiments(tuple(turned)), table.with_identifiers({k: e.identifier for k, e in enumerate(turned)})


def test_every_parameter_of_the_pictures_changes_them(lattice):
    view = LatticeView(*lattice)

    def outcome(params):
        return {name: image.tobytes() for name, image in rl_png.pictures(view, params).items()}

    usual = ["plot.size_inches=2,2"]
    contexts = {
        **{name: (usual, value) for name, value in (("z_min", "50"), ("z_max", "50"), ("d_min", "2"))},
        "experiment_ids": (usual, "-1"),
        "plot.size_inches": ([], "3,2"),
    }
    # The search is for data without a crystal: see test_rl_png.py.
    assert without_effect(rl_png.PROGRAM, outcome, contexts, usual=usual) == ["basis_vector_search.n_solutions"]


def test_pictures_look_down_axis_beam_and_cell(lattice):
    view = LatticeView(*lattice)
    assert list(rl_png.pictures(view, options(rl_png.PROGRAM, ["size_inches=1,1"]))) == [
        *("rotation_axis", "beam_vector", "e3", "a", "b", "c")
    ]
    directions = {name: direction for name, direction, _ in view.directions(crystal_frame=True)}
    real = lattice[0][0].crystal.unit_cell.orth.mat.tolist()
    np.testing.assert_allclose(directions["a"], np.array(real)[:, 0], atol=1e-9)
    _, _, first, count = view.points.batches[-1]
    own = slice(first, first + count)
    np.testing.assert_allclose(view.rlp(crystal_frame=True)[own] @ lattice[0][1].crystal.U.T, view.rlp()[own])


def test_pictures_are_written(lattice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_experiments(lattice[0], "a.expt")
    write_reflections(lattice[1], "a.refl")
    assert rl_png.main(["a.expt", "a.refl", "size_inches=1,1"]) == 0
    assert sorted(p.name for p in Path().glob("*.png"))[:2] == ["rl_a.png", "rl_b.png"]


def traces(section):
    return {t["name"]: t for t in section.figure["data"]}


def test_the_beam_meets_the_detector_and_the_axes_pass_the_sample():
    goniometer = Goniometer(
        np.array([[0, 1.0, 0], [1.0, 0, 0]]), np.array([30.0, 0.0]), ("phi", "omega"), scan_axis=1, multi_axis=True
    )
    (section,) = geometry_sections(Experiments((one_experiment(goniometer=goniometer),)))
    found = traces(section)
    np.testing.assert_allclose([found["direct beam"][k][1] for k in "xyz"], [0, 0, -100])
    np.testing.assert_allclose([found["omega (scan axis)"][k][1] for k in "yz"], [0, 0], atol=1e-9)
    assert {"phi", "detector", "sample", "a of crystal 0"} <= set(found)
    np.testing.assert_allclose(sorted(set(np.asarray(found["detector"]["x"]))), [-50, 50])


def test_crystals_are_turned_by_the_angle():
    experiments = Experiments((one_experiment(),))
    at = {angle: traces(geometry_sections(experiments, angle=angle)[0])["b of crystal 0"] for angle in (0.0, 90.0)}
    np.testing.assert_allclose([at[90.0]["y"][1], at[90.0]["z"][1]], [-at[0.0]["z"][1], at[0.0]["y"][1]], atol=1e-9)


def test_arrangements_that_differ_get_views_of_their_own():
    first = one_experiment()
    same, other = replace(first, identifier="two"), one_experiment(identifier="three")
    sections = geometry_sections(Experiments((first, same, other)))
    assert [s.text.split(" in ")[0] for s in sections] == ["Data sets 0, 1", "Data set 2"]


def test_every_parameter_of_the_view_changes_it(tmp_path, monkeypatch):
    experiments = Experiments((one_experiment(),))

    def outcome(params):
        found = geometry_sections(
            experiments,
            angle=params.angle,
            show_panel_axes=params.show_panel_axes,
            show_crystal_axes=params.show_crystal_axes,
        )
        return json.dumps(plain([s.figure for s in found]))

    assert without_effect(geometry_viewer.PROGRAM, outcome, {"angle": ([], "45")}) == []
    monkeypatch.chdir(tmp_path)
    write_experiments(experiments, "a.expt")
    assert geometry_viewer.main(["a.expt", "output.html=b.html"]) == 0
    assert "mesh3d" in Path("b.html").read_text()


def varying():
    """The beam and the crystal turn by a degree."""
    angles = np.radians(np.linspace(-0.5, 0.5, IMAGES + 1))
    experiment = one_experiment()
    crystal = experiment.crystal
    assert crystal is not None
    points = np.array([rotation_matrix(np.array([1.0, 0, 0]), a) @ experiment.beam.s0 for a in angles])
    A = np.array([rotation_matrix(np.array([0, 1.0, 0]), a) @ crystal.A for a in angles])
    beam = Beam(np.array([0, 0, 1.0]), 1.0, s0_at_scan_points=points)
    return replace(experiment, beam=beam, crystal=replace(crystal, A_at_scan_points=A))


def test_a_beam_that_turns_about_the_axis_moves_across_it():
    course = beam_course(varying())
    assert course is not None
    image, angles = course
    np.testing.assert_allclose(angles[:, 0], 0, atol=1e-9)
    np.testing.assert_allclose(np.abs(angles[[0, -1], 1]), 0.5, atol=1e-9)
    assert (image[0], image[-1]) == (0.5, IMAGES + 0.5)
    assert beam_course(one_experiment()) is None


def test_models_along_the_scan_are_plotted_or_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_experiments(Experiments((varying(),)), "a.expt")
    assert plot_scan_varying_model.main(["a.expt", "output.json=a.json"]) == 0
    assert set(json.loads(Path("a.json").read_text())) == {"orientation", "beam"}
    assert "Beam along the scan" in Path("dials.plot_scan_varying_model.html").read_text()
    write_experiments(Experiments((one_experiment(),)), "b.expt")
    assert plot_scan_varying_model.main(["b.expt"]) == 1
    assert "No model varies along the scan" in capsys.readouterr().err
