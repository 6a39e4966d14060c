"""dials.refine: indexed.expt + indexed.refl -> refined.expt + refined.refl."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param
from puredials.refinement.params import RefineParams

__all__ = ["PROGRAM", "Options", "main", "run"]


class Output(Params):
    """Output files."""

    experiments: str = param("refined.expt", "File of the refined models.")
    reflections: str = param("refined.refl", "File of the reflections with predictions by the refined models.")
    include_unused_reflections: bool = param(True, "Keep the reflections that were not used in refinement.")
    log: str = param("dials.refine.log", "File of all that is printed.")


class Mp(Params):
    """Parallel work."""

    nproc: int | None = param(
        None, "Threads at work in the search for outliers. Auto: the processors that this process may use.", ge=1
    )


class RefinementOfFiles(RefineParams):
    """Refinement as a program."""

    mp: Mp = Mp()


class Options(Params):
    output: Output = Output()
    n_static_macrocycles: int = param(1, "Number of macrocycles with static models.", ge=1)
    refinement: RefinementOfFiles = RefinementOfFiles()


PROGRAM = Program(
    "dials.refine",
    Options,
    "Refine beam, detector and crystals against the positions of indexed spots.",
    takes="indexed.expt indexed.refl [name=value]",
    indexed=True,
)


def run(job: Job) -> None:
    from puredials.model import Flags
    from puredials.refinement.crystals import crystal_text
    from puredials.refinement.refining import refine
    from puredials.refinement.tables import macrocycle_text

    params = job.params
    experiments, reflections = job.experiments, job.reflections
    with job.progress("Refining") as progress:
        result = refine(
            experiments,
            reflections,
            params=params.refinement,
            n_static_macrocycles=params.n_static_macrocycles,
            executor=job.executor(params.refinement.mp.nproc),
            progress=progress,
        )
    for cycle in result.history:
        job.say(f"\n{macrocycle_text(cycle)}\nUpdating predictions for indexed reflections\n")
    crystals = {id(e.crystal): e.crystal for e in result.experiments if e.crystal is not None}
    job.say(f"Final refined crystal model{'s' if len(crystals) > 1 else ''}:")
    for crystal in crystals.values():
        job.say(crystal_text(crystal))
    table = result.table
    if not params.output.include_unused_reflections:
        table = table.select(table.has(Flags.USED_IN_REFINEMENT))
    job.write_experiments(result.experiments, params.output.experiments, "refined experiments")
    job.write_reflections(table, params.output.reflections, "reflections with updated predictions")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
