"""puredials process from integrated sets: data on which each of its decisions goes one way or the other."""

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from puredials.cli.cosym import main as cosym
from puredials.cli.process import main
from puredials.cli.scale import main as scale
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.refl import write_reflections
from puredials.model import Experiments, ImageSet, ReflectionTable
from scaling_synthetic import on_lattice, sweeps

PAIR = ["integrated.expt", "integrated.refl"]
RNG = np.random.default_rng


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def data(n: int = 1, *, crystals: bool = False, **settings) -> tuple[Experiments, ReflectionTable]:
    """Sets with images of their own, of one crystal or of as many `crystals`."""
    made = sweeps(n_sweeps=n, **({"d_min": 3.0} | settings))
    turns = Rotation.random(n, RNG(3)).as_matrix() if crystals else np.tile(np.eye(3), (n, 1, 1))
    items = []
    for number, (e, turn) in enumerate(zip(made.experiments, turns, strict=True)):
        assert e.crystal is not None
        crystal = replace(e.crystal, A=turn @ e.crystal.A)
        items.append(replace(e, crystal=crystal, imageset=ImageSet(f"/data/set_{number}_####.cbf")))
    experiments = made.experiments.with_items(items)
    return experiments, on_lattice(experiments, made.table)


def times(table: ReflectionTable, factor: np.ndarray) -> ReflectionTable:
    """The table with other intensities, of the same errors."""
    names = [f"intensity.{kind}.value" for kind in ("prf", "sum")]
    return table.with_columns({name: table[name] * factor for name in names})


def of_another_structure(table: ReflectionTable, number: int) -> ReflectionTable:
    """The table with the intensities of a set exchanged among its reflections."""
    rows = np.arange(table.n_rows)
    own = np.flatnonzero(table["id"] == number)
    rows[own] = RNG(1).permutation(own)
    return table.with_columns({name: table[name][rows] for name in table if name.startswith("intensity.")})


def process(experiments: Experiments, table: ReflectionTable, capsys, code: int = 0) -> str:
    """What is said of the data."""
    write_experiments(experiments, Path(PAIR[0]))
    write_reflections(table, Path(PAIR[1]))
    return again(capsys, code=code)


def again(capsys, *words: str, code: int = 0) -> str:
    assert main([*PAIR, *words]) == code
    said = capsys.readouterr()
    return said.out + said.err


def chosen(said: str, question: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.startswith(f"  {question}: ")]
    assert len(lines) == 1, f"{question} is told {len(lines)} times in:\n{said}"
    return lines[0].removeprefix(f"{question}: ")


@pytest.mark.parametrize(
    ("share", "choice"), [(0.01, "stop"), (0.03, "one scale a sweep"), (0.3, "scales along each sweep")]
)
def test_scales_are_as_many_as_repeated_observations_determine(share, choice, capsys):
    said = process(*data(share=share), capsys, code=choice == "stop")
    assert chosen(said, "Scaling").startswith(f"{choice}. ")
    if choice != "stop":
        model = read_experiments(Path("scaled.expt"))[0].scaling_model
        assert model is not None
        assert model["__id__"] == ("KB" if choice == "one scale a sweep" else "physical")


@pytest.mark.parametrize(("level", "cut"), [(20.0, True), (3000.0, False)])
def test_data_are_cut_where_their_halves_cease_to_agree(level, cut, capsys):
    said = process(*data(level=level, d_min=2.2), capsys)
    choice = chosen(said, "Resolution").split(". ")[0]
    assert (choice != "all") == cut
    if cut:
        assert 2.3 < float(choice) < 3.8
    high = gemmi.read_mtz_file("merged.mtz").resolution_high()
    assert high == pytest.approx(float(choice) if cut else 2.2, abs=0.02)
    assert Path("dials.scale.to_the_end.log").exists() == cut
    assert ("d_min" in Path("dials.scale.log").read_text(encoding="utf-8").split("\n\n")[1]) == cut


@pytest.mark.parametrize(("size", "choice"), [(0.06, "apart"), (0.0, "together")])
def test_friedel_mates_are_kept_apart_if_they_differ(size, choice, capsys):
    experiments, table = data()
    group = gemmi.SpaceGroup("P 4")
    asu, operations, rng = gemmi.ReciprocalAsu(group), group.operations(), RNG(1)
    difference: dict[tuple[int, ...], float] = {}
    factor = np.ones(table.n_rows)
    for row, hkl in enumerate(table["miller_index"].tolist()):
        unique, mate = asu.to_asu(hkl, operations)
        own = difference.setdefault(tuple(unique), rng.normal(0, size))
        factor[row] += own if mate % 2 else -own
    said = process(experiments, times(table, factor), capsys)
    assert chosen(said, "Friedel mates").startswith(f"{choice}. ")


@pytest.mark.parametrize("poor", [True, False])
def test_a_set_without_which_the_others_agree_better_is_left_out_and_named(poor, capsys):
    experiments, table = data(5, share=0.4)
    if poor:
        table = times(table, np.where(table["id"] == 3, RNG(1).lognormal(0, 0.5, table.n_rows), 1.0))
    said = process(experiments, table, capsys)
    told = chosen(said, "Bad sets")
    assert told.startswith("3. " if poor else "none. ")
    assert ("set 3 is set_3_####.cbf" in told) == poor
    assert len(read_experiments(Path("scaled.expt"))) == (4 if poor else 5)
    assert Path("dials.scale.all_data.log").exists() == poor


