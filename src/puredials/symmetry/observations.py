"""Intensities for the analysis of symmetry: selected, corrected, in the minimum cell, normalised."""

from dataclasses import dataclass, replace

import gemmi
import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.errors import TooFewReflectionsError
from puredials.model import Flags, ReflectionTable
from puredials.symmetry.params import AnalysisParams

__all__ = ["Observations", "ResolutionLimits", "limit_resolution", "normalise", "normalised_observations", "pack"]

Indices = Int64[np.ndarray, "n 3"]
Values = Float64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Observations:
    """Observed intensities: indices (n, 3), I, sigma, and d (Angstrom); `cell` belongs to the indices."""

    hkl: Indices
    intensity: Values
    sigma: Values
    d: Values
    cell: gemmi.UnitCell

    def select(self, which: Bool[np.ndarray, " n"]) -> "Observations":
        return Observations(self.hkl[which], self.intensity[which], self.sigma[which], self.d[which], self.cell)


def pack(hkl: Indices) -> Int64[np.ndarray, " n"]:
    """One integer an index, the same for Friedel mates."""
    h = np.where((hkl[:, :1] < 0) | ((hkl[:, :1] == 0) & ((hkl[:, 1:2] < 0) | ((hkl[:, 1:2] == 0) & (hkl[:, 2:] < 0)))),
                 -hkl, hkl)  # fmt: skip
    return ((h[:, 0] + 4096) << 26) | ((h[:, 1] + 4096) << 13) | (h[:, 2] + 4096)


# Of normalised intensities, whose mean is 1.
_LARGEST_SIGMA = 10.0


def normalised_observations(
    table: ReflectionTable, hkl: Indices, cell: gemmi.UnitCell, params: AnalysisParams
) -> Observations:
    """Normalised intensities of integrated reflections without impossible ones.

    Args:
        table: integrated reflections.
        hkl: their indices in the minimum cell `cell`.
    """
    data = normalise(_observations(table, hkl, cell, params))
    # E^2 >= 16 happens once in nine million acentric reflections: such intensities are mistakes. Where the crystal does
    # not diffract at all, the intensity expected falls to nothing: numbers relative to that tell nothing.
    return data.select((data.intensity < 16 + 5 * data.sigma) & (data.sigma < _LARGEST_SIGMA))


def _observations(table: ReflectionTable, hkl: Indices, cell: gemmi.UnitCell, params: AnalysisParams) -> Observations:
    """Profile-fitted intensities, or summed ones where none were fitted, corrected for Lorentz and polarization."""
    prf = table.has(Flags.INTEGRATED_PRF)
    fitted = "intensity.prf.value" in table and bool(prf.any())
    which = prf if fitted else table.has(Flags.INTEGRATED_SUM)
    kind = "intensity.prf" if fitted else "intensity.sum"
    which = which & (table[f"{kind}.variance"] > 0) & hkl.any(axis=1) & ~table.has(Flags.BAD_FOR_SCALING)
    partiality = np.ones(table.n_rows)
    if "partiality" in table:
        which = which & (table["partiality"] >= params.partiality_threshold)
        if not fitted:
            partiality = np.maximum(table["partiality"], params.partiality_threshold)
    factor = table["lp"] / partiality if "lp" in table else 1 / partiality
    intensity, sigma = table[f"{kind}.value"] * factor, np.sqrt(np.abs(table[f"{kind}.variance"])) * factor
    which = which & (intensity > -5 * sigma)
    if which.sum() < 10:
        raise TooFewReflectionsError(
            f"Only {which.sum()} integrated reflections are left for the analysis of symmetry: "
            "run dials.integrate (of more images) before it, or lower partiality_threshold."
        )
    d = cell.calculate_d_array(hkl[which])
    return Observations(hkl[which], intensity[which], sigma[which], d, cell)


