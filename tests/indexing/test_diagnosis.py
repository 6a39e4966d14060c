"""The cause of poor indexing is named where it is the cause, and only there, with evidence and what to do."""

import itertools
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from synthetic_spots import PIXEL, crystal, instrument, noise_spots, spots_of, table_of

from puredials.errors import NoLatticeError
from puredials.indexing import IndexParams, index
from puredials.indexing.alternatives import with_distance, with_wavelength
from puredials.indexing.diagnosis import further_lattice
from puredials.indexing.known_symmetry import known_symmetry
from puredials.indexing.params import MultipleLattices
from puredials.indexing.unrecorded import turn_of_stills
from puredials.model import Experiment, Experiments, ReflectionTable, Scan, rotation_matrix

CELL = (41.0, 52.0, 63.0, 81.0, 97.0, 104.0)
KNOWN = {"unit_cell": CELL}
INDEX = "dials.index imported.expt strong.refl"
TRUE = instrument()
CRYSTAL = crystal(CELL, seed=3)


@pytest.fixture(scope="module")
def spots() -> ReflectionTable:
    return spots_of(TRUE, CRYSTAL, n=1500)[0]


def told(experiment: Experiment, table: ReflectionTable, **known: object) -> str:
    """All that is said of what may be wrong."""
    params = IndexParams.model_validate({"indexing": {"known_symmetry": known}})
    try:
        return "\n".join(index(Experiments((experiment,)), table, params=params).advice)
    except NoLatticeError as error:
        return str(error)


def advised(text: str) -> list[list[str]]:
    """For each cause told the commands, which are lines of their own."""
    found: list[list[str]] = []
    for before, line in itertools.pairwise(["", *text.splitlines()]):
        if line.startswith("    "):
            found += [[]] if before.endswith(":") else []
            found[-1].append(line[4:])
    assert sum(map(len, found)) == len(re.findall(r"dials\.\w+ ", text))
    return found


def with_axis(*axis: float) -> Experiment:
    assert TRUE.goniometer is not None
    return replace(TRUE, goniometer=replace(TRUE.goniometer, axes=np.array([axis])))


def with_width(width: float) -> Experiment:
    assert TRUE.scan is not None
    return replace(TRUE, scan=replace(TRUE.scan, oscillation=(0.0, width)))


def shifted(x: float, y: float) -> Experiment:
    return replace(TRUE, detector=TRUE.detector.moved(np.eye(3), np.array([x, y, 0.0])))


def scaled(change: Callable[[Experiments, float], Experiments], factor: float) -> Experiment:
    return change(Experiments((TRUE,)), factor)[0]


