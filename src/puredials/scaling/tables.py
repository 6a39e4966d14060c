"""What the user reads of scaling: text for the log."""

from collections.abc import Callable

import numpy as np

from puredials.merging.anomalous import anomalous_deviations, central_slope
from puredials.merging.tables import MergingStatistics, merging_table
from puredials.merging.unique import MergeResult
from puredials.model import Experiment
from puredials.scaling.error_model import ErrorModel
from puredials.scaling.model import WIDTH_FOR_ABSORPTION
from puredials.scaling.scaling import ScaleResult
from puredials.statistics import MergingSums
from puredials.text import text_table

__all__ = ["anomalous_measures", "scaling_report", "selection_report", "statistics_report"]

_RULE = "=" * 80
_WIDTH = 42


def selection_report(result: ScaleResult) -> str:
    """Which reflections took part, and the corrections of each sweep."""
    observations, lines = result.observations, []
    n = len(observations.d)
    if observations.n_joined:
        lines.append(f"Combined {observations.n_joined} partial reflections with other partial reflections")
    out = int((~observations.usable).sum())
    lines += [
        f"Excluding {out}/{n} reflections",
        "Reflections passing individual criteria:",
        f"criterion: user excluded, reflections: {int(observations.user_excluded.sum())}",
        f"criterion: excluded for scaling, reflections: {int(observations.unusable.sum())}",
    ]
    for number, model in enumerate(result.models):
        rows = [(name, part.stop - part.start) for name, part in model.parts.items()]
        lines += ["", f"Corrections of dataset {number} ({model.kind} model):",
                  text_table(["correction", "n_parameters"], rows, left=(0,))]  # fmt: skip
    narrow = [
        str(number)
        for number, (model, e) in enumerate(zip(result.models, result.experiments, strict=True))
        if model.kind == "physical" and "absorption" not in model.parts and _is_narrow(e)
    ]
    if narrow:
        lines += [
            "",
            f"No absorption correction of dataset{'s' * (len(narrow) > 1)} {', '.join(narrow)}: sweeps of "
            f"{WIDTH_FOR_ABSORPTION:g} degrees or less",
            "tell little of it (absorption_correction=True refines it nevertheless).",
        ]
    for remark in result.remarks:
        lines += ["", remark]
    return "\n".join(lines)


def _is_narrow(experiment: Experiment) -> bool:
    scan = experiment.scan
    return scan is not None and abs(scan.oscillation[1]) * len(scan) <= WIDTH_FOR_ABSORPTION


def scaling_report(result: ScaleResult) -> str:
    """The fits, the choice of intensities and the error model."""
    parts = []
    for done in result.rounds:
        parts += [
            "",
            _RULE,
            f"\nA round of outlier rejection has been performed, \n{done.n_outliers} outliers have been identified.",
            "\nRefinement steps:",
            text_table(
                ["Step", "Nref", "RMSD_I\n(sigma)"],
                [(i, done.n_observations, f"{v:.5f}") for i, v in enumerate(done.rmsds)],
            ),
            done.result,
        ]
        if done is result.rounds[0] and result.combinations:
            parts += ["", _RULE, "", _combination_report(result)]
    parts += ["", _RULE, ""]
    for number, errors in enumerate(result.errors):
        if number == 0 or errors != result.errors[0]:
            which = "" if len(set(result.errors)) == 1 else f" of dataset {number}"
            parts += [f"Error model details{which}:", _error_text(errors)]
    used = {name for model in result.models for name in model.parts}
    weights = [f"{name} {weight:.4g}" for name, weight in result.prior_weights.items() if name in used]
    parts += ["", f"Weights of the priors (1/σ² a node or harmonic): {', '.join(weights)}"]
    parts += ["", _deviation_table(result), "", _uncertain(result), "", _partialities(result)]
    return "\n".join(parts)


