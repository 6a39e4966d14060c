"""dials.reciprocal_lattice_viewer: spots in reciprocal space, in the browser."""

from typing import TYPE_CHECKING

from puredials.cli.program import Job, Program
from puredials.params import param
from puredials.viewer.params import ServerParams, ViewerOutput

if TYPE_CHECKING:
    from puredials.viewer import LatticeView

__all__ = ["PROGRAM", "Options", "Output", "lattice_view", "main", "run"]


class Output(ViewerOutput):
    """Names of output files."""

    experiments: str = param("bc_corrected.expt", "Name that the page proposes for experiments with changed geometry.")


class Options(ServerParams):
    """Parameters of the reciprocal lattice viewer."""

    output: Output = Output()


PROGRAM = Program(
    "dials.reciprocal_lattice_viewer",
    Options,
    "Look at spots in reciprocal space, in a browser, and move the beam centre by hand. Ends with Ctrl-C.",
    takes="indexed.expt indexed.refl [name=value]",
    examples=(
        "dials.reciprocal_lattice_viewer imported.expt strong.refl",
        "dials.reciprocal_lattice_viewer indexed.expt indexed.refl browser=False",
    ),
)


def run(job: Job) -> None:
    from puredials.cli.viewing import serve

    static, view = lattice_view(job, job.params.output.experiments)
    serve(job, job.params, static, routes=view.routes, actions=view.actions)


def lattice_view(job: Job, name: str = Output().experiments) -> "tuple[tuple[str, ...], LatticeView]":
    """The static files and the data of the viewer of a job's files."""
    from puredials.io.refl_part import read_columns
    from puredials.viewer import LATTICE_COLUMNS, LATTICE_STATIC, LatticeView

    job.read_table = lambda path: read_columns(path, LATTICE_COLUMNS, boxes=0)
    return LATTICE_STATIC, LatticeView(job.experiments, job.reflections, name=name)


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
