"""A Laue group may be named by any of its space groups."""

import gemmi
import pytest

from puredials.errors import ParameterError
from puredials.symmetry.determine import settings_of
from puredials.symmetry.lattice import lattice_settings


@pytest.mark.parametrize("name", ["P222", "Pmmm", "Pnma", "P212121"])
def test_groups_of_one_laue_class_name_the_same_settings(name: str) -> None:
    settings = lattice_settings(gemmi.UnitCell(40, 50, 60, 90, 90, 90))
    group = gemmi.find_spacegroup_by_name(name)
    assert group is not None
    assert [s.patterson for s in settings_of(group, settings, "laue_group")] == ["P m m m"]


def test_groups_of_another_centring_or_class_do_not() -> None:
    settings = lattice_settings(gemmi.UnitCell(40, 50, 60, 90, 90, 90))
    for name in ("Cmmm", "P4/mmm"):
        group = gemmi.find_spacegroup_by_name(name)
        assert group is not None
        with pytest.raises(ParameterError, match="does not fit the lattice"):
            settings_of(group, settings, "laue_group")
