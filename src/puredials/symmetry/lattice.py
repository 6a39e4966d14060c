"""The symmetry of a lattice: its rotations, their subgroups, and the conventional setting of each.

Bases are written as (3, 3) integer matrices whose COLUMNS are the new basis vectors in the old basis:
(a', b', c') = (a, b, c) P. Indices then change as rows, hkl' = hkl P, and setting matrices as A' = A P^-T.
A rotation is the integer matrix R that acts on coordinates, x' = R x; indices of equivalent reflections are hkl R.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import gemmi
import numpy as np
from jaxtyping import Float64, Int64

__all__ = [
    "PATTERSON_SYMBOL",
    "LatticeSetting",
    "basis_text",
    "lattice_rotations",
    "lattice_settings",
    "metric_tensor",
    "primitive_reduced_basis",
    "rotation_axis",
    "rotation_order",
]

Matrix = Float64[np.ndarray, "3 3"]
Rotations = Int64[np.ndarray, "n 3 3"]

# Rotation group of the Laue class and centring -> space group without screw axes.
_SPACE_GROUP = {
    ("1", "P"): "P 1",
    **{("2", c): f"{c} 1 2 1" for c in "PCI"},
    **{("222", c): f"{c} 2 2 2" for c in "PCIF"},
    **{("4", c): f"{c} 4" for c in "PI"},
    **{("422", c): f"{c} 4 2 2" for c in "PI"},
    ("3", "P"): "P 3",
    ("3", "R"): "R 3:H",
    ("321", "P"): "P 3 2 1",
    ("312", "P"): "P 3 1 2",
    ("321", "R"): "R 3 2:H",
    ("6", "P"): "P 6",
    ("622", "P"): "P 6 2 2",
    **{("23", c): f"{c} 2 3" for c in "PIF"},
    **{("432", c): f"{c} 4 3 2" for c in "PIF"},
}

PATTERSON_SYMBOL = {
    "P 1": "P -1",
    "P 3": "P -3",
    "R 3:H": "R -3 :H",
    "P 3 2 1": "P -3 m 1",
    "P 3 1 2": "P -3 1 m",
    "R 3 2:H": "R -3 m :H",
    "P 6": "P 6/m",
    "P 6 2 2": "P 6/m m m",
    **{f"{c} 1 2 1": f"{c} 1 2/m 1" for c in "PCI"},
    **{f"{c} 2 2 2": f"{c} m m m" for c in "PCIF"},
    **{f"{c} 4": f"{c} 4/m" for c in "PI"},
    **{f"{c} 4 2 2": f"{c} 4/m m m" for c in "PI"},
    **{f"{c} 2 3": f"{c} m -3" for c in "PIF"},
    **{f"{c} 4 3 2": f"{c} m -3 m" for c in "PIF"},
}

_BRAVAIS_FAMILY = {"1": "a", "2": "m", "222": "o", "4": "t", "422": "t", "23": "c", "432": "c"}


def metric_tensor(basis: Matrix) -> Matrix:
    """G = rows . rows^T of a real-space basis given in the ROWS (Angstrom)."""
    return basis @ basis.T


def primitive_reduced_basis(cell: gemmi.UnitCell, centring: str) -> Matrix:
    """P of the Niggli-reduced primitive cell (Krivy & Gruber 1976; Grosse-Kunstleve et al. 2004, Acta A60, 1)."""
    vector = gemmi.GruberVector(cell, centring, True)
    vector.niggli_reduce()
    change = vector.change_of_basis
    assert change is not None
    return np.array(change.rot) / change.DEN


@dataclass(frozen=True, eq=False)
class LatticeSetting:
    """A group of lattice rotations and the conventional cell that shows it.

    Attributes:
        rotations: (n, 3, 3), proper, in the reduced primitive basis.
        basis: P from the reduced primitive basis to the conventional one.
        space_group: extended Hermann-Mauguin symbol of the group without screw axes, in the conventional setting.
        delta: the largest deviation (degrees) of a two-fold axis of the lattice that the group implies from the
            normal of its lattice plane (Le Page 1982).
        metric: (3, 3) metric tensor of the conventional cell, averaged over the rotations.
    """

    rotations: Rotations
    basis: Matrix
    space_group: str
    delta: float
    metric: Matrix

    @cached_property
    def unit_cell(self) -> gemmi.UnitCell:
        """The conventional cell, with the symmetry imposed."""
        return _cell_of_metric(self.metric)

    @property
    def patterson(self) -> str:
        """Symbol of the Patterson group."""
        return PATTERSON_SYMBOL[self.space_group]

    @property
    def bravais(self) -> str:
        """Bravais symbol of the group, such as cI."""
        family = _BRAVAIS_FAMILY.get(_class_of(self.rotations), "h")
        return family + self.space_group[0]


def _cell_of_metric(metric: Matrix) -> gemmi.UnitCell:
    a, b, c = np.sqrt(np.diag(metric))
    cosines = metric[1, 2] / (b * c), metric[0, 2] / (a * c), metric[0, 1] / (a * b)
    return gemmi.UnitCell(a, b, c, *np.degrees(np.arccos(cosines)))


# ---------------------------------------------------------------------------------------------- the lattice's group


def _two_folds(metric: Matrix, max_delta: float) -> list[tuple[float, np.ndarray]]:
    """(delta, R) of the possible two-fold rotations (Le Page 1982, J. Appl. Cryst. 15, 255).

    A direct vector t and a reciprocal vector u with |t.u| = 1 or 2 that point the same way within `max_delta`
    (degrees) make the rotation R = 2 t u^T / (t.u) - 1.
    """
    vectors = [
        np.array(v) for v in itertools.product(range(-2, 3), repeat=3) if v > (0, 0, 0) and np.gcd.reduce(v) == 1
    ]
    inverse = np.linalg.inv(metric)
    direct = np.array(vectors)
    direct_length = np.sqrt(np.einsum("ni,ij,nj->n", direct, metric, direct))
    reciprocal_length = np.sqrt(np.einsum("ni,ij,nj->n", direct, inverse, direct))
    dots = direct @ direct.T
    with np.errstate(divide="ignore"):
        cosines = np.abs(dots) / (direct_length[:, None] * reciprocal_length)
    found = []
    for i, j in zip(*np.nonzero((np.abs(dots) == 1) | (np.abs(dots) == 2)), strict=True):
        delta = float(np.degrees(np.arccos(min(1.0, cosines[i, j]))))
        if delta <= max_delta:
            twice = 2 * np.outer(direct[i], direct[j])
            if not (twice % dots[i, j]).any():
                found.append((delta, twice // dots[i, j] - np.eye(3, dtype=np.int64)))
    return sorted(found, key=lambda pair: pair[0])


def _deviation(two_fold: Int64[np.ndarray, "3 3"], metric: Matrix) -> float:
    """Le Page's angle, degrees: between the axis t of R = 2 t u^T / (t.u) - 1 and the normal u of its plane."""
    product = two_fold + np.eye(3, dtype=np.int64)  # every column is a multiple of t, every row of u
    i, j = np.argwhere(product)[0]
    t, u = product[:, j], product[i]
    cosine = abs(t @ u) / np.sqrt((t @ metric @ t) * (u @ np.linalg.inv(metric) @ u))
    return float(np.degrees(np.arccos(min(1.0, cosine))))


