"""A crystal as text: its cell with standard uncertainties, space group and matrices."""

from dataclasses import replace

import gemmi
import numpy as np
from jaxtyping import Float64

from puredials.model import Crystal
from puredials.refinement.cell import cell_and_esds

__all__ = ["crystal_text", "with_esd"]


def with_esd(value: float | int, esd: float | int) -> str:
    """A value with its uncertainty in units of its last digit, 67.0803(19): one digit, or two up to 19.

    Without an uncertainty it is given to three decimals.
    """
    if not np.isfinite(esd) or esd <= 0:
        return f"{value:.3f}"
    decimals = -int(np.floor(np.log10(esd)))
    if esd * 10.0**decimals < 1.95:
        decimals += 1
    decimals = max(decimals, 0)
    return f"{value:.{decimals}f}({round(esd * 10.0**decimals)})"


def crystal_text(crystal: Crystal, *, scan_points: bool = False) -> str:
    """Cell, space group and matrices of a crystal; on demand at each scan point, if it varies."""
    cell = _cell(crystal.B, crystal.B_covariance)
    lines = ["Crystal:", f"    Unit cell: {cell}", f"    Space group: {_group_name(crystal)}"]
    lines += _matrices(crystal)
    if crystal.A_at_scan_points is None:
        return "\n".join(lines)
    n = len(crystal.A_at_scan_points)
    points = [replace(crystal, A=A, A_at_scan_points=None, B_covariance=None) for A in crystal.A_at_scan_points]
    mean = np.mean([point.unit_cell.parameters for point in points], axis=0)
    lines += [f"    A sampled at {n} scan points", "    Average unit cell: " + ", ".join(f"{v:.3f}" for v in mean)]
    if scan_points:
        covariances = crystal.B_covariance_at_scan_points
        for k, point in enumerate(points):
            covariance = None if covariances is None else covariances[k]
            lines += [f"  Scan point #{k + 1}:", f"    Unit cell: {_cell(point.B, covariance)}", *_matrices(point)]
    return "\n".join(lines)


def _group_name(crystal: Crystal) -> str:
    """The Hermann-Mauguin symbol; of a setting without one, that of the usual setting and the change of basis."""
    if crystal.space_group is not None:
        return crystal.space_group.xhm()
    base, _, change = crystal.hall.partition("(")
    usual = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(base))
    return f"{usual.xhm()} ({change}" if usual is not None and change else f"Hall: {crystal.hall}"


def _cell(B: Float64[np.ndarray, "3 3"], covariance: Float64[np.ndarray, "9 9"] | None) -> str:
    """Cell parameters with uncertainties; a parameter that symmetry fixes has none, and is a whole number."""
    cell, esds = cell_and_esds(B, covariance)
    if covariance is None:
        return ", ".join(f"{value:.3f}" for value in cell)
    return ", ".join(with_esd(v, s) if s > 0 else f"{v:.1f}" for v, s in zip(cell, esds, strict=True))


def _matrices(crystal: Crystal) -> list[str]:
    lines = []
    for title, matrix in (("U matrix:  ", crystal.U), ("B matrix:  ", crystal.B), ("A = UB:    ", crystal.A)):
        # Rounded first, and 0 added, so that no -0.0000 is printed.
        rows = ["{" + ", ".join(f"{v:7.4f}" for v in row) + "}" for row in np.round(matrix, 4) + 0.0]
        indent = " " * (len(title) + 1)
        lines.append("    " + title + "{" + f",\n    {indent}".join(rows) + "}")
    return lines
