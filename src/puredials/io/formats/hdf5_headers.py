"""HDF5 files: NXmx, or the master files that Dectris wrote before it."""

from pathlib import Path

import h5py

from puredials.errors import FileError
from puredials.io.formats.frames import Stack
from puredials.io.formats.hdf5_items import find_entry, group, open_hdf5

__all__ = ["read_stack"]


def read_stack(path: Path) -> Stack:
    """What the file tells of its images."""
    with open_hdf5(path) as file:
        entry = find_entry(file)
        if group(entry, "instrument") is None:
            raise FileError(f"{path} holds images but does not describe the experiment; give its master file instead.")
        detector = group(entry, "instrument/detector")
        is_nxmx = detector is None or any(
            isinstance(item, h5py.Group) and "fast_pixel_direction" in item for item in detector.values()
        )
    if is_nxmx:
        from puredials.io.formats.nxmx import read_nxmx

        return read_nxmx(path)
    from puredials.io.formats.eiger import read_eiger

    return read_eiger(path)
