"""Each listed parameter of indexing changes what is found."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from synthetic_spots import crystal, instrument, noise_spots, spots_of, table_of

from puredials.cli import index as program
from puredials.cli.index import Options
from puredials.cli.params import listed_parameters
from puredials.indexing.candidates import find_candidates
from puredials.indexing.fft3d import find_basis_vectors
from puredials.indexing.grid_search import find_vectors_of_lengths
from puredials.indexing.params import GridSearch, IndexingParams
from puredials.indexing.reciprocal import map_spots, strong_spots
from puredials.io.expt import write_experiments
from puredials.io.refl import write_reflections
from puredials.model import Experiments, ReflectionTable

CELL = (41.0, 52.0, 63.0, 81.0, 97.0, 104.0)
FAST = ["fft3d.reciprocal_space_grid.n_points=128"]

GRID_SEARCH = ("indexing.method=real_space_grid_search", "unit_cell=41,52,63,81,97,104")

# Another value for each parameter, with what it needs beside it.
OTHER: dict[str, tuple[str, ...]] = {
    "indexing.image_range": ("0,50",),
    "indexing.joint_indexing": ("false",),
    "indexing.min_cell": ("60",),
    "indexing.max_cell": ("90",),
    "indexing.min_cell_volume": ("1e6",),
    "indexing.max_cell_estimation.filter_ice": ("false",),
    "indexing.max_cell_estimation.multiplier": ("1.6",),
    "indexing.max_cell_estimation.step_size": ("7",),
    "indexing.max_cell_estimation.nearest_neighbor_percentile": ("0.5",),
    "indexing.max_cell_estimation.nn_per_bin": ("40",),
    "indexing.max_cell_estimation.max_height_fraction": ("0.02",),
    "indexing.known_symmetry.space_group": ("P222",),
    "indexing.known_symmetry.unit_cell": ("41,52,63,81,97,104",),
    "indexing.known_symmetry.relative_length_tolerance": ("0.001", "unit_cell=42,52,63,81,97,104"),
    "indexing.known_symmetry.absolute_angle_tolerance": ("0.01", "unit_cell=41,52,63,82,97,104"),
    "indexing.known_symmetry.max_delta": ("25", "space_group=C2"),
    "indexing.index_assignment.simple.hkl_tolerance": ("0.1",),
    "indexing.method": ("fft1d",),
    "indexing.fft1d.characteristic_grid": ("0.06", "method=fft1d"),
    "indexing.index_assignment.method": ("local",),
    "indexing.index_assignment.local.epsilon": ("0.01", "index_assignment.method=local"),
    "indexing.index_assignment.local.delta": ("1", "index_assignment.method=local"),
    "indexing.index_assignment.local.l_min": ("0.001", "index_assignment.method=local"),
    "indexing.index_assignment.local.nearest_neighbours": ("3", "index_assignment.method=local"),
    "indexing.real_space_grid_search.characteristic_grid": ("0.06", *GRID_SEARCH),
    "indexing.fft3d.b_iso": ("2000",),
    "indexing.fft3d.reciprocal_space_grid.n_points": ("96",),
    "indexing.fft3d.reciprocal_space_grid.d_min": ("4",),
    "indexing.refinement_protocol.n_macro_cycles": ("1",),
    "indexing.refinement_protocol.d_min_start": ("6",),
    "indexing.refinement_protocol.d_min_step": ("0.01",),
    "indexing.refinement_protocol.d_min_final": ("3.5",),
    "indexing.multiple_lattice_search.max_lattices": ("2",),
    "indexing.multiple_lattice_search.recycle_unindexed_reflections_cutoff": ("0.9", "max_lattices=2"),
    "indexing.multiple_lattice_search.minimum_angular_separation": ("180", "max_lattices=2"),
    "refinement.parameterisation.auto_reduction.min_nref_per_parameter": ("1000",),
    "refinement.parameterisation.auto_reduction.action": ("fail", "min_nref_per_parameter=400"),
    "refinement.parameterisation.beam.fix": ("all",),
    "refinement.parameterisation.crystal.fix": ("cell",),
    "refinement.parameterisation.detector.fix": ("all",),
    "refinement.refinery.max_iterations": ("1",),
    "refinement.reflections.reflections_per_degree": ("1", "minimum_sample_size=100"),
    "refinement.reflections.minimum_sample_size": ("50", "reflections_per_degree=1"),
    "refinement.reflections.maximum_sample_size": ("200",),
    "refinement.reflections.random_seed": ("7", "maximum_sample_size=200"),
    "refinement.reflections.close_to_spindle_cutoff": ("0.2",),
    "refinement.reflections.scan_margin": ("3",),
    "refinement.reflections.weighting_strategy.override": ("constant",),
    "refinement.reflections.weighting_strategy.constants": ("1,1,500", "override=constant"),
    "refinement.reflections.outlier.algorithm": ("mcd",),
    "refinement.reflections.outlier.minimum_number_of_reflections": ("400",),
    "refinement.reflections.outlier.separate_experiments": ("false",),
    "refinement.reflections.outlier.separate_blocks": ("false", "block_width=5"),
    "refinement.reflections.outlier.block_width": ("5",),
    "refinement.reflections.outlier.tukey.iqr_multiplier": ("0.7",),
    "refinement.reflections.outlier.mcd.alpha": ("0.95", "outlier.algorithm=mcd"),
    "refinement.reflections.outlier.mcd.threshold_probability": ("0.7", "outlier.algorithm=mcd"),
}
# What these do needs stills, several panels, or a refinement that goes astray; their own tests are with refinement.
ELSEWHERE = {
    "indexing.nproc",
    "indexing.real_space_grid_search.max_vectors",
    "indexing.basis_vector_combinations.max_combinations",
    "indexing.basis_vector_combinations.max_refine",
    "refinement.reflections.weighting_strategy.delpsi_constant",
    "refinement.reflections.outlier.separate_panels",
    "indexing.refinement_protocol.disable_unit_cell_volume_sanity_check",
}


@pytest.fixture(scope="module")
def data() -> tuple[Experiments, ReflectionTable]:
    """Two sweeps of a crystal, with a second crystal, stray spots and an instrument that is a little off."""
    experiments = Experiments((instrument(degrees=30), instrument(degrees=30, name="two")))
    parts = []
    for i, e in enumerate(experiments):
        xyz = [spots_of(e, crystal(CELL, seed=s), n=n, seed=i)[0]["xyzobs.px.value"] for s, n in ((1, 450), (2, 150))]
        parts.append(table_of(np.concatenate([*xyz, noise_spots(e, 60, i)]), i))
    table = ReflectionTable.concatenate(parts)
    moved = experiments[0].detector.moved(np.eye(3), np.array([0.2, -0.1, 0.5]))
    return experiments.with_items(replace(e, detector=moved) for e in experiments), table


@pytest.fixture(scope="module")
def files(data, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("index")
    write_experiments(data[0], folder / "imported.expt")
    write_reflections(data[1].with_identifiers({0: "one", 1: "two"}), folder / "strong.refl")
    return [str(folder / "imported.expt"), str(folder / "strong.refl")]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, and no search for what is wrong with spots of two crystals, which takes most of the time."""
    monkeypatch.setattr("puredials.indexing.indexing._hints", lambda *_: ())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def accounts() -> dict[tuple[str, ...], str]:
    """What the program said with the words it was given: many parameters have the same words beside them."""
    return {}


