"""dials.apply_mask: imported.expt + pixels.mask -> masked.expt, which names the mask."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param

__all__ = ["PROGRAM", "Input", "Options", "Output", "main", "run"]


class Input(Params):
    """Input files."""

    mask: tuple[str, ...] = param((), "Files of masks: one for all sets of images, or repeated, one for each.")


class Output(Params):
    """Output files."""

    experiments: str = param("masked.expt", "File of the experiments with the mask.")
    log: str = param("dials.apply_mask.log", "File of all that is printed.")


class Options(Params):
    input: Input = Input()
    output: Output = Output()


PROGRAM = Program(
    "dials.apply_mask",
    Options,
    "Let experiments name a mask, which spot finding and integration then use.",
    takes="imported.expt mask=pixels.mask",
    examples=("dials.apply_mask imported.expt mask=pixels.mask",),
)


def run(job: Job) -> None:
    from dataclasses import replace
    from pathlib import Path

    from puredials.errors import InputError
    from puredials.io.formats import read_mask

    masks = [Path(name).absolute() for name in job.params.input.mask]
    experiments = job.experiments
    numbers = experiments.imageset_ids()
    if not masks or len(masks) not in (1, max(numbers) + 1):
        raise InputError(
            f"Give mask=file once, or once for each of the {max(numbers) + 1} sets of images; {len(masks)} were given."
        )
    known = {}
    for number, experiment in zip(numbers, experiments, strict=True):
        if number in known:
            continue
        mask = masks[number % len(masks)]
        read_mask(mask, experiment.detector)  # raises if it is not one of this detector
        if experiment.imageset is None:
            raise InputError("An experiment names no images that could have a mask; import them with dials.import.")
        known[number] = replace(experiment.imageset, mask=str(mask))
    items = [replace(e, imageset=known[n]) for e, n in zip(experiments, numbers, strict=True)]
    job.write_experiments(experiments.with_items(items), job.params.output.experiments)


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
