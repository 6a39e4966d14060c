"""Geometry that the user gives in place of what the image headers say."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from puredials.errors import MismatchError, ParameterError
from puredials.io.formats.materials import attenuation, material_symbol
from puredials.io.import_params import (
    BeamGeometry,
    DetectorGeometry,
    Geometry,
    GoniometerGeometry,
    ImportParams,
    PanelGeometry,
    ScanGeometry,
)
from puredials.model import Beam, Detector, Experiment, Experiments, Goniometer, Panel, Scan

__all__ = ["modify", "override", "refer"]

SHARED = ("beam", "goniometer", "scan")
SWUNG_OUT = 5.0  # degrees between beam and normal from which a detector is taken to be on an arm


def refer(experiment: Experiment, reference: Experiment, params: ImportParams) -> Experiment:
    """The experiment with the beam, detector and goniometer of a reference, as far as `params.input` says."""
    choice = params.input
    compare = choice.use_detector_reference and choice.check_reference_geometry
    if compare and not _similar(experiment.detector, reference.detector):
        raise MismatchError(
            "The detector of reference_geometry has other panels or pixels than that of the images; "
            "give a reference from the same detector, or check_reference_geometry=False."
        )
    return replace(
        experiment,
        beam=reference.beam if choice.use_beam_reference else experiment.beam,
        detector=reference.detector if choice.use_detector_reference else experiment.detector,
        goniometer=_posed(reference.goniometer, experiment.goniometer)
        if choice.use_gonio_reference
        else experiment.goniometer,
    )


def _similar(a: Detector, b: Detector) -> bool:
    """Equal numbers of panels, of equal sizes and pixels."""
    return len(a) == len(b) and all(
        p.image_size == q.image_size and np.allclose(p.pixel_size, q.pixel_size, atol=1e-4)
        for p, q in zip(a.panels, b.panels, strict=True)
    )


def _posed(reference: Goniometer | None, own: Goniometer | None) -> Goniometer | None:
    """The axes of the reference at the angles of this sweep."""
    if reference is None or own is None or len(reference.axes) != len(own.axes):
        return own if reference is None else reference
    return replace(reference, angles=own.angles, scan_axis=own.scan_axis)


def override(experiment: Experiment, geometry: Geometry) -> Experiment:
    """The experiment with the values that the user gave."""
    beam = _beam(experiment.beam, geometry.beam)
    detector = _detector(experiment.detector, geometry.detector, beam)
    if beam.wavelength != experiment.beam.wavelength:
        detector = detector.with_panels([_with_attenuation(panel, beam) for panel in detector.panels])
    goniometer = _goniometer(experiment.goniometer, geometry.goniometer)
    scan = experiment.scan
    if scan is not None:
        scan = _scan(scan, geometry.scan)
    elif geometry.scan.image_range or geometry.scan.oscillation:
        raise ParameterError("geometry.scan says how images of a rotation follow each other, but these are stills.")
    return replace(experiment, beam=beam, detector=detector, goniometer=goniometer, scan=scan)


def modify(experiments: Experiments, geometry: Geometry, *, selected: Sequence[int] | None = None) -> Experiments:
    """The experiments, those of the numbers `selected` (all without) with the values given.

    Experiments that shared a model and are both selected share the new one.
    """
    if geometry == Geometry():
        raise ParameterError("No value of the geometry is given; name one, as geometry.detector.distance=200.")
    chosen = range(len(experiments)) if selected is None else selected
    wrong = [n for n in chosen if not 0 <= n < len(experiments)]
    if wrong:
        raise ParameterError(
            f"select_experiments names experiment {wrong[0]}, but the experiments are 0 to {len(experiments) - 1}."
        )
    new: dict[tuple[str, tuple[int, ...]], Any] = {}
    items = list(experiments)
    for n in chosen:
        old, changed = experiments[n], override(experiments[n], geometry)
        # What becomes of the detector depends on the beam too: its wavelength sets the absorption of the sensor.
        detector = new.setdefault(("detector", (id(old.detector), id(old.beam))), changed.detector)
        models = {m: new.setdefault((m, (id(getattr(old, m)),)), getattr(changed, m)) for m in SHARED}
        items[n] = replace(old, detector=detector, **models)
    return experiments.with_items(items)


def _given(values: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _beam(beam: Beam, given: BeamGeometry) -> Beam:
    changes = _given(given.model_dump())
    if "polarization_normal" in changes:
        normal = np.asarray(changes["polarization_normal"], dtype=float)
        changes["polarization_normal"] = normal / np.linalg.norm(normal)
    return replace(beam, **changes) if changes else beam  # type: ignore[arg-type]


def _with_attenuation(panel: Panel, beam: Beam) -> Panel:
    known = panel.material and panel.thickness > 0
    return replace(panel, mu=attenuation(panel.material, beam.wavelength)) if known and panel.mu > 0 else panel


def _detector(detector: Detector, given: DetectorGeometry, beam: Beam) -> Detector:
    detector = _with_panel(detector, given.panel, beam)
    if given.distance is not None:
        # Along the normal, so that the beam centre of a detector normal to the beam stays.
        first = detector[0]
        sign = 1.0 if first.distance >= 0 else -1.0
        shift = (sign * given.distance - first.distance) * first.normal
        detector = detector.moved(np.eye(3), shift)
    if given.fast_slow_beam_centre is not None:
        fast, slow, number = _centre(given.fast_slow_beam_centre, "fast_slow_beam_centre", detector)
        return _centred(detector, number, _in_mm(detector[number], fast, slow), beam)
    if given.slow_fast_beam_centre is not None:
        slow, fast, number = _centre(given.slow_fast_beam_centre, "slow_fast_beam_centre", detector)
        return _centred(detector, number, _in_mm(detector[number], fast, slow), beam)
    if given.mosflm_beam_centre is not None:
        slow_mm, fast_mm = given.mosflm_beam_centre
        return _centred(detector, 0, (fast_mm, slow_mm), beam)
    return detector


def _centre(values: Sequence[float], name: str, detector: Detector) -> tuple[float, float, int]:
    if len(values) not in (2, 3):
        raise ParameterError(
            f"geometry.detector.{name} takes two numbers (pixels) and perhaps a panel, not {len(values)}."
        )
    number = int(values[2]) if len(values) == 3 else 0
    if not 0 <= number < len(detector):
        raise ParameterError(f"geometry.detector.{name} names panel {number}, but the detector has {len(detector)}.")
    return values[0], values[1], number


def _in_mm(panel: Panel, fast: float, slow: float) -> tuple[float, float]:
    return fast * panel.pixel_size[0], slow * panel.pixel_size[1]


def _centred(detector: Detector, number: int, centre: tuple[float, float], beam: Beam) -> Detector:
    """The detector moved in the plane of a panel so that the beam meets it at `centre` (fast, slow; mm).

    Of a detector on an arm, which is swung out by more than small errors of its mounting, the beam meets `centre` at
    two-theta 0, and may miss the panel as it is: there the foot of the normal from the sample is brought to `centre`.
    """
    panel = detector[number]
    along = float(panel.normal @ -beam.direction)
    point = panel.distance * panel.normal
    if np.degrees(np.arccos(min(abs(along), 1.0))) < SWUNG_OUT:
        point = panel.distance / along * -beam.direction
    return detector.moved(np.eye(3), point - centre[0] * panel.fast - centre[1] * panel.slow - panel.origin)


def _with_panel(detector: Detector, given: PanelGeometry, beam: Beam) -> Detector:
    changes = _given(given.model_dump(exclude={"id", "fast_axis", "slow_axis", "origin", "parallax_correction"}))
    frame = [given.fast_axis, given.slow_axis, given.origin]
    if not changes and not any(frame) and given.parallax_correction is None:
        return detector
    if given.id >= len(detector):
        raise ParameterError(f"geometry.detector.panel.id={given.id}, but the detector has {len(detector)} panels.")
    if any(frame):
        if not all(frame):
            raise ParameterError("geometry.detector.panel needs fast_axis, slow_axis and origin together.")
        changes |= {"fast": given.fast_axis, "slow": given.slow_axis, "origin": given.origin}
        if abs(np.dot(given.fast_axis, given.slow_axis)) > 1e-4:  # type: ignore[arg-type]
            raise ParameterError("geometry.detector.panel: fast_axis and slow_axis must be at right angles.")
    if given.material is not None:
        changes["material"] = material_symbol(given.material)
    panel = replace(detector[given.id], **changes)  # type: ignore[arg-type]
    if given.material is not None or given.thickness is not None:
        known = panel.material and panel.thickness > 0
        mu = attenuation(panel.material, beam.wavelength) if known else 0.0
        panel = replace(panel, mu=mu, parallax=mu > 0)
    if given.parallax_correction is not None:
        if given.parallax_correction and panel.mu <= 0:
            raise ParameterError(
                "geometry.detector.panel.parallax_correction needs the sensor's material and thickness."
            )
        panel = replace(panel, parallax=given.parallax_correction)
    panels = list(detector.panels)
    panels[given.id] = panel
    return detector.with_panels(panels)


def _goniometer(goniometer: Goniometer | None, given: GoniometerGeometry) -> Goniometer | None:
    vectors = given.axis or given.axes
    if vectors is not None:
        if len(vectors) % 3 or not len(vectors):
            raise ParameterError(f"geometry.goniometer.axes takes three numbers an axis, not {len(vectors)} in all.")
        axes = np.reshape(vectors, (-1, 3))
        goniometer = _with_axes(goniometer, axes)
    if goniometer is None:
        if _given(given.model_dump(exclude={"invert_rotation_axis"})) or given.invert_rotation_axis:
            raise ParameterError("These images have no goniometer; give its axis as geometry.goniometer.axis=x,y,z.")
        return None
    n = len(goniometer.axes)
    for name in ("angles", "names"):
        values = getattr(given, name)
        if values is not None:
            if len(values) != n:
                raise ParameterError(f"geometry.goniometer.{name} has {len(values)} values for {n} axes.")
            goniometer = replace(goniometer, **{name: values})
    if given.scan_axis is not None:
        if not 0 <= given.scan_axis < n:
            raise ParameterError(f"geometry.goniometer.scan_axis={given.scan_axis}, but the axes are 0 to {n - 1}.")
        goniometer = replace(goniometer, scan_axis=given.scan_axis)
    for name, field in (("fixed_rotation", "fixed"), ("setting_rotation", "setting")):
        values = getattr(given, name)
        if values is not None:
            if n > 1:
                raise ParameterError(
                    f"geometry.goniometer.{name} is for goniometers with one axis; set angles instead."
                )
            goniometer = replace(goniometer, **{field: _rotation(values, name)})
    if given.invert_rotation_axis:
        goniometer = replace(goniometer, axes=-goniometer.axes)
    return goniometer


def _rotation(values: Sequence[float], name: str) -> np.ndarray:
    if len(values) != 9 or not np.allclose(
        np.reshape(values, (3, 3)) @ np.reshape(values, (3, 3)).T, np.eye(3), atol=1e-4
    ):
        raise ParameterError(f"geometry.goniometer.{name} takes the nine numbers of a rotation matrix, by rows.")
    return np.reshape(values, (3, 3))


def _with_axes(goniometer: Goniometer | None, axes: np.ndarray) -> Goniometer:
    if np.any(np.linalg.norm(axes, axis=1) == 0):
        raise ParameterError("A goniometer axis of geometry.goniometer has no length.")
    if goniometer is not None and len(goniometer.axes) == len(axes):
        return replace(goniometer, axes=axes)
    if len(axes) == 1:
        return Goniometer(axes)
    names = tuple(f"axis_{k}" for k in range(len(axes)))
    return Goniometer(axes, np.zeros(len(axes)), names, len(axes) - 1, multi_axis=True)


def _scan(scan: Scan, given: ScanGeometry) -> Scan:
    if given.image_range is not None:
        first, last = given.image_range
        low, high = scan.image_range
        if not low <= first <= last <= high:
            raise ParameterError(
                f"image_range={first},{last} is not within the images {low} to {high} of the sweep; choose from them."
            )
        scan = scan.sliced(first, last)
    if given.oscillation is not None:
        scan = replace(scan, oscillation=given.oscillation)
    if given.batch_offset is not None:
        scan = replace(scan, batch_offset=given.batch_offset)
    return scan