def account(files: list[str], capsys, accounts: dict[tuple[str, ...], str], *words: str) -> str:
    """All that the program says but its parameters."""
    if words not in accounts:
        program.main([*files, *FAST, *words])
        printed = capsys.readouterr()
        lines = (printed.out + printed.err).splitlines()
        starts = ("Found max_cell", "Using max_cell", "#", "Sorry")
        first = next(i for i, line in enumerate(lines) if line.startswith(starts))
        accounts[words] = "\n".join(lines[first:])
    return accounts[words]


def test_every_parameter_is_known_to_this_test():
    listed = {p.path for p in listed_parameters(Options) if not p.path.startswith("output.")}
    assert listed == set(OTHER) | ELSEWHERE


@pytest.mark.slow
@pytest.mark.parametrize("path", OTHER)
def test_each_parameter_changes_what_is_found(files, here, capsys, accounts, path):
    value, *others = OTHER[path]
    without, changed = (account(files, capsys, accounts, *others, *words) for words in ((), (f"{path}={value}",)))
    assert changed != without


def test_combinations_and_candidates_are_limited():
    experiment = instrument()
    experiments = Experiments((experiment,))
    parts = [spots_of(experiment, crystal(CELL, seed=s), n=400)[0] for s in (3, 4, 5)]
    table = ReflectionTable.concatenate(parts)
    spots = map_spots(experiments, strong_spots(experiments, table))
    basis = find_basis_vectors(spots, 90.0, IndexingParams().fft3d)

    def number(**limits: int) -> int:
        scope = {"basis_vector_combinations": limits}
        return len(find_candidates(spots, basis, IndexingParams.model_validate(scope)))

    assert number() > number(max_refine=2) == 2
    assert number(max_combinations=1) == 1


def test_the_grid_search_keeps_the_best_vectors_of_the_known_lengths():
    experiments = Experiments((instrument(),))
    spots = map_spots(experiments, strong_spots(experiments, spots_of(experiments[0], crystal(CELL, seed=3))[0]))
    many, few = (
        find_vectors_of_lengths(spots, [gemmi.UnitCell(*CELL)], GridSearch(max_vectors=most)) for most in (30, 3)
    )
    assert len(many.vectors) > len(few.vectors) == 3
    np.testing.assert_allclose(np.sort(np.linalg.norm(few.vectors, axis=1)), CELL[:3], rtol=1e-3)
    assert many.amplitudes[:3] == pytest.approx(few.amplitudes, rel=1e-3)
