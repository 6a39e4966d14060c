"""The beam along the scan, where its direction varies."""

import numpy as np

from puredials.model import Experiment, Experiments
from puredials.report.page import Section, stacked

__all__ = ["beam_course", "beam_sections"]


def beam_course(experiment: Experiment) -> tuple[np.ndarray, np.ndarray] | None:
    """Image positions (k,), and angles (k, 2) in degrees of the beam from that of the whole scan: in the plane of the
    rotation axis, and across it. None if the beam is the same throughout."""
    points, scan = experiment.beam.s0_at_scan_points, experiment.scan
    if points is None or scan is None:
        return None
    forward = experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)
    axis = np.array([1.0, 0, 0]) if experiment.goniometer is None else experiment.goniometer.rotation_axis
    across = np.cross(forward, axis)
    across /= np.linalg.norm(across)
    unit = points / np.linalg.norm(points, axis=1)[:, None]
    angles = np.degrees(np.arcsin(np.clip(unit @ np.stack([np.cross(across, forward), across]).T, -1, 1)))
    return np.arange(len(points)) + scan.image_range[0] - 0.5, angles


def beam_sections(experiments: Experiments) -> list[Section]:
    """A plot of the direction of the beam, if it varies."""
    parts: dict[str, list[dict[str, object]]] = {"along the axis (°)": [], "across it (°)": []}
    seen: set[int] = set()
    for number, experiment in enumerate(experiments):
        course = beam_course(experiment)
        if course is None or id(experiment.beam) in seen:
            continue
        seen.add(id(experiment.beam))
        image, angles = course
        for k, traces in enumerate(parts.values()):
            name = f"data set {number}"
            traces.append({"type": "scatter", "mode": "lines", "x": image, "y": angles[:, k], "name": name})
    if not seen:
        return []
    text = "Direction of the beam less its mean: steps are changes of the beamline, drifts are often of the crystal."
    return [Section("Beam along the scan", text, stacked(parts, x="image"), name="beam")]
