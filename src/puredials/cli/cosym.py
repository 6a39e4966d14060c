"""dials.cosym: one setting and the space group for many sets."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param
from puredials.symmetry.cosym_params import CosymParams

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Names of the files written."""

    log: str = param("dials.cosym.log", "Log.")
    experiments: str = param("symmetrized.expt", "Experiments in the common setting.")
    reflections: str = param("symmetrized.refl", "Reflections in the common setting.")
    json_: str | None = param("dials.cosym.json", "All scores (None: not written).", alias="json")
    html: str | None = param("dials.cosym.html", "Page with plots (None: not written).")


class Options(CosymParams):
    """Parameters of dials.cosym."""

    output: Output = Output()


PROGRAM = Program(
    "dials.cosym",
    Options,
    "Bring the data of several crystals to one setting and find their space group, both at once.",
    takes="integrated.expt integrated.refl [name=value ...]",
    examples=("dials.cosym integrated.expt integrated.refl",),
)


def run(job: Job) -> None:
    from puredials.report.page import write_json, write_page
    from puredials.report.symmetry import symmetry_figures, symmetry_sections
    from puredials.symmetry import cosym, cosym_report, cosym_summary, symmetry_report

    output = job.params.output
    result = cosym(job.experiments, job.reflections, params=job.params)
    job.say(symmetry_report(result.symmetry))
    job.say()
    job.say(cosym_report(result))
    job.say()
    group = result.space_group.xhm()
    job.write_experiments(result.experiments, output.experiments, f"reindexed experiments in space group {group}")
    job.write_reflections(result.reflections, output.reflections, f"{result.reflections.n_rows} reindexed reflections")
    content = {**cosym_summary(result), "figures": symmetry_figures(result.symmetry)}
    job.write(output.json_, lambda path: write_json(path, content), None)
    sections = symmetry_sections(result.symmetry)
    job.write(output.html, lambda path: write_page(path, f"Cosym: {group}", sections), None)


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
