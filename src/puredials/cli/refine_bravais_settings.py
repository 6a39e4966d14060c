"""dials.refine_bravais_settings: indexed.expt + indexed.refl -> bravais_setting_N.expt, bravais_summary.json."""

from puredials.cli.program import Job, Program
from puredials.indexing.bravais_params import BravaisParams
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Output files."""

    prefix: str | None = param(None, "Names of the files written start with it and an underscore.")
    log: str = param("dials.refine_bravais_settings.log", "File of all that is printed.")


class Options(BravaisParams):
    output: Output = Output()


PROGRAM = Program(
    "dials.refine_bravais_settings",
    Options,
    "Refine the crystal under the constraints of each Bravais lattice that it may have.",
    takes="indexed.expt indexed.refl [name=value ...]",
    examples=("dials.refine_bravais_settings indexed.expt indexed.refl",),
    indexed=True,
)


def run(job: Job) -> None:
    from functools import partial

    from puredials.indexing.bravais import refine_bravais_settings
    from puredials.indexing.bravais_tables import bravais_summary, bravais_text
    from puredials.io.expt import write_experiments
    from puredials.report.page import write_json

    params = job.params
    with job.progress("Refining settings") as progress:
        result = refine_bravais_settings(
            job.experiments,
            job.reflections,
            params=params,
            executor=job.executor(params.nproc),
            progress=progress,
        )
    job.say(bravais_text(result))
    job.say()
    prefix = f"{params.output.prefix}_" if params.output.prefix else ""
    name = f"{prefix}bravais_summary.json"
    job.say(f"Saving summary as {name}")
    summary = bravais_summary(result)
    job.write(name, lambda path: write_json(path, summary), None)
    for setting in result.settings:
        name = f"{prefix}bravais_setting_{setting.number}.expt"
        job.say(f"Saving solution {setting.number} as {name}")
        job.write(name, partial(write_experiments, setting.experiments), None)


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
