"""JSON, and those who write it, allow NaN: in the models of an .expt file it is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from puredials.errors import FileError
from puredials.io.expt import read_experiments, write_experiments
from puredials.model import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    x, y, z = np.eye(3)
    panel = Panel(x, -y, np.array([-10.0, 10, -100]), (100, 200), (0.1, 0.1))
    models = (
        Beam(z, 0.9763),
        Detector((panel,)),
        Goniometer(x[None]),
        Scan((1, 3), (0.1, 0.2)),
        Crystal(np.eye(3) / 50),
    )
    write_experiments(Experiments((Experiment(*models, identifier="one"),)), tmp_path / "a.expt")
    return tmp_path / "a.expt"


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
@pytest.mark.parametrize("key", ["direction", "wavelength", "origin", "rotation_axis", "oscillation", "real_space_b"])
def test_models_of_no_numbers_are_refused(stored: Path, key: str, number: str) -> None:
    text = stored.read_text(encoding="utf-8")
    broken = re.sub(rf'("{key}": [\[\s]*)[-\d.e]+', rf"\g<1>{number}", text)
    assert broken != text
    stored.write_text(broken, encoding="utf-8")
    with pytest.raises(FileError, match=r"0 has values that are no numbers"):
        read_experiments(stored)


def test_unknown_times_are_no_fault(stored: Path) -> None:
    scan = json.loads(stored.read_text(encoding="utf-8"))
    scan["scan"][0].setdefault("properties", {})["exposure_time"] = [float("nan")] * 3
    stored.write_text(json.dumps(scan), encoding="utf-8")
    assert len(read_experiments(stored)) == 1
