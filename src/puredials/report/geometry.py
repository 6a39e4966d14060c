"""The experiment in space: detector, beam, goniometer axes and crystal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from puredials.geometry import ray_on_plane, rotate
from puredials.model import Crystal, Experiment, Experiments, Goniometer
from puredials.report.page import Section

__all__ = ["geometry_sections"]

Vector = Float64[np.ndarray, "3"]


def geometry_sections(
    experiments: Experiments,
    *,
    angle: float | None = None,
    show_panel_axes: bool = False,
    show_crystal_axes: bool = True,
) -> list[Section]:
    """A view in space of each different arrangement of beam, detector and goniometer.

    `angle`: rotation (degrees) at which the crystals are shown; by default the start of the scan.
    """
    arrangements: dict[tuple[int, ...], list[int]] = {}
    for number, e in enumerate(experiments):
        arrangements.setdefault((id(e.beam), id(e.detector), id(e.goniometer)), []).append(number)
    sections: list[Section] = []
    for k, numbers in enumerate(arrangements.values()):
        own = [experiments[n] for n in numbers]
        traces = _traces(own[0], show_panel_axes)
        if show_crystal_axes:
            for n, e in zip(numbers, own, strict=True):
                if e.crystal is not None:
                    traces += _crystal(n, e, e.crystal, angle, _reach(own[0]) / 4)
        heading = "Experiment in space" + (f", arrangement {k}" if len(arrangements) > 1 else "")
        which = f"Data set{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
        text = f"{which} in the laboratory frame, mm; drag to turn."
        sections.append(Section(heading, text, _scene(traces), name=f"geometry/{k}"))
    return sections


def _reach(experiment: Experiment) -> float:
    """Distance of the farthest corner of the detector."""
    return max(float(np.linalg.norm(corner, axis=1).max()) for corner in map(_corners, experiment.detector.panels))


def _corners(panel: Any) -> Float64[np.ndarray, "4 3"]:
    width, height = panel.size_mm
    return panel.origin + np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ np.stack(
        [panel.fast, panel.slow]
    )


def _line(points: Sequence[Vector], name: str, colour: str, **more: Any) -> dict[str, Any]:
    x, y, z = np.array(points).T
    line = {"color": colour, "width": 5, **more.pop("line", {})}
    return {"type": "scatter3d", "mode": "lines", "x": x, "y": y, "z": z, "name": name, "line": line, **more}


def _traces(experiment: Experiment, panel_axes: bool) -> list[dict[str, Any]]:
    beam, reach = experiment.beam, _reach(experiment)
    corners = np.concatenate([_corners(p) for p in experiment.detector.panels])
    first = 4 * np.arange(len(experiment.detector))
    names = np.repeat([p.name or f"panel {k}" for k, p in enumerate(experiment.detector.panels)], 4)
    mesh: dict[str, Any] = {
        "type": "mesh3d", "x": corners[:, 0], "y": corners[:, 1], "z": corners[:, 2], "opacity": 0.6,
        "i": np.concatenate([first, first]), "j": np.concatenate([first + 1, first + 2]),
        "k": np.concatenate([first + 2, first + 3]), "color": "#7a9cb8", "name": "detector", "showlegend": True,
        "text": names, "hoverinfo": "text", "flatshading": True,
    }  # fmt: skip
    edges = [np.concatenate([c, c[:1], np.full((1, 3), np.nan)]) for c in np.split(corners, len(first))]
    outline = _line(
        list(np.concatenate(edges)), "outline", "#27445c", line={"width": 2}, showlegend=False, hoverinfo="skip"
    )
    forward = beam.s0 * beam.wavelength
    mm, ahead = ray_on_plane(beam.s0[None], experiment.detector[0])
    panel = experiment.detector[0]
    end = panel.origin + mm[0, 0] * panel.fast + mm[0, 1] * panel.slow if ahead[0] > 0 else reach * forward
    traces = [
        mesh,
        outline,
        _line([-0.5 * reach * forward, np.zeros(3)], "beam", "#d1495b"),
        _line([np.zeros(3), end], "direct beam", "#d1495b", line={"dash": "dot"}),
        {"type": "scatter3d", "mode": "markers", "x": [0], "y": [0], "z": [0], "name": "sample",
         "marker": {"size": 5, "color": "#111111"}},
    ]  # fmt: skip
    if experiment.goniometer is not None:
        traces += _goniometer(experiment.goniometer, reach / 2)
    if panel_axes:
        for k, p in enumerate(experiment.detector.panels):
            length = 0.3 * min(p.size_mm)
            shown = k == 0
            traces.append(_line([p.origin, p.origin + length * p.fast], "fast", "#2e7d32", showlegend=shown))
            traces.append(_line([p.origin, p.origin + length * p.slow], "slow", "#8e24aa", showlegend=shown))
    return traces


def _goniometer(goniometer: Goniometer, length: float) -> list[dict[str, Any]]:
    """The axes as the angles of the goniometer have turned them; the scan axis is bold."""
    traces: list[dict[str, Any]] = []
    for k, name in enumerate(goniometer.names):
        direction = goniometer.axes[k]
        for outer in range(k + 1, len(goniometer.axes)):
            angle = 0.0 if outer == goniometer.scan_axis else np.radians(goniometer.angles[outer])
            direction = rotate(direction[None], goniometer.axes[outer], np.array([angle]))[0]
        direction = goniometer.setting @ direction
        scans = k == goniometer.scan_axis
        label = f"{name} (scan axis)" if scans else name
        style = {"width": 7 if scans else 3}
        traces.append(_line([-length * direction, length * direction], label, "#edae49", line=style))
    return traces


def _crystal(number: int, experiment: Experiment, crystal: Crystal, angle: float | None, length: float) -> list[dict]:
    """The cell edges a, b, c of a crystal at a rotation angle, the longest drawn `length` mm long."""
    edges = crystal.real_space / np.linalg.norm(crystal.real_space, axis=1).max() * length
    goniometer, scan = experiment.goniometer, experiment.scan
    if goniometer is not None:
        degrees = angle if angle is not None else (0.0 if scan is None else scan.oscillation[0])
        turned = rotate(edges @ goniometer.fixed_rotation.T, goniometer.axis, np.full(3, np.radians(degrees)))
        edges = turned @ goniometer.setting_rotation.T
    colours = ("#1b9e77", "#d95f02", "#7570b3")
    return [
        _line([np.zeros(3), edge], f"{name} of crystal {number}", colour)
        for name, colour, edge in zip("abc", colours, edges, strict=True)
    ]


def _scene(traces: list[dict[str, Any]]) -> dict[str, Any]:
    axes = {f"{name}axis": {"title": {"text": f"{name} (mm)"}} for name in "xyz"}
    camera = {"up": {"x": 0, "y": 1, "z": 0}, "eye": {"x": 1.7, "y": 0.85, "z": 1.7}}
    scene = {**axes, "aspectmode": "data", "camera": camera}
    below = {"orientation": "h", "y": 0, "yanchor": "top"}
    margin = {"l": 0, "r": 0, "t": 0, "b": 70}
    return {"data": traces, "layout": {"scene": scene, "margin": margin, "legend": below, "height": 640}}
