"""The search for the beam centre finds what was moved."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_spots import PIXEL, crystal, instrument, spots_of

from parameter_flips import without_effect
from puredials.cli import search_beam_position as program
from puredials.errors import NoLatticeError
from puredials.indexing import BeamSearchParams, search_beam_position
from puredials.indexing.beam_search import beam_centre
from puredials.indexing.geometry_diagnosis import diagnose
from puredials.indexing.known_symmetry import known_symmetry
from puredials.indexing.params import IndexParams
from puredials.indexing.reciprocal import strong_spots
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.refl import write_reflections
from puredials.model import Detector, Experiment, Experiments, ReflectionTable

CELL = (41.0, 52.0, 63.0, 81.0, 97.0, 104.0)


def moved(experiment: Experiment, fast: float, slow: float) -> Experiment:
    """The experiment with the detector moved, mm: the beam then seems to meet it elsewhere."""
    p = experiment.detector[0]
    return replace(experiment, detector=experiment.detector.moved(np.eye(3), fast * p.fast + slow * p.slow))


@pytest.fixture(scope="module")
def truth() -> tuple[Experiment, ReflectionTable]:
    experiment = instrument(degrees=60)
    return experiment, spots_of(experiment, crystal(CELL), n=3000)[0]


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.2, -0.1), (1.7, -1.7), (3.6, 0.3), (-0.4, 3.6)])
def test_the_beam_centre_comes_back(truth, shift):
    experiment, spots = truth
    wrong = moved(experiment, *shift)
    result = search_beam_position(Experiments((wrong,)), spots)
    error = beam_centre(result.experiments[0]) - beam_centre(experiment)
    assert np.abs(error).max() < 0.3
    assert result.shifts[0].mm == pytest.approx(shift, abs=0.3 * PIXEL)


def test_two_panels_move_as_one(truth):
    experiment, spots = truth
    left = replace(experiment.detector[0], image_size=(500, 1000), name="left")
    right = replace(left, origin=left.origin + 500 * PIXEL * left.fast, name="right")
    xyz = spots["xyzobs.px.value"].copy()
    panel = (xyz[:, 0] >= 500).astype(spots["panel"].dtype)
    xyz[:, 0] -= 500 * panel
    spots = spots.with_columns({"xyzobs.px.value": xyz, "panel": panel})
    split = replace(experiment, detector=Detector((left, right)))
    result = search_beam_position(Experiments((moved(split, 0.5, 1.5),)), spots)
    for number in (0, 1):
        found = result.experiments[0].detector[number].origin
        assert found == pytest.approx(split.detector[number].origin, abs=0.3 * PIXEL)


def test_experiments_that_share_a_detector_still_share_it(truth):
    experiment, spots = truth
    wrong = moved(experiment, 0.5, 1.5)
    assert wrong.imageset is not None
    other = replace(wrong, identifier="two", imageset=replace(wrong.imageset, template="two_####.cbf"))
    result = search_beam_position(Experiments((wrong, other)), spots)
    assert result.experiments[0].detector is result.experiments[1].detector
    assert result.shifts[0].experiments == (0, 1)


def test_spots_without_order_show_no_beam_centre(truth):
    experiment, spots = truth
    xyz = np.random.default_rng(1).uniform(0, 1000, (spots.n_rows, 3)) * [1, 1, 0.12]
    with pytest.raises(NoLatticeError, match="No beam centre within 4 mm"):
        search_beam_position(Experiments((experiment,)), spots.with_columns({"xyzobs.px.value": xyz}))


def test_too_few_spots_are_no_evidence_against_the_geometry(truth):
    experiment, spots = truth
    with pytest.raises(NoLatticeError, match="only 30 spots of a sweep: too few"):
        search_beam_position(Experiments((experiment,)), spots.select(np.arange(30)))


def test_every_parameter_changes_the_result(truth):
    experiment, spots = truth
    wrong = Experiments((moved(experiment, 0.5, 3.6),))

    def outcome(params: BeamSearchParams) -> object:
        try:
            return search_beam_position(wrong, spots, params=params).shifts[0].mm
        except NoLatticeError as error:
            return str(error)

    contexts: dict[str, tuple[list[str], str | None]] = {
        "image_range": ([], "0,60"),
        "default.mm_search_scope": ([], "1"),
        "default.max_cell": ([], "30"),
        "default.d_min": ([], "25"),
    }
    assert without_effect(program.PROGRAM, outcome, contexts, skip={"nproc"}) == []


def test_the_program_writes_and_tells_what_it_found(truth, tmp_path, monkeypatch, capsys):
    experiment, spots = truth
    monkeypatch.chdir(tmp_path)
    write_experiments(Experiments((moved(experiment, 0.5, 1.5),)), tmp_path / "imported.expt")
    write_reflections(spots, tmp_path / "strong.refl")
    assert program.main(["imported.expt", "strong.refl"]) == 0
    said = capsys.readouterr().out
    assert "Old beam centre" in said
    assert "New beam centre" in said
    assert "Shift: 0.5" in said
    found = read_experiments(tmp_path / "optimised.expt")[0]
    assert np.abs(beam_centre(found) - beam_centre(experiment)).max() < 0.3


def test_a_wrong_beam_centre_is_diagnosed_with_its_evidence(truth):
    experiment, spots = truth
    wrong = Experiments((moved(experiment, 0.5, 3.6),))
    params = IndexParams()
    known = known_symmetry(params.indexing.known_symmetry)
    (found,) = diagnose(wrong, strong_spots(wrong, spots), 0.1, known, params, 1)
    assert "beam centre moved by 21." in found.cause
    assert found.share > 0.95
    assert found.commands[0] == "dials.search_beam_position imported.expt strong.refl"
