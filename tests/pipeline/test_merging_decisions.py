"""Decisions on the way from integrated intensities to merged ones go both ways, and quote their numbers."""

import pytest

from puredials.pipeline import (
    choose_anomalous,
    choose_cells,
    choose_cut,
    choose_exclusions,
    choose_merged_lattices,
    choose_scaling,
    choose_symmetry,
    explain_space_group,
    judge_merged,
    keep_cut,
)


@pytest.mark.parametrize(("members", "choice"), [((4,), "all"), ((5, 2, 1), "5 of 8")])
def test_the_largest_cluster_of_cells_is_taken(members, choice):
    decision = choose_cells(members)
    assert decision.choice == choice
    assert str(members[0]) in decision.reason


@pytest.mark.parametrize(("crystals", "choice"), [(1, "symmetry"), (4, "cosym")])
def test_crystals_indexed_apart_need_cosym(crystals, choice):
    assert choose_symmetry(crystals).choice == choice


def axis(name: str, probability: float, n_absent: int) -> dict:
    return {"name": name, "probability": probability, "n_absent": n_absent, "i_over_sigma_absent": -0.4}


def symmetry_summary(likelihood: float, *, n_absent: int = 9, pairs: int = 800) -> dict:
    others = 1 - likelihood
    rest = [{"space_groups": ["P 2 21 21"], "probability": 0.09}]
    return {
        "space_group": "P 21 21 21",
        "lattice_point_group": "P m m m",
        "subgroup_scores": [
            {"patterson_group": "P m m m", "likelihood": likelihood, "cc_for": 0.97, "cc_against": 0.0},
            {"patterson_group": "P 1 2/m 1", "likelihood": others, "cc_for": 0.98, "cc_against": 0.95},
        ],
        "sym_op_scores": [{"order": 1, "n_ref": 50}, {"order": 2, "n_ref": pairs}],
        "screw_axes": [axis("21a", 0.98 if n_absent else 0.91, n_absent), axis("21c", 0.97, 12)],
        "space_group_scores": [{"space_groups": ["P 21 21 21"], "probability": 0.97 if n_absent else 0.83}, *rest],
        "space_group_alternatives": [] if n_absent else rest,
    }


def test_a_space_group_is_given_with_its_evidence():
    decision = explain_space_group(symmetry_summary(0.95))
    assert decision.choice == "P 21 21 21"
    for number in ("0.950", "0.050", "0.97", "21a 0.98 (9 forbidden, their <I/σ> -0.4)", "21c 0.97 (12 forbidden"):
        assert number in decision.reason
    assert "not certain" not in decision.reason
    assert "unknown" not in decision.reason
    assert "P 2 21 21" not in decision.reason


def test_screw_axes_of_which_nothing_was_measured_are_unknown_and_other_groups_named():
    reason = explain_space_group(symmetry_summary(0.95, n_absent=0)).reason
    assert "unknown: 21a, no reflection was measured that these forbid" in reason
    assert "P 21 21 21 (0.83) is the likeliest; try P 2 21 21 (0.09), too" in reason


def test_groups_that_no_intensities_can_tell_apart_are_named():
    summary = symmetry_summary(0.95)
    summary["space_group_scores"] = [{"space_groups": ["P 41 21 2", "P 43 21 2"], "probability": 1.0}]
    assert "No intensities can tell it from P 43 21 2." in explain_space_group(summary).reason


def test_a_space_group_without_equivalents_to_compare_is_said_to_be_so():
    reason = explain_space_group(symmetry_summary(0.2, pairs=3)).reason
    assert "Only 3 pairs of reflections that rotations relate were measured" in reason
    assert "correlate" not in reason
    assert "not certain" in reason


def test_a_lattice_without_rotations_is_not_said_to_lack_pairs():
    summary = symmetry_summary(1.0) | {"sym_op_scores": [{"order": 1, "n_ref": 50}]}
    reason = explain_space_group(summary).reason
    assert "the lattice has no rotations" in reason
    assert "pairs" not in reason


def test_an_unlikely_space_group_is_to_be_confirmed():
    assert "not certain" in explain_space_group(symmetry_summary(0.4)).reason


@pytest.mark.parametrize(
    ("observations", "unique", "sweeps", "choice"),
    [(203, 190, 4, "stop"), (500, 440, 4, "one scale a sweep"), (5000, 1000, 4, "scales along each sweep")],
)
def test_scales_are_as_many_as_repeated_observations_determine(observations, unique, sweeps, choice):
    decision = choose_scaling(observations, unique, sweeps)
    assert decision.choice == choice
    assert f"{observations - unique} are repeated" in decision.reason


@pytest.mark.parametrize(
    ("cc", "pairs", "slope", "choice"),
    [(0.6, 1500, 1.3, "apart"), (0.02, 2649, 0.93, "together"), (0.39, 86, 1.2, "together"),
     (0.3, 5000, 0.9, "together"), (float("nan"), 0, float("nan"), "together")],
)  # fmt: skip
def test_friedel_mates_are_kept_apart_if_their_differences_repeat_and_exceed_the_errors(cc, pairs, slope, choice):
    decision = choose_anomalous(cc, pairs, slope)
    assert decision.choice == choice
    assert str(pairs) in decision.reason


