"""Sets that are left out, replaced by hand or turned to one another are told, by name and with what was measured."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from puredials.model import Crystal, Experiments, ImageSet
from puredials.pipeline import (
    Decision,
    choose_cells,
    choose_sets,
    keep_scaled,
    keep_symmetrized,
    turns,
    with_names,
)
from puredials.sets import image_names
from scaling_synthetic import sweeps

NAMES = ("a.nxs", "b.nxs", "c.nxs")
OTHER = "its intensities are of another structure than those of the other sets: CC 0.01 over 900 pairs"


def summary(excluded: dict[str, str], *kept: tuple[int, float]) -> dict:
    pairs = 800.0 if len(kept) > 1 else 0.0
    return {"excluded": excluded, "sets": [{"set": k, "cc": cc, "n_pairs": pairs} for k, cc in kept]}


def test_sets_that_cosym_leaves_out_are_named_with_the_reason_and_how_the_others_agree():
    decision = choose_sets(summary({"1": OTHER}, (0, 0.97), (2, 0.93)), NAMES)
    assert decision.choice == "1 (b.nxs)"
    assert f"Set 1 (b.nxs): {OTHER}" in decision.reason
    assert "set 2 (c.nxs) agrees least with the rest, by a correlation of 0.93 over 800 pairs" in decision.reason


def test_that_cosym_leaves_nothing_out_is_told_with_the_lowest_agreement():
    decision = choose_sets(summary({}, (0, 0.97), (1, 0.91), (2, 0.93)), NAMES)
    assert decision.choice == "none"
    assert "set 1 (b.nxs) agrees least with the rest, by a correlation of 0.91" in decision.reason


def test_a_single_set_that_is_left_agrees_with_none():
    decision = choose_sets(summary({"0": OTHER, "1": OTHER}, (2, 0.0)), NAMES)
    assert decision.choice == "0 (a.nxs), 1 (b.nxs)"
    assert "a single set is left" in decision.reason
    assert "correlation" not in decision.reason


def test_sets_that_are_not_of_the_largest_cluster_are_named():
    assert "Left out: 1 (b.nxs)." in choose_cells((2, 1), ["1 (b.nxs)"]).reason


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("none", "Measured."),
        ("2", "Measured. Here set 2 is c.nxs."),
        ("0:1:10 0:11:20", "Measured. Here set 0 is a.nxs."),
    ],
)
def test_chosen_sets_are_told_by_name(choice, told):
    assert with_names(Decision("Bad sets", choice, "Measured."), NAMES).reason == told


def test_data_made_by_hand_are_said_to_stay():
    scaled = keep_scaled(2, 1234, 2.2)
    assert scaled.choice == "as made by hand"
    assert "1234 scaled observations of 2 sets to 2.20 Å" in scaled.reason
    symmetrized = keep_symmetrized("P 4", 1)
    assert symmetrized.choice == "P 4"
    assert "hold 1 set now" in symmetrized.reason


def test_images_are_named_below_the_folder_that_holds_all():
    experiments = sweeps(n_sweeps=3).experiments
    files = ["/data/x_1/a_####.cbf", "/data/x_2/a_####.cbf", None]
    items = [replace(e, imageset=f and ImageSet(f)) for e, f in zip(experiments, files, strict=True)]
    assert image_names(experiments.with_items(items)) == ["x_1/a_####.cbf", "x_2/a_####.cbf", ""]
    assert image_names(experiments.with_items(items[:1])) == ["a_####.cbf"]


def crystals(*matrices: np.ndarray) -> Experiments:
    experiments = sweeps(n_sweeps=len(matrices)).experiments
    return experiments.with_items(
        replace(e, crystal=Crystal(A)) for e, A in zip(experiments, matrices, strict=True)
    )  # fmt: skip


def test_crystals_are_turned_by_what_no_symmetry_of_the_lattice_accounts_for():
    B = np.array(gemmi.UnitCell(78, 78, 78, 90, 90, 90).frac.mat.tolist()).T
    U = Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix()
    chi = Rotation.from_rotvec(np.radians(10) * np.array([0, 1, 0])).as_matrix()
    cyclic = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    larger = np.array(gemmi.UnitCell(50, 60, 90, 90, 90, 90).frac.mat.tolist()).T
    found = turns(crystals(U @ B, chi @ U @ B @ cyclic, U @ B @ cyclic, larger))
    assert found[:2] == pytest.approx([10, 0], abs=1e-4)
    assert found[2] is None
    assert turns(crystals(U @ B)) == []
