"""Master files that Dectris's file writer makes: HDF5 with NeXus names, but without chains of axes."""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError
from puredials.io.formats.frames import Stack, eiger_family, forwards, gap_rectangles, make_panel, sensor
from puredials.io.formats.hdf5_images import find_entry, frame_blocks, open_hdf5
from puredials.io.formats.materials import HC, material_symbol
from puredials.io.formats.nxmx import length, scalar, text
from puredials.io.formats.quirks import master_axis
from puredials.model import Beam, Detector, Goniometer

__all__ = ["read_eiger"]


def read_eiger(path: Path) -> Stack:
    """All that a master file tells of its images."""
    with open_hdf5(path) as file:
        entry = find_entry(file)
        blocks, dtype, shape = frame_blocks(file, entry)
        n_images = sum(block.n for block in blocks)
        detector = entry["instrument/detector"]
        wavelength = _wavelength(entry, path)
        goniometer, start, width = _goniometer(entry, detector, n_images)
        exposure = scalar(detector, "frame_time", scalar(detector, "count_time", 0.0))
        return Stack(
            format="FormatHDF5EigerNearlyNexus",
            beam=Beam(np.array([0.0, 0.0, 1.0]), wavelength),
            detector=_detector(detector, wavelength, dtype.itemsize, shape, path),
            goniometer=goniometer,
            n_images=n_images,
            start=start,
            width=width,
            exposure=np.full(n_images, exposure),
            epochs=exposure * np.arange(n_images),
        )


def _wavelength(entry: h5py.Group, path: Path) -> float:
    for place, name in (
        ("instrument/beam", "incident_wavelength"),
        ("instrument/monochromator", "wavelength"),
        ("sample/beam", "incident_wavelength"),
    ):
        group = entry.get(place)
        if isinstance(group, h5py.Group) and scalar(group, name, 0.0) > 0:
            return scalar(group, name)
    energy = scalar(entry["instrument/detector"], "detectorSpecific/photon_energy", 0.0)
    if energy > 0:
        return HC / energy
    raise FileError(f"{path} does not tell the wavelength; give it as geometry.beam.wavelength=...")


def _goniometer(entry: h5py.Group, detector: h5py.Group, n_images: int) -> tuple[Goniometer | None, float, float]:
    """One axis, its start, and its width; without a movement the images are stills."""
    group = entry.get("sample/goniometer")
    if not isinstance(group, h5py.Group):
        return None, 0.0, 0.0
    axis = np.array([master_axis(text(detector.get("detector_number")).strip())])
    for name in ("omega", "phi", "chi", "kappa"):
        width = scalar(group, f"{name}_range_average", scalar(group, f"{name}_increment", 0.0))
        positions = _values(group, name)
        if not width and len(positions) > 1:
            width = float(positions[-1] - positions[0]) / (len(positions) - 1)
        if width:
            start = float(positions[0]) if len(positions) else scalar(group, f"{name}_start", 0.0)
            return forwards(Goniometer(axis, np.array([start]), (name,)), start, width)
    return None, 0.0, 0.0


def _values(group: h5py.Group, name: str) -> NDArray[np.float64]:
    item = group.get(name)
    return np.atleast_1d(np.asarray(item[()], dtype=np.float64)) if isinstance(item, h5py.Dataset) else np.zeros(0)


def _detector(detector: h5py.Group, wavelength: float, itemsize: int, shape: tuple[int, ...], path: Path) -> Detector:
    pixel = [1000 * scalar(detector, f"{axis}_pixel_size") for axis in "xy"]
    distance = detector.get("detector_distance", detector.get("distance"))
    if not isinstance(distance, h5py.Dataset):
        raise FileError(f"{path} does not tell the distance of the detector ({detector.name}/detector_distance).")
    thickness = 0.0
    if "sensor_thickness" in detector:
        thickness = scalar(detector, "sensor_thickness") * length(detector["sensor_thickness"], missing=1e3)
    size = shape[1], shape[0]
    panel = make_panel(
        distance=float(distance[()]) * length(distance, missing=1e3),
        beam_centre=[scalar(detector, f"beam_center_{axis}") * pixel[k] for k, axis in enumerate("xy")],
        pixel_size=(pixel[0], pixel[1]),
        image_size=size,
        maximum=_limit(detector, itemsize),
        mask=gap_rectangles(size, eiger_family(size)),
        identifier=text(detector.get("detector_number")).strip(),
        **sensor(material_symbol(text(detector.get("sensor_material"))), thickness, wavelength),
    )
    return Detector((panel,))


def _limit(detector: h5py.Group, itemsize: int) -> float:
    """The highest trusted count: below the cutoff of the count rate correction and the marks of masked pixels."""
    specific = "detectorSpecific/countrate_correction_count_cutoff"
    cutoff = scalar(detector, specific, scalar(detector, "saturation_value", np.inf))
    bits = int(scalar(detector, "bit_depth_image", 8 * itemsize))
    return min(cutoff, 2.0 ** min(bits, 31) - 3)
