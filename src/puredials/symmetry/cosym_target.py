"""Coordinates whose dot products are the correlations between sets: Brehm & Diederichs (2014, Acta D70, 101)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.optimize import minimize

from puredials.execute import SERIAL, Executor, map_blocks
from puredials.kernels.correlation import common_correlation
from puredials.symmetry.observations import Observations, pack

__all__ = ["Correlations", "best_copies", "coordinates", "pairwise_correlations"]


@dataclass(frozen=True, eq=False)
class Correlations:
    """r and number of common reflections of all copies, (n_sets, n_ops, n_sets, n_ops); 0 pairs: not known."""

    r: Float64[np.ndarray, "n g n g"]
    n: Float64[np.ndarray, "n g n g"]

    def connected(self) -> Bool[np.ndarray, " n"]:
        """Whether a set has a known correlation with any other; a single set needs none."""
        pairs = self.n.max(axis=(1, 3))
        np.fill_diagonal(pairs, 0)
        return (pairs.max(axis=1) > 0) | (len(pairs) == 1)

    def select(self, sets: Bool[np.ndarray, " n"]) -> "Correlations":
        """Those of some of the sets."""
        return Correlations(self.r[sets][:, :, sets], self.n[sets][:, :, sets])


def pairwise_correlations(
    sets: list[Observations],
    rotations: Int64[np.ndarray, "g 3 3"],
    *,
    min_pairs: int,
    executor: Executor = SERIAL,
    progress: Callable[[int, int], None] | None = None,
) -> Correlations:
    """Correlations of every set in every setting of the lattice with every other (Gildea & Winter 2018, eq. 3).

    Copy g of a set has at h the intensity that the set has at h g. Only the quotient of two rotations matters, so each
    pair of sets is compared once per rotation.
    """
    copies = [[_sorted(s, np.rint(np.linalg.inv(g)).astype(np.int64)) for g in rotations] for s in sets]
    identity = next(k for k, g in enumerate(rotations) if (g == np.eye(3)).all())
    number = {g.tobytes(): k for k, g in enumerate(rotations)}
    inverses = [np.rint(np.linalg.inv(g)).astype(np.int64) for g in rotations]
    quotient = np.array([[number[(i @ g).tobytes()] for g in rotations] for i in inverses])
    n_sets, n_ops = len(sets), len(rotations)
    r, n = np.zeros((n_sets, n_ops, n_sets, n_ops)), np.zeros((n_sets, n_ops, n_sets, n_ops))

    def compare(i: int) -> np.ndarray:
        """r and n of set i with itself and the later ones, a row a set and rotation."""
        key, value = copies[i][identity]
        rows = np.zeros((n_sets - i, n_ops, 2))
        for j, k in np.ndindex(rows.shape[:2]):
            if j or k != identity:
                other_key, other_value = copies[i + j][k]
                common_correlation(key, value, other_key, other_value, rows[j, k])
        rows[rows[..., 1] < min_pairs] = 0
        return rows

    for i, rows in enumerate(map_blocks(compare, range(n_sets), executor=executor)):
        for j, pair in enumerate(rows, start=i):
            r[i, :, j], n[i, :, j] = pair[quotient, 0], pair[quotient, 1]
            r[j, :, i], n[j, :, i] = r[i, :, j].T, n[i, :, j].T
        if progress:
            progress(i + 1, n_sets)
    return Correlations(r, n)


def _sorted(data: Observations, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    key = pack(data.hkl @ rotation)
    order = np.argsort(key)
    return key[order], np.ascontiguousarray(data.intensity[order])


def coordinates(
    correlations: Correlations, *, dimensions: int | None, seed: int
) -> tuple[Float64[np.ndarray, "m d"], list[tuple[int, float]]]:
    """Coordinates (a row a copy) that minimise 1/2 sum w (r - x.y)^2 by L-BFGS, and (dimensions, functional) tried.

    Without given dimensions the elbow of the functional is taken: the point farthest below the line from first to last.
    """
    n_sets, n_ops = correlations.r.shape[:2]
    r = correlations.r.reshape(n_sets * n_ops, -1)
    weight = correlations.n.reshape(r.shape)
    weight = weight / max(weight.sum() / max(np.count_nonzero(weight), 1), 1e-9)
    tried = range(1, max(2, min(n_ops, 12)) + 1) if dimensions is None else [dimensions]
    found = [_minimise(r, weight, d, seed) for d in tried]
    values = np.array([f for _, f in found])
    chosen = 0
    if dimensions is None:
        line = np.linspace(values[0], values[-1], len(values))
        chosen = max(1, int(np.argmax(line - values)))
    return found[chosen][0], list(zip(tried, values.tolist(), strict=True))


def _minimise(r: np.ndarray, weight: np.ndarray, dimensions: int, seed: int) -> tuple[np.ndarray, float]:
    start = np.random.default_rng(seed).uniform(size=(len(r), dimensions))

    def target(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = flat.reshape(len(r), dimensions)
        residual = weight * (r - x @ x.T)
        return 0.5 * float(np.vdot(residual, r - x @ x.T)), (-2 * residual @ x).ravel()

    solution = minimize(target, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return solution.x.reshape(len(r), dimensions), float(solution.fun)


def best_copies(x: Float64[np.ndarray, "m d"], correlations: Correlations) -> Int64[np.ndarray, " n"]:
    """For each set the copy that belongs to one cluster of coordinates.

    The cluster grows from the copy with the densest neighbourhood of directions; then each set in turn takes the copy
    that correlates best with all others until none changes.
    """
    n_sets, n_ops = correlations.r.shape[:2]
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    cosine = (unit @ unit.T).reshape(-1, n_sets, n_ops)
    anchor = int(np.argmax(cosine.max(axis=2).sum(axis=1)))
    copies = np.argmax(cosine[anchor], axis=1)
    weighted = correlations.r * np.sqrt(correlations.n)
    everyone = np.arange(n_sets)
    for _ in range(20):
        before = copies.copy()
        for k in range(n_sets):
            others = everyone != k
            score = weighted[k][:, everyone[others], copies[others]].sum(axis=1)
            if len(score) and score.max() > score[copies[k]] + 1e-9:
                copies[k] = int(np.argmax(score))
        if (copies == before).all():
            break
    return copies
