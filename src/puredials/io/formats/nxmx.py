"""NeXus files of the NXmx application definition (Bernstein et al. 2020, IUCrJ 7, 784).

Positions follow from chains of axes: each names by ``depends_on`` the axis that carries it. NeXus uses the McStas frame
(z along the beam, y up), which diag(-1, 1, -1) turns into ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError
from puredials.io.formats.frames import Stack, forwards, sensor, transform
from puredials.io.formats.hdf5_images import find_entry, frame_blocks, open_hdf5
from puredials.io.formats.materials import HC, material_symbol
from puredials.model import Beam, Detector, Goniometer, Panel

__all__ = ["Axis", "chain", "length", "read_nxmx", "scalar", "text"]

_TO_IMGCIF = np.diag([-1.0, 1.0, -1.0])
_UNITS = {
    **{"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "nm": 1e-6, "angstrom": 1e-7},
    **{"metre": 1e3, "meter": 1e3, "metres": 1e3, "meters": 1e3, "millimetre": 1.0, "millimeter": 1.0},
}
# A value equal to one of the two highest of an unsigned type marks a masked or overloaded pixel.
_LIMITS = {1: 253.0, 2: 65533.0, 4: 2.0**31 - 2}


def text(value: Any, default: str = "") -> str:
    """A string from an attribute, a dataset or nothing."""
    if isinstance(value, h5py.Dataset):
        value = value[()]
    if isinstance(value, np.ndarray):
        value = value.flat[0] if value.size else default
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return default if value is None else str(value)


def scalar(group: h5py.Group, name: str, default: float | None = None) -> float:
    """The first number of a dataset."""
    found = group.get(name)
    if isinstance(found, h5py.Dataset) and found.size:
        try:
            return float(np.asarray(found[()]).flat[0])
        except (TypeError, ValueError):
            pass
    if default is None:
        raise FileError(f"{group.file.filename} has no number {group.name}/{name}, without which its geometry is unknown.")
    return default


def length(dataset: Any, attribute: str = "units", *, missing: float = 1.0) -> float:
    """Millimetres in the unit that a dataset names."""
    unit = text(dataset.attrs.get(attribute)).strip()
    if not unit:
        return missing
    factor = _UNITS.get(unit if unit in _UNITS else unit.lower())
    if factor is None:
        raise FileError(f'The unit "{unit}" of {dataset.name} in {dataset.file.filename} is not a unit of length.')
    return factor


@dataclass(frozen=True)
class Axis:
    """One axis of a chain: its values are degrees or mm; vector and offset (mm) in the McStas frame."""

    name: str
    kind: str
    vector: NDArray[np.float64]
    values: NDArray[np.float64]
    offset: NDArray[np.float64]
    ends: NDArray[np.float64] | None
    increment: float | None

    def matrix(self, position: float | None = None) -> NDArray[np.float64]:
        """(4, 4) motion at its first value or at `position`."""
        value = self.values[0] if position is None else position
        return transform(self.kind, self.vector, float(value), self.offset)


def chain(start: Any, *, after: bool = False) -> Iterator[Axis]:
    """The axes from a group's or dataset's ``depends_on`` to the laboratory; `after` leaves out `start` itself."""
    file = start.file
    name = _depends_on(start) if isinstance(start, h5py.Group) or after else start.name
    seen: set[str] = set()
    while name and name != ".":
        item = file.get(name)
        if not isinstance(item, h5py.Dataset):
            raise FileError(f"{file.filename} places something by the axis {name}, which is not there.")
        if item.name in seen:
            raise FileError(f"The axes of {file.filename} depend on each other in a circle at {item.name}.")
        seen.add(str(item.name))
        yield _axis(item)
        name = _depends_on(item)


def _depends_on(item: Any) -> str:
    value = item.get("depends_on") if isinstance(item, h5py.Group) else item.attrs.get("depends_on")
    name = text(value, ".").strip()
    if name in ("", ".") or name.startswith("/"):
        return name
    return f"{item.name if isinstance(item, h5py.Group) else item.parent.name}/{name}"


def _axis(item: h5py.Dataset) -> Axis:
    kind = text(item.attrs.get("transformation_type"))
    values = np.atleast_1d(np.asarray(item[()], dtype=np.float64)).ravel()
    parent, name = item.parent, str(item.name).rsplit("/", 1)[-1]
    factor = 1.0
    if kind == "translation":
        factor = length(item)
    elif kind == "rotation" and text(item.attrs.get("units")).strip().lower().startswith("rad"):
        factor = 180 / np.pi
    ends = parent.get(f"{name}_end")
    increment = parent.get(f"{name}_increment_set")
    offset = np.asarray(item.attrs.get("offset", np.zeros(3)), dtype=np.float64)
    in_mm = length(item, "offset_units", missing=factor if kind == "translation" else 1.0)
    vector = np.asarray(item.attrs.get("vector", np.zeros(3)), dtype=np.float64)
    return Axis(
        name=name,
        kind=kind,
        vector=vector / (np.linalg.norm(vector) or 1.0),
        values=values * factor,
        offset=offset * in_mm,
        ends=None if ends is None else np.atleast_1d(np.asarray(ends[()], dtype=np.float64)) * factor,
        increment=None if increment is None else float(np.asarray(increment[()]).flat[0]) * factor,
    )


def _motion(axes: Iterator[Axis]) -> NDArray[np.float64]:
    total = np.eye(4)
    for axis in axes:  # the outer axes multiply from the left
        total = axis.matrix() @ total
    return total


def read_nxmx(path: Path) -> Stack:
    """All that the file tells of its images; raises a sentence where it tells too little."""
    with open_hdf5(path) as file:
        entry = find_entry(file)
        blocks, dtype, shape = frame_blocks(file, entry)
        n_images = sum(block.n for block in blocks)
        instrument = _of_class(entry, "NXinstrument", "instrument", path)
        detector = _of_class(instrument, "NXdetector", "detector", path)
        beam = _beam(entry, instrument, path)
        goniometer, start, width = _goniometer(entry, n_images, path)
        exposure = scalar(detector, "frame_time", scalar(detector, "count_time", 0.0))
        return Stack(
            format="FormatNXmx",
            beam=beam,
            detector=_detector(detector, beam.wavelength, dtype, shape, path),
            goniometer=goniometer,
            n_images=n_images,
            start=start,
            width=width,
            exposure=np.full(n_images, exposure),
            epochs=exposure * np.arange(n_images),
        )


def _of_class(group: h5py.Group, nx_class: str, name: str, path: Path) -> h5py.Group:
    if isinstance(group.get(name), h5py.Group):
        return group[name]
    for item in group.values():
        if isinstance(item, h5py.Group) and text(item.attrs.get("NX_class")) == nx_class:
            return item
    raise FileError(f"{path} has no {nx_class} in {group.name}, without which its geometry is unknown.")


def _beam(entry: h5py.Group, instrument: h5py.Group, path: Path) -> Beam:
    places = [instrument.get("beam"), *(g.get("beam") for g in entry.values() if isinstance(g, h5py.Group))]
    for place in places:
        if isinstance(place, h5py.Group) and "incident_wavelength" in place:
            item = place["incident_wavelength"]
            wavelength = scalar(place, "incident_wavelength") * length(item, missing=1e-7) * 1e7
            if wavelength > 0:
                return Beam(np.array([0.0, 0.0, 1.0]), wavelength)
        if isinstance(place, h5py.Group) and "incident_energy" in place:
            return Beam(np.array([0.0, 0.0, 1.0]), HC / scalar(place, "incident_energy"))
    raise FileError(f"{path} does not tell the wavelength; give it as geometry.beam.wavelength=...")


def _goniometer(entry: h5py.Group, n_images: int, path: Path) -> tuple[Goniometer | None, float, float]:
    """The goniometer, and start and width of the scan; without a moving axis the images are stills."""
    sample = entry.get("sample")
    if not isinstance(sample, h5py.Group):
        return None, 0.0, 0.0
    axes = [axis for axis in chain(sample) if axis.kind == "rotation"]
    widths = [_width(axis, n_images) for axis in axes]
    moving = [k for k, width in enumerate(widths) if width]
    if not axes or not moving:
        return None, 0.0, 0.0
    if len(moving) > 1:
        names = " and ".join(axes[k].name for k in moving)
        raise FileError(f"Both {names} turn during the scan in {path}; only one axis may.")
    scan = moving[0]
    vectors = np.array([_TO_IMGCIF @ axis.vector for axis in axes])
    angles = np.array([axis.values[0] for axis in axes])
    goniometer = Goniometer(vectors, angles, tuple(axis.name for axis in axes), scan, multi_axis=len(axes) > 1)
    return forwards(goniometer, float(angles[scan]), widths[scan])


def _width(axis: Axis, n_images: int) -> float:
    """Degrees an image turns about an axis; 0 if it stands still."""
    values = axis.values
    if len(values) > 1:
        steps = np.diff(values)
        return float((values[-1] - values[0]) / len(steps)) if np.median(steps) else 0.0
    if axis.ends is not None and len(axis.ends) == len(values):
        return float(axis.ends[0] - values[0]) / (n_images if n_images > 1 else 1)
    return 0.0 if axis.increment is None or n_images > 1 else axis.increment


def _detector(
    detector: h5py.Group, wavelength: float, dtype: np.dtype[Any], shape: tuple[int, ...], path: Path
) -> Detector:
    modules = [
        group
        for name, group in detector.items()
        if isinstance(group, h5py.Group) and (text(group.attrs.get("NX_class")) == "NXdetector_module" or name == "module")
    ]
    if not modules:
        raise FileError(f"{path} does not tell where its detector is: {detector.name} has no NXdetector_module.")
    material = material_symbol(text(detector.get("sensor_material")))
    thickness = 0.0
    if "sensor_thickness" in detector:
        thickness = scalar(detector, "sensor_thickness") * length(detector["sensor_thickness"], missing=1e3)
    common = {
        **sensor(material, thickness, wavelength),
        "trusted_range": _trusted_range(detector, dtype),
        "gain": scalar(detector, "data_scale_factor", 1.0),
    }
    return Detector(tuple(_panel(detector, module, common, shape) for module in modules))


def _trusted_range(detector: h5py.Group, dtype: np.dtype[Any]) -> tuple[float, float]:
    low = scalar(detector, "underload_value", 0.0)
    high = scalar(detector, "saturation_value", np.inf)
    limit = _LIMITS.get(dtype.itemsize, 2.0**31 - 2) if dtype.kind == "u" else 2.0**31 - 2
    return low - 0.5, min(high, limit) + 0.5


def _panel(detector: h5py.Group, module: h5py.Group, common: dict[str, Any], shape: tuple[int, ...]) -> Panel:
    fast, slow = module["fast_pixel_direction"], module["slow_pixel_direction"]
    fast_axis, slow_axis = _axis(fast), _axis(slow)
    carrier = _motion(chain(fast, after=True))
    turn = _TO_IMGCIF @ carrier[:3, :3]
    origin = _TO_IMGCIF @ carrier[:3, 3] + turn @ fast_axis.offset
    pixel = float(fast_axis.values[0]), float(slow_axis.values[0])
    data_size = module.get("data_size")
    size = tuple(int(n) for n in np.ravel(data_size[()])[-2:]) if data_size is not None else shape
    data_origin = module.get("data_origin")
    offset = tuple(int(n) for n in np.ravel(data_origin[()])[-2:]) if data_origin is not None else (0, 0)
    panel = Panel(
        turn @ fast_axis.vector,
        turn @ slow_axis.vector,
        origin,
        (size[1], size[0]),
        pixel,
        name=str(module.name),
        raw_image_offset=(offset[1], offset[0]),
        **common,
    )
    if abs(origin[0]) < 1e-9 and abs(origin[1]) < 1e-9 and "beam_center_x" in detector:
        # Files that tell the distance by axes but the place in the plane by the beam centre.
        x, y = scalar(detector, "beam_center_x") * pixel[0], scalar(detector, "beam_center_y") * pixel[1]
        panel = panel.moved(np.eye(3), -x * panel.fast - y * panel.slow)
    return panel
