"""Candidate lattices from basis vectors."""

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from puredials.indexing.fft3d import BasisVectors
from puredials.indexing.lattices import reduced_setting
from puredials.indexing.params import IndexingParams
from puredials.indexing.reciprocal import Spots
from puredials.indexing.score import Evidence, evidence, fit_setting, n_indexed, nodes
from puredials.model import cell_parameters

__all__ = ["Candidate", "candidate", "find_candidates", "same_lattice", "without_absences"]

Matrix = Float64[np.ndarray, "3 3"]
MAX_COMBINATIONS, MAX_REFINE = 2000, 10
FLATTEST = 0.05  # volume over the product of the edges, of the triplets that are looked at
PRESCREEN_POINTS, SCREEN_STEPS, PRESCREENED = 1500, 6, 60
# A cell that leaves more than this many bits per spot to the best is no rival.
WORST_BITS = 4.0
SAME_LATTICE = 0.1  # largest deviation of one basis in terms of the other from whole numbers
# A share of the spots below this on the additional nodes of a larger cell is chance.
ABSENT = 0.02


@dataclass(frozen=True, eq=False)
class Candidate:
    """A lattice: A of its reduced cell, how many spots are within the tolerance, and what the spots say of it.

    `offset` (sets, 3), in indices, is where the origin of reciprocal space is relative to a node of the lattice that
    fits best, 0 if the geometry is good. `rmsd_xy` (mm) comes from refinement.
    """

    A: Matrix
    offset: Float64[np.ndarray, "s 3"]
    n_indexed: int
    share_indexed: float
    evidence: Evidence
    rmsd_xy: float | None = None

    @property
    def cell(self) -> tuple[float, ...]:
        return cell_parameters(self.A)

    @property
    def volume(self) -> float:
        return float(1 / abs(np.linalg.det(self.A)))


def same_lattice(A: Matrix, B: Matrix, tolerance: float = SAME_LATTICE) -> bool:
    """Whether two bases span the same lattice: each is a unimodular combination of the other."""
    change = np.linalg.solve(A, B)
    whole = np.rint(change)
    return bool(np.abs(change - whole).max() < tolerance and abs(abs(np.linalg.det(whole)) - 1) < 0.5)


