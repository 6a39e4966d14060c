"""What dials.merge and dials.export say about the MTZ file that they write."""

from collections.abc import Mapping
from typing import Any

__all__ = ["mtz_summary"]

_KINDS = {
    "H": "index h,k,l",
    "J": "intensity",
    "Q": "standard deviation",
    "K": "I(+) or I(-)",
    "M": "standard deviation",
    "F": "amplitude",
    "G": "F(+) or F(-)",
    "L": "standard deviation",
    "D": "anomalous difference",
    "I": "integer",
    "R": "real",
    "B": "BATCH number",
    "Y": "M/ISYM, packed partial/reject flag and symmetry number",
}


def mtz_summary(hkl: Any, columns: Mapping[str, tuple[str, Any]], cell: Any, space_group: Any, d: Any) -> str:
    """Symmetry, cell, and the range of each column."""
    import numpy as np

    lines = [
        f"Space group: {space_group.xhm()} (No. {space_group.number})",
        f"Number of Miller indices: {len(hkl)}",
        f"Resolution range: {float(d.max()):.6g} {float(d.min()):.6g}",
        "Unit cell: (" + ", ".join(f"{v:.6g}" for v in cell.parameters) + ")",
        f"Number of columns: {3 + len(columns)}",
        f"{'label':<12} {'#valid':>8} {'%valid':>8} {'min':>9} {'max':>9} type",
    ]
    indices = {label: ("H", hkl[:, i]) for i, label in enumerate("HKL")}
    for label, (kind, values) in {**indices, **columns}.items():
        known = np.isfinite(values)
        low, high = (float(f(values[known])) if known.any() else float("nan") for f in (np.min, np.max))
        share = 100 * known.mean()
        lines.append(
            f"{label:<12} {known.sum():>8} {share:>7.2f}% {low:>9.2f} {high:>9.2f} {kind}: {_KINDS.get(kind, '')}"
        )
    return "\n".join(lines)
