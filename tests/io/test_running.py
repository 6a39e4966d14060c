"""Those who watch a folder learn what programs do there."""

import json
import os
import subprocess
import sys

import pytest

from puredials.cli.log import Log
from puredials.io.running import Running, activities


def test_a_note_is_there_while_a_program_runs_and_tells_of_its_progress(tmp_path):
    log = Log(str(tmp_path / "x.log"), program="dials.integrate")
    with log.progress("Integrating") as progress:
        assert activities(tmp_path)["dials.integrate"].text == "Integrating"
        progress(3, 10)
    found = activities(tmp_path)["dials.integrate"]
    assert found.alive
    log.close()
    assert activities(tmp_path) == {}
    assert os.listdir(tmp_path) == ["x.log"]


def test_progress_is_noted_now_and_then(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr("puredials.io.running.time.monotonic", lambda: now)
    running = Running("puredials process", tmp_path)
    running.tell("Spots", 1, 10)
    running.tell("Spots", 2, 10)
    assert activities(tmp_path)["puredials process"].done == 1
    now += 1
    running.tell("Spots", 3, 10)
    assert (found := activities(tmp_path)["puredials process"]).done == 3
    assert found.total == 10


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for in the manner of POSIX")
def test_a_killed_program_is_told_from_a_running_one(tmp_path):
    code = "import os, sys; from puredials.io.running import Running; Running('dials.index'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert not activities(tmp_path)["dials.index"].alive


def test_a_folder_that_is_not_there_does_no_harm(tmp_path):
    running = Running("dials.index", tmp_path / "gone")
    running.tell("Indexing", 1, 2)
    running.close()


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", json.dumps({"program": 1, "started": "x"})])
def test_foreign_notes_are_passed_over(tmp_path, text):
    (tmp_path / ".x.running").write_text(text)
    assert activities(tmp_path) == {}
