"""Reindexing: models and reflections stay together, and a reference's setting is found."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_determine import crystal_data

from puredials.cli import reindex as program
from puredials.errors import MismatchError, ParameterError
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.refl import read_reflections, write_reflections
from puredials.model import Crystal, Experiments, ReflectionTable, b_matrix
from puredials.symmetry.lattice import primitive_reduced_basis
from puredials.symmetry.match_reference import match_reference, match_text
from puredials.symmetry.reindex import (
    basis_of_operator,
    move_experiments,
    reindex_crystal,
    reindex_experiments,
    reindex_table,
    with_offset,
)

P4 = (60.0, 60.0, 40.0, 90.0, 90.0, 90.0)
CELL = gemmi.UnitCell(41, 52, 63, 81, 97, 104)


def conventional_data(symbol: str, *, cell: tuple[float, ...], d_min: float) -> tuple[Experiments, ReflectionTable]:
    """Simulated intensities and their crystal in the setting of the group, not in its reduced cell."""
    experiments, table, _ = crystal_data(symbol, cell=cell, d_min=d_min)
    group = gemmi.SpaceGroup(symbol)
    back = np.linalg.inv(primitive_reduced_basis(gemmi.UnitCell(*cell), group.centring_type()))
    return reindex_experiments(experiments, back, group), reindex_table(table, back)


def test_the_three_ways_to_write_a_change_of_basis():
    np.testing.assert_array_equal(basis_of_operator("b,c,a"), basis_of_operator("k,l,h"))
    np.testing.assert_allclose(basis_of_operator("a+b,b,c") @ basis_of_operator("x+y,y,z").T, np.eye(3), atol=1e-12)


def test_scattering_vectors_stay_as_they_are():
    crystal = Crystal(Rotation.random(random_state=1).as_matrix() @ b_matrix(CELL))
    crystal = replace(crystal, A_at_scan_points=np.array([crystal.A, 1.001 * crystal.A]))
    table = ReflectionTable({"miller_index": np.array([[1, 2, 3], [-4, 0, 5]], dtype=np.int32)})
    basis = basis_of_operator("a+b,-a+b,2*c+a")
    moved, hkl = reindex_crystal(crystal, basis, gemmi.SpaceGroup("P 1")), reindex_table(table, basis)["miller_index"]
    np.testing.assert_allclose(hkl @ moved.A.T, table["miller_index"] @ crystal.A.T, atol=1e-12)
    assert crystal.A_at_scan_points is not None
    assert moved.A_at_scan_points is not None
    np.testing.assert_allclose(
        hkl @ moved.A_at_scan_points[1].T, table["miller_index"] @ crystal.A_at_scan_points[1].T, atol=1e-12
    )


def test_covariances_are_those_of_the_new_axes():
    # A spread of cells, of which both bases tell the same.
    rng = np.random.default_rng(0)
    basis = basis_of_operator("b,c,a")
    cells = np.array(CELL.parameters) + rng.normal(0, 0.01, (4000, 6))
    before = np.array([b_matrix(gemmi.UnitCell(*c)).ravel() for c in cells])
    after = np.array(
        [reindex_crystal(Crystal(b.reshape(3, 3)), basis, gemmi.SpaceGroup("P 1")).B.ravel() for b in before]
    )
    crystal = Crystal(b_matrix(CELL), B_covariance=np.cov(before.T))
    crystal = replace(
        crystal,
        A_at_scan_points=np.array([crystal.A] * 2),
        B_covariance_at_scan_points=np.array([np.cov(before.T)] * 2),
    )
    moved = reindex_crystal(crystal, basis, gemmi.SpaceGroup("P 1"))
    assert moved.B_covariance is not None
    assert moved.B_covariance_at_scan_points is not None
    expected = np.cov(after.T)
    np.testing.assert_allclose(moved.B_covariance, expected, atol=0.02 * np.abs(expected).max())
    np.testing.assert_allclose(moved.B_covariance_at_scan_points[1], moved.B_covariance, rtol=1e-9, atol=1e-20)


def test_an_offset_leaves_spots_without_index_alone():
    table = ReflectionTable({"miller_index": np.array([[1, 2, 3], [0, 0, 0]], dtype=np.int32)})
    assert with_offset(table, (0, -1, 2))["miller_index"].tolist() == [[1, 1, 5], [0, 0, 0]]


def test_the_space_group_changes_with_the_axes_unless_it_is_named():
    experiments, _ = conventional_data("P 21 21 2", cell=(40.0, 50.0, 60.0, 90.0, 90.0, 90.0), d_min=6)
    (moved,) = move_experiments(experiments, basis_of_operator("b,c,a"), None)
    assert moved.crystal is not None
    assert moved.crystal.space_group.xhm() == "P 21 2 21"
    (named,) = move_experiments(experiments, np.eye(3), "P212121")
    assert named.crystal is not None
    assert named.crystal.space_group.xhm() == "P 21 21 21"
    with pytest.raises(ParameterError, match="does not have the symmetry"):
        move_experiments(experiments, np.eye(3), "P4")
    with pytest.raises(ParameterError, match="not a space group"):
        move_experiments(experiments, np.eye(3), "P99")


def reindexed(operator, *, d_min):
    """A crystal of P 4 and its reflections; the change of basis, and both after it."""
    experiments, table = conventional_data("P 4", cell=P4, d_min=d_min)
    crystal = experiments[0].crystal
    assert crystal is not None
    away = basis_of_operator(operator)
    moved = reindex_crystal(crystal, away, gemmi.SpaceGroup("P 4"))
    return crystal, table, away, moved, reindex_table(table, away)


@pytest.mark.parametrize("operator", ["a,b,c", "-b,-a,-c", "b,-a,c"])
def test_intensities_decide_between_settings_of_one_cell(operator):
    crystal, table, away, moved, moved_table = reindexed(operator, d_min=3.5)
    matches = match_reference(moved, moved_table, crystal, table)
    assert len(matches) == 2
    assert matches[0].cc > 0.9 > 0.5 > matches[1].cc
    back = away @ matches[0].basis  # the identity, or a rotation of P 4
    assert back[2, 2] == pytest.approx(1)


def turned(crystal: Crystal, degrees: float) -> Crystal:
    return replace(
        crystal, A=Rotation.from_rotvec([0, 0.6 * degrees, 0.8 * degrees], degrees=True).as_matrix() @ crystal.A
    )


@pytest.mark.parametrize("operator", ["a,b,c", "-b,-a,-c", "b,-a,c"])
def test_the_orientation_decides_where_there_are_no_intensities(operator):
    crystal, _, away, moved, moved_table = reindexed(operator, d_min=6)
    matches = match_reference(turned(moved, 2), moved_table, crystal)
    assert (away @ matches[0].basis)[2, 2] == pytest.approx(1)
    assert matches[0].angle == pytest.approx(2, abs=0.01)
    assert matches[1].angle > 60
    text = match_text(matches)
    assert "The orientation decides between settings that cells do not tell apart: the crystal is turned by 2.0" in text
    assert f"{matches[1].angle:.1f} degrees with" in text


def test_the_orientation_decides_where_intensities_tell_nothing():
    experiments, table = conventional_data("P 4", cell=P4, d_min=5)
    crystal = experiments[0].crystal
    assert crystal is not None
    rng = np.random.default_rng(0)
    reference, ours = (
        table.with_columns(
            {
                "intensity.prf.value": rng.exponential(100.0, table.n_rows),
                "intensity.prf.variance": np.full(table.n_rows, 25.0),
            }
        )
        for _ in range(2)
    )
    away = basis_of_operator("-b,-a,-c")
    moved = turned(reindex_crystal(crystal, away, gemmi.SpaceGroup("P 4")), 2)
    matches = match_reference(moved, reindex_table(ours, away), crystal, reference)
    assert (away @ matches[0].basis)[2, 2] == pytest.approx(1)
    assert "neither cells nor intensities tell apart: the crystal is turned by 2.0" in match_text(matches)


def test_an_ambiguity_that_nothing_resolves_is_said_to_be_open():
    experiments, table = conventional_data("P 4", cell=P4, d_min=6)
    crystal = experiments[0].crystal
    assert crystal is not None
    text = match_text(match_reference(turned(crystal, 40), table, crystal))
    assert "The ambiguity is not resolved." in text
    assert "Give reference.reflections=" in text
    # Intensities resolve it, and then nothing is said.
    matches = match_reference(turned(crystal, 40), table, crystal, table)
    assert matches[0].cc > 0.99
    assert match_text(matches).endswith("+")


def test_the_cell_alone_decides_between_axes_of_different_lengths():
    experiments, table = conventional_data("P 21 21 21", cell=(40.0, 50.0, 60.0, 90.0, 90.0, 90.0), d_min=5)
    crystal = experiments[0].crystal
    assert crystal is not None
    away = basis_of_operator("c,a,b")
    moved = reindex_crystal(crystal, away, gemmi.SpaceGroup("P 21 21 21"))
    best = match_reference(moved, reindex_table(table, away), crystal)[0]
    np.testing.assert_allclose(np.abs(away @ best.basis), np.eye(3), atol=1e-9)
    with pytest.raises(MismatchError, match="No change of basis"):
        match_reference(Crystal(b_matrix(CELL)), table, crystal)


def files(tmp_path, monkeypatch) -> tuple[Experiments, ReflectionTable]:
    monkeypatch.chdir(tmp_path)
    experiments, table = conventional_data("P 4", cell=P4, d_min=3.5)
    write_experiments(experiments, "a.expt")
    write_reflections(table, "a.refl")
    return experiments, table


def test_the_program_reindexes_and_finds_its_way_back(tmp_path, monkeypatch):
    _, table = files(tmp_path, monkeypatch)
    assert program.main(["a.expt", "a.refl", "change_of_basis_op=-b,-a,-c", "space_group=P4"]) == 0
    words = ["reindexed.expt", "reindexed.refl", "reference.experiments=a.expt", "reference.reflections=a.refl"]
    words += ["output.experiments=b.expt", "output.reflections=b.refl"]
    assert program.main([*words, "change_of_basis_op=auto"]) == 0
    h, k, m = read_reflections("b.refl")["miller_index"].T
    h0, k0, m0 = table["miller_index"].T
    assert (m == m0).all()
    assert (h * k == h0 * k0).all() or (h * k == -h0 * k0).all()
    assert read_experiments("b.expt")[0].crystal is not None
    # The reference decides where nothing is said, and only there.
    assert program.main([*words, "output.reflections=unsaid.refl"]) == 0
    assert (read_reflections("unsaid.refl")["miller_index"] == np.column_stack([h, k, m])).all()
    assert program.main([*words, "change_of_basis_op=a,b,c", "output.reflections=same.refl"]) == 0
    moved = read_reflections("reindexed.refl")["miller_index"]
    assert (read_reflections("same.refl")["miller_index"] == moved).all()


def test_every_parameter_of_the_program_changes_its_files(tmp_path, monkeypatch):
    files(tmp_path, monkeypatch)

    def outcome(*words: str) -> bytes:
        code = program.main(["a.expt", "a.refl", *words])
        both = [tmp_path / "reindexed.expt", tmp_path / "reindexed.refl"]
        return b"".join([str(code).encode(), *(p.read_bytes() for p in both if p.exists())])

    usual = outcome()
    for word in ("change_of_basis_op=b,-a,c", "hkl_offset=1,0,0", "space_group=P41"):
        assert outcome(word) != usual, word
    assert program.main(["a.expt", "a.refl", "change_of_basis_op=auto"]) == 1


def test_reflections_alone_can_be_reindexed(tmp_path, monkeypatch):
    _, table = files(tmp_path, monkeypatch)
    assert program.main(["a.refl", "change_of_basis_op=k,l,h"]) == 0
    np.testing.assert_array_equal(
        read_reflections("reindexed.refl")["miller_index"], table["miller_index"][:, [1, 2, 0]]
    )
