"""Text about an integration, for the log."""

import numpy as np
from numpy.typing import NDArray

from puredials.integration.integrating import IntegrationResult
from puredials.integration.summary import SHELLS, STATISTICS
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


def profile_model_text(result: IntegrationResult) -> str:
    """The widths of the profile model."""
    profile, number = result.widths.profile, result.widths.number
    how = f"Using {number} reflections for sigma calculation\n" if number else ""
    predicted = result.summary.by_shell[:, STATISTICS.index("predicted")].sum()
    return (
        f"Predicted {predicted:.0f} reflections\n{how}"
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
    widths = "\n".join(
        f" variance along e{k + 1}: {c[k, 0]:.3f} {'-' if c[k, 1] < 0 else '+'} {abs(c[k, 1]):.3f} (wavelength / d)^2"
        for k in range(3)
    )
    return (
        f"Summary of reference profiles, learnt from {int(result.learnt.used.sum())} reflections\n"
        "(u, v: direction cosines across the beam, u along the rotation axis)\n"
        f"{text_table(header, rows)}\n\nWidths of reflections, in units of sigma b and sigma m:\n{widths}\n"
        " (e1, e2: besides what comes from the depth of the sensor)"
    )


def image_table(result: IntegrationResult) -> str:
    """One row for each image, of the reflections predicted there."""
    summary = result.summary
    rows = [[summary.first_image + k, *_cells(row)] for k, row in enumerate(summary.by_image)]
    return "Summary vs image number\n" + text_table(["Image", *_COLUMNS], rows)


def resolution_table(result: IntegrationResult) -> str:
    """One row for each of shells of equal volume in reciprocal space, from high to low resolution."""
    summary = result.summary
    limits = summary.edges[1:] ** (-1 / 3)
    rows = [[f"{limits[k]:.2f}", *_cells(summary.by_shell[k])] for k in reversed(range(SHELLS))]
    return "Summary vs resolution\n" + text_table(["d min", *_COLUMNS], rows)


def overall_table(result: IntegrationResult) -> str:
    """Figures of all reflections, and of the lowest and highest of the shells of resolution."""
    summary = result.summary
    d = summary.edges ** (-1 / 3)
    parts = [
        (summary.by_shell.sum(axis=0), d[-1], d[0], summary.correlations()),
        (summary.by_shell[0], d[1], d[0], summary.correlations(0)),
        (summary.by_shell[-1], d[-1], d[-2], summary.correlations(SHELLS - 1)),
    ]
    figures = [_figures(*part) for part in parts]
    rows = [[name, *(f[name] for f in figures)] for name in figures[0]]
    return "Summary of integration\n" + text_table(["Item", "Overall", "Low", "High"], rows, left=[0])


def _figures(
    sums: NDArray[np.float64], d_min: float, d_max: float, correlations: tuple[float, float]
) -> dict[str, str]:
    s = dict(zip(STATISTICS, sums, strict=True))
    return {
        "dmin": f"{d_min:.2f}",
        "dmax": f"{d_max:.2f}",
        "number predicted": f"{s['predicted']:.0f}",
        "number fully recorded": f"{s['full']:.0f}",
        "number partially recorded": f"{s['part']:.0f}",
        "number with invalid background pixels": f"{s['bad background']:.0f}",
        "number with invalid foreground pixels": f"{s['bad foreground']:.0f}",
        "number with overloaded pixels": f"{s['overloaded']:.0f}",
        "number with overlapped foreground": f"{s['overlapped']:.0f}",
        "number processed with summation": f"{s['sum']:.0f}",
        "number processed with profile fitting": f"{s['prf']:.0f}",
        "number failed in background modelling": f"{s['failed background']:.0f}",
        "number failed in summation": f"{s['failed summation']:.0f}",
        "number failed in profile fitting": f"{s['failed fitting']:.0f}",
        "ibg": _ratio(s["background"], s["integrated"]),
        "i/sigi (summation)": _ratio(s["I/sigma sum"], s["sum"]),
        "i/sigi (profile fitting)": _ratio(s["I/sigma prf"], s["prf"]),
        "cc prf": _ratio(s["correlation"], s["prf"]),
        "cc_pearson sum/prf": f"{correlations[0]:.3f}",
        "cc_spearman sum/prf": f"{correlations[1]:.3f}",
    }


def _cells(sums: NDArray[np.float64]) -> list[str]:
    """The cells of _COLUMNS."""
    s = dict(zip(STATISTICS, sums, strict=True))
    return [
        *(f"{s[name]:.0f}" for name in ("full", "part", "overloaded", "sum", "prf")),
        _ratio(s["background"], s["integrated"]),
        _ratio(s["I/sigma sum"], s["sum"]),
        _ratio(s["I/sigma prf"], s["prf"]),
        _ratio(s["correlation"], s["prf"]),
        f"{np.sqrt(s['shift'] / s['sum']):.2f}" if s["sum"] else "",
    ]


def _ratio(total: float, number: float) -> str:
    return f"{total / number:.2f}" if number else ""
