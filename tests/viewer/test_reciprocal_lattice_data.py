"""What the reciprocal lattice viewer's page gets, and what it saves."""

import json
import threading
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lattice_set import CELL, lattice_data, lattice_view

from puredials.cli import reciprocal_lattice_viewer as program
from puredials.cli import viewing
from puredials.errors import MismatchError, NoSpotsError, ParameterError
from puredials.geometry import px_to_s1, ray_on_plane, s1_to_rlp
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.refl import write_reflections
from puredials.model import Experiments, Flags, Shoeboxes
from puredials.viewer import LATTICE_STATIC, LatticeView, ViewerServer, reciprocal_lattice
from puredials.viewer.reciprocal_lattice import moved_experiments


def read(reply) -> tuple[dict[str, Any], Any]:
    """The arrays and the JSON value of an answer."""
    body = reply.body
    length = int.from_bytes(body[:4], "little")
    head = json.loads(body[4 : 4 + length])
    start = 4 + length
    arrays = {
        a["name"]: np.frombuffer(body, a["type"], int(np.prod(a["shape"])), start + a["start"]).reshape(a["shape"])
        for a in head["arrays"]
    }
    return arrays, head["about"]


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    return lattice_view(tmp_path_factory.mktemp("lattice"))


def test_points_are_lattice_points_of_their_crystals(view):
    rlp, table = view.rlp(), view.reflections
    for number, id_, first, count in view.points.batches:
        part = slice(first, first + count)
        if id_ < 0:
            continue
        hkl = table["miller_index"][view.points.row[part]]
        np.testing.assert_allclose(rlp[part], hkl @ view.experiments[number].crystal.A.T, atol=2e-6)


def test_points_agree_with_the_geometry_of_pixels(view):
    table, rows = view.reflections, view.points.row
    experiment = view.experiments[0]
    xyz = table["xyzobs.px.value"][rows]
    s1 = px_to_s1(xyz[:, :2].copy(), table["panel"][rows].astype(int), experiment.detector, experiment.beam)
    expected = s1_to_rlp(s1, experiment.scan.phi(xyz[:, 2]), experiment.beam, experiment.goniometer)
    np.testing.assert_allclose(view.rlp(), expected, atol=1e-12)


def test_the_page_gets_single_precision_positions_angles_and_status(view):
    arrays, about = read(view.routes["points.bin"]({}))
    table, rows = view.reflections, view.points.row
    assert arrays["position"].dtype == np.float32
    np.testing.assert_allclose(arrays["position"], view.points.position, rtol=1e-6)
    np.testing.assert_allclose(arrays["phi"], view.points.phi, rtol=1e-6)
    np.testing.assert_array_equal(arrays["status"] & 1 != 0, table.has(Flags.INDEXED)[rows])
    np.testing.assert_array_equal(arrays["status"] & 2 != 0, table.has(Flags.INTEGRATED)[rows])
    np.testing.assert_array_equal(arrays["status"] & 4 != 0, table.has(Flags.CENTROID_OUTLIER)[rows])
    np.testing.assert_array_equal(arrays["pixels"], table["n_signal"][rows])
    np.testing.assert_allclose(arrays["partiality"] / 65535, table["partiality"][rows], atol=1e-5)
    assert [b["id"] for b in about["batches"]] == [-1, 0, 1]
    assert sum(b["count"] for b in about["batches"]) == table.n_rows
    assert about["z"] == [10, 70]
    assert about["models"][0]["cell"] == list(CELL)
    assert [m["crystal"] for m in about["models"]] == [0, 1]


def test_a_point_is_told_with_its_indices_and_place(view):
    n = 200
    row = int(view.points.row[n])
    told = json.loads(zlib.decompress(view.routes["point.json"]({"n": str(n)}).body))
    assert told["row"] == row
    assert told["hkl"] == view.reflections["miller_index"][row].tolist()
    assert told["image"] == int(view.reflections["xyzobs.px.value"][row, 2]) + 1
    np.testing.assert_allclose(told["xyz"], view.reflections["xyzobs.px.value"][row], atol=0.006)
    assert json.loads(zlib.decompress(view.routes["point.json"]({"n": "3"}).body))["hkl"] is None
    with pytest.raises(ParameterError, match="no point"):
        view.routes["point.json"]({"n": "999999"})


def test_a_moved_beam_centre_is_where_it_was_put():
    experiments, _ = lattice_data()
    moved = moved_experiments(experiments, 1, (0.7, -0.4), False)
    for before, after in zip(experiments, moved, strict=True):
        shift = (ray_on_plane(e.beam.s0[None], e.detector[1])[0][0] for e in (after, before))
        np.testing.assert_allclose(np.subtract(*shift), [0.7, -0.4], atol=1e-9)
        assert after.goniometer is before.goniometer
    assert moved[0].detector is moved[1].detector


def axis_of(experiments):
    goniometer = experiments[1].goniometer
    assert goniometer is not None
    return goniometer.rotation_axis


