"""MTZ files: merged data, unmerged data with batch headers, and free flags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from jaxtyping import Float64, Int, Int32
from numpy.typing import NDArray

from puredials.errors import FileError, MismatchError
from puredials.io.mtz_batches import Batch

__all__ = ["MtzDataset", "read_free_flags", "space_group_of", "write_merged_mtz", "write_unmerged_mtz"]

_FREE_LABELS = ("FreeR_flag", "FREER", "RFREE", "FREE", "R-free-flags", "FreeRflag", "r_free_flags", "FREEFLAG")


def space_group_of(symmetry: gemmi.GroupOps) -> gemmi.SpaceGroup:
    """The tabulated space group, which an MTZ file needs."""
    group = gemmi.find_spacegroup_by_ops(symmetry)
    if group is None:
        raise MismatchError("The space group's setting is not in the tables; reindex the data to a standard setting.")
    return group


@dataclass(frozen=True, eq=False)
class MtzDataset:
    """Columns of merged data at a wavelength (Angstrom): label -> MTZ type and values (NaN: missing)."""

    columns: Mapping[str, tuple[str, NDArray[Any]]]
    wavelength: float
    crystal: str = "XTAL"
    name: str = "NATIVE"


def write_merged_mtz(
    path: Path | str,
    hkl: Int32[np.ndarray, "m 3"],
    datasets: Sequence[MtzDataset],
    *,
    cell: gemmi.UnitCell,
    space_group: gemmi.SpaceGroup,
    project: str = "AUTOMATIC",
    history: Sequence[str] = (),
) -> None:
    """Write unique reflections; the columns of all data sets have a value for each, and labels of their own."""
    mtz = _new(cell, space_group, project, [(d.crystal, d.name, d.wavelength) for d in datasets], history)
    data = np.empty((len(hkl), 3 + sum(len(d.columns) for d in datasets)), dtype=np.float32)
    data[:, :3] = hkl
    for number, dataset in enumerate(datasets, 1):
        for label, (kind, values) in dataset.columns.items():
            data[:, len(mtz.columns)] = values
            mtz.add_column(label, kind, dataset_id=number)
    order = np.lexsort(hkl.T[::-1])
    mtz.set_data(np.ascontiguousarray(data[order]))
    mtz.sort_order = [1, 2, 3, 0, 0]
    _write(mtz, path)


def write_unmerged_mtz(
    path: Path | str,
    hkl: Int32[np.ndarray, "n 3"],
    batch: Int[np.ndarray, " n"],
    columns: Mapping[str, tuple[str, NDArray[Any]]],
    batches: Sequence[Batch],
    *,
    cell: gemmi.UnitCell,
    space_group: gemmi.SpaceGroup,
    wavelengths: Sequence[float],
    project: str = "DIALS",
    crystal: str = "XTAL",
    dataset: str = "FROMDIALS",
    history: Sequence[str] = (),
) -> None:
    """Write observations with indices `hkl` as measured: the file holds those of the asymmetric unit, and M/ISYM.

    There is a data set for each wavelength (Angstrom); the headers of the batches say of which each batch is.
    """
    names = [dataset if k == 1 else f"{dataset}_{k}" for k in range(1, len(wavelengths) + 1)]
    sets = [(crystal, name, wavelength) for name, wavelength in zip(names, wavelengths, strict=True)]
    mtz = _new(cell, space_group, project, sets, history)
    mtz.add_column("M/ISYM", "Y", dataset_id=1)
    mtz.add_column("BATCH", "B", dataset_id=1)
    data = np.empty((len(hkl), 5 + len(columns)), dtype=np.float32)
    data[:, :3], data[:, 3] = _into_asu(hkl, space_group)
    data[:, 4] = batch
    for i, (label, (kind, values)) in enumerate(columns.items()):
        mtz.add_column(label, kind, dataset_id=1)
        data[:, 5 + i] = values
    mtz.set_data(data)
    for header in batches:
        item = gemmi.Mtz.Batch()
        item.number = header.number
        item.title = f"Batch {header.number}"
        item.axes = ["AXIS"]
        for i, value in enumerate(header.ints):
            item.ints[i] = value
        for i, value in enumerate(header.floats):
            item.floats[i] = value
        mtz.batches.append(item)
    _write(mtz, path)


def read_free_flags(path: Path | str) -> tuple[Int32[np.ndarray, "k 3"], Int32[np.ndarray, " k"]]:
    """Indices and free flags of a merged MTZ file; missing flags are left out."""
    mtz = read_mtz(path)
    for label in _FREE_LABELS:
        column = mtz.column_with_label(label)
        if column is not None:
            flags = np.asarray(column.array)
            known = np.isfinite(flags)
            return mtz.make_miller_array()[known].astype(np.int32), flags[known].astype(np.int32)
    raise FileError(f"{path} has no column of free flags (such as FreeR_flag).")


def read_mtz(path: Path | str) -> gemmi.Mtz:
    """The MTZ file, in gemmi's form."""
    if not Path(path).is_file():
        raise FileError(f"{path} does not exist.")
    try:
        return gemmi.read_mtz_file(str(path))
    except (RuntimeError, ValueError) as error:
        raise FileError(f"{path} is not an MTZ file that can be read ({error}).") from error


