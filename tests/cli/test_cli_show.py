"""dials.show, dials.version and puredials."""

from dataclasses import replace
from importlib.metadata import entry_points

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puredials import __version__
from puredials.cli import puredials, show, version
from puredials.io.expt import write_experiments
from puredials.io.refl import write_reflections
from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Flags,
    Goniometer,
    Panel,
    Profile,
    ReflectionTable,
    Scan,
)
from puredials.report.models import crystal_text, experiment_text, resolution_limits, with_esd
from puredials.report.reflections import flags_text, rows_text, summary_text


def panel(x: float, y: float, size: tuple[int, int] = (100, 100)) -> Panel:
    """A panel 100 mm downstream whose corner (0, 0) is at x, y (mm)."""
    return Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([x, y, -100.0]), size, (0.1, 0.1))


@pytest.fixture
def experiment() -> Experiment:
    crystal = Crystal(np.diag([0.1, 0.05, 0.025]), "P 2 2", B_covariance=np.diag(np.full(9, 1e-12)))
    beam, goniometer = Beam(np.array([0, 0, 1.0]), 1.0), Goniometer(np.array([1.0, 0, 0]))
    models = (beam, Detector((panel(-4.0, 5.0),)), goniometer, Scan((1, 10), (5, 0.1)), crystal)
    return Experiment(*models, profile=Profile(0.02, 0.1), identifier="one")


def test_each_model_is_described(experiment):
    text = experiment_text(experiment)
    for line in (
        "Experiment identifier: one",
        "  image_size: {100,100}",
        "  distance: 100",
        "    wavelength: 1",
        "    px: (40.00,50.00)",
        "    image range:   {1,10}",
        "    oscillation:   {5,0.1}",
        "    Rotation axis:   {1,0,0}",
        "    Unit cell: 10.00000(10), 20.0000(4), 40.0000(16), 90.000(3)",
        "    Space group: P 2 2 2",
        "    A = UB:    {{ 0.1000,  0.0000,  0.0000},\n                { 0.0000,  0.0500,  0.0000},",
        "    delta_m (sigma_m): 0.300000 (0.100000)",
    ):
        assert line in text


def test_the_inscribed_limit_is_at_the_nearest_edge_and_the_other_at_the_furthest_corner(experiment):
    highest, complete = resolution_limits(experiment)
    for d, distance in ((complete, 4.0), (highest, np.hypot(6, 5))):
        assert d == pytest.approx(1 / (2 * np.sin(np.arctan(distance / 100) / 2)), rel=1e-3)


def test_a_detector_beside_the_beam_has_no_complete_ring(experiment):
    aside = replace(experiment, detector=Detector((panel(20.0, 5.0),)))
    assert resolution_limits(aside)[1] is None
    assert "outside" in experiment_text(aside)


def test_panels_give_the_same_limits_as_one_large_panel(experiment):
    panels = tuple(panel(x, y, (50, 50)) for y in (5.0, 0.0) for x in (-4.0, 1.0))
    split = replace(experiment, detector=Detector(panels))
    assert resolution_limits(split) == pytest.approx(resolution_limits(experiment), rel=1e-4)


def test_scan_points_are_shown_on_demand(experiment):
    A = np.array([np.diag([0.1, 0.05, 0.025 * s]) for s in (1, 1.01, 1.02)])
    varying = replace(experiment.crystal, A_at_scan_points=A)
    assert "A sampled at 3 scan points" in crystal_text(varying)
    assert "Average unit cell: 10.000, 20.000, 39.607, 90.000" in crystal_text(varying)
    assert "Scan point #3:\n    Unit cell: 10.000, 20.000, 39.216" in crystal_text(varying, scan_points=True)


@pytest.mark.parametrize(
    ("value", "esd", "text"),
    [
        (67.08029, 0.0019, "67.0803(19)"),
        (67.08029, 0.00194, "67.0803(19)"),
        (67.08029, 0.00196, "67.080(2)"),
        (67.08029, 0.0096, "67.080(10)"),
        (90, 0, "90.000"),
        (1234.5, 12.0, "1234(12)"),
        (5.0, float("nan"), "5.000"),
    ],
)
def test_uncertainties_are_in_units_of_the_last_digit(value, esd, text):
    assert with_esd(value, esd) == text


@given(st.floats(0.1, 1000), st.floats(1e-6, 0.9))
def test_a_value_with_its_uncertainty_keeps_both(value, esd):
    number, digits = with_esd(value, esd).rstrip(")").split("(")
    unit = 10.0 ** -len(number.partition(".")[2])
    assert abs(float(number) - value) <= unit
    assert abs(int(digits) * unit - esd) <= unit / 2 * 1.001


