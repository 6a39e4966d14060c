"""Every decision of the pipeline goes both ways, and its reason quotes the numbers."""

import pytest

from puredials.pipeline import (
    choose_beam_search,
    choose_joint,
    choose_lattices,
    choose_minimum,
    choose_scan_varying,
    choose_sweeps,
    enough_indexed,
    is_rotation,
    may_hold_another_lattice,
)


@pytest.mark.parametrize(("share", "choice"), [(0.97, "as recorded"), (0.12, "doubted")])
def test_the_geometry_is_doubted_when_little_is_indexed(share, choice):
    decision = choose_beam_search(share)
    assert decision.choice == choice
    assert f"{100 * share:.1f} %" in decision.reason


@pytest.mark.parametrize(("share", "choice"), [(0.6, "go on"), (0.05, "stop")])
def test_a_lattice_that_explains_almost_nothing_stops_the_run(share, choice):
    decision = enough_indexed(share)
    assert decision.choice == choice
    assert f"{100 * share:.1f} %" in decision.reason


@pytest.mark.parametrize(
    ("joint", "separate", "choice"),
    [
        ((0.98, 0.97), None, "joint"),
        ((0.98, 0.1), (0.98, 0.97), "separate"),
        ((0.98, 0.1), (0.98, 0.15), "joint"),
        ((0.98, 0.1), (0.98, 0.0), "separate"),
        ((0.98, 0.4), (0.98, 0.0), "joint"),
        ((), (0.9, 0.9), "separate"),
    ],
)
def test_sweeps_share_a_crystal_unless_their_own_lattices_explain_clearly_more(joint, separate, choice):
    decision = choose_joint(joint, separate)
    assert decision.choice == choice
    assert "%" in decision.reason


@pytest.mark.parametrize(
    ("spots", "degrees", "choice"),
    [((5000, 4000), (45.0, 45.0), "scan-varying"), ((5000, 40), (45.0, 45.0), "static"), ((900,), (1.5,), "static")],
)
def test_a_crystal_varies_along_the_scan_only_if_spots_and_degrees_suffice(spots, degrees, choice):
    decision = choose_scan_varying(spots, degrees)
    assert decision.choice == choice
    assert str(min(spots)) in decision.reason


@pytest.mark.parametrize(
    ("spots", "degrees", "choice"), [((5000,), (45.0,), "default"), ((33,), (1.5,), "fewer spots")]
)
def test_the_minimum_of_spots_is_lowered_for_sweeps_of_few(spots, degrees, choice):
    decision = choose_minimum(spots, degrees)
    assert decision.choice == choice
    assert str(min(spots)) in decision.reason


@pytest.mark.parametrize(("degrees", "choice"), [((45.0,), "as recorded"), ((0.0, 0.0), "none recorded")])
def test_headers_tell_of_a_rotation_or_of_none(degrees, choice):
    decision = is_rotation(48, degrees)
    assert decision.choice == choice
    assert "48" in decision.reason


@pytest.mark.parametrize(("share", "unindexed", "wanted"), [(0.57, 5000, True), (0.57, 60, False), (0.95, 5000, False)])
def test_a_further_lattice_is_looked_for_among_many_spots_without_index(share, unindexed, wanted):
    assert may_hold_another_lattice(share, unindexed) == wanted


@pytest.mark.parametrize(("further", "choice"), [((5700,), "2"), ((900,), "1"), ((), "1")])
def test_a_further_lattice_is_believed_if_it_explains_most_of_what_was_left(further, choice):
    decision = choose_lattices(5775, further, 13588)
    assert decision.choice == choice
    assert "5775 of 13588 spots (43 %)" in decision.reason
    assert all(str(n) in decision.reason for n in further)


def test_sweeps_without_a_lattice_are_named_with_their_spots():
    names = ("a.nxs", "b.nxs", "c.nxs")
    decision = choose_sweeps(names, (900, 0, 700), (1000, 400, 1000))
    assert decision.choice == "2 of 3"
    assert "b.nxs (400 spots)" in decision.reason
    assert "70.0 % of the spots (c.nxs)" in decision.reason
    assert choose_sweeps(names, (900, 300, 700), (1000, 400, 1000)).choice == "all"


@pytest.mark.parametrize(
    ("turned", "told"),
    [
        ((), "apart 100, 100 %."),
        ((10.0,), "turned by 10.0° from that of the first sweep:"),
        ((0.1, 10.0, 20.0), "turned by 0.1, 10.0, 20.0° from"),
        ((30.0, None), "turned by 30.0° from that of the first sweep (1 of another lattice)"),
        (tuple(range(5, 50)), "turned by 5.0 to 49.0° from"),
        ((None,), "Their lattices are not the same."),
    ],
)
def test_crystals_that_are_indexed_apart_are_said_to_be_turned_by_how_much(turned, told):
    decision = choose_joint((1.0, 0.1), (1.0, 1.0), turned)
    assert decision.choice == "separate"
    assert told in decision.reason
    assert ("several crystals, or the angles are off" in decision.reason) == any(turned)
    assert decision.reason.endswith(choose_joint((), (1.0, 1.0), turned).reason.partition("are indexed.")[2])