def merged_intensities(
    mtz: gemmi.Mtz,
) -> tuple[Int32[np.ndarray, "k 3"], Float64[np.ndarray, " k"]]:
    """Indices and intensities of a merged MTZ file: its first column of mean intensities, else squared amplitudes."""
    for kind, power in (("J", 1), ("F", 2)):
        columns = mtz.columns_with_type(kind)
        if len(columns):
            values = np.asarray(columns[0].array, dtype=np.float64) ** power
            known = np.isfinite(values)
            return mtz.make_miller_array()[known].astype(np.int32), values[known]
    raise MismatchError("The reference MTZ file has neither mean intensities nor amplitudes.")


def _into_asu(
    hkl: Int32[np.ndarray, "n 3"], space_group: gemmi.SpaceGroup
) -> tuple[Int32[np.ndarray, "n 3"], Int32[np.ndarray, " n"]]:
    """Indices in the asymmetric unit, and ISYM: the number of the operation, odd for I(+) and even for I(-)."""
    low, size = hkl.min(axis=0).astype(np.int64), np.ptp(hkl, axis=0).astype(np.int64) + 1
    offset = hkl - low
    key = (offset[:, 0] * size[1] + offset[:, 1]) * size[2] + offset[:, 2]
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    asu, operations = gemmi.ReciprocalAsu(space_group), space_group.operations()
    moved = [asu.to_asu(index, operations) for index in hkl[first].tolist()]
    inside = np.array([index for index, _ in moved], dtype=np.int32)
    return inside[group], np.array([isym for _, isym in moved], dtype=np.int32)[group]


def _new(
    cell: gemmi.UnitCell,
    space_group: gemmi.SpaceGroup,
    project: str,
    datasets: Sequence[tuple[str, str, float]],
    history: Sequence[str],
) -> gemmi.Mtz:
    """Without columns but H K L; `datasets`: crystal, name and wavelength of each."""
    mtz = gemmi.Mtz(with_base=False)
    mtz.title = "From puredials"
    mtz.spacegroup = space_group
    mtz.cell = cell
    for number, (crystal, name, wavelength) in enumerate(datasets, 1):
        item = mtz.add_dataset(name)
        item.id = number
        item.project_name, item.crystal_name, item.wavelength, item.cell = project, crystal, wavelength, cell
    mtz.history = list(history)
    for label in "HKL":
        mtz.add_column(label, "H", dataset_id=1)
    return mtz


def _write(mtz: gemmi.Mtz, path: Path | str) -> None:
    mtz.update_reso()
    try:
        mtz.write_to_file(str(path))
    except (OSError, RuntimeError) as error:
        raise FileError(f"{path} cannot be written ({error}).") from error
