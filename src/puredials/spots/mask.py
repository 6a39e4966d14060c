"""Which pixels are used: untrusted shapes, the edges of panels, resolution limits and powder rings."""

from dataclasses import replace

import gemmi
import numpy as np
from jaxtyping import Bool, Float64

from puredials.errors import ParameterError
from puredials.geometry import detector_d_min, px_to_s1
from puredials.model import Detector, Experiment, ImageSource
from puredials.spots.params import IceRings, Masking, SpotParams, Untrusted

__all__ = ["generate_mask", "powder_rings", "resolution_map", "usable_pixels"]

# Rows of a panel whose resolution is calculated at a time; bounds the memory of intermediate vectors.
_BAND = 64


DEFAULTS = Masking()


def usable_pixels(
    images: ImageSource, experiment: Experiment, params: SpotParams
) -> tuple[Bool[np.ndarray, "slow fast"], ...]:
    """One array a panel: True where a pixel may be strong."""
    masks = generate_mask(experiment, params=params.filter)
    for mask, usable in zip(masks, images.static_mask(), strict=True):
        mask &= usable
        if params.region_of_interest is not None:
            _clear_outside(mask, params.region_of_interest)
    return masks


def generate_mask(experiment: Experiment, *, params: Masking = DEFAULTS) -> tuple[Bool[np.ndarray, "slow fast"], ...]:
    """One array a panel: False where the parameters say that a pixel is not to be used. No image is read."""
    masks = tuple(np.ones(panel.image_size[::-1], dtype=np.bool_) for panel in experiment.detector.panels)
    if edge := params.border:
        for mask in masks:
            mask[:edge] = mask[-edge:] = mask[:, :edge] = mask[:, -edge:] = False
    for untrusted in params.untrusted:
        _clear_untrusted(masks, untrusted)
    excluded = _excluded_resolutions(experiment, params)
    if excluded:
        detector = _without_parallax(experiment.detector) if params.disable_parallax_correction else None
        for number, mask in enumerate(masks):
            inverse_d_sq = resolution_map(experiment, number, detector)
            for low, high in excluded:
                mask &= ~((inverse_d_sq >= low) & (inverse_d_sq <= high))
    return masks


def resolution_map(
    experiment: Experiment, panel: int, detector: Detector | None = None
) -> Float64[np.ndarray, "slow fast"]:
    """1/d^2 (1/Angstrom^2) at the centres of the pixels of a panel."""
    detector = detector or experiment.detector
    width, height = detector[panel].image_size
    out = np.empty((height, width))
    for top in range(0, height, _BAND):
        y, x = np.mgrid[top : min(top + _BAND, height), 0:width] + 0.5
        px = np.stack([x.ravel(), y.ravel()], axis=1)
        s1 = px_to_s1(px, np.full(len(px), panel), detector, experiment.beam)
        out[top : top + _BAND] = ((s1 - experiment.beam.s0) ** 2).sum(axis=1).reshape(x.shape)
    return out


def powder_rings(rings: IceRings, d_min: float) -> Float64[np.ndarray, " n"]:
    """1/d^2 (1/Angstrom^2) of the powder lines of a substance down to d_min, ascending."""
    group = gemmi.find_spacegroup_by_name(rings.space_group) or _group_of_number(rings.space_group)
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*rings.unit_cell), group, d_min)
    return np.unique(gemmi.UnitCell(*rings.unit_cell).calculate_1_d2_array(hkl).round(12))


def _group_of_number(number: str) -> gemmi.SpaceGroup:
    group = gemmi.find_spacegroup_by_number(int(number)) if number.isdigit() and 0 < int(number) <= 230 else None
    if group is None:
        raise ParameterError(
            f"ice_rings.space_group={number} is no space group; give a number or a symbol such as P63/mmc."
        )
    return group


def _excluded_resolutions(experiment: Experiment, params: Masking) -> list[tuple[float, float]]:
    """Intervals of 1/d^2 that are not used."""
    excluded = []
    if params.d_min is not None:
        excluded.append((np.nextafter(1 / params.d_min**2, np.inf), np.inf))
    if params.d_max is not None:
        excluded.append((-np.inf, np.nextafter(1 / params.d_max**2, -np.inf)))
    for first, second in params.resolution_range:
        if min(first, second) <= 0:
            raise ParameterError(f"resolution_range={first},{second} must be two positive lengths in Angstrom.")
        excluded.append((1 / max(first, second) ** 2, 1 / min(first, second) ** 2))
    if params.ice_rings.filter:
        half = params.ice_rings.width / 2
        d_min = params.ice_rings.d_min or detector_d_min(experiment)
        excluded += [(line - half, line + half) for line in powder_rings(params.ice_rings, d_min)]
    return excluded


def _clear_outside(mask: np.ndarray, region: tuple[int, int, int, int]) -> None:
    """Clear what lies outside of the region of interest of a panel."""
    x0, x1, y0, y1 = region
    height, width = mask.shape
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ParameterError(
            f"region_of_interest={x0},{x1},{y0},{y1} is not within the image of {width} x {height} pixels."
        )
    inside = np.zeros_like(mask)
    inside[y0:y1, x0:x1] = True
    mask &= inside


def _clear_untrusted(masks: tuple[np.ndarray, ...], untrusted: Untrusted) -> None:
    """Clear the untrusted shapes of one panel."""
    shapes = (untrusted.circle, untrusted.rectangle, untrusted.polygon, untrusted.pixel)
    if untrusted.panel is None and not any(shapes):
        return
    number = untrusted.panel or 0
    if number >= len(masks):
        raise ParameterError(f"untrusted.panel={number} does not exist; the detector has panels 0 to {len(masks) - 1}.")
    mask = masks[number]
    if not any(shapes):
        mask[:] = False
        return
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    for xc, yc, radius in untrusted.circle:
        mask[(x + 0.5 - xc) ** 2 + (y + 0.5 - yc) ** 2 <= radius**2] = False
    for x0, x1, y0, y1 in untrusted.rectangle:
        mask[(x >= x0) & (x < x1) & (y >= y0) & (y < y1)] = False
    for row, column in untrusted.pixel:
        mask[(y == row) & (x == column)] = False
    if untrusted.polygon:
        mask[_inside_polygon(x + 0.5, y + 0.5, _corners(untrusted.polygon))] = False


def _corners(polygon: tuple[float, ...]) -> list[tuple[float, float]]:
    if len(polygon) % 2 or len(polygon) < 6:
        raise ParameterError(f"untrusted.polygon needs x, y of at least 3 corners, but has {len(polygon)} numbers.")
    return list(zip(polygon[::2], polygon[1::2], strict=True))


def _inside_polygon(x: np.ndarray, y: np.ndarray, corners: list[tuple[float, float]]) -> np.ndarray:
    """Even-odd rule: a point is inside if a ray along +x crosses the outline an odd number of times."""
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=np.bool_)
    for (xa, ya), (xb, yb) in zip(corners, corners[1:] + corners[:1], strict=True):
        if ya != yb:
            crossing = xa + (y - ya) * (xb - xa) / (yb - ya)
            inside ^= ((ya > y) != (yb > y)) & (x < crossing)
    return inside


def _without_parallax(detector: Detector) -> Detector:
    return detector.with_panels([replace(panel, parallax=False) for panel in detector.panels])
