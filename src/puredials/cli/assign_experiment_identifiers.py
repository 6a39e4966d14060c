"""dials.assign_experiment_identifiers: .expt and .refl files -> assigned.expt + assigned.refl."""

from typing import TYPE_CHECKING

from puredials.cli.program import Job, Program
from puredials.params import Params, param

if TYPE_CHECKING:
    from puredials.model import Experiments, ReflectionTable

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Output files."""

    experiments: str = param("assigned.expt", "File of the experiments.")
    reflections: str = param("assigned.refl", "File of the reflections.")
    log: str = param("dials.assign_experiment_identifiers.log", "File of all that is printed.")


class Options(Params):
    identifiers: tuple[str, ...] | None = param(
        None, "The identifiers, one for each experiment. Auto: new ones where there is none, or one used already."
    )
    output: Output = Output()


PROGRAM = Program(
    "dials.assign_experiment_identifiers",
    Options,
    "Give experiments and their reflections identifiers that tell them apart.",
    takes="a.expt a.refl b.expt b.refl ... [identifiers=a,b]",
    examples=("dials.assign_experiment_identifiers a.expt b.expt a.refl b.refl identifiers=first,second",),
)


def run(job: Job) -> None:
    from puredials.sets import assign_identifiers

    experiments, table = _all(job)
    experiments, table = assign_identifiers(experiments, table, job.params.identifiers)
    job.say(f"assigned identifiers: {list(experiments.identifiers)}")
    job.write_experiments(experiments, job.params.output.experiments)
    if table is not None:
        job.write_reflections(table, job.params.output.reflections)


def _all(job: Job) -> "tuple[Experiments, ReflectionTable | None]":
    """Experiments and reflections of all files; an identifier may come twice if each .expt has a .refl of its own."""
    from dataclasses import replace

    from puredials.cli.inputs import join_experiments, join_reflections

    files, tables = job.experiment_files, job.reflection_files
    names = [name for part in files for name in part.identifiers]
    given = [name for name in names if name]
    if len(set(given)) == len(given) or (tables and len(tables) != len(files)):
        return job.experiments, job.reflections if tables else None
    # Each table is matched with its own file by name; then all are joined by position, without names.
    parts = zip(tables, files, job.reflection_paths, job.experiment_paths, strict=False)
    matched = [join_reflections([t], part, [refl], [len(part)], [expt]) for t, part, refl, expt in parts]
    nameless = [part.with_items(replace(e, identifier="") for e in part) for part in files]
    experiments = join_experiments(job.experiment_paths, nameless)
    with_names = experiments.with_items(replace(e, identifier=n) for e, n in zip(experiments, names, strict=True))
    if not tables:
        return with_names, None
    counts = [len(part) for part in files]
    stripped = [table.with_identifiers({}) for table in matched]
    joined = join_reflections(stripped, experiments, job.reflection_paths, counts, job.experiment_paths)
    return with_names, joined


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
