"""dials.integrate: refined.expt + refined.refl -> integrated.expt + integrated.refl."""

from typing import TYPE_CHECKING

from puredials.cli.program import Job, Program
from puredials.integration.params import IntegrateParams, Integration
from puredials.io.import_params import Lookup
from puredials.params import Params, param
from puredials.sets.params import ImageSelection

if TYPE_CHECKING:
    from puredials.integration.integrating import IntegrationResult
    from puredials.io.profiles import ReferenceProfiles
    from puredials.io.refl_writer import ReflectionWriter
    from puredials.model import Experiment, ReflectionTable

__all__ = ["PROGRAM", "Options", "main", "run"]


class Output(Params):
    """Output files."""

    experiments: str = param("integrated.expt", "File of the experiments with their profile models.")
    reflections: str = param("integrated.refl", "File of the integrated reflections.")
    reference_profiles: str | None = param(
        "reference_profiles.json", "File of the reference profiles, for pictures of them (None: not written)."
    )
    log: str = param("dials.integrate.log", "File of all that is printed.")


class IntegrationOfFiles(Integration):
    """Integration of the images in files."""

    lookup: Lookup = Lookup()


class Options(ImageSelection, IntegrateParams):
    integration: IntegrationOfFiles = IntegrationOfFiles()
    output: Output = Output()


PROGRAM = Program(
    "dials.integrate",
    Options,
    "Find the intensities of all reflections, by summation and profile fitting.",
    takes="refined.expt refined.refl [name=value]",
    indexed=True,
)
_RULE = "=" * 80
# What is read of the spots: the rest would take memory in vain.
_NEEDED = ("id", "flags", "miller_index", "entering", "s1", "xyzcal.px", "xyzobs.px.value", "shoebox")
_BOXES = 10_000


def run(job: Job) -> None:
    from pathlib import Path

    from puredials.cli.memory import give_back_freed_memory
    from puredials.io.profiles import write_reference_profiles
    from puredials.io.refl_part import read_columns
    from puredials.io.refl_writer import ReflectionWriter
    from puredials.sets import exclude_images

    give_back_freed_memory()
    job.read_table = lambda path: read_columns(path, _NEEDED, boxes=_BOXES)
    experiments, spots = exclude_images(job.experiments, job.params.exclude_images), _spots(job)
    items = []
    profiles: list[ReferenceProfiles] = []
    # The table is kept on disk part by part, so that memory does not grow with it.
    with ReflectionWriter(Path(job.params.output.reflections).absolute().parent) as writer:
        for number, imageset in enumerate(experiments.imageset_ids()):
            job.say(f"{_RULE}\n\nIntegrating experiment {number}\n")
            result = _integrate(job, experiments[number], number, imageset, spots, writer)
            _report(job, result)
            items.append(result.experiment)
            profiles += _profiles(result)
        job.write(job.params.output.reflections, writer.write, f"{writer.n_rows} reflections")
    job.write_experiments(experiments.with_items(items), job.params.output.experiments, "the experiments")
    # Also without any: those of an earlier run are not of these reflections.
    name = job.params.output.reference_profiles
    job.write(name, lambda path: write_reference_profiles(profiles, path), "the reference profiles")


def _integrate(
    job: Job,
    experiment: "Experiment",
    number: int,
    imageset: int,
    spots: "list[ReflectionTable]",
    writer: "ReflectionWriter",
) -> "IntegrationResult":
    import numpy as np

    from puredials.integration.integrating import integrate

    def keep(part: "ReflectionTable") -> None:
        ids = {"id": part["id"] + np.int32(number), "imageset_id": part["imageset_id"] + np.int32(imageset)}
        writer.append(part.with_columns(ids).with_identifiers({number: experiment.identifier}))

    with job.progress("Integrating reflections") as progress:
        return integrate(
            job.images(experiment, job.params.integration.lookup.mask),
            experiment,
            spots.pop(0),  # whose memory `integrate` frees when it needs them no more
            params=job.params,
            executor=job.executor(job.params.integration.mp.nproc),
            progress=progress,
            sink=keep,
        )


def _spots(job: Job) -> "list[ReflectionTable]":
    """The reflections of each experiment."""
    reflections = job.reflections
    job.forget_reflections()
    return [reflections.select(reflections["id"] == number) for number in range(len(job.experiments))]


def _profiles(result: "IntegrationResult") -> "list[ReferenceProfiles]":
    """The reference profiles of a sweep, if any were learnt."""
    from puredials.io.profiles import ReferenceProfiles

    learnt, zones, scan = result.learnt, result.zones, result.experiment.scan
    if learnt is None or scan is None:
        return []
    references = learnt.references
    where = (result.experiment.identifier, scan.image_range, zones.across, zones.along)
    return [ReferenceProfiles(*where, references.step, learnt.numbers, references.profiles)]


def _report(job: Job, result: "IntegrationResult") -> None:
    from puredials.integration import tables

    job.say(tables.profile_model_text(result) + "\n")
    job.say(tables.blocks_text(result) + "\n")
    job.say(tables.reference_table(result) + "\n")
    job.say(tables.image_table(result) + "\n")
    job.say(tables.resolution_table(result) + "\n")
    job.say(tables.overall_table(result) + "\n")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
