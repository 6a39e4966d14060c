"""dials.integrate: refined.expt + refined.refl -> integrated.expt + integrated.refl."""

from typing import TYPE_CHECKING

from puredials.cli.program import Job, Program
from puredials.integration.params import IntegrateParams
from puredials.params import Params, param

if TYPE_CHECKING:
    from puredials.integration import IntegrationResult

__all__ = ["PROGRAM", "Options", "main", "run"]


class Output(Params):
    """Output files."""

    experiments: str = param("integrated.expt", "File of the experiments with their profile models.")
    reflections: str = param("integrated.refl", "File of the integrated reflections.")
    log: str = param("dials.integrate.log", "File of all that is printed.")


class Options(IntegrateParams):
    output: Output = Output()


PROGRAM = Program(
    "dials.integrate",
    Options,
    "Find the intensities of all reflections, by summation and profile fitting.",
    takes="refined.expt refined.refl [name=value]",
)
_RULE = "=" * 80


def run(job: Job) -> None:
    import numpy as np

    from puredials.integration.integrate import integrate
    from puredials.model import ReflectionTable

    experiments, reflections = job.experiments, job.reflections
    executor = job.executor(job.params.integration.mp.nproc)
    items, tables = [], []
    for number, (experiment, imageset) in enumerate(zip(experiments, experiments.imageset_ids(), strict=True)):
        job.say(f"{_RULE}\n\nIntegrating experiment {number}\n")
        mine = reflections.select(reflections["id"] == number)
        with job.progress("Integrating reflections") as progress:
            result = integrate(
                job.images(experiment), experiment, mine, params=job.params, executor=executor, progress=progress
            )
        _report(job, result)
        items.append(result.experiment)
        n = result.table.n_rows
        ids = {"id": np.full(n, number, np.int32), "imageset_id": np.full(n, imageset, np.int32)}
        tables.append(result.table.with_columns(ids).with_identifiers({number: experiment.identifier}))
    table = ReflectionTable.concatenate(tables)
    job.write_reflections(table, job.params.output.reflections, f"{table.n_rows} reflections")
    job.write_experiments(experiments.with_items(items), job.params.output.experiments, "the experiments")


def _report(job: Job, result: "IntegrationResult") -> None:
    from puredials.integration import tables

    job.say(tables.profile_model_text(result) + "\n")
    job.say(tables.blocks_text(result) + "\n")
    job.say(tables.reference_table(result) + "\n")
    if result.table.n_rows:
        job.say(tables.image_table(result) + "\n")
        job.say(tables.resolution_table(result) + "\n")
        job.say(tables.overall_table(result) + "\n")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