def _closure(generators: list[np.ndarray], limit: int = 24) -> list[np.ndarray] | None:
    """The group that matrices generate, or None if it has more than `limit` elements."""
    group = {np.eye(3, dtype=np.int64).tobytes(): np.eye(3, dtype=np.int64)}
    new = list(group.values())
    while new:
        products = [a @ g for a in new for g in generators]
        new = []
        for product in products:
            if product.tobytes() not in group:
                group[product.tobytes()] = product
                new.append(product)
        if len(group) > limit:
            return None
    return list(group.values())


def lattice_rotations(cell: gemmi.UnitCell, max_delta: float) -> Rotations:
    """Proper rotations of the lattice of a reduced primitive cell, (n, 3, 3), tolerating `max_delta` degrees.

    Two-folds are added in order of their deviation as long as they generate a crystallographic group.
    """
    generators: list[np.ndarray] = []
    group = [np.eye(3, dtype=np.int64)]
    for _, rotation in _two_folds(metric_tensor(np.array(cell.orth.mat.tolist()).T), max_delta):
        if any((rotation == known).all() for known in group):
            continue
        larger = _closure([*generators, rotation])
        if larger is not None:
            generators, group = [*generators, rotation], larger
    return np.array(group)


def _subgroups(rotations: Rotations) -> Iterator[Rotations]:
    """All subgroups: every crystallographic rotation group has at most two generators."""
    number = {r.tobytes(): i for i, r in enumerate(rotations)}
    table = np.array([[number[(a @ b).tobytes()] for b in rotations] for a in rotations])
    seen: set[frozenset[int]] = set()
    for pair in itertools.combinations_with_replacement(range(len(rotations)), 2):
        group: set[int] = set(pair)
        while True:
            members = sorted(group)
            grown = group | set(table[np.ix_(members, members)].ravel().tolist())
            if grown == group:
                break
            group = grown
        if frozenset(group) not in seen:
            seen.add(frozenset(group))
            yield rotations[sorted(group)]


