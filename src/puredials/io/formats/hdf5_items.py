"""Groups, datasets, numbers and texts of HDF5 files that are laid out as NeXus."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError

__all__ = ["dataset", "find_entry", "group", "length", "numbers", "open_hdf5", "reason", "scalar", "text"]

# Millimetres in units of length.
_UNITS = {
    **{"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "nm": 1e-6, "angstrom": 1e-7},
    **{"metre": 1e3, "meter": 1e3, "metres": 1e3, "meters": 1e3, "millimetre": 1.0, "millimeter": 1.0},
}


def open_hdf5(path: Path | str) -> h5py.File:
    """The file opened for reading."""
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise FileError(f"The image file {path} does not exist.") from None
    except OSError as error:
        raise FileError(f"The HDF5 file {path} cannot be read; it is truncated or damaged ({reason(error)}).") from None


def reason(error: Exception) -> str:
    return str(error).split("(", 1)[-1].rstrip(")")


def group(parent: Any, name: str) -> h5py.Group | None:
    """The group of that name or path, if there is one."""
    found = parent.get(name)
    return found if isinstance(found, h5py.Group) else None


def dataset(parent: Any, name: str) -> h5py.Dataset | None:
    """The dataset of that name or path, if there is one."""
    found = parent.get(name)
    return found if isinstance(found, h5py.Dataset) else None


def text(value: Any, default: str = "") -> str:
    """A string from an attribute, a dataset or nothing."""
    if isinstance(value, h5py.Dataset):
        value = value[()]
    if isinstance(value, np.ndarray):
        value = value.flat[0] if value.size else default
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return default if value is None else str(value)


def numbers(parent: Any, name: str) -> NDArray[np.float64]:
    """All numbers of a dataset, in one dimension; none without it."""
    found = dataset(parent, name)
    if found is None:
        return np.zeros(0)
    try:
        return np.ravel(np.asarray(found[()], dtype=np.float64))
    except (TypeError, ValueError):
        return np.zeros(0)


def scalar(parent: Any, name: str, default: float | None = None) -> float:
    """The first number of a dataset."""
    found = numbers(parent, name)
    if found.size:
        return float(found[0])
    if default is None:
        file = parent.file.filename
        raise FileError(f"{file} has no number {parent.name}/{name}, without which its geometry is unknown.")
    return default


def length(item: Any, attribute: str = "units", *, missing: float = 1.0) -> float:
    """Millimetres in the unit that a dataset names."""
    unit = text(item.attrs.get(attribute)).strip()
    if not unit:
        return missing
    factor = _UNITS.get(unit if unit in _UNITS else unit.lower())
    if factor is None:
        raise FileError(f'The unit "{unit}" of {item.name} in {item.file.filename} is not a unit of length.')
    return factor


def find_entry(file: h5py.File) -> h5py.Group:
    """The NXentry with images: the default one, "entry", or the first such group."""
    for name in dict.fromkeys((text(file.attrs.get("default")), "entry", *file)):
        entry = group(file, str(name)) if name else None
        if entry is not None and "data" in entry:
            return entry
    raise FileError(
        f"{file.filename} is an HDF5 file without an entry of images; give the master (.nxs or _master.h5) file."
    )
