from dataclasses import replace

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puredials.model import b_matrix, cell_parameters
from puredials.refinement.cell import b_from_metric, cell_and_esds, invariant_metrics, symmetrised_metric
from puredials.refinement.crystals import crystal_text, with_esd
from puredials.refinement.models import BeamModel, CrystalModel, DetectorModel
from puredials.refinement.params import Parameterisation
from puredials.refinement.rotations import rotation_from_vector
from puredials.refinement.smoother import Smoother, constant, smoother_for_scan
from refinement_synthetic import SYNTHETIC

PARAMS = Parameterisation()
STEP = 1e-6


def numerical(function, x):
    """Derivatives of an array by each element of x, first axis."""
    out = []
    for k in range(len(x)):
        d = np.zeros(len(x))
        d[k] = STEP
        out.append((function(x + d) - function(x - d)) / (2 * STEP))
    return np.array(out)


@given(st.tuples(*[st.floats(-3, 3)] * 3).map(np.array))
def test_a_rotation_vector_gives_a_rotation_and_its_derivatives(omega):
    R, dR = rotation_from_vector(omega[None])
    assert R[0] @ R[0].T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(R[0]) == pytest.approx(1)
    assert R[0] @ omega == pytest.approx(omega, abs=1e-12)
    assert dR[0] == pytest.approx(numerical(lambda o: rotation_from_vector(o[None])[0][0], omega), abs=1e-8)


@pytest.mark.parametrize(
    ("hall", "n"),
    [("P 1", 6), ("P 2y", 4), ("C 2y", 4), ("P 2ac 2ab", 3), ("P 4w", 2), ('P 31 2"', 2), ("R 3", 2), ("F 2 2 3", 1)],
)
def test_the_number_of_free_cell_parameters_is_that_of_the_system(hall, n):
    assert len(invariant_metrics(gemmi.symops_from_hall(hall))) == n


def test_a_rhombohedral_cell_in_its_primitive_setting_has_two_parameters():
    assert len(invariant_metrics(gemmi.symops_from_hall("P 3*"))) == 2


def test_a_distorted_cell_is_made_to_obey_its_symmetry():
    B = b_matrix(gemmi.UnitCell(50.1, 49.9, 80, 90.1, 89.9, 119.8))
    G = symmetrised_metric(B.T @ B, gemmi.symops_from_hall("P 61 2 (0 0 -1)"))
    cell = cell_parameters(b_from_metric(G[None], np.zeros((0, 3, 3)))[0][0])
    assert cell[0] == pytest.approx(cell[1])
    assert cell[3:] == pytest.approx((90, 90, 120))
    assert cell[0] == pytest.approx(50, rel=2e-3)


@given(
    st.tuples(st.floats(20, 200), st.floats(20, 200), st.floats(20, 200)),
    st.tuples(st.floats(75, 110), st.floats(75, 110), st.floats(75, 110)),
)
def test_b_of_a_metric_is_that_of_the_cell_with_right_derivatives(lengths, angles):
    B = b_matrix(gemmi.UnitCell(*lengths, *angles))
    G, M = B.T @ B, invariant_metrics(gemmi.symops_from_hall("P 1")) * np.trace(B.T @ B) / 3
    found, derivatives = b_from_metric(G[None], M)
    assert found[0] == pytest.approx(B, abs=1e-9)
    scale = np.abs(B).max()
    expected = numerical(lambda g: b_from_metric((G + np.einsum("k,kij->ij", g, M))[None], M)[0][0], np.zeros(6))
    assert derivatives[0] / scale == pytest.approx(expected / scale, rel=1e-4, abs=1e-3)


def test_uncertainties_of_the_cell_follow_from_those_of_b():
    rng = np.random.default_rng(0)
    B = b_matrix(gemmi.UnitCell(40, 50, 60, 80, 95, 100))
    factor = rng.normal(size=(9, 9)) * 1e-7
    covariance = factor @ factor.T
    draws = rng.multivariate_normal(B.ravel(), covariance, 20000)
    cells = np.array([cell_parameters(b.reshape(3, 3)) for b in draws[:4000]])
    cell, esds = cell_and_esds(B, covariance)
    assert cell == pytest.approx([40, 50, 60, 80, 95, 100])
    assert esds == pytest.approx(cells.std(axis=0), rel=0.06)


@given(value=st.floats(-5, 5), first=st.floats(0, 100), length=st.floats(1, 3000), width=st.floats(0.05, 2))
def test_equal_nodes_give_that_value_everywhere(value, first, length, width):
    smoother = smoother_for_scan(first, first + length, width=width, interval_width=36.0)
    z = np.linspace(first, first + length, 50)
    assert smoother.weights(z) @ np.full(smoother.n_nodes, value) == pytest.approx(value)


