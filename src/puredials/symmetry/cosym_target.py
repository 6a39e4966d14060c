"""Coordinates whose dot products are the correlations between sets: Brehm & Diederichs (2014, Acta D70, 101)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.optimize import minimize

from puredials.execute import SERIAL, Executor, map_blocks
from puredials.kernels.correlation import common_correlation
from puredials.symmetry.cosym_params import CosymParams
from puredials.symmetry.observations import Observations, pack

__all__ = ["Correlations", "best_copies", "coordinates", "pairwise_correlations"]

# The standard error of a correlation near 1 is not that small: errors are not all that differs.
_LARGEST_CC = 0.99


@dataclass(frozen=True, eq=False)
class Correlations:
    """r and number of common reflections of all copies, (n_sets, n_ops, n_sets, n_ops); 0 pairs: not known."""

    r: Float64[np.ndarray, "n g n g"]
    n: Float64[np.ndarray, "n g n g"]

    def select(self, sets: Bool[np.ndarray, " n"]) -> "Correlations":
        """Those of some of the sets."""
        return Correlations(self.r[sets][:, :, sets], self.n[sets][:, :, sets])


def pairwise_correlations(
    sets: list[Observations],
    rotations: Int64[np.ndarray, "g 3 3"],
    *,
    params: CosymParams,
    executor: Executor = SERIAL,
    progress: Callable[[int, int], None] | None = None,
) -> Correlations:
    """Correlations of every set in every setting of the lattice with every other (Gildea & Winter 2018, eq. 3).

    Copy g of a set has at h the intensity that the set has at h g. Only the quotient of two rotations matters, so each
    pair of sets is compared once per rotation.
    """
    inverses = [np.rint(np.linalg.inv(g)).astype(np.int64) for g in rotations]
    number = {g.tobytes(): k for k, g in enumerate(rotations)}
    quotient = np.array([[number[(i @ g).tobytes()] for g in rotations] for i in inverses])
    identity = next(k for k, g in enumerate(rotations) if (g == np.eye(3)).all())
    # The product of two unit-variance intensities with independent errors has the variance (1 + s^2) (1 + t^2).
    weights = [1 / (1 + s.sigma**2) if params.cc_weights else np.ones(len(s.sigma)) for s in sets]
    plain = [_sorted(s, w, np.eye(3, dtype=np.int64)) for s, w in zip(sets, weights, strict=True)]
    n_sets, n_ops = len(sets), len(rotations)
    r, n = np.zeros((n_sets, n_ops, n_sets, n_ops)), np.zeros((n_sets, n_ops, n_sets, n_ops))

    def compare(j: int) -> np.ndarray:
        """r and n of the sets up to j with each copy of set j."""
        rows = np.zeros((j + 1, n_ops, 2))
        for k, inverse in enumerate(inverses):
            copy = _sorted(sets[j], weights[j], inverse)
            for i in range(j + 1):
                if i < j or k != identity:
                    common_correlation(*plain[i], *copy, rows[i, k])
        rows[rows[..., 1] < params.min_pairs] = 0
        return rows

    for j, rows in enumerate(map_blocks(compare, range(n_sets), executor=executor)):
        for i, pair in enumerate(rows):
            r[i, :, j], n[i, :, j] = pair[quotient, 0], pair[quotient, 1]
            r[j, :, i], n[j, :, i] = r[i, :, j].T, n[i, :, j].T
        if progress:
            progress(j + 1, n_sets)
    return Correlations(r, n)


def _sorted(data: Observations, weight: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    key = pack(data.hkl @ rotation)
    order = np.argsort(key)
    return key[order], data.intensity[order], weight[order]


def coordinates(
    correlations: Correlations, params: CosymParams
) -> tuple[Float64[np.ndarray, "m d"], list[tuple[int, float]]]:
    """Coordinates (a row a copy) that minimise 1/2 sum w (r - x.y)^2 by L-BFGS, and (dimensions, functional) tried.

    Without given dimensions the elbow of the functional is taken: the point farthest below the line from first to last.
    """
    n_sets, n_ops = correlations.r.shape[:2]
    r = correlations.r.reshape(n_sets * n_ops, -1)
    weight = _weights(r, correlations.n.reshape(r.shape), params)
    given = params.dimensions
    tried = range(1, max(2, min(n_ops, 12)) + 1) if given is None else [given]
    found = [_minimise(r, weight, d, params) for d in tried]
    values = np.array([f for _, f in found])
    chosen = 0
    if given is None:
        line = np.linspace(values[0], values[-1], len(values))
        chosen = max(1, int(np.argmax(line - values)))
    return found[chosen][0], list(zip(tried, values.tolist(), strict=True))


def _weights(r: np.ndarray, n: np.ndarray, params: CosymParams) -> np.ndarray:
    """Weights of correlations, 1 in the mean of those that are known."""
    match params.weights:
        case "count":
            weight = n
        case "standard_error":
            weight = np.maximum(n - 2, 0) / (1 - np.minimum(np.abs(r), _LARGEST_CC) ** 2)
        case None:
            weight = (n > 0).astype(np.float64)
    return weight / max(weight.sum() / max(np.count_nonzero(weight), 1), 1e-9)


def _minimise(r: np.ndarray, weight: np.ndarray, dimensions: int, params: CosymParams) -> tuple[np.ndarray, float]:
    start = np.random.default_rng(params.seed).uniform(size=(len(r), dimensions))
    residual, weighted = np.empty_like(r), np.empty_like(r)

    def target(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = flat.reshape(len(r), dimensions)
        np.matmul(x, x.T, out=residual)
        np.subtract(r, residual, out=residual)
        np.multiply(weight, residual, out=weighted)
        return 0.5 * float(np.vdot(weighted, residual)), -2 * (weighted @ x).ravel()

    options = {"maxiter": params.minimization.max_iterations}
    solution = minimize(target, start.ravel(), jac=True, method="L-BFGS-B", options=options)
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
