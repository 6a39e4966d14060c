"""Space groups from intensities with known symmetry."""

import gemmi
import numpy as np
import pytest

from puredials.errors import MismatchError, ParameterError, TooFewReflectionsError
from puredials.model import Beam, Crystal, Detector, Experiment, Experiments, Flags, Panel, ReflectionTable
from puredials.symmetry import SymmetryParams, determine_symmetry, primitive_reduced_basis
from puredials.symmetry.observations import normalised_observations
from puredials.symmetry.reindex import basis_of_operator, reindex_crystal, reindex_table, symmetrized_setting
from puredials.symmetry.tables import symmetry_report, symmetry_summary

CELLS = {
    "triclinic": (31, 41, 53, 80, 75, 70),
    "monoclinic": (51, 33, 43, 90, 104, 90),
    "orthorhombic": (34, 43, 55, 90, 90, 90),
    "tetragonal": (49, 49, 37, 90, 90, 90),
    "trigonal": (47, 47, 61, 90, 90, 120),
    "hexagonal": (47, 47, 61, 90, 90, 120),
    "cubic": (58, 58, 58, 90, 90, 90),
}
# Groups that no intensities can tell apart.
SAME = {"P 43 21 2": "P 41 21 2", "P 65": "P 61", "P 32 2 1": "P 31 2 1", "I 21 3": "I 2 3", "I 21 21 21": "I 2 2 2"}


