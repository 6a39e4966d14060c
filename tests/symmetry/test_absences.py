"""Screw axes are judged by the reflections that they forbid, and where none was measured nothing is certain."""

import gemmi
import numpy as np
import pytest
from test_determine import crystal_data

from puredials.symmetry.absences import SCREW_ODDS, AbsenceAnalysis, analyse_absences
from puredials.symmetry.observations import Observations


def axial(symbol: str, *, cell=(34.0, 43.0, 55.0, 90.0, 90.0, 90.0), seed: int = 1) -> Observations:
    """Normalised intensities of reflections along the three axes of a crystal."""
    rng = np.random.default_rng(seed)
    hkl = np.concatenate([np.outer(np.arange(1, 16), edge) for edge in np.eye(3, dtype=np.int64)])
    group = gemmi.SpaceGroup(symbol).operations()
    absent = np.asarray(group.systematic_absences(hkl.astype(np.int32)), dtype=bool)
    epsilon = group.epsilon_factor_without_centering_array(hkl.astype(np.int32)).astype(float)
    intensity = np.where(absent, 0.0, epsilon * rng.normal(size=len(hkl)) ** 2) + 0.05 * rng.normal(size=len(hkl))
    unit_cell = gemmi.UnitCell(*cell)
    return Observations(hkl, intensity, np.full(len(hkl), 0.05), unit_cell.calculate_d_array(hkl), unit_cell)


def analyse(data: Observations, laue: str = "P 2 2 2") -> AbsenceAnalysis:
    return analyse_absences(data, gemmi.SpaceGroup(laue), significance=0.95)


def along(data: Observations, letters: str) -> np.ndarray:
    return (data.hkl[:, ["abc".index(letter) for letter in letters]] != 0).any(axis=1)


def probabilities(analysis: AbsenceAnalysis) -> dict[str, float]:
    return {group: score.probability for score in analysis.groups for group in score.space_groups}


@pytest.mark.parametrize("symbol", ["P 2 2 2", "P 2 2 21", "P 21 2 21", "P 21 21 2", "P 21 21 21"])
def test_axes_that_were_measured_are_certain(symbol: str):
    found = analyse(axial(symbol))
    assert found.best == symbol
    assert not found.alternatives
    assert all(a.n_absent == 8 for a in found.axes)


def test_axes_that_were_not_measured_are_told_and_their_screws_taken_for_likely():
    data = axial("P 21 21 21")
    found = analyse(data.select(along(data, "c")))
    assert {a.name: a.n_absent for a in found.axes} == {"21a": 0, "21b": 0, "21c": 8}
    assert found.best == "P 21 21 21"
    known = probabilities(found)
    assert known["P 21 21 21"] == pytest.approx(SCREW_ODDS * known["P 2 21 21"])
    assert known["P 2 21 21"] == pytest.approx(SCREW_ODDS * known["P 2 2 21"])
    assert {g for s in found.alternatives for g in s.space_groups} == {"P 2 21 21", "P 21 2 21"}
    assert known["P 21 21 2"] < 1e-6


def test_few_reflections_outweigh_what_is_likely_without_them():
    data = axial("P 2 2 2", seed=5)
    strong = np.flatnonzero(along(data, "c") & (data.hkl[:, 2] % 2 != 0) & (data.intensity > 0.5))[:2]
    found = analyse(data.select(np.isin(np.arange(len(data.hkl)), strong)))
    assert next(a for a in found.axes if a.name == "21c").probability < 0.05
    assert found.best == "P 21 21 2"  # of a and b nothing is known


@pytest.mark.parametrize(
    ("laue", "others"),
    [("P 4", {"P 41", "P 42", "P 43"}), ("P 3", {"P 31", "P 32"}), ("P 1 2 1", {"P 1 21 1"}), ("I 4", {"I 41"})],
)
def test_nothing_measured_leaves_the_group_of_pure_rotations_and_tells_all_others(laue: str, others: set[str]):
    data = axial("P 2 2 2")
    found = analyse(data.select(np.zeros(len(data.hkl), dtype=bool)), laue)
    assert (found.best, found.equivalent) == (laue, ())
    assert {g for s in found.alternatives for g in s.space_groups} == others


@pytest.mark.parametrize("symbol", ["P 4 2 2", "P 6 2 2", "P 4 3 2", "F 4 3 2", "C 2 2 2", "P 1 2 1", "R 3:H"])
def test_each_axis_of_a_kind_is_listed_once(symbol: str):
    experiments, _, cell = crystal_data(symbol)
    assert experiments[0].crystal is not None
    data = axial("P 1", cell=cell.parameters)
    names = [a.name for a in analyse(data, symbol).axes]
    expected = {"P 4 2 2": ["21a", "41c", "42c"], "P 6 2 2": ["61c", "62c", "63c"], "P 4 3 2": ["41a", "42a"],
                "F 4 3 2": ["41a"], "C 2 2 2": ["21c"], "P 1 2 1": ["21b"], "R 3:H": []}  # fmt: skip
    assert names == expected[symbol]
