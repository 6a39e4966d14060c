"""Each model of an .expt file: from its JSON mapping, and back.

Reading takes the keys that have a meaning here and keeps the others in ``extra``; writing puts both together. Numbers
are written with all digits. Scans are written for old and new readers at once: ``oscillation``, ``exposure_time`` and
``epochs`` for those before DIALS 3.17, the same under ``properties`` for the later ones, which prefer it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.model import Beam, Crystal, Detector, Goniometer, Group, Panel, Profile, Scan

__all__ = ["READERS", "WRITERS"]

Json = dict[str, Any]
_PARALLAX, _SIMPLE = "ParallaxCorrectedPxMmStrategy", "SimplePxMmStrategy"


def _rest(stored: Mapping[str, Any], *known: str) -> Json:
    return {key: value for key, value in stored.items() if key not in known}


def _matrix(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(3, 3)


def _given(stored: Mapping[str, Any], keys: Sequence[str]) -> Json:
    """Keyword arguments for those keys that are there."""
    return {key: stored[key] for key in keys if stored.get(key) is not None}


# Beam ----------------------------------------------------------------------------------------------------------------

_BEAM = (
    "divergence",
    "sigma_divergence",
    "polarization_normal",
    "polarization_fraction",
    "flux",
    "transmission",
    "probe",
    "sample_to_source_distance",
    "s0_at_scan_points",
)


def read_beam(stored: Mapping[str, Any]) -> Beam:
    extra = _rest(stored, "direction", "wavelength", *_BEAM)
    return Beam(stored["direction"], float(stored["wavelength"]), **_given(stored, _BEAM), extra=extra)


def write_beam(beam: Beam) -> Json:
    written = {
        "__id__": "monochromatic",
        "direction": beam.direction.tolist(),
        "wavelength": beam.wavelength,
        "divergence": beam.divergence,
        "sigma_divergence": beam.sigma_divergence,
        "polarization_normal": beam.polarization_normal.tolist(),
        "polarization_fraction": beam.polarization_fraction,
        "flux": beam.flux,
        "transmission": beam.transmission,
        "probe": beam.probe,
        "sample_to_source_distance": beam.sample_to_source_distance,
        **beam.extra,
    }
    if beam.s0_at_scan_points is not None:
        written["s0_at_scan_points"] = beam.s0_at_scan_points.tolist()
    return written


# Detector ------------------------------------------------------------------------------------------------------------


def _frame(stored: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    fast, slow = (np.asarray(stored[key], dtype=np.float64) for key in ("fast_axis", "slow_axis"))
    return np.column_stack([fast, slow, np.cross(fast, slow)]), np.asarray(stored["origin"], dtype=np.float64)


_TOP = np.eye(3), np.zeros(3)
Frame = tuple[NDArray[np.float64], NDArray[np.float64]]


def _vectors_in_lab(stored: Mapping[str, Any], parent: Frame) -> Json:
    rotation, origin = parent
    fast, slow, local = (np.asarray(stored[key], dtype=np.float64) for key in ("fast_axis", "slow_axis", "origin"))
    return {"fast": rotation @ fast, "slow": rotation @ slow, "origin": rotation @ local + origin}


def _vectors_in_parent(model: Panel | Group, parent: Frame) -> Json:
    rotation, origin = parent
    return {
        "fast_axis": (rotation.T @ model.fast).tolist(),
        "slow_axis": (rotation.T @ model.slow).tolist(),
        "origin": (rotation.T @ (model.origin - origin)).tolist(),
    }


def read_detector(stored: Mapping[str, Any]) -> Detector:
    parents: dict[int, Frame] = {}
    hierarchy = None
    if stored.get("hierarchy"):
        hierarchy = _read_group(stored["hierarchy"], _TOP, parents)
    panels = tuple(_read_panel(panel, parents.get(i, _TOP)) for i, panel in enumerate(stored["panels"]))
    return Detector(panels, hierarchy, extra=_rest(stored, "panels", "hierarchy"))


def _read_group(stored: Mapping[str, Any], parent: Frame, parents: dict[int, Frame]) -> Group:
    vectors = _vectors_in_lab(stored, parent)
    frame = np.column_stack([vectors["fast"], vectors["slow"], np.cross(vectors["fast"], vectors["slow"])])
    here = frame, vectors["origin"]
    children: list[int | Group] = []
    for child in stored.get("children", ()):
        if "panel" in child:
            children.append(int(child["panel"]))
            parents[int(child["panel"])] = here
        else:
            children.append(_read_group(child, here, parents))
    extra = _rest(stored, "name", "type", "fast_axis", "slow_axis", "origin", "children")
    return Group(tuple(children), **vectors, name=stored.get("name", ""), type=stored.get("type", ""), extra=extra)


_PANEL = ("thickness", "material", "mu", "gain", "pedestal", "name", "type", "identifier")


def _read_panel(stored: Mapping[str, Any], parent: Frame) -> Panel:
    strategy = stored.get("px_mm_strategy") or {"type": _SIMPLE}
    known = [
        "fast_axis",
        "slow_axis",
        "origin",
        "image_size",
        "pixel_size",
        "trusted_range",
        "raw_image_offset",
        "mask",
    ]
    if strategy in ({"type": _SIMPLE}, {"type": _PARALLAX}):
        known.append("px_mm_strategy")
    fields = _given(stored, _PANEL)
    for key in ("trusted_range", "raw_image_offset"):
        if key in stored:
            fields[key] = tuple(stored[key])
    return Panel(
        **_vectors_in_lab(stored, parent),
        image_size=(int(stored["image_size"][0]), int(stored["image_size"][1])),
        pixel_size=(float(stored["pixel_size"][0]), float(stored["pixel_size"][1])),
        mask=tuple(tuple(int(v) for v in box) for box in stored.get("mask", ())),  # pyright: ignore[reportArgumentType]
        parallax="Parallax" in strategy["type"],
        **fields,
        extra=_rest(stored, *known, *_PANEL),
    )


def write_detector(detector: Detector) -> Json:
    parents: dict[int, Frame] = {}
    hierarchy = detector.hierarchy and _write_group(detector.hierarchy, _TOP, parents)
    panels = [_write_panel(panel, parents.get(i, _TOP)) for i, panel in enumerate(detector.panels)]
    return {"panels": panels, **({"hierarchy": hierarchy} if hierarchy else {}), **detector.extra}


def _write_group(group: Group, parent: Frame, parents: dict[int, Frame]) -> Json:
    children: list[Json] = []
    for child in group.children:
        if isinstance(child, int):
            children.append({"panel": child})
            parents[child] = group.frame
        else:
            children.append(_write_group(child, group.frame, parents))
    return {
        "name": group.name,
        "type": group.type,
        **_vectors_in_parent(group, parent),
        # A group is a panel without pixels to dxtbx, which asks for all of a panel's keys.
        "raw_image_offset": [0, 0],
        "image_size": [0, 0],
        "pixel_size": [0.0, 0.0],
        "trusted_range": [0.0, 0.0],
        "thickness": 0.0,
        "material": "",
        "mu": 0.0,
        "identifier": "",
        "mask": [],
        "gain": 1.0,
        "pedestal": 0.0,
        "px_mm_strategy": {"type": _SIMPLE},
        **group.extra,
        "children": children,
    }


def _write_panel(panel: Panel, parent: Frame) -> Json:
    return {
        "name": panel.name,
        "type": panel.type,
        **_vectors_in_parent(panel, parent),
        "raw_image_offset": list(panel.raw_image_offset),
        "image_size": list(panel.image_size),
        "pixel_size": list(panel.pixel_size),
        "trusted_range": list(panel.trusted_range),
        "thickness": panel.thickness,
        "material": panel.material,
        "mu": panel.mu,
        "identifier": panel.identifier,
        "mask": [list(box) for box in panel.mask],
        "gain": panel.gain,
        "pedestal": panel.pedestal,
        "px_mm_strategy": {"type": _PARALLAX if panel.parallax else _SIMPLE},
        **panel.extra,
    }


# Goniometer ----------------------------------------------------------------------------------------------------------


def read_goniometer(stored: Mapping[str, Any]) -> Goniometer:
    points = stored.get("setting_rotation_at_scan_points")
    fields: Json = {} if points is None else {"setting_rotation_at_scan_points": np.reshape(points, (-1, 3, 3))}
    if "axes" in stored:
        return Goniometer(
            stored["axes"],
            stored["angles"],
            names=tuple(stored["names"]),
            scan_axis=int(stored["scan_axis"]),
            multi_axis=True,
            **fields,
            extra=_rest(stored, "axes", "angles", "names", "scan_axis", "setting_rotation_at_scan_points"),
        )
    for field, key in (("fixed", "fixed_rotation"), ("setting", "setting_rotation")):
        if stored.get(key) is not None:
            fields[field] = _matrix(stored[key])
    known = ("rotation_axis", "fixed_rotation", "setting_rotation", "setting_rotation_at_scan_points")
    return Goniometer(stored["rotation_axis"], **fields, extra=_rest(stored, *known))


def write_goniometer(goniometer: Goniometer) -> Json:
    if goniometer.multi_axis:
        written: Json = {
            "axes": goniometer.axes.tolist(),
            "angles": goniometer.angles.tolist(),
            "names": list(goniometer.names),
            "scan_axis": goniometer.scan_axis,
        }
    else:
        written = {
            "rotation_axis": goniometer.axis.tolist(),
            "fixed_rotation": goniometer.fixed_rotation.ravel().tolist(),
            "setting_rotation": goniometer.setting_rotation.ravel().tolist(),
        }
    if goniometer.setting_rotation_at_scan_points is not None:
        points = goniometer.setting_rotation_at_scan_points
        written["setting_rotation_at_scan_points"] = points.reshape(-1, 9).tolist()
    return {**written, **goniometer.extra}


# Scan ----------------------------------------------------------------------------------------------------------------

_SCAN = ("image_range", "batch_offset", "oscillation", "exposure_time", "epochs", "valid_image_ranges", "properties")
_PROPERTIES = ("oscillation", "oscillation_width", "exposure_time", "epochs")


def read_scan(stored: Mapping[str, Any]) -> Scan:
    first, last = (int(n) for n in stored["image_range"])
    n = last - first + 1
    properties = stored.get("properties") or {}
    extra = _rest(stored, *_SCAN)
    if others := _rest(properties, *_PROPERTIES):
        extra["properties"] = others

    def per_image(key: str) -> NDArray[np.float64] | None:
        values = properties.get(key, stored.get(key))
        if values is None or np.size(values) == 0:
            return None
        array = np.ravel(values).astype(np.float64)[:n]  # old files may have fewer values than images, or just one
        return np.concatenate([array, np.full(n - len(array), array[-1])])

    return Scan(
        (first, last),
        _oscillation(stored, properties),
        exposure_times=per_image("exposure_time"),
        epochs=per_image("epochs"),
        batch_offset=int(stored.get("batch_offset", 0)),
        valid_image_ranges=stored.get("valid_image_ranges") or {},
        extra=extra,
    )


def _oscillation(stored: Mapping[str, Any], properties: Mapping[str, Any]) -> tuple[float, float]:
    legacy = stored.get("oscillation")
    angles = np.ravel(properties.get("oscillation", ()))
    if len(angles) == 0:
        start, width = legacy or (0.0, 0.0)
        return float(start), float(width)
    if len(angles) == 1:
        width = float(np.ravel(properties.get("oscillation_width", 0.0))[0])
    else:
        width = float((angles[-1] - angles[0]) / (len(angles) - 1))
    # The legacy pair has all its digits, which the differences of the angles have not.
    if legacy and np.allclose([float(angles[0]), width], legacy, rtol=1e-9, atol=1e-9):
        return float(legacy[0]), float(legacy[1])
    return float(angles[0]), width


def write_scan(scan: Scan) -> Json:
    assert scan.exposure_times is not None
    assert scan.epochs is not None
    start, width = scan.oscillation
    times, epochs = scan.exposure_times.tolist(), scan.epochs.tolist()
    properties = {
        "oscillation": [start + width * i for i in range(len(scan))],
        "exposure_time": times,
        "epochs": epochs,
    }
    if len(scan) == 1:
        properties["oscillation_width"] = [width]
    return {
        "image_range": list(scan.image_range),
        "batch_offset": scan.batch_offset,
        "oscillation": [start, width],
        "exposure_time": times,
        "epochs": epochs,
        "valid_image_ranges": dict(scan.valid_image_ranges),
        **_rest(scan.extra, "properties"),
        "properties": {**properties, **scan.extra.get("properties", {})},
    }


# Crystal -------------------------------------------------------------------------------------------------------------

_RECALCULATED = ("recalculated_unit_cell", "recalculated_cell_parameter_sd")
_CRYSTAL = (
    "__id__",
    "real_space_a",
    "real_space_b",
    "real_space_c",
    "space_group_hall_symbol",
    "A_at_scan_points",
    "B_covariance",
    "B_covariance_at_scan_points",
    "recalculated_cell_volume_sd",
)


def read_crystal(stored: Mapping[str, Any]) -> Crystal:
    real = np.array([stored[f"real_space_{axis}"] for axis in "abc"], dtype=np.float64)
    fields: Json = {name: tuple(stored[name]) for name in _RECALCULATED if stored.get(name)}
    shapes = (("A_at_scan_points", (-1, 3, 3)), ("B_covariance", (9, 9)), ("B_covariance_at_scan_points", (-1, 9, 9)))
    for name, shape in shapes:
        if stored.get(name):
            fields[name] = np.asarray(stored[name], dtype=np.float64).reshape(shape)
    return Crystal(
        np.asarray(np.linalg.inv(real), dtype=np.float64),
        stored["space_group_hall_symbol"],
        **fields,
        recalculated_cell_volume_sd=stored.get("recalculated_cell_volume_sd"),
        extra=_rest(stored, *_CRYSTAL, *_RECALCULATED),
    )


def write_crystal(crystal: Crystal) -> Json:
    written: Json = {"__id__": "crystal"}
    written |= {f"real_space_{axis}": row.tolist() for axis, row in zip("abc", crystal.real_space, strict=True)}
    written["space_group_hall_symbol"] = f" {crystal.hall}"
    if crystal.A_at_scan_points is not None:
        written["A_at_scan_points"] = crystal.A_at_scan_points.reshape(-1, 9).tolist()
    if crystal.B_covariance is not None:
        written["B_covariance"] = crystal.B_covariance.ravel().tolist()
    if crystal.B_covariance_at_scan_points is not None:
        written["B_covariance_at_scan_points"] = crystal.B_covariance_at_scan_points.reshape(-1, 81).tolist()
    for name in _RECALCULATED:
        if getattr(crystal, name) is not None:
            written[name] = [float(v) for v in getattr(crystal, name)]
    if crystal.recalculated_cell_volume_sd is not None:
        written["recalculated_cell_volume_sd"] = float(crystal.recalculated_cell_volume_sd)
    return {**written, **crystal.extra}


# Profile -------------------------------------------------------------------------------------------------------------


def read_profile(stored: Mapping[str, Any]) -> Profile | Mapping[str, Any]:
    """A `Profile`, or the mapping itself for models of other kinds."""
    if stored.get("__id__") != "gaussian_rs":
        return dict(stored)
    sigmas = [np.array(v) if isinstance(v := stored[key], list) else float(v) for key in ("sigma_b", "sigma_m")]
    extra = _rest(stored, "__id__", "n_sigma", "sigma_b", "sigma_m")
    return Profile(sigmas[0], sigmas[1], float(stored["n_sigma"]), extra=extra)


def write_profile(profile: Profile | Mapping[str, Any]) -> Json:
    if not isinstance(profile, Profile):
        return dict(profile)
    return {
        "__id__": "gaussian_rs",
        "n_sigma": profile.n_sigma,
        "sigma_b": np.asarray(profile.sigma_b).tolist(),
        "sigma_m": np.asarray(profile.sigma_m).tolist(),
        **profile.extra,
    }


READERS = {
    "beam": read_beam,
    "detector": read_detector,
    "goniometer": read_goniometer,
    "scan": read_scan,
    "crystal": read_crystal,
    "profile": read_profile,
    "scaling_model": dict,
}
WRITERS = {
    "beam": write_beam,
    "detector": write_detector,
    "goniometer": write_goniometer,
    "scan": write_scan,
    "crystal": write_crystal,
    "profile": write_profile,
    "scaling_model": dict,
}
