"""A found lattice is brought to a space group and cell that the user knows, in whatever setting they are written."""

import gemmi
import numpy as np
import pytest
from synthetic_spots import crystal

from puredials.errors import ParameterError
from puredials.indexing.known_symmetry import known_symmetry
from puredials.indexing.lattices import primitive_basis, reduced_setting
from puredials.indexing.params import KnownSymmetry
from puredials.model import cell_parameters
from puredials.symmetry import primitive_reduced_basis

CASES = [
    ("P 1", (41, 52, 63, 81, 83, 76)),
    ("P 1 21 1", (41, 52, 63, 90, 97, 90)),
    ("P 1 1 21", (41, 52, 63, 90, 90, 97)),
    ("P 21 1 1", (41, 52, 63, 97, 90, 90)),
    ("C 1 2 1", (95, 41, 71, 90, 111.5, 90)),
    ("I 1 2 1", (71, 41, 95, 90, 95, 90)),
    ("A 1 2 1", (71, 41, 95, 90, 111.5, 90)),
    ("P 21 2 21", (41, 52, 63, 90, 90, 90)),
    ("A 21 2 2", (70, 60, 100, 90, 90, 90)),
    ("I 2 2 2", (60, 70, 100, 90, 90, 90)),
    ("F 2 2 2", (60, 70, 100, 90, 90, 90)),
    ("P 43 21 2", (60, 60, 38, 90, 90, 90)),
    ("I 41", (60, 60, 98, 90, 90, 90)),
    ("P 31 2 1", (62, 62, 91, 90, 90, 120)),
    ("P 31 1 2", (62, 62, 91, 90, 90, 120)),
    ("P 61", (62, 62, 91, 90, 90, 120)),
    ("R 3:H", (80, 80, 110, 90, 90, 120)),
    ("R 3:R", (60, 60, 60, 85, 85, 85)),
    ("R 3 2:R", (60, 60, 60, 85, 85, 85)),
    ("P 2 3", (70, 70, 70, 90, 90, 90)),
    ("I 21 3", (78, 78, 78, 90, 90, 90)),
    ("F 4 3 2", (120, 120, 120, 90, 90, 90)),
]


@pytest.mark.parametrize(("symbol", "cell"), CASES, ids=[symbol for symbol, _ in CASES])
def test_group_cell_and_primitive_cell_lead_to_the_same_setting(symbol, cell):
    true = crystal(cell, symbol, 3)
    reduced = primitive_reduced_basis(true.unit_cell, gemmi.SpaceGroup(symbol).centring_type())
    primitive = true.A @ np.linalg.inv(reduced).T
    found = (np.eye(3) + 1e-4 * np.random.default_rng(1).normal(size=(3, 3))) @ primitive
    for unit_cell in (None, cell, cell_parameters(primitive)):
        known = known_symmetry(KnownSymmetry(space_group=symbol, unit_cell=unit_cell)).crystal(found)
        assert known is not None
        assert known.space_group == gemmi.SpaceGroup(symbol)
        assert known.unit_cell.is_compatible_with_spacegroup(known.space_group, 1e-6)
        assert known.unit_cell.volume == pytest.approx(true.unit_cell.volume, rel=1e-3)
        if unit_cell == cell:
            np.testing.assert_allclose(known.unit_cell.parameters, cell, rtol=2e-3)
        else:  # which of the axes is called what may be open
            np.testing.assert_allclose(sorted(known.unit_cell.parameters[:3]), sorted(cell[:3]), rtol=2e-3)


def test_a_cell_without_the_symmetry_is_refused():
    with pytest.raises(ParameterError, match="does not have the symmetry"):
        known_symmetry(KnownSymmetry(space_group="I23", unit_cell=(60, 70, 80, 90, 90, 90)))


CENTRED = [(symbol, cell) for symbol, cell in CASES if symbol[0] != "P" and not symbol.endswith(":R")]


@pytest.mark.parametrize(("symbol", "cell"), CENTRED, ids=[symbol for symbol, _ in CENTRED])
def test_a_centred_cell_needs_no_group_to_be_recognised(symbol, cell):
    true = crystal(cell, symbol, 3)
    primitive = reduced_setting(true.A @ np.linalg.inv(primitive_basis(true)).T)
    known = known_symmetry(KnownSymmetry(unit_cell=cell))
    assert known.centring(primitive) == symbol[0]
    found = known.crystal(primitive)
    assert found is not None
    assert found.hall == "P 1"
    np.testing.assert_array_equal(found.A, primitive)
    # The same cell of a primitive lattice is taken as it is.
    found = known.crystal(reduced_setting(true.A))
    assert found is not None
    np.testing.assert_allclose(found.unit_cell.parameters, cell, rtol=1e-9)


def test_no_centring_is_tried_that_does_not_go_with_the_shape_of_the_cell():
    true = crystal((41, 52, 63, 81, 97, 104), seed=3)
    doubled = np.array([[1.0, 1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    cell = cell_parameters(true.A @ np.linalg.inv(doubled).T)
    assert known_symmetry(KnownSymmetry(unit_cell=cell)).crystal(true.A) is None
