"""What the user reads of the common setting."""

from typing import Any

import numpy as np

from puredials.symmetry.cosym import CosymResult
from puredials.symmetry.lattice import basis_text
from puredials.symmetry.tables import symmetry_summary
from puredials.text import text_table

__all__ = ["SET_HEADER", "cosym_report", "cosym_summary", "set_rows"]

SET_HEADER = ("Set", "Reflections", "Pairs", "CC", "CC of the next setting", "Change of basis")


def set_rows(result: CosymResult) -> list[list[str]]:
    """A row for each set kept."""
    rows = zip(result.cb_ops.items(), result.n_reflections, result.agreements, strict=False)
    return [
        [str(number), str(n), f"{a.n:.0f}", f"{a.cc:.3f}", f"{a.cc_next:.3f}" if np.isfinite(a.cc_next) else "-",
         basis_text(basis)]
        for (number, basis), n, a in rows
    ]  # fmt: skip


def cosym_report(result: CosymResult) -> str:
    """Dimensions tried, how each set agrees with the others in its setting, and the sets left out."""
    rows = [[d, f"{f:.6g}"] for d, f in result.functional]
    lines = [text_table(("Dimensions", "Functional"), rows),
             f"Using {result.coordinates.shape[1]} dimensions for analysis", "",
             "Correlation of each set with the others, as chosen and in the next best setting:",
             text_table(SET_HEADER, set_rows(result), left=(5,)), "", "Reindexing operators:"]  # fmt: skip
    groups: dict[str, list[str]] = {}
    for number, basis in result.cb_ops.items():
        groups.setdefault(basis_text(basis), []).append(str(number))
    lines += [f"{operator}: [{', '.join(numbers)}]" for operator, numbers in groups.items()]
    lines += [f"Set {number} is left out: {reason}." for number, reason in result.excluded.items()]
    lines += ["", f"Space group: {result.space_group.xhm()}"]
    return "\n".join(lines)


def cosym_summary(result: CosymResult) -> dict[str, Any]:
    """The analysis as JSON-able numbers; sets by their numbers."""
    rows = zip(result.cb_ops.items(), result.experiments.identifiers, result.n_reflections, result.agreements,
               strict=False)  # fmt: skip
    return {
        **symmetry_summary(result.analysis),
        "space_group": result.space_group.xhm(),
        "sets": [
            {"set": number, "identifier": identifier, "cb_op": basis_text(basis), "n_reflections": n,
             "n_pairs": a.n, "cc": a.cc, "cc_next": a.cc_next}
            for (number, basis), identifier, n, a in rows
        ],
        "excluded": {str(number): reason for number, reason in result.excluded.items()},
        "functional": result.functional,
        "coordinates": result.coordinates.tolist(),
        "chosen_copies": result.settings.copies.tolist(),
    }  # fmt: skip