def find_candidates(spots: Spots, basis: BasisVectors, params: IndexingParams) -> list[Candidate]:
    """Distinct lattices, each fitted to the spots, the best first. `spots` are those to be explained."""
    every = slice(None, None, max(len(spots.rlp) // PRESCREEN_POINTS, 1))
    subset, sets = spots.rlp[every], spots.imageset[every]
    lattices: list[tuple[float, Matrix, np.ndarray]] = []
    for A, origin in _combinations(basis, params, subset, sets):
        reduced = reduced_setting(A)
        if not any(same_lattice(other, reduced) for _, other, _ in lattices):
            fitted, points = fit_setting(subset - origin[sets], reduced, sets=sets if origin.any() else None)
            lattices.append((evidence(points, fitted).bits, fitted, _origins(subset - points, sets, len(origin))))
    lattices.sort(key=lambda item: -item[0])
    max_refine = params.basis_vector_combinations.max_refine or MAX_REFINE
    found: list[Candidate] = []
    for bits, A, origin in lattices[: 2 * max_refine]:
        if found and bits < found[0].evidence.bits - WORST_BITS:
            break
        free = spots.imageset if origin.any() else None
        A, points = fit_setting(spots.rlp - origin[spots.imageset], A, sets=free)
        A, points = fit_setting(points, without_absences(points, reduced_setting(A)), sets=free, n_steps=2)
        A = reduced_setting(A)
        too_small = 1 / abs(np.linalg.det(A)) < params.min_cell_volume or min(cell_parameters(A)[:3]) < params.min_cell
        if too_small or any(same_lattice(c.A, A) for c in found):
            continue
        found.append(candidate(spots, points, A, len(origin), params))
    found.sort(key=lambda c: -c.evidence.bits)
    return found[:max_refine]


def candidate(
    spots: Spots, points: Float64[np.ndarray, "n 3"], A: Matrix, n_sets: int, params: IndexingParams
) -> Candidate:
    """The candidate of a setting matrix; `points` are the spots less their offsets."""
    n = n_indexed(points, A, params.index_assignment.simple.hkl_tolerance)
    origin = _origins(spots.rlp - points, spots.imageset, n_sets)
    return Candidate(A, origin @ np.linalg.inv(A).T, n, n / len(points), evidence(points, A))


def _origins(shift: np.ndarray, sets: np.ndarray, n_sets: int) -> np.ndarray:
    """The shift of each set, which is the same for all its points."""
    origin = np.zeros((n_sets, 3))
    numbers, first = np.unique(sets, return_index=True)
    origin[numbers] = shift[first]
    return origin


def _combinations(
    basis: BasisVectors, params: IndexingParams, points: np.ndarray, sets: np.ndarray
) -> list[tuple[Matrix, np.ndarray]]:
    """Setting matrices of triplets of vectors, and offsets (sets, 3), those first that explain the points best.

    Triplets of good vectors come first; of these, as many as there are `max_combinations` are screened. A triplet is
    tried with the phases of its vectors as offsets, and without offsets. Offsets must pay for being there: half of
    log2 n bits for each of their components (Rissanen 1978, Automatica 14, 465).
    """
    n = len(basis.vectors)
    limit = params.basis_vector_combinations.max_combinations or MAX_COMBINATIONS
    # The best n vectors make n (n-1) (n-2) / 6 triplets.
    n = min(n, int(np.ceil((6 * limit) ** (1 / 3))) + 2)
    triplets = np.array(list(itertools.combinations(range(n), 3)), dtype=np.int64).reshape(-1, 3)
    triplets = triplets[np.argsort((triplets**2).sum(axis=1), kind="stable")]
    cells = basis.vectors[triplets]
    volumes = np.abs(np.linalg.det(cells))
    edges = np.linalg.norm(cells, axis=2).prod(axis=1)
    sound = (volumes > FLATTEST * edges) & (volumes > params.min_cell_volume)
    triplets = triplets[sound][:limit]
    settings = np.linalg.inv(cells[sound][:limit])
    n_sets = basis.phases.shape[1]
    price = 1.5 * n_sets * np.log2(len(points)) / len(points)
    screened: list[tuple[float, int, np.ndarray]] = []
    new = np.ones(len(settings), dtype=bool)
    for i, A in enumerate(settings):
        if not new[i]:
            continue
        origin = basis.phases[triplets[i]].T @ A.T
        plain = evidence(points, A, SCREEN_STEPS).bits
        moved = evidence(points - origin[sets], A, SCREEN_STEPS).bits - price
        screened.append((max(plain, moved), i, origin if moved > plain else np.zeros_like(origin)))
        change = np.linalg.inv(A) @ settings
        whole = np.rint(change)
        equal = np.abs(change - whole).max(axis=(1, 2)) < SAME_LATTICE
        new[equal] = np.abs(np.abs(np.linalg.det(whole[equal])) - 1) > 0.5
    screened.sort(key=lambda item: -item[0])
    return [(settings[i], origin) for _, i, origin in screened[:PRESCREENED]]


def without_absences(points: Float64[np.ndarray, "n 3"], A: Matrix) -> Matrix:
    """The setting of the smaller cell, if the points leave out nodes as a centring or a multiple cell does."""
    for _ in range(6):
        index, misfit = nodes(points, A)
        # Close to nodes: where stray points are few.
        close = misfit <= max(float(np.median(misfit)), 0.05)
        change = _needless_multiple(index[close].astype(np.int64))
        if change is None:
            return A
        A = reduced_setting(A @ np.linalg.inv(change).T)
    return A


def _needless_multiple(hkl: Int64[np.ndarray, "n 3"]) -> Matrix | None:
    """The change of basis (columns: new vectors in the old) to a cell without absences, if `hkl` has any.

    If n.h is a multiple of the prime p for nearly all h, then the vector n / p is a lattice vector, too.
    """
    for p in (2, 3, 5):
        for n in itertools.product(range(p), repeat=3):
            first = next((v for v in n if v), 0)
            if first != 1:  # multiples of one another are the same condition
                continue
            present = (hkl @ np.array(n)) % p == 0
            if present.mean() > 1 - ABSENT * (p - 1):
                return _with_vector(np.array(n), p)
    return None


def _with_vector(n: Int64[np.ndarray, "3"], p: int) -> Matrix:
    """A basis of the lattice that the vector n / p and the unit vectors span."""
    axis = int(np.argmax(n == 1))  # e_axis = p (n / p) - the other unit vectors
    basis = np.eye(3)
    basis[:, axis] = n / p
    return basis
