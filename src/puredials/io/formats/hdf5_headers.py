"""HDF5 files: NXmx, or the master files that Dectris wrote before it."""

from pathlib import Path

import h5py

from puredials.errors import FileError
from puredials.io.formats.frames import Stack
from puredials.io.formats.hdf5_images import find_entry, open_hdf5

__all__ = ["read_stack"]


def read_stack(path: Path) -> Stack:
    """What the file tells of its images."""
    with open_hdf5(path) as file:
        entry = find_entry(file)
        detector = entry.get("instrument/detector")
        has_module = isinstance(detector, h5py.Group) and any(
            isinstance(item, h5py.Group) and "fast_pixel_direction" in item for item in detector.values()
        )
        if not isinstance(detector, h5py.Group):
            raise FileError(f"{path} holds images but no {entry.name}/instrument/detector; give its master file instead.")
    if has_module:
        from puredials.io.formats.nxmx import read_nxmx

        return read_nxmx(path)
    from puredials.io.formats.eiger import read_eiger

    return read_eiger(path)
