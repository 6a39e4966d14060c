"""Masks of untrusted pixels that the user supplies."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError, MismatchError
from puredials.model import Detector

__all__ = ["read_mask"]


def read_mask(path: Path, detector: Detector) -> tuple[NDArray[np.bool_], ...]:
    """One (slow, fast) array a panel, True where a pixel may be used.

    Files: NumPy (.npy) or TIFF images that are not 0 where a pixel may be used, or HDF5 files with a dataset "mask" of
    the same meaning or a NeXus "pixel_mask", which is 0 there. Several panels are one raster, or the first axis.
    """
    if not path.exists():
        raise FileError(f"The mask file {path} does not exist.")
    values = _values(path)
    if values.ndim == 2:
        masks = []
        for panel in detector.panels:
            (x, y), (nx, ny) = panel.raw_image_offset, panel.image_size
            alone = len(detector) == 1 and values.shape == (ny, nx)
            masks.append(values if alone else values[y : y + ny, x : x + nx])
    else:
        masks = list(values)
    if [m.shape for m in masks] != [panel.image_size[::-1] for panel in detector.panels]:
        raise MismatchError(f"The mask in {path} has the shape {values.shape}, which is not that of the detector.")
    return tuple(masks)


def _values(path: Path) -> NDArray[np.bool_]:
    head = path.read_bytes()[:8]
    try:
        if head.startswith(b"\x93NUMPY"):
            return np.load(path, allow_pickle=False) != 0
        if head.startswith(b"\x89HDF"):
            return _hdf5(path)
        if head[:4] in (b"II*\0", b"MM\0*"):
            import fabio

            with fabio.open(str(path)) as image:
                return np.asarray(image.data) != 0
    except (OSError, ValueError) as error:
        raise FileError(f"The mask file {path} cannot be read: {error}.") from None
    hint = "; a pickled mask can be made anew with dials.generate_mask" if head.startswith(b"\x80") else ""
    raise FileError(f"The mask file {path} is not a NumPy (.npy), HDF5 or TIFF file{hint}.")


def _hdf5(path: Path) -> NDArray[np.bool_]:
    import h5py

    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.setdefault(name.rsplit("/", 1)[-1], item[()] if _is_array(item) else None)
        )
    for name, usable in (("mask", lambda v: v != 0), ("pixel_mask", lambda v: v == 0)):
        if found.get(name) is not None:
            return usable(np.asarray(found[name]))
    raise FileError(f'The HDF5 file {path} has no dataset "mask" or "pixel_mask".')


def _is_array(item: Any) -> bool:
    import h5py

    return isinstance(item, h5py.Dataset) and item.ndim in (2, 3)
