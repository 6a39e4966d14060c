"""dials.image_viewer: images and reflections in the browser."""

from typing import TYPE_CHECKING

from puredials.cli.program import Job, Program
from puredials.viewer.params import ServerParams, ViewerOutput

if TYPE_CHECKING:
    from puredials.viewer import ImageView

__all__ = ["PROGRAM", "Options", "image_view", "main", "run"]


class Options(ServerParams):
    """Parameters of the image viewer."""

    output: ViewerOutput = ViewerOutput()


PROGRAM = Program(
    "dials.image_viewer",
    Options,
    "Look at images, and at reflections over them, in a browser. Ends with Ctrl-C.",
    takes="imported.expt [strong.refl] [name=value]",
    examples=("dials.image_viewer imported.expt strong.refl", "dials.image_viewer imported.expt browser=False"),
)


def run(job: Job) -> None:
    from puredials.cli.viewing import serve

    static, view = image_view(job)
    serve(job, job.params, static, routes=view.routes, actions=view.actions)


def image_view(job: Job) -> "tuple[tuple[str, ...], ImageView]":
    """The static files and the data of the viewer of a job's files."""
    from puredials.viewer import STATIC, ImageView

    experiments = job.experiments
    reflections = job.reflections if job.reflection_paths else None
    return STATIC, ImageView.opened(experiments, job.images, reflections)


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
