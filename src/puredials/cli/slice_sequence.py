"""dials.slice_sequence: refined.expt + refined.refl -> refined_1_10.expt + refined_1_10.refl."""

from typing import TYPE_CHECKING

from puredials.cli.program import Job, Program
from puredials.params import Params, param
from puredials.sets.params import SliceParams

if TYPE_CHECKING:
    from pathlib import Path

    from puredials.model import Experiments, ReflectionTable

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Output files."""

    experiments_filename: str | None = param(
        None, "File of the sliced experiments (Auto: named for the input and the images)."
    )
    reflections_filename: str | None = param(
        None, "File of the sliced reflections (Auto: named for the input and the images)."
    )
    log: str = param("dials.slice_sequence.log", "File of all that is printed.")


class Options(SliceParams):
    output: Output = Output()


PROGRAM = Program(
    "dials.slice_sequence",
    Options,
    "Keep part of the images of a scan, or cut it into blocks.",
    takes="refined.expt and/or refined.refl image_range=1,10 | block_size=10",
    examples=(
        "dials.slice_sequence refined.expt refined.refl image_range=1,10",
        "dials.slice_sequence refined.expt refined.refl block_size=10",
    ),
)


def run(job: Job) -> None:
    from puredials.errors import InputError

    output = job.params.output
    if job.experiment_paths:
        experiments, table = _sliced(job)
        name = output.experiments_filename or _name(job, job.experiment_paths[0])
        job.write_experiments(experiments, name, "sliced experiments")
    elif job.reflection_paths:
        table = _reflections_alone(job)
    else:
        raise InputError("dials.slice_sequence needs a file of experiments (.expt) or of reflections (.refl), or both.")
    if table is not None:
        name = output.reflections_filename or _name(job, job.reflection_paths[0])
        job.write_reflections(table, name, "sliced reflections")


def _sliced(job: Job) -> "tuple[Experiments, ReflectionTable | None]":
    from puredials.errors import MismatchError
    from puredials.sets import block_ranges, slice_experiments, slice_reflections
    from puredials.sets.combining import named

    params, experiments = job.params, job.experiments
    reflections = job.reflections if job.reflection_paths else None
    _check_what_to_keep(job)
    if params.block_size is not None:
        scans = [e.scan for e in experiments if e.scan is not None]
        if len(scans) < len(experiments):
            raise MismatchError("An experiment without a scan cannot be cut into blocks.")
        ranges = [block_ranges(scan, params.block_size) for scan in scans]
    elif len(params.image_range) == 1:
        ranges = [params.image_range[0]] * len(experiments)
    else:
        ranges = list(params.image_range)
    sliced, source = slice_experiments(experiments, ranges)
    if len(sliced) > len(experiments):
        sliced = named(sliced)
    return sliced, None if reflections is None else slice_reflections(reflections, sliced, source)


def _reflections_alone(job: Job) -> "ReflectionTable":
    """The reflections within one range of images, whatever their experiments."""
    from puredials.errors import InputError

    ranges = job.params.image_range
    _check_what_to_keep(job)
    if len(job.reflection_files) > 1 or len(ranges) != 1 or job.params.block_size is not None:
        raise InputError("Reflections without experiments can be sliced from one file, to one image_range.")
    table = next(iter(job.reflection_files))
    first, last = ranges[0]
    if not 1 <= first <= last:
        raise InputError(f"image_range={first},{last} is empty.")
    z = table["xyzobs.px.value"][:, 2]
    return table.select((table["id"] >= 0) & (z >= first - 1) & (z < last))


def _check_what_to_keep(job: Job) -> None:
    from puredials.errors import InputError

    if not job.params.image_range and job.params.block_size is None:
        raise InputError("Say what to keep: image_range=first,last or block_size= in degrees.")


def _name(job: Job, path: "Path") -> str:
    """The name of a sliced file, in the working directory."""
    ranges = job.params.image_range
    ending = "_".join(map(str, ranges[0])) if len(ranges) == 1 and job.params.block_size is None else "sliced"
    return f"{path.stem}_{ending}{path.suffix}"


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
