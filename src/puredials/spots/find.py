"""Finding strong spots in the images of one sweep (or in stills)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Int64

from puredials.errors import NoSpotsError, ParameterError
from puredials.execute import SERIAL, Executor, map_blocks
from puredials.model import Experiment, Flags, ImageSource, ReflectionTable, Shoeboxes
from puredials.spots.group import Frames, Spots, group, shoeboxes
from puredials.spots.mask import usable_pixels
from puredials.spots.params import Filter, SpotParams
from puredials.spots.radial import make_shells
from puredials.spots.threshold import StrongPixels, strong_in_images

__all__ = ["Counts", "SpotResult", "find_spots", "min_spot_size"]

Progress = Callable[[int, int], None]

# Images that a worker reads at a time: enough that starting a block costs nothing, few enough to spread evenly.
_BLOCK = 10

DEFAULTS = SpotParams()


@dataclass(frozen=True)
class Counts:
    """How many spots each filter left."""

    extracted: int = 0
    too_small: int = 0
    too_large: int = 0
    off_peak: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.extracted + other.extracted,
            self.too_small + other.too_small,
            self.too_large + other.too_large,
            self.off_peak + other.off_peak,
        )

    @property
    def measured(self) -> int:
        """Spots of the right size, whose centroids are calculated."""
        return self.extracted - self.too_small - self.too_large

    @property
    def kept(self) -> int:
        return self.measured - self.off_peak


@dataclass(frozen=True, eq=False)
class SpotResult:
    """Strong spots.

    Attributes:
        table: one row a spot, panel by panel, in the order of their first pixels.
        counts: how many spots the filters left.
        image_numbers: of the searched images, counted as in the scan.
        strong_pixels: number of strong pixels of each of them.
    """

    table: ReflectionTable
    counts: Counts
    image_numbers: Int64[np.ndarray, " images"]
    strong_pixels: Int64[np.ndarray, " images"]


def find_spots(
    images: ImageSource,
    experiment: Experiment,
    *,
    params: SpotParams = DEFAULTS,
    executor: Executor = SERIAL,
    progress: Progress | None = None,
) -> SpotResult:
    """Find the strong pixels of each image, join those that touch (also across images of a sweep), and measure them.

    Each image is read once. The table has the columns bbox, flags, id (0), intensity.sum.value and .variance, n_signal,
    panel, shoebox, xyzobs.px.value and .variance.
    """
    offset = experiment.scan.array_range[0] if experiment.scan is not None else 0
    searches = _searches(len(images), offset, params)
    join_images = not (params.force_2d or experiment.is_still)
    min_size = min_spot_size(params.filter, experiment)
    strong_pixels = _strong_pixels(images, experiment, params, searches, offset + 1, executor, progress)

    tables, counts, per_image = [], Counts(), []
    for search, found in zip(searches, strong_pixels, strict=True):
        per_image += [sum(len(panel.index) for panel in image) for image in found]
        for number, panel in enumerate(experiment.detector.panels):
            frames = Frames.of([image[number] for image in found], panel.image_size[0], offset + search.start)
            spots = group(frames, join_images=join_images)
            keep, kept = _keep(spots, params.filter, min_size)
            tables.append(_table(spots, keep, shoeboxes(frames, spots, keep, number), number))
            counts += kept
    if counts.kept == 0:
        limits = " and ".join(
            f"{name}={value:g}" for name in ("d_min", "d_max") if (value := getattr(params.filter, name)) is not None
        )
        raise NoSpotsError(
            f"no spots were found on {len(per_image)} images{f' within {limits}' if limits else ''} "
            f"({counts.extracted} groups of strong pixels before filtering); look at the images, and lower "
            "sigma_strong, sigma_background or min_spot_size"
            f"{', or widen the limits of resolution' if limits else ''}."
        )
    numbers = np.concatenate([np.arange(s.start, s.stop) for s in searches]) + offset + 1
    return SpotResult(ReflectionTable.concatenate(tables), counts, numbers, np.array(per_image, dtype=np.int64))


def min_spot_size(params: Filter, experiment: Experiment) -> int:
    """The fewest pixels of a spot: on pixel-array detectors 3; on others, which smear each photon, 6."""
    if params.min_spot_size is not None:
        return params.min_spot_size
    return 3 if experiment.detector[0].type == "SENSOR_PAD" else 6


def _searches(n_images: int, offset: int, params: SpotParams) -> list[range]:
    """The ranges of images to search, 0 being the first of the source."""
    if not params.scan_range:
        return [range(n_images)]
    searches = []
    for first, last in params.scan_range:
        if not offset + 1 <= first <= last <= offset + n_images:
            raise ParameterError(
                f"scan_range={first},{last} is not within the images {offset + 1},{offset + n_images}."
            )
        searches.append(range(first - 1 - offset, last - offset))
    return searches


def _strong_pixels(
    images: ImageSource,
    experiment: Experiment,
    params: SpotParams,
    searches: list[range],
    first_number: int,
    executor: Executor,
    progress: Progress | None,
) -> list[list[tuple[StrongPixels, ...]]]:
    """For each search and each of its images the strong pixels of each panel."""
    by_shell = params.threshold.algorithm == "radial_profile"
    find = partial(
        strong_in_images,
        images=images,
        panels=experiment.detector.panels,
        usable=usable_pixels(images, experiment, params),
        threshold=params.threshold,
        shells=make_shells(experiment, params.threshold.radial_profile.n_bins) if by_shell else None,
        max_fraction=params.filter.max_strong_pixel_fraction,
        first_number=first_number,
    )
    blocks = [(k, s[i : i + _BLOCK]) for k, s in enumerate(searches) for i in range(0, len(s), _BLOCK)]
    found: list[list[tuple[StrongPixels, ...]]] = [[] for _ in searches]
    done, total = 0, sum(len(s) for s in searches)
    results = map_blocks(find, [block for _, block in blocks], executor)
    for (search, block), strong in zip(blocks, results, strict=True):
        found[search] += strong
        done += len(block)
        if progress is not None:
            progress(done, total)
    return found


def _keep(spots: Spots, params: Filter, min_size: int) -> tuple[Bool[np.ndarray, " n"], Counts]:
    """Which spots pass the filters, and how many each filter took."""
    small, large = spots.size < min_size, spots.size > params.max_spot_size
    off_peak = ~small & ~large & (spots.separation > params.max_separation)
    counts = Counts(len(small), int(small.sum()), int((large & ~small).sum()), int(off_peak.sum()))
    return ~(small | large | off_peak), counts


def _table(spots: Spots, keep: Bool[np.ndarray, " n"], boxes: Shoeboxes, panel: int) -> ReflectionTable:
    n = int(keep.sum())
    return ReflectionTable(
        {
            "bbox": spots.bbox[keep],
            "flags": np.full(n, Flags.STRONG, dtype=np.uint64),
            "id": np.zeros(n, dtype=np.int32),
            "intensity.sum.value": spots.total[keep],
            "intensity.sum.variance": spots.total[keep],
            "n_signal": spots.size[keep],
            "panel": np.full(n, panel, dtype=np.uint64),
            "shoebox": boxes,
            "xyzobs.px.value": spots.centroid[keep],
            "xyzobs.px.variance": spots.variance[keep],
        }
    )
