"""Every listed parameter of dials.index changes something."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_spots import crystal, instrument, noise_spots, spots_of, table_of

from parameter_flips import without_effect
from puredials.cli import index as program
from puredials.errors import PuredialsError
from puredials.indexing import index, index_text
from puredials.model import Experiments, ReflectionTable

CELL, GROUP = (41.0, 41.0, 63.0, 90.0, 90.0, 90.0), "P 4"
KNOWN = ["unit_cell=41.6,41.6,62,90,90,91", "space_group=P1"]
BASE = ["n_points=96"]  # for speed
REFINE = "refinement.reflections"
# Words given to both runs, and another value where the usual one is no good.
CONTEXTS = {
    "indexing.image_range": ([], "10,50"),
    "indexing.min_cell": ([], "50"),
    "indexing.max_cell": ([], "120"),
    "indexing.min_cell_volume": ([], "1e6"),
    "indexing.max_cell_estimation.multiplier": ([], "1.7"),
    "indexing.max_cell_estimation.step_size": ([], "10"),
    "indexing.max_cell_estimation.nearest_neighbor_percentile": ([], "0.5"),
    "indexing.max_cell_estimation.nn_per_bin": ([], "40"),
    "indexing.max_cell_estimation.max_height_fraction": ([], "0.9"),
    "indexing.known_symmetry.space_group": ([], "P4"),
    "indexing.known_symmetry.unit_cell": ([], ",".join(str(v) for v in CELL)),
    "indexing.known_symmetry.relative_length_tolerance": (KNOWN, "0.005"),
    "indexing.known_symmetry.absolute_angle_tolerance": (KNOWN, "0.2"),
    "indexing.known_symmetry.max_delta": (["space_group=P4"], "0.0001"),
    "indexing.index_assignment.simple.hkl_tolerance": ([], "0.05"),
    "indexing.fft3d.b_iso": ([], "200"),
    "indexing.fft3d.reciprocal_space_grid.n_points": ([], "128"),
    "indexing.fft3d.reciprocal_space_grid.d_min": ([], "4"),
    "indexing.basis_vector_combinations.max_combinations": ([], "3"),
    "indexing.basis_vector_combinations.max_refine": ([], "1"),
    "indexing.refinement_protocol.n_macro_cycles": ([], "1"),
    "indexing.refinement_protocol.d_min_start": ([], "4"),
    "indexing.refinement_protocol.d_min_step": (["d_min_start=4"], "0.1"),
    "indexing.refinement_protocol.d_min_final": ([], "3"),
    "indexing.multiple_lattice_search.recycle_unindexed_reflections_cutoff": (["max_lattices=2"], "0.9"),
    "indexing.multiple_lattice_search.minimum_angular_separation": (["max_lattices=2"], "120"),
    "refinement.parameterisation.auto_reduction.min_nref_per_parameter": ([], "500"),
    "refinement.parameterisation.auto_reduction.action": (["min_nref_per_parameter=500"], None),
    "refinement.refinery.max_iterations": ([], "1"),
    f"{REFINE}.reflections_per_degree": (["minimum_sample_size=10"], "2"),
    f"{REFINE}.minimum_sample_size": (["reflections_per_degree=1"], "300"),
    f"{REFINE}.maximum_sample_size": ([], "200"),
    f"{REFINE}.random_seed": (["maximum_sample_size=200"], None),
    f"{REFINE}.close_to_spindle_cutoff": ([], "0.3"),
    f"{REFINE}.scan_margin": ([], "10"),
    f"{REFINE}.weighting_strategy.override": ([], "constant"),
    f"{REFINE}.weighting_strategy.constants": (["override=constant"], "1,2,3"),
    f"{REFINE}.outlier.minimum_number_of_reflections": ([], "1000"),
    f"{REFINE}.outlier.tukey.iqr_multiplier": ([], "1"),
    f"{REFINE}.outlier.mcd.alpha": (["outlier.algorithm=mcd"], None),
    f"{REFINE}.outlier.mcd.threshold_probability": (["outlier.algorithm=mcd"], "0.9"),
    f"{REFINE}.outlier.block_width": ([], "10"),
}
SPECIAL = {
    # Of stills only: tested with dials.refine, whose refinement this is.
    f"{REFINE}.weighting_strategy.delpsi_constant",
    # A safeguard for refinements that go wrong.
    "indexing.refinement_protocol.disable_unit_cell_volume_sanity_check",
}


def data() -> tuple[Experiments, ReflectionTable]:
    """Two sweeps with spots of two crystals (the second on one of them), and strays."""
    one, two = instrument(degrees=40), replace(instrument(degrees=40, name="two"))
    two = replace(two, detector=one.detector, beam=one.beam)
    parts = [
        spots_of(one, crystal(CELL, GROUP, 1), n=500)[0]["xyzobs.px.value"],
        spots_of(one, crystal(CELL, GROUP, 2), n=250)[0]["xyzobs.px.value"],
        noise_spots(one, 60),
    ]
    first = table_of(np.concatenate(parts))
    second = table_of(spots_of(two, crystal(CELL, GROUP, 1), n=500, seed=1)[0]["xyzobs.px.value"], id=1)
    table = ReflectionTable.concatenate([first, second])
    # Variances that differ tell weights apart.
    variance = np.exp(np.random.default_rng(4).normal(-4, 0.3, (table.n_rows, 3)))
    return Experiments((one, two)), table.with_columns({"xyzobs.px.variance": variance})


@pytest.mark.slow
def test_every_parameter_of_indexing_changes_its_result():
    experiments, table = data()

    def outcome(params) -> object:
        try:
            result = index(experiments, table, params=params)
        except PuredialsError as error:
            return str(error)
        crystals = [e.crystal.A.tobytes() for e in result.experiments]
        return index_text(result), crystals, result.table["miller_index"].tobytes(), result.table["flags"].tobytes()

    contexts = {path: ([*BASE, *words], text) for path, (words, text) in CONTEXTS.items()}
    assert without_effect(program.PROGRAM, outcome, contexts, usual=BASE, skip=SPECIAL) == []
