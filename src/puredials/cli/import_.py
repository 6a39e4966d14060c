"""dials.import: describe diffraction images in an .expt file."""

from puredials.cli.program import Job, Program
from puredials.errors import InputError
from puredials.io.import_params import ImportParams
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "main", "run"]


class Output(Params):
    """Names of output files."""

    experiments: str = param("imported.expt", "The experiments")
    log: str = param("dials.import.log", "The log file")


class Options(ImportParams):
    """Parameters of dials.import."""

    output: Output = Output()


PROGRAM = Program(
    "dials.import",
    Options,
    "Read the headers of image files, put images of one sweep together, and describe them in an .expt file.",
    takes="IMAGES... [name=value ...]",
    other_files=True,
    examples=(
        "dials.import /data/insulin_1.nxs image_range=1,450",
        "dials.import /data/image_*.cbf",
        "dials.import template=/data/image_####.cbf",
        "dials.import directory=/data",
        "dials.import image_*.img geometry.scan.oscillation=0,1 geometry.goniometer.axis=1,0,0",
    ),
)


def run(job: Job) -> None:
    """Import the images."""
    from puredials.io.expt import write_experiments
    from puredials.io.importing import describe, import_files

    if job.experiment_paths:
        raise InputError(
            f"{job.experiment_paths[0]} has been imported before; dials.import reads images. dials.slice_sequence "
            "takes some of its images, dials.modify_geometry changes its geometry."
        )
    with job.progress("Reading image headers") as progress:
        result = import_files(job.paths, params=job.params, progress=progress)
    job.say(describe(result, job.params))
    job.say(f"Writing experiments to {job.params.output.experiments}")
    job.write(job.params.output.experiments, lambda path: write_experiments(result.experiments, path), what=None)


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
