"""Local assignment follows a crystal that turns while it is measured, and keeps lattices and stray spots apart."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_spots import crystal, instrument, noise_spots, table_of

from puredials.indexing import IndexParams, index
from puredials.indexing.assignment import assign
from puredials.indexing.lattices import Model
from puredials.indexing.params import Assignment
from puredials.indexing.reciprocal import Spots, map_spots, strong_spots
from puredials.model import Crystal, Experiment, Experiments, ReflectionTable, rotation_matrix
from puredials.prediction import predict_sweep

CELL = (41.0, 52.0, 63.0, 81.0, 97.0, 104.0)
AXIS = np.array([0.0, 0.6, 0.8])
LOCAL, SIMPLE = (Assignment.model_validate({"method": method}) for method in ("local", "simple"))


def drifting(degrees: float, seed: int = 0, n: int = 2500) -> tuple[Experiment, Crystal, ReflectionTable, np.ndarray]:
    """Spots of a crystal that turns to and fro by `degrees` in a sweep, its mean setting, and their indices."""
    experiment, mean = instrument(), crystal(CELL, seed=seed)
    assert experiment.scan is not None
    # To and fro: a steady turn would pass for another rotation axis.
    angles = np.radians(degrees) * np.sin(2 * np.pi * np.linspace(0, 1, len(experiment.scan) + 1))
    turned = replace(mean, A_at_scan_points=np.array([rotation_matrix(AXIS, a) @ mean.A for a in angles]))
    h, predicted = predict_sweep(replace(experiment, crystal=turned), d_min=2.2)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(h))[:n]
    return experiment, mean, table_of(predicted.xyz_px[rows] + rng.normal(0, 0.1, (len(rows), 3))), np.asarray(h[rows])


def mapped(experiment: Experiment, table: ReflectionTable) -> tuple[Experiments, Spots]:
    experiments = Experiments((experiment,))
    return experiments, map_spots(experiments, strong_spots(experiments, table))


@pytest.mark.parametrize("degrees", [0.0, 0.5, 1.0])
def test_each_spot_of_a_turning_crystal_gets_its_own_index(degrees):
    experiment, mean, table, h = drifting(degrees)
    experiments, spots = mapped(experiment, table)
    right = {}
    for params in (LOCAL, SIMPLE):
        assigned = assign(Model(experiments, (mean,)), spots, params)
        right[params.method] = float(((assigned.id == 0) & (assigned.index == h).all(axis=1)).mean())
    assert right["local"] > 0.99
    assert (right["simple"] < 0.9) == (degrees == 1)


def test_indexing_by_neighbours_holds_where_the_nearest_nodes_fail():
    experiment, mean, table, h = drifting(1.2, seed=3)
    shares = {}
    for method in ("local", "simple"):
        params = IndexParams.model_validate({"indexing": {"index_assignment": {"method": method}}})
        result = index(Experiments((experiment,)), table, params=params)
        found = result.experiments[0].crystal
        assert found is not None
        change = np.rint(np.linalg.solve(found.A, mean.A))
        right = (result.table["id"] == 0) & (result.table["miller_index"] == np.rint(h @ change.T)).all(axis=1)
        shares[method] = float(right.mean())
    assert shares["local"] > 0.98
    assert 1 - shares["simple"] > 3 * (1 - shares["local"])


def test_spots_of_two_crystals_and_of_none_are_told_apart():
    parts = [drifting(0.0, seed=seed, n=n) for seed, n in ((1, 1200), (2, 800))]
    experiment = parts[0][0]
    stray = noise_spots(experiment, 400)
    table = table_of(np.concatenate([*(p[2]["xyzobs.px.value"] for p in parts), stray]))
    experiments, spots = mapped(experiment, table)
    assigned = assign(Model(experiments, (parts[0][1], parts[1][1])), spots, LOCAL)
    assert (assigned.id[:1200] == 0).mean() > 0.95
    assert (assigned.id[1200:2000] == 1).mean() > 0.95
    assert (assigned.id[2000:] >= 0).mean() < 0.25


def test_neither_the_order_of_spots_nor_their_limits_matter():
    experiment, mean, table, _ = drifting(1.0, n=600)
    experiments, spots = mapped(experiment, table)
    model = Model(experiments, (mean,))
    order = np.random.default_rng(0).permutation(600)
    one, other = assign(model, spots, LOCAL), assign(model, spots.select(order), LOCAL)
    np.testing.assert_array_equal(one.index[order], other.index)
    within = spots.d_star < np.median(spots.d_star)
    inner = assign(model, spots, LOCAL, within=within)
    assert (inner.id[~within] == -1).all()
    assert (inner.index[within] == one.index[within]).all(axis=1).mean() > 0.95
    assert assign(model, spots.select(np.arange(3)), LOCAL).n == 0
