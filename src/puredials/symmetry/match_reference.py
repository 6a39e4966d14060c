"""The change of basis that brings a crystal to a reference: by cell and, where cells leave a choice, intensities or,
where these do not tell, the orientation, which is about that of the reference if both are of one crystal."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float64, Int32

from puredials.errors import MismatchError
from puredials.merging.equivalents import find_equivalents
from puredials.model import Crystal, ReflectionTable, cell_parameters
from puredials.statistics import pearson
from puredials.symmetry.lattice import basis_text, primitive_reduced_basis
from puredials.symmetry.observations import pack
from puredials.symmetry.reindex import reindex_table
from puredials.text import text_table

__all__ = ["ReferenceMatch", "match_reference", "match_text"]

Matrix = Float64[np.ndarray, "3 3"]
LENGTH_TOLERANCE = 0.05  # relative
ANGLE_TOLERANCE = 3.0  # degrees
FEWEST_PAIRS = 10
REAL_DIFFERENCE = 0.003  # of cells: settings of less are equally good
# Correlations are taken for different if they are so many standard deviations apart.
SIGNIFICANT = 3.0
# Degrees: among some ten orientations that symmetry makes equal chance brings one in 400 crystals as near.
SAME_ORIENTATION = 10.0


@dataclass(frozen=True, eq=False)
class ReferenceMatch:
    """A change of basis P: how far its cell is from the reference (sum of relative differences), the angle
    (degrees) between the crystals then, and the correlation (NaN if unknown) of intensities of `n` reflections with
    those of the reference."""

    basis: Matrix
    off: float
    angle: float
    cc: float
    n: int


def match_reference(
    crystal: Crystal,
    reflections: ReflectionTable,
    reference: Crystal,
    reference_reflections: ReflectionTable | None = None,
) -> tuple[ReferenceMatch, ...]:
    """Changes of basis to the reference's setting that its own symmetry tells apart, the best one first.

    Raises:
        MismatchError: no choice of axes has a cell like the reference's, or there are no intensities in common.
    """
    bases = list(_distinct(_bases(crystal, reference), reference.operations))
    if not bases:
        raise MismatchError(
            f"No change of basis brings the cell {_text(crystal.A)} to the reference's {_text(reference.A)}."
        )
    theirs = None if reference_reflections is None else _merged(reference_reflections, reference.operations)
    found = []
    for basis in bases:
        cc, n = float("nan"), 0
        if theirs is not None:
            cc, n = _correlation(_merged(reindex_table(reflections, basis), reference.operations), theirs)
        A = crystal.A @ np.linalg.inv(basis).T
        found.append(ReferenceMatch(basis, _off(A, reference.A), _angle(A, reference), cc, n))
    if theirs is not None:
        known = [m for m in found if np.isfinite(m.cc)]
        if not known:
            raise MismatchError("The reference reflections have too few indices in common with these to compare.")
        known.sort(key=lambda m: -m.cc)
        nearest = min((known[0], *_rivals(known)), key=lambda m: m.angle)
        if nearest.angle > SAME_ORIENTATION:
            return tuple(known)
        return (nearest, *(m for m in known if m is not nearest))
    # Cells that are the same but for errors.
    least = min(m.off for m in found)
    return tuple(sorted(found, key=lambda m: (m.off > least + REAL_DIFFERENCE, m.angle)))


def match_text(matches: tuple[ReferenceMatch, ...]) -> str:
    """A table of the candidates, and what has decided between those that cells and intensities do not tell apart."""
    rows = [
        [
            basis_text(m.basis),
            f"{m.off:.4f}",
            f"{m.angle:.1f}",
            f"{m.cc:.3f}" if np.isfinite(m.cc) else "-",
            str(m.n),
        ]
        for m in matches
    ]
    header = ["Change of basis", "Cell difference", "Turned by\n(degrees)", "CC", "#reflections"]
    return "\n".join(filter(None, [text_table(header, rows, left=[0]), _choice_text(matches)]))


def _choice_text(matches: tuple[ReferenceMatch, ...]) -> str:
    """How the best match was chosen among equals; nothing if it has none."""
    best, rivals = matches[0], _rivals(matches)
    if not rivals:
        return ""
    others = " or ".join(f"{m.angle:.1f} degrees with {basis_text(m.basis)}" for m in rivals)
    angles = f"{best.angle:.1f} degrees from the reference with {basis_text(best.basis)}, {others}"
    compared = np.isfinite(best.cc)
    what = "neither cells nor intensities tell apart" if compared else "cells do not tell apart"
    if best.angle <= SAME_ORIENTATION:
        return f"The orientation decides between settings that {what}: the crystal is turned by {angles}."
    more = "" if compared else " Give reference.reflections= to compare intensities."
    return (
        f"The ambiguity is not resolved. There are settings that {what}, and the orientation is no evidence: the "
        f"crystal is turned by {angles}.{more}"
    )


def _rivals(matches: Sequence[ReferenceMatch]) -> list[ReferenceMatch]:
    """Those that are as good as the first one by cell and, if it is known, correlation."""
    return [m for m in matches[1:] if _is_equal(matches[0], m)]


def _is_equal(first: ReferenceMatch, second: ReferenceMatch) -> bool:
    if not np.isfinite(first.cc):
        return abs(first.off - second.off) < REAL_DIFFERENCE
    apart = np.abs(np.diff(np.arctanh(np.clip([first.cc, second.cc], -0.9999, 0.9999))))[0]  # Fisher's z
    return bool(apart < SIGNIFICANT * np.sqrt(1 / (first.n - 3) + 1 / (second.n - 3)))


def _bases(crystal: Crystal, reference: Crystal) -> Iterator[Matrix]:
    """All P that bring the cell to that of the reference within the tolerances: lattice vectors of the lengths of the
    reference's reduced cell are combined so that its angles come out."""
    ours = primitive_reduced_basis(crystal.unit_cell, crystal.operations.find_centering())
    theirs = primitive_reduced_basis(reference.unit_cell, reference.operations.find_centering())
    A = crystal.A @ np.linalg.inv(ours).T
    target = np.array(cell_parameters(reference.A @ np.linalg.inv(theirs).T))
    grid = np.array(list(itertools.product(range(-2, 3), repeat=3)))
    lengths = np.linalg.norm(grid @ np.linalg.inv(A), axis=1)
    near = [grid[np.abs(lengths - t) < LENGTH_TOLERANCE * t] for t in target[:3]]
    for a, b, c in itertools.product(*near):
        P = np.column_stack([a, b, c]).astype(np.float64)
        if round(np.linalg.det(P)) != 1:
            continue
        found = np.array(cell_parameters(A @ np.linalg.inv(P).T))
        if (np.abs(found[3:] - target[3:]) < ANGLE_TOLERANCE).all():
            yield ours @ P @ np.linalg.inv(theirs)


