"""dials.search_beam_position: imported.expt + strong.refl -> optimised.expt."""

from puredials.cli.program import Job, Program
from puredials.indexing.beam_params import BeamSearchParams
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Output files."""

    experiments: str = param("optimised.expt", "File of the experiments with moved detectors.")
    log: str = param("dials.search_beam_position.log", "File of all that is printed.")


class Options(BeamSearchParams):
    output: Output = Output()


PROGRAM = Program(
    "dials.search_beam_position",
    Options,
    "Find where the beam meets the detector, from the periods of the strong spots.",
    takes="imported.expt strong.refl [name=value ...]",
    examples=(
        "dials.search_beam_position imported.expt strong.refl",
        "dials.search_beam_position imported.expt strong.refl mm_search_scope=8",
    ),
)


def run(job: Job) -> None:
    from puredials.indexing.beam_search import search_beam_position

    with job.progress("Searching for the beam centre") as progress:
        executor = job.executor(job.params.nproc)
        result = search_beam_position(
            job.experiments, job.reflections, params=job.params, executor=executor, progress=progress
        )
    job.say(result.tables)
    job.write_experiments(result.experiments, job.params.output.experiments, "optimised experiments")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
