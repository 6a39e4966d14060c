"""dials.show: what is in .expt and .refl files."""

from typing import TYPE_CHECKING

from puredials.cli.program import Job, Program
from puredials.params import Params, param

if TYPE_CHECKING:
    from puredials.model import Experiment, ReflectionTable

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class ImageStatistics(Params):
    """Statistics of the pixels of each image."""

    show_raw: bool = param(False, "Show least, greatest and quartile values of the pixels of each raw image.")
    show_corrected: bool = param(False, "The same for valid pixels, less the pedestal and divided by the gain.")


class Output(Params):
    """Names of output files."""

    log: str | None = param(None, "File of all that is printed (None: not written).")


class Options(Params):
    """Parameters of dials.show."""

    show_scan_varying: bool = param(False, "Show the crystal at each scan point.")
    show_shared_models: bool = param(False, "Show which experiments share which models.")
    show_all_reflection_data: bool = param(False, "Print each reflection, with all columns.")
    show_intensities: bool = param(False, "Print each reflection, with its intensities.")
    show_centroids: bool = param(False, "Print each reflection, with its centroids.")
    show_profile_fit: bool = param(False, "Print each reflection, with the quality of its profile fit.")
    show_flags: bool = param(False, "Show how many reflections have each flag.")
    show_identifiers: bool = param(False, "Show which experiment each id of a table stands for.")
    image_statistics: ImageStatistics = ImageStatistics()
    max_reflections: int | None = param(None, "Print no more than so many reflections.", ge=1)
    output: Output = Output()


PROGRAM = Program(
    "dials.show",
    Options,
    "Show what is in files of experiments and reflections.",
    takes="models.expt | reflections.refl [...] [name=value]",
    examples=("dials.show indexed.expt indexed.refl", "dials.show strong.refl show_flags=True"),
)

_INTENSITIES = ("intensity.prf.value", "intensity.prf.variance", "intensity.sum.value", "intensity.sum.variance")
_SCALED = ("intensity.scale.value", "intensity.scale.variance", "inverse_scale_factor", "background.mean", "lp", "qe")
_CENTROIDS = ("xyzcal.mm", "xyzcal.px", "xyzobs.mm.value", "xyzobs.mm.variance", "xyzobs.px.value")
_PROFILE_FIT = ("profile.correlation", "profile.rmsd", "partiality")


def run(job: Job) -> None:
    from puredials.report.models import experiment_text, shared_models_text

    params: Options = job.params
    for experiments in job.experiment_files:
        for number, experiment in enumerate(experiments):
            job.say(experiment_text(experiment, number, scan_points=params.show_scan_varying))
            if params.image_statistics.show_raw:
                job.say("Raw images:")
                _image_statistics(job, experiment, corrected=False)
            if params.image_statistics.show_corrected:
                job.say("Corrected images:")
                _image_statistics(job, experiment, corrected=True)
        if params.show_shared_models:
            job.say(shared_models_text(experiments) + "\n")
    for table in job.reflection_files:
        _show_reflections(job, table)


def _show_reflections(job: Job, table: "ReflectionTable") -> None:
    from puredials.report.reflections import flags_text, identifiers_text, rows_text, summary_text

    params: Options = job.params
    job.say(summary_text(table))
    if params.show_flags and "flags" in table:
        job.say(flags_text(table))
    if params.show_identifiers:
        job.say(identifiers_text(table))
    names = [
        *(_INTENSITIES + _SCALED if params.show_intensities else ()),
        *(_PROFILE_FIT if params.show_profile_fit else ()),
        *(_CENTROIDS if params.show_centroids else ()),
    ]
    if params.show_all_reflection_data:
        names = sorted(name for name in table if name not in ("miller_index", "d"))
    if names:
        job.say("\n" + rows_text(table, ["miller_index", "d", *names], params.max_reflections))
    job.say()


def _image_statistics(job: Job, experiment: "Experiment", *, corrected: bool) -> None:
    import numpy as np

    images = job.images(experiment)
    masks = images.static_mask()
    first = experiment.scan.image_range[0] if experiment.scan is not None else 1
    for index in range(len(images)):
        values = []
        for pixels, mask, panel in zip(images.read(index), masks, experiment.detector.panels, strict=True):
            if corrected:
                low, high = panel.valid_range
                pixels = (pixels[mask & (pixels >= low) & (pixels <= high)] - panel.pedestal) / panel.gain
            values.append(pixels.ravel())
        points = np.percentile(np.concatenate(values), [0, 25, 50, 75, 100])
        names = ("min", "Q1", "med", "Q3", "max")
        numbers = (f"{name}: {value:.1f}" for name, value in zip(names, points, strict=True))
        job.say(f"Image {first + index}: {' '.join(numbers)}")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
