"""Spots of known crystals on a simple instrument, with a little noise."""

from dataclasses import replace

import gemmi
import numpy as np
from scipy.spatial.transform import Rotation

from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Flags,
    Goniometer,
    ImageSet,
    Panel,
    ReflectionTable,
    Scan,
    b_matrix,
)
from puredials.prediction import predict_sweep

PIXEL = 0.172


def instrument(
    *, degrees: float = 60.0, distance: float = 150.0, fixed: np.ndarray | None = None, name: str = "one"
) -> Experiment:
    """A flat detector of 1000 x 1000 pixels, 1 Angstrom, images of 0.5 degrees."""
    size = 1000
    half = size * PIXEL / 2
    panel = Panel(
        fast=np.array([1.0, 0, 0]),
        slow=np.array([0, -1.0, 0]),
        origin=np.array([-half, half, -distance]),
        image_size=(size, size),
        pixel_size=(PIXEL, PIXEL),
    )
    return Experiment(
        beam=Beam(direction=np.array([0.0, 0, 1]), wavelength=1.0),
        detector=Detector((panel,)),
        goniometer=Goniometer(axes=np.array([[1.0, 0, 0]]), fixed=np.eye(3) if fixed is None else fixed),
        scan=Scan((1, int(degrees * 2)), (0.0, 0.5)),
        imageset=ImageSet(template=f"{name}_####.cbf"),
        identifier=name,
    )


def crystal(cell: tuple[float, ...], space_group: str = "P 1", seed: int = 0) -> Crystal:
    """A crystal in a random orientation."""
    U = Rotation.random(random_state=seed).as_matrix()
    return Crystal(A=U @ b_matrix(gemmi.UnitCell(*cell)), hall=gemmi.SpaceGroup(space_group).hall)


def spots_of(
    experiment: Experiment, crystal: Crystal, *, n: int = 1500, d_min: float = 2.0, noise: float = 0.1, seed: int = 0
) -> tuple[ReflectionTable, np.ndarray]:
    """A random sample of the reflections of a crystal as strong spots, and their indices."""
    rng = np.random.default_rng(seed)
    h, predicted = predict_sweep(replace(experiment, crystal=crystal), d_min=d_min)
    chosen = rng.permutation(len(h))[:n]
    xyz = predicted.xyz_px[chosen] + rng.normal(0, noise, (len(chosen), 3))
    return table_of(xyz), np.asarray(h[chosen])


def table_of(xyz: np.ndarray, id: int = 0) -> ReflectionTable:
    n = len(xyz)
    return ReflectionTable(
        {
            "id": np.full(n, id, dtype=np.int32),
            "panel": np.zeros(n, dtype=np.uint64),
            "flags": np.full(n, Flags.STRONG, dtype=np.uint64),
            "xyzobs.px.value": xyz,
            "xyzobs.px.variance": np.full((n, 3), 0.1),
        }
    )


def noise_spots(experiment: Experiment, n: int, seed: int = 0) -> np.ndarray:
    """Positions without order."""
    rng = np.random.default_rng(seed)
    assert experiment.scan is not None
    w, h = experiment.detector[0].image_size
    return rng.uniform(0, 1, (n, 3)) * [w, h, len(experiment.scan)]
