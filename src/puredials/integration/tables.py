"""Text about an integration, for the log."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from puredials.integration.integrate import IntegrationResult
from puredials.model import Flags, ReflectionTable
from puredials.text import text_table

__all__ = ["blocks_text", "image_table", "overall_table", "profile_model_text", "reference_table", "resolution_table"]

_COLUMNS = [
    "# full",
    "# part",
    "# over",
    "# sum",
    "# prf",
    "Ibg",
    "I/sigI\n(sum)",
    "I/sigI\n(prf)",
    "CC prf",
    "RMSD XY",
]
SHELLS = 20


def profile_model_text(result: IntegrationResult) -> str:
    """The widths of the profile model."""
    profile, number = result.widths.profile, result.widths.number
    how = f"Using {number} reflections for sigma calculation\n" if number else ""
    return (
        f"Predicted {result.counts['predicted']} reflections\n{how}"
        f" sigma b: {np.mean(profile.sigma_b):f} degrees\n sigma m: {np.mean(profile.sigma_m):f} degrees"
    )


def blocks_text(result: IntegrationResult) -> str:
    """The blocks of images; reflections are counted in the block in which they end."""
    scan = result.experiment.scan
    assert scan is not None
    start, width = scan.oscillation
    offset = scan.array_range[0]
    rows = [
        [number, first + 1 + offset, last + offset, f"{start + first * width:g}", f"{start + last * width:g}", n]
        for number, (first, last, n) in enumerate(result.blocks)
    ]
    header = ["#", "Frame From", "Frame To", "Angle From", "Angle To", "# Reflections"]
    return "Processing reflections in the following blocks of images:\n\n" + text_table(header, rows)


def reference_table(result: IntegrationResult) -> str:
    """Where reference profiles are, and from how many reflections they were learnt."""
    if result.learnt is None:
        return "No reference profiles: intensities are found by summation only."
    numbers = result.learnt.numbers
    rows = [
        [k, f"{u:.3f}", f"{v:.3f}", f"{z:.2f}", f"{n:.0f}"]
        for k, ((u, v, z), n) in enumerate(zip(result.zones.centres(), numbers, strict=True))
    ]
    header = ["Profile", "u", "v", "Z (im)", "# reflections"]
    c = result.learnt.spread.coefficients
    widths = "\n".join(f" variance along e{k + 1}: {c[k, 0]:.3f} + {c[k, 1]:.3f} (wavelength / d)^2" for k in range(3))
    return (
        f"Summary of reference profiles, learnt from {int(result.learnt.used.sum())} reflections\n"
        "(u, v: direction cosines across the beam, u along the rotation axis)\n"
        f"{text_table(header, rows)}\n\nWidths of reflections, in units of sigma b and sigma m:\n{widths}"
    )


def image_table(result: IntegrationResult) -> str:
    """One row for each image, of the reflections predicted there."""
    scan = result.experiment.scan
    assert scan is not None
    low, high = scan.array_range
    z = np.clip(np.floor(result.table["xyzcal.px"][:, 2]).astype(np.int64), low, high - 1) - low
    rows = [[low + k + 1, *row] for k, row in enumerate(_statistics(result.table, z, len(scan)))]
    return "Summary vs image number\n" + text_table(["Image", *_COLUMNS], rows)


def resolution_table(result: IntegrationResult) -> str:
    """One row for each of shells of equal volume in reciprocal space, from high to low resolution."""
    cube = 1 / result.table["d"] ** 3
    edges = np.linspace(cube.min(), cube.max(), SHELLS + 1)
    shell = np.clip(np.searchsorted(edges, cube, "right") - 1, 0, SHELLS - 1)
    limits = edges[1:] ** (-1 / 3)
    table = _statistics(result.table, shell, SHELLS)
    rows = [[f"{limits[k]:.2f}", *table[k]] for k in reversed(range(SHELLS))]
    return "Summary vs resolution\n" + text_table(["d min", *_COLUMNS], rows)


def overall_table(result: IntegrationResult) -> str:
    """Figures of all reflections, and of the lowest and highest of shells of resolution."""
    table = result.table
    cube = 1 / table["d"] ** 3
    edges = np.linspace(cube.min(), cube.max(), SHELLS + 1)
    parts = [table, table.select(cube <= edges[1]), table.select(cube >= edges[-2])]
    figures = [_figures(part) for part in parts]
    rows = [[name, *(f[name] for f in figures)] for name in figures[0]]
    text = text_table(["Item", "Overall", "Low", "High"], rows, left=[0])
    counts = result.counts
    return (
        f"Summary of integration\n{text}\n\n"
        f"Of {counts['predicted']} predicted reflections {counts['failed background']} failed in background modelling, "
        f"{counts['failed summation']} in summation, {counts['failed fitting']} in profile fitting."
    )


def _figures(table: ReflectionTable) -> dict[str, str]:
    summed, fitted = table.has(Flags.INTEGRATED_SUM), table.has(Flags.INTEGRATED_PRF)
    full = table["partiality"] > 0.99
    both = summed & fitted
    a, b = table["intensity.sum.value"][both], table["intensity.prf.value"][both]
    return {
        "dmin": f"{table['d'].min(initial=np.inf):.2f}",
        "dmax": f"{table['d'].max(initial=0):.2f}",
        "number fully recorded": str(int(full.sum())),
        "number partially recorded": str(int((~full).sum())),
        "number with invalid background pixels": str(int(table.has(Flags.BACKGROUND_INCLUDES_BAD_PIXELS).sum())),
        "number with invalid foreground pixels": str(int(table.has(Flags.FOREGROUND_INCLUDES_BAD_PIXELS).sum())),
        "number with overloaded pixels": str(int(table.has(Flags.OVERLOADED).sum())),
        "number with overlapped foreground": str(int(table.has(Flags.OVERLAPPED_FG).sum())),
        "number processed with summation": str(int(summed.sum())),
        "number processed with profile fitting": str(int(fitted.sum())),
        "ibg": _mean(table["background.mean"]),
        "i/sigi (summation)": _mean(_significance(table, "sum")[summed]),
        "i/sigi (profile fitting)": _mean(_significance(table, "prf")[fitted]),
        "cc prf": _mean(table["profile.correlation"][fitted]),
        "cc_pearson sum/prf": _correlation(a, b),
        "cc_spearman sum/prf": _correlation(rankdata(a), rankdata(b)) if len(a) else "",
    }


def _statistics(table: ReflectionTable, group: NDArray[np.int64], n: int) -> list[list[str]]:
    """Rows of _COLUMNS, one for each group."""
    summed, fitted = table.has(Flags.INTEGRATED_SUM), table.has(Flags.INTEGRATED_PRF)
    full = table["partiality"] > 0.99

    def count(which):
        return [str(v) for v in np.bincount(group[which], minlength=n)]

    def mean(values, which):
        total = np.bincount(group[which], values[which], n)
        number = np.bincount(group[which], minlength=n)
        return [f"{t / m:.2f}" if m else "" for t, m in zip(total, number, strict=True)]

    shift = np.sum((table["xyzobs.px.value"] - table["xyzcal.px"])[:, :2] ** 2, axis=1)
    square = np.bincount(group[summed], shift[summed], n) / np.maximum(np.bincount(group[summed], minlength=n), 1)
    columns = [
        count(full),
        count(~full),
        count(table.has(Flags.OVERLOADED)),
        count(summed),
        count(fitted),
        mean(table["background.mean"], np.ones(len(group), dtype=bool)),
        mean(_significance(table, "sum"), summed),
        mean(_significance(table, "prf"), fitted),
        mean(table["profile.correlation"], fitted),
        [f"{v:.2f}" for v in np.sqrt(square)],
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _significance(table: ReflectionTable, kind: str) -> NDArray[np.float64]:
    variance = table[f"intensity.{kind}.variance"]
    return table[f"intensity.{kind}.value"] / np.sqrt(np.where(variance > 0, variance, np.inf))


def _mean(values: NDArray[np.float64]) -> str:
    return f"{values.mean():.2f}" if len(values) else ""


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> str:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return ""
    return f"{np.corrcoef(a, b)[0, 1]:.3f}"
