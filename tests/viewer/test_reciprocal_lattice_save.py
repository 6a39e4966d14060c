"""Experiments whose beam centre was moved in the lattice viewer are what dials.index needs."""

from dataclasses import replace

import numpy as np
import pytest
from lattice_set import CELL, lattice_data

from puredials.cli.index import main
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.refl import write_reflections
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.viewer import LatticeView

OFF = (1.3, -0.9)  # mm along fast and slow: some reciprocal cell edges


def spots_and_wrong_geometry():
    """Strong spots of one crystal, and experiments without it, whose detector is not where it was."""
    experiments, table = lattice_data()
    own = table["id"] == 0
    n = int(own.sum())
    spots = ReflectionTable(
        {
            "id": np.full(n, -1, np.int32),
            "imageset_id": np.zeros(n, np.int32),
            "panel": table["panel"][own],
            "flags": np.full(n, int(Flags.STRONG), np.uint64),
            "xyzobs.px.value": table["xyzobs.px.value"][own],
            "xyzobs.px.variance": np.full((n, 3), 0.04),
            "intensity.sum.value": np.full(n, 100.0),
            "intensity.sum.variance": np.full(n, 100.0),
        }
    )
    panel = experiments[0].detector[0]
    moved = experiments[0].detector.moved(np.eye(3), OFF[0] * panel.fast + OFF[1] * panel.slow)
    return Experiments((replace(experiments[0], detector=moved, crystal=None),)), spots


def lengths(folder):
    crystal = read_experiments(folder / "indexed.expt")[0].crystal
    assert crystal is not None
    return sorted(crystal.unit_cell.parameters[:3])


@pytest.mark.slow
def test_a_beam_centre_that_was_moved_back_is_indexed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiments, spots = spots_and_wrong_geometry()
    write_experiments(experiments, tmp_path / "imported.expt")
    write_reflections(spots, tmp_path / "strong.refl")
    view = LatticeView(experiments, spots, folder=tmp_path)
    view.actions["save"]({"name": "bc_corrected.expt", "panel": 0, "x": OFF[0], "y": OFF[1], "invert": False})
    words = ["strong.refl", "detector.fix=all", "beam.fix=all"]
    found = main(["imported.expt", *words])
    assert found != 0 or lengths(tmp_path) != pytest.approx(CELL[:3], abs=0.05)
    assert main(["bc_corrected.expt", *words]) == 0
    assert lengths(tmp_path) == pytest.approx(CELL[:3], abs=0.05)