def _distinct(bases: Iterator[Matrix], operations: gemmi.GroupOps) -> Iterator[Matrix]:
    """One of those that differ only by a rotation of the reference's group: that nearest to the present axes."""
    rotations = [np.array(op.rot) / op.DEN for op in operations.sym_ops]
    rotations = [r for r in rotations if np.linalg.det(r) > 0]
    seen: set[bytes] = set()
    for basis in sorted(bases, key=lambda p: float(np.linalg.norm(p - np.eye(3)))):
        if _bytes(basis) not in seen:
            seen |= {_bytes(basis @ r) for r in rotations}
            yield basis


def _bytes(basis: Matrix) -> bytes:
    return np.rint(12 * basis).astype(np.int64).tobytes()


def _merged(
    table: ReflectionTable, operations: gemmi.GroupOps
) -> tuple[Int32[np.ndarray, "m 3"], Float64[np.ndarray, " m"]]:
    """Unique indices and mean intensities in units of their errors, which strong outliers do not dominate."""
    value, variance, scale = _intensities(table)
    good = (variance > 0) & (table["miller_index"] != 0).any(axis=1) & (scale > 0)
    signal = value[good] / np.sqrt(variance[good])
    equivalents = find_equivalents(table["miller_index"][good].astype(np.int32), operations)
    count = np.bincount(equivalents.group, minlength=len(equivalents))
    return equivalents.hkl, np.bincount(equivalents.group, signal, len(equivalents)) / np.maximum(count, 1)


def _intensities(table: ReflectionTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, variances and scale factors of the best kind of intensity there is."""
    ones = np.ones(table.n_rows)
    if "intensity.scale.value" in table and "inverse_scale_factor" in table:
        return table["intensity.scale.value"], table["intensity.scale.variance"], table["inverse_scale_factor"]
    kind = "prf" if "intensity.prf.value" in table else "sum"
    return table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"], ones


def _correlation(ours: tuple[np.ndarray, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]) -> tuple[float, int]:
    common, i, j = np.intersect1d(pack(ours[0].astype(np.int64)), pack(theirs[0].astype(np.int64)), return_indices=True)
    n = len(common)
    return (pearson(ours[1][i], theirs[1][j]), n) if n >= FEWEST_PAIRS else (float("nan"), n)


def _angle(A: Matrix, reference: Crystal) -> float:
    """The smallest rotation, degrees, from a setting matrix to one of those that the reference's symmetry makes equal
    to its own."""
    rotations = [np.array(op.rot) / op.DEN for op in reference.operations.sym_ops]
    traces = []
    for rotation in rotations:
        if np.linalg.det(rotation) > 0:
            u, _, v = np.linalg.svd(reference.A @ np.linalg.inv(A @ np.linalg.inv(rotation).T))
            traces.append(np.trace(u @ v))
    return float(np.degrees(np.arccos(np.clip((max(traces) - 1) / 2, -1, 1))))


def _off(A: Matrix, reference: Matrix) -> float:
    found, target = np.array(cell_parameters(A)), np.array(cell_parameters(reference))
    lengths = np.abs(found[:3] / target[:3] - 1).sum()
    return float(lengths + np.radians(np.abs(found[3:] - target[3:])).sum())


def _text(A: Matrix) -> str:
    return ", ".join(f"{v:.2f}" for v in cell_parameters(A))
