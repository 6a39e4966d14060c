"""An interrupted run is taken up where it was stopped, and only what has changed runs again."""

import os

import pytest

from puredials.pipeline import Record


@pytest.fixture
def files(tmp_path):
    source, result = tmp_path / "in.refl", tmp_path / "out.refl"
    source.write_text("in")
    result.write_text("out")
    return tmp_path / "record.json", [source], [result]


def test_a_finished_stage_is_not_run_again(files):
    path, inputs, outputs = files
    Record(path, "1").finish("index", ["a=1"], inputs)
    assert Record(path, "1").is_done("index", ["a=1"], inputs, outputs)


def test_other_words_inputs_or_versions_and_lost_outputs_run_it_again(files):
    path, inputs, outputs = files
    Record(path, "1").finish("index", ["a=1"], inputs)
    assert not Record(path, "1").is_done("index", ["a=2"], inputs, outputs)
    assert not Record(path, "2").is_done("index", ["a=1"], inputs, outputs)
    assert not Record(path, "1", resume=False).is_done("index", ["a=1"], inputs, outputs)
    os.utime(inputs[0], (1, 1))
    assert not Record(path, "1").is_done("index", ["a=1"], inputs, outputs)
    Record(path, "1").finish("index", ["a=1"], inputs)
    outputs[0].unlink()
    assert not Record(path, "1").is_done("index", ["a=1"], inputs, outputs)


def test_what_follows_a_stage_that_ran_runs_too(files):
    path, inputs, outputs = files
    record = Record(path, "1")
    record.finish("index", [], inputs)
    record.finish("refine", [], inputs)
    again = Record(path, "1")
    assert not again.is_done("index", ["a=1"], inputs, outputs)
    assert not again.is_done("refine", [], inputs, outputs)


def test_a_damaged_record_is_as_none(files):
    path, inputs, outputs = files
    path.write_text("{")
    assert not Record(path, "1").is_done("index", [], inputs, outputs)


def test_what_a_stage_took_and_found_is_kept(files):
    path, inputs, outputs = files
    Record(path, "1").finish("diagnose", [], inputs, seconds=1.25, result={"words": ["a=1"]})
    again = Record(path, "1")
    assert again.is_done("diagnose", [], inputs, outputs)
    assert again.seconds("diagnose") == 1.25
    assert again.result("diagnose") == {"words": ["a=1"]}


def test_what_follows_a_stage_is_forgotten_before_it_runs_again(files):
    path, inputs, outputs = files
    record = Record(path, "1")
    for stage in ("index", "scale", "what scaling shows"):
        record.finish(stage, [], inputs if stage == "index" else [], outputs)
    stopped = Record(path, "1")
    assert not stopped.is_done("index", ["a=1"], inputs, outputs)
    stopped.finish("index", ["a=1"], inputs, outputs)  # and killed here
    again = Record(path, "1")
    assert again.is_done("index", ["a=1"], inputs, outputs)
    assert not again.is_done("scale", [], [], outputs)
    assert not again.is_done("what scaling shows", [], [], outputs)


def test_a_stage_that_was_killed_is_not_taken_as_done_with_its_old_words(files):
    path, inputs, outputs = files
    Record(path, "1").finish("index", [], inputs, outputs)
    assert not Record(path, "1").is_done("index", ["a=1"], inputs, outputs)  # killed while it writes
    assert not Record(path, "1").is_done("index", [], inputs, outputs)


def test_files_that_a_stage_left_out_this_time_wrote_over_are_made_again(files):
    path, _, outputs = files
    record = Record(path, "1")
    for stage in ("scale", "scale again"):
        record.finish(stage, [], [], outputs)
    record.finish("merge", [], [], [])
    both = Record(path, "1")
    assert both.is_done("scale", [], [], outputs)
    assert both.is_done("scale again", [], [], outputs)
    assert not both.is_overwritten("scale again")
    one = Record(path, "1")
    assert one.is_done("scale", [], [], outputs)
    assert one.is_overwritten("scale")
    one.forget({"scale"})
    assert not one.is_done("scale", [], [], outputs)
    assert not one.is_done("merge", [], [], [])


def test_files_that_were_replaced_by_hand_are_told_from_those_that_a_stage_left(files):
    path, inputs, outputs = files
    record = Record(path, "1")
    assert not record.is_replaced(outputs)
    record.finish("scale", [], inputs, outputs)
    assert not Record(path, "1").is_replaced(outputs)
    os.utime(outputs[0], (1, 1))
    assert Record(path, "1").is_replaced(outputs)
    again = Record(path, "1")
    assert not again.is_done("merge", [], outputs, [])
    again.finish("merge", [], outputs, [])  # what follows is made of them, and they stay replaced
    assert Record(path, "1").is_replaced(outputs)
    assert not Record(path, "1", resume=False).is_replaced(outputs)


def test_files_of_a_stage_that_was_killed_after_it_wrote_them_are_not_taken_for_made_by_hand(files):
    path, inputs, outputs = files
    record = Record(path, "1")
    record.finish("scale", [], inputs, outputs)
    assert not record.is_done("scale again", [], inputs, outputs)
    os.utime(outputs[0], (1, 1))  # it writes, and is killed here
    assert not Record(path, "1").is_replaced(outputs)