def _combination_report(result: ScaleResult) -> str:
    names = {0.0: "prf only", 1.0: "sum only"}
    rows = [
        (names.get(c.middle, f"Imid = {c.middle:.2f}"), f"{c.cc_half:.5f}", f"{c.r_meas:.5f}")
        for c in result.combinations
    ]
    chosen = {0.0: "Profile-fitted intensities", 1.0: "Summed intensities"}.get(
        result.middle, f"Combined intensities with Imid = {result.middle:.2f}"
    )
    table = text_table(["Combination", "CC1/2", "Rmeas"], rows, left=(0,))
    return f"Performing profile/summation intensity optimisation.\n{table}\n{chosen} determined to be best for scaling."


def _error_text(errors: ErrorModel) -> str:
    return "\n".join(
        [
            "  Type: basic, with a term for photons",
            f"  Parameters: a = {errors.a:.5f}, b = {errors.b:.5f}, c = {errors.c:.5f}",
            "  Error model formula: σ'² = a²(σ² + cL<I> + (b<I>)²), L: scaled units of one count",
            f"  Tails: Student's t with {errors.nu:.1f} degrees of freedom (some 100 and more: normal errors)",
            f"  estimated I/sigma asymptotic limit: {errors.isa:.3f}",
        ]
    )


def _deviation_table(result: ScaleResult, n_bins: int = 10) -> str:
    """Mean square deviations in ranges of intensity, from strong to weak."""
    deviations = result.deviations
    if len(deviations.rows) < n_bins:
        return "Too few repeated reflections for an error model."
    order = np.argsort(-deviations.expected, kind="stable")
    rows = []
    for part in np.array_split(order, n_bins):
        high, low = deviations.expected[part[0]], deviations.expected[part[-1]]
        stated, corrected = (np.mean(z[part] ** 2) for z in (deviations.stated, deviations.corrected))
        rows.append((f"{high:.2f} - {low:.2f}", len(part), f"{stated:.3f}", f"{corrected:.3f}"))
    table = text_table(
        ["Intensity range (<Ih>)", "n_refl", "Uncorrected variance", "Corrected variance"], rows, left=(0,)
    )
    return (
        "Results of error model refinement. Uncorrected and corrected variances\n"
        "of normalised intensity deviations for given intensity ranges. Variances\n"
        f"are expected to be ~1.0 for reliable errors (sigmas).\n{table}"
    )


def _uncertain(result: ScaleResult) -> str:
    share = np.mean(result.esds > 0.5 * np.abs(result.parameters))
    return f"{100 * share:.2f}% of model parameters have significant uncertainty\n(sigma/abs(parameter) > 0.5)"


def _partialities(result: ScaleResult) -> str:
    table = result.observations.table
    if "partiality" not in table:
        return ""
    p = table["partiality"]
    ranges = [("all reflections", p >= -1), ("p > 0.99", p > 0.99), ("0.5 < p < 0.99", (p > 0.5) & (p <= 0.99)),
              ("0.01 < p < 0.5", (p > 0.01) & (p <= 0.5)), ("p < 0.01", p <= 0.01)]  # fmt: skip
    rows = [(name, int(which.sum())) for name, which in ranges]
    return "Summary of dataset partialities\n" + text_table(["Partiality (p)", "n_refl"], rows, left=(0,))


def statistics_report(
    merged: MergeResult, overall: MergingStatistics, suggested: MergingStatistics | None, threshold: float
) -> str:
    """The merging tables, and the limit that CC1/2 suggests."""
    lines = ["            ----------Merging statistics by resolution bin----------           ", "",
             merging_table(overall), "", ""]  # fmt: skip
    if suggested is None:
        lines.append("Resolution limit suggested from CC½ fit: could not be determined.")
    elif suggested.edges[-1] <= overall.edges[-1] * (1 + 1e-6):
        lines.append(f"Resolution limit suggested from CC½ fit (limit CC½={threshold:g}): all data.")
        suggested = None
    else:
        lines.append(f"Resolution limit suggested from CC½ fit (limit CC½={threshold:g}): {suggested.edges[-1]:.2f}")
    lines += ["", "            -------------Summary of merging statistics--------------           ", ""]
    return "\n".join([*lines, _summary(merged, overall, suggested)])


