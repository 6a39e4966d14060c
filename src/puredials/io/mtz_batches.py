"""Batch headers of unmerged MTZ files: the experiment, image by image.

The layout is CCP4's (mtzlib, "batch orientation block"): 29 integers and 156 reals. Directions are in the Cambridge
frame: z along the rotation axis, x along the beam as far as it is perpendicular to z, y = z x x. The U matrix there
belongs to the B matrix of Busing & Levy (1967, Acta Cryst. 22, 457): a* along x, b* in the xy plane.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from puredials.errors import MismatchError
from puredials.model import Experiment, cell_parameters

__all__ = ["Batch", "batch_headers", "cambridge_frame"]

# Positions within the integers and the reals.
_INTS = {0: 185, 1: 29, 2: 156, 12: 1, 14: 2, 15: 1, 17: 1, 19: 1}
_FREE_CELL = slice(4, 10)
_DATASET = 20
_CELL, _U = slice(0, 6), slice(6, 15)
_PHI_START, _PHI_END, _SCAN_AXIS, _TIME = 36, 37, slice(38, 41), slice(41, 43)
_PHI_RANGE, _E1, _SOURCE_IDEAL, _SOURCE, _WAVELENGTH = 47, slice(59, 62), slice(80, 83), slice(83, 86), 86
_MOSAICITY, _DISTANCE, _DETECTOR_LIMITS = 21, 111, slice(113, 117)


@dataclass(frozen=True, eq=False)
class Batch:
    """One header; `number` as in the BATCH column."""

    number: int
    ints: tuple[int, ...]
    floats: Float64[np.ndarray, "156"]


def cambridge_frame(experiment: Experiment) -> Float64[np.ndarray, "3 3"]:
    """The rotation from the laboratory frame to the Cambridge frame (its axes in the rows)."""
    beam = -experiment.beam.direction
    goniometer = experiment.goniometer
    # Without an axis any direction perpendicular to the beam serves.
    z = np.cross(beam, [0.0, 1.0, 0.0]) if goniometer is None else goniometer.rotation_axis
    z = z / np.linalg.norm(z)
    x = beam - (beam @ z) * z
    if np.linalg.norm(x) < 1e-6:
        raise MismatchError("The rotation axis is along the beam, for which MTZ batch headers cannot be written.")
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def batch_headers(
    experiment: Experiment, *, offset: int = 0, dataset: int = 1, force_static: bool = False
) -> list[Batch]:
    """A header for each image of a scan (one for a still); image 1 has the number 1 + `offset`."""
    if experiment.crystal is None:
        raise MismatchError("An experiment has no crystal; index and integrate it before exporting.")
    frame = cambridge_frame(experiment)
    goniometer, scan, crystal = experiment.goniometer, experiment.scan, experiment.crystal
    first, count = (scan.image_range[0], len(scan)) if scan is not None else (1, 1)
    start, width = scan.oscillation if scan is not None else (0.0, 0.0)
    turn = frame if goniometer is None else frame @ goniometer.setting_rotation @ goniometer.fixed_rotation
    ints = np.zeros(29, dtype=int)
    ints[list(_INTS)] = list(_INTS.values())
    ints[_FREE_CELL], ints[18], ints[_DATASET] = -1, 0 if width else 1, dataset
    common = _common_floats(experiment, frame, width)
    settings = crystal.A_at_scan_points
    static = _orientation(crystal.A, turn)
    headers: list[Batch] = []
    for i in range(count):
        floats = common.copy()
        if settings is not None and i + 1 < len(settings) and not force_static:
            floats[_CELL], floats[_U] = _orientation((settings[i] + settings[i + 1]) / 2, turn)  # mid-image
        else:
            floats[_CELL], floats[_U] = static
        floats[_PHI_START], floats[_PHI_END] = start + i * width, start + (i + 1) * width
        headers.append(Batch(first + i + offset, tuple(int(v) for v in ints), floats))
    return headers


def _orientation(A: NDArray[np.float64], turn: NDArray[np.float64]) -> tuple[tuple[float, ...], NDArray[np.float64]]:
    # Busing & Levy's B is upper triangular with a positive diagonal: A = U B is a QR decomposition.
    Q, R = np.linalg.qr(turn @ A)
    return cell_parameters(A), (Q * np.sign(np.diag(R))).ravel(order="F")


def _common_floats(experiment: Experiment, frame: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    floats = np.zeros(156)
    mosaicity = experiment.profile.sigma_m if experiment.profile is not None else None
    floats[_MOSAICITY] = 0.0 if mosaicity is None else float(np.mean(mosaicity))
    floats[_SCAN_AXIS] = floats[_E1] = (0, 0, 1)
    floats[43] = 1.0  # batch scale
    floats[_PHI_RANGE] = width
    floats[_SOURCE_IDEAL], floats[_SOURCE] = (-1, 0, 0), frame @ experiment.beam.direction
    floats[_WAVELENGTH] = experiment.beam.wavelength
    panels = experiment.detector.panels
    floats[_DISTANCE] = abs(panels[0].distance)
    floats[_DETECTOR_LIMITS] = (
        0,
        max(panel.raw_image_offset[0] + panel.image_size[0] for panel in panels),
        0,
        max(panel.raw_image_offset[1] + panel.image_size[1] for panel in panels),
    )
    return floats
