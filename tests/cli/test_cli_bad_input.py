"""Whatever is given to a program that it cannot use: one sentence, exit code 1, and earlier files stay whole."""

import importlib
import os
import resource
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from puredials.cli.inputs import join_experiments, join_reflections
from puredials.errors import FileError, MismatchError
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.outputs import Outputs
from puredials.io.refl import write_reflections
from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Goniometer,
    ImageSet,
    Panel,
    ReflectionTable,
    Scan,
)

MODULES = {e.name: e.value.split(":")[0] for e in entry_points(group="console_scripts") if e.name.startswith("dials.")}
MODULES = {name: module for name, module in MODULES.items() if module.startswith("puredials.")}
WITHOUT_INPUT = {"dials.version"}
OF_IMAGES = {"dials.import"}
OF_EXPERIMENTS = sorted(set(MODULES) - WITHOUT_INPUT - OF_IMAGES)
ALONE = {"dials.find_spots", "dials.show", "dials.modify_geometry", "dials.generate_mask", "dials.apply_mask"}
ALONE |= {"dials.geometry_viewer", "dials.plot_scan_varying_model"}
OF_BOTH = sorted(set(OF_EXPERIMENTS) - ALONE)
OF_SETS = {  # they take the reflections of any step, or none
    "dials.combine_experiments",
    "dials.split_experiments",
    "dials.slice_sequence",
    "dials.assign_experiment_identifiers",
    "dials.cluster_unit_cell",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of one experiment (whose images are gone), and reflections of another."""
    monkeypatch.chdir(tmp_path)
    panel = Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-5.0, 5, -100]), (100, 100), (0.1, 0.1))
    models = (Beam(np.array([0, 0, 1.0]), 1.0), Detector((panel,)), Goniometer(np.array([1.0, 0, 0])))
    experiment = Experiment(
        *models, Scan((1, 10), (0, 0.1)), Crystal(np.eye(3) / 50), imageset=ImageSet("gone_####.cbf"), identifier="one"
    )
    write_experiments(Experiments((experiment,)), "a.expt")
    write_reflections(ReflectionTable({"id": np.zeros(3, np.int32)}, {0: "other"}), "other.refl")
    Path("truncated.expt").write_bytes(Path("a.expt").read_bytes()[:300])
    Path("truncated.refl").write_bytes(Path("other.refl").read_bytes()[:-5])
    for suffix in ("expt", "refl", "cbf", "h5", "nxs", "img"):
        Path(f"empty.{suffix}").touch()
        Path(f"foreign.{suffix}").write_bytes(bytes(range(256)) * 4)
    return tmp_path


def sentence(program: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a program says when it refuses; no files but its log may have changed."""
    before = {path: Path(path).read_bytes() for path in os.listdir()}
    code = importlib.import_module(MODULES[program]).main(words)
    error = capsys.readouterr().err
    assert code == 1, error
    assert error.startswith("Sorry: ")
    assert error.count("\n") == 1
    assert error.rstrip().endswith((".", "?"))
    after = {path: Path(path).read_bytes() for path in os.listdir() if path != f"{program}.log"}
    assert after == before
    return error


@pytest.mark.parametrize("program", sorted(MODULES))
def test_unknown_parameters_are_refused(program, capsys):
    assert "quux is not a parameter" in sentence(program, ["quux=1"], capsys)
    assert not Path(f"{program}.log").exists()


@pytest.mark.parametrize("program", sorted(set(MODULES) - WITHOUT_INPUT))
@pytest.mark.parametrize("words", [["gone.expt"], ["gone.refl"], ["gone.phil"], ["gone.h5"]], ids=str)
def test_missing_files_are_named(program, words, capsys):
    assert words[0] in sentence(program, words, capsys)


@pytest.mark.parametrize("program", OF_EXPERIMENTS)
@pytest.mark.parametrize("kind", ["empty", "truncated", "foreign"])
def test_broken_experiments_are_named(program, kind, capsys):
    assert f"{kind}.expt" in sentence(program, [f"{kind}.expt", *_reflections(program)], capsys)


@pytest.mark.parametrize("program", OF_BOTH)
@pytest.mark.parametrize("kind", ["empty", "truncated", "foreign"])
def test_broken_reflections_are_named(program, kind, capsys):
    assert f"{kind}.refl" in sentence(program, ["a.expt", f"{kind}.refl"], capsys)


@pytest.mark.parametrize("program", OF_BOTH)
def test_reflections_of_other_experiments_are_refused(program, capsys):
    error = sentence(program, ["a.expt", "other.refl"], capsys)
    assert "other.refl" in error
    assert "a.expt" in error


@pytest.mark.parametrize("program", sorted(set(OF_BOTH) - {"dials.reindex", "dials.image_viewer"} - OF_SETS))
def test_reflections_are_asked_for(program, capsys):
    assert "reflections" in sentence(program, ["a.expt"], capsys)


def test_images_that_are_gone_are_named(capsys):
    assert "gone_" in sentence("dials.find_spots", ["a.expt"], capsys)


@pytest.mark.parametrize("kind", ["empty", "foreign"])
@pytest.mark.parametrize("suffix", ["cbf", "h5", "nxs", "img"])
def test_broken_images_are_named(kind, suffix, capsys):
    assert f"{kind}.{suffix}" in sentence("dials.import", [f"{kind}.{suffix}"], capsys)


@pytest.mark.parametrize("program", sorted(set(MODULES) - WITHOUT_INPUT))
def test_outputs_in_missing_folders_are_refused_at_once(program, capsys):
    words = ["a.expt", "output.log=nowhere/x.log"] if program not in OF_IMAGES else ["a.h5", "output.log=nowhere/x.log"]
    assert "nowhere" in sentence(program, words, capsys)


def _reflections(program: str) -> list[str]:
    return ["other.refl"] if program in OF_BOTH else []


@pytest.mark.parametrize("program", sorted(set(OF_BOTH) - {"dials.index"} - OF_SETS))
def test_reflections_of_an_earlier_step_are_refused(program, capsys):
    columns = {"id": np.zeros(3, np.int32), "flags": np.full(3, 32, np.uint64), "panel": np.zeros(3, np.uint64)}
    write_reflections(ReflectionTable(columns, {0: "one"}), "strong.refl")
    sentence(program, ["a.expt", "strong.refl"], capsys)


def test_a_full_disk_is_named_and_leaves_earlier_files(folder):
    Path("x.refl").write_text("earlier")
    before = sorted(os.listdir())
    table = ReflectionTable({"id": np.zeros(10_000, np.int32)})
    outputs = Outputs()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(FileError, match=r"^x.refl cannot be written: "):
            outputs.write("x.refl", lambda path: write_reflections(table, path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    outputs.discard()
    assert sorted(os.listdir()) == before
    assert Path("x.refl").read_text() == "earlier"


def join(ids: list[int]) -> ReflectionTable:
    """A table without identifiers, joined with the one experiment of a.expt."""
    table = ReflectionTable({"id": np.array(ids, np.int32)})
    return join_reflections([table], read_experiments("a.expt"), [Path("b.refl")], [1], [Path("a.expt")])


def test_old_tables_of_more_experiments_are_refused_unless_most_of_it_belongs():
    with pytest.raises(MismatchError, match="experiment number 1"):
        join([0, 0, 1, 1])
    with pytest.warns(UserWarning, match="1 of 4 reflections"):
        assert join([0, 0, 1, 0])["id"].tolist() == [0, 0, 0]


def test_of_several_old_files_without_identifiers_each_experiment_gets_one():
    nameless = read_experiments("a.expt")
    nameless = nameless.with_items([replace(nameless[0], identifier="")])
    paths = [Path("x.expt"), Path("y.expt")]
    both = join_experiments(paths, [nameless, nameless])
    assert len(set(both.identifiers)) == 2
    assert all(both.identifiers)
    tables = [ReflectionTable({"id": np.zeros(n, np.int32)}) for n in (2, 3)]
    joined = join_reflections(tables, both, [Path("x.refl"), Path("y.refl")], [1, 1], paths)
    assert joined.identifiers == dict(enumerate(both.identifiers))
    assert joined["id"].tolist() == [0, 0, 1, 1, 1]
    assert join_experiments(paths[:1], [nameless]).identifiers == ("",)


def test_a_program_given_an_image_names_the_one_that_reads_it(capsys):
    assert "If foreign.h5 is an image, dials.import reads it." in sentence("dials.find_spots", ["foreign.h5"], capsys)


def test_what_was_imported_is_not_imported_again(capsys):
    assert "dials.import reads images. dials.slice_sequence" in sentence("dials.import", ["a.expt"], capsys)