def normalise(data: Observations, n_iterations: int = 12) -> Observations:
    """Divide by the expected intensity, so that the mean is 1 at any resolution and in any direction.

    The expectation is exp(polynomial in 1/d^2 + anisotropic quadratic form in the reciprocal vector), fitted by
    maximum likelihood to exponentially distributed (Wilson 1949) intensities with measurement errors: iteratively
    reweighted least squares of a generalised linear model with a logarithmic link (McCullagh & Nelder 1989, 2.5);
    the anisotropic part as in Popov & Bourenkov (2003, Acta D59, 1145).
    """
    q = data.hkl @ np.array(data.cell.frac.mat.tolist())
    s_sq = 1 / data.d**2
    scaled = 2 * (s_sq - s_sq.min()) / max(np.ptp(s_sq), 1e-12) - 1
    radial = np.polynomial.chebyshev.chebvander(scaled, 7 if len(scaled) > 500 else 3)
    x, y, z = (q / np.sqrt(s_sq.max())).T
    # The trace-free part: the isotropic one is in the polynomial.
    design = np.column_stack([radial, x * x - z * z, y * y - z * z, x * y, x * z, y * z])
    intensity, variance = data.intensity, data.sigma**2
    mean = np.full(len(intensity), max(float(intensity.mean()), 1e-6))
    ridge = 1e-6 * len(intensity) * np.eye(design.shape[1])
    for _ in range(n_iterations):
        weight = 1 / (1 + variance / mean**2)
        # A few enormous intensities (ice, zingers) must not pull the curve.
        response = np.log(mean) + np.clip((intensity - mean) / mean, -3, 8)
        beta = np.linalg.solve(design.T * weight @ design + ridge, design.T @ (weight * response))
        mean = np.exp(np.clip(design @ beta, np.log(mean) - 2, np.log(mean) + 2))
    return replace(data, intensity=intensity / mean, sigma=data.sigma / mean)


@dataclass(frozen=True)
class ResolutionLimits:
    """The limits (Angstrom) from <I>/<sigma> and CC1/2 (None where not asked for), and the one taken."""

    i_over_sigma: float | None
    cc_half: float | None
    d_min: float


def limit_resolution(data: Observations, params: AnalysisParams) -> tuple[Observations, ResolutionLimits]:
    """Drop shells without signal; the wider of the two automatic limits counts."""
    if params.d_min is not None:
        limits = ResolutionLimits(None, None, params.d_min)
        return data.select(data.d >= params.d_min), limits
    order = np.argsort(-data.d)
    shells = np.array_split(order, max(1, min(20, len(order) // 100)))
    ratio = np.array([data.intensity[s].mean() / data.sigma[s].mean() for s in shells])
    correlation = np.array([_cc_half(data.select(_mask(s, len(order)))) for s in shells])
    edge = np.array([data.d[s].min() for s in shells])
    found: list[float | None] = []
    for values, least in ((ratio, params.min_i_mean_over_sigma_mean), (correlation, params.min_cc_half)):
        known = least is not None and bool(np.isfinite(values).any())
        found.append(float(edge[_last_above(values, least)]) if known and least is not None else None)
    given = [f for f in found if f is not None]
    d_min = min(given) if given else float(data.d.min())
    return data.select(data.d >= d_min), ResolutionLimits(found[0], found[1], d_min)


def _last_above(values: Values, least: float) -> int:
    """The last shell of known value before the first one that falls below `least` (the first one at any rate)."""
    known = np.flatnonzero(np.isfinite(values))
    below = np.flatnonzero(values[known] < least)
    return int(known[max(0, below[0] - 1) if len(below) else -1])


def _mask(index: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(n, dtype=bool)
    mask[index] = True
    return mask


def _cc_half(data: Observations) -> float:
    """Correlation of one observation with the mean of the others of the same Friedel pair; NaN if none repeats."""
    _, group, counts = np.unique(pack(data.hkl), return_inverse=True, return_counts=True)
    several = counts[group] > 1
    if several.sum() < 20:
        return float("nan")
    sums = np.bincount(group, data.intensity)
    others = (sums[group] - data.intensity) / np.maximum(counts[group] - 1, 1)
    return float(np.corrcoef(data.intensity[several], others[several])[0, 1])
