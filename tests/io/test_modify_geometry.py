"""dials.modify_geometry replaces what it is told to, and nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from parameter_flips import options, without_effect
from puredials.cli import modify_geometry as program
from puredials.errors import ParameterError
from puredials.geometry import ray_on_plane
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.import_params import Geometry
from puredials.io.overrides import modify
from puredials.model import Beam, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan


@pytest.fixture
def sweeps() -> Experiments:
    """Two sweeps on one instrument."""
    panel = Panel(
        fast=np.array([1.0, 0, 0]),
        slow=np.array([0, -1.0, 0]),
        origin=np.array([-50.0, 50, -200]),
        image_size=(1000, 1000),
        pixel_size=(0.1, 0.1),
        material="Si",
        thickness=0.45,
        mu=1.0,
    )
    first = Experiment(
        beam=Beam(direction=np.array([0.0, 0, 1]), wavelength=1.0),
        detector=Detector((panel,)),
        goniometer=Goniometer(axes=np.array([[1.0, 0, 0]])),
        scan=Scan((1, 10), (0.0, 0.5)),
        imageset=ImageSet(template="a_####.cbf"),
        identifier="a",
    )
    second = replace(first, scan=Scan((1, 10), (0.0, 0.5)), imageset=ImageSet(template="b_####.cbf"), identifier="b")
    return Experiments((first, second))


def geometry(*words: str) -> Geometry:
    return options(program.PROGRAM, words).geometry  # type: ignore[attr-defined]


def test_models_that_were_shared_stay_shared(sweeps):
    changed = modify(sweeps, geometry("distance=210", "wavelength=1.2"))
    assert changed[0].detector is changed[1].detector
    assert changed[0].beam is changed[1].beam
    assert changed[0].detector[0].distance == pytest.approx(210)
    assert changed[0].beam.wavelength == 1.2


@pytest.mark.parametrize("tilt", [0.3, 4.0])
def test_the_beam_meets_a_detector_that_is_not_quite_normal_to_it_where_it_is_said_to(sweeps, tilt):
    turn = Rotation.from_rotvec([tilt, -tilt / 2, 0.2], degrees=True).as_matrix()
    beam = replace(sweeps[0].beam, direction=np.array([0.004, -0.002, 1.0]))
    tilted = replace(sweeps[0], detector=sweeps[0].detector.moved(turn, np.zeros(3)), beam=beam)
    changed = modify(sweeps.with_items([tilted]), geometry("mosflm_beam_centre=51,49"))[0]
    meets, _ = ray_on_plane(beam.s0[None], changed.detector[0])
    np.testing.assert_allclose(meets, [[49, 51]], atol=1e-9)
    assert changed.detector[0].distance == pytest.approx(tilted.detector[0].distance)


def test_only_the_experiments_that_are_selected_change(sweeps):
    changed = modify(sweeps, geometry("fast_slow_beam_centre=490,510"), selected=(1,))
    assert changed[0] is sweeps[0]
    assert changed[1].detector[0].origin == pytest.approx([-49, 51, -200])


def test_inverting_the_axis_twice_changes_nothing(sweeps):
    turn = geometry("invert_rotation_axis=True")
    once = modify(sweeps, turn)
    assert once[0].goniometer is not None
    assert once[0].goniometer.axes[0] == pytest.approx([-1, 0, 0])
    twice = modify(once, turn)
    assert twice[0].goniometer is not None
    assert twice[0].goniometer.axes[0] == pytest.approx([1, 0, 0])


def test_nothing_to_do_and_experiments_that_are_not_there_are_refused(sweeps):
    with pytest.raises(ParameterError, match="No value of the geometry"):
        modify(sweeps, Geometry())
    with pytest.raises(ParameterError, match="experiment 2, but the experiments are 0 to 1"):
        modify(sweeps, geometry("distance=210"), selected=(2,))


def test_every_parameter_changes_the_file(sweeps, tmp_path):
    path = tmp_path / "out.expt"

    def outcome(params: program.Options) -> object:
        try:
            changed = modify(sweeps, params.geometry, selected=params.select_experiments)
        except ParameterError as error:
            return str(error)
        write_experiments(changed, path)
        return Path(path).read_text()

    turn = "0,1,0,-1,0,0,0,0,1"
    contexts: dict[str, tuple[list[str], str | None]] = {
        "geometry.detector.panel.fast_axis": (["slow_axis=0,1,0", "panel.origin=0,0,200"], "-1,0,0"),
        "geometry.detector.panel.slow_axis": (["fast_axis=1,0,0", "panel.origin=0,0,200"], "0,1,0"),
        "geometry.detector.panel.origin": (["fast_axis=1,0,0", "slow_axis=0,1,0"], "0,0,199"),
        "geometry.detector.panel.material": ([], "CdTe"),
        "geometry.detector.panel.id": (["panel.gain=2"], "1"),
        "geometry.beam.direction": ([], "0,0.1,1"),
        "geometry.beam.polarization_normal": ([], "1,0,0"),
        "geometry.goniometer.axis": ([], "0,1,0"),
        "geometry.goniometer.axes": ([], "0,1,0"),
        "geometry.goniometer.angles": ([], "10"),
        "geometry.goniometer.names": ([], "OMEGA"),
        "geometry.goniometer.scan_axis": ([], "1"),
        "geometry.goniometer.fixed_rotation": ([], turn),
        "geometry.goniometer.setting_rotation": ([], turn),
        "geometry.scan.image_range": ([], "2,5"),
        "select_experiments": (["distance=210"], "1"),
    }
    assert without_effect(program.PROGRAM, outcome, contexts) == []


def test_the_program_writes_modified_expt(sweeps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_experiments(sweeps, tmp_path / "imported.expt")
    assert program.main(["imported.expt", "geometry.detector.distance=190"]) == 0
    assert read_experiments(tmp_path / "modified.expt")[0].detector[0].distance == pytest.approx(190)
