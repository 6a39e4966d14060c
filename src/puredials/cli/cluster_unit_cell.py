"""dials.cluster_unit_cell: crystals grouped by their unit cells."""

from functools import partial

from puredials.cli.program import Job, Program
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "Output", "Plot", "main", "run"]


class Plot(Params):
    """The tree of unit cells."""

    log: bool = param(False, "Distances on a logarithmic scale.")


class Output(Params):
    """Output files."""

    log: str = param("dials.cluster_unit_cell.log", "File of all that is printed.")
    clusters: bool = param(False, "Write cluster_N.expt (and .refl) for each cluster.")
    json_: str | None = param("cluster_unit_cell.json", "Clusters, distances and tree (None: not written).",
                              alias="json")  # fmt: skip
    html: str | None = param("cluster_unit_cell.html", "Page with the tree (None: not written).")


class Options(Params):
    threshold: float = param(5000.0, "Lattices nearer than this are of one cluster.", unit="Angstrom^2", ge=0)
    plot: Plot = Plot()
    output: Output = Output()


PROGRAM = Program(
    "dials.cluster_unit_cell",
    Options,
    "Group crystals by the distances between their unit cells.",
    takes="a.expt [a.refl] b.expt [b.refl] ... [name=value]",
    examples=(
        "dials.cluster_unit_cell combined.expt threshold=500",
        "dials.cluster_unit_cell combined.expt combined.refl output.clusters=True",
    ),
)


def run(job: Job) -> None:
    import numpy as np

    from puredials.errors import MismatchError
    from puredials.report.cells import cluster_sections
    from puredials.report.page import figures_of, write_json, write_page
    from puredials.sets import select_experiments
    from puredials.symmetry import cluster_cells, cluster_report, cluster_summary

    params, output = job.params, job.params.output
    experiments = job.experiments
    table = job.reflections if job.reflection_paths else None
    crystals = [e.crystal for e in experiments if e.crystal is not None]
    if len(crystals) < len(experiments) or not crystals:
        raise MismatchError("An experiment has no crystal, so no unit cell: run dials.index before.")
    clusters = cluster_cells(crystals, threshold=params.threshold)
    names = [str(k) for k in range(len(crystals))]
    job.say(cluster_report(clusters, names))
    sections = cluster_sections(clusters, names, log=params.plot.log)
    content = {**cluster_summary(clusters), "figures": figures_of(sections)}
    job.write(output.json_, partial(write_json, content=content), None)
    job.write(output.html, partial(write_page, title="Unit cells", sections=sections), "html report")
    if not output.clusters:
        return
    for number, cluster in enumerate(clusters.clusters, start=1):
        chosen, part = select_experiments(experiments, table, np.asarray(cluster.members).tolist())
        job.write_experiments(chosen, f"cluster_{number}.expt", f"{len(chosen)} experiments of cluster {number}")
        if part is not None:
            job.write_reflections(part, f"cluster_{number}.refl", f"{part.n_rows} reflections of cluster {number}")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
