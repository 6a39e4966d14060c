"""dials.estimate_resolution: how far the data reach."""

from typing import TYPE_CHECKING, Any

from puredials.cli.program import Job, Program
from puredials.merging.params import ResolutionParams
from puredials.params import Params, param

if TYPE_CHECKING:
    from puredials.merging.resolution import Curve, Limit

__all__ = ["PROGRAM", "Options", "main", "run"]


class Output(Params):
    """Names of the files written."""

    log: str = param("dials.estimate_resolution.log", "Log.")
    html: str | None = param("dials.estimate_resolution.html", "Page with plots (None: not written).")
    json_: str | None = param("dials.estimate_resolution.json", "Limits and curves (None: not written).", alias="json")


class Options(Params):
    """Parameters of dials.estimate_resolution."""

    resolution: ResolutionParams = ResolutionParams()
    output: Output = Output()


PROGRAM = Program(
    "dials.estimate_resolution",
    Options,
    "Estimate the resolution to which scaled data reach.",
    takes="scaled.expt scaled.refl [name=value ...]",
    examples=("dials.estimate_resolution scaled.expt scaled.refl", "dials.estimate_resolution scaled.* misigma=1"),
    indexed=True,
)

# As logs have named these limits for many years.
_LABELS = {
    "cc_half": "cc_half",
    "cc_ref": "cc_ref",
    "isigma": "I/sig",
    "misigma": "Mn(I/sig)",
    "i_mean_over_sigma_mean": "Mn(I)/Mn(sig)",
    "completeness": "completeness",
    "rmerge": "rmerge",
}


def run(job: Job) -> None:
    from puredials.io.mtz import merged_intensities, read_mtz
    from puredials.merging.resolution import estimate_resolution
    from puredials.report.merging import resolution_figures, resolution_sections
    from puredials.report.page import write_json, write_page

    params, output = job.params.resolution, job.params.output
    job.say(f"Read {job.reflections.n_rows} predicted reflections")
    reference = merged_intensities(read_mtz(params.reference)) if params.reference else None
    result = estimate_resolution(job.experiments, job.reflections, params=params, reference=reference)
    job.say(f"Selected {result.n_observations + result.n_rejected} scaled reflections")
    if params.emax is not None:
        job.say(f"Removing {result.n_rejected} Wilson outliers with E^2 >= {params.emax**2:.1f}")
    for curve in result.curves:
        label = f"Resolution {_LABELS[curve.metric]}:"
        if curve.limit is None:
            job.say(f"{label:<25}    - (the curve could not be fitted)")
        else:
            note = "" if curve.limit.within_data else " (all data)"
            job.say(f"{label:<25} {curve.limit.d_min:.2f}{note}{_why(curve)}")
    content = {"limits": {c.metric: _limits(c) for c in result.curves}, "figures": resolution_figures(result)}
    job.write(output.json_, lambda path: write_json(path, content), None)
    job.write(output.html, lambda path: write_page(path, "Resolution", resolution_sections(result)), "html report")


def _why(curve: "Curve") -> str:
    if not curve.is_uncertain or curve.passes is None:
        return ""
    reach = f"passes {curve.threshold:g} at {curve.passes.d_min:.2f}" if curve.passes.within_data else "stays above"
    return f" (beyond, correlations of so few pairs are not significant; the curve {reach})"


def _limits(curve: "Curve") -> dict[str, Any]:
    def part(limit: "Limit | None") -> dict[str, Any]:
        return {} if limit is None else {"d_min": limit.d_min, "within_data": limit.within_data}

    named = {"passes": part(curve.passes), "significant": part(curve.significant)}
    return {"threshold": curve.threshold, "d_min": None, "within_data": False, **part(curve.limit), **named}


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
