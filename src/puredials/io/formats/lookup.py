"""Masks of untrusted pixels that the user supplies."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError, MismatchError
from puredials.io.formats.dials_mask import mask_of_stream, stream_of_mask
from puredials.model import Detector

__all__ = ["read_mask", "write_mask"]


def read_mask(path: Path, detector: Detector) -> tuple[NDArray[np.bool_], ...]:
    """One (slow, fast) array a panel, True where a pixel may be used.

    Files: NumPy (.npy) or TIFF images that are not 0 where a pixel may be used, HDF5 files with a dataset "mask" of
    the same meaning or a NeXus "pixel_mask", which is 0 there, or what DIALS writes. Several panels are one raster, or
    the first axis, or datasets "mask_0", "mask_1" ... of an HDF5 file.
    """
    if not path.exists():
        raise FileError(f"The mask file {path} does not exist.")
    if path.is_dir():
        raise FileError(f"The mask file {path} is a folder.")
    values = _values(path)
    if isinstance(values, list):
        masks = values
    elif values.ndim == 2:
        masks = _cut(values, detector)
    else:
        masks = list(values)
    if [m.shape for m in masks] != [panel.image_size[::-1] for panel in detector.panels]:
        raise MismatchError(f"The mask in {path} has the shape {_shape(values)}, which is not that of the detector.")
    return tuple(masks)


def write_mask(path: Path, masks: Sequence[NDArray[np.bool_]]) -> None:
    """Write one (slow, fast) array a panel, True where a pixel may be used: a .npy file, or else an HDF5 file.

    The HDF5 file begins with a block in which DIALS finds the mask as it would have written it.
    """
    stack = len({mask.shape for mask in masks}) == 1
    if path.suffix == ".npy":
        if not stack:
            raise FileError(f"{path} cannot hold panels of different sizes; name an .h5 file instead.")
        np.save(path, masks[0] if len(masks) == 1 else np.stack(masks), allow_pickle=False)
        return
    import h5py

    values = {"mask": masks[0] if len(masks) == 1 else np.stack(masks)} if stack else {}
    values = values or {f"mask_{n}": mask for n, mask in enumerate(masks)}
    stream = stream_of_mask(masks)
    with h5py.File(path, "w", userblock_size=max(512, 1 << (len(stream) - 1).bit_length())) as file:
        for name, mask in values.items():
            file.create_dataset(name, data=mask.astype(np.uint8), compression="gzip", compression_opts=1, shuffle=True)
    with path.open("r+b") as file:
        file.write(stream)


def _cut(raster: NDArray[np.bool_], detector: Detector) -> list[NDArray[np.bool_]]:
    """The parts of a raster that are the panels', or the raster itself if it cannot be that of this detector."""
    windows = [(*p.raw_image_offset, *p.image_size) for p in detector.panels]
    if len(windows) == 1 and raster.shape == windows[0][3:1:-1]:
        return [raster]
    width, height = (max(w[k] + w[k + 2] for w in windows) for k in (0, 1))
    of_part = min(w[0] for w in windows) > 0 or min(w[1] for w in windows) > 0  # of a larger image
    if raster.shape != (height, width) and not of_part:
        return [raster]
    return [raster[y : y + ny, x : x + nx] for x, y, nx, ny in windows]


def _shape(values: NDArray[np.bool_] | list[NDArray[np.bool_]]) -> str:
    return str(values.shape) if isinstance(values, np.ndarray) else ", ".join(str(v.shape) for v in values)


def _values(path: Path) -> NDArray[np.bool_] | list[NDArray[np.bool_]]:
    import h5py

    with path.open("rb") as file:
        head = file.read(8)
    try:
        if head.startswith(b"\x93NUMPY"):
            return _nonzero(np.load(path, allow_pickle=False))
        if h5py.is_hdf5(path):
            return _hdf5(path)
        if head[:4] in (b"II*\0", b"MM\0*"):
            import fabio

            with fabio.open(str(path)) as image:
                return _nonzero(np.asarray(image.data))
        if head.startswith(b"\x80") and (masks := mask_of_stream(path.read_bytes())):
            return masks
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:  # h5py and fabio raise any of them
        raise FileError(f"The mask file {path} cannot be read: {error}.") from None
    hint = "; a pickled mask can be made anew with dials.generate_mask" if head.startswith(b"\x80") else ""
    raise FileError(f"The mask file {path} is not a NumPy (.npy), HDF5 or TIFF file{hint}.")


def _nonzero(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind not in "biuf" or values.ndim < 2:
        raise ValueError(f"its {values.ndim}-dimensional values of type {values.dtype} are no image")
    return values != 0


def _hdf5(path: Path) -> NDArray[np.bool_] | list[NDArray[np.bool_]]:
    import h5py

    with h5py.File(path, "r") as file:
        found: dict[str, Any] = {}

        def note(name: str, item: Any) -> None:
            last = name.rsplit("/", 1)[-1]
            if isinstance(item, h5py.Dataset) and item.ndim in (2, 3) and re.fullmatch(r"mask(_\d+)?|pixel_mask", last):
                found.setdefault(last, item)

        file.visititems(note)
        if "mask" in found:
            return _nonzero(found["mask"][()])
        if "pixel_mask" in found:
            return ~_nonzero(found["pixel_mask"][()])
        if "mask_0" in found:
            return [_nonzero(found[f"mask_{n}"][()]) for n in range(len(found)) if f"mask_{n}" in found]
    raise ValueError('it has no dataset "mask" or "pixel_mask"')
