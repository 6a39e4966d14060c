"""The symmetry of lattices and their conventional settings."""

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puredials.model import cell_parameters
from puredials.symmetry.lattice import (
    LatticeSetting,
    basis_text,
    lattice_rotations,
    lattice_settings,
    primitive_reduced_basis,
    rotation_axis,
    rotation_order,
)

# Bravais type -> (cell, centring, order of the lattice's rotation group)
LATTICES = {
    "aP": ((31, 41, 53, 80, 75, 70), "P", 1),
    "mP": ((41, 31, 53, 90, 105, 90), "P", 2),
    "mC": ((61, 43, 53, 90, 104, 90), "C", 2),
    "oP": ((31, 41, 53, 90, 90, 90), "P", 4),
    "oC": ((31, 71, 53, 90, 90, 90), "C", 4),
    "oI": ((41, 53, 67, 90, 90, 90), "I", 4),
    "oF": ((61, 73, 89, 90, 90, 90), "F", 4),
    "tP": ((79, 79, 38, 90, 90, 90), "P", 8),
    "tI": ((79, 79, 38, 90, 90, 90), "I", 8),
    "hP": ((57, 57, 87, 90, 90, 120), "P", 12),
    "hR": ((82, 82, 34, 90, 90, 120), "R", 6),
    "cP": ((61, 61, 61, 90, 90, 90), "P", 24),
    "cI": ((78, 78, 78, 90, 90, 90), "I", 24),
    "cF": ((181, 181, 181, 90, 90, 90), "F", 24),
}


def reduced(cell: tuple[float, ...], centring: str) -> gemmi.UnitCell:
    unit_cell = gemmi.UnitCell(*cell)
    rows = primitive_reduced_basis(unit_cell, centring).T @ np.array(unit_cell.orth.mat.tolist()).T
    return gemmi.UnitCell(*cell_parameters(np.linalg.inv(rows)))


@pytest.mark.parametrize("bravais", LATTICES)
def test_each_bravais_lattice_is_recognised_with_its_conventional_cell(bravais: str):
    cell, centring, order = LATTICES[bravais]
    best = lattice_settings(reduced(cell, centring))[0]
    assert best.bravais in (bravais, "mI" if bravais == "mC" else bravais)
    assert len(best.rotations) == order
    if best.bravais == bravais and bravais[0] not in "am":
        np.testing.assert_allclose(sorted(best.unit_cell.parameters[:3]), sorted(cell[:3]), rtol=1e-9)
        np.testing.assert_allclose(best.unit_cell.parameters[3:], cell[3:], atol=1e-7)
    assert best.unit_cell.volume == pytest.approx(gemmi.UnitCell(*cell).volume)


def is_valid(setting: LatticeSetting) -> None:
    """The rotations are those of the named space group in the setting's basis, which is right-handed."""
    assert np.linalg.det(setting.basis) > 0
    inverse = np.linalg.inv(setting.basis)
    own = {tuple(np.rint(inverse @ r @ setting.basis).astype(int).ravel()) for r in setting.rotations}
    group = gemmi.SpaceGroup(setting.space_group).operations()
    assert own == {tuple((np.array(op.rot) // op.DEN).ravel()) for op in group.sym_ops}


@pytest.mark.parametrize("bravais", LATTICES)
def test_every_subgroup_has_the_operations_of_its_space_group_in_its_own_basis(bravais: str):
    cell, centring, _ = LATTICES[bravais]
    for setting in lattice_settings(reduced(cell, centring), max_delta=1.0):
        is_valid(setting)


def test_cubic_body_centred_insulin_offers_22_lattice_types():
    found = lattice_settings(reduced((77.9, 77.9, 77.9, 90, 90, 90), "I"))
    types = {(s.bravais, s.unit_cell.parameters[0].__round__(2), s.basis.tobytes()) for s in found}
    counts = {b: sum(1 for t in types if t[0] == b) for b in ("cI", "hR", "tI", "oF", "oI", "mI", "aP")}
    assert counts["oF"] == 3
    assert counts["oI"] == 1
    assert counts["mI"] == 9
    assert counts["aP"] == 1


@settings(max_examples=25)
@given(st.sampled_from(sorted(LATTICES)), st.integers(0, 10_000))
def test_small_distortions_keep_the_lattice_within_tolerance(bravais: str, seed: int):
    cell, centring, order = LATTICES[bravais]
    rng = np.random.default_rng(seed)
    noisy = reduced(tuple(np.array(cell) * (1 + 0.0005 * rng.normal(size=6))), centring)
    assert len(lattice_rotations(noisy, 2.0)) >= order


def test_order_and_axis_of_rotations():
    four = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert rotation_order(four) == 4
    assert rotation_axis(four).tolist() == [0, 0, 1]
    assert rotation_axis(np.eye(3, dtype=np.int64)).tolist() == [0, 0, 0]


def test_basis_is_written_in_terms_of_the_axes():
    assert basis_text(np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])) == "b+c,a+c,a+b"
    assert basis_text(np.array([[0.5, 0, 0], [0, -1, 0], [2, 0, 1]])) == "0.5*a+2*c,-b,c"


def test_the_deviation_of_a_setting_does_not_depend_on_the_tolerance():
    cell = reduced((77.90, 77.95, 78.01, 90.03, 89.98, 90.02), "I")
    wide = {s.rotations.tobytes(): s.delta for s in lattice_settings(cell, max_delta=5.0)}
    narrow = lattice_settings(cell, max_delta=0.06)  # of its two-folds, which generate others that deviate more
    assert max(s.delta for s in narrow) > 0.06
    for setting in narrow:
        assert setting.delta == pytest.approx(wide[setting.rotations.tobytes()])
