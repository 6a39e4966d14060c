"""Free flags: reproducible, of the size asked for, and the same for reflections that twinning relates."""

import gemmi
import numpy as np

from puredials.merging.cross_validation import extend_free_flags, free_flags
from puredials.merging.params import FreeFlagParams

CELL = gemmi.UnitCell(60, 60, 60, 90, 90, 90)
GROUP = gemmi.SpaceGroup("I 2 3")
PARAMS = FreeFlagParams()


def unique(d_min: float = 2.0) -> np.ndarray:
    return np.asarray(gemmi.make_miller_array(CELL, GROUP, d_min), dtype=np.int32)


def flags(hkl: np.ndarray, **changes) -> np.ndarray:
    return free_flags(hkl, CELL, GROUP.operations(), params=FreeFlagParams(**changes))


def test_twenty_sets_of_equal_size_by_default() -> None:
    found = flags(unique())
    assert set(found.tolist()) == set(range(20))
    assert abs((found == 0).mean() - 0.05) < 0.015


def test_the_number_of_test_reflections_is_limited() -> None:
    found = flags(unique(1.3), max_free=200)
    assert abs((found == 0).sum() - 200) < 60


def test_flags_do_not_depend_on_the_order_or_on_what_else_was_measured() -> None:
    hkl = unique()
    every, some = flags(hkl, max_free=None), np.random.default_rng(0).permutation(len(hkl))[:300]
    np.testing.assert_array_equal(flags(hkl[some], max_free=None), every[some])


def test_another_seed_chooses_others() -> None:
    hkl = unique()
    assert (flags(hkl) != flags(hkl, seed=1)).mean() > 0.8


def test_twin_mates_share_a_flag_with_lattice_symmetry_only() -> None:
    hkl = unique()
    mates = hkl[:, [1, 0, 2]] * np.array([1, 1, -1], np.int32)  # merohedral twin law of point group 23
    np.testing.assert_array_equal(flags(hkl), flags(mates))
    alone = [flags(h, use_lattice_symmetry=False) for h in (hkl, mates)]
    assert (alone[0] != alone[1]).mean() > 0.5


def test_a_reference_is_copied_and_extended_in_its_proportions() -> None:
    hkl, ops = unique(1.5), GROUP.operations()
    low = np.asarray(CELL.calculate_d_array(hkl)) > 2
    reference = np.random.default_rng(2).integers(0, 10, low.sum()).astype(np.int32)
    found = extend_free_flags(hkl, CELL, ops, reference=(hkl[low], reference), params=PARAMS)
    np.testing.assert_array_equal(found[low], reference)
    assert set(found[~low].tolist()) <= set(range(10))
    assert abs((found[~low] == 0).mean() - 0.1) < 0.03


def test_a_reference_of_zeros_and_ones_stays_so() -> None:
    hkl = unique(1.5)
    half = hkl[: len(hkl) // 2]
    reference = (np.arange(len(half)) % 20 == 0).astype(np.int32)
    found = extend_free_flags(hkl, CELL, GROUP.operations(), reference=(half, reference), params=PARAMS)
    assert set(found.tolist()) == {0, 1}
    assert abs(found.mean() - 0.05) < 0.03
