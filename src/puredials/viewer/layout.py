"""Where things are on the detector, for pages: panels, the beam, powder rings, and the lattice under a pixel."""

from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from puredials.errors import ParameterError
from puredials.geometry import detector_d_min, intersect, mm_to_px, ray_on_plane, rlp_to_r
from puredials.model import Experiment, ImageSource, Panel
from puredials.prediction import setting_matrices
from puredials.spots.mask import powder_rings
from puredials.spots.params import IceRings

__all__ = ["describe", "hkl_matrix", "ring_positions", "ring_spacings"]

# Points of a ring.
_AROUND = 720
# Lines of a cell that are drawn: more would fill the picture.
_LINES = 60
_RESOLUTION_RINGS = 8
# Rings are drawn to this resolution at most (Angstrom).
_FINEST = 0.5


def describe(experiment: Experiment, source: ImageSource) -> dict[str, Any]:
    """What a page needs to know of a set of images to draw it and to tell what is under a pixel."""
    beam, scan, images = experiment.beam, experiment.scan, experiment.imageset
    panels = experiment.detector.panels
    goniometer = experiment.goniometer
    return {
        "name": "" if images is None else (images.template or ", ".join(images.images[:1])),
        "images": len(source),
        "first": 1 if scan is None else scan.image_range[0],
        "oscillation": None if scan is None else scan.oscillation,
        "s0": beam.s0.tolist(),
        "wavelength": beam.wavelength,
        "axis": None if goniometer is None else goniometer.rotation_axis.tolist(),
        "beam": _beam_on_detector(experiment),
        "panels": [_frame(panel) for panel in panels],
        "places": {"image": _as_read(panels), "lab": [_on_plane(panel, panels[0]) for panel in panels]},
    }


def _frame(panel: Panel) -> dict[str, Any]:
    return {
        "size": panel.image_size,
        "pixel": panel.pixel_size,
        "fast": panel.fast.tolist(),
        "slow": panel.slow.tolist(),
        "origin": panel.origin.tolist(),
        "mu": panel.mu if panel.parallax else 0.0,
        "thickness": panel.thickness,
    }


def _on_plane(panel: Panel, first: Panel) -> dict[str, list[float]]:
    """A panel seen along the normal of the first, whose pixels are the unit: its corner, and a step along each side."""
    pixel = np.array(first.pixel_size)

    def flat(vector: NDArray[np.float64]) -> list[float]:
        return (np.array([vector @ first.fast, vector @ first.slow]) / pixel).tolist()

    fast, slow = panel.fast * panel.pixel_size[0], panel.slow * panel.pixel_size[1]
    return {"corner": flat(panel.origin - first.origin), "along": flat(fast), "down": flat(slow)}


def _as_read(panels: tuple[Panel, ...]) -> list[dict[str, list[float]]]:
    """Panels where they are in the image as it was read; one below the other if it does not say."""
    corners = [panel.raw_image_offset for panel in panels]
    if len(set(corners)) < len(panels):
        heights = np.cumsum([0, *(panel.image_size[1] for panel in panels)])
        corners = [(0, int(height)) for height in heights[:-1]]
    return [{"corner": [float(x), float(y)], "along": [1.0, 0.0], "down": [0.0, 1.0]} for x, y in corners]


def _beam_on_detector(experiment: Experiment) -> list[float] | None:
    """Panel and position (px) of the direct beam; beside the nearest panel if none is hit."""
    s0 = experiment.beam.s0[None]
    found = []
    for number, panel in enumerate(experiment.detector.panels):
        mm, t = ray_on_plane(s0, panel)
        if t[0] > 0:
            px = mm_to_px(mm, panel)[0]
            outside = np.linalg.norm(px - np.clip(px, 0, panel.image_size))
            found.append((float(outside), [number, *px.tolist()]))
    return min(found)[1] if found else None


def ring_spacings(experiment: Experiment, kind: str, cell: str = "", space_group: str = "1") -> NDArray[np.float64]:
    """Resolutions (Angstrom) of the rings of a kind: resolution, ice, or powder (of a cell)."""
    d_min = max(detector_d_min(experiment), _FINEST)
    if kind == "resolution":
        return 1 / np.sqrt(np.linspace(0, 1 / d_min**2, _RESOLUTION_RINGS + 1)[1:])
    if kind == "ice":
        return 1 / np.sqrt(powder_rings(IceRings(), d_min))
    if kind != "powder":
        raise ParameterError(f"kind={kind} is none of resolution, ice, powder.")
    try:
        numbers = [float(word) for word in cell.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 6 or not gemmi.UnitCell(*numbers).is_crystal():
        raise ParameterError("A cell is six numbers: a, b, c (Angstrom), alpha, beta, gamma (degrees).")
    # Lines of a large cell are many: only as far as they can be told apart.
    d_min = max(d_min, max(numbers[:3]) / 12)
    a, b, c, alpha, beta, gamma = numbers
    rings = IceRings(unit_cell=(a, b, c, alpha, beta, gamma), space_group=space_group)
    return 1 / np.sqrt(powder_rings(rings, d_min)[:_LINES])


def ring_positions(experiment: Experiment, d: float) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Panel (-1 beside the detector) and position (px) of points around a powder line."""
    beam = experiment.beam
    sine = beam.wavelength / (2 * d)
    if sine >= 1:
        return np.full(_AROUND + 1, -1, np.int32), np.zeros((_AROUND + 1, 2), np.float32)
    two_theta = 2 * np.arcsin(sine)
    forward = beam.s0 * beam.wavelength
    across = np.cross(forward, np.eye(3)[np.argmin(np.abs(forward))])
    across /= np.linalg.norm(across)
    around = np.linspace(0, 2 * np.pi, _AROUND + 1)[:, None]
    radial = np.cos(around) * across + np.sin(around) * np.cross(forward, across)
    s1 = (np.cos(two_theta) * forward + np.sin(two_theta) * radial) / beam.wavelength
    numbers, mm, hit = intersect(s1, experiment.detector)
    px = np.zeros((len(s1), 2), np.float32)
    for number, panel in enumerate(experiment.detector.panels):
        here = hit & (numbers == number)
        px[here] = mm_to_px(mm[here], panel)
    return np.where(hit, numbers, -1).astype(np.int32), px


def hkl_matrix(experiment: Experiment, z: float) -> NDArray[np.float64] | None:
    """The matrix that turns s1 - s0 into h at position z (images); None without a crystal."""
    if experiment.crystal is None:
        return None
    at = np.array([z])
    setting = setting_matrices(experiment.crystal, experiment.scan, at)[0]
    if experiment.goniometer is None:
        return np.linalg.inv(setting)
    phi = np.zeros(1) if experiment.scan is None else experiment.scan.phi(at)
    turn = rlp_to_r(np.eye(3), np.repeat(phi, 3), experiment.goniometer).T
    return np.linalg.inv(turn @ setting)