@pytest.fixture
def table() -> ReflectionTable:
    flags = np.array([Flags.STRONG | Flags.INDEXED, Flags.STRONG], np.uint64)
    columns = {
        "id": np.array([0, -1], np.int32),
        "flags": flags,
        "miller_index": np.array([[1, -2, 3], [0, 0, 0]], np.int32),
        "intensity.sum.value": np.array([10.0, 20.5]),
        "xyzobs.px.value": np.array([[1.0, 2, 3], [3, 4, 5]]),
    }
    return ReflectionTable(columns, {0: "one"})


def test_columns_are_summarised(table):
    text = summary_text(table)
    assert "Reflection list contains 2 reflections" in text
    rows = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:5]] for line in text.split("\n")[4:-1]}
    assert rows["intensity.sum.value"] == ["10.0", "20.5", "15.2"]
    assert rows["xyzobs.px.value"] == ["1.00, 2.00, 3.00", "3.00, 4.00, 5.00", "2.00, 3.00, 4.00"]
    assert rows["miller_index"] == ["0, -2, 0", "1, 0, 3", "0, -1, 2"]


def test_a_mean_that_rounds_to_zero_has_no_sign():
    table = ReflectionTable({"miller_index": np.array([[-1, -1, 0], [1, 0, 0], [-1, 0, 0]], np.int32)})
    assert "-0" not in summary_text(table)


def test_an_empty_table_is_summarised_too(table):
    assert "0 reflections" in summary_text(table.select(np.array([], int)))
    assert "0.0" in flags_text(table.select(np.array([], int)))


def test_flags_are_counted(table):
    rows = [line.split() for line in flags_text(table).split("\n")]
    assert ["|", "strong", "|", "2", "|", "100.0", "|"] in rows
    assert ["|", "indexed", "|", "1", "|", "50.0", "|"] in rows


def test_rows_are_limited(table):
    text = rows_text(table, ["miller_index", "intensity.sum.value", "absent"], 1)
    assert text == "Printing 1 of 2 reflections:\nmiller_index intensity.sum.value\n    1, -2, 3                10.0"


@pytest.fixture
def files(tmp_path, monkeypatch, experiment, table):
    """Files to show, in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_experiments(Experiments((experiment,)), "a.expt")
    write_reflections(table, "a.refl")
    return ["a.expt", "a.refl"]


def test_files_are_shown_and_none_is_written(files, tmp_path, capsys):
    assert show.main(files) == 0
    text = capsys.readouterr().out
    assert "Experiment 0:" in text
    assert "Reflection list contains 2 reflections" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == files


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("show_flags=True", "Reflection flags:"),
        ("show_identifiers=True", "id:0 -> experiment identifier:one"),
        ("show_shared_models=True", "| Experiment | Beam |"),
        ("show_intensities=True", "intensity.sum.value\n"),
        ("show_centroids=True", "Printing 2 of 2 reflections"),
        ("show_profile_fit=True", "Printing 2 of 2 reflections"),
        ("show_all_reflection_data=True", "Printing 2 of 2 reflections"),
    ],
)
def test_switches_show_more(files, word, text, capsys):
    assert show.main(files) == 0
    assert text not in capsys.readouterr().out
    assert show.main([*files, word]) == 0
    assert text in capsys.readouterr().out


def test_a_log_is_written_on_demand(files, tmp_path):
    assert show.main([*files, "output.log=show.log"]) == 0
    assert "Experiment 0:" in (tmp_path / "show.log").read_text()


def test_files_of_other_programs_are_shown(shared, capsys):
    folder = shared / "data" / "dials_files"
    paths = sorted(str(p) for p in [*folder.glob("*.expt"), *folder.glob("quartz*.refl")])
    for path in paths:
        assert show.main([path]) == 0, path
    assert "Unit cell" in capsys.readouterr().out


def test_version_tells_versions_and_place(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert version.main([]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"puredials {__version__} (dials.version)\nPython 3.")
    assert "Installed in: " in text
    assert not list(tmp_path.iterdir())


def test_the_umbrella_lists_all_programs(capsys):
    assert puredials.main([]) == 0
    text = capsys.readouterr().out
    for entry in entry_points(group="console_scripts"):
        if entry.value.startswith("puredials.cli."):
            assert entry.name in text


def test_the_umbrella_refuses_what_it_does_not_know(capsys):
    assert puredials.main(["prosess"]) == 1
    assert "does not know prosess" in capsys.readouterr().err
    assert puredials.main(["--version"]) == 0
