"""dials.geometry_viewer: detector, beam, goniometer and crystals in space."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Names of the files written."""

    log: str | None = param(None, "File of all that is printed (None: not written).")
    html: str = param("dials.geometry_viewer.html", "Page with the view.")


class Options(Params):
    """Parameters of dials.geometry_viewer."""

    output: Output = Output()
    angle: float | None = param(None, "Rotation at which crystals are shown (None: start of the scan).", unit="degrees")
    show_panel_axes: bool = param(False, "Show the fast and slow axes of the panels.")
    show_crystal_axes: bool = param(True, "Show the cell edges of the crystals.")


PROGRAM = Program(
    "dials.geometry_viewer",
    Options,
    "Write a page that shows detector, beam, goniometer and crystals in space.",
    takes="imported.expt [name=value ...]",
    examples=("dials.geometry_viewer imported.expt", "dials.geometry_viewer indexed.expt show_panel_axes=True"),
)


def run(job: Job) -> None:
    from puredials.report import write_page
    from puredials.report.geometry import geometry_sections

    params = job.params
    sections = geometry_sections(
        job.experiments,
        angle=params.angle,
        show_panel_axes=params.show_panel_axes,
        show_crystal_axes=params.show_crystal_axes,
    )
    job.write(params.output.html, lambda path: write_page(path, "Geometry", sections), "the view")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
