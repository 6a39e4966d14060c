"""Data sets and images that the user leaves out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puredials.errors import MismatchError, ParameterError
from puredials.io.expt import read_experiments, write_experiments
from puredials.model import Beam, Detector, Experiment, Experiments, Panel, ReflectionTable, Scan
from puredials.sets import choose_datasets, exclude_images, on_valid_images

BEAM = Beam(np.array([0, 0, 1.0]), 1.0)
FRAME = (np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-10.0, 10, -100]))
DETECTOR = Detector((Panel(*FRAME, (200, 200), (0.1, 0.1)),))


def experiments(n: int = 3, images: int = 20) -> Experiments:
    """Data sets named a, b, c, ..., the scans of which begin with the images 1, 11, 21, ..."""
    return Experiments(
        tuple(
            Experiment(BEAM, DETECTOR, None, Scan((10 * k + 1, 10 * k + images), (0.0, 1.0)), identifier=chr(97 + k))
            for k in range(n)
        )
    )


def reflections(given: Experiments) -> ReflectionTable:
    """One reflection in the middle of each image, and one before and beyond the scan."""
    ids, z = [], []
    for k, experiment in enumerate(given):
        assert experiment.scan is not None
        first, last = experiment.scan.array_range
        centres = np.arange(first - 1, last + 1) + 0.5
        ids.append(np.full(len(centres), k, np.int32))
        z.append(centres)
    columns = {"id": np.concatenate(ids), "xyzobs.px.value": np.pad(np.concatenate(z)[:, None], ((0, 0), (2, 0)))}
    return ReflectionTable(columns, dict(enumerate(given.identifiers)))


def test_data_sets_are_chosen_by_number_or_identifier():
    sets = experiments()
    for use, exclude, expected in (
        ([0, "c"], None, "ac"),
        (["0", "2"], None, "ac"),
        (None, ["b"], "ac"),
        (["a", "b"], [1], "a"),
        (None, None, "abc"),
    ):
        chosen, table = choose_datasets(sets, reflections(sets), use, exclude)
        assert "".join(chosen.identifiers) == expected
        assert list(table.identifiers.values()) == list(expected)
        assert sorted(set(table["id"].tolist())) == list(range(len(expected)))


@pytest.mark.parametrize(
    ("use", "exclude", "message"),
    [
        ([3], None, r"use_datasets=3: there is no data set 3; numbers are 0 to 2, identifiers are a, b, c\."),
        (None, ["z"], "exclude_datasets=z"),
        ([-1], None, "use_datasets=-1"),
        (None, ["a", "b", "c"], "leave none of the 3"),
    ],
)
def test_names_that_are_not_there_are_refused_with_those_that_are(use, exclude, message):
    sets = experiments()
    with pytest.raises(ParameterError, match=message):
        choose_datasets(sets, reflections(sets), use, exclude)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40), st.integers(0, 9)), max_size=6))
def test_reflections_are_left_out_with_the_image_on_which_they_are_centred(ranges):
    sets = experiments()
    table = reflections(sets)
    words = [f"{'abc'[k]}:{first}:{first + more}" for k, first, more in ranges]
    expected = np.ones(table.n_rows, dtype=bool)
    left = {k: set(range(10 * k + 1, 10 * k + 21)) for k in range(3)}
    for k, first, more in ranges:
        left[k] -= set(range(first, first + more + 1))
    beyond = [w for w, (k, first, more) in zip(words, ranges, strict=True)
              if first > 10 * k + 20 or first + more < 10 * k + 1]  # fmt: skip
    if beyond or not all(left.values()):
        with pytest.raises(ParameterError):
            exclude_images(sets, words)
        return
    found = exclude_images(sets, words)
    for k, experiment in enumerate(found):
        images = np.flatnonzero(experiment.valid_images) + 10 * k + 1
        assert set(images.tolist()) == left[k]
        image = np.clip(np.floor(table["xyzobs.px.value"][:, 2]).astype(int) + 1, 10 * k + 1, 10 * k + 20)
        own = table["id"] == k
        expected[own] = [n in left[k] for n in image[own]]
    np.testing.assert_array_equal(on_valid_images(found, table), expected)


def test_images_left_out_once_stay_out_and_are_kept_in_files(tmp_path):
    sets = exclude_images(exclude_images(experiments(), ["0:1:5"]), ["a:11:12 0:20:30"])
    write_experiments(sets, tmp_path / "sets.expt")
    back = read_experiments(tmp_path / "sets.expt")
    for found in (sets, back):
        scan = found[0].scan
        assert scan is not None
        assert scan.valid_image_ranges == {"a": [[6, 10], [13, 19]]}
        assert found[0].valid_images.sum() == 12
        assert found[1].valid_images.all()


def test_images_of_one_of_several_lattices_of_a_sweep_are_left_out():
    scan = Scan((1, 10), (0.0, 1.0))
    both = Experiments(tuple(replace(e, scan=scan) for e in experiments(2)))
    found = exclude_images(both, ["1:3:4"])
    assert found[0].scan is found[1].scan
    assert found[0].valid_images.all()
    assert found[1].valid_images.sum() == 8
    nameless = Experiments(tuple(replace(e, identifier="") for e in both))
    with pytest.raises(MismatchError, match="assign_experiment_identifiers"):
        exclude_images(nameless, ["1:3:4"])


@pytest.mark.parametrize("word", ["0:5", "0:5:x", "q:1:2", "0:5:4", "0:21:30", "0:1:20", "0:1:8,0:9:20", "1:-3:4"])
def test_image_ranges_that_make_no_sense_are_refused(word):
    with pytest.raises(ParameterError):
        exclude_images(experiments(), [word])
