"""Master files that Dectris's file writer makes: HDF5 with NeXus names, but without chains of axes."""

from pathlib import Path

import h5py
import numpy as np

from puredials.errors import FileError
from puredials.io.formats.frames import Stack, eiger_family, forwards, gap_rectangles, make_panel, sensor
from puredials.io.formats.hdf5_images import frame_blocks
from puredials.io.formats.hdf5_items import dataset, find_entry, group, length, numbers, open_hdf5, scalar, text
from puredials.io.formats.materials import HC, material_symbol
from puredials.io.formats.quirks import master_axis
from puredials.model import Beam, Detector, Goniometer

__all__ = ["read_eiger"]


def read_eiger(path: Path) -> Stack:
    """All that a master file tells of its images."""
    with open_hdf5(path) as file:
        entry = find_entry(file)
        blocks, dtype, shape = frame_blocks(file, entry)
        n_images = sum(block.n for block in blocks)
        detector = group(entry, "instrument/detector")
        if detector is None:
            raise FileError(f"{path} does not describe its detector ({entry.name}/instrument/detector).")
        wavelength = _wavelength(entry, path)
        goniometer, start, width = _goniometer(entry, detector)
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
            epochs=exposure * np.arange(n_images, dtype=np.float64),
        )


def _wavelength(entry: h5py.Group, path: Path) -> float:
    for place, name in (
        ("instrument/beam", "incident_wavelength"),
        ("instrument/monochromator", "wavelength"),
        ("sample/beam", "incident_wavelength"),
    ):
        found = scalar(entry, f"{place}/{name}", 0.0)
        if found > 0:
            return found
    energy = scalar(entry, "instrument/detector/detectorSpecific/photon_energy", 0.0)
    if energy > 0:
        return HC / energy
    raise FileError(f"{path} does not tell the wavelength (instrument/beam/incident_wavelength).")


def _goniometer(entry: h5py.Group, detector: h5py.Group) -> tuple[Goniometer | None, float, float]:
    """One axis, its start, and its width; without a movement the images are stills."""
    angles = group(entry, "sample/goniometer")
    if angles is None:
        return None, 0.0, 0.0
    axis = np.array([master_axis(text(detector.get("detector_number")).strip())])
    for name in ("omega", "phi", "chi", "kappa"):
        width = scalar(angles, f"{name}_range_average", scalar(angles, f"{name}_increment", 0.0))
        positions = numbers(angles, name)
        if not width and len(positions) > 1:
            width = float(positions[-1] - positions[0]) / (len(positions) - 1)
        if width:
            start = float(positions[0]) if len(positions) else scalar(angles, f"{name}_start", 0.0)
            return forwards(Goniometer(axis, np.array([start]), (name,)), start, width)
    return None, 0.0, 0.0


def _detector(detector: h5py.Group, wavelength: float, itemsize: int, shape: tuple[int, ...], path: Path) -> Detector:
    pixel = [1000 * scalar(detector, f"{axis}_pixel_size") for axis in "xy"]
    distance = dataset(detector, "detector_distance") or dataset(detector, "distance")
    if distance is None:
        raise FileError(f"{path} does not tell the distance of the detector ({detector.name}/detector_distance).")
    thickness = dataset(detector, "sensor_thickness")
    in_mm = 0.0 if thickness is None else float(thickness[()]) * length(thickness, missing=1e3)
    size = shape[1], shape[0]
    panel = make_panel(
        distance=float(distance[()]) * length(distance, missing=1e3),
        beam_centre=[scalar(detector, f"beam_center_{axis}") * pixel[k] for k, axis in enumerate("xy")],
        pixel_size=(pixel[0], pixel[1]),
        image_size=size,
        maximum=_limit(detector, itemsize),
        mask=gap_rectangles(size, eiger_family(size)),
        identifier=text(detector.get("detector_number")).strip(),
        **sensor(material_symbol(text(detector.get("sensor_material"))), in_mm, wavelength),
    )
    return Detector((panel,))


def _limit(detector: h5py.Group, itemsize: int) -> float:
    """The highest trusted count: below the cutoff of the count rate correction and the marks of masked pixels."""
    specific = "detectorSpecific/countrate_correction_count_cutoff"
    cutoff = scalar(detector, specific, scalar(detector, "saturation_value", np.inf))
    bits = int(scalar(detector, "bit_depth_image", 8 * itemsize))
    return min(cutoff, 2.0 ** min(bits, 31) - 3)
