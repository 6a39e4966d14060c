"""Grouping observations into unique reflections, and their weighted means."""

import gemmi
import numpy as np
import pytest

from puredials.kernels.representative import representatives
from puredials.merging.equivalents import find_equivalents, merge

GROUPS = ["P 1", "P -1", "C 1 2 1", "P 21 21 21", "I 4", "P 43 21 2", "P 32 2 1", "R 3 :R", "P 6", "I 2 3", "F 4 3 2"]


def random_indices(n: int = 400, size: int = 6) -> np.ndarray:
    return np.random.default_rng(3).integers(-size, size + 1, size=(n, 3)).astype(np.int32)


@pytest.mark.parametrize("name", GROUPS)
def test_unique_indices_and_friedel_halves_are_those_of_gemmi(name: str) -> None:
    group, hkl = gemmi.SpaceGroup(name), random_indices()
    found = find_equivalents(hkl, group)
    asu = gemmi.ReciprocalAsu(group)
    for i, index in enumerate(hkl.tolist()):
        expected, isym = asu.to_asu(index, group.operations())
        assert found.hkl[found.group[i]].tolist() == expected
        assert found.plus[i] == (isym % 2 == 1 or found.centric[found.group[i]])


@pytest.mark.parametrize("name", GROUPS)
def test_all_equivalents_of_a_reflection_share_a_group(name: str) -> None:
    group = gemmi.SpaceGroup(name)
    hkl = random_indices(50)
    mates = [op.apply_to_hkl(index) for op in group.operations().sym_ops for index in hkl.tolist()]
    found = find_equivalents(np.array(mates, dtype=np.int32), group)
    groups = found.group.reshape(-1, len(hkl))
    assert (groups == groups[0]).all()
    assert (found.plus.reshape(groups.shape) == found.plus[: len(hkl)]).all()


def test_friedel_mates_share_a_group_and_differ_in_half_unless_centric() -> None:
    hkl = random_indices(200)
    found = find_equivalents(np.concatenate([hkl, -hkl]), gemmi.SpaceGroup("P 21 21 21"))
    first, second = found.group.reshape(2, -1)
    np.testing.assert_array_equal(first, second)
    a, b = found.plus.reshape(2, -1)
    np.testing.assert_array_equal(a == b, found.centric[first])


def test_groups_that_no_table_has_are_fine() -> None:
    primitive = gemmi.symops_from_hall("I 2 2 3 (y+z,x+z,x+y)")
    assert gemmi.find_spacegroup_by_ops(primitive) is None
    hkl = random_indices(300)
    found = find_equivalents(hkl, primitive)
    inverse = gemmi.Op("y+z,x+z,x+y")
    conventional = np.array([inverse.apply_to_hkl(index) for index in hkl.tolist()], dtype=np.int32)
    reference = find_equivalents(conventional, gemmi.SpaceGroup("I 2 3"))
    assert len(found) == len(reference)
    pairs = {(int(a), int(b)) for a, b in zip(found.group, reference.group, strict=True)}
    assert len(pairs) == len(found)


def test_the_kernel_agrees_with_its_plain_definition() -> None:
    hkl = random_indices(100)
    rotations = np.array([op.rot for op in gemmi.SpaceGroup("P 3 2 1").operations().sym_ops], np.int32) // 24
    key, plus = np.empty(100, np.int64), np.empty(100, np.bool_)
    representatives(hkl, rotations, key, plus)
    for i, index in enumerate(hkl):
        mates = [tuple(int(v) for v in index @ r) for r in rotations]
        best = max(max(mates), max(tuple(-v for v in m) for m in mates))
        assert key[i] == (best[0] + 2**20) << 42 | (best[1] + 2**20) << 21 | (best[2] + 2**20)
        assert plus[i] == (best in mates)


def test_means_are_weighted_by_the_inverse_variance() -> None:
    merged = merge(np.array([1.0, 4.0, 7.0]), np.array([1.0, 0.5, 4.0]), np.array([0, 0, 2]), 3)
    np.testing.assert_allclose(merged.value, [3.0, np.nan, 7.0])
    np.testing.assert_allclose(merged.sigma, [3**-0.5, np.nan, 2.0])
    np.testing.assert_array_equal(merged.count, [2, 0, 1])


def test_absences_and_epsilons_are_those_of_the_space_group() -> None:
    hkl = np.array([[0, 0, 1], [0, 0, 2], [1, 2, 3], [0, 0, 4]], np.int32)
    found = find_equivalents(hkl, gemmi.SpaceGroup("P 41"))
    np.testing.assert_array_equal(found.absent[found.group], [True, True, False, False])
    np.testing.assert_array_equal(found.epsilon[found.group], [4, 4, 1, 4])
