"""Reference data: a crystal and its intensities, from merged or scaled data in any file that holds them."""

from pathlib import Path

import gemmi
import numpy as np

from puredials.errors import FileError, MismatchError
from puredials.io.expt import read_experiments
from puredials.io.mtz import read_mtz
from puredials.io.refl import read_reflections
from puredials.model import Crystal, ReflectionTable, b_matrix

__all__ = ["read_reference"]

# (intensities or amplitudes, their errors, power that makes intensities of them)
_CIF_TAGS = (
    ("intensity_meas", "intensity_sigma", 1),
    ("F_squared_meas", "F_squared_sigma", 1),
    ("F_meas_au", "F_meas_sigma_au", 2),
    ("F_meas", "F_meas_sigma", 2),
)


def read_reference(path: Path | str) -> tuple[Crystal, ReflectionTable]:
    """The crystal and a table of indices and ``intensity.prf`` of a merged MTZ file, a structure-factor mmCIF, or an
    .expt file beside whose name there is a .refl file of the same (scaled or integrated) data.

    Raises:
        FileError: the file is missing, or is none of these.
        MismatchError: it has no intensities, or no crystal.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"The reference {path} does not exist.")
    match path.suffix.lower():
        case ".mtz":
            return _of_mtz(path)
        case ".cif" | ".mmcif" | ".ent":
            return _of_cif(path)
        case ".expt":
            return _of_experiments(path)
        case _:
            raise FileError(f"The reference {path} is neither an .mtz, .cif or .mmcif, nor an .expt file.")


def _of_mtz(path: Path) -> tuple[Crystal, ReflectionTable]:
    mtz = read_mtz(path)
    if mtz.spacegroup is None:
        raise MismatchError(f"The reference {path} does not tell its space group.")
    sigma = mtz.columns_with_type("Q")
    for kind, power in (("J", 1), ("F", 2)):
        columns = mtz.columns_with_type(kind)
        if len(columns):
            labels = {f"SIG{columns[0].label}": columns[0]}
            own = next((s for s in sigma if s.label in labels), sigma[0] if len(sigma) else None)
            error = None if own is None else np.asarray(own.array, dtype=np.float64)
            values = np.asarray(columns[0].array, dtype=np.float64)
            return _crystal(mtz.cell, mtz.spacegroup), _table(mtz.make_miller_array(), values, error, power)
    raise MismatchError(f"The reference {path} has neither mean intensities nor amplitudes.")


def _of_cif(path: Path) -> tuple[Crystal, ReflectionTable]:
    try:
        blocks = gemmi.as_refln_blocks(gemmi.cif.read(str(path)))
    except (RuntimeError, ValueError, OSError) as error:
        raise FileError(f"The reference {path} is not a CIF file that can be read ({error}).") from error
    for block in blocks:
        labels = block.column_labels()
        for value, sigma, power in _CIF_TAGS:
            if value in labels and block.spacegroup is not None:
                error = np.asarray(block.make_float_array(sigma)) if sigma in labels else None
                values = np.asarray(block.make_float_array(value))
                crystal = _crystal(block.cell, block.spacegroup)
                return crystal, _table(block.make_miller_array(), values, error, power)
    raise MismatchError(f"The reference {path} has no merged intensities or amplitudes with their space group.")


def _of_experiments(path: Path) -> tuple[Crystal, ReflectionTable]:
    crystals = [e.crystal for e in read_experiments(path) if e.crystal is not None]
    beside = path.with_suffix(".refl")
    if not crystals:
        raise MismatchError(f"The reference {path} has no crystal.")
    if not beside.is_file():
        raise FileError(f"The reflections of the reference, {beside}, do not exist.")
    table = read_reflections(beside)
    scale = np.ones(table.n_rows)
    if "intensity.scale.value" in table and "inverse_scale_factor" in table:
        name, scale = "intensity.scale", table["inverse_scale_factor"]
    else:
        name = "intensity.prf" if "intensity.prf.value" in table else "intensity.sum"
    with np.errstate(divide="ignore", invalid="ignore"):
        values = table[f"{name}.value"] / scale
        error = np.sqrt(np.maximum(table[f"{name}.variance"], 0)) / scale
    return crystals[0], _table(table["miller_index"], np.where(scale > 0, values, np.nan), error, 1)


def _crystal(cell: gemmi.UnitCell, group: gemmi.SpaceGroup) -> Crystal:
    return Crystal(b_matrix(cell), group.hall)


def _table(hkl: np.ndarray, values: np.ndarray, error: np.ndarray | None, power: int) -> ReflectionTable:
    """Intensities of known reflections; without errors each has one of a tenth of the mean."""
    intensity = values**power
    if error is None:
        sigma = np.full(len(values), 0.1 * float(np.nanmean(intensity)))
    else:
        sigma = error if power == 1 else 2 * np.abs(values) * error
    known = np.isfinite(intensity) & np.isfinite(sigma) & (sigma > 0) & (hkl != 0).any(axis=1)
    return ReflectionTable(
        {
            "miller_index": np.asarray(hkl)[known].astype(np.int32),
            "intensity.prf.value": intensity[known].astype(np.float64),
            "intensity.prf.variance": sigma[known].astype(np.float64) ** 2,
        }
    )
