"""dials.modify_geometry: models.expt -> modified.expt, with values of beam, detector, goniometer and scan replaced."""

from puredials.cli.program import Job, Program
from puredials.io.import_params import Geometry
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Output files."""

    experiments: str = param("modified.expt", "File of the experiments with the new geometry.")
    log: str = param("dials.modify_geometry.log", "File of all that is printed.")


class Options(Params):
    geometry: Geometry = Geometry()
    select_experiments: tuple[int, ...] | None = param(
        None, "Numbers of the experiments that are modified, from 0; all others stay as they are. Auto: all."
    )
    output: Output = Output()


PROGRAM = Program(
    "dials.modify_geometry",
    Options,
    "Replace values of beam, detector, goniometer and scan in an .expt file.",
    takes="imported.expt name=value ...",
    examples=(
        "dials.modify_geometry imported.expt geometry.detector.distance=201.5",
        "dials.modify_geometry imported.expt geometry.goniometer.invert_rotation_axis=True",
        "dials.modify_geometry imported.expt fast_slow_beam_centre=512.3,498.1 select_experiments=0",
    ),
)


def run(job: Job) -> None:
    from puredials.io.overrides import modify

    experiments = modify(job.experiments, job.params.geometry, selected=job.params.select_experiments)
    job.write_experiments(experiments, job.params.output.experiments, "modified experiments")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
