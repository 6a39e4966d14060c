"""Writing of NXmx files (NeXus; Bernstein et al. 2020, IUCrJ 7, 784): data files and a master."""

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from puredials.simulate.detector import RecordedDetector
from puredials.simulate.writing import RecordedAxis, RecordedSweep

__all__ = ["NxmxWriter"]

# Laboratory (imgCIF) frame -> the McStas frame of NeXus.
_TO_MCSTAS = np.diag([-1.0, 1.0, -1.0])
_DETECTOR = "/entry/instrument/detector"
_SAMPLE = "/entry/sample/transformations"


class NxmxWriter:
    """Writes PREFIX_000001.h5 and so on, and at the end PREFIX.nxs."""

    def __init__(self, folder: Path, sweep: RecordedSweep, images_per_file: int) -> None:
        self.folder, self.sweep, self.images_per_file = folder, sweep, images_per_file
        self.dtype = np.dtype(sweep.dtype)
        self.gap = int(np.iinfo(self.dtype).max)
        self.overload = self.gap - 1
        self._shape = sweep.mask.shape
        self._files: list[tuple[str, int]] = []
        self._file: h5py.File | None = None
        self._index = 0

    def write(self, image: NDArray[np.integer]) -> None:
        at = self._index % self.images_per_file
        if at == 0:
            self._open_next()
        self._data[at] = image
        self._index += 1

    def _open_next(self) -> None:
        if self._file:
            self._file.close()
        name = f"{self.sweep.prefix}_{len(self._files) + 1:06d}.h5"
        n = min(self.images_per_file, self.sweep.n_images - self._index)
        self._files.append((name, n))
        self._file = h5py.File(self.folder / name, "w")
        shape = (n, *self._shape)
        self._data = self._file.create_dataset(
            "data", shape=shape, dtype=self.dtype, chunks=(1, *self._shape), **_compressed()
        )

    def close(self) -> Path:
        if self._file:
            self._file.close()
        path = self.folder / f"{self.sweep.prefix}.nxs"
        with h5py.File(path, "w") as master:
            master.attrs["default"] = "entry"
            entry = _group(master, "entry", "NXentry")
            entry.attrs["default"] = "data"
            _text(entry, "definition", "NXmx")
            _text(entry, "start_time", "2024-01-01T00:00:00Z")
            _text(entry, "end_time_estimated", "2024-01-01T00:10:00Z")
            self._link_data(_group(entry, "data", "NXdata"))
            source = _group(entry, "source", "NXsource")
            _text(source, "name", "Simulated synchrotron")
            _text(source, "type", "Synchrotron X-ray Source")
            instrument = _group(entry, "instrument", "NXinstrument")
            _text(instrument, "name", "SIMULATED BEAMLINE")
            instrument["name"].attrs["short_name"] = "SIM"
            _write_beam(instrument, self.sweep)
            _write_detector(instrument, self.sweep, self.dtype)
            _write_sample(entry, self.sweep)
        return path

    def _link_data(self, data: h5py.Group) -> None:
        """One external link a data file, and a virtual data set over all."""
        data.attrs["signal"] = "data"
        layout = h5py.VirtualLayout(shape=(self.sweep.n_images, *self._shape), dtype=self.dtype)
        start = 0
        for k, (name, n) in enumerate(self._files):
            data[f"data_{k + 1:06d}"] = h5py.ExternalLink(name, "/data")
            layout[start : start + n] = h5py.VirtualSource(name, "data", shape=(n, *self._shape))
            start += n
        data.create_virtual_dataset("data", layout)


def _write_beam(instrument: h5py.Group, sweep: RecordedSweep) -> None:
    beam = _group(instrument, "beam", "NXbeam")
    beam.create_dataset("incident_wavelength", data=sweep.wavelength).attrs["units"] = "angstrom"
    stokes = np.array([1.0, 2 * sweep.polarization - 1, 0.0, 0.0])
    beam.create_dataset("incident_polarization_stokes", data=stokes)


