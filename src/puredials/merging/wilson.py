"""The Wilson plot: B and scale from the fall of the intensity with resolution (Wilson 1942, Nature 150, 152)."""

from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float64, Int

__all__ = ["WilsonPlot", "wilson_plot"]

Values = Float64[np.ndarray, " n"]
Shells = Float64[np.ndarray, " k"]
# Atoms of an average residue of proteins, without the hydrogen bound water.
_RESIDUE = {"C": 5.0, "N": 1.35, "O": 1.5, "H": 8.0}
# Coarser data follow solvent and packing rather than Wilson's statistics.
_COARSEST = 4.0


@dataclass(frozen=True, eq=False)
class WilsonPlot:
    """Shells of the plot and its line: ln(mean / expected) = ln scale - 2 B (sin theta / lambda)^2.

    Attributes:
        s_squared: (k,) 1/d^2 of the shells; log_ratio: (k,); line: (k,) the fitted values.
        B: in A^2, NaN if the data do not reach far enough; log_scale: of scale.
    """

    s_squared: Shells
    log_ratio: Shells
    line: Shells
    B: float
    log_scale: float


def wilson_plot(
    intensity: Values,
    epsilon: Int[np.ndarray, " n"],
    s_squared: Values,
    *,
    n_operations: int,
    n_residues: int = 200,
    n_shells: int = 40,
) -> WilsonPlot:
    """The plot for merged intensities; `n_operations` counts the symmetry operations with centring."""
    order = np.argsort(s_squared, kind="stable")
    shells = max(min(n_shells, len(order) // 20), 1)
    shell = np.empty(len(order), dtype=np.int64)
    shell[order] = np.arange(len(order)) * shells // max(len(order), 1)
    count = np.bincount(shell, minlength=shells)
    s2 = np.bincount(shell, s_squared, shells) / count
    mean = np.bincount(shell, intensity / epsilon, shells) / count
    expected = n_operations * n_residues * _scattering_power(s2)
    good = mean > 0
    log_ratio = np.log(mean[good] / expected[good])
    x, y, weight = s2[good] / 2, log_ratio, np.sqrt(count[good])
    fine = s2[good] > 1 / _COARSEST**2
    if fine.sum() < 3:
        fine = np.ones(len(x), dtype=bool)
    if fine.sum() < 2:
        return WilsonPlot(s2[good], y, np.full(len(y), np.nan), float("nan"), float("nan"))
    slope, offset = np.polyfit(x[fine], y[fine], 1, w=weight[fine])
    return WilsonPlot(s2[good], y, offset + slope * x, -float(slope), float(offset))


def _scattering_power(s_squared: Shells) -> Shells:
    """Sum of f^2 over the atoms of a residue at each 1/d^2 (International Tables coefficients)."""
    total = np.zeros(len(s_squared))
    for symbol, number in _RESIDUE.items():
        table = gemmi.Element(symbol).it92
        assert table is not None
        total += number * np.array([table.calculate_sf(s2 / 4) ** 2 for s2 in s_squared])
    return total
