"""truth.h5: all that a simulation knows and its images do not tell; and dataset.json, which describes the set."""

import json
from pathlib import Path

import h5py
import numpy as np

from puredials.simulate.background import Background
from puredials.simulate.beam import true_s0
from puredials.simulate.config import SimulationConfig
from puredials.simulate.crystal import SimulatedCrystal
from puredials.simulate.detector import SimulatedDetector
from puredials.simulate.diffraction import Sweep
from puredials.simulate.goniometer import SimulatedGoniometer
from puredials.simulate.observations import Observations
from puredials.simulate.protein import Protein

__all__ = ["write_common_truth", "write_description", "write_sweep_truth"]

# Kept in double precision; other columns are truth enough in single precision.
_EXACT = ("xyz", "phi")
# Space groups that intensities cannot tell apart: enantiomorphic screws, and three special pairs.
_SCREWS = (("P 41", "P 43"), ("P 61", "P 65"), ("P 62", "P 64"), ("P 31", "P 32"))
_PAIRS = (("I 2 3", "I 21 3"), ("I 2 2 2", "I 21 21 21"), ("P 1", "P -1"))


def write_common_truth(
    file: h5py.File,
    config: SimulationConfig,
    protein: Protein,
    detector: SimulatedDetector,
    goniometer: SimulatedGoniometer,
    crystals: list[SimulatedCrystal],
    background: Background,
) -> None:
    """What all sweeps have in common."""
    file.attrs["config"] = config.model_dump_json()
    unique = file.create_group("unique")
    unique.attrs["space_group"] = protein.space_group.hm
    unique.attrs["cell"] = protein.cell.parameters
    for name in ("hkl", "d", "intensity", "i_plus", "i_minus", "centric", "epsilon"):
        unique.create_dataset(name, data=getattr(protein, name))
    experiment = file.create_group("experiment")
    experiment.create_dataset("s0", data=true_s0(config.beam))
    for name in ("origin", "fast", "slow"):
        experiment.create_dataset(f"detector_{name}", data=getattr(detector, name))
    experiment.create_dataset("sensor_mu_per_mm", data=detector.mu)
    experiment.create_dataset("goniometer_axes_true", data=np.array(goniometer.true))
    experiment.create_dataset("goniometer_axes_recorded", data=np.array(goniometer.nominal))
    experiment.attrs["goniometer_names"] = ",".join(goniometer.names)
    experiment.create_dataset("background_mean", data=background.mean, compression="gzip")
    for k, crystal in enumerate(crystals):
        group = file.create_group(f"crystal_{k}")
        for name in ("A", "U", "B", "reindex", "slip"):
            group.create_dataset(name, data=getattr(crystal, name))
        group.create_dataset("lattice_A", data=np.array([A for _, A in crystal.lattices]))
        group.attrs["cell"] = crystal.cell.parameters
        group.attrs["settings"] = crystal.config.model_dump_json()


def write_sweep_truth(
    file: h5py.File, number: int, prefix: str, sweep: Sweep, observations: Observations, flicker: np.ndarray
) -> None:
    """The observations of one sweep."""
    group = file.create_group(f"sweep_{number}")
    group.attrs["name"] = prefix
    group.attrs["settings"] = json.dumps(sweep.config.model_dump(mode="json"))
    group.attrs["recorded_angles"] = json.dumps(sweep.setting.recorded)
    group.create_dataset("setting_rotation", data=sweep.setting.setting_rotation)
    group.create_dataset("rotation_axis", data=sweep.setting.axis)
    group.create_dataset("fixed_rotation", data=sweep.setting.fixed_rotation)
    group.create_dataset("beam_flicker", data=flicker)
    for name, values in observations.items():
        single = values.dtype == np.float64 and name not in _EXACT
        data = values.astype(np.float32) if single else values
        group.create_dataset(f"observations/{name}", data=data, compression="gzip", compression_opts=1, shuffle=True)


def write_description(config: SimulationConfig, protein: Protein, images: list[str], path: Path) -> None:
    """What a program that compares processings needs to know of the set."""
    several = len(config.crystals) > 1
    description = {
        "images": images,
        "index_options": ["joint=false"] if several else [],
        "symmetry": "cosym" if several else "symmetry",
        "truth": "truth.h5",
        "expected": {"space_group": indistinguishable(protein.space_group.hm), "cell": protein.cell.parameters},
    }
    path.write_text(json.dumps(description, indent=1))


def indistinguishable(hm: str) -> list[str]:
    """The space groups (Hermann-Mauguin symbols) that intensities cannot tell from one, itself included."""
    for pair in _SCREWS:
        for a, b in (pair, pair[::-1]):
            if hm == a or hm.startswith(a + " "):
                return [hm, b + hm[len(a) :]]
    return next((list(pair) for pair in _PAIRS if hm in pair), [hm])
