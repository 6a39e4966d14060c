"""Integration: the intensities of all reflections that a sweep recorded.

Predict, find the widths of the profile model, learn reference profiles from strong reflections, then measure each
reflection once all its images have been read, and let its background gain from those of reflections nearby. Images are
read in blocks whose size depends on the data alone; a reflection that straddles blocks is put together from its pieces,
so neither the blocks nor the number of workers change any intensity. What is kept of a reflection is small, and the
table of results can be handed on in parts, so that memory hardly grows with the number of images.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64

from puredials.errors import MismatchError, ProcessingError
from puredials.execute import SERIAL, Executor
from puredials.integration.columns import integrated_columns
from puredials.integration.learn import Learnt, learn_profiles
from puredials.integration.measure import Images, Recipe
from puredials.integration.model import SpotWidths, profile_model
from puredials.integration.params import Background, IntegrateParams
from puredials.integration.reference import good_references, match
from puredials.integration.shared_background import share_backgrounds
from puredials.integration.stream import measure_all
from puredials.integration.summary import Summary
from puredials.integration.sweep import Sweep, predict
from puredials.integration.zones import Zones
from puredials.model import Experiment, Flags, ImageSource, ReflectionTable

__all__ = ["IntegrationResult", "integrate"]

# Pixels in the boxes of one block of images: 5 bytes each.
BLOCK_PIXELS = 6_000_000
# References for each zone of the scan, below which zones are made longer.
REFERENCES_A_ZONE = 300
# References without which no profiles are learnt.
FEWEST_REFERENCES = 5
# Boxes that a pixel may be in, on average: about one in dense patterns, some nine in the widest that gave intensities,
# from thirty on where few spots were indexed, and these by chance.
MOST_OVERLAP = 20

Progress = Callable[[int, int], None]
Sink = Callable[[ReflectionTable], None]


@dataclass(frozen=True, eq=False)
class IntegrationResult:
    """What `integrate` found.

    Attributes:
        table: reflections with intensities by summation or profile fitting (empty if there was a sink for them).
        experiment: the experiment with its profile model.
        widths: the profile model and the number of spots it rests on.
        blocks: (first, last + 1, reflections) of each block of images, in images from the start of the scan.
        learnt: reference profiles, None if there were too few reflections to learn from; zones: where they are.
        summary: statistics by image and resolution.
    """

    table: ReflectionTable
    experiment: Experiment
    widths: SpotWidths
    blocks: tuple[tuple[int, int, int], ...]
    learnt: Learnt | None
    zones: Zones
    summary: Summary


def integrate(
    images: ImageSource,
    experiment: Experiment,
    table: ReflectionTable,
    *,
    params: IntegrateParams | None = None,
    executor: Executor = SERIAL,
    progress: Progress | None = None,
    sink: Sink | None = None,
) -> IntegrationResult:
    """Integrate one sweep.

    Args:
        images: the images of the scan.
        experiment: refined models. Images that its scan leaves out are not used, nor reflections with a part on them.
        table: indexed strong spots of this experiment, with shoeboxes (or the experiment has a profile model).
        sink: takes the table of reflections part by part, in order, instead of the result.
    """
    params = params or IntegrateParams()
    _check(images, experiment)
    reference = table.select(good_references(table) & _on_valid_images(table, experiment))
    del table  # shoeboxes take much memory
    widths = profile_model(experiment, reference, params.profile.gaussian_rs)
    single = params.profile.gaussian_rs.fitting.grid_method == "single"
    sweep = predict(experiment, widths.profile, params, 1 if single else 3)
    _check_overlap(sweep)
    matched = _matched(reference, sweep)
    del reference
    sweep = replace(sweep, zones=replace(sweep.zones, along=_zones_along(experiment, params, len(matched))))

    pictures = Images(images, experiment.detector, images.static_mask())
    recipe = Recipe(widths.profile.n_sigma, _background(params.integration.background, experiment))
    total = sweep.zones.along + len(images)
    learnt = None
    if params.integration.profile.fitting and len(matched) >= FEWEST_REFERENCES:
        learnt = learn_profiles(
            pictures, sweep, matched[sweep.whole[matched]], recipe,
            grid_size=params.profile.gaussian_rs.fitting.grid_size, executor=executor,
            tell=lambda done: _tell(progress, done, total),
        )  # fmt: skip
        if learnt is not None and learnt.used.sum() < FEWEST_REFERENCES:
            learnt = None
        if learnt is not None:
            recipe = replace(recipe, references=learnt.references)
            sweep = replace(sweep, spread=learnt.spread)

    marks = np.zeros((len(sweep), 2), dtype=bool)
    marks[matched, 0] = True
    marks[:, 1] = learnt.used if learnt is not None else False
    blocks = sweep.blocks(BLOCK_PIXELS)
    summary = Summary.empty(experiment, *sweep.resolution_range())
    parts: list[ReflectionTable] = []
    measured = measure_all(pictures, sweep, blocks, recipe, executor)
    if recipe.background.is_shared:
        measured = share_backgrounds(measured, sweep, executor.workers)
    for done, rows, values in measured:
        part = integrated_columns(sweep, rows, values, marks[rows], params.integration.profile)
        summary.add(part)
        (sink or parts.append)(part.select(part.has(Flags.INTEGRATED)))
        _tell(progress, sweep.zones.along + done, total)
    result = ReflectionTable.concatenate(parts) if parts else ReflectionTable({})
    new = replace(experiment, profile=widths.profile)
    return IntegrationResult(result, new, widths, tuple(blocks), learnt, sweep.zones, summary)


def _check(images: ImageSource, experiment: Experiment) -> None:
    if experiment.crystal is None:
        raise MismatchError("The experiment has no crystal: run dials.index and dials.refine first.")
    if experiment.is_still or experiment.scan is None:
        raise MismatchError("The experiment is no rotation scan; stills cannot be integrated.")
    if len(images) != len(experiment.scan):
        raise MismatchError(
            f"There are {len(images)} images, but the scan has {len(experiment.scan)}: give those it was refined with."
        )


def _check_overlap(sweep: Sweep) -> None:
    """Widths found from spots that are not where the models have them make boxes that no memory holds."""
    overlap = sweep.overlap()
    if overlap > MOST_OVERLAP:
        raise ProcessingError(
            f"Each pixel would be in the boxes of {overlap:.0f} reflections, with sigma_b {sweep.profile.sigma_b:.3f} "
            f"and sigma_m {sweep.profile.sigma_m:.3f} degrees: the spots are not where the models have them. Look at "
            "the share of indexed spots and the RMSDs of this experiment, and index again; sweeps of several crystals "
            "with joint_indexing=False."
        )


def _on_valid_images(table: ReflectionTable, experiment: Experiment) -> Bool[np.ndarray, " n"]:
    """False for spots centred on images that are left out."""
    assert experiment.scan is not None
    valid = experiment.valid_images
    image = np.floor(table["xyzobs.px.value"][:, 2]).astype(np.int64) - experiment.scan.array_range[0]
    return valid[np.clip(image, 0, len(valid) - 1)]


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _matched(reference: ReflectionTable, sweep: Sweep) -> Int64[np.ndarray, " m"]:
    """Numbers of the predicted reflections that are reference spots, within 2 degrees of them, in order."""
    scan = sweep.experiment.scan
    assert scan is not None
    tolerance = max(2.0 / abs(scan.oscillation[1]), 1.0)
    z = reference["xyzobs.px.value"][:, 2]
    found = match(reference["miller_index"], reference["entering"], z, sweep.index, sweep.entering, sweep.z, tolerance)
    return np.unique(found[found >= 0])


def _zones_along(experiment: Experiment, params: IntegrateParams, references: int) -> int:
    """Zones along the scan: scan_step apart, unless they would hold too few references."""
    assert experiment.scan is not None
    degrees = abs(experiment.scan.oscillation[1]) * len(experiment.scan)
    wanted = int(np.ceil(degrees / params.profile.gaussian_rs.fitting.scan_step))
    return max(min(wanted, references // REFERENCES_A_ZONE), 1)


def _background(background: Background, experiment: Experiment) -> Background:
    """The background method with Auto settled: glm for photon counting detectors and X-rays."""
    if background.algorithm is not None:
        return background
    counting = all(p.gain == 1.0 and "PAD" in p.type for p in experiment.detector.panels)
    robust = counting and not experiment.beam.is_electron
    return background.model_copy(update={"algorithm": "glm" if robust else "simple"})
