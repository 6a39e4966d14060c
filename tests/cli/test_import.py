"""dials.import on the command line."""

import numpy as np
import pytest

from image_files import minicbf_sweep, nxmx, pixels, smv
from parameter_flips import another_text
from puredials.cli import import_
from puredials.cli.params import listed_parameters
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.importing import import_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_images_become_imported_expt_and_a_log(folder, capsys):
    minicbf_sweep(folder, 4)
    assert import_.main(["template=img_1_####.cbf", "image_range=2,3"]) == 0
    text = capsys.readouterr().out
    assert "num images: 2" in text
    assert "Writing experiments to imported.expt" in text
    (experiment,) = read_experiments(folder / "imported.expt")
    assert experiment.scan.image_range == (2, 3)
    assert experiment.identifier
    assert "num images: 2" in (folder / "dials.import.log").read_text()


def test_an_error_is_a_sentence_and_leaves_the_earlier_file(folder, capsys):
    path = nxmx(folder / "x.nxs", pixels(3))
    assert import_.main([str(path)]) == 0
    before = (folder / "imported.expt").read_bytes()
    assert import_.main([str(path), "image_range=2,9"]) == 1
    assert "Sorry: image_range=2,9 is not within the images 1 to 3" in capsys.readouterr().err
    assert (folder / "imported.expt").read_bytes() == before


def test_the_manual_geometry_of_near_stills(folder):
    for k in (1, 2, 3):
        smv(folder / f"x_{k:03d}.img", pixels()[0], OSC_RANGE=0)
    words = ["geometry.scan.oscillation=0,1", "geometry.goniometer.axis=1,0,0", "output.experiments=a.expt"]
    assert import_.main([*(f"x_{k:03d}.img" for k in (1, 2, 3)), *words]) == 0
    (experiment,) = read_experiments(folder / "a.expt")
    assert experiment.scan.oscillation == (0, 1)


def summary(folder):
    """What an import wrote, but for identifiers."""
    found = read_experiments(folder / "imported.expt")
    parts = []
    for e in found:
        models = [e.beam, *e.detector.panels, e.goniometer, e.scan, e.imageset]
        parts += [{k: np.asarray(v).tolist() for k, v in vars(m).items() if k != "extra"} for m in models if m]
    return str(parts)


# Parameters that need another value than any, or others beside them.
_WORDS = {
    "input.template": ["input.template=img_2_####.cbf"],
    "input.directory": ["input.directory=more"],
    "input.reference_geometry": ["input.reference_geometry=reference.expt"],
    "geometry.detector.panel.fast_axis": ["fast_axis=0,1,0", "slow_axis=1,0,0", "panel.origin=1,2,-90"],
    "geometry.detector.panel.slow_axis": ["fast_axis=0,1,0", "slow_axis=0,0,1", "panel.origin=1,2,-90"],
    "geometry.detector.panel.origin": ["fast_axis=0,1,0", "slow_axis=0,0,1", "panel.origin=1,2,-70"],
    "geometry.detector.panel.material": ["panel.material=CdTe"],
    "geometry.detector.panel.thickness": ["panel.thickness=0.9"],
    "geometry.detector.panel.parallax_correction": ["parallax_correction=False"],
    "geometry.detector.panel.trusted_range": ["trusted_range=3,99"],
    "geometry.goniometer.axes": ["goniometer.axes=0,1,0,1,0,0"],
    "geometry.goniometer.angles": ["goniometer.axes=0,1,0,1,0,0", "goniometer.angles=3,4"],
    "geometry.goniometer.names": ["goniometer.axes=0,1,0,1,0,0", "goniometer.names=a,b"],
    "geometry.goniometer.scan_axis": ["goniometer.axes=0,1,0,1,0,0", "goniometer.scan_axis=0"],
    "geometry.goniometer.fixed_rotation": ["fixed_rotation=0,-1,0,1,0,0,0,0,1"],
    "geometry.goniometer.setting_rotation": ["setting_rotation=0,-1,0,1,0,0,0,0,1"],
    "geometry.scan.image_range": ["image_range=1,2"],
    "lookup.mask": ["lookup.mask=mask.npy"],
}
# Those that show only with others, or in an error.
_SHOWN_ELSEWHERE = {
    "input.check_reference_geometry",
    "input.use_beam_reference",
    "input.use_gonio_reference",
    "input.use_detector_reference",
    "input.allow_multiple_sequences",
    "geometry.detector.panel.id",
    "output.experiments",
    "output.log",
}


def test_every_parameter_changes_what_is_imported(folder):
    paths = [str(path) for path in minicbf_sweep(folder, 3)]
    minicbf_sweep(folder, 3, prefix="img_2")
    (folder / "more").mkdir()
    minicbf_sweep(folder / "more", 2)
    np.save(folder / "mask.npy", np.ones((40, 60), bool))
    reference = import_files(paths).experiments
    moved = [
        type(e)(e.beam, e.detector.moved(np.eye(3), np.array([1.0, 0, 0])), e.goniometer, e.scan) for e in reference
    ]
    write_experiments(reference.with_items(moved), folder / "reference.expt")
    assert import_.main(paths) == 0
    plain = summary(folder)
    for parameter in listed_parameters(import_.Options):
        if parameter.path in _SHOWN_ELSEWHERE:
            continue
        words = _WORDS.get(parameter.path, [f"{parameter.path}={another_text(parameter)}"])
        assert import_.main([*paths, *words]) == 0, parameter.path
        assert summary(folder) != plain, parameter.path
