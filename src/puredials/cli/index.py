"""dials.index: imported.expt + strong.refl -> indexed.expt + indexed.refl."""

import shlex

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
    from puredials.errors import NoLatticeError
    from puredials.indexing.indexing import index
    from puredials.indexing.tables import index_text

    params = job.params
    try:
        result = index(job.experiments, job.reflections, params=params, executor=job.executor(params.indexing.nproc))
    except NoLatticeError as error:
        raise NoLatticeError(_with_own_names(job, str(error))) from error
    job.say(_with_own_names(job, index_text(result)))
    job.write_experiments(result.experiments, params.output.experiments, "refined experiments")
    job.write_reflections(result.table, params.output.reflections, "refined reflections")


def _with_own_names(job: Job, text: str) -> str:
    """The files in commands under the names that the user gave."""
    from puredials.indexing.finding import EXPERIMENTS, REFLECTIONS

    for usual, paths in ((EXPERIMENTS, job.experiment_paths), (REFLECTIONS, job.reflection_paths)):
        text = text.replace(usual, shlex.join(map(str, paths)))
    return text


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
