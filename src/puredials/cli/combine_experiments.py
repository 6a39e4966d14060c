"""dials.combine_experiments: several .expt and .refl files -> combined.expt + combined.refl."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param
from puredials.sets.params import CombineParams

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Output files."""

    experiments_filename: str = param("combined.expt", "File of the combined experiments.")
    reflections_filename: str = param("combined.refl", "File of the combined reflections.")
    log: str = param("dials.combine_experiments.log", "File of all that is printed.")


class Options(CombineParams):
    output: Output = Output()


PROGRAM = Program(
    "dials.combine_experiments",
    Options,
    "Put experiments and their reflections into one file each, with models in common if wanted.",
    takes="a.expt a.refl b.expt b.refl ... [name=value]",
    examples=(
        "dials.combine_experiments a.expt b.expt a.refl b.refl",
        "dials.combine_experiments a.expt b.expt a.refl b.refl reference_from_experiment.detector=0",
    ),
)


def run(job: Job) -> None:
    from puredials.sets import combine_experiments
    from puredials.text import text_table

    table = job.reflections if job.reflection_paths else None
    experiments, table = combine_experiments(job.experiments, table, params=job.params)
    if table is not None:
        counts = [(table["id"] == n).sum() for n in range(len(experiments))]
        rows = [[str(n), str(count)] for n, count in enumerate(counts)]
        job.say(text_table(["Experiment", "Number of reflections"], rows))
    job.write_experiments(experiments, job.params.output.experiments_filename, "combined experiments")
    if table is not None:
        job.write_reflections(table, job.params.output.reflections_filename, "combined reflections")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
