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
    takes="imported.expt [strong.refl] | images ... [name=value]",
    other_files=True,
    examples=(
        "dials.image_viewer imported.expt strong.refl",
        "dials.image_viewer imported.expt browser=False port=8000",
        "dials.image_viewer insulin_1.nxs",
    ),
)


def run(job: Job) -> None:
    from puredials.cli.viewing import serve

    static, view = image_view(job)
    serve(job, job.params, static, routes=view.routes, actions=view.actions)


def image_view(job: Job) -> "tuple[tuple[str, ...], ImageView]":
    """The static files and the data of the viewer of a job's files."""
    from puredials.errors import InputError
    from puredials.io.formats import open_images
    from puredials.io.importing import import_files
    from puredials.viewer import STATIC, ImageView

    if job.paths and (job.experiment_paths or job.reflection_paths):
        raise InputError(f"{job.paths[0]} is an image; give images alone, or an .expt file and its reflections.")
    if job.paths:
        return STATIC, ImageView.opened(import_files(job.paths).experiments, open_images)
    experiments = job.experiments
    reflections = job.reflections if job.reflection_paths else None
    return STATIC, ImageView.opened(experiments, job.images, reflections)


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
