"""Two crystals in one sweep, predicted exactly, and some spots of neither, for tests of the lattice viewer."""

from pathlib import Path

import gemmi
import numpy as np

from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Flags,
    Goniometer,
    ImageSet,
    Panel,
    ReflectionTable,
    Scan,
    rotation_matrix,
)
from puredials.prediction import predict_sweep
from puredials.viewer import LatticeView

__all__ = ["CELL", "lattice_data", "lattice_view"]

CELL = (40.0, 50.0, 60.0, 90.0, 90.0, 90.0)


def lattice_data(name: str = "a_####.cbf") -> tuple[Experiments, ReflectionTable]:
    """Two panels, a goniometer with all its rotations; ids 0 and 1, and 50 spots of id -1."""
    first = Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-52.0, 50, -150]), (500, 1000), (0.1, 0.1))
    second = Panel(first.fast, first.slow, first.origin + np.array([54.0, 0, 0]), (500, 1000), (0.1, 0.1))
    goniometer = Goniometer(
        np.array([1.0, 0, 0]), fixed=rotation_matrix([0, 1, 0], 0.3), setting=rotation_matrix([0, 0, 1], 0.1)
    )
    beam, detector = Beam(np.array([0.01, 0.02, 1.0]), 1.0), Detector((first, second))
    scan, images = Scan((11, 70), (5.0, 0.5)), ImageSet(name)
    B = np.array(gemmi.UnitCell(*CELL).frac.mat.tolist()).T
    turns = [rotation_matrix(axis, angle) for axis, angle in (([1, 2, 3], 0.5), ([3, -1, 1], 1.5))]
    experiments = Experiments(
        tuple(
            Experiment(beam, detector, goniometer, scan, Crystal(turn @ B), imageset=images, identifier=f"crystal-{k}")
            for k, turn in enumerate(turns)
        )
    )
    parts = []
    for k, experiment in enumerate(experiments):
        hkl, found = predict_sweep(experiment, d_min=2.5)
        n = len(hkl)
        flags = np.full(n, int(Flags.STRONG | Flags.INDEXED), np.uint64)
        flags[::5] |= np.uint64(Flags.CENTROID_OUTLIER)
        flags[::2] |= np.uint64(Flags.INTEGRATED)
        parts.append(_table(k, found.panel, hkl, flags, found.xyz_px))
    rng = np.random.default_rng(1)
    xyz = np.column_stack([rng.uniform(50, 450, 50), rng.uniform(50, 950, 50), rng.uniform(10, 70, 50)])
    flags = np.full(50, int(Flags.STRONG), np.uint64)
    parts.append(_table(-1, np.arange(50) % 2, np.zeros((50, 3)), flags, xyz))
    table = ReflectionTable.concatenate(parts)
    return experiments, table.with_identifiers({k: e.identifier for k, e in enumerate(experiments)})


def _table(number, panel, hkl, flags, xyz):
    n = len(xyz)
    return ReflectionTable(
        {
            "id": np.full(n, number, np.int32),
            "imageset_id": np.zeros(n, np.int32),
            "panel": np.asarray(panel).astype(np.uint64),
            "miller_index": np.asarray(hkl, np.int32),
            "flags": flags,
            "xyzobs.px.value": np.asarray(xyz, np.float64),
            "n_signal": (np.arange(n) % 100).astype(np.int32),
            "partiality": np.linspace(0.2, 1, n),
        }
    )


def lattice_view(folder: Path, name: str = "a_####.cbf") -> LatticeView:
    """The view of these data."""
    return LatticeView(*lattice_data(name), folder=folder)
