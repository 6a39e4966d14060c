"""Every listed parameter of dials.cosym changes something."""

from dataclasses import replace

import numpy as np
import pytest
from wedge_sets import Wedges, integrated_wedges

from parameter_flips import options, without_effect
from puredials.cli import cosym as program
from puredials.errors import PuredialsError
from puredials.model import Experiments
from puredials.report.cells import dendrogram_section
from puredials.symmetry import cosym, cosym_summary

# Words given to both runs, and another value where the usual one is no good.
CONTEXTS = {
    "d_min": ([], "4"),
    "min_i_mean_over_sigma_mean": (["min_cc_half=None"], "20"),
    "min_cc_half": (["min_i_mean_over_sigma_mean=None"], "0.99"),
    "lattice_symmetry_max_delta": ([], "0.001"),
    "lattice_group": ([], "P222"),
    "space_group": ([], "P41"),
    "relative_length_tolerance": ([], "0.0001"),
    "absolute_angle_tolerance": ([], "0.0001"),
    "partiality_threshold": ([], "0.9"),
    "exclude_images": ([], "0:1:5"),
    "unit_cell_clustering.threshold": ([], "0.5"),
    "min_reflections": ([], "600"),
    "min_pairs": ([], "200"),
    "minimization.max_iterations": ([], "3"),
    "dimensions": ([], "3"),
}


@pytest.fixture(scope="module")
def wedges() -> Wedges:
    """A few wedges; one has less reflections, the outer shells are weak, and the cells differ a little."""
    made = integrated_wedges("P 4", seed=21, n_wedges=4, degrees=(14, 20), d_min=3.0, photons_at_4A=60.0)
    rng = np.random.default_rng(0)
    strain = [np.eye(3) + 1e-3 * rng.normal(size=(3, 3)) for _ in range(4)]
    items = [
        replace(e, crystal=replace(e.crystal, A=m @ e.crystal.A))
        for e, m in zip(made.experiments, strain, strict=True)
        if e.crystal is not None
    ]
    table = made.table
    table = table.select((table["id"] != 2) | (rng.random(table.n_rows) < 600 / (table["id"] == 2).sum()))
    z = rng.uniform(0, 10, table.n_rows)
    table = table.with_columns({"xyzobs.px.value": np.column_stack([z, z, z])})
    return Wedges(Experiments(tuple(items)), table, made.space_group, made.bases)


def test_every_parameter_of_cosym_changes_its_result(wedges):
    def outcome(params) -> object:
        try:
            result = cosym(wedges.experiments, wedges.table, params=params)
        except PuredialsError as error:
            return str(error)
        return str(cosym_summary(result)), result.reflections["miller_index"].tobytes()

    # That of screw axes is tested with dials.symmetry, which the analysis is the same as.
    elsewhere = {"best_monoclinic_beta", "reference", "nproc", "unit_cell_clustering.log"}
    elsewhere |= {"systematic_absences.significance_level"}
    assert without_effect(program.PROGRAM, outcome, CONTEXTS, skip=elsewhere) == []


def test_the_scale_of_the_tree_is_linear_or_logarithmic(wedges):
    result = cosym(wedges.experiments, wedges.table)
    linear, logarithmic = (
        dendrogram_section(result.cells, ["0", "1", "2", "3"], log=flag).figure for flag in (False, True)
    )
    assert linear is not None
    assert logarithmic is not None
    assert (linear["layout"]["yaxis"].get("type"), logarithmic["layout"]["yaxis"]["type"]) == (None, "log")


def test_best_monoclinic_beta_chooses_the_cell_of_a_centred_monoclinic_crystal():
    wedges = integrated_wedges("C 1 2 1", seed=2, n_wedges=3, cell=(80, 40, 60, 90, 125, 90), d_min=3.0)
    groups = [
        cosym(
            wedges.experiments, wedges.table, params=options(program.PROGRAM, [f"best_monoclinic_beta={flag}"])
        ).space_group.hm
        for flag in (True, False)
    ]
    assert groups == ["I 1 2 1", "C 1 2 1"]
