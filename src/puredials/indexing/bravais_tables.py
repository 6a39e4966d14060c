"""What the choice of a Bravais lattice tells the user, and the summary for other programs."""

import re
from collections.abc import Sequence
from typing import Any

from puredials.indexing.bravais import BravaisResult, BravaisSetting, chiral_groups
from puredials.text import text_table

__all__ = ["bravais_summary", "bravais_text"]

_ORDER = ("aP", "mP", "mC", "oP", "oC", "oF", "oI", "tP", "tI", "hP", "hR", "cP", "cF", "cI", "mI")


def bravais_text(result: BravaisResult) -> str:
    """The chiral space groups of each lattice found, and the table of settings."""
    found = {s.bravais for s in result.settings}
    lines = ["Chiral space groups corresponding to each Bravais lattice:"]
    for symbol in _ORDER:
        if symbol in found:
            # I 1 2 1 is written I2: its short name is that of another setting in the tables.
            names = ["I2"] if symbol == "mI" else [_short(g.xhm()) for g in chiral_groups(symbol)]
            lines.append(f"{symbol}: {' '.join(names)}")
    return "\n".join([*lines, _table(result.settings), "* = recommended solution", *result.failures])


def bravais_summary(result: BravaisResult) -> dict[str, dict[str, Any]]:
    """The content of bravais_summary.json: the settings by number."""
    return {str(s.number): _summary(s) for s in result.settings}


def _summary(s: BravaisSetting) -> dict[str, Any]:
    ends = s.cc_range or (None, None)
    return {
        "max_angular_difference": s.delta,
        "rmsd": s.rmsd,
        "nspots": s.n_spots,
        "bravais": s.bravais,
        "unit_cell": list(s.crystal.unit_cell.parameters),
        "cb_op": s.cb_op,
        "max_cc": ends[1],
        "min_cc": ends[0],
        "correlation_coefficients": [c.value for c in s.correlations],
        "cc_nrefs": [c.n for c in s.correlations],
        "recommended": s.recommended,
    }


def _short(name: str) -> str:
    """P 1 21 1 -> P21; R 3 2:H -> R32:H."""
    match = re.fullmatch(r"(\w) 1 (\w+) 1", name)
    return "".join(match.groups()) if match else name.replace(" ", "")


def _row(s: BravaisSetting) -> list[str]:
    cell = s.crystal.unit_cell
    return [
        f"{'*' if s.recommended else ' '} {s.number:6d}",
        f"{s.delta:.4f}",
        f"{s.rmsd:.3f}",
        "{:.3f}/{:.3f}".format(*s.cc_range) if s.cc_range else "-/-",
        str(s.n_spots),
        s.bravais,
        " ".join(f"{v:6.2f}" for v in cell.parameters).strip(),
        f"{cell.volume:.0f}",
        s.cb_op,
    ]


def _table(settings: Sequence[BravaisSetting]) -> str:
    """In the layout that users know: numbers are aligned at their points, titles have room for two more characters."""
    titles = ["Solution", "Metric fit", "rmsd", "min/max cc", "#spots", "lattice", "unit_cell", "volume", "cb_op"]
    columns = [list(column) for column in zip(*map(_row, settings), strict=True)]
    columns[1], columns[2] = _aligned(columns[1]), _aligned(columns[2])
    left = (3, 5, 6, 8)
    header = [f"{t}  " if i in left else f"  {t}" for i, t in enumerate(titles)]
    return text_table(header, list(zip(*columns, strict=True)), left=left)


def _aligned(texts: Sequence[str]) -> list[str]:
    """Without zeros at the end, padded so that the decimal points are in line."""
    short = [t.rstrip("0").rstrip(".") for t in texts]
    decimals = [len(t.partition(".")[2]) + ("." in t) for t in short]
    return [t + " " * (max(decimals) - d) for t, d in zip(short, decimals, strict=True)]
