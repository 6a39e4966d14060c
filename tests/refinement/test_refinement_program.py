import numpy as np
import pytest

from puredials.cli import refine as program
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.refl import read_reflections, write_reflections
from puredials.model import Experiments, Flags
from refinement_synthetic import SYNTHETIC


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth = SYNTHETIC.experiment(images=180)
    table = SYNTHETIC.table(Experiments([truth]), n=400, noise=0.1)
    write_experiments(Experiments([SYNTHETIC.disturbed(truth)]), "indexed.expt")
    write_reflections(table, "indexed.refl")
    return tmp_path


def test_files_and_log_are_written(folder, capsys):
    assert program.main(["indexed.expt", "indexed.refl"]) == 0
    (refined,) = read_experiments("refined.expt")
    assert refined.crystal.is_scan_varying
    assert refined.crystal.B_covariance is not None
    table = read_reflections("refined.refl")
    assert table.has(Flags.USED_IN_REFINEMENT).sum() > 300
    said = capsys.readouterr().out
    for words in ("RMSDs by experiment:", "Final refined crystal model:", "Saving refined experiments to refined.expt"):
        assert words in said
        assert words in (folder / "dials.refine.log").read_text()


def test_words_choose_what_is_refined_and_written(folder):
    words = ["scan_varying=false", "detector.fix=all", "include_unused_reflections=False", "output.experiments=my.expt"]
    assert program.main(["indexed.expt", "indexed.refl", *words]) == 0
    (start,), (refined,) = read_experiments("indexed.expt"), read_experiments("my.expt")
    assert not refined.crystal.is_scan_varying
    assert refined.detector[0].origin == pytest.approx(start.detector[0].origin)
    table = read_reflections("refined.refl")
    assert table.has(Flags.USED_IN_REFINEMENT).all()


def test_errors_along_the_scan_are_stored_on_demand(folder):
    assert program.main(["indexed.expt", "indexed.refl", "set_scan_varying_errors=True"]) == 0
    (refined,) = read_experiments("refined.expt")
    assert refined.crystal.B_covariance_at_scan_points.shape == (181, 9, 9)


def test_too_few_reflections_end_in_one_sentence(folder, capsys):
    table = read_reflections("indexed.refl")
    write_reflections(table.select(np.arange(8)), "few.refl")
    assert program.main(["indexed.expt", "few.refl"]) == 1
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    assert "index more spots" in captured.out + captured.err
    assert not (folder / "refined.expt").exists()


def test_spots_without_indices_are_sent_to_indexing(folder, capsys):
    table = read_reflections("indexed.refl")
    write_reflections(table.without(["miller_index"]), "strong.refl")
    assert program.main(["indexed.expt", "strong.refl"]) == 1
    captured = capsys.readouterr()
    assert "run dials.index" in captured.out + captured.err
