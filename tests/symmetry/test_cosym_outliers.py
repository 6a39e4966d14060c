"""Sets that do not belong to the others are left out with the reason; a reference settles what they leave open."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from wedge_sets import Wedges, assert_one_true_setting, integrated_wedges

from puredials.cli import cosym as program
from puredials.errors import FileError, MismatchError, ParameterError
from puredials.execute import Threads
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.mtz import MtzDataset, write_merged_mtz
from puredials.io.reference import read_reference
from puredials.io.refl import read_reflections, write_reflections
from puredials.model import Crystal, Experiments, ReflectionTable
from puredials.simulate.config import ProteinConfig
from puredials.simulate.protein import make_protein
from puredials.symmetry import CosymParams, cosym

CELL = (49.0, 49.0, 37.0, 90.0, 90.0, 90.0)


@pytest.fixture(scope="module")
def wedges() -> Wedges:
    return integrated_wedges("P 4", seed=11, n_wedges=5, degrees=(20, 30))


def joined(*parts: Wedges) -> Wedges:
    """The sets of several simulations as one."""
    items, tables, bases = [], [], []
    for part in parts:
        for k, experiment in enumerate(part.experiments):
            number = len(items)
            items.append(replace(experiment, identifier=f"set-{number}"))
            rows = part.table.select(part.table["id"] == k)
            ids = np.full(rows.n_rows, number, np.int32)
            tables.append(rows.with_columns({"id": ids}).with_identifiers({number: f"set-{number}"}))
            bases.append(part.bases[k])
    table = ReflectionTable.concatenate(tables)
    return Wedges(Experiments(tuple(items)), table, parts[0].space_group, bases)


def test_a_set_of_another_structure_in_the_same_cell_is_left_out(wedges):
    other = integrated_wedges("P 4", seed=12, n_wedges=1, degrees=(30, 31))
    result = cosym(joined(wedges, other).experiments, joined(wedges, other).table)
    assert list(result.excluded) == [5]
    assert_one_true_setting(wedges, result)


def test_of_two_structures_in_the_same_cell_the_one_of_more_sets_is_kept(wedges):
    other = integrated_wedges("P 4", seed=12, n_wedges=3, degrees=(20, 30))
    both = joined(other, wedges)
    result = cosym(both.experiments, both.table)
    assert list(result.excluded) == [0, 1, 2]
    assert "2 more sets like it" in result.excluded[0]
    assert_one_true_setting(both, result)


def test_noise_is_left_out(wedges):
    rng = np.random.default_rng(0)
    noise = wedges.table["id"] == 1
    value = wedges.table["intensity.prf.value"]
    value = np.where(noise, rng.permutation(value), value)
    result = cosym(wedges.experiments, wedges.table.with_columns({"intensity.prf.value": value}))
    assert list(result.excluded) == [1]
    assert_one_true_setting(wedges, result)


def test_a_structure_of_the_full_symmetry_of_its_lattice_needs_no_ties_but_the_structure():
    wedges = integrated_wedges("P 21 21 21", seed=4, n_wedges=3)
    other = integrated_wedges("P 21 21 21", seed=5, n_wedges=1, degrees=(30, 31))
    both = joined(wedges, other)
    result = cosym(both.experiments, both.table)
    assert list(result.excluded) == [3]
    assert "another structure" in result.excluded[3]
    assert_one_true_setting(wedges, result)


def test_groups_that_nothing_connects_are_not_mixed(wedges):
    h = np.abs(wedges.table["miller_index"]).max(axis=1)
    low = h <= np.quantile(h, 0.6)
    first = wedges.table["id"] < 3
    result = cosym(wedges.experiments, wedges.table.select(low == first))
    assert list(result.excluded) == [3, 4]
    assert_one_true_setting(wedges, result)


def test_the_number_of_workers_does_not_matter(wedges):
    with Threads(3) as executor:
        several = cosym(wedges.experiments, wedges.table, executor=executor)
    one = cosym(wedges.experiments, wedges.table)
    np.testing.assert_array_equal(one.settings.correlations.r, several.settings.correlations.r)
    np.testing.assert_array_equal(one.reflections["miller_index"], several.reflections["miller_index"])


def test_progress_ends_when_all_is_done(wedges):
    seen = []
    cosym(wedges.experiments, wedges.table, progress=lambda *at: seen.append(at))
    assert seen == [(k, 10) for k in range(1, 11)]


def test_the_space_group_can_be_given(wedges):
    result = cosym(wedges.experiments, wedges.table, params=CosymParams(space_group="P43"))
    assert result.space_group.hm == "P 43"
    with pytest.raises(ParameterError, match="space_group=F 4 3 2 does not fit"):
        cosym(wedges.experiments, wedges.table, params=CosymParams(space_group="F432"))
    with pytest.raises(ParameterError, match="not a space group symbol"):
        cosym(wedges.experiments, wedges.table, params=CosymParams(space_group="nonsense"))


def test_settings_are_sought_within_the_lattice_group_that_is_given(wedges):
    result = cosym(
        wedges.experiments, wedges.table, params=CosymParams(lattice_group="P222", lattice_symmetry_max_delta=1)
    )
    assert result.analysis.lattice.space_group == "P 2 2 2"
    assert len(result.settings.turned) == 4


@pytest.fixture
def reference(tmp_path):
    """The structure of `wedges`, in the setting of its simulation."""
    protein = make_protein(ProteinConfig(space_group="P 4", cell=CELL, seed=1011, d_min=2.6))
    sigma = 0.05 * protein.intensity + 5
    columns = {"IMEAN": ("J", protein.intensity), "SIGIMEAN": ("Q", sigma)}
    path = tmp_path / "reference.mtz"
    data = MtzDataset(columns, wavelength=1.0)
    hkl = protein.hkl.astype(np.int32)
    write_merged_mtz(path, hkl, [data], cell=protein.cell, space_group=gemmi.SpaceGroup("P 4"))
    return path


def is_of_simulation(wedges: Wedges, result) -> bool:
    rotations = [np.array(op.rot) / op.DEN for op in wedges.space_group.operations().sym_ops]
    paths = [wedges.bases[number] @ basis for number, basis in result.cb_ops.items()]
    return all(min(np.abs(path - r).max() for r in rotations) < 1e-6 for path in paths)


def test_the_setting_is_that_of_the_reference(wedges, reference):
    result = cosym(wedges.experiments, wedges.table, reference=read_reference(reference))
    assert is_of_simulation(wedges, result)
    assert result.space_group.hm == "P 4"


def test_a_reference_connects_sets_that_have_nothing_in_common(wedges, reference):
    h = np.abs(wedges.table["miller_index"]).max(axis=1)
    low = h <= np.quantile(h, 0.6)
    apart = wedges.table.select(low == (wedges.table["id"] < 3))
    result = cosym(wedges.experiments, apart, reference=read_reference(reference))
    assert not result.excluded
    assert is_of_simulation(wedges, result)


def test_a_reference_of_another_cell_is_refused(wedges, reference):
    crystal, table = read_reference(reference)
    with pytest.raises(MismatchError, match="reference's minimum cell"):
        cosym(wedges.experiments, wedges.table, reference=(replace(crystal, A=crystal.A * 1.2), table))


def test_references_are_read_from_all_kinds_of_files(wedges, reference, tmp_path):
    crystal, table = read_reference(reference)
    mtz = gemmi.read_mtz_file(str(reference))
    (tmp_path / "reference.cif").write_text(gemmi.MtzToCif().write_cif_to_string(mtz))
    for name in ("intensity.scale.value", "intensity.scale.variance"):
        table = table.with_columns({name: 3 * table[name.replace("scale", "prf")]})
    scaled = table.with_columns(
        {"inverse_scale_factor": np.full(table.n_rows, 3.0), "id": np.zeros(table.n_rows, np.int32)}
    )
    write_experiments(Experiments((replace(wedges.experiments[0], crystal=crystal),)), tmp_path / "scaled.expt")
    write_reflections(scaled, tmp_path / "scaled.refl")
    order = np.lexsort(table["miller_index"].T)
    for name in ("reference.cif", "scaled.expt"):
        other, rows = read_reference(tmp_path / name)
        np.testing.assert_allclose(other.unit_cell.parameters, CELL)
        assert other.space_group.hm == "P 4"
        again = np.lexsort(rows["miller_index"].T)
        np.testing.assert_array_equal(rows["miller_index"][again], table["miller_index"][order])
        np.testing.assert_allclose(rows["intensity.prf.value"][again], table["intensity.prf.value"][order], rtol=1e-4)


@pytest.mark.parametrize("name", ["gone.mtz", "empty.mtz", "empty.cif", "some.txt", "alone.expt"])
def test_references_that_cannot_be_used_are_named(name, tmp_path, wedges):
    path = tmp_path / name
    if name == "alone.expt":
        write_experiments(wedges.experiments, path)
    elif name != "gone.mtz":
        path.touch()
    with pytest.raises((FileError, MismatchError), match=name.split(".")[0]):
        read_reference(path)


def test_the_program_writes_what_it_kept_and_what_it_left_out(wedges, reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    crystal = wedges.experiments[2].crystal
    items = [replace(e, crystal=Crystal(1.3 * crystal.A)) if k == 2 else e for k, e in enumerate(wedges.experiments)]
    write_experiments(Experiments(tuple(items)), "all.expt")
    write_reflections(wedges.table, "all.refl")
    assert program.main(["all.expt", "all.refl", f"reference={reference}", "output.excluded=True", "nproc=1"]) == 0
    assert read_experiments("symmetrized.expt").identifiers == ("wedge-0", "wedge-1", "wedge-3", "wedge-4")
    assert read_experiments("excluded.expt").identifiers == ("wedge-2",)
    n = [read_reflections(f"{name}.refl").n_rows for name in ("symmetrized", "excluded")]
    assert sum(n) == wedges.table.n_rows
    assert "Set 2 is left out" in (tmp_path / "dials.cosym.log").read_text()
