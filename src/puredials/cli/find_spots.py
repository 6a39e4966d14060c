"""dials.find_spots: imported.expt -> strong.refl."""

from dataclasses import replace
from typing import TYPE_CHECKING

from puredials.cli.program import Job, Program
from puredials.io.import_params import Lookup
from puredials.params import Params, param
from puredials.spots.params import SpotParams

if TYPE_CHECKING:
    from puredials.model import Experiment
    from puredials.spots import SpotResult

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Output files."""

    reflections: str = param("strong.refl", "File of the spots.")
    shoeboxes: bool = param(True, "Keep the pixels of the spots.")
    experiments: str | None = param(None, "File of the experiments (None: none is written).")
    log: str = param("dials.find_spots.log", "File of all that is printed.")


class SpotFinder(SpotParams):
    """Spot finding on the images in files."""

    lookup: Lookup = Lookup()


class Options(Params):
    maximum_trusted_value: float | None = param(None, "Pixels above this value are invalid, for spot finding only.")
    per_image_statistics: bool = param(False, "Print a table with one row for each image.")
    spotfinder: SpotFinder = SpotFinder()
    output: Output = Output()


PROGRAM = Program("dials.find_spots", Options, "Find strong spots on images.", takes="imported.expt [name=value]")
_RULE = "-" * 80


def run(job: Job) -> None:
    from puredials.model import ReflectionTable

    experiments = job.experiments
    tables = []
    searched = set()
    for number, (experiment, imageset) in enumerate(zip(experiments, experiments.imageset_ids(), strict=True)):
        images = imageset, experiment.scan and experiment.scan.image_range  # stills share one set of images
        if images in searched:  # several crystals on the same images
            continue
        searched.add(images)
        job.say(f"{_RULE}\nFinding strong spots in imageset {imageset}\n{_RULE}\n")
        table = _search(job, experiment, imageset).table
        ids = {"id": table["id"] + number}
        tables.append(table.with_columns(ids).with_identifiers({number: experiment.identifier}))
    table = ReflectionTable.concatenate(tables)
    if not job.params.output.shoeboxes:
        table = table.without(["shoebox"])
    job.say(_RULE)
    job.write_experiments(experiments, job.params.output.experiments)
    job.write_reflections(table, job.params.output.reflections, f"{table.n_rows} reflections")


def _search(job: Job, experiment: "Experiment", imageset: int) -> "SpotResult":
    """Find the spots of one set of images, and say how many."""
    from puredials.spots import find, tables

    params = job.params.spotfinder
    min_size = find.min_spot_size(params.filter, experiment)
    images = job.images(experiment, params.lookup.mask)
    if params.filter.min_spot_size is None:
        job.say(f"Setting spotfinder.filter.min_spot_size={min_size}")
    first = experiment.scan.image_range[0] if experiment.scan else 1
    job.say(f"Finding spots in image {first} to {first + len(images) - 1}...")
    with job.progress("Finding strong spots") as progress:
        result = find.find_spots(
            images,
            _trusted_up_to(experiment, job.params.maximum_trusted_value),
            params=params,
            executor=job.executor(params.mp.nproc),
            progress=progress,
        )
    job.say(tables.strong_pixels_per_image(result), level=1)
    job.say("\n" + tables.spot_counts(result, min_size=min_size, max_size=params.filter.max_spot_size))
    if job.params.per_image_statistics:
        job.say("\n" + tables.image_statistics(result))
    job.say("\n" + tables.spots_per_image(result, imageset=imageset) + "\n")
    return result


def _trusted_up_to(experiment: "Experiment", maximum: float | None) -> "Experiment":
    if maximum is None:
        return experiment
    panels = [replace(p, trusted_range=(p.valid_range[0], maximum)) for p in experiment.detector.panels]
    return replace(experiment, detector=experiment.detector.with_panels(panels))


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