def _summary(merged: MergeResult, overall: MergingStatistics, suggested: MergingStatistics | None) -> str:
    """Suggested, low, high and overall side by side; low and high are shells of the suggested range."""
    inner = suggested or overall
    columns: list[tuple[str, MergingSums, int, float, float]] = [
        ("Low", inner.shells, 0, inner.edges[1], inner.edges[0]),
        ("High", inner.shells, -1, inner.edges[-1], inner.edges[-2]),
        ("Overall", overall.overall, 0, overall.edges[-1], overall.edges[0]),
    ]
    if suggested is not None:
        columns.insert(0, ("Suggested", suggested.overall, 0, suggested.edges[-1], suggested.edges[0]))

    def text(value: float, digits: int) -> str:
        return (f"{value:.{digits}f}" if np.isfinite(value) else "-").rjust(8)

    def line(name: str, cells: list[str]) -> str:
        return name.ljust(_WIDTH) + "".join(c.rjust(9 if i == 0 and suggested else 8) for i, c in enumerate(cells))

    def row(name: str, values: Callable[[MergingSums], np.ndarray], digits: int, factor: float = 1.0) -> str:
        return line(name, [text(factor * float(values(sums)[i]), digits) for _, sums, i, _, _ in columns])

    measures = anomalous_measures(merged)
    return "\n".join(
        [
            line("", [c[0] for c in columns]),
            line("High resolution limit", [text(c[3], 2) for c in columns]),
            line("Low resolution limit", [text(c[4], 2) for c in columns]),
            row("Completeness", lambda s: s.completeness, 1, 100.0),
            row("Multiplicity", lambda s: s.multiplicity, 1),
            row("I/sigma", lambda s: s.i_over_sigma, 1),
            row("Rmerge(I)", lambda s: s.r_merge, 3),
            row("Rmerge(I+/-)", lambda s: s.r_merge_sides, 3),
            row("Rmeas(I)", lambda s: s.r_meas, 3),
            row("Rmeas(I+/-)", lambda s: s.r_meas_sides, 3),
            row("Rpim(I)", lambda s: s.r_pim, 3),
            row("Rpim(I+/-)", lambda s: s.r_pim_sides, 3),
            row("CC half", lambda s: s.cc_half, 3),
            row("Anomalous completeness", lambda s: s.anomalous_completeness, 1, 100.0),
            row("Anomalous multiplicity", lambda s: s.anomalous_multiplicity, 1),
            row("Anomalous correlation", lambda s: s.cc_anom, 3),
            *(line(name, [text(value, 3)]) for name, value in measures.items()),
            row("Total observations", lambda s: s.n_obs, 0),
            row("Total unique", lambda s: s.n_unique, 0),
        ]
    )


def anomalous_measures(merged: MergeResult) -> dict[str, float]:
    """Size of the anomalous differences of all data, for the summary.

    Slope: of the central part of the normal probability plot of dI / sigma(dI) (Howell & Smith 1992, J. Appl. Cryst.
    25, 81); dF/F: r.m.s. difference of amplitudes over their mean; dI/s(dI): mean |dI| over mean sigma.
    """
    pair = (merged.plus.count > 0) & (merged.minus.count > 0) & ~merged.equivalents.centric
    names = ("Anomalous slope", "dF/F", "dI/s(dI)")
    if pair.sum() < 10:
        return dict.fromkeys(names, float("nan"))
    plus, minus = merged.plus.value[pair], merged.minus.value[pair]
    difference, sigma = plus - minus, np.hypot(merged.plus.sigma[pair], merged.minus.sigma[pair])
    both = (plus > 0) & (minus > 0)
    slope = central_slope(anomalous_deviations(merged))
    f_plus, f_minus = (np.sqrt(i[both]) for i in (plus, minus))
    ratio = np.sqrt(np.mean((f_plus - f_minus) ** 2) / (0.5 * (np.mean(f_plus) ** 2 + np.mean(f_minus) ** 2)))
    return dict(zip(names, (slope, float(ratio), float(np.abs(difference).mean() / sigma.mean())), strict=True))
