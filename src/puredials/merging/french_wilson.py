"""Amplitudes from measured intensities: the Bayesian estimate of French & Wilson (1978), Acta Cryst. A34, 517.

The true intensity J of a reflection is not negative, and its prior is Wilson's: with the local mean intensity S (times
epsilon), exp(-J/S)/S for acentric and (2 pi S J)^(-1/2) exp(-J/(2 S)) for centric reflections (their eqs. 6, 7). With a
Gaussian error s of the measurement I and x = J / s the posterior is

    x^(a - 1) exp(-(x - h)^2 / 2),  x >= 0,   a = 1,   h = I/s - s/S      (acentric)
                                              a = 1/2, h = I/s - s/(2 S)  (centric)

so its moments depend on h alone. They are integrated numerically on a grid of h and interpolated by a cubic spline;
beyond the grid, where the posterior is nearly a gamma distribution or nearly Gaussian, by expansions.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float64, Int
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import gamma

__all__ = ["Amplitudes", "amplitudes", "flat_prior_amplitudes", "local_mean_intensity", "posterior_moments"]

_LOW, _HIGH, _STEP = -40.0, 40.0, 0.05
Values = Float64[np.ndarray, " n"]
# Measurements further below zero than this are errors, whatever the prior (French & Wilson, section 5).
OUTLIER = -3.7


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """Posterior means and standard deviations of amplitude and intensity; NaN where the measurement was rejected."""

    F: Values
    sigma_F: Values
    J: Values
    sigma_J: Values
    rejected: Bool[np.ndarray, " n"]


def amplitudes(
    intensity: Values,
    sigma: Values,
    mean: Values,
    centric: Bool[np.ndarray, " n"],
) -> Amplitudes:
    """Estimates for measurements `intensity` with errors `sigma`; `mean` is epsilon times the local mean intensity.

    Only measurements with I/sigma below -3.7 are rejected. A low h alone (which the original rejects too) says that
    the error is much larger than the mean intensity; then the estimate is that of the prior, which is right.
    """
    rejected = ~(intensity > OUTLIER * sigma)
    ratio = np.where(centric, 0.5, 1.0) * sigma / mean
    x, sd_x, f, sd_f = posterior_moments(np.where(rejected, np.nan, intensity / sigma - ratio), centric)
    root = np.sqrt(sigma)
    return Amplitudes(f * root, sd_f * root, x * sigma, sd_x * sigma, rejected)


def flat_prior_amplitudes(intensity: Values, sigma: Values) -> Amplitudes:
    """Amplitudes where there are too few reflections for a mean intensity.

    F^2 is the most probable J for a prior that is flat in F: F = sqrt((I + sqrt(I^2 + 2 s^2)) / 2)
    (Sivia & David 1994, Acta Cryst. A50, 703, eq. 8), with the curvature there as its error (eq. 10).
    """
    rejected = ~(intensity > OUTLIER * sigma)
    J = np.where(rejected, np.nan, (intensity + np.sqrt(intensity**2 + 2 * sigma**2)) / 2)
    sigma_F = 1 / np.sqrt(1 / J + 2 * (3 * J - intensity) / sigma**2)
    return Amplitudes(np.sqrt(J), sigma_F, J, 2 * np.sqrt(J) * sigma_F, rejected)


def posterior_moments(h: Values, centric: Bool[np.ndarray, " n"]) -> tuple[Values, Values, Values, Values]:
    """Mean and standard deviation of x, mean and standard deviation of sqrt(x), for the posterior of each h."""
    result = [np.empty(len(h)) for _ in range(4)]
    for which, a in ((~centric, 1.0), (centric, 0.5)):
        for target, values in zip(result, _moments(h[which], a), strict=True):
            target[which] = values
    return result[0], result[1], result[2], result[3]


def _moments(h: Values, a: float) -> list[Values]:
    inside = _spline(a)(np.clip(h, _LOW, _HIGH))
    inside[np.isnan(h)] = np.nan
    result = [inside[:, i] for i in range(4)]
    for beyond, expansion in ((h < _LOW, _gamma_limit), (h > _HIGH, _gaussian_limit)):
        if beyond.any():
            for target, values in zip(result, expansion(h[beyond], a), strict=True):
                target[beyond] = values
    return result


def _gamma_limit(h: Values, a: float) -> tuple[Values, Values, Values, Values]:
    # exp(h x) x^(a-1) (1 - x^2/2): the first correction is of order 1/h^2 < 1e-3 here.
    rate = -h
    mean = a / rate * (1 - (a + 1) / rate**2)
    root = gamma(a + 0.5) / gamma(a) / np.sqrt(rate) * (1 - (a + 0.625) / (2 * rate**2))
    return mean, np.sqrt(a) / rate * (1 - 1.5 * (a + 1) / rate**2), root, np.sqrt(mean - root**2)


def _gaussian_limit(h: Values, a: float) -> tuple[Values, Values, Values, Values]:
    # x^(a-1) shifts the Gaussian of unit width by (a-1)/h; sqrt is expanded about the mean.
    mean, sd = h + (a - 1) / h, 1 + (1 - a) / (2 * h**2)
    root = np.sqrt(mean) * (1 - sd**2 / (8 * mean**2) - 15 * sd**4 / (128 * mean**4))
    return mean, sd, root, np.sqrt(mean - root**2)


@cache
def _spline(a: float) -> CubicSpline:
    """Moments of the posterior on the grid of h."""
    grid = np.arange(_LOW, _HIGH + _STEP / 2, _STEP)
    table = np.array([_integrate(h, a) for h in grid])
    return CubicSpline(grid, table)


def _integrate(h: float, a: float) -> tuple[float, float, float, float]:
    # Gauss-Legendre in t = sqrt(x), where the integrand t^(2a - 1) exp(-(t^2 - h)^2 / 2) is smooth, over all t where it
    # is more than 1e-17 of its maximum.
    top = h + 9 if h > -2 else 42 / (-h + 3)
    bottom = max(h - 9, 0.0)
    nodes, weights = _legendre()
    low, high = np.sqrt(bottom), np.sqrt(top)
    t = low + (high - low) * (nodes + 1) / 2
    log_weight = (2 * a - 1) * np.log(t) - (t**2 - h) ** 2 / 2
    w = np.exp(log_weight - log_weight.max()) * weights
    w /= w.sum()
    mean_x, mean_t = float(w @ t**2), float(w @ t)
    return mean_x, float(np.sqrt(w @ (t**2 - mean_x) ** 2)), mean_t, float(np.sqrt(w @ (t - mean_t) ** 2))


@cache
def _legendre() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.polynomial.legendre.leggauss(96)


def local_mean_intensity(
    intensity: Values,
    sigma: Values,
    s_squared: Values,
    epsilon: Int[np.ndarray, " n"],
    centric: Bool[np.ndarray, " n"],
    *,
    max_bins: int = 60,
    min_per_bin: int = 40,
) -> Values:
    """The mean intensity S at each reflection's resolution (`s_squared` = 1/d^2), without epsilon.

    In each shell S has the greatest likelihood under Wilson's distribution blurred by the measurement errors, found by
    expectation maximisation: S is the mean of the posterior J / epsilon, with weight 1 for acentric and 1/2 for
    centric reflections. Unlike the mean of I it cannot become negative. Between shells ln S is interpolated.
    """
    n = len(intensity)
    good = intensity > OUTLIER * sigma
    bins = int(np.clip(good.sum() // min_per_bin, 1, max_bins))
    order = np.argsort(s_squared[good], kind="stable")
    shell = np.empty(len(order), dtype=np.int64)
    shell[order] = np.arange(len(order)) * bins // max(len(order), 1)
    weight = np.where(centric[good], 0.5, 1.0)
    measured, s, eps = intensity[good], sigma[good], epsilon[good].astype(np.float64)
    counts = np.bincount(shell, weight, bins)
    centres = np.bincount(shell, weight * s_squared[good], bins) / counts
    noise = np.sqrt(np.bincount(shell, weight * (s / eps) ** 2, bins)) / counts
    S = np.maximum(np.bincount(shell, weight * measured / eps, bins) / counts, noise)
    active = np.arange(len(shell))  # reflections of shells that have not settled
    for _ in range(200):
        here = shell[active]
        posterior = amplitudes(measured[active], s[active], eps[active] * S[here], centric[good][active])
        better = np.bincount(here, weight[active] * posterior.J / eps[active], bins) / counts
        moved = np.abs(better - S) > 1e-4 * S
        S[here] = better[here]
        active = active[moved[here]]
        if len(active) == 0:
            break
    # A shell of pure noise may give next to nothing; its mean is known to +- noise only, of which a mean that is not
    # negative is expected to be 0.8.
    S = np.maximum(S, 0.8 * noise)
    if bins == 1:
        return np.full(n, S[0])
    return np.exp(np.interp(s_squared, centres, np.log(S)))
