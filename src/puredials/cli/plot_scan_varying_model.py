"""dials.plot_scan_varying_model: cell, orientation and beam along the scan."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Names of the files written."""

    log: str | None = param(None, "File of all that is printed (None: not written).")
    html: str | None = param("dials.plot_scan_varying_model.html", "Page with plots (None: not written).")
    json_: str | None = param(None, "The plots' data (None: not written).", alias="json")


class Options(Params):
    """Parameters of dials.plot_scan_varying_model."""

    output: Output = Output()


PROGRAM = Program(
    "dials.plot_scan_varying_model",
    Options,
    "Plot how cell, orientation and beam change along the scan.",
    takes="refined.expt [name=value ...]",
    examples=("dials.plot_scan_varying_model refined.expt",),
)


def run(job: Job) -> None:
    from puredials.errors import MismatchError
    from puredials.report import figures_of, write_json, write_page
    from puredials.report.beams import beam_sections
    from puredials.report.crystals import crystal_sections

    output = job.params.output
    sections = [*crystal_sections(job.experiments), *beam_sections(job.experiments)]
    if not sections:
        raise MismatchError("No model varies along the scan: refine with scan_varying=True first.")
    job.write(output.html, lambda path: write_page(path, "Models along the scan", sections), "html report")
    job.write(output.json_, lambda path: write_json(path, figures_of(sections)), "the plots' data")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
