"""dials.index: imported.expt + strong.refl -> indexed.expt + indexed.refl."""

from puredials.cli.program import Job, Program
from puredials.indexing.params import IndexParams
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Output files."""

    experiments: str = param("indexed.expt", "File of the experiments with crystals.")
    reflections: str = param("indexed.refl", "File of the spots with indices.")
    log: str = param("dials.index.log", "File of all that is printed.")


class Options(IndexParams):
    output: Output = Output()


PROGRAM = Program(
    "dials.index",
    Options,
    "Find the lattice of the crystal, and the Miller indices of strong spots.",
    takes="imported.expt strong.refl [name=value ...]",
    examples=(
        "dials.index imported.expt strong.refl",
        "dials.index imported.expt strong.refl space_group=P43212 unit_cell=79,79,38,90,90,90",
    ),
)


def run(job: Job) -> None:
    from puredials.indexing.indexing import index
    from puredials.indexing.tables import index_text

    result = index(job.experiments, job.reflections, params=job.params, executor=job.executor())
    job.say(index_text(result))
    job.write_experiments(result.experiments, job.params.output.experiments, "refined experiments")
    job.write_reflections(result.table, job.params.output.reflections, "refined reflections")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