def test_an_inverted_axis_turns_the_other_way():
    experiments, _ = lattice_data()
    moved = moved_experiments(experiments, 0, (0.0, 0.0), True)
    np.testing.assert_allclose(axis_of(moved), -axis_of(experiments))
    assert moved[0].goniometer is moved[1].goniometer
    with pytest.raises(ParameterError, match="no panel 7"):
        moved_experiments(experiments, 7, (0.0, 0.0), False)


def test_changed_geometry_is_saved_where_the_viewer_runs(view):
    value = {"name": "b.expt", "panel": 0, "x": 0.5, "y": 0.25, "invert": True}
    path = json.loads(zlib.decompress(view.actions["save"](value).body))
    assert Path(path) == view.folder / "b.expt"
    saved = read_experiments(Path(path))
    expected = moved_experiments(view.experiments, 0, (0.5, 0.25), True)
    np.testing.assert_allclose(saved[0].detector[1].origin, expected[0].detector[1].origin, atol=1e-9)
    np.testing.assert_allclose(axis_of(saved), axis_of(expected), atol=1e-9)


@pytest.mark.parametrize("name", ["../b.expt", "/tmp/b.expt", "b.txt", "", None, "b\n.expt"])
def test_nothing_is_saved_elsewhere(view, name):
    with pytest.raises(ParameterError):
        view.actions["save"]({"name": name, "panel": 0, "x": 0, "y": 0, "invert": False})


def test_too_many_points_are_thinned_and_the_page_knows(monkeypatch):
    monkeypatch.setattr(reciprocal_lattice, "MOST_POINTS", 500)
    experiments, table = lattice_data()
    arrays, about = read(LatticeView(experiments, table).routes["points.bin"]({}))
    assert 250 < len(arrays["phi"]) <= 500
    assert about["rows"] == table.n_rows


def test_without_observed_centroids_there_is_nothing_to_show():
    experiments, table = lattice_data()
    with pytest.raises(MismatchError, match="xyzobs"):
        LatticeView(experiments, table.without(["xyzobs.px.value"]))
    with pytest.raises(NoSpotsError, match="empty"):
        LatticeView(experiments, table.select(np.zeros(table.n_rows, bool)))
    with pytest.raises(MismatchError, match="belongs"):
        LatticeView(Experiments(experiments.items[:1]), table.with_columns({"id": np.full(table.n_rows, 5, np.int32)}))


def test_reflections_that_were_not_observed_are_where_they_are_predicted():
    experiments, table = lattice_data()
    xyz = table["xyzobs.px.value"]
    hidden = table.with_columns({"xyzobs.px.value": np.zeros_like(xyz), "xyzcal.px": xyz})
    np.testing.assert_array_equal(LatticeView(experiments, hidden).rlp(), LatticeView(experiments, table).rlp())


def test_the_server_gives_page_and_points_and_refuses_bad_questions(view):
    with ViewerServer(view.routes, LATTICE_STATIC, actions=view.actions) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            for name in ("", *LATTICE_STATIC, "points.bin"):
                with urllib.request.urlopen(server.address + name, timeout=10) as reply:
                    assert reply.status == 200
            for name, code in (("point.json?n=x", 400), ("point.json", 400), ("reciprocal_lattice.py", 404)):
                with pytest.raises(urllib.error.HTTPError) as error:
                    urllib.request.urlopen(server.address + name, timeout=10)
                assert error.value.code == code
                error.value.close()
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the program on spots with shoeboxes; its job, the static files and what would be served."""
    monkeypatch.chdir(tmp_path)
    experiments, table = lattice_data()
    n = table.n_rows
    bbox = np.tile(np.array([0, 2, 0, 1, 0, 1], np.int32), (n, 1))
    pixels, mask = np.ones(2 * n, np.float32), np.full(2 * n, 5, np.uint8)
    boxes = Shoeboxes(table["panel"].astype(np.uint32), bbox, np.arange(0, 2 * n + 1, 2), pixels, mask, pixels)
    write_experiments(experiments, "a.expt")
    write_reflections(table.with_columns({"shoebox": boxes}), "a.refl")
    served = []
    monkeypatch.setattr(viewing, "serve", lambda job, _, static, **tables: served.append((job, static, tables)))

    def run(*words):
        assert program.main(["a.expt", "a.refl", *words]) == 0
        return served.pop()

    return run


def test_the_proposed_name_is_that_of_the_parameter(run):
    _, static, tables = run("output.experiments=mine.expt")
    assert static == LATTICE_STATIC
    assert read(tables["routes"]["points.bin"]({}))[1]["name"] == "mine.expt"


def test_of_reflections_only_what_is_shown_is_read(run, view):
    """Pixels of spots are most of a file: of a million they take seconds, and a gigabyte of memory."""
    job, _, tables = run()
    assert "shoebox" not in job.reflections
    found, about = read(tables["routes"]["points.bin"]({}))
    expected, expected_about = read(view.routes["points.bin"]({}))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    assert about["batches"] == expected_about["batches"]