@pytest.mark.parametrize(
    ("wrong", "known", "cause", "command"),
    [
        (with_axis(-1, 0, 0), {}, "rotation axis inverted 100 %", "invert_rotation_axis=True"),
        (with_axis(0, 1, 0), {}, "rotation axis along 1,0,0 100 %", "goniometer.axis=1,0,0"),
        (with_width(0.25), {}, "images of 0.5 degrees instead of 0.25 100 %", "oscillation=0,0.5"),
        pytest.param(
            with_width(1.0), {}, "images of 0.5 degrees instead of 1 100 %", "oscillation=0,0.5", marks=pytest.mark.slow
        ),
        (shifted(0.4, 3.4), {}, "beam centre moved by 19.9 px 100 %", "dials.search_beam_position imported.expt"),
        (
            scaled(with_distance, 1.15),
            KNOWN,
            "instead of 172.5 mm it explains 100 %",
            "distance=1",
        ),
        pytest.param(
            scaled(with_distance, 0.8),
            KNOWN,
            "instead of 120 mm it explains 100 %",
            "distance=1",
            marks=pytest.mark.slow,
        ),
        (scaled(with_wavelength, 1.15), KNOWN, "cell found is 1.150 times the known one", "beam.wavelength=0.99998"),
        (TRUE, {"unit_cell": (30, 60, 70, 90, 90, 90)}, "without them explains 100 %", INDEX),
        (TRUE, {"space_group": "P4"}, "at most the symmetry of P 1", INDEX),
    ],
)
def test_what_is_wrong_is_named_and_nothing_else(spots, wrong, known, cause, command):
    text = told(wrong, spots, **known)
    assert cause in text
    assert command in text
    assert len(advised(text)) == 1
    for distance in re.findall(r"detector.distance=([\d.]+)", text):
        assert float(distance) == pytest.approx(150, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("axis", "width", "shift", "cause", "command"),
    [
        ((-1, 0, 0), 0.5, (0.5, 3.6), "the rotation axis inverted and the beam centre moved by 21",
         "_axis=True\n    dials.search_beam_position modified.expt strong.refl\n    dials.index optimised.expt strong"),
        ((-1, 0, 0), 0.25, (0.0, 0.0), "the rotation axis inverted and images of 0.5 degrees instead of 0.25",
         "invert_rotation_axis=True geometry.scan.oscillation=0,0.5\n    dials.index modified.expt"),
        ((1, 0, 0), 0.25, (0.5, 3.6), "images of 0.5 degrees instead of 0.25 and the beam centre moved by 21",
         "geometry.scan.oscillation=0,0.5\n    dials.search_beam_position modified.expt strong.refl"),
    ],
)  # fmt: skip
def test_two_faults_at_once_are_named_with_how_to_mend_both(axis, width, shift, cause, command):
    table, _ = spots_of(TRUE, crystal((78.0, 91.0, 117.0, 81.0, 97.0, 104.0), seed=3), n=3000)
    assert TRUE.scan is not None
    scan = replace(TRUE.scan, oscillation=(0.0, width))
    text = told(replace(with_axis(*axis), detector=shifted(*shift).detector, scan=scan), table)
    assert f"With {cause}" in text
    assert "100 % of the spots are indexed" in text
    assert command in text


def test_commands_keep_what_is_known_of_the_crystal(spots):
    text = told(with_axis(-1, 0, 0), spots, unit_cell=CELL, space_group="P 1")
    assert advised(text) == [
        [
            "dials.modify_geometry imported.expt geometry.goniometer.invert_rotation_axis=True",
            "dials.index modified.expt strong.refl unit_cell=41,52,63,81,97,104 space_group='P 1'",
        ]
    ]


def test_an_exchanged_beam_centre_is_named():
    table, _ = spots_of(shifted(9.0, 21.0), CRYSTAL, n=1500)
    text = told(shifted(-21.0, -9.0), table)
    assert "With the coordinates of the beam centre exchanged 100 %" in text
    assert "fast_slow_beam_centre=447.7,622.1" in text
    assert len(advised(text)) == 1


@pytest.mark.parametrize("known", [{}, KNOWN])
@pytest.mark.parametrize("instrument", [TRUE, shifted(0.2, -0.1), shifted(2.0, 0.3)])
def test_nothing_is_said_of_good_data(spots, instrument, known):
    assert told(instrument, spots, **known) == ""


def test_nothing_is_said_of_a_distance_that_nobody_knows(spots):
    assert told(scaled(with_distance, 1.15), spots) == ""


def test_stray_spots_are_no_fault_of_the_geometry(spots):
    stray = table_of(noise_spots(TRUE, 1500))
    assert told(TRUE, ReflectionTable.concatenate([spots, stray])) == ""


def test_spots_without_order_get_no_advice():
    assert not advised(told(TRUE, table_of(noise_spots(TRUE, 1000))))


@pytest.mark.parametrize(("share", "percent"), [(0.4, "26 %"), pytest.param(1.0, "45 %", marks=pytest.mark.slow)])
def test_a_further_lattice_is_told_with_its_share(spots, share, percent):
    other = spots_of(TRUE, crystal(CELL, seed=5), n=int(share * 1500))[0]
    text = told(TRUE, ReflectionTable.concatenate([spots, other]))
    assert f"A further lattice turned by 156.3 degrees explains {percent}" in text
    assert advised(text) == [[f"{INDEX} max_lattices=2"]]
    assert len(advised(text)) == 1


def test_a_split_crystal_is_told_with_the_separation_it_needs(spots):
    turned = replace(CRYSTAL, A=rotation_matrix(np.array([0, 0.6, 0.8]), np.radians(2.5)) @ CRYSTAL.A)
    other = spots_of(TRUE, turned, n=1000, seed=9)[0]
    text = told(TRUE, ReflectionTable.concatenate([spots, other]))
    assert "turned by 2.5 degrees" in text
    assert "max_lattices=2 minimum_angular_separation=1.3" in text


