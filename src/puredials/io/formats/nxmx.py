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
from puredials.io.formats.hdf5_images import frame_blocks
from puredials.io.formats.hdf5_items import dataset, find_entry, group, length, numbers, open_hdf5, scalar, text
from puredials.io.formats.materials import HC, material_symbol
from puredials.model import Beam, Detector, Goniometer, Panel

__all__ = ["read_nxmx"]

_TO_IMGCIF = np.diag([-1.0, 1.0, -1.0])
# A value equal to one of the two highest of an unsigned type marks a masked or overloaded pixel.
_LIMITS = {1: 253.0, 2: 65533.0, 4: 2.0**31 - 2}


@dataclass(frozen=True)
class _Axis:
    """One axis of a chain: its values are degrees or mm; vector and offset (mm) in the McStas frame."""

    name: str
    kind: str
    vector: NDArray[np.float64]
    values: NDArray[np.float64]
    offset: NDArray[np.float64]
    ends: NDArray[np.float64]
    increment: float

    def matrix(self, position: float | None = None) -> NDArray[np.float64]:
        """(4, 4) motion at its first value or at `position`."""
        value = self.values[0] if position is None else position
        return transform(self.kind, self.vector, float(value), self.offset)


def _chain(start: Any, *, after: bool = False) -> Iterator[_Axis]:
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


def _axis(item: h5py.Dataset) -> _Axis:
    kind = text(item.attrs.get("transformation_type"))
    values = np.atleast_1d(np.asarray(item[()], dtype=np.float64)).ravel()
    parent, name = item.parent, str(item.name).rsplit("/", 1)[-1]
    factor = 1.0
    if kind == "translation":
        factor = length(item)
    elif kind == "rotation" and text(item.attrs.get("units")).strip().lower().startswith("rad"):
        factor = 180 / np.pi
    ends, increment = numbers(parent, f"{name}_end"), numbers(parent, f"{name}_increment_set")
    offset = np.asarray(item.attrs.get("offset", np.zeros(3)), dtype=np.float64)
    in_mm = length(item, "offset_units", missing=factor if kind == "translation" else 1.0)
    vector = np.asarray(item.attrs.get("vector", np.zeros(3)), dtype=np.float64)
    return _Axis(
        name=name,
        kind=kind,
        vector=vector / (np.linalg.norm(vector) or 1.0),
        values=values * factor,
        offset=offset * in_mm,
        ends=ends * factor,
        increment=float(increment[0]) * factor if increment.size else 0.0,
    )


def _motion(axes: Iterator[_Axis]) -> NDArray[np.float64]:
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
            epochs=exposure * np.arange(n_images, dtype=np.float64),
        )


def _of_class(parent: h5py.Group, nx_class: str, name: str, path: Path) -> h5py.Group:
    named = group(parent, name)
    for item in parent.values() if named is None else (named,):
        if item is named or (isinstance(item, h5py.Group) and text(item.attrs.get("NX_class")) == nx_class):
            return item
    raise FileError(f"{path} has no {nx_class} in {parent.name}, without which its geometry is unknown.")


def _beam(entry: h5py.Group, instrument: h5py.Group, path: Path) -> Beam:
    places = [group(instrument, "beam"), *(group(g, "beam") for g in entry.values() if isinstance(g, h5py.Group))]
    for place in filter(None, places):
        item = dataset(place, "incident_wavelength")
        wavelength = 0.0
        if item is not None:
            wavelength = scalar(place, "incident_wavelength", 0.0) * length(item, missing=1e-7) * 1e7
        elif scalar(place, "incident_energy", 0.0) > 0:
            wavelength = HC / scalar(place, "incident_energy")
        if wavelength > 0:
            return Beam(np.array([0.0, 0.0, 1.0]), wavelength)
    raise FileError(f"{path} does not tell the wavelength (instrument/beam/incident_wavelength).")


def _goniometer(entry: h5py.Group, n_images: int, path: Path) -> tuple[Goniometer | None, float, float]:
    """The goniometer, and start and width of the scan; without a moving axis the images are stills."""
    sample = group(entry, "sample")
    if sample is None:
        return None, 0.0, 0.0
    axes = [axis for axis in _chain(sample) if axis.kind == "rotation"]
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


def _width(axis: _Axis, n_images: int) -> float:
    """Degrees an image turns about an axis; 0 if it stands still."""
    values = axis.values
    if len(values) > 1:
        steps = np.diff(values)
        return float((values[-1] - values[0]) / len(steps)) if np.median(steps) else 0.0
    if len(axis.ends) == len(values):
        return float(axis.ends[0] - values[0]) / n_images
    return axis.increment if n_images == 1 else 0.0


def _detector(
    detector: h5py.Group, wavelength: float, dtype: np.dtype[Any], shape: tuple[int, ...], path: Path
) -> Detector:
    modules = [
        item
        for name, item in detector.items()
        if isinstance(item, h5py.Group)
        and (text(item.attrs.get("NX_class")) == "NXdetector_module" or name == "module")
    ]
    if not modules:
        raise FileError(f"{path} does not tell where its detector is: {detector.name} has no NXdetector_module.")
    material = material_symbol(text(detector.get("sensor_material")))
    thickness = dataset(detector, "sensor_thickness")
    in_mm = 0.0 if thickness is None else float(thickness[()]) * length(thickness, missing=1e3)
    common = {
        **sensor(material, in_mm, wavelength),
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
    fast, slow = dataset(module, "fast_pixel_direction"), dataset(module, "slow_pixel_direction")
    if fast is None or slow is None:
        raise FileError(f"{module.name} in {module.file.filename} does not tell both its pixel directions.")
    fast_axis, slow_axis = _axis(fast), _axis(slow)
    carrier = _motion(_chain(fast, after=True))
    turn = _TO_IMGCIF @ carrier[:3, :3]
    origin = _TO_IMGCIF @ carrier[:3, 3] + turn @ fast_axis.offset
    pixel = float(fast_axis.values[0]), float(slow_axis.values[0])
    size = [int(n) for n in numbers(module, "data_size")[-2:]] or shape
    offset = [int(n) for n in numbers(module, "data_origin")[-2:]] or (0, 0)
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
