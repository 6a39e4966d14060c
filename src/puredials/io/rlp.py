"""Reciprocal lattice points in JSON, for viewers."""

import json
import tempfile
from pathlib import Path

import numpy as np

from puredials import geometry
from puredials.errors import FileError, MismatchError
from puredials.io.expt import write_experiments
from puredials.model import Experiments, ReflectionTable

__all__ = ["reciprocal_lattice_points", "write_rlp"]


def reciprocal_lattice_points(experiments: Experiments, table: ReflectionTable) -> np.ndarray:
    """(n, 3) points at the goniometer's datum, 1/Angstrom, of the observed centroids in the present geometry.

    Reflections of no experiment (id -1) use the first experiment of their image set.
    """
    if "xyzobs.px.value" not in table:
        raise MismatchError("The reflections have no observed centroids (xyzobs.px.value).")
    points = np.zeros((table.n_rows, 3))
    sets = experiments.imageset_ids()
    ids = np.asarray(table["id"])
    by_set = np.asarray(table["imageset_id"]) if "imageset_id" in table else np.zeros(len(ids), dtype=int)
    first_of_set = np.array([sets.index(k) for k in range(max(sets) + 1)])
    which = np.where(ids >= 0, ids, first_of_set[np.minimum(by_set, len(first_of_set) - 1)])
    for number, experiment in enumerate(experiments):
        rows = np.flatnonzero(which == number)
        if len(rows) == 0:
            continue
        xyz = table["xyzobs.px.value"][rows]
        panels = table["panel"][rows].astype(np.int64)
        s1 = geometry.px_to_s1(np.ascontiguousarray(xyz[:, :2]), panels, experiment.detector, experiment.beam)
        phi = np.zeros(len(rows)) if experiment.scan is None else experiment.scan.phi(xyz[:, 2])
        points[rows] = geometry.s1_to_rlp(s1, phi, experiment.beam, experiment.goniometer)
    return points


def write_rlp(
    path: Path | str, experiments: Experiments, table: ReflectionTable, *, n_digits: int = 6, compact: bool = True
) -> None:
    """Write the points, flattened, with the ids of their image sets and experiments, and the experiments."""
    points = reciprocal_lattice_points(experiments, table)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "models.expt"
        write_experiments(experiments, copy)
        models = json.loads(copy.read_text(encoding="utf-8"))
    image_sets = table["imageset_id"] if "imageset_id" in table else np.zeros(table.n_rows, dtype=int)
    content = {
        "rlp": np.round(points, n_digits).ravel().tolist(),
        "imageset_id": image_sets.tolist(),
        "experiment_id": table["id"].tolist(),
        "experiments": models,
    }
    separators = (",", ":") if compact else None
    try:
        Path(path).write_text(json.dumps(content, separators=separators, indent=None if compact else 1))
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}.") from error