def test_spots_beyond_the_resolution_of_the_last_cycle_are_no_further_lattice(spots):
    params = IndexParams.model_validate(
        {"indexing": {"refinement_protocol": {"n_macro_cycles": 1, "d_min_start": 4.0}}}
    )
    experiments = Experiments((TRUE,))
    result = index(experiments, spots, params=params)
    assert (result.table["id"] >= 0).mean() < 0.5
    assert result.advice == ()
    values = {"max_lattices": 2, "minimum_angular_separation": 0.001}
    params = params.model_copy(
        update={"indexing": params.indexing.model_copy(update={"multiple_lattice_search": MultipleLattices(**values)})}
    )
    assert len(index(experiments, spots, params=params).experiments) == 1


def test_a_lattice_that_is_hardly_turned_is_no_further_one(spots):
    experiments = Experiments((TRUE,))
    params = IndexParams()
    result = index(experiments, spots)
    table = result.table.with_columns({"imageset_id": np.zeros(spots.n_rows, dtype=np.int32)})
    half = np.arange(spots.n_rows) % 2 == 0
    known = known_symmetry(params.indexing.known_symmetry)
    assert further_lattice(result.groups[0].model, table, half, 100.0, known, params, 1) == ()


def on_ice(n: int) -> ReflectionTable:
    rng = np.random.default_rng(0)
    two_theta = 2 * np.arcsin(0.5 / rng.choice([3.897, 3.669, 3.441, 2.671, 2.249], n))
    radius, angle = 150 * np.tan(two_theta) / PIXEL, rng.uniform(0, 2 * np.pi, n)
    xyz = np.column_stack([500 + radius * np.cos(angle), 500 + radius * np.sin(angle), rng.uniform(0, 120, n)])
    return table_of(xyz)


def test_spots_on_powder_rings_of_ice_are_told_beside_other_causes(spots):
    iced = ReflectionTable.concatenate([spots, on_ice(750)])
    text = told(TRUE, iced)
    assert "40 % of the spots are on powder rings of ice" in text
    assert "ice_rings.filter=True" in text
    assert len(advised(text)) == 1
    both = told(with_axis(-1, 0, 0), iced)
    assert "inverted" in both
    assert "ice" in both


def test_a_wrong_cell_does_not_hide_a_wrong_axis(spots):
    assert "inverted 100 %" in told(with_axis(-1, 0, 0), spots, unit_cell=(30, 60, 70, 90, 90, 90))


def test_too_few_spots_are_counted(spots):
    assert "only 25 spots" in told(TRUE, spots.select(np.arange(25)))


def stills(width: float, axis: np.ndarray, n: int = 12) -> Experiments:
    """Stills of a crystal that turns between them, as if each had been indexed by itself, none quite right."""
    rng = np.random.default_rng(0)
    items = []
    for k in range(n):
        error = rotation_matrix(rng.normal(size=3), np.radians(0.1) * rng.normal())
        A = error @ rotation_matrix(axis, np.radians(k * width)) @ CRYSTAL.A
        items.append(replace(TRUE, scan=Scan((k + 1, k + 1), (0.0, 0.0)), crystal=replace(CRYSTAL, A=A)))
    return Experiments(tuple(items))


@pytest.mark.parametrize(("width", "axis"), [(1.0, (-1.0, 0.0, 0.0)), (0.5, (0.0, 1.0, 0.0))])
def test_crystals_that_turn_from_still_to_still_tell_the_rotation(width, axis):
    found = turn_of_stills(list(stills(width, np.array(axis))))
    assert found is not None
    assert found[0] == pytest.approx(axis)
    assert found[1] == pytest.approx(width)


def test_stills_of_one_orientation_or_of_many_crystals_tell_no_rotation():
    assert turn_of_stills(list(stills(0.0, np.array([1.0, 0.0, 0.0])))) is None
    many = [replace(e, crystal=crystal(CELL, seed=k)) for k, e in enumerate(stills(0.0, np.array([1.0, 0.0, 0.0])))]
    assert turn_of_stills(many) is None
