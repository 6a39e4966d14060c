"""The crystal along the scan: cell and orientation of scan-varying models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from puredials.model import Experiment, Experiments
from puredials.model.crystal import u_and_b
from puredials.refinement.cell import cell_and_esds
from puredials.report.page import Section, band, figure, stacked

__all__ = ["CrystalCourse", "crystal_course", "crystal_sections"]

_NAMES = ("a", "b", "c", "α", "β", "γ")
# Points that a curve has at most.
_POINTS = 200


@dataclass(frozen=True, eq=False)
class CrystalCourse:
    """A scan-varying crystal.

    Attributes:
        experiment: its number; image: (k,) positions, a boundary between images n and n + 1 is n + 0.5.
        cell, esds: (k, 6) Angstrom, degrees.
        rotation: (k, 3) from the crystal of the whole scan, degrees about the rotation axis, the beam, and across both.
    """

    experiment: int
    image: Float64[np.ndarray, " k"]
    cell: Float64[np.ndarray, "k 6"]
    esds: Float64[np.ndarray, "k 6"]
    rotation: Float64[np.ndarray, "k 3"]


def crystal_course(number: int, experiment: Experiment) -> CrystalCourse | None:
    """How the crystal changes; None if it is static."""
    crystal, scan = experiment.crystal, experiment.scan
    if crystal is None or scan is None or crystal.A_at_scan_points is None:
        return None
    points = len(crystal.A_at_scan_points)
    chosen = np.unique(np.linspace(0, points - 1, min(points, _POINTS)).astype(int))
    covariance = crystal.B_covariance_at_scan_points
    cells, esds, turns = [], [], []
    for k in chosen:
        U, B = u_and_b(crystal.A_at_scan_points[k])
        cell, esd = cell_and_esds(B, None if covariance is None else covariance[k])
        cells.append(cell)
        esds.append(esd)
        turns.append(Rotation.from_matrix(U @ crystal.U.T).as_rotvec(degrees=True))
    goniometer = experiment.goniometer
    fixed = np.eye(3) if goniometer is None else goniometer.setting_rotation @ goniometer.fixed_rotation
    axis = np.array([1.0, 0, 0]) if goniometer is None else goniometer.rotation_axis
    beam = experiment.beam.s0 * experiment.beam.wavelength
    across = np.cross(axis, beam)
    frame = np.stack([axis, np.cross(across / np.linalg.norm(across), axis), across / np.linalg.norm(across)])
    image = chosen + scan.image_range[0] - 0.5
    return CrystalCourse(
        number, image.astype(np.float64), np.array(cells), np.array(esds), np.array(turns) @ (frame @ fixed).T
    )


def crystal_sections(experiments: Experiments) -> list[Section]:
    """Plots of cell and orientation, if any crystal is scan-varying."""
    found = (crystal_course(k, e) for k, e in enumerate(experiments))
    courses = [course for course in found if course is not None]
    if not courses:
        return []
    sections: list[Section] = []
    for heading, name, columns, unit, text in (
        ("Cell lengths along the scan", "cell_lengths", range(3), "Å",
         "Small, slow changes are usual; growth is a sign of damage."),
        ("Cell angles along the scan", "cell_angles", range(3, 6), "°", "Angles that symmetry leaves free."),
    ):  # fmt: skip
        free = [k for k in columns if _varies(courses, k)]
        if free:
            parts = {
                f"{_NAMES[k]} ({unit})": [t for c in courses for t in _traces(c, c.cell[:, k], c.esds[:, k])]
                for k in free
            }
            known = any(c.esds[:, k].any() for c in courses for k in free)
            text += " The band is one standard uncertainty." if known else ""
            sections.append(Section(heading, text, stacked(parts, x="image"), name=name))
    if any(_varies(courses, k) for k in range(6)):
        sections.append(_volume(courses))
    labels = ("axis (°)", "beam (°)", "across (°)")
    parts = {label: [t for c in courses for t in _traces(c, c.rotation[:, k])] for k, label in enumerate(labels)}
    text = (
        "Rotation of the crystal away from its mean orientation, about the rotation axis, the beam, and across both: "
    )
    text += "small if it sits still on its mount."
    return [*sections, Section("Orientation along the scan", text, stacked(parts, x="image"), name="orientation")]


def _volume(courses: Sequence[CrystalCourse]) -> Section:
    """Of the cell, relative to the start: a measure of damage (Ravelli & McSweeney 2000, Structure 8, 315)."""
    traces = []
    for course in courses:
        volume = np.array([gemmi.UnitCell(*cell).volume for cell in course.cell])
        traces.append({"type": "scatter", "mode": "lines", "x": course.image, "y": 100 * (volume / volume[0] - 1),
                       "name": f"data set {course.experiment}"})  # fmt: skip
    text = "Relative to the start of the scan: damaged crystals often swell, by some tenths of a per cent."
    plot = figure(traces, x="image", y="growth of the volume (%)", showlegend=len(courses) > 1)
    return Section("Cell volume along the scan", text, plot, name="cell_volume")


def _varies(courses: Sequence[CrystalCourse], k: int) -> bool:
    """Whether cell parameter k changes, and not just as an earlier one does."""
    earlier = range(3 * (k // 3), k)
    return any(
        np.ptp(c.cell[:, k]) > 1e-5 and not any(np.allclose(c.cell[:, k], c.cell[:, j], atol=1e-5) for j in earlier)
        for c in courses
    )


def _traces(course: CrystalCourse, values: np.ndarray, error: np.ndarray | None = None) -> list[dict[str, Any]]:
    traces = band(course.image, values, 0 if error is None else error, f"data set {course.experiment}")
    return traces if error is not None and error.any() else traces[:1]
