"""Geometries that files often get wrong, in one way or two: what is different in each, and how to bring it about."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from puredials.indexing.beam_search import beam_centre
from puredials.model import Detector, Experiment, Experiments, Panel

__all__ = [
    "EXCHANGED",
    "INVERTED",
    "Alternative",
    "alternatives",
    "exchanged",
    "rotations",
    "with_distance",
    "with_wavelength",
]

INVERTED = "the rotation axis inverted"
EXCHANGED = "the coordinates of the beam centre exchanged"
# Times that a width may be too small or large: halves, numbers in other units, images joined or left out.
WIDTHS = (0.1, 0.2, 0.25, 0.4, 0.5, 2.0, 2.5, 4.0, 5.0, 10.0)
WIDEST = 2.0  # turns: no sweep is wider


@dataclass(frozen=True, eq=False)
class Alternative:
    """What is different, the words (name, value) that bring it about, and the experiments."""

    cause: str
    parameters: tuple[tuple[str, str], ...]
    experiments: Experiments

    def followed_by(self, other: "Alternative") -> "Alternative":
        """Both changes, of which the other was made to these experiments."""
        cause = f"{self.cause} and {other.cause}" if self.cause else other.cause
        return Alternative(cause, self.parameters + other.parameters, other.experiments)


def alternatives(experiments: Experiments) -> Iterator[Alternative]:
    """Other geometries of image sets (one experiment each) that were measured together, wrong in one way."""
    if all(not e.is_still for e in experiments):
        yield from _axes(experiments)
        yield from _widths(experiments)
    yield from exchanged(experiments)


def rotations(experiments: Experiments) -> Iterator[Alternative]:
    """Other rotations, of which the axis, the width of the images, or both are wrong."""
    yield from _widths(experiments)
    for other in _axes(experiments):
        yield other
        yield from (other.followed_by(width) for width in _widths(other.experiments))


def exchanged(experiments: Experiments) -> Iterator[Alternative]:
    """The coordinates of the beam centre, exchanged."""
    if all(len(e.detector) == 1 for e in experiments):
        swapped = with_panels(experiments, _exchanged)
        x, y = beam_centre(swapped[0])
        words = (("geometry.detector.fast_slow_beam_centre", f"{x:.1f},{y:.1f}"),)
        yield Alternative(EXCHANGED, words, swapped)


def with_distance(experiments: Experiments, factor: float) -> Experiments:
    """The detectors moved along their normals to `factor` times their distance."""
    return with_panels(experiments, lambda p, _: replace(p, origin=p.origin + (factor - 1) * p.distance * p.normal))


def with_wavelength(experiments: Experiments, factor: float) -> Experiments:
    """The same with `factor` times the wavelength; beams that are shared stay shared."""
    beams = {id(e.beam): replace(e.beam, wavelength=factor * e.beam.wavelength) for e in experiments}
    return experiments.with_items(replace(e, beam=beams[id(e.beam)]) for e in experiments)


def with_panels(experiments: Experiments, change: Callable[[Panel, Experiment], Panel]) -> Experiments:
    """The experiments with changed panels; detectors that are shared stay shared."""
    done: dict[int, Detector] = {}
    items = []
    for e in experiments:
        if id(e.detector) not in done:
            done[id(e.detector)] = replace(e.detector, panels=tuple(change(p, e) for p in e.detector.panels))
        items.append(replace(e, detector=done[id(e.detector)]))
    return experiments.with_items(items)


def _with_axes(e: Experiment, change: Callable[[np.ndarray], np.ndarray]) -> Experiment:
    assert e.goniometer is not None
    return replace(e, goniometer=replace(e.goniometer, axes=change(e.goniometer.axes)))


def _axes(experiments: Experiments) -> Iterator[Alternative]:
    """Other axes of rotation."""
    yield Alternative(
        INVERTED,
        (("geometry.goniometer.invert_rotation_axis", "True"),),
        experiments.with_items(_with_axes(e, lambda axes: -axes) for e in experiments),
    )
    yield from _across(experiments)


def _across(experiments: Experiments) -> Iterator[Alternative]:
    """The axis of goniometers that have one turned by a right angle about the beam, either way."""
    goniometers = [e.goniometer for e in experiments if e.goniometer is not None]
    if any(len(g.axes) > 1 for g in goniometers):
        return
    across = np.cross(experiments[0].beam.direction, goniometers[0].axes[0])
    if np.linalg.norm(across) < 0.5:
        return
    across = np.round(across / np.linalg.norm(across), 4)
    for axis in (across, -across):
        text = ",".join(f"{v:g}" for v in axis + 0.0)
        changed = experiments.with_items(_with_axes(e, lambda axes, new=axis: new[None]) for e in experiments)
        yield Alternative(f"the rotation axis along {text}", (("geometry.goniometer.axis", text),), changed)


def _widths(experiments: Experiments) -> Iterator[Alternative]:
    """Other widths of the images, if those of all sweeps start alike, so that one word says them."""
    scans = [e.scan for e in experiments if e.scan is not None]
    if len({s.oscillation for s in scans}) > 1:
        return
    start, width = scans[0].oscillation
    for factor in WIDTHS:
        if factor * abs(width) * max(len(s) for s in scans) > 360 * WIDEST:
            continue
        new = round(factor * width, 6)
        changed = experiments.with_items(
            e if e.scan is None else replace(e, scan=replace(e.scan, oscillation=(start, new))) for e in experiments
        )
        words = (("geometry.scan.oscillation", f"{start:g},{new:g}"),)
        yield Alternative(f"images of {new:g} degrees instead of {width:g}", words, changed)


def _exchanged(panel: Panel, e: Experiment) -> Panel:
    x, y = beam_centre(e)
    shift = (x - y) * panel.pixel_size[0] * panel.fast + (y - x) * panel.pixel_size[1] * panel.slow
    return replace(panel, origin=panel.origin + shift)
