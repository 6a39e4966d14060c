"""dials.cosym: one setting and the space group for many sets."""

from functools import partial

from puredials.cli import symmetry
from puredials.cli.program import Job, Program
from puredials.params import param
from puredials.symmetry.cosym_params import CosymParams

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(symmetry.Output):
    """Names of the files written."""

    log: str = param("dials.cosym.log", "Log.")
    json_: str | None = param("dials.cosym.json", "All scores (None: not written).", alias="json")
    html: str | None = param("dials.cosym.html", "Page with plots (None: not written).")
    excluded: bool = param(False, "Write the sets that are left out as well, as they were.")
    excluded_prefix: str = param("excluded", "Start of the names of their files.", expert=2)


class Options(CosymParams):
    """Parameters of dials.cosym."""

    reference: str | None = param(
        None, "Its setting and space group are taken: a merged .mtz file, a structure-factor .cif (mmCIF), or an .expt "
        "file with the .refl file of the same name.",
    )  # fmt: skip
    output: Output = Output()


PROGRAM = Program(
    "dials.cosym",
    Options,
    "Bring the data of several crystals to one setting and find their space group, both at once.",
    takes="integrated.expt integrated.refl [name=value ...]",
    examples=(
        "dials.cosym integrated.expt integrated.refl",
        "dials.cosym integrated.expt integrated.refl reference=merged.mtz",
    ),
    indexed=True,
)


def run(job: Job) -> None:
    from puredials.io.reference import read_reference
    from puredials.report.cosym import cosym_sections
    from puredials.report.page import figures_of, write_json, write_page
    from puredials.sets import select_experiments
    from puredials.symmetry import cosym, cosym_report, cosym_summary, symmetry_report

    params, output = job.params, job.params.output
    experiments, reflections = job.experiments, job.reflections
    job.forget_reflections()
    reference = None if params.reference is None else read_reference(params.reference)
    with job.progress("Comparing sets") as progress:
        result = cosym(
            experiments,
            reflections,
            reference=reference,
            params=params,
            executor=job.executor(params.nproc),
            progress=progress,
        )
    job.say(symmetry_report(result.analysis))
    job.say()
    job.say(cosym_report(result))
    job.say()
    group = result.space_group.xhm()
    job.write_experiments(result.experiments, output.experiments, f"reindexed experiments in space group {group}")
    job.write_reflections(result.reflections, output.reflections, f"{result.reflections.n_rows} reindexed reflections")
    if output.excluded and result.excluded:
        others, rows = select_experiments(experiments, reflections, list(result.excluded))
        assert rows is not None
        job.write_experiments(others, f"{output.excluded_prefix}.expt", "experiments left out")
        job.write_reflections(rows, f"{output.excluded_prefix}.refl", f"{rows.n_rows} reflections left out")
    sections = cosym_sections(result, log=params.unit_cell_clustering.log)
    content = {**cosym_summary(result), "figures": figures_of(sections)}
    job.write(output.json_, partial(write_json, content=content), None)
    job.write(output.html, partial(write_page, title=f"Cosym: {group}", sections=sections), "html report")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
