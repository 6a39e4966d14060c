"""What the user reads of the common setting."""

from typing import Any

from puredials.symmetry.cosym import CosymResult
from puredials.symmetry.lattice import basis_text
from puredials.symmetry.tables import symmetry_summary
from puredials.text import text_table

__all__ = ["cosym_report", "cosym_summary"]


def cosym_report(result: CosymResult) -> str:
    """Dimensions tried, the change of basis of each set, and the sets left out."""
    rows = [[d, f"{f:.6g}"] for d, f in result.functional]
    lines = [text_table(("Dimensions", "Functional"), rows),
             f"Using {result.coordinates.shape[1]} dimensions for analysis", "", "Reindexing operators:"]  # fmt: skip
    groups: dict[str, list[str]] = {}
    for number, identifier in enumerate(result.experiments.identifiers):
        groups.setdefault(basis_text(result.cb_ops[identifier]), []).append(str(number))
    lines += [f"{operator}: [{', '.join(numbers)}]" for operator, numbers in groups.items()]
    lines += [f"Excluded {identifier}: {reason}" for identifier, reason in result.excluded.items()]
    return "\n".join(lines)


def cosym_summary(result: CosymResult) -> dict[str, Any]:
    """The analysis as JSON-able numbers."""
    return {
        **symmetry_summary(result.symmetry),
        "cb_ops": {identifier: basis_text(basis) for identifier, basis in result.cb_ops.items()},
        "excluded": result.excluded,
        "functional": result.functional,
        "coordinates": result.coordinates.tolist(),
    }
