"""dials.image_viewer as it is called."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
import zlib

import numpy as np
import pytest
from viewer_set import write_image

from puredials.cli.image_viewer import main
from puredials.io.expt import write_experiments
from puredials.io.refl import write_reflections
from puredials.model import Beam, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, ReflectionTable, Scan


@pytest.fixture
def files(tmp_path, monkeypatch):
    """One image of SMV, and the experiment that names it."""
    monkeypatch.chdir(tmp_path)
    image = write_image(tmp_path / "a_001.img")
    panel = Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-0.5, 0.6, -10]), (10, 12), (0.1, 0.1))
    experiment = Experiment(
        Beam(np.array([0, 0, 1.0]), 1.0),
        Detector((panel,)),
        Goniometer(np.array([1.0, 0, 0])),
        Scan((1, 1), (0.0, 0.2)),
        imageset=ImageSet("a_###.img"),
        identifier="one",
    )
    write_experiments(Experiments((experiment,)), "a.expt")
    table = {
        "id": np.zeros(1, np.int32),
        "panel": np.zeros(1, np.uint64),
        "xyzobs.px.value": np.array([[3.5, 4.5, 0.5]]),
    }
    write_reflections(ReflectionTable(table, {0: "one"}), "a.refl")
    return image


def started(*words):
    """The running program, and the address that it prints."""
    code = "import sys; from puredials.cli.image_viewer import main; sys.exit(main())"
    program = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines = []
    for line in program.stdout:
        lines.append(line)
        if found := re.search(r"http://\S+", line):
            return program, found.group(), "".join(lines)
    raise AssertionError(program.communicate()[1])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(files, how):
    program, address, out = started("a.expt", "a.refl", "browser=False")
    try:
        sets = json.loads(zlib.decompress(urllib.request.urlopen(f"{address}sets.json", timeout=20).read()))
    finally:
        program.send_signal(how)
        _, error = program.communicate(timeout=20)
    assert [s["images"] for s in sets] == [1]
    assert program.returncode == 0, error
    assert "ssh -L" in out
    assert sorted(os.listdir()) == ["a.expt", "a.refl", "a_001.img"]


def test_images_are_shown_without_having_been_imported(files):
    program, address, _ = started("a_001.img", "browser=False")
    try:
        (found,) = json.loads(zlib.decompress(urllib.request.urlopen(f"{address}sets.json", timeout=20).read()))
    finally:
        program.send_signal(signal.SIGINT)
        _, error = program.communicate(timeout=20)
    assert found["images"] == 1
    assert program.returncode == 0, error


def test_images_and_experiments_are_not_mixed(files, capsys):
    assert main(["a_001.img", "a.expt", "browser=False"]) == 1
    assert "a_001.img" in capsys.readouterr().err


def test_the_log_does_not_hold_the_address(files):
    program, address, _ = started("a.expt", "browser=False", "output.log=x.log")
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=20)
    with open("x.log") as log:
        text = log.read()
    assert "ssh -L" in text
    assert address.rsplit("/", 2)[1] not in text


def test_a_port_that_is_taken_is_named(files, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["a.expt", f"port={port}", "browser=False"]) == 1
    assert f"port {port}" in capsys.readouterr().err
