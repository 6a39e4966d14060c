"""dials.generate_mask: imported.expt -> pixels.mask, an HDF5 (or .npy) file of the pixels that may be used."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param
from puredials.spots.params import Masking

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


# Endings of images, none of which a mask is written as.
_IMAGES = frozenset((".bmp", ".cbf", ".edf", ".gif", ".img", ".jpeg", ".jpg", ".png", ".smv", ".tif", ".tiff"))


class Output(Params):
    """Output files."""

    mask: str = param(
        "pixels.mask", "File of the mask: HDF5, which DIALS can use as well, or NumPy if it ends in .npy."
    )
    experiments: str | None = param(None, "File of the experiments with the mask (None: none is written).")
    log: str = param("dials.generate_mask.log", "File of all that is printed.")


class Options(Masking):
    output: Output = Output()


PROGRAM = Program(
    "dials.generate_mask",
    Options,
    "Make a mask of pixels that are not to be used.",
    takes="imported.expt [name=value]",
    examples=(
        "dials.generate_mask imported.expt border=5 untrusted.rectangle=1000,1030,0,1200",
        "dials.generate_mask imported.expt untrusted.circle=512,500,40 untrusted.polygon=0,500,512,490,512,510",
        "dials.generate_mask imported.expt ice_rings.filter=True d_max=30 output.experiments=masked.expt",
    ),
)


def run(job: Job) -> None:
    from dataclasses import replace
    from pathlib import Path

    from puredials.errors import InputError
    from puredials.io.formats import read_mask, write_mask
    from puredials.model import ImageSet
    from puredials.spots import generate_mask

    experiments, output = job.experiments, job.params.output
    if Path(output.mask).suffix.lower() in _IMAGES:
        raise InputError(
            f"output.mask={output.mask} names an image, and masks are written as HDF5 or NumPy files: name one that "
            "ends in .mask, .h5 or .npy."
        )
    first = {number: n for n, number in reversed(list(enumerate(experiments.imageset_ids())))}
    final = Path(output.mask)
    masked: dict[int, ImageSet] = {}
    for number, n in sorted(first.items()):
        experiment = experiments[n]
        imageset = experiment.imageset
        if imageset is None:
            raise InputError(f"Experiment {n} names no images that could have a mask; import them with dials.import.")
        masks = generate_mask(experiment, params=job.params)
        if imageset.mask:  # what was untrusted before still is
            earlier = read_mask(Path(imageset.base) / imageset.mask, experiment.detector)
            masks = tuple(mask & other for mask, other in zip(masks, earlier, strict=True))
        name = final if len(first) == 1 else final.with_name(f"{final.stem}_{number + 1}{final.suffix}")
        total = sum(mask.size for mask in masks)
        unused = total - sum(int(mask.sum()) for mask in masks)
        if unused == total:
            raise InputError(f"This mask leaves no pixel of imageset {number}: mask less of the detector.")
        job.say(f"Masking {unused} of {total} pixels ({100 * unused / total:.2f}%) of imageset {number}")
        job.say(f"Writing mask to {name}")
        job.write(name, lambda path, masks=masks: write_mask(path, masks), None)
        masked[number] = replace(imageset, mask=str(name.absolute()))
    if output.experiments:
        numbers = experiments.imageset_ids()
        items = [replace(e, imageset=masked[n]) for e, n in zip(experiments, numbers, strict=True)]
        job.write_experiments(experiments.with_items(items), output.experiments)


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
