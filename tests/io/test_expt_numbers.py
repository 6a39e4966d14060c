"""JSON, and those who write it, allow NaN: in the models of an .expt file it is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from puredials.errors import FileError
from puredials.io.expt import read_experiments, write_experiments
from puredials.model import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan


@pytest.mark.parametrize("key", ["direction", "wavelength", "origin", "rotation_axis", "oscillation", "real_space_b"])
def test_models_of_no_numbers_are_refused(tmp_path: Path, key: str) -> None:
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
    text = (tmp_path / "a.expt").read_text(encoding="utf-8")
    broken = re.sub(rf'("{key}": [\[\s]*)[-\d.e]+', r"\1NaN", text)
    assert broken != text
    (tmp_path / "a.expt").write_text(broken, encoding="utf-8")
    with pytest.raises(FileError, match=r"0 has values that are no numbers"):
        read_experiments(tmp_path / "a.expt")
