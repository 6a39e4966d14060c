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
    from puredials.sets import choose_subset, combine_experiments, select_experiments
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
    if not job.params.clustering.use:
        _save(job, experiments, table)
        return
    for number, members in _clusters(job, experiments):
        _save(job, *select_experiments(experiments, table, members), ending=f"_cluster{number}")


def _clusters(job: Job, experiments: "Experiments") -> list[tuple[int, list[int]]]:
    """Number and members of the clusters of unit cells that are wanted, the largest first."""
    from puredials.errors import MismatchError
    from puredials.symmetry import cluster_cells, cluster_report

    params = job.params.clustering
    crystals = [e.crystal for e in experiments if e.crystal is not None]
    if len(crystals) < len(experiments):
        raise MismatchError("An experiment has no crystal, so no unit cell: run dials.index before.")
    result = cluster_cells(crystals, threshold=params.threshold)
    job.say(cluster_report(result, [str(n) for n in range(len(crystals))]))
    least = 2 if params.exclude_single_crystal_clusters else 1
    clusters = [(n, c.members.tolist()) for n, c in enumerate(result.clusters, 1) if len(c.members) >= least]
    if not clusters:
        raise MismatchError(
            "No cluster has two crystals: raise clustering.threshold, or write single ones with "
            "exclude_single_crystal_clusters=False."
        )
    return clusters[: params.max_clusters]


def _save(job: Job, experiments: "Experiments", table: "ReflectionTable | None", ending: str = "") -> None:
    """Write the files, in batches if wanted, with an ending to their names."""
    from puredials.sets import in_batches, select_experiments

    output: Output = job.params.output
    if output.max_batch_size is None:
        parts = [(ending, experiments, table)]
    else:
        batches = enumerate(in_batches(len(experiments), output.max_batch_size))
        parts = [(f"{ending}_{k:03d}", *select_experiments(experiments, table, batch)) for k, batch in batches]
    for end, some, rows in parts:
        job.write_experiments(some, _ending(output.experiments_filename, end), "combined experiments")
        if rows is not None:
            job.write_reflections(rows, _ending(output.reflections_filename, end), "combined reflections")


def _ending(name: str, end: str) -> str:
    stem, suffix = os.path.splitext(name)
    return f"{stem}{end}{suffix}"


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