@pytest.mark.parametrize("other", [True, False])
def test_a_crystal_of_another_structure_is_left_out_and_named(other, capsys):
    experiments, table = data(4, crystals=True)
    if other:
        table = of_another_structure(table, 2)
    said = process(experiments, table, capsys)
    told = chosen(said, "Left-out sets")
    assert told.startswith(
        "2 (set_2_####.cbf). Set 2 (set_2_####.cbf): its intensities" if other else "none. Of 4 sets"
    )
    assert "by a correlation of 0.9" in told
    assert told.partition(". ")[2] in Path("puredials.process.html").read_text(encoding="utf-8")
    assert len(read_experiments(Path("scaled.expt"))) == (3 if other else 4)


def test_of_two_crystals_of_different_cells_one_is_left_out_by_name(capsys):
    experiments, table = data(2, crystals=True)
    crystal = experiments[1].crystal
    assert crystal is not None
    larger = replace(experiments[1], crystal=replace(crystal, A=crystal.A / 2))
    experiments = experiments.with_items([experiments[0], larger])
    said = process(experiments, on_lattice(experiments, table), capsys)
    assert len(read_experiments(Path("scaled.expt"))) == 1
    assert "1 (set_1_####.cbf)" in said


@pytest.mark.parametrize(("spoilt", "choice"), [(0.0, "all"), (0.8, "1")])
def test_lattices_on_the_same_images_are_merged_if_they_agree(spoilt, choice, capsys):
    experiments, table = data(2, crystals=True)
    images = experiments[0].imageset
    experiments = experiments.with_items(replace(e, imageset=images) for e in experiments)
    factor = np.where(table["id"] == 1, RNG(1).lognormal(0, spoilt, table.n_rows), 1.0)
    said = process(experiments, times(table, factor), capsys)
    assert chosen(said, "Merged lattices").startswith(f"{choice}. On the same images lattice 0")
    assert len(read_experiments(Path("scaled.expt"))) == (2 if choice == "all" else 1)
    assert Path("dials.cosym.all_lattices.log").exists() == (choice != "all")


def test_lattices_are_chosen_of_the_sets_that_were_not_left_out_before(capsys):
    experiments, table = data(4, crystals=True)
    items = [replace(e, imageset=experiments[min(k, 2)].imageset) for k, e in enumerate(experiments)]
    factor = np.where(table["id"] == 3, RNG(1).lognormal(0, 0.8, table.n_rows), 1.0)
    said = process(experiments.with_items(items), of_another_structure(times(table, factor), 0), capsys)
    strongest = chosen(said, "Merged lattices").partition(". ")[0]
    kept = experiments.identifiers[2 + int(strongest)]
    assert read_experiments(Path("scaled.expt")).identifiers == ("sweep-1", kept)


def test_sets_without_images_are_not_taken_for_lattices_on_the_same_ones(capsys):
    experiments, table = data(2)
    said = process(experiments.with_items(replace(e, imageset=None) for e in experiments), table, capsys)
    assert "Merged lattices" not in said


def test_data_scaled_by_hand_are_merged_as_they_are_and_said_to_be_so(capsys):
    said = process(*data(d_min=2.2), capsys)
    assert chosen(said, "Resolution").startswith("all. ")
    assert scale(["symmetrized.expt", "symmetrized.refl", "d_min=3.5"]) == 0
    by_hand = Path("scaled.refl").read_bytes()
    for _ in range(2):
        said = again(capsys)
        assert chosen(said, "Scaled data").startswith("as made by hand. ")
        assert chosen(said, "Resolution").startswith("as scaled by hand. ")
        assert "2.20" not in said
        assert "Bad images" not in said
        assert gemmi.read_mtz_file("merged.mtz").resolution_high() == pytest.approx(3.5, abs=0.02)
    said = again(capsys, "d_min=4")
    assert chosen(said, "Resolution").startswith("4.00. As asked for; the data reach 3.5")
    assert gemmi.read_mtz_file("merged.mtz").resolution_high() == pytest.approx(4, abs=0.05)
    assert Path("scaled.refl").read_bytes() == by_hand
    Path("scaled.refl").unlink()
    said = again(capsys)
    assert "Scaled data" not in said
    assert chosen(said, "Resolution").startswith("all. ")
    assert gemmi.read_mtz_file("merged.mtz").resolution_high() == pytest.approx(2.2, abs=0.02)


def test_data_symmetrized_by_hand_are_scaled_in_that_space_group(capsys):
    said = process(*data(2, crystals=True), capsys)
    assert chosen(said, "Space group").startswith("P 4. Laue group")
    assert cosym([*PAIR, "space_group=P2"]) == 0
    said = again(capsys)
    assert chosen(said, "Space group").startswith("P 1 2 1. As symmetrized by hand")
    assert "Left-out sets" not in said
    group = gemmi.read_mtz_file("merged.mtz").spacegroup
    assert group is not None
    assert group.hm == "P 1 2 1"
