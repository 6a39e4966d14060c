"""Equality of models within the tolerances of importing; equal models become one object."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from puredials.model import Beam, Detector, Experiment, Goniometer

__all__ = ["same_beam", "same_detector", "same_goniometer", "share_models"]

_TOLERANCE = 1e-6
_ORIGIN_TOLERANCE = 5e-2  # mm
T = TypeVar("T")


def same_beam(a: Beam, b: Beam) -> bool:
    """Equal wavelength, direction, polarization, flux and transmission."""
    return a is b or (
        a.probe == b.probe
        and _close(a.direction, b.direction)
        and _close(
            (a.wavelength, a.polarization_fraction, a.transmission),
            (b.wavelength, b.polarization_fraction, b.transmission),
        )
        and _close(a.polarization_normal, b.polarization_normal)
    )


def same_detector(a: Detector, b: Detector) -> bool:
    """Panels of one make whose axes are equal and whose origins differ by less than 0.05 mm."""
    if a is b:
        return True
    if len(a) != len(b):
        return False
    return all(
        (p.image_size, p.name, p.type, p.identifier, p.material, p.mask, p.raw_image_offset, p.parallax)
        == (q.image_size, q.name, q.type, q.identifier, q.material, q.mask, q.raw_image_offset, q.parallax)
        and _close(p.fast, q.fast)
        and _close(p.slow, q.slow)
        and np.allclose(p.origin, q.origin, rtol=0, atol=_ORIGIN_TOLERANCE)
        and _close((*p.pixel_size, p.thickness, p.mu, p.gain), (*q.pixel_size, q.thickness, q.mu, q.gain))
        and p.trusted_range == q.trusted_range
        for p, q in zip(a.panels, b.panels, strict=True)
    )


def same_goniometer(a: Goniometer | None, b: Goniometer | None) -> bool:
    """Equal axes, names and angles (but that of the scan axis, which the scan gives)."""
    if a is None or b is None or a is b:
        return a is b
    if a.names != b.names or a.scan_axis != b.scan_axis or a.multi_axis != b.multi_axis or len(a.axes) != len(b.axes):
        return False
    return all(_close(getattr(a, name), getattr(b, name)) for name in ("axes", "angles", "fixed", "setting"))


def _close(a: object, b: object) -> bool:
    return np.allclose(np.asarray(a, float), np.asarray(b, float), rtol=0, atol=_TOLERANCE)


def share_models(experiments: Sequence[Experiment]) -> list[Experiment]:
    """The experiments, with equal beams, detectors and goniometers as one object each."""
    beams: list[Beam] = []
    detectors: list[Detector] = []
    goniometers: list[Goniometer | None] = []
    return [
        replace(
            e,
            beam=_one_of(beams, e.beam, same_beam),
            detector=_one_of(detectors, e.detector, same_detector),
            goniometer=_one_of(goniometers, e.goniometer, same_goniometer),
        )
        for e in experiments
    ]


def _one_of(known: list[T], model: T, same: Callable[[T, T], bool]) -> T:
    for other in known:
        if same(other, model):
            return other
    known.append(model)
    return model