@pytest.mark.parametrize(("degrees", "nodes"), [(10, 2), (71, 2), (72, 3), (90, 3), (108, 5), (288, 10), (360, 12)])
def test_a_scan_has_a_node_for_each_36_degrees_and_two_more(degrees, nodes):
    assert smoother_for_scan(0.0, degrees * 10.0, width=0.1, interval_width=36.0).n_nodes == nodes


def test_a_smoother_follows_slow_changes_and_looks_at_three_nodes_only():
    smoother = smoother_for_scan(0.0, 720.0, width=0.5, interval_width=36.0)
    weights = smoother.weights(np.linspace(0, 720, 100))
    assert ((weights > 0).sum(axis=1) <= 3).all()
    assert (np.diff(weights @ np.arange(smoother.n_nodes)) > 0).all()
    assert constant().weights(np.arange(5.0)) == pytest.approx(np.ones((5, 1)))
    assert Smoother(0.0, 1.0, 2).weights(np.array([0.5]))[0] == pytest.approx([0.5, 0.5])


@given(st.lists(st.floats(-0.05, 0.05), min_size=6, max_size=6), st.sampled_from([1, 4]))
def test_the_detector_moves_as_its_state_says(values, n_panels):

    model = DetectorModel.of(SYNTHETIC.experiment(n_panels=n_panels, tilt=0.3), PARAMS)
    x = np.array(values)
    d, derivatives = model.state(x)
    moved = model.moved(x)
    for k, panel in enumerate(moved.panels):
        assert panel.d_matrix == pytest.approx(d[k])
    assert np.swapaxes(derivatives, 0, 1) == pytest.approx(numerical(lambda p: model.state(p)[0], x), abs=1e-6)


@given(st.floats(-0.02, 0.02))
def test_the_beam_stays_in_the_plane_of_the_rotation_axis(mu):

    experiment = SYNTHETIC.experiment(axis=(0.8, 0.6, 0.0))
    model = BeamModel.of(experiment, PARAMS)
    assert model.n == 1
    s0, derivatives = model.state(np.array([mu]))
    assert np.linalg.norm(s0) == pytest.approx(1 / experiment.beam.wavelength)
    assert s0 @ np.cross(experiment.beam.s0, experiment.goniometer.rotation_axis) == pytest.approx(0, abs=1e-12)
    assert derivatives == pytest.approx(numerical(lambda p: model.state(p)[0], np.array([mu])), abs=1e-8)
    assert model.moved(np.array([mu])).s0 == pytest.approx(s0)


def test_all_of_the_beam_can_be_refined_or_none():

    experiment = SYNTHETIC.experiment()
    free = BeamModel.of(experiment, Parameterisation(beam={"fix": ()}))
    x = np.array([0.01, -0.02, 0.03])
    assert free.n == 3
    assert free.state(x)[1] == pytest.approx(numerical(lambda p: free.state(p)[0], x), abs=1e-8)
    assert BeamModel.of(experiment, Parameterisation(beam={"fix": ("all",)})).n == 0


@given(st.lists(st.floats(-0.02, 0.02), min_size=9, max_size=9))
def test_the_setting_matrix_has_right_derivatives(values):

    model = CrystalModel.of(SYNTHETIC.experiment(cell=(40, 50, 60, 80, 95, 100)).crystal, PARAMS)

    def A(x):
        return model.state(x[None, :3], x[None, 3:])[0][0]

    x = np.array(values)
    assert model.state(x[None, :3], x[None, 3:])[1][0] == pytest.approx(numerical(A, x), abs=1e-8)
    assert A(np.zeros(9)) == pytest.approx(model.crystal.A)


def test_the_text_of_a_crystal_shows_its_uncertainties():

    crystal = SYNTHETIC.experiment(cell=(40, 40, 60, 90, 90, 90), hall="P 4").crystal
    assert "40.000, 40.000, 60.000, 90.000" in crystal_text(crystal)
    model = CrystalModel.of(crystal, PARAMS)
    covariance = model.cell_covariance(np.zeros(2), np.diag([1e-9, 1e-9]))
    text = crystal_text(replace(crystal, B_covariance=covariance))
    assert "90.0, 90.0, 90.0" in text
    assert "Space group: P 4" in text
    assert "-0.0000" not in text
    primitive = crystal_text(replace(crystal, hall="I 2 2 3 (y+z,x+z,x+y)"))
    assert "Space group: I 2 3 (y+z,x+z,x+y)" in primitive
    assert with_esd(67.48476, 0.00093) == "67.4848(9)"
    assert with_esd(82.41561, 0.00118) == "82.4156(12)"
