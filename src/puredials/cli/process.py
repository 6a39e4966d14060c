"""puredials process: from images to merged intensities, with the choices explained."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Names of the files written, beside those of each stage."""

    log: str = param("puredials.process.log", "Log of the choices.")
    html: str = param("puredials.process.html", "Page that tells the story.")
    record: str = param("puredials.process.json", "Record of the finished stages.")


class Options(Params):
    """Parameters of puredials process."""

    joint: bool | None = param(None, "One crystal for all sweeps. Auto: judged by the spots indexed either way.")
    d_min: float | None = param(None, "Resolution limit. Auto: where CC½ falls to 0.3.", unit="Angstrom", gt=0)
    anomalous: bool = param(False, "Scale and merge Friedel mates apart.")
    resume: bool = param(True, "Skip the stages that an earlier run in this folder has finished.")
    output: Output = Output()


PROGRAM = Program(
    "puredials process",
    Options,
    "Process images to merged intensities: choose what to do at each stage, say why, and resume where it was stopped.",
    takes="IMAGES... [name=value ...]",
    other_files=True,
    examples=("puredials process /data/insulin_1.nxs", "puredials process /data/image_*.cbf d_min=1.8"),
)


def run(job: Job) -> None:
    from puredials.cli.process_page import story
    from puredials.cli.process_stages import Stages
    from puredials.report.page import write_page

    stages = Stages(job)
    if job.experiment_paths:
        stages.start_from_integrated()
    else:
        stages.measure()
    stages.merge()
    title, text, sections = story(stages.merged, stages.decisions, stages.times)
    job.say("\n" + text)
    job.write(job.params.output.html, lambda path: write_page(path, title, sections), "the story")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
