"""Every listed parameter of dials.symmetry changes something."""

from dataclasses import replace

import numpy as np
from test_determine import crystal_data

from parameter_flips import options, without_effect
from puredials.cli import symmetry
from puredials.errors import PuredialsError
from puredials.model import Experiments, ReflectionTable, Scan
from puredials.symmetry import determine_symmetry
from puredials.symmetry.tables import symmetry_report, symmetry_summary

# Words given to both runs, and another value where the usual one is no good.
CONTEXTS = {
    "exclude_images": ([], "b:1:45"),
    "d_min": ([], "4"),
    "min_i_mean_over_sigma_mean": (["min_cc_half=None"], "20"),
    "min_cc_half": (["min_i_mean_over_sigma_mean=None"], "0.99"),
    "lattice_symmetry_max_delta": ([], "0.001"),
    "laue_group": ([], "P222"),
    "change_of_basis_op": ([], "b,c,a"),
    "relative_length_tolerance": ([], "0.001"),
    "absolute_angle_tolerance": ([], "0.01"),
    "partiality_threshold": ([], "0.9"),
    "systematic_absences.significance_level": ([], "0.99999"),
}


def two_crystals(symbol: str, cell=None) -> tuple[Experiments, ReflectionTable]:
    """Two crystals of slightly different cells; the outer shells are noise, some reflections are partly recorded."""
    experiments, table, unit_cell = crystal_data(symbol, cell=cell, d_min=3.2)
    (first,) = experiments
    strain = np.array([[0.01, 0.002, 0], [0, 0, 0], [0, 0, 0]])
    first, second = (
        replace(
            first,
            crystal=replace(first.crystal, A=(np.eye(3) + share * strain) @ first.crystal.A),
            scan=Scan((1, 90), (0.0, 1.0)),
            identifier=name,
        )
        for name, share in (("a", 0.2), ("b", 1.0))
    )
    rng = np.random.default_rng(3)
    n = table.n_rows
    d = unit_cell.calculate_d_array(table["miller_index"])
    noise = 60 * np.exp(12 * (3.2**2 / d**2 - 0.5))
    columns = {
        "id": rng.integers(0, 2, n).astype(np.int32),
        "partiality": np.where(rng.random(n) < 0.2, 0.6, 1.0),
        "xyzobs.px.value": np.pad(rng.uniform(0, 90, (n, 1)), ((0, 0), (2, 0))),
        "intensity.prf.value": table["intensity.prf.value"] + noise * rng.normal(size=n),
        "intensity.prf.variance": table["intensity.prf.variance"] + noise**2,
    }
    return Experiments((first, second)), table.with_columns(columns)


def outcome(experiments: Experiments, table: ReflectionTable, params) -> object:
    try:
        result = determine_symmetry(experiments, table, params=params)
    except PuredialsError as error:
        return str(error)
    return (
        symmetry_report(result.analysis),
        str(symmetry_summary(result.analysis)),
        result.table["miller_index"].tobytes(),
    )


def test_every_parameter_of_symmetry_changes_its_result():
    data = two_crystals("P 43 21 2")
    unchanged = without_effect(
        symmetry.PROGRAM, lambda params: outcome(*data, params), CONTEXTS, skip={"best_monoclinic_beta"}
    )
    assert unchanged == []


def test_best_monoclinic_beta_chooses_the_cell_of_a_centred_monoclinic_crystal():
    data = two_crystals("C 1 2 1", (80.0, 40.0, 60.0, 90.0, 125.0, 90.0))
    found = [outcome(*data, options(symmetry.PROGRAM, [f"best_monoclinic_beta={flag}"])) for flag in (True, False)]
    assert found[0] != found[1]
