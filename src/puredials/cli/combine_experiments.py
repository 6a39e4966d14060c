"""dials.combine_experiments: several .expt and .refl files -> combined.expt + combined.refl."""

import os
from typing import TYPE_CHECKING

from puredials.cli.program import Job, Program
from puredials.params import param
from puredials.sets.params import CombineParams, SubsetParams

if TYPE_CHECKING:
    from puredials.model import Experiments, ReflectionTable

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(SubsetParams):
    """Output files."""

    experiments_filename: str = param("combined.expt", "File of the combined experiments.")
    reflections_filename: str = param("combined.refl", "File of the combined reflections.")
    max_batch_size: int | None = param(
        None, "Write numbered files, as equal in size as can be, of at most this many experiments.", ge=1
    )
    delete_shoeboxes: bool = param(False, "Leave out the pixels of the reflections.")
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
    from puredials.sets import choose_subset, combine_experiments, in_batches, select_experiments
    from puredials.text import text_table

    output: Output = job.params.output
    table = job.reflections if job.reflection_paths else None
    if table is not None and output.delete_shoeboxes:
        table = table.without(["shoebox"])
    experiments, table = combine_experiments(job.experiments, table, params=job.params)
    if table is not None:
        counts = [(table["id"] == n).sum() for n in range(len(experiments))]
        rows = [[str(n), str(count)] for n, count in enumerate(counts)]
        job.say(text_table(["Experiment", "Number of reflections"], rows))
    chosen = choose_subset(len(experiments), table, params=output)
    if len(chosen) < len(experiments):
        job.say(f"Keeping {len(chosen)} of {len(experiments)} experiments: {', '.join(map(str, chosen))}")
        experiments, table = select_experiments(experiments, table, chosen)
    if output.max_batch_size is None:
        _save(job, experiments, table, output.experiments_filename, output.reflections_filename)
        return
    for number, batch in enumerate(in_batches(len(experiments), output.max_batch_size)):
        names = (_numbered(name, number) for name in (output.experiments_filename, output.reflections_filename))
        _save(job, *select_experiments(experiments, table, batch), *names)


def _save(job: Job, experiments: "Experiments", table: "ReflectionTable | None", expt: str, refl: str) -> None:
    job.write_experiments(experiments, expt, "combined experiments")
    if table is not None:
        job.write_reflections(table, refl, "combined reflections")


def _numbered(name: str, number: int) -> str:
    stem, suffix = os.path.splitext(name)
    return f"{stem}_{number:03d}{suffix}"


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
