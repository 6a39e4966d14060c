"""Files of different steps given together, and limits that leave nothing: refused, and told why."""

import importlib
import os
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from puredials.cli.inputs import check_indices
from puredials.errors import MismatchError
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
    ImageSet,
    Panel,
    ReflectionTable,
    Scan,
    b_matrix,
)
from puredials.prediction import predict_sweep
from puredials.symmetry.reindex import basis_of_operator, move_experiments

NEED_CRYSTALS = (
    "compute_delta_cchalf", "cosym", "estimate_resolution", "export", "integrate", "merge", "refine",
    "refine_bravais_settings", "reindex", "scale", "symmetry",
)  # fmt: skip


@pytest.fixture(scope="module")
def experiments() -> Experiments:
    panel = Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-20.0, 20, -80]), (400, 400), (0.1, 0.1))
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    crystal = Crystal(turn @ b_matrix(gemmi.UnitCell(40, 40.5, 41, 90, 90, 90)), " P 1")
    models = (Beam(np.array([0, 0, 1.0]), 1.0), Detector((panel,)), Goniometer(np.array([1.0, 0, 0])))
    return Experiments(
        (Experiment(*models, Scan((1, 100), (0, 0.5)), crystal, imageset=ImageSet("a_####.cbf"), identifier="one"),)
    )


@pytest.fixture(scope="module")
def table(experiments: Experiments) -> ReflectionTable:
    """All reflections of the sweep, where its crystal predicts them."""
    hkl, predicted = predict_sweep(experiments[0])
    n = len(hkl)
    columns = {
        "id": np.zeros(n, np.int32), "panel": np.zeros(n, np.uint64), "s1": predicted.s1,
        "miller_index": hkl.astype(np.int32), "entering": predicted.entering, "xyzcal.px": predicted.xyz_px,
        "xyzobs.px.value": predicted.xyz_px, "flags": np.full(n, int(Flags.INDEXED), np.uint64),
    }  # fmt: skip
    return ReflectionTable(columns, {0: "one"})


def check(experiments: Experiments, table: ReflectionTable) -> None:
    check_indices(experiments, table, [Path("a.refl")], [Path("a.expt")])


def test_reflections_of_the_crystal_pass(experiments, table):
    check(experiments, table)


@pytest.mark.parametrize("operator", ["b,c,a", "-a,-b,c", "a+b,-a+b,c", "1/2*a,b,c"])
def test_crystals_in_another_basis_than_the_indices_are_refused(experiments, table, operator):
    moved = move_experiments(experiments, basis_of_operator(operator), None)
    with pytest.raises(MismatchError, match=r"indices in a.refl are not those of the crystal in a.expt: they count"):
        check(moved, table)


def test_indexed_reflections_need_crystals(experiments, table):
    without = experiments.with_items([replace(experiments[0], crystal=None)])
    with pytest.raises(MismatchError, match=r"a.expt has no crystal for the indexed reflections in a.refl"):
        check(without, table)


def test_errors_of_cell_and_orientation_are_no_other_basis(experiments, table):
    crystal = experiments[0].crystal
    assert crystal is not None
    turn = Rotation.from_euler("xyz", [1.0, 2.0, -1.0], degrees=True).as_matrix()
    moved = replace(experiments[0], crystal=replace(crystal, A=1.03 * turn @ crystal.A))
    check(experiments.with_items([moved]), table)


def test_reflections_without_indices_or_positions_are_not_judged(experiments, table):
    without = experiments.with_items([replace(experiments[0], crystal=None)])
    check(without, table.without(["s1"]))
    check(without, table.with_columns({"miller_index": np.zeros((table.n_rows, 3), np.int32)}))


@pytest.mark.parametrize("program", NEED_CRYSTALS)
def test_programs_of_crystals_refuse_files_of_different_steps(
    program, experiments, table, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write_experiments(move_experiments(experiments, basis_of_operator("b,c,a"), None), "a.expt")
    write_reflections(table, "a.refl")
    assert importlib.import_module(f"puredials.cli.{program}").main(["a.expt", "a.refl"]) == 1
    error = capsys.readouterr().err
    assert "they count other axes" in error
    assert "dials.reindex" in error
    assert {p for p in os.listdir() if not p.endswith(".log")} == {"a.expt", "a.refl"}


@pytest.mark.parametrize(
    ("program", "words", "expected"),
    [
        ("find_spots", ["d_min=3", "d_max=2"], "d_min=3 must be smaller than d_max=2"),
        ("integrate", ["prediction.d_min=3", "d_max=2"], "d_min=3 must be smaller than d_max=2"),
        ("scale", ["d_min=2", "d_max=2"], "d_min=2 must be smaller than d_max=2"),
        ("generate_mask", ["d_min=3", "d_max=2"], "d_min=3 must be smaller than d_max=2"),
        ("generate_mask", ["border=200"], "leaves no pixel of imageset 0"),
        ("modify_geometry", ["distance=-5"], "distance must be a number > 0"),
        ("index", ["unit_cell=40,40,41,90,90,200"], "unit_cell=40,40,41,90,90,200 is no cell"),
        ("rl_png", ["d_min=100"], "No point passes the filters"),
        ("integrate", ["exclude_images=0:1:100"], "No image of data set 0 is left"),
        ("reindex", ["reference.experiments=gone.expt"], "gone.expt cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_values_that_leave_nothing_are_refused(
    program, words, expected, experiments, table, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write_experiments(experiments, "a.expt")
    alone = program in ("find_spots", "modify_geometry", "generate_mask")
    if not alone:
        write_reflections(table, "a.refl")
    before = set(os.listdir())
    code = importlib.import_module(f"puredials.cli.{program}").main(["a.expt", *["a.refl"][alone:], *words])
    error = capsys.readouterr().err
    assert code == 1
    assert expected in error
    assert {p for p in os.listdir() if not p.endswith(".log")} == before


def test_a_reference_gives_the_change_of_basis_where_none_is_named(experiments, table, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    moved = move_experiments(experiments, basis_of_operator("b,c,a"), None)
    write_experiments(experiments, "a.expt")
    write_reflections(table, "a.refl")
    write_experiments(moved, "b.expt")
    assert (
        importlib.import_module("puredials.cli.reindex").main(["a.expt", "a.refl", "reference.experiments=b.expt"]) == 0
    )
    assert "Unit cell: 40.500, 41.000, 40.000" in capsys.readouterr().out
