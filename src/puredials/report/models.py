"""Experiments as text, for logs and `dials.show`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from puredials.geometry import mm_to_px, px_to_s1, ray_on_plane, resolution
from puredials.model import Beam, Detector, Experiment, Experiments, Goniometer, Panel, Profile, Scan
from puredials.refinement.crystals import crystal_text, with_esd
from puredials.text import text_table

__all__ = [
    "crystal_text",
    "experiment_text",
    "resolution_limits",
    "shared_models_text",
    "with_esd",
]


def experiment_text(experiment: Experiment, number: int = 0, *, scan_points: bool = False) -> str:
    """All models of an experiment."""
    beam, detector = experiment.beam, experiment.detector
    lines = [f"Experiment {number}:"]
    if experiment.identifier:
        lines.append(f"Experiment identifier: {experiment.identifier}")
    if experiment.imageset is not None and experiment.imageset.template:
        lines.append(f"Image template: {experiment.imageset.template}")
        if experiment.imageset.mask:
            lines.append(f"Mask: {experiment.imageset.mask}")
    highest, complete = resolution_limits(experiment)
    lines += [_detector_text(detector), "", f"Max resolution (at corners): {highest:.6f}"]
    if complete is not None:
        lines.append(f"Max resolution (inscribed):  {complete:.6f}")
    lines += ["", _beam_text(beam), "", _beam_centre_text(beam, detector), ""]
    if experiment.scan is not None:
        lines += [_scan_text(experiment.scan), ""]
    if experiment.goniometer is not None:
        lines += [_goniometer_text(experiment.goniometer), ""]
    if experiment.crystal is not None:
        lines.append(crystal_text(experiment.crystal, scan_points=scan_points))
    if experiment.profile is not None:
        lines.append(_profile_text(experiment.profile))
    if experiment.scaling_model is not None:
        lines.append(_scaling_text(experiment.scaling_model))
    return "\n".join(lines).rstrip() + "\n"


def _numbers(values: Any) -> str:
    return "{" + ",".join(f"{v:g}" for v in np.ravel(values)) + "}"


def _detector_text(detector: Detector) -> str:
    return "\n".join(["Detector:", *(_panel_text(panel) for panel in detector.panels)])


def _panel_text(panel: Panel) -> str:
    lines = [
        "Panel:",
        f"  name: {panel.name}",
        f"  type: {panel.type}",
        f"  identifier: {panel.identifier}",
        f"  pixel_size:{_numbers(panel.pixel_size)}",
        f"  image_size: {_numbers(panel.image_size)}",
        f"  trusted_range: {_numbers(panel.trusted_range)}",
        f"  thickness: {panel.thickness:g}",
        f"  material: {panel.material}",
        f"  mu: {panel.mu:g}",
        f"  gain: {panel.gain:g}",
        f"  pedestal: {panel.pedestal:g}",
        f"  fast_axis: {_numbers(panel.fast)}",
        f"  slow_axis: {_numbers(panel.slow)}",
        f"  origin: {_numbers(panel.origin)}",
        f"  distance: {abs(panel.distance):g}",
    ]
    if panel.mask:
        lines.append(f"  masked rectangles: {' '.join(_numbers(r) for r in panel.mask)}")
    if panel.parallax:
        strategy = ["ParallaxCorrectedPxMmStrategy", f"    mu: {panel.mu:g}", f"    t0: {panel.thickness:g}"]
    else:
        strategy = ["SimplePxMmStrategy"]
    return "\n".join([*lines, f"  pixel to millimeter strategy: {strategy[0]}", *strategy[1:]])


def _beam_text(beam: Beam) -> str:
    lines = [
        "Beam:",
        f"    probe: {beam.probe}",
        f"    wavelength: {beam.wavelength:g}",
        f"    sample to source direction : {_numbers(beam.direction)}",
        f"    divergence: {beam.divergence:g}",
        f"    sigma divergence: {beam.sigma_divergence:g}",
        f"    polarization normal: {_numbers(beam.polarization_normal)}",
        f"    polarization fraction: {beam.polarization_fraction:g}",
        f"    flux: {beam.flux:g}",
        f"    transmission: {beam.transmission:g}",
    ]
    if beam.s0_at_scan_points is not None:
        lines.append(f"    s0 sampled at {len(beam.s0_at_scan_points)} scan points")
    return "\n".join(lines)


def _beam_centre_text(beam: Beam, detector: Detector) -> str:
    """Where the beam meets the detector: on the panel that it hits, or else on the plane of the first."""
    many = len(detector) > 1
    for number, panel in enumerate(detector.panels):
        mm, ahead = ray_on_plane(beam.s0[None], panel)
        px = mm_to_px(mm, panel)
        if ahead[0] > 0 and ((px >= 0) & (px <= panel.image_size)).all():
            return _centre(mm[0], px[0], f" on panel {number}" if many else "")
    mm, _ = ray_on_plane(beam.s0[None], detector[0])
    return _centre(mm[0], mm_to_px(mm, detector[0])[0], ", outside, in the plane of panel 0" if many else ", outside")


def _centre(mm: Any, px: Any, where: str) -> str:
    return f"Beam centre{where}: \n    mm: ({mm[0]:.2f},{mm[1]:.2f})\n    px: ({px[0]:.2f},{px[1]:.2f})"


def resolution_limits(experiment: Experiment) -> tuple[float, float | None]:
    """The smallest d (Angstrom) on the detector, and the d up to which spots in all directions around the beam fall on
    it (gaps between panels aside; None if some directions are not covered at all)."""
    positions, panels = [], []
    for number, panel in enumerate(experiment.detector.panels):
        (nx, ny), t = panel.image_size, np.linspace(0, 1, 1001)
        zero, one = np.zeros_like(t), np.ones_like(t)
        edges = [(t * nx, zero), (t * nx, ny * one), (zero, t * ny), (nx * one, t * ny)]
        positions += [np.column_stack(edge) for edge in edges]
        panels.append(np.full(4 * len(t), number))
    beam = experiment.beam
    s1 = px_to_s1(np.concatenate(positions), np.concatenate(panels), experiment.detector, beam)
    with np.errstate(divide="ignore"):  # the beam may pass exactly through a corner of a panel
        d = resolution(s1, beam.s0)
    across = np.cross(beam.s0, np.eye(3)[np.argmin(np.abs(beam.s0))])
    up = np.cross(beam.s0, across) * beam.wavelength
    direction = (np.degrees(np.arctan2(s1 @ up, s1 @ across)) // 1).astype(int) % 360
    furthest = np.full(360, np.inf)
    np.minimum.at(furthest, direction, d)
    return float(d.min()), float(furthest.max()) if np.isfinite(furthest).all() else None


def _scan_text(scan: Scan) -> str:
    exposures = scan.exposure_times if scan.exposure_times is not None else np.zeros(1)
    return "\n".join(
        [
            "Scan:",
            f"    number of images:   {len(scan)}",
            f"    image range:   {_numbers(scan.image_range)}",
            f"    oscillation:   {_numbers(scan.oscillation)}",
            f"    exposure time: {exposures[0]:g}",
        ]
    )


def _goniometer_text(goniometer: Goniometer) -> str:
    lines = [
        "Goniometer:",
        f"    Rotation axis:   {_numbers(goniometer.axis)}",
        f"    Fixed rotation:  {_numbers(goniometer.fixed_rotation)}",
        f"    Setting rotation:{_numbers(goniometer.setting_rotation)}",
    ]
    if goniometer.multi_axis:
        named = enumerate(zip(goniometer.names, goniometer.axes, strict=True))
        lines += [f"    Axis #{k} ({name}):  {_numbers(axis)}" for k, (name, axis) in named]
        lines.append("    Angles: " + ",".join(f"{angle:g}" for angle in goniometer.angles))
        lines.append(f"    scan axis: #{goniometer.scan_axis} ({goniometer.names[goniometer.scan_axis]})")
    return "\n".join(lines)


def _profile_text(profile: Profile) -> str:
    lines = ["Profile model:", "    type: gaussian_rs"]
    for name, widths in (("b", profile.sigma_b), ("m", profile.sigma_m)):
        width, varies = float(np.mean(widths)), ", mean over the scan" if np.ndim(widths) else ""
        lines.append(f"    delta_{name} (sigma_{name}): {width * profile.n_sigma:.6f} ({width:.6f}){varies}")
    return "\n".join(lines)


def _scaling_text(model: Mapping[str, Any]) -> str:
    lines = ["Scaling model:", f"  type : {model.get('__id__', '')}"]
    for name, component in model.items():
        if isinstance(component, Mapping) and "parameters" in component:
            values: Sequence[float] = component["parameters"]
            esds = component.get("est_standard_devs") or [0.0] * len(values)
            lines += [f"  {name.capitalize()} component:", "    parameters (sigma)"]
            lines += [f"    {value:7.4f}   ({esd:.4f})" for value, esd in zip(values, esds, strict=True)]
    return "\n".join(lines)


def shared_models_text(experiments: Experiments) -> str:
    """Which experiments share which models."""
    kinds = ("beam", "detector", "goniometer", "scan", "crystal", "imageset")
    numbers: dict[str, dict[int, int]] = {kind: {} for kind in kinds}
    rows: list[list[Any]] = []
    for n, experiment in enumerate(experiments):
        row: list[Any] = [n]
        for kind in kinds:
            model = getattr(experiment, kind)
            row.append("-" if model is None else numbers[kind].setdefault(id(model), len(numbers[kind])))
        rows.append(row)
    return "Numbers of the models of each experiment:\n" + text_table(["Experiment", *map(str.capitalize, kinds)], rows)
