"""Crystals are grouped by lattice, however their axes were chosen."""

import importlib
import json
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from test_determine import crystal_data

from parameter_flips import without_effect
from puredials.cli import cluster_unit_cell
from puredials.execute import Threads
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.refl import read_reflections, write_reflections
from puredials.kernels.cells import nearest_image
from puredials.model import Crystal, Experiments, ReflectionTable, b_matrix
from puredials.symmetry import cluster_cells, cluster_report, lattice_distances
from puredials.symmetry.cosym_cells import unimodular


def crystal(*cell: float, basis: np.ndarray | None = None, group: str = "P 1", seed: int = 0) -> Crystal:
    A = Rotation.random(random_state=seed).as_matrix() @ b_matrix(gemmi.UnitCell(*cell))
    return Crystal(A if basis is None else A @ np.linalg.inv(basis).T, gemmi.SpaceGroup(group).hall)


def test_the_distance_of_right_angled_cells_is_that_of_their_squared_lengths():
    found = lattice_distances([crystal(30, 40, 50, 90, 90, 90), crystal(31, 40, 50, 90, 90, 90)])
    np.testing.assert_allclose(found, [[0, 31**2 - 30**2], [31**2 - 30**2, 0]], rtol=1e-9, atol=1e-9)


def test_a_cell_on_either_side_of_a_boundary_of_reduction_is_near_itself():
    # Angles of 89.9 and 90.1 degrees are reduced to cells of two types; 30.0 and 30.1 change places.
    found = lattice_distances([crystal(30, 30.1, 50, 89.9, 90.1, 90.1), crystal(30.1, 30, 50, 90.1, 90.1, 90.1)])
    assert found[0, 1] < 2 * 30 * 50 * np.radians(0.3) + 10


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_the_choice_of_axes_and_the_orientation_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    cells = [(*rng.uniform(30, 60, 3), *rng.uniform(75, 105, 3)) for _ in range(2)]
    changes = unimodular()
    moved = [crystal(*c, basis=changes[rng.integers(len(changes))], seed=int(rng.integers(100))) for c in cells]
    found = lattice_distances([*(crystal(*c) for c in cells), *moved])
    np.testing.assert_allclose(found[2:, 2:], found[:2, :2], atol=1e-6)
    np.testing.assert_allclose(found[[0, 1], [2, 3]], 0, atol=1e-6)


def test_centred_and_primitive_cells_of_a_lattice_are_the_same():
    cubic = crystal(80, 80, 80, 90, 90, 90, group="I 2 3")
    half = crystal(80, 80, 80, 90, 90, 90, basis=np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2)
    assert lattice_distances([cubic, half])[0, 1] == pytest.approx(0, abs=1e-6)


def test_the_kernel_finds_the_nearest_image():
    rng = np.random.default_rng(3)
    images, points = rng.normal(size=(200, 6)), rng.normal(size=(50, 6))
    radius = np.linalg.norm(images - images[0], axis=1)
    order = np.argsort(radius)
    out = np.empty(len(points))
    nearest_image(images[order], radius[order], points, out)
    np.testing.assert_allclose(out, np.linalg.norm(images[:, None] - points, axis=2).min(axis=0))


def two_forms(n: int = 12) -> list[Crystal]:
    """Crystals of two forms in turn, one of them indexed by axes in any order, and one that is alone."""
    rng = np.random.default_rng(1)
    found = []
    for k in range(n):
        cell = np.array([40, 52, 61, 90, 90, 90] if k % 2 else [47, 47, 61, 90, 90, 120])
        noisy = cell * (1 + 5e-4 * rng.normal(size=6))
        found.append(crystal(*noisy, basis=np.roll(np.eye(3), k % 3, axis=1) if k % 2 else None, seed=k))
    return [*found, crystal(90, 100, 110, 80, 85, 95)]


def test_forms_are_told_apart_with_their_median_cells_and_lattices():
    result = cluster_cells(two_forms(), threshold=150.0)
    assert [c.members.tolist() for c in result.clusters] == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11], [12]]
    assert [c.lattice.bravais for c in result.clusters] == ["hP", "oP", "aP"]
    np.testing.assert_allclose(np.sort(result.clusters[1].median[:3]), [40, 52, 61], rtol=1e-3)
    assert (result.clusters[1].spread[:3] < 0.1).all()
    assert "2 clusters, 1 singleton" in cluster_report(result, [str(k) for k in range(13)])
    assert len(cluster_cells(two_forms(), threshold=1e6).clusters) == 1


def test_the_number_of_workers_does_not_matter():
    with Threads(3) as executor:
        np.testing.assert_array_equal(lattice_distances(two_forms(), executor=executor), lattice_distances(two_forms()))


def test_a_single_crystal_is_a_cluster():
    (only,) = cluster_cells([crystal(30, 40, 50, 90, 90, 90)], threshold=10.0).clusters
    assert only.members.tolist() == [0]
    assert (only.spread == 0).all()


def test_real_wedges_of_one_kind_are_one_cluster(shared):
    files = sorted((shared / "data" / "dials_files").glob("wedge_*.expt"))
    crystals = [e.crystal for path in files for e in read_experiments(path) if e.crystal is not None]
    (cluster,) = cluster_cells(crystals, threshold=200.0).clusters
    assert cluster.lattice.bravais == "cI"
    np.testing.assert_allclose(cluster.lattice.unit_cell.parameters, [105.02] * 3 + [90] * 3, atol=0.02)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (first,), table, _ = crystal_data("P 4", d_min=5.0)
    crystals = two_forms(3)
    items = [replace(first, crystal=c, identifier=f"crystal-{k}") for k, c in enumerate(crystals)]
    tables = [table.with_columns({"id": np.full(table.n_rows, k, np.int32)}) for k in range(len(items))]
    joined = ReflectionTable.concatenate(tables).with_identifiers({k: f"crystal-{k}" for k in range(len(items))})
    write_experiments(Experiments(tuple(items)), "all.expt")
    write_reflections(joined, "all.refl")
    return tmp_path


def test_clusters_are_written_with_their_reflections(files):
    assert cluster_unit_cell.main(["all.expt", "all.refl", "threshold=150", "output.clusters=True"]) == 0
    first, second = read_experiments("cluster_1.expt"), read_experiments("cluster_2.expt")
    assert first.identifiers == ("crystal-0", "crystal-2")
    assert second.identifiers == ("crystal-1",)
    assert set(read_reflections("cluster_1.refl").identifiers.values()) == {"crystal-0", "crystal-2"}
    content = json.loads((files / "cluster_unit_cell.json").read_text())
    assert [c["experiments"] for c in content["clusters"]][:2] == [[0, 2], [1]]
    assert set(content["figures"]) == {"dendrogram", "cell_parameters"}


def test_every_parameter_of_the_program_changes_what_it_writes(files, capsys):
    def outcome(options):
        words = [f"threshold={options.threshold}", f"plot.log={options.plot.log}"]
        assert cluster_unit_cell.main(["all.expt", *words]) == 0
        return (files / "cluster_unit_cell.json").read_text()

    program = importlib.import_module("puredials.cli.cluster_unit_cell").PROGRAM
    assert without_effect(program, outcome, {"threshold": ([], "3")}) == []
