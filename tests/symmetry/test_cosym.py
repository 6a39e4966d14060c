"""Wedges of many crystals, each indexed in a setting of its own, come back in one setting."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from test_determine import crystal_data

from puredials.errors import TooFewReflectionsError
from puredials.kernels.correlation import common_correlation
from puredials.model import Experiments, ReflectionTable
from puredials.symmetry import (
    CosymParams,
    cosym,
    cosym_report,
    lattice_settings,
    primitive_reduced_basis,
    reindex_crystal,
    reindex_table,
)


def wedges(symbol: str, n: int, *, share: float = 0.35, seed: int = 5):
    """(experiments, table, rotation of the lattice that each set was turned by, group of the crystal)."""
    rng = np.random.default_rng(seed)
    (experiment,), table, unit_cell = crystal_data(symbol, seed=seed, d_min=3.5, noise=0.0)
    assert experiment.crystal is not None
    cell = experiment.crystal.unit_cell
    rotations = lattice_settings(cell)[0].rotations
    items, tables, turns = [], [], []
    for k in range(n):
        turn = rotations[rng.integers(len(rotations))]
        axis = rng.normal(size=3)
        q = table["miller_index"] @ np.array(cell.frac.mat.tolist())
        # A wedge records the reflections near the planes that contain its axis.
        cosine = np.abs(q @ np.cross(axis, rng.normal(size=3)))
        part = table.select(cosine < np.quantile(cosine, share))
        # Each set is measured by itself: what two of them share is the truth, not the errors.
        intensity = part["intensity.prf.value"]
        sigma = np.sqrt(part["intensity.prf.variance"] + (0.08 * intensity) ** 2)
        scale = rng.uniform(0.3, 3)
        part = part.with_columns(
            {
                "intensity.prf.value": scale * (intensity + sigma * rng.normal(size=part.n_rows)),
                "intensity.prf.variance": (scale * sigma) ** 2,
                "id": np.full(part.n_rows, k, dtype=np.int32),
            }
        )
        crystal = reindex_crystal(experiment.crystal, turn.astype(float), gemmi.SpaceGroup("P 1"))
        items.append(replace(experiment, crystal=crystal, identifier=f"set{k}"))
        tables.append(reindex_table(part, turn.astype(float)).with_identifiers({k: f"set{k}"}))
        turns.append(turn)
    return Experiments(tuple(items)), ReflectionTable.concatenate(tables), turns, unit_cell


@pytest.mark.parametrize("symbol", ["P 3", "P 4", "P 6", "I 2 3", "R 3:H", "C 1 2 1", "P 2 3", "P 3 2 1"])
def test_all_wedges_get_one_setting_and_the_laue_group_of_the_crystal(symbol):
    experiments, table, turns, cell = wedges(symbol, 6)
    result = cosym(experiments, table, params=CosymParams(best_monoclinic_beta=False))
    truth = gemmi.SpaceGroup(symbol)
    assert not result.excluded
    assert (result.space_group.laue_str(), result.space_group.centring_type()) == (
        truth.laue_str(),
        truth.centring_type(),
    )
    # From the true primitive cell to the final one: the same for all sets but for the symmetry of the crystal.
    paths = [turn @ result.cb_ops[f"set{k}"] for k, turn in enumerate(turns)]
    rotations = [np.array(op.rot) / op.DEN for op in truth.operations().sym_ops]
    basis = primitive_reduced_basis(cell, truth.centring_type())
    primitive = [np.linalg.inv(basis) @ r @ basis for r in rotations]
    for path in paths:
        between = path @ np.linalg.inv(paths[0])
        assert min(np.abs(between - r).max() for r in primitive) < 1e-6
    assert "Reindexing operators" in cosym_report(result)


def test_a_set_of_another_cell_is_left_out_with_the_reason():
    experiments, table, _, _ = wedges("P 4", 4)
    crystal = experiments[2].crystal
    assert crystal is not None
    odd = replace(experiments[2], crystal=replace(crystal, A=crystal.A * 0.8))
    result = cosym(experiments.with_items([*experiments[:2], odd, experiments[3]]), table)
    assert list(result.excluded) == ["set2"]
    assert "differs from the median cell" in result.excluded["set2"]
    assert result.experiments.identifiers == ("set0", "set1", "set3")
    assert set(np.unique(result.reflections["id"])) == {0, 1, 2}


def test_a_set_that_shares_no_reflections_with_the_others_is_left_out_with_the_reason():
    experiments, table, _, _ = wedges("P 4", 4)
    h = np.abs(table["miller_index"]).max(axis=1)
    low = h <= np.quantile(h, 0.6)
    result = cosym(experiments, table.select(low == (table["id"] != 3)))
    assert list(result.excluded) == ["set3"]
    assert "common" in result.excluded["set3"]
    assert result.experiments.identifiers == ("set0", "set1", "set2")


def test_sets_of_which_no_two_share_reflections_are_refused():
    experiments, table, _, _ = wedges("P 4", 2)
    h = np.abs(table["miller_index"]).max(axis=1)
    with pytest.raises(TooFewReflectionsError, match="common"):
        cosym(experiments, table.select((h <= np.quantile(h, 0.6)) == (table["id"] == 0)))


def test_the_kernel_correlates_what_is_common():
    rng = np.random.default_rng(2)
    a, b = np.sort(rng.choice(100, 60, replace=False)), np.sort(rng.choice(100, 50, replace=False))
    x, y = rng.normal(size=60), rng.normal(size=50)
    common, i, j = np.intersect1d(a, b, return_indices=True)
    out = np.zeros(2)
    common_correlation(a, x, b, y, out)
    assert out[1] == len(common)
    assert out[0] == pytest.approx(np.corrcoef(x[i], y[j])[0, 1])