def lattice_settings(
    cell: gemmi.UnitCell, *, max_delta: float = 2.0, best_monoclinic_beta: bool = True
) -> list[LatticeSetting]:
    """Every subgroup of the lattice's rotations with its conventional setting, highest symmetry first.

    Args:
        cell: reduced primitive cell.
        max_delta: tolerance of Le Page's angle, degrees, for two-folds that generate the lattice's group; those that
            follow from them may deviate more.
        best_monoclinic_beta: I centring instead of C where that brings beta closer to 90 degrees.
    """
    metric = metric_tensor(np.array(cell.orth.mat.tolist()).T)
    settings = []
    for group in _subgroups(lattice_rotations(cell, max_delta)):
        symmetric = np.mean([r.T @ metric @ r for r in group], axis=0)
        # The averaged cell may have more symmetry than the group; its two-folds are what the group asks of the cell.
        delta = max((_deviation(r, metric) for _, r in _two_folds(symmetric, 1e-3)), default=0.0)
        basis, symbol = _conventional(group, symmetric, best_monoclinic_beta)
        settings.append(LatticeSetting(group, basis, symbol, delta, basis.T @ symmetric @ basis))
    return sorted(settings, key=lambda s: (-len(s.rotations), s.delta))


# --------------------------------------------------------------------------------------------- conventional settings


def rotation_order(rotation: Int64[np.ndarray, "3 3"]) -> int:
    """1, 2, 3, 4 or 6: the trace of a lattice rotation tells."""
    return {3: 1, -1: 2, 0: 3, 1: 4, 2: 6}[int(np.trace(rotation))]


def rotation_axis(rotation: Int64[np.ndarray, "3 3"]) -> Int64[np.ndarray, "3"]:
    """The shortest lattice vector along a rotation's axis, in its basis, last index positive; 0 for the identity."""
    order = rotation_order(rotation)
    if order == 1:
        return np.zeros(3, dtype=np.int64)
    total = sum(np.linalg.matrix_power(rotation, k) for k in range(order))
    column = next(c for c in np.asarray(total).T if c.any())
    column = column // np.gcd.reduce(column)
    return column if column[np.flatnonzero(column)[-1]] > 0 else -column


def _class_of(rotations: Rotations) -> str:
    orders = [rotation_order(r) for r in rotations]
    match len(rotations):
        case 1 | 2 | 3:
            return str(len(rotations))
        case 4:
            return "4" if 4 in orders else "222"
        case 6:
            return "6" if 6 in orders else "321"
        case 8:
            return "422"
        case 12:
            return "622" if 6 in orders else "23"
        case _:
            return "432"