@pytest.mark.parametrize(("agreement", "choice"), [((1.0, 0.84), "0"), ((1.0, 0.97), "all")])
def test_lattices_on_the_same_images_are_merged_if_their_intensities_agree(agreement, choice):
    decision = choose_merged_lattices(agreement, (35.0, 20.0))
    assert decision.choice == choice
    assert f"{agreement[1]:.2f}" in decision.reason


@pytest.mark.parametrize(
    ("gain", "bad", "rejected", "count", "choice"),
    [
        (0.02, True, 0.01, 100, "b"),  # disagrees with reflections that are repeated elsewhere
        (0.001, True, 0.01, 100, "none"),  # does so, but to no effect
        (0.02, False, 0.01, 100, "none"),  # no more than others
        (-0.01, False, 0.35, 100, "b"),  # rejected in large part
        (-0.01, False, 0.04, 100, "none"),
        (-0.01, False, 0.35, 3, "none"),  # one of three, by chance
        (0.02, True, 0.35, 1800, "none"),  # most of the data
    ],
)
def test_what_is_left_out_stands_out_and_is_worth_it(gain, bad, rejected, count, choice):
    flags, counts = (False, bad, False), (1000, count, 1000)
    gains, cc_half = (0.0, gain, -0.001), ((0.91, 0.91), (0.92, 0.9387), (0.93, 0.929))
    decision = choose_exclusions("sets", ("a", "b", "c"), gains, cc_half, flags, (0.01, rejected, 0.02), counts)
    assert decision.choice == choice
    assert "%" in decision.reason
    assert choice == "none" or "from 0.9200 to 0.9387" in decision.reason


def test_nothing_is_left_out_for_a_gain_that_the_plain_mean_of_cc_half_does_not_show():
    cc_half, flags = ((0.95, 0.94), (0.95, 0.95), (0.95, 0.95)), (True, False, False)
    decision = choose_exclusions("sets", ("a", "b", "c"), (0.05, 0, 0), cc_half, flags, (0.01,) * 3, (100, 1000, 1000))
    assert decision.choice == "none"


def test_of_few_observations_in_a_group_one_outlier_says_nothing():
    names = tuple(f"0:{10 * k + 1}:{10 * k + 10}" for k in range(340))
    rejected = tuple(1 / 9 if k % 15 == 0 else 0.0 for k in range(340))
    same = ((0.9939, 0.9939),) * 340
    decision = choose_exclusions("images", names, (1e-4,) * 340, same, (False,) * 340, rejected, (9,) * 340)
    assert decision.choice == "none"
    decision = choose_exclusions(
        "images", names, (5e-3,) * 340, ((0.99393, 0.99394),) * 340, (True,) * 340, (0.0,) * 340, (9,) * 340
    )
    assert decision.choice == "none"


def test_of_many_groups_left_out_only_a_few_are_told():
    names, cc_half = tuple("abcdefghijkl" * 4), ((0.95, 0.96),) * 48
    decision = choose_exclusions(
        "images", names, (0.1,) * 48, cc_half, (True,) * 5 + (False,) * 43, (0.0,) * 48, (100,) * 48
    )
    assert decision.choice == "a b c d e"
    assert "and so on for 2 more" in decision.reason


@pytest.mark.parametrize(
    ("limit", "within", "choice"),
    [(2.1, True, "2.10"), (1.8, False, "all"), (None, False, "all"), (1.81, True, "all")],
)
def test_data_are_cut_where_the_half_sets_stop_to_agree(limit, within, choice):
    decision = choose_cut(limit, within, 1000, 1.8)
    assert decision.choice == choice
    assert "1.80" in decision.reason


def test_data_are_cut_where_the_user_says():
    assert str(keep_cut(2.5, 1.8)) == "Resolution: 2.50. As asked for; the data reach 1.80 Å."


def test_data_that_are_not_repeated_are_no_reason_to_cut():
    decision = choose_cut(1.8, False, 1000, 1.8, significant=2.5)
    assert decision.choice == "all"
    assert "2.50" in decision.reason
    assert choose_cut(2.1, True, 1000, 1.8, significant=2.5).choice == "2.10"


def test_data_whose_half_sets_nowhere_agree_are_not_cut_to_nothing():
    decision = choose_cut(21.66, True, 1, 1.18)
    assert decision.choice == "all"
    assert "21.66" in decision.reason


@pytest.mark.parametrize(
    ("r_meas", "cc_half", "choice"),
    [(0.03, 0.999, "sound"), (0.67, 0.39, "doubtful"), (0.1, 0.5, "doubtful"), (0.03, float("nan"), "doubtful")],
)
def test_merged_data_whose_strong_equivalents_disagree_are_doubted(r_meas, cc_half, choice):
    decision = judge_merged(r_meas, cc_half)
    assert decision.choice == choice
    assert f"{r_meas:.3f}" in decision.reason