def _write_detector(instrument: h5py.Group, sweep: RecordedSweep, dtype: np.dtype) -> None:
    recorded = sweep.detector
    group = _group(instrument, "detector", "NXdetector")
    _text(group, "depends_on", f"{_DETECTOR}/transformations/det_z")
    _text(group, "description", recorded.description)
    _text(group, "type", "Pixel")
    _text(group, "sensor_material", recorded.material)
    for name, value, unit in (
        ("sensor_thickness", recorded.sensor_mm * 1e-3, "m"),
        ("x_pixel_size", recorded.pixel_mm * 1e-3, "m"),
        ("y_pixel_size", recorded.pixel_mm * 1e-3, "m"),
        ("distance", recorded.distance_mm * 1e-3, "m"),
        ("beam_center_x", recorded.beam_centre_px[0], "pixel"),
        ("beam_center_y", recorded.beam_centre_px[1], "pixel"),
        ("count_time", sweep.exposure_s, "s"),
        ("frame_time", sweep.exposure_s, "s"),
    ):
        group.create_dataset(name, data=float(value)).attrs["units"] = unit
    bits = 8 * dtype.itemsize
    for name, whole in (
        ("saturation_value", recorded.saturation),
        ("underload_value", 0),
        ("bit_depth_readout", bits),
        ("bit_depth_image", bits),
    ):
        group.create_dataset(name, data=np.int64(whole))
    group.create_dataset("pixel_mask", data=sweep.mask, chunks=sweep.mask.shape, **_compressed())
    group.create_dataset("pixel_mask_applied", data=False)
    transformations = _group(group, "transformations", "NXtransformations")
    base, parent = f"{_DETECTOR}/transformations", "."
    if recorded.two_theta_deg:
        axis = _TO_MCSTAS @ np.array(recorded.two_theta_axis)
        _axis(transformations, "two_theta", [recorded.two_theta_deg], "rotation", axis, ".", "deg")
        parent = f"{base}/two_theta"
    _axis(transformations, "det_z", [recorded.distance_mm], "translation", np.array([0.0, 0.0, 1.0]), parent, "mm")
    single = len(recorded.modules) == 1
    for k, corner in enumerate(recorded.modules):
        _write_module(group, "module" if single else f"module_{k}", recorded, corner)


def _write_module(group: h5py.Group, name: str, detector: RecordedDetector, corner: tuple[int, int]) -> None:
    """A rectangle of the image, which starts at the pixel `corner` (fast, slow)."""
    module = _group(group, name, "NXdetector_module")
    module.create_dataset("data_origin", data=np.array(corner[::-1], dtype=np.int64))
    module.create_dataset("data_size", data=np.array(detector.module_size[::-1], dtype=np.int64))
    x, y = corner[0] - detector.beam_centre_px[0], corner[1] - detector.beam_centre_px[1]
    offset = np.array([x, -y, 0.0]) * detector.pixel_mm
    length = float(np.linalg.norm(offset))
    direction = _TO_MCSTAS @ offset / length
    _axis(module, "module_offset", [length], "translation", direction, f"{_DETECTOR}/transformations/det_z", "mm")
    for side, vector in (("fast", (1.0, 0.0, 0.0)), ("slow", (0.0, -1.0, 0.0))):
        parent = f"{_DETECTOR}/{name}/module_offset"
        axis = _axis(
            module,
            f"{side}_pixel_direction",
            [detector.pixel_mm],
            "translation",
            _TO_MCSTAS @ np.array(vector),
            parent,
            "mm",
        )
        axis.attrs["offset"] = np.zeros(3)
        axis.attrs["offset_units"] = "mm"


def _write_sample(entry: h5py.Group, sweep: RecordedSweep) -> None:
    sample = _group(entry, "sample", "NXsample")
    _text(sample, "name", sweep.prefix)
    _text(sample, "depends_on", f"{_SAMPLE}/{sweep.axes[0].name}")
    transformations = _group(sample, "transformations", "NXtransformations")
    for axis, outer in zip(sweep.axes, [*sweep.axes[1:], None], strict=True):
        _write_goniometer_axis(transformations, axis, f"{_SAMPLE}/{outer.name}" if outer else ".")


def _write_goniometer_axis(group: h5py.Group, axis: RecordedAxis, parent: str) -> None:
    angles = np.atleast_1d(np.asarray(axis.angles, dtype=np.float64))
    _axis(group, axis.name, angles, "rotation", _TO_MCSTAS @ axis.vector, parent, "deg")
    if axis.is_scanned:
        group.create_dataset(f"{axis.name}_end", data=angles + axis.width).attrs["units"] = "deg"
        group.create_dataset(f"{axis.name}_increment_set", data=axis.width).attrs["units"] = "deg"


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _text(group: h5py.Group, name: str, value: str) -> None:
    group.create_dataset(name, data=np.bytes_(value))


def _axis(
    group: h5py.Group, name: str, value: Any, kind: str, vector: np.ndarray, depends_on: str, unit: str
) -> h5py.Dataset:
    """One axis of an NXtransformations group, in the McStas frame."""
    axis = group.create_dataset(name, data=value)
    axis.attrs["transformation_type"] = np.bytes_(kind)
    axis.attrs["vector"] = vector
    axis.attrs["depends_on"] = np.bytes_(depends_on)
    axis.attrs["units"] = np.bytes_(unit)
    return axis


def _compressed() -> dict[str, Any]:
    return dict(hdf5plugin.Bitshuffle(nelems=0, cname="lz4"))
