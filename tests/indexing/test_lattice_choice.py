"""Which lattice explains spots best, how long its edges may be, and what the real data say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_spots import crystal, instrument, spots_of

from puredials.indexing import IndexParams, index
from puredials.indexing.assignment import assign
from puredials.indexing.candidates import same_lattice, without_absences
from puredials.indexing.lattices import Model, misorientation, reduced_setting
from puredials.indexing.max_cell import estimate_max_cell
from puredials.indexing.params import Assignment, MaxCellParams
from puredials.indexing.reciprocal import map_spots, strong_spots
from puredials.indexing.score import evidence, fit_setting
from puredials.io.expt import read_experiments
from puredials.io.refl import read_reflections
from puredials.model import Crystal, Experiments, ReflectionTable

CELL = (41.0, 52.0, 63.0, 81.0, 97.0, 104.0)


def lattice_points(A: np.ndarray, n: int, seed: int = 0, width: float = 3e-4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    h = rng.integers(-12, 13, (2 * n, 3))
    return (h[h.any(axis=1)][:n] @ A.T) + rng.normal(0, width, (n, 3))


unimodular = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(-2, 2)).filter(lambda t: t[0] != t[1]), max_size=5
)


@given(shears=unimodular, seed=st.integers(0, 50))
@settings(max_examples=30)
def test_the_reduced_setting_does_not_depend_on_the_basis(shears, seed):
    A = reduced_setting(crystal(CELL, seed=seed).A)
    basis = np.eye(3)
    for i, j, k in shears:
        shear = np.eye(3)
        shear[i, j] = k
        basis = basis @ shear
    other = reduced_setting(A @ basis)
    assert same_lattice(A, other)
    np.testing.assert_allclose(Crystal(A).unit_cell.parameters, Crystal(other).unit_cell.parameters, rtol=1e-5)


def test_a_needlessly_doubled_cell_is_halved_and_explains_no_more():
    A = crystal(CELL, seed=1).A
    points = lattice_points(A, 800)
    for basis in (np.diag([2.0, 1, 1]), np.array([[1.0, 1, 0], [-1, 1, 0], [0, 0, 1]]), np.diag([1.0, 1, 3])):
        larger = A @ np.linalg.inv(basis).T
        assert evidence(points, larger).bits < evidence(points, A).bits + 0.05
        assert same_lattice(without_absences(points, reduced_setting(larger)), A)


def test_half_the_cell_explains_less():
    A = crystal(CELL, seed=2).A
    points = lattice_points(A, 800)
    smaller = A @ np.diag([2.0, 1, 1])
    assert evidence(points, smaller).bits < evidence(points, A).bits - 1


def test_weak_superstructure_spots_call_for_the_larger_cell():
    A = crystal(CELL, seed=3).A
    sub = lattice_points(A @ np.diag([2.0, 1, 1]), 900)  # only even h of A
    points = np.concatenate([sub, lattice_points(A, 160, seed=4)])
    assert evidence(points, A).bits > evidence(points, A @ np.diag([2.0, 1, 1])).bits
    assert same_lattice(without_absences(points, A), A)


def test_the_fit_recovers_a_setting_that_is_a_percent_off():
    A = crystal(CELL, seed=5).A
    points = lattice_points(A, 600, width=1e-4)
    wrong = A * 1.01
    fitted, same = fit_setting(points, wrong)
    np.testing.assert_allclose(fitted, A, atol=2e-6)
    np.testing.assert_array_equal(points, same)


def test_offsets_of_several_sets_are_fitted():
    A = crystal(CELL, seed=6).A
    points = lattice_points(A, 600, width=1e-5)
    sets = (np.arange(600) % 2).astype(np.int64)
    shift = np.array([[0.001, 0.0, -0.001], [-0.001, 0.001, 0.0]])
    fitted, moved = fit_setting(points + shift[sets], A, sets=sets)
    np.testing.assert_allclose(fitted, A, atol=2e-6)
    np.testing.assert_allclose(moved, points, atol=2e-5)


@pytest.mark.parametrize("cell", [CELL, (7.4, 9.2, 11.6, 82.4, 76.9, 68.7), (79.0, 79.0, 38.0, 90.0, 90.0, 90.0)])
def test_max_cell_exceeds_the_longest_edge_but_not_by_much(cell):
    experiment = instrument()
    table, _ = spots_of(experiment, crystal(cell, seed=7), n=4000, d_min=1.0 if cell[0] < 10 else 2.0, noise=0.05)
    experiments = Experiments((experiment,))
    found = estimate_max_cell(map_spots(experiments, strong_spots(experiments, table)), MaxCellParams())
    assert max(cell[:3]) < found < 2.5 * max(cell[:3])


def test_one_of_two_spots_on_a_node_keeps_the_index():
    experiment, truth = instrument(), crystal(CELL, seed=8)
    table, h = spots_of(experiment, truth, n=200, noise=0.01)
    double = table.with_columns({"xyzobs.px.value": table["xyzobs.px.value"] + [1.0, 0.5, 0.0]})
    both = ReflectionTable.concatenate([table, double])
    experiments = Experiments((experiment,))
    spots = map_spots(experiments, strong_spots(experiments, both))
    assigned = assign(Model(experiments, (truth,)), spots, Assignment())
    np.testing.assert_array_equal(assigned.id[:200], 0)
    np.testing.assert_array_equal(assigned.id[200:], -1)
    np.testing.assert_array_equal(assigned.index[:200], h)


def test_spots_that_fit_no_node_stay_without_an_index():
    experiment = instrument()
    table, _ = spots_of(experiment, crystal(CELL, seed=8), n=20)
    experiments = Experiments((experiment,))
    spots = map_spots(experiments, strong_spots(experiments, table))
    assigned = assign(Model(experiments, (Crystal(np.eye(3) * 10),)), spots, Assignment())
    assert assigned.n == 0


def test_indices_of_a_centred_crystal_obey_its_centring():
    experiment, truth = instrument(), crystal((78.0, 78.0, 78.0, 90.0, 90.0, 90.0), "I 2 3", seed=9)
    table, h = spots_of(experiment, truth, n=500, noise=0.05)
    experiments = Experiments((experiment,))
    spots = map_spots(experiments, strong_spots(experiments, table))
    assigned = assign(Model(experiments, (truth,)), spots, Assignment())
    np.testing.assert_array_equal(assigned.index[assigned.id == 0], h[assigned.id == 0])
    assert not (assigned.index.sum(axis=1) % 2).any()


def test_misorientation_is_blind_to_lattice_symmetry():
    cell = (78.0, 78.0, 78.0, 90.0, 90.0, 90.0)
    first = crystal(cell, "I 2 3", seed=10)
    turned = Crystal(first.A @ np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), hall=first.hall)
    assert misorientation(first, turned) < 1e-3
    assert misorientation(first, Crystal(first.A * 1.3, hall=first.hall)) == 360


# Real spots: what the real DIALS 3.12 indexes of them is stated in the README of the data.
@pytest.mark.parametrize(
    ("names", "percent", "cell"),
    [
        (("quartz",), 87.9, (4.928, 4.935, 5.406)),
        (("phi_scan",), 98.5, (11.62, 13.54, 30.09)),
        (("MXSW-904-1_SWEEP1",), 44.9, (11.72, 11.72, 11.74)),
        (tuple(f"multi_sweep-SWEEP{i}" for i in (1, 2, 3, 4)), 95.9, (6.19, 6.19, 6.19)),
    ],
)
def test_real_spots_are_indexed_as_well_as_by_others(shared, names, percent, cell):
    folder = shared / "data" / "dials_files"
    items, tables = [], []
    for number, name in enumerate(names):
        items += read_experiments(folder / f"{name}_strong.expt")
        table = read_reflections(folder / f"{name}_strong.refl")
        tables.append(table.with_columns({"id": table["id"] + np.int32(number)}))
    result = index(Experiments(tuple(items)), ReflectionTable.concatenate(tables), params=IndexParams())
    indexed = 100 * (result.table["id"] >= 0).mean()
    assert indexed > percent - 0.5
    found = result.experiments[0].crystal
    assert found is not None
    np.testing.assert_allclose(sorted(found.unit_cell.parameters[:3]), cell, rtol=0.005)
