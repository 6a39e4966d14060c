"""puredials serve: the home page of a processing folder."""

from pathlib import Path

from puredials.cli.arguments import Arguments
from puredials.cli.program import Job, Program
from puredials.errors import InputError
from puredials.viewer.params import ServerParams, ViewerOutput

__all__ = ["PROGRAM", "Options", "main", "run"]


class Options(ServerParams):
    """Parameters of puredials serve."""

    output: ViewerOutput = ViewerOutput()


PROGRAM = Program(
    "puredials serve",
    Options,
    "Watch a processing folder in a browser: steps, progress, logs, reports and viewers. Ends with Ctrl-C.",
    takes="DIR [name=value]",
    other_files=True,
    examples=("puredials serve .", "puredials serve /data/insulin port=8080 browser=False"),
)


def run(job: Job) -> None:
    from puredials.cli.image_viewer import image_view
    from puredials.cli.reciprocal_lattice_viewer import lattice_view
    from puredials.cli.viewing import serve
    from puredials.viewer import HOME_STATIC, RunView

    if len(job.paths) != 1 or job.experiment_paths or job.reflection_paths:
        raise InputError("puredials serve takes one folder.")
    folder = job.paths[0]
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder." if folder.exists() else f"There is no folder {folder}.")

    def files(experiments: Path, reflections: Path | None) -> Job:
        arguments = Arguments(experiments=(experiments,), reflections=(reflections,) if reflections else ())
        return Job(PROGRAM.name, job.params, arguments, job.log)

    openers = {
        "images": lambda e, r: image_view(files(e, r)),
        "lattice": lambda e, r: lattice_view(files(e, r)),
    }
    view = RunView(folder, openers)
    serve(job, job.params, HOME_STATIC, ready=view.attach, routes=view.routes, actions=view.actions)


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
