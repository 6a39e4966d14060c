"""dials.report: a page on the data at any stage, and what of it deserves a look."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Names of the files written."""

    log: str = param("dials.report.log", "Log.")
    html: str | None = param("dials.report.html", "Page with plots (None: not written).")
    json_: str | None = param(None, "The plots' data, e.g. dials.report.json (None: not written).", alias="json")


class Options(Params):
    """Parameters of dials.report."""

    output: Output = Output()
    reference_profiles: str | None = param(
        None,
        "File of the reference profiles (None: that of dials.integrate, if it is in the folder of the reflections).",
    )
    pixels_per_bin: int = param(40, "Side of the squares in maps of the detector.", unit="px", ge=1)
    centroid_diff_max: float | None = param(
        None, "Largest residual in the colours of maps of x and y (None: by the data).", unit="px", gt=0
    )


PROGRAM = Program(
    "dials.report",
    Options,
    "Write a page of plots on the data at any stage, from spots to scaled reflections, and say which deserve a look.",
    takes="step.expt step.refl [name=value ...]",
    examples=("dials.report refined.expt refined.refl", "dials.report scaled.expt scaled.refl output.json=plots.json"),
)


def run(job: Job) -> None:
    from pathlib import Path

    from puredials.io.profiles import profiles_beside, read_reference_profiles
    from puredials.report import figures_of, report, write_json, write_page
    from puredials.report.attention import attention_text

    params, output = job.params, job.params.output
    named: str | None = params.reference_profiles
    found = report(
        job.experiments,
        job.reflections,
        pixels_per_bin=params.pixels_per_bin,
        centroid_diff_max=params.centroid_diff_max,
        profiles=read_reference_profiles(Path(named)) if named else profiles_beside(job.reflection_paths),
    )
    n = len(job.experiments)
    job.say(f"{found.title}: {job.reflections.n_rows} of {n} experiment{'s' * (n != 1)}.")
    for note in found.notes:
        job.say(note)
    job.say(f"\n{attention_text(found.sections, found.remarks)}")
    job.say()
    job.write(output.html, lambda path: write_page(path, f"Report: {found.title}", found.sections), "html report")
    job.write(output.json_, lambda path: write_json(path, figures_of(found.sections)), "the plots' data")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
