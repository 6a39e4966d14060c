"""Every decision of the pipeline goes both ways, and its reason quotes the numbers."""

import pytest

from puredials.pipeline import (
    choose_beam_search,
    choose_cut,
    choose_joint,
    choose_minimum,
    choose_scan_varying,
    choose_symmetry,
    enough_equivalents,
    enough_indexed,
    is_rotation,
)


@pytest.mark.parametrize(("share", "choice"), [(0.97, "keep"), (0.12, "search")])
def test_the_beam_centre_is_searched_when_little_is_indexed(share, choice):
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


@pytest.mark.parametrize(("crystals", "choice"), [(1, "symmetry"), (4, "cosym")])
def test_crystals_indexed_apart_need_cosym(crystals, choice):
    assert choose_symmetry(crystals).choice == choice


@pytest.mark.parametrize(
    ("limit", "within", "wanted", "choice"),
    [
        (2.1, True, None, "2.10"),
        (1.8, False, None, "all"),
        (None, False, None, "all"),
        (1.81, True, None, "all"),
        (1.8, False, 2.5, "2.50"),
    ],
)
def test_data_are_cut_where_the_half_sets_stop_to_agree_or_where_the_user_says(limit, within, wanted, choice):
    decision = choose_cut(limit, within, 1.8, wanted)
    assert decision.choice == choice
    assert "1.80" in decision.reason


@pytest.mark.parametrize(("degrees", "choice"), [((45.0,), "go on"), ((0.0, 0.0), "stop")])
def test_headers_without_rotation_stop_the_run(degrees, choice):
    decision = is_rotation(48, degrees)
    assert decision.choice == choice
    assert "48" in decision.reason


@pytest.mark.parametrize(("observations", "choice"), [(5000, "determined"), (1050, "doubtful")])
def test_scales_are_doubted_when_hardly_anything_was_measured_twice(observations, choice):
    decision = enough_equivalents(observations, 1000)
    assert decision.choice == choice
    assert str(observations) in decision.reason
