"""Indexing finds the lattices that spots were made of."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from synthetic_spots import crystal, instrument, noise_spots, spots_of, table_of

from puredials.errors import MismatchError, NoLatticeError, NoSpotsError, ParameterError
from puredials.indexing import IndexParams, index, index_text
from puredials.indexing.candidates import same_lattice
from puredials.indexing.joint_fit import joint_fits
from puredials.indexing.lattices import misorientation, primitive_basis
from puredials.model import Crystal, Experiments, Flags, ReflectionTable, rotation_matrix

LATTICES = [
    ((41.0, 52.0, 63.0, 81.0, 97.0, 104.0), "P 1"),
    ((7.4, 9.2, 11.6, 82.4, 76.9, 68.7), "P 1"),
    ((78.0, 78.0, 78.0, 90.0, 90.0, 90.0), "I 2 3"),
    ((79.0, 79.0, 38.0, 90.0, 90.0, 90.0), "P 43 21 2"),
    ((90.0, 40.0, 55.0, 90.0, 108.0, 90.0), "C 1 2 1"),
    ((81.0, 81.0, 34.0, 90.0, 90.0, 120.0), "R 3:H"),
    ((40.0, 62.0, 83.0, 90.0, 90.0, 90.0), "F 2 2 2"),
]


def primitive(crystal: Crystal) -> np.ndarray:
    return crystal.A @ np.linalg.inv(primitive_basis(crystal)).T


def settings(**scopes: object) -> IndexParams:
    return IndexParams.model_validate({"indexing": scopes})


def share(result: ReflectionTable) -> float:
    return float((result["id"] >= 0).mean())


@pytest.mark.parametrize(("cell", "group"), LATTICES)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_reduced_primitive_lattice_is_found(cell, group, seed):
    experiment, truth = instrument(), crystal(cell, group, seed)
    d_min = 1.0 if cell[0] < 10 else 2.2
    table, h = spots_of(experiment, truth, d_min=d_min, seed=seed)
    result = index(Experiments((experiment,)), table)
    found = result.experiments[0].crystal
    assert found is not None
    assert found.hall == "P 1"
    assert same_lattice(primitive(truth), found.A)
    assert share(result.table) > 0.99
    # The indices are those of the truth in another basis.
    change = np.rint(6 * np.linalg.solve(found.A, truth.A)) / 6
    indexed = result.table["id"] >= 0
    np.testing.assert_array_equal(result.table["miller_index"][indexed], np.rint(h @ change.T)[indexed])


@pytest.mark.parametrize(("cell", "group"), LATTICES[2:])
@pytest.mark.parametrize("with_cell", [True, False])
def test_known_symmetry_constrains_the_crystal_in_its_own_setting(cell, group, with_cell):
    experiment, truth = instrument(), crystal(cell, group, 3)
    table, _ = spots_of(experiment, truth, d_min=2.2)
    known = {"space_group": group, "unit_cell": cell if with_cell else None}
    result = index(Experiments((experiment,)), table, params=settings(known_symmetry=known))
    found = result.experiments[0].crystal
    assert found is not None
    assert found.space_group is not None
    assert found.space_group.xhm() == gemmi.SpaceGroup(group).xhm()
    np.testing.assert_allclose(found.unit_cell.parameters, cell, rtol=3e-3)
    assert found.unit_cell.is_compatible_with_spacegroup(found.space_group, 1e-6)
    assert share(result.table) > 0.99
    assert not found.operations.systematic_absences(result.table["miller_index"][result.table["id"] >= 0]).all()


@pytest.mark.parametrize("method", ["fft1d", "real_space_grid_search"])
@pytest.mark.parametrize(("cell", "group"), LATTICES)
def test_other_methods_find_the_same_lattice(cell, group, method):
    truth = crystal(cell, group, seed=3)
    table, _ = spots_of(instrument(), truth)
    known = {} if method == "fft1d" else {"unit_cell": cell, "space_group": group}
    result = index(Experiments((instrument(),)), table, params=settings(method=method, known_symmetry=known))
    found = result.experiments[0].crystal
    assert found is not None
    assert same_lattice(primitive(truth), primitive(found))
    assert share(result.table) > 0.99


@pytest.mark.parametrize("method", ["fft3d", "fft1d", "real_space_grid_search"])
@pytest.mark.parametrize(("cell", "group", "words"), [(*LATTICES[2], "I1"), (*LATTICES[5], "R3"), (*LATTICES[6], "F1")])
def test_a_centred_cell_alone_is_enough(cell, group, words, method):
    truth = crystal(cell, group, seed=3)
    table, _ = spots_of(instrument(), truth)
    result = index(
        Experiments((instrument(),)), table, params=settings(method=method, known_symmetry={"unit_cell": cell})
    )
    found = result.experiments[0].crystal
    assert found is not None
    assert found.hall == "P 1"
    assert same_lattice(primitive(truth), found.A)
    assert share(result.table) > 0.99
    text = index_text(result)
    assert f"The unit_cell given is {group[0]}-centred." in text
    given = ",".join(f"{v:g}" for v in cell)
    command = f"dials.index imported.expt strong.refl unit_cell={given} space_group={words}"
    assert f"    {command}" in text.splitlines()
    named = index(
        Experiments((instrument(),)), table, params=settings(known_symmetry={"unit_cell": cell, "space_group": words})
    )
    assert named.experiments[0].crystal is not None
    np.testing.assert_allclose(named.experiments[0].crystal.unit_cell.parameters, cell, rtol=3e-3)
    assert "-centred" not in index_text(named)


def test_the_grid_search_needs_a_cell():
    table, _ = spots_of(instrument(), crystal(LATTICES[0][0], seed=4))
    with pytest.raises(ParameterError, match="unit_cell"):
        index(Experiments((instrument(),)), table, params=settings(method="real_space_grid_search"))


def test_a_cell_that_does_not_fit_is_named_in_the_error():
    experiment = instrument()
    table, _ = spots_of(experiment, crystal(LATTICES[0][0], seed=4))
    known = {"unit_cell": (30, 40, 50, 90, 90, 90), "space_group": "P222"}
    with pytest.raises(NoLatticeError, match="known unit cell"):
        index(Experiments((experiment,)), table, params=settings(known_symmetry=known, max_cell=80))


@pytest.mark.parametrize("known", [{"space_group": "P 9"}, {"space_group": "P4", "unit_cell": (1, 2, 3, 90, 90, 90)}])
def test_impossible_symmetry_is_refused(known):
    experiment = instrument()
    table, _ = spots_of(experiment, crystal(LATTICES[0][0], seed=4))
    with pytest.raises(ParameterError):
        index(Experiments((experiment,)), table, params=settings(known_symmetry=known))


def test_two_goniometer_settings_share_one_crystal():
    other = rotation_matrix(np.array([0.0, 1.0, 0.0]), 0.7)
    experiments = Experiments((instrument(degrees=20), instrument(degrees=20, fixed=other, name="two")))
    truth = crystal(LATTICES[0][0], seed=5)
    parts = [spots_of(e, truth, n=400, seed=i)[0] for i, e in enumerate(experiments)]
    parts[1] = parts[1].with_columns({"id": parts[1]["id"] + 1})
    result = index(experiments, ReflectionTable.concatenate(parts))
    assert len(result.experiments) == 2
    assert result.experiments[0].crystal is result.experiments[1].crystal
    assert result.experiments.identifiers == ("one", "two")
    assert result.table.identifiers == {0: "one", 1: "two"}
    assert share(result.table) > 0.99
    assert set(result.table["imageset_id"][result.table["id"] == 1]) == {1}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (0.0, ""),
        (2.0, "Their own crystals are turned by up to 1.98 degrees"),
        (2.0, "| one crystal for all | "),
        (20.0, "by themselves 100, 100 %. Their crystals are turned by up to 20.0 degrees"),
    ],
)
def test_a_goniometer_angle_recorded_wrong_is_named_with_its_evidence(error, said):
    turns = [rotation_matrix(np.array([0.0, 1.0, 0.0]), angle) for angle in (0.7, 0.7 + np.radians(error))]
    first, recorded = instrument(degrees=30), instrument(degrees=30, fixed=turns[0], name="two")
    truth = crystal(LATTICES[0][0], seed=5)
    second = instrument(degrees=30, fixed=turns[1], name="two")
    parts = [spots_of(e, truth, n=700, d_min=3.0, seed=i)[0] for i, e in enumerate((first, second))]
    parts[1] = parts[1].with_columns({"id": parts[1]["id"] + 1})
    result = index(Experiments((first, recorded)), ReflectionTable.concatenate(parts))
    told = " ".join(result.advice)
    assert said in told
    assert ("dials.index imported.expt strong.refl joint_indexing=False" in told) == (error > 0)
    assert len(result.advice) == (1 if error else 0)


def test_a_sweep_without_a_crystal_is_not_taken_for_one_that_slipped():
    experiments = Experiments((instrument(degrees=30), instrument(degrees=30, name="two")))
    truth = crystal(LATTICES[0][0], seed=5)
    parts = [spots_of(e, truth, n=700, d_min=3.0, seed=i)[0] for i, e in enumerate(experiments)]
    places = parts[1]["xyzobs.px.value"]
    noise = np.random.default_rng(3).uniform(places.min(axis=0), places.max(axis=0), places.shape)
    parts[1] = parts[1].with_columns({"id": parts[1]["id"] + 1, "xyzobs.px.value": noise})
    told = " ".join(index(experiments, ReflectionTable.concatenate(parts)).advice)
    assert "image set 1 only" in told
    assert "goniometer angles are off by" not in told


def test_a_sweep_with_too_few_spots_of_a_lattice_has_no_fit_of_its_own():
    experiments = Experiments((instrument(degrees=30), instrument(degrees=30, name="two")))
    truth = crystal(LATTICES[0][0], seed=6)
    parts = [spots_of(e, truth, n=700)[0] for e in experiments]
    parts[1] = parts[1].with_columns({"id": parts[1]["id"] + 1})
    result = index(experiments, ReflectionTable.concatenate(parts))
    rmsds = result.groups[0].lattices[-1].cycles[-1].result.rmsds
    table = result.table
    for n in (0, 2):
        few = table.select((table["id"] == 0) | (np.cumsum(table["id"] == 1) <= n))
        assert [fit.imageset for fit in joint_fits(result.experiments, few, rmsds, settings())] == [0]


def test_two_lattices_of_which_each_sweep_holds_one():
    experiments = Experiments((instrument(degrees=30), instrument(degrees=30, name="two")))
    truths = [crystal(LATTICES[0][0], seed=6), crystal(LATTICES[0][0], seed=7)]
    parts = [spots_of(e, c, n=700)[0] for e, c in zip(experiments, truths, strict=True)]
    parts[1] = parts[1].with_columns({"id": parts[1]["id"] + 1})
    two = settings(multiple_lattice_search={"max_lattices": 2})
    result = index(experiments, ReflectionTable.concatenate(parts), params=two)
    assert share(result.table) > 0.95


def test_misorientation_is_that_of_the_lattices_whatever_their_bases():
    first = crystal((6.19, 6.18, 6.19, 107.63, 113.17, 107.63), seed=1)
    turn = rotation_matrix(np.array([0.0, 0.6, 0.8]), np.radians(2.0))
    for change in ([[0, 1, 0], [1, 0, 0], [0, 0, -1]], [[1, 0, 0], [0, 1, 0], [1, 1, 1]]):
        second = replace(first, A=turn @ first.A @ np.array(change, dtype=float))
        assert misorientation(first, second) == pytest.approx(2.0, abs=1e-6)


def test_separate_indexing_finds_the_crystal_of_each_sweep():
    experiments = Experiments((instrument(degrees=30), instrument(degrees=30, name="two")))
    truths = [crystal(LATTICES[0][0], seed=6), crystal(LATTICES[0][0], seed=7)]
    parts = [spots_of(e, c, n=700)[0] for e, c in zip(experiments, truths, strict=True)]
    parts[1] = parts[1].with_columns({"id": parts[1]["id"] + 1})
    result = index(experiments, ReflectionTable.concatenate(parts), params=settings(joint_indexing=False))
    for e, truth in zip(result.experiments, truths, strict=True):
        assert e.crystal is not None
        assert same_lattice(truth.A, e.crystal.A)
    assert len(result.groups) == 2
    together = index_text(result).split("All imagesets")[1]
    shares = [line.split("|")[1:5] for line in together.splitlines() if line.startswith("|") and "%" in line][1:]
    assert [int(share[0]) for share in shares] == [0, 1]
    assert sum(int(share[1]) for share in shares) == int((result.table["id"] >= 0).sum())


def test_a_sweep_without_a_lattice_does_not_spoil_the_others():
    experiments = Experiments((instrument(degrees=30), instrument(degrees=30, name="two")))
    good, _ = spots_of(experiments[1], crystal(LATTICES[0][0], seed=6), n=700)
    noise = table_of(noise_spots(experiments[0], 300))
    table = ReflectionTable.concatenate([noise, good.with_columns({"id": good["id"] + 1})])
    result = index(experiments, table, params=settings(joint_indexing=False))
    assert result.experiments.identifiers == ("two",)
    assert [number for number, _ in result.failures] == [0]
    assert (result.table["id"][:300] == -1).all()
    assert (result.table["id"][300:] == 0).mean() > 0.99
    assert "Imageset 0 could not be indexed" in index_text(result)


def test_spots_without_a_position_are_left_out():
    experiments = Experiments((instrument(),))
    table, _ = spots_of(experiments[0], crystal(LATTICES[0][0], seed=6), n=700)
    where = table["xyzobs.px.value"].copy()
    where[::5] = np.nan
    result = index(experiments, table.with_columns({"xyzobs.px.value": where}))
    assert result.table.n_rows == np.isfinite(where).all(axis=1).sum()
    with pytest.raises(NoSpotsError, match="No spot has a position"):
        index(experiments, table.with_columns({"xyzobs.px.value": np.full_like(where, np.nan)}))


def test_stray_spots_stay_without_an_index():
    experiment, truth = instrument(), crystal(LATTICES[0][0], seed=8)
    real, _ = spots_of(experiment, truth, n=1000)
    stray = noise_spots(experiment, 600)
    table = table_of(np.concatenate([real["xyzobs.px.value"], stray]))
    result = index(Experiments((experiment,)), table)
    found = result.experiments[0].crystal
    assert found is not None
    assert same_lattice(truth.A, found.A)
    indexed = result.table["id"] >= 0
    assert indexed[:1000].mean() > 0.98
    assert indexed[1000:].mean() < 0.25
    assert not result.table["miller_index"][~indexed].any()


@pytest.mark.parametrize("seed", range(3))
def test_spots_without_order_have_no_lattice(seed):
    experiment = instrument()
    with pytest.raises(NoLatticeError):
        index(Experiments((experiment,)), table_of(noise_spots(experiment, 400, seed)))


def test_a_beam_centre_off_by_more_than_a_lattice_spacing_is_mended():
    experiment, truth = instrument(degrees=90, distance=100), crystal((11.6, 13.5, 30.1, 90, 93.7, 90), seed=9)
    table, h = spots_of(experiment, truth, d_min=0.9, noise=0.2)
    off = replace(experiment, detector=experiment.detector.moved(np.eye(3), np.array([2.0, 0.6, 0.0])))
    result = index(Experiments((off,)), table)
    found = result.experiments[0].crystal
    assert found is not None
    change = np.rint(6 * np.linalg.solve(found.A, truth.A)) / 6
    indexed = result.table["id"] >= 0
    assert indexed.mean() > 0.98
    np.testing.assert_array_equal(result.table["miller_index"][indexed], np.rint(h @ change.T)[indexed])


@pytest.mark.parametrize("mm", [2.35, -2.35])
def test_a_beam_centre_off_by_a_whole_node_along_the_axis_is_mended(mm):
    # The node (1, 1, -2) is 3 degrees from the rotation axis: moved by it, the lattice seems to lie where it should.
    experiment = instrument(degrees=90, distance=75)
    U = np.linalg.qr([[-0.4231, -0.36, 0.8315], [0.8255, -0.5314, 0.19], [0.3734, 0.7669, 0.522]])[0]
    table, _ = spots_of(experiment, Crystal(U / 77.9, hall=gemmi.SpaceGroup("I 2 3").hall), d_min=1.6, noise=0.17)
    off = replace(experiment, detector=experiment.detector.moved(np.eye(3), np.array([mm, 0.0, 0.0])))
    result = index(Experiments((off,)), table)
    assert share(result.table) > 0.98
    assert result.experiments[0].detector[0].origin == pytest.approx(experiment.detector[0].origin, abs=0.05)


def test_two_crystals_are_both_found():
    experiment = instrument()
    truths = [crystal(LATTICES[0][0], seed=s) for s in (10, 11)]
    parts = [spots_of(experiment, c, n=n)[0] for c, n in zip(truths, (900, 600), strict=True)]
    search = {"max_lattices": 2}
    table = ReflectionTable.concatenate(parts)
    result = index(Experiments((experiment,)), table, params=settings(multiple_lattice_search=search))
    assert len(result.experiments) == 2
    for e, truth in zip(result.experiments, truths, strict=True):
        assert e.crystal is not None
        assert misorientation(e.crystal, truth) < 0.1
    assert len(set(result.experiments.identifiers)) == 2
    assert (result.table["id"][:900] == 0).mean() > 0.95
    assert (result.table["id"][900:] == 1).mean() > 0.95


def test_only_spots_of_the_image_range_are_kept():
    experiment = instrument()
    table, _ = spots_of(experiment, crystal(LATTICES[0][0], seed=12))
    result = index(Experiments((experiment,)), table, params=settings(image_range=(20, 90)))
    z = result.table["xyzobs.px.value"][:, 2]
    assert len(z) > 400
    # The image 20 is what z from 19 to 20 is in.
    assert 19 <= z.min() < 20
    assert 89 < z.max() < 90
    with pytest.raises(ParameterError, match="image_range=30,20 holds no images"):
        index(Experiments((experiment,)), table, params=settings(image_range=(30, 20)))


def test_inputs_are_not_changed_and_the_order_of_spots_does_not_matter():
    experiment = instrument()
    table, _ = spots_of(experiment, crystal(LATTICES[0][0], seed=13), n=600)
    before = {name: values.copy() for name, values in table.items()}
    order = np.random.default_rng(0).permutation(table.n_rows)
    one, other = (index(Experiments((experiment,)), t) for t in (table, table.select(order)))
    for name, values in before.items():
        np.testing.assert_array_equal(table[name], values)
    a, b = one.experiments[0].crystal, other.experiments[0].crystal
    assert a is not None
    assert b is not None
    assert misorientation(a, b) < 0.01
    indexed = [(t["id"] >= 0).mean() for t in (one.table, other.table)]
    assert abs(indexed[0] - indexed[1]) < 0.01


def test_the_table_has_the_columns_of_indexed_reflections():
    experiment = instrument()
    table, _ = spots_of(experiment, crystal(LATTICES[0][0], seed=14), n=600)
    result = index(Experiments((experiment,)), table)
    names = {"entering", "imageset_id", "miller_index", "rlp", "s1", "xyzcal.mm", "xyzcal.px", "xyzobs.mm.value"}
    assert names | {"xyzobs.mm.variance"} <= set(result.table)
    indexed = result.table["id"] >= 0
    np.testing.assert_array_equal(result.table.has(Flags.INDEXED), indexed)
    found = result.experiments[0].crystal
    assert found is not None
    misfit = result.table["rlp"][indexed] @ np.linalg.inv(found.A).T - result.table["miller_index"][indexed]
    assert np.abs(misfit).max() < 0.3
    off = (result.table["xyzcal.px"] - result.table["xyzobs.px.value"])[indexed]
    assert np.median(np.abs(off)) < 0.2


def test_no_spots_and_foreign_spots_are_refused():
    experiment = instrument()
    table, _ = spots_of(experiment, crystal(LATTICES[0][0], seed=15), n=100)
    with pytest.raises(NoSpotsError):
        index(Experiments((experiment,)), table.select(np.zeros(100, dtype=bool)))
    with pytest.raises(MismatchError):
        index(Experiments((experiment,)), table.with_columns({"id": table["id"] + 3}))
    with pytest.raises(NoSpotsError, match="image_range"):
        index(Experiments((experiment,)), table, params=settings(image_range=(500, 600)))


def test_the_log_tells_the_course():
    experiment = instrument()
    table, _ = spots_of(experiment, crystal(LATTICES[0][0], seed=16), n=600)
    text = index_text(index(Experiments((experiment,)), table))
    for line in ("Found max_cell:", "FFT gridding: (256,256,256)", "Number of centroids used: ", "Candidate solutions:",
                 "Starting refinement (macro-cycle 1)", "RMSDs by experiment:", "Refined crystal models:",
                 "# indexed"):  # fmt: skip
        assert line in text
