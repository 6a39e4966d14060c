"""SHELX files: unmerged intensities (.hkl, HKLF 4) and instructions (.ins)."""

from pathlib import Path

import gemmi
import numpy as np
from jaxtyping import Float64, Int, Int32

from puredials.errors import FileError

__all__ = ["shelx_scale", "write_hkl", "write_ins"]

# Fields of eight characters with two decimals hold no more than this.
_LARGEST = 9999.0
_LATTICES = {"P": 1, "I": 2, "R": 3, "F": 4, "A": 5, "B": 6, "C": 7}


def shelx_scale(intensity: Float64[np.ndarray, " n"], sigma: Float64[np.ndarray, " n"]) -> float:
    """The factor that makes the largest value 9999, so that the fields of the file keep all the digits they can."""
    largest = max(float(np.abs(intensity).max()), float(sigma.max()))
    return _LARGEST / largest if largest > 0 else 1.0


def write_hkl(
    path: Path | str,
    hkl: Int32[np.ndarray, "n 3"],
    intensity: Float64[np.ndarray, " n"],
    sigma: Float64[np.ndarray, " n"],
    batch: Int[np.ndarray, " n"] | None = None,
) -> None:
    """Lines of h, k, l (I4), I, sigma (F8.2), and the number of the batch (I4), ended by a line of zeros."""
    values = np.clip(intensity, -999.99, 99999.99), np.clip(sigma, 0.01, 99999.99)
    tail = np.ones(len(hkl), dtype=int) if batch is None else batch
    rows = zip(hkl.tolist(), values[0].tolist(), values[1].tolist(), tail.tolist(), strict=True)
    lines = [f"{x[0]:4d}{x[1]:4d}{x[2]:4d}{i:8.2f}{s:8.2f}{b:4d}\n" for x, i, s, b in rows]
    lines.append(f"{0:4d}{0:4d}{0:4d}{0:8.2f}{0:8.2f}{0:4d}\n")
    _write(path, "".join(lines))


def write_ins(path: Path | str, cell: gemmi.UnitCell, symmetry: gemmi.GroupOps, wavelength: float, title: str) -> None:
    """The cell and the symmetry, for the solution of the structure; contents are left to the user."""
    centred = symmetry.find_centering()
    centrosymmetric = symmetry.is_centrosymmetric()
    operations, seen = [], {"x,y,z"}
    inversion = gemmi.Op("-x,-y,-z")
    for op in symmetry.sym_ops:
        if op.triplet() in seen:
            continue
        # Of a pair related by the inversion at the origin only one is given.
        seen |= {op.triplet(), (inversion * op).wrap().triplet()} if centrosymmetric else {op.triplet()}
        operations.append(op.triplet().upper())
    if centrosymmetric:
        operations = [o for o in operations if o != "-X,-Y,-Z"]
    lattice = _LATTICES[centred] * (1 if centrosymmetric else -1)
    a = cell.parameters
    lines = [
        f"TITL {title}",
        f"CELL {wavelength:8.5f}" + "".join(f" {v:8.4f}" for v in a[:3]) + "".join(f" {v:8.3f}" for v in a[3:]),
        f"LATT {lattice}",
        *(f"SYMM {operation}" for operation in operations),
        "HKLF 4",
        "END",
    ]
    _write(path, "\n".join(lines) + "\n")


def _write(path: Path | str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="ascii")
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}.") from error
