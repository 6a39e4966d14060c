"""puredials process: from images to merged intensities, with the choices explained."""

import re
import sys

from puredials.cli.program import Job, Program
from puredials.cli.values import to_text
from puredials.io.import_params import Geometry
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Names of the files written, beside those of each stage."""

    log: str = param("puredials.process.log", "Log of the choices.")
    html: str = param("puredials.process.html", "Page that tells the story.")
    record: str = param("puredials.process.json", "Record of the finished stages.")


class StageWords(Params):
    """Parameters (name=value) for single programs, instead of what is chosen: index.max_cell=200 for dials.index."""

    import_: tuple[str, ...] = param((), "For dials.import.", expert=1, alias="import")
    find_spots: tuple[str, ...] = param((), "For dials.find_spots.", expert=1)
    index: tuple[str, ...] = param((), "For dials.index.", expert=1)
    refine: tuple[str, ...] = param((), "For dials.refine.", expert=1)
    integrate: tuple[str, ...] = param((), "For dials.integrate.", expert=1)
    symmetry: tuple[str, ...] = param((), "For dials.symmetry.", expert=1)
    cosym: tuple[str, ...] = param((), "For dials.cosym.", expert=1)
    scale: tuple[str, ...] = param((), "For dials.scale.", expert=1)
    estimate_resolution: tuple[str, ...] = param((), "For dials.estimate_resolution.", expert=1)
    merge: tuple[str, ...] = param((), "For dials.merge.", expert=1)
    export: tuple[str, ...] = param((), "For dials.export.", expert=1)


class Options(Params):
    """Parameters of puredials process."""

    joint: bool | None = param(None, "One crystal for all sweeps. Auto: judged by the spots indexed either way.")
    max_lattices: int | None = param(
        None, "Most lattices on the images. Auto: two if a second explains most of the spots left without index.", ge=1
    )
    d_min: float | None = param(None, "Resolution limit. Auto: where CC½ falls to 0.3.", unit="Angstrom", gt=0)
    anomalous: bool | None = param(
        None, "Scale and merge Friedel mates apart. Auto: if their differences are more than errors."
    )
    resume: bool = param(True, "Skip the stages that an earlier run in this folder has finished.")
    mask: str | None = param(None, "Untrusted pixels are 0 in this file (as for dials.import).")
    geometry: Geometry = Geometry()
    stage: StageWords = StageWords()
    output: Output = Output()


PROGRAM = Program(
    "puredials process",
    Options,
    "Process images to merged intensities: choose what to do at each stage, say why, and resume where it was stopped.",
    takes="IMAGES... | integrated.expt integrated.refl ... [name=value ...]",
    other_files=True,
    alone=True,
    examples=(
        "puredials process /data/insulin_1.nxs",
        "puredials process /data/image_*.cbf d_min=1.8",
        "puredials process /data/insulin_1.nxs index.space_group=I23 scale.absorption_level=high",
        "puredials process crystal_*/integrated.expt crystal_*/integrated.refl",
    ),
)


def run(job: Job) -> None:
    from pathlib import Path

    from puredials.cli.process_images import integrate_images
    from puredials.cli.process_intensities import given_intensities, merge_intensities
    from puredials.cli.process_page import story
    from puredials.cli.process_stages import Stages
    from puredials.errors import ProcessingError
    from puredials.report.page import write_page

    stages = Stages(job)
    stages.check_words()
    merged, stop = None, None
    try:
        integrated = given_intensities(stages) if job.experiment_paths else integrate_images(stages)
        merged = merge_intensities(stages, integrated)
    except ProcessingError as error:  # its page tells how far the data went
        stop = error
    title, text, sections = story(stages, merged, stop, Path(job.params.output.html))
    job.say("\n" + text)
    job.write(job.params.output.html, lambda path: write_page(path, title, sections), "the story")
    if stop is not None:
        job.finish()
        raise stop


def main(argv: list[str] | None = None) -> int:
    if argv is None:  # stays None, as a command that is interrupted ends otherwise than a call does
        sys.argv[1:] = _with_stages(sys.argv[1:])
    return PROGRAM.main(run, None if argv is None else _with_stages(argv))


def _with_stages(words: list[str]) -> list[str]:
    """The words of single programs, index.max_cell=200, as parameters of this one: stage.index=max_cell=200."""
    names = "|".join(info.alias or name for name, info in StageWords.model_fields.items())
    found = ((word, re.fullmatch(rf"({names})\.([\w.]+\s*=.*)", word, re.DOTALL)) for word in words)
    # Quoted, as commas and blanks in it would part it.
    return [f"stage.{match[1]}={to_text(match[2])}" if match else word for word, match in found]
