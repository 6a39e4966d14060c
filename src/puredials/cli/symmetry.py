"""dials.symmetry: Laue group and space group of integrated data."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param
from puredials.symmetry.params import SymmetryParams

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Names of the files written."""

    log: str = param("dials.symmetry.log", "Log.")
    experiments: str = param("symmetrized.expt", "Experiments in the new setting.")
    reflections: str = param("symmetrized.refl", "Reflections in the new setting.")
    json_: str | None = param("dials.symmetry.json", "All scores (None: not written).", alias="json")
    html: str | None = param("dials.symmetry.html", "Page with plots (None: not written).")


class Options(SymmetryParams):
    """Parameters of dials.symmetry."""

    output: Output = Output()


PROGRAM = Program(
    "dials.symmetry",
    Options,
    "Find the Laue group from the agreement of intensities and the space group from systematic absences.",
    takes="integrated.expt integrated.refl [name=value ...]",
    examples=("dials.symmetry integrated.expt integrated.refl",),
    indexed=True,
)


def run(job: Job) -> None:
    from puredials.report.page import figures_of, write_json, write_page
    from puredials.report.symmetry import symmetry_sections
    from puredials.symmetry import determine_symmetry, symmetry_report, symmetry_summary

    output = job.params.output
    result = determine_symmetry(job.experiments, job.reflections, params=job.params)
    job.say(symmetry_report(result.analysis))
    job.say()
    group = result.space_group.xhm()
    job.write_experiments(result.experiments, output.experiments, f"reindexed experiments in space group {group}")
    job.write_reflections(result.table, output.reflections, f"{result.table.n_rows} reindexed reflections")
    sections = symmetry_sections(result.analysis)
    content = {**symmetry_summary(result.analysis), "figures": figures_of(sections)}
    job.write(output.json_, lambda path: write_json(path, content), None)
    job.write(output.html, lambda path: write_page(path, f"Symmetry: {group}", sections), "html report")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
