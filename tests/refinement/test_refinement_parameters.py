"""Every listed parameter of dials.refine changes something."""

from dataclasses import replace

import numpy as np

from parameter_flips import options, without_effect
from puredials.cli import refine as program
from puredials.errors import PuredialsError
from puredials.model import Experiments, ReflectionTable
from puredials.refinement import refine
from puredials.refinement.tables import macrocycle_text
from refinement_synthetic import SYNTHETIC

# Words given to both runs, and another value where the usual one is no good.
CONTEXTS = {
    "n_static_macrocycles": ([], "3"),
    "refinement.parameterisation.auto_reduction.min_nref_per_parameter": ([], "500"),
    "refinement.parameterisation.auto_reduction.action": (["min_nref_per_parameter=500"], None),
    "refinement.parameterisation.compose_model_per": (["block_width=5"], None),
    "refinement.parameterisation.block_width": ([], "7"),
    "refinement.parameterisation.crystal.unit_cell.smoother.interval_width_degrees": ([], "60"),
    "refinement.parameterisation.crystal.orientation.smoother.interval_width_degrees": ([], "60"),
    "refinement.parameterisation.crystal.unit_cell.smoother.absolute_num_intervals": ([], "8"),
    "refinement.parameterisation.crystal.orientation.smoother.absolute_num_intervals": ([], "8"),
    "refinement.refinery.max_iterations": ([], "1"),
    "refinement.reflections.reflections_per_degree": (["minimum_sample_size=10"], "2"),
    "refinement.reflections.minimum_sample_size": (["reflections_per_degree=1"], "300"),
    "refinement.reflections.maximum_sample_size": ([], "200"),
    "refinement.reflections.random_seed": (["maximum_sample_size=200"], None),
    "refinement.reflections.close_to_spindle_cutoff": ([], "0.3"),
    "refinement.reflections.scan_margin": ([], "10"),
    "refinement.reflections.weighting_strategy.override": ([], "constant"),
    "refinement.reflections.weighting_strategy.constants": (["override=constant"], "1,2,3"),
    "refinement.reflections.outlier.minimum_number_of_reflections": ([], "1000"),
    "refinement.reflections.outlier.tukey.iqr_multiplier": (["outlier.algorithm=tukey"], "1"),
    "refinement.reflections.outlier.block_width": ([], "45"),
}
# Of stills only, below.
STILLS = "refinement.reflections.weighting_strategy.delpsi_constant"
# Workers must change nothing, which is tested elsewhere.
WORKERS = "refinement.mp.nproc"


def two_scans() -> tuple[Experiments, ReflectionTable]:
    """Scans of two crystals on a detector of two panels, recorded with noise, some outliers, and too much of it."""
    truth = SYNTHETIC.experiment(images=180, n_panels=2)
    other = replace(SYNTHETIC.experiment(images=180, orientation=(0.9, -0.2, 0.4)), identifier="other")
    other = replace(other, detector=truth.detector, beam=truth.beam)
    table = SYNTHETIC.table(Experiments((truth, other)), n=350, noise=0.1)
    rng = np.random.default_rng(4)
    observed = table["xyzobs.px.value"] + np.where(rng.random((table.n_rows, 3)) < 0.02, 1.5, 0.0)
    wrong = SYNTHETIC.disturbed(truth)
    experiments = Experiments((wrong, replace(SYNTHETIC.disturbed(other), detector=wrong.detector, beam=wrong.beam)))
    # Variances that differ tell weights apart.
    variance = np.exp(rng.normal(-4, 0.3, (table.n_rows, 3)))
    return experiments, table.with_columns({"xyzobs.px.value": observed, "xyzobs.px.variance": variance})


def outcome(experiments: Experiments, table: ReflectionTable, params) -> object:
    try:
        result = refine(experiments, table, params=params.refinement, n_static_macrocycles=params.n_static_macrocycles)
    except PuredialsError as error:
        return str(error)
    crystals = [e.crystal for e in result.experiments if e.crystal is not None]
    arrays = [a for c in crystals for a in (c.A, c.A_at_scan_points, c.B_covariance_at_scan_points) if a is not None]
    text = "\n".join(macrocycle_text(cycle) for cycle in result.history)
    return text, [a.tobytes() for a in arrays], result.table["flags"].tobytes()


def test_every_parameter_of_refinement_changes_its_result():
    data = two_scans()
    unchanged = without_effect(program.PROGRAM, lambda params: outcome(*data, params), CONTEXTS, skip={STILLS, WORKERS})
    assert unchanged == []


def test_the_weight_of_the_angle_of_stills_counts():
    truth = SYNTHETIC.experiment(images=1)
    table = SYNTHETIC.table(Experiments((SYNTHETIC.experiment(),)), n=300, noise=0.1)
    still = SYNTHETIC.still(SYNTHETIC.disturbed(truth))
    data = Experiments((still,)), table
    found = [outcome(*data, options(program.PROGRAM, [f"delpsi_constant={weight}"])) for weight in (1e6, 1e3)]
    assert found[0] != found[1]
