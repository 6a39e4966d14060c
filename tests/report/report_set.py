"""Integrated reflections of one still-standing crystal, whose residuals and intensities tests change."""

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
    Profile,
    ReflectionTable,
    Scan,
)

__all__ = ["IMAGES", "data", "one_experiment"]

IMAGES = 200


def one_experiment(crystal: Crystal | None = None, **changes: object) -> Experiment:
    """200 images of 0.2 degrees on a square detector."""
    panel = Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-50.0, 50, -100]), (1000, 1000), (0.1, 0.1))
    cell = gemmi.UnitCell(40, 50, 60, 90, 90, 90)
    crystal = crystal or Crystal(np.array(cell.frac.mat.tolist()).T, gemmi.SpaceGroup("P 2 2 2").hall)
    models = (Beam(np.array([0, 0, 1.0]), 1.0), Detector((panel,)), Goniometer(np.array([1.0, 0, 0])))
    profile = Profile(0.03, 0.1)
    experiment = Experiment(
        *models, Scan((1, IMAGES), (0.0, 0.2)), crystal, profile, imageset=ImageSet("a_####.cbf"), identifier="one"
    )
    return experiment if not changes else Experiment(**{**experiment.__dict__, **changes})


def data(n: int = 20_000, *, integrated: bool = True, seed: int = 0) -> tuple[Experiments, ReflectionTable]:
    """Experiments and `n` reflections anywhere, found within 0.2 px and 0.1 images of where they are predicted."""
    rng = np.random.default_rng(seed)
    predicted = np.column_stack([rng.uniform(10, 990, (n, 2)), rng.uniform(0, IMAGES, n)])
    observed = predicted + rng.normal(size=(n, 3)) * [0.2, 0.2, 0.1]
    radius = np.hypot(*(predicted[:, :2] - 500).T) / 1000
    columns = {
        "id": np.zeros(n, np.int32),
        "imageset_id": np.zeros(n, np.int32),
        "panel": np.zeros(n, np.uint64),
        "miller_index": rng.integers(-20, 20, (n, 3)).astype(np.int32),
        "flags": np.full(n, int(Flags.STRONG | Flags.INDEXED | Flags.USED_IN_REFINEMENT), np.uint64),
        "xyzobs.px.value": observed,
        "xyzcal.px": predicted,
        "d": 1 / np.maximum(radius, 0.02),
    }
    if integrated:
        intensity = rng.exponential(500.0, n)
        columns |= {
            "flags": columns["flags"] | np.uint64(Flags.INTEGRATED),
            "intensity.sum.value": intensity,
            "intensity.sum.variance": intensity + 20,
            "intensity.prf.value": intensity,
            "intensity.prf.variance": intensity + 15,
            "background.mean": 2 * np.exp(-2 * radius) + rng.normal(size=n) * 0.05,
            "partiality": np.ones(n),
            "profile.correlation": np.clip(0.97 - 2 / np.sqrt(intensity) + rng.normal(size=n) * 0.01, -1, 1),
        }
    return Experiments((one_experiment(),)), ReflectionTable(columns, {0: "one"})
