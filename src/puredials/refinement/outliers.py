"""Outliers among the residuals of centroids.

MCD: location and scatter of the half of the data with the smallest determinant of its covariance, by FAST-MCD
(Rousseeuw & Van Driessen 1999, Technometrics 41, 212), sharpened by those of all points that are near; points beyond a
quantile of what Mahalanobis distances follow among so many good points are outliers (Cerioli 2010, J. Am. Stat. Assoc.
105, 147). With quantiles of chi^2, which hold for very many points, 24 % of 20 good points and 10 % of 100 would be
rejected where 2.5 % are meant to be. Tukey: points beyond a multiple of the interquartile range from the quartiles.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import betaincinv, fdtri, gammainc, gammaincinv

from puredials.execute import SERIAL, Executor, map_blocks
from puredials.refinement.params import OutlierParams

__all__ = ["find_outliers", "mcd", "mcd_outliers", "tukey_outliers"]

Residuals = Float64[np.ndarray, "n p"]

# The settings of the paper, section 3: subsets tried, steps on each, solutions kept, and the largest groups.
N_TRIALS, FIRST_STEPS, KEPT, GROUP_SIZE, MAX_GROUPS, MAX_STEPS = 500, 2, 10, 300, 5, 100
FINALISTS = 3  # of a large data set, whose merged groups have already told the best apart
MIN_BLOCK_DEGREES = 18.0
MIN_BLOCK_REFLECTIONS = 100


def find_outliers(
    residuals: Residuals,
    id: Int64[np.ndarray, " n"],
    panel: Int64[np.ndarray, " n"],
    angle: Float64[np.ndarray, " n"],
    *,
    params: OutlierParams,
    executor: Executor = SERIAL,
) -> Bool[np.ndarray, " n"]:
    """True for outliers; experiments, panels and blocks of the scan (`angle` in degrees) are judged by themselves.

    All reflections of a job with fewer than `minimum_number_of_reflections` are rejected.
    """
    outliers = np.zeros(len(residuals), dtype=bool)
    if params.algorithm == "null":
        return outliers
    # Sorted, so that the subsets drawn do not depend on the order of the reflections.
    order = np.lexsort((*residuals.T[::-1], angle, id))
    jobs = _jobs(order, id, panel, angle, params)
    for rows, found in zip(
        jobs, map_blocks(lambda rows: _outliers(residuals[rows], params), jobs, executor), strict=True
    ):
        outliers[rows] = found
    return outliers


def _outliers(residuals: Residuals, params: OutlierParams) -> Bool[np.ndarray, " n"]:
    """The outliers of one job."""
    if len(residuals) < params.minimum_number_of_reflections:
        return np.ones(len(residuals), dtype=bool)
    if params.algorithm == "tukey":
        return tukey_outliers(residuals, iqr_multiplier=params.tukey.iqr_multiplier)
    return mcd_outliers(residuals, alpha=params.mcd.alpha, probability=params.mcd.threshold_probability)


def _jobs(
    order: Int64[np.ndarray, " n"],
    id: Int64[np.ndarray, " n"],
    panel: Int64[np.ndarray, " n"],
    angle: Float64[np.ndarray, " n"],
    params: OutlierParams,
) -> list[Int64[np.ndarray, " m"]]:
    """Rows of each job, in the given order."""
    if len(order) == 0:
        return []
    groups = [order]
    if params.separate_experiments:
        groups = _split(groups, id)
    if params.separate_panels:
        groups = _split(groups, panel)
    if not params.separate_blocks:
        return groups
    jobs = []
    for rows in groups:
        low, high = angle[rows].min(), angle[rows].max()
        if params.block_width is not None:
            n_blocks = max(round((high - low) / params.block_width), 1)
        else:
            n_blocks = max(int(min((high - low) / MIN_BLOCK_DEGREES + 0.05, len(rows) / MIN_BLOCK_REFLECTIONS)), 1)
        edges = np.linspace(low, high, n_blocks + 1)[1:-1]
        jobs += _split([rows], np.searchsorted(edges, angle, side="right"))
    return jobs


def _split(groups: list[np.ndarray], labels: np.ndarray) -> list[np.ndarray]:
    return [rows[labels[rows] == value] for rows in groups for value in np.unique(labels[rows])]


def tukey_outliers(residuals: Residuals, *, iqr_multiplier: float) -> Bool[np.ndarray, " n"]:
    """True beyond `iqr_multiplier` interquartile ranges from the quartiles, in any dimension."""
    low, high = np.quantile(residuals, [0.25, 0.75], axis=0)
    reach = iqr_multiplier * (high - low)
    return ((residuals < low - reach) | (residuals > high + reach)).any(axis=1)


def mcd_outliers(residuals: Residuals, *, alpha: float, probability: float, seed: int = 0) -> Bool[np.ndarray, " n"]:
    """True beyond a robust Mahalanobis distance that good normal points keep within with `probability`."""
    n = len(residuals)
    spread = np.median(np.abs(residuals - np.median(residuals, axis=0)), axis=0)
    used = np.flatnonzero(spread > 0)  # a constant residual (no information) tells nothing of outliers
    p = len(used)
    if p == 0 or n <= 2 * (residuals.shape[1] + 1):
        return np.zeros(n, dtype=bool)
    scaled = residuals[:, used] / spread[used]
    location, scatter = mcd(scaled, alpha=alpha, seed=seed)
    distance2 = _distances(scaled, location[None], np.linalg.inv(scatter)[None])[0]
    near = distance2 <= _raw_limit(n, p, _subset_size(n, p, alpha), probability)
    w = int(near.sum())
    if w <= p + 1:
        return ~near
    # Cerioli's equations 9 to 12: scatter of the near points, made consistent for normal data that were cut, and the
    # distributions of distances of points that have a part in it and of those that have none.
    covariance = np.cov(scaled[near].T).reshape(p, p) * _consistency(p, probability)
    distance2 = _distances(scaled, scaled[near].mean(axis=0)[None], np.linalg.inv(covariance)[None])[0]
    inner = (w - 1) ** 2 / w * betaincinv(p / 2, (w - p - 1) / 2, probability)
    outer = (w + 1) * (w - 1) * p / (w * (w - p)) * fdtri(p, w - p, probability)
    return distance2 > np.where(near, inner, outer)


def _raw_limit(n: int, p: int, h: int, probability: float) -> float:
    """The quantile of squared distances of good points from location and scatter of the best h of n.

    These follow about p m / (m - p + 1) times an F distribution with p and m - p + 1 degrees of freedom, where m tells
    how well the scatter is known: their asymptotic value (Croux & Haesbroeck 1999, J. Multivar. Anal. 71, 161) times a
    factor for few points, found by simulation (Hardin & Rocke 2005, J. Comput. Graph. Stat. 14, 928, section 4).
    """
    if h >= n:
        m = float(n - 1)
    else:
        kept = h / n
        q = 2 * gammaincinv(p / 2, kept)
        c = _consistency(p, kept)
        c2, c3 = -gammainc(p / 2 + 1, q / 2) / 2, -gammainc(p / 2 + 2, q / 2) / 2
        b1 = c * (c3 - 3 * c3) / kept
        b2 = 0.5 + c / kept * (c3 - q / p * (c2 + kept / 2))
        v1 = kept * b1**2 * ((1 - kept) * (c * q / p - 1) ** 2 - 1)
        v1 -= 2 * c3 * c**2 * (3 * (b1 - p * b2) ** 2 + (p + 2) * b2 * (2 * b1 - p * b2))
        v2 = n * (b1 * (b1 - p * b2) * kept) ** 2 * c**2
        few = np.exp(0.725 - 0.00663 * p - 0.0780 * np.log(n))
        m = 2 * v2 / (c**2 * v1) * (1 + (few - 1) * min(2 * (n - h) / n, 1))
    m = max(m, p + 1.0)
    return p * m / (m - p + 1) * float(fdtri(p, m - p + 1, probability))


def _consistency(p: int, kept: float) -> float:
    """By how much the covariance of the nearest share `kept` of normal points is too small."""
    return kept / float(gammainc(p / 2 + 1, gammaincinv(p / 2, kept))) if kept < 1 else 1.0


def _subset_size(n: int, p: int, alpha: float) -> int:
    """Points that determine location and scatter: between the half with the highest breakdown point and all."""
    half = (n + p + 1) // 2
    return min(int(2 * half - n + 2 * (n - half) * alpha), n)


def mcd(
    x: Residuals, *, alpha: float = 0.5, seed: int = 0
) -> tuple[Float64[np.ndarray, " p"], Float64[np.ndarray, "p p"]]:
    """Location and scatter of the points, unmoved by up to 1 - `alpha` of them; consistent for normal data.

    The highest breakdown point is that of alpha = 0.5.
    """
    n, p = x.shape
    rng = np.random.default_rng(seed)
    h = _subset_size(n, p, alpha)
    n_groups = min(max(n // GROUP_SIZE, 1), MAX_GROUPS)
    if n < 2 * GROUP_SIZE:
        means, inverses, dets = _random_starts(x, h, N_TRIALS, rng)
    else:
        chosen = rng.permutation(n)[: n_groups * GROUP_SIZE].reshape(n_groups, GROUP_SIZE)
        starts = [_random_starts(x[rows], int(GROUP_SIZE * h / n), N_TRIALS // n_groups, rng) for rows in chosen]
        means, inverses = (np.concatenate([s[k] for s in starts]) for k in (0, 1))
        merged = x[chosen.ravel()]
        means, inverses, dets = _concentrate(merged, int(len(merged) * h / n), means, inverses, FIRST_STEPS)
    best = np.argsort(dets, kind="stable")[: KEPT if n < 2 * GROUP_SIZE else FINALISTS]
    means, inverses, dets = _concentrate(x, h, means[best], inverses[best], MAX_STEPS)
    best = int(np.argmin(dets))
    return means[best], np.linalg.inv(inverses[best]) * _consistency(p, h / n) * _small_sample_factor(n, p, h)


def _small_sample_factor(n: int, p: int, h: int) -> float:
    """By how much the scatter of few points is too small (Pison, Van Aelst & Willems 2002, Metrika 55, 111).

    1 / (1 - a / n^b) with their a and b for half of the points and 2 or 3 dimensions; the correction fades away as the
    share of points grows to 1.
    """
    a, b = (3.6295, 0.8027) if p == 3 else (1.9607, 0.6914)
    half = 1 / (1 - a / n**b)
    return 1 + (half - 1) * min(2 * (n - h) / n, 1)


def _random_starts(x: Residuals, h: int, n_trials: int, rng: np.random.Generator):
    """The best ten solutions from subsets of p + 1 points, after two concentration steps each."""
    n, p = x.shape
    subsets = rng.integers(0, n, (n_trials, p + 1))
    means, covariances = _moments(x[subsets])
    means, inverses, dets = _concentrate(x, h, means, _inverse(covariances)[0], FIRST_STEPS)
    best = np.argsort(dets, kind="stable")[:KEPT]
    return means[best], inverses[best], dets[best]


def _concentrate(x: Residuals, h: int, means: np.ndarray, inverses: np.ndarray, n_steps: int):
    """Concentration steps (theorem 1): each takes the h points that are nearest by the last location and scatter.

    The determinant never rises; a solution whose determinant stays is done.
    """
    dets = np.full(len(means), np.inf)
    for _ in range(n_steps):
        nearest = np.argpartition(_distances(x, means, inverses), h - 1, axis=1)[:, :h]
        means, covariances = _moments(x[nearest])
        inverses, new = _inverse(covariances)
        done = np.all(new >= dets * (1 - 1e-12))
        dets = new
        if done:
            break
    return means, inverses, dets


def _distances(x: Residuals, means: np.ndarray, inverses: np.ndarray) -> Float64[np.ndarray, "t n"]:
    """Squared Mahalanobis distances (t, n) of the points from each of t locations."""
    centred = x[None] - means[:, None]
    return np.einsum("tni,tni->tn", centred @ inverses, centred)


def _moments(points: Float64[np.ndarray, "t h p"]) -> tuple[np.ndarray, np.ndarray]:
    """Means (t, p) and covariances (t, p, p) of t sets of points."""
    means = points.mean(axis=1)
    centred = points - means[:, None]
    return means, np.swapaxes(centred, 1, 2) @ centred / points.shape[1]


def _inverse(covariances: Float64[np.ndarray, "t p p"]) -> tuple[np.ndarray, np.ndarray]:
    """Inverses and determinants; a singular covariance (of points in a plane) is widened a little first."""
    p = covariances.shape[1]
    floor = 1e-10 * np.trace(covariances, axis1=1, axis2=2)[:, None, None] * np.eye(p) + 1e-300 * np.eye(p)
    covariances = covariances + floor
    return np.linalg.inv(covariances), np.linalg.det(covariances)