def crystal_data(
    symbol: str, *, cell: tuple[float, ...] | None = None, seed: int = 1, d_min: float = 2.8, noise: float = 0.03
) -> tuple[Experiments, ReflectionTable, gemmi.UnitCell]:
    """A crystal of the given space group, indexed in its reduced primitive cell as P 1."""
    rng = np.random.default_rng(seed)
    group = gemmi.SpaceGroup(symbol)
    unit_cell = gemmi.UnitCell(*(cell or CELLS[group.crystal_system_str()]))
    unique = gemmi.make_miller_array(unit_cell, group, d_min).astype(int)
    operations = group.operations()
    epsilon = operations.epsilon_factor_without_centering_array(unique.astype(np.int32))
    centric = np.asarray(operations.centric_flag_array(unique.astype(np.int32)), dtype=bool)
    wilson = np.where(centric, rng.normal(size=len(unique)) ** 2, rng.exponential(size=len(unique)))
    true = 1000 * epsilon * wilson * np.exp(-10 / unit_cell.calculate_d_array(unique) ** 2)
    rotations = [np.array(op.rot) // op.DEN for op in operations.sym_ops]
    hkl = np.concatenate([unique @ r * sign for r in rotations for sign in (1, -1)])
    intensity = np.tile(true, 2 * len(rotations))
    # Reflections that a screw axis forbids are measured too, as nothing; those that the centring forbids are not there.
    basis = primitive_reduced_basis(unit_cell, group.centring_type())
    line = np.concatenate([k * np.eye(3, dtype=int) for k in range(-25, 26) if k])
    absent = line[np.asarray(operations.systematic_absences(line.astype(np.int32)), dtype=bool)]
    absent = absent[unit_cell.calculate_d_array(absent) > d_min]
    absent = absent[np.abs(absent @ basis - np.rint(absent @ basis)).max(axis=1, initial=0) < 1e-6]
    hkl = np.concatenate([hkl, absent])
    intensity = np.concatenate([intensity, np.zeros(len(absent))])
    keep = rng.random(len(hkl)) < 0.8
    hkl, intensity = hkl[keep], intensity[keep]
    sigma = np.sqrt(5**2 + (noise * intensity) ** 2)
    u = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    u *= np.linalg.det(u)
    A = u @ np.array(unit_cell.frac.mat.tolist()).T @ np.linalg.inv(basis).T
    n = len(hkl)
    table = ReflectionTable(
        {
            "miller_index": np.rint(hkl @ basis).astype(np.int32),
            "intensity.prf.value": intensity + sigma * rng.normal(size=n),
            "intensity.prf.variance": sigma**2,
            "lp": np.ones(n),
            "partiality": np.ones(n),
            "flags": np.full(n, int(Flags.INTEGRATED), dtype=np.uint64),
            "id": np.zeros(n, dtype=np.int32),
        }
    )
    panel = Panel([1, 0, 0], [0, -1, 0], [-50, 50, -100], (1000, 1000), (0.1, 0.1))
    experiment = Experiment(Beam(np.array([0, 0, 1.0]), 1.0), Detector((panel,)), crystal=Crystal(A))
    return Experiments((experiment,)), table, unit_cell


@pytest.mark.parametrize(
    "symbol",
    ["P 1", "P 1 2 1", "P 1 21 1", "C 1 2 1", "P 2 2 2", "P 2 2 21", "P 21 21 2", "P 21 21 21", "C 2 2 21", "C 2 2 2",
     "I 2 2 2", "F 2 2 2", "P 4", "P 41", "I 41", "P 4 21 2", "P 43 21 2", "I 4 2 2", "P 3", "P 31 2 1", "P 3 1 2",
     "R 3:H", "R 3 2:H", "P 61", "P 63 2 2", "P 21 3", "I 21 3", "F 4 3 2", "P 42 3 2"],
)  # fmt: skip
def test_the_space_group_is_found(symbol: str):
    experiments, table, cell = crystal_data(symbol)
    result = determine_symmetry(experiments, table)
    found = result.space_group.xhm()
    expected = SAME.get(symbol, symbol)
    group = gemmi.SpaceGroup(symbol)
    absences = result.analysis.absences
    enantiomorph = found == expected or (absences is not None and symbol in absences.equivalent)
    assert enantiomorph or (symbol, found) == ("C 1 2 1", "I 1 2 1"), symmetry_report(result.analysis)
    crystal = result.experiments[0].crystal
    assert crystal is not None
    assert crystal.unit_cell.volume == pytest.approx(cell.volume, rel=1e-6)
    if group.crystal_system_str() not in ("triclinic", "monoclinic"):
        np.testing.assert_allclose(sorted(crystal.unit_cell.parameters), sorted(cell.parameters), rtol=1e-6)
    assert result.table.n_rows == table.n_rows


def test_pseudosymmetric_cells_do_not_fool_the_intensities():
    experiments, table, _ = crystal_data("P 1 21 1", cell=(40, 50, 60, 90, 90.02, 90))
    assert determine_symmetry(experiments, table).space_group.xhm() == "P 1 21 1"


def test_corners_of_the_detector_that_the_crystal_does_not_reach_do_not_swamp_the_signal():
    """Beyond the last shell with signal the expected intensity falls to nothing, and so does the sense of ratios."""
    _, table, cell = crystal_data("P 4 21 2")
    rng = np.random.default_rng(4)
    inside = np.tile(gemmi.make_miller_array(cell, gemmi.SpaceGroup("P 4 2 2"), 2.8), (2, 1)).astype(np.int32)
    beyond = np.tile(gemmi.make_miller_array(cell, gemmi.SpaceGroup("P 4 2 2"), 2.2, 2.8), (2, 1)).astype(np.int32)
    rows = np.arange(len(inside) + len(beyond)) % table.n_rows
    signal = np.concatenate([1000 * rng.exponential(size=len(inside)), np.full(len(beyond), -2.0)])
    table = table.select(rows).with_columns(
        {
            "intensity.prf.value": signal + rng.normal(0, 5, len(rows)),
            "intensity.prf.variance": np.full(len(rows), 25.0),
        }
    )
    data = normalised_observations(table, np.concatenate([inside, beyond]).astype(np.int64), cell, SymmetryParams())
    assert np.mean(data.sigma**2) < 0.5 * np.var(data.intensity[data.d > 2.8])
    assert data.intensity.mean() > 0.3


def test_the_unique_axis_of_p21212_is_brought_to_c():
    experiments, table, _ = crystal_data("P 2 21 21")
    result = determine_symmetry(experiments, table)
    assert result.space_group.xhm() == "P 21 21 2"
    assert result.experiments[0].crystal.unit_cell.parameters[2] == pytest.approx(34)


def test_reindexed_reflections_keep_their_place_in_reciprocal_space():
    experiments, table, _ = crystal_data("C 2 2 21")
    result = determine_symmetry(experiments, table)
    old = table["miller_index"] @ experiments[0].crystal.A.T
    new = result.table["miller_index"] @ result.experiments[0].crystal.A.T
    np.testing.assert_allclose(new, old, atol=1e-9)


def test_input_in_a_centred_setting_gives_the_same_answer():
    experiments, table, _ = crystal_data("I 4 2 2")
    once = determine_symmetry(experiments, table)
    twice = determine_symmetry(once.experiments, once.table)
    assert twice.space_group.xhm() == once.space_group.xhm()
    np.testing.assert_allclose(
        twice.experiments[0].crystal.unit_cell.parameters, once.experiments[0].crystal.unit_cell.parameters, rtol=1e-9
    )


def test_a_given_laue_group_is_used_and_one_that_does_not_fit_is_refused():
    experiments, table, _ = crystal_data("P 4 21 2")
    params = SymmetryParams(laue_group="P222")
    assert determine_symmetry(experiments, table, params=params).space_group.point_group_hm() == "222"
    with pytest.raises(ParameterError, match="does not fit the lattice"):
        determine_symmetry(experiments, table, params=SymmetryParams(laue_group="P6"))
    with pytest.raises(ParameterError, match="not a space group symbol"):
        determine_symmetry(experiments, table, params=SymmetryParams(laue_group="Q7"))


def test_change_of_basis_is_applied_to_cell_indices_and_group():
    experiments, table, _ = crystal_data("P 21 21 2")
    plain = determine_symmetry(experiments, table)
    turned = determine_symmetry(experiments, table, params=SymmetryParams(change_of_basis_op="b,c,a"))
    assert turned.space_group.xhm() == "P 21 2 21"
    a, b, c = plain.experiments[0].crystal.unit_cell.parameters[:3]
    np.testing.assert_allclose(turned.experiments[0].crystal.unit_cell.parameters[:3], (b, c, a))


def test_experiments_with_different_cells_are_refused():
    experiments, table, _ = crystal_data("P 4")
    other, _, _ = crystal_data("P 4", cell=(60, 60, 37, 90, 90, 90))
    with pytest.raises(MismatchError, match="differs from the median cell"):
        determine_symmetry(experiments.with_items([experiments[0], experiments[0], other[0]]), table)


def test_too_few_reflections_are_refused_with_a_sentence():
    experiments, table, _ = crystal_data("P 4")
    with pytest.raises(TooFewReflectionsError, match="of more images"):
        determine_symmetry(experiments, table.select(np.arange(5)))


def test_report_and_summary_name_the_group():
    experiments, table, _ = crystal_data("P 41 21 2")
    result = determine_symmetry(experiments, table)
    text = symmetry_report(result.analysis)
    assert "Recommended space group: P 41 21 2" in text
    assert "P 43 21 2" in text
    assert symmetry_summary(result.analysis)["space_group"] == "P 41 21 2"


def test_symmetrized_setting_is_the_identity_on_a_symmetric_cell_and_stays_near_a_distorted_one():
    operations = gemmi.SpaceGroup("P 4 2 2").operations()
    B = np.array(gemmi.UnitCell(50, 50, 70, 90, 90, 90).frac.mat.tolist()).T
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    A = turn * np.linalg.det(turn) @ B
    np.testing.assert_allclose(symmetrized_setting(A, operations), A, atol=1e-12)
    near = symmetrized_setting(A * (1 + 1e-3 * np.random.default_rng(4).normal(size=(3, 3))), operations)
    np.testing.assert_allclose(near, A, rtol=0, atol=2e-3 * np.abs(A).max())


def test_operators_are_read_or_refused():
    np.testing.assert_array_equal(basis_of_operator("b+c,a+c,a+b"), [[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    for text in ("a,b", "a,b,a+b", "b,a,c"):
        with pytest.raises(ParameterError):
            basis_of_operator(text)


def test_reindexing_drops_reflections_without_whole_indices():
    table = ReflectionTable({"miller_index": np.array([[1, 0, 0], [2, 0, 0]], dtype=np.int32)})
    assert reindex_table(table, np.diag([0.5, 1, 1]))["miller_index"].tolist() == [[1, 0, 0]]
    crystal = reindex_crystal(Crystal(np.diag([0.01, 0.02, 0.03])), np.diag([0.5, 1, 1]), gemmi.SpaceGroup("P 1"))
    assert crystal.unit_cell.a == pytest.approx(50)


def test_shells_beyond_the_data_in_which_nothing_repeats_do_not_hide_the_symmetry():
    experiments, table, cell = crystal_data("P 21 21 21")
    h = table["miller_index"]
    d = cell.calculate_d_array(h)
    _, first = np.unique(h * np.sign(h @ np.array([10**6, 10**3, 1]))[:, None], axis=0, return_index=True)
    once = np.zeros(len(h), dtype=bool)
    once[first] = True
    beyond = d < 3.4
    sigma = np.sqrt(table["intensity.prf.variance"])
    noise = 30 * sigma * np.random.default_rng(2).normal(size=len(h))
    changed = {
        "intensity.prf.value": np.where(beyond, noise, table["intensity.prf.value"]),
        "intensity.prf.variance": np.where(beyond, 900, 1) * table["intensity.prf.variance"],
    }
    result = determine_symmetry(experiments, table.with_columns(changed).select(once | ~beyond))
    assert result.analysis.limits.d_min > 3.2
    assert result.space_group.xhm() == "P 21 21 21"