def _perpendicular(axis: np.ndarray, metric: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Reduced basis of the lattice vectors perpendicular to `axis`: the two shortest independent ones."""
    grid = np.array(list(itertools.product(range(-4, 5), repeat=3)))
    length = np.einsum("ni,ij,nj->n", grid, metric, grid)
    across = np.abs(grid @ metric @ axis) < 1e-6 * np.sqrt(np.maximum(length, 1e-9) * (axis @ metric @ axis))
    plane = grid[across & (length > 0)]
    plane = plane[np.argsort(np.einsum("ni,ij,nj->n", plane, metric, plane).round(6), kind="stable")]
    first = plane[0]
    second = next(v for v in plane[1:] if np.cross(first, v).any())
    return first, second


def _right_handed(basis: np.ndarray) -> np.ndarray:
    return basis if np.linalg.det(basis) > 0 else -basis


def _halves(basis: np.ndarray) -> set[tuple[int, int, int]]:
    """Centring vectors of a conventional basis, as multiples of 1/2 in its coordinates."""
    inverse = np.linalg.inv(basis)
    points = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ inverse.T
    doubled = 2 * points
    whole = np.abs(doubled - np.rint(doubled)).max(axis=1) < 1e-6
    parity = np.rint(doubled[whole]).astype(int) % 2
    return {(int(x), int(y), int(z)) for x, y, z in parity} - {(0, 0, 0)}


def _centring(basis: np.ndarray) -> str:
    halves = _halves(basis)
    if len(halves) == 3:
        return "F"
    return {(): "P", ((1, 1, 1),): "I", ((1, 1, 0),): "C", ((1, 0, 1),): "B", ((0, 1, 1),): "A"}[tuple(halves)]


def _monoclinic(rotations: Rotations, metric: Matrix, best_beta: bool) -> tuple[np.ndarray, str]:
    b = rotation_axis(next(r for r in rotations if rotation_order(r) == 2))
    u, v = _perpendicular(b, metric)

    def settled(a: np.ndarray, c: np.ndarray) -> np.ndarray:
        c = -c if a @ metric @ c > 0 else c  # beta >= 90 degrees
        basis = np.column_stack([a, b, c])
        return basis if np.linalg.det(basis) > 0 else np.column_stack([a, -b, c])

    choices = [settled(a, c) for a, c in ((u, v), (v, u), (u + v, u), (u + v, v), (u - v, u), (u - v, v), (u, u + v),
                                          (v, u + v), (u, u - v), (v, u - v))]  # fmt: skip
    allowed = "PCI" if best_beta else "PC"
    choices = [c for c in choices if _centring(c) in allowed]

    def obliquity(basis: np.ndarray) -> tuple[float, float]:
        a, c = basis[:, 0], basis[:, 2]
        la, lc = float(np.sqrt(a @ metric @ a)), float(np.sqrt(c @ metric @ c))
        # Equally oblique choices are told apart by the centring (C before I) and then a < c.
        return round(abs(float(a @ metric @ c / (la * lc))), 5), "PCI".index(_centring(basis)) + (la > lc) * 0.1

    best = min(choices, key=obliquity)
    return best, _centring(best)


def _orthorhombic(rotations: Rotations, metric: Matrix) -> tuple[np.ndarray, str]:
    axes = sorted((rotation_axis(r) for r in rotations if rotation_order(r) == 2), key=lambda t: float(t @ metric @ t))
    basis = np.column_stack(axes)
    turns = {"A": (1, 2, 0), "B": (0, 2, 1)}  # the centred face becomes C
    centring = _centring(basis)
    if centring in turns:
        basis = basis[:, turns[centring]]
        if basis[:, 0] @ metric @ basis[:, 0] > basis[:, 1] @ metric @ basis[:, 1]:
            basis = basis[:, [1, 0, 2]]
        centring = "C"
    return _right_handed(basis), centring


def _uniaxial(rotations: Rotations, metric: Matrix, order: int) -> np.ndarray:
    """a, b = R a, c along the axis of the given order (3 for hexagonal axes: R turns by 120 degrees)."""
    rotation = next(r for r in rotations if rotation_order(r) == order)
    c = rotation_axis(rotation)
    a, _ = _perpendicular(c, metric)
    basis = np.column_stack([a, rotation @ a, c])
    return basis if np.linalg.det(basis) > 0 else np.column_stack([a, rotation @ a, -c])


def _obverse(basis: np.ndarray) -> np.ndarray:
    """Of the two hexagonal settings of a rhombohedral lattice the one with a centring point at (2/3, 1/3, 1/3)."""
    point = basis @ np.array([2, 1, 1]) / 3
    is_lattice = np.abs(point - np.rint(point)).max() < 1e-6
    return basis if is_lattice else basis * np.array([-1, -1, 1])


def _conventional(rotations: Rotations, metric: Matrix, best_beta: bool) -> tuple[Matrix, str]:
    """Basis and space group symbol of the conventional setting of a rotation group."""
    kind = _class_of(rotations)
    match kind:
        case "1":
            basis, centring = np.eye(3), "P"
        case "2":
            basis, centring = _monoclinic(rotations, metric, best_beta)
        case "222":
            basis, centring = _orthorhombic(rotations, metric)
        case "4" | "422":
            basis = _uniaxial(rotations, metric, 4)
            centring = _centring(basis)
        case "3" | "321" | "6" | "622":
            basis = _uniaxial(rotations, metric, 3)
            centring = "R" if round(np.linalg.det(basis)) == 3 else "P"
            if centring == "R":
                basis = _obverse(basis)
            elif kind == "321" and not _has_two_fold_along(rotations, basis[:, 0]):
                kind = "312"
        case _:
            axes = [rotation_axis(r) for r in rotations if rotation_order(r) == (4 if kind == "432" else 2)]
            unique = {tuple(t if tuple(t) > (0, 0, 0) else -t): t for t in axes}
            basis = _right_handed(np.column_stack([np.array(t) for t in sorted(unique)][::-1]))
            centring = _centring(basis)
    return np.asarray(basis, dtype=np.float64), _SPACE_GROUP[kind, centring]


def _has_two_fold_along(rotations: Rotations, direction: np.ndarray) -> bool:
    """Whether a two-fold axis lies along `direction` or along one that the three-fold turns it into."""
    return any(rotation_order(r) == 2 and not np.cross(rotation_axis(r), direction).any() for r in rotations)


def basis_text(basis: Matrix) -> str:
    """P as text: the new basis vectors in terms of a, b, c, such as ``b+c,a+c,a+b``."""
    texts = []
    for column in np.asarray(basis).T:
        text = ""
        for value, letter in zip(column, "abc", strict=True):
            if abs(value) < 1e-9:
                continue
            size = "" if abs(abs(value) - 1) < 1e-9 else f"{abs(value):.6g}*"
            text += ("-" if value < 0 else "+" if text else "") + size + letter
        texts.append(text or "0")
    return ",".join(texts)
