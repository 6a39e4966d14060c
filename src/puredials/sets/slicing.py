"""Experiments on part of their images, and the reflections observed there."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from puredials.errors import MismatchError, ParameterError
from puredials.model import Experiment, Experiments, ImageSet, Profile, ReflectionTable, Scan
from puredials.sets.splitting import of_experiments

__all__ = ["block_ranges", "slice_experiments", "slice_reflections"]

Range = tuple[int, int]


def block_ranges(scan: Scan, block_size: float) -> list[Range]:
    """Image ranges that cut a scan into the whole number of equal blocks nearest to `block_size` (degrees).

    Images that remain go to the last block.
    """
    if scan.is_still:
        raise MismatchError("Stills cannot be cut into blocks of rotation; give image_range= instead of block_size=.")
    n_images = len(scan)
    n_blocks = int(np.clip(round(n_images * abs(scan.oscillation[1]) / block_size), 1, n_images))
    size, first = n_images // n_blocks, scan.image_range[0]
    starts = [first + k * size for k in range(n_blocks)]
    return list(zip(starts, [*(s - 1 for s in starts[1:]), scan.image_range[1]], strict=True))


def slice_experiments(
    experiments: Experiments, ranges: Sequence[Range | Sequence[Range]]
) -> tuple[Experiments, tuple[int, ...]]:
    """Each experiment on the images of its range (or ranges: then it becomes several), and whence each came.

    Models shared by experiments that have the same range stay shared; models that do not change along the scan stay
    shared in any case. Identifiers are kept; where an experiment becomes several they are left empty.
    """
    if len(ranges) != len(experiments):
        raise ParameterError(
            f"image_range must be given once, or once for each of the {len(experiments)} experiments; "
            f"{len(ranges)} were given."
        )
    known: dict[tuple[int, Range], Any] = {}
    items: list[Experiment] = []
    source: list[int] = []
    for number, (experiment, given) in enumerate(zip(experiments, ranges, strict=True)):
        several = _several(given)
        for first, last in several:
            part = _slice(experiment, number, (first, last), known)
            items.append(part if len(several) == 1 else replace(part, identifier=""))
            source.append(number)
    return experiments.with_items(items), tuple(source)


def _several(given: Range | Sequence[Range]) -> list[Range]:
    single = isinstance(given[0], int)
    return [given] if single else list(given)  # pyright: ignore[reportReturnType]


def slice_reflections(
    table: ReflectionTable, sliced: Experiments, source: Sequence[int] | None = None
) -> ReflectionTable:
    """The reflections whose observed centroids are within the images of their (sliced) experiment.

    Args:
        source: the number, in the ids of `table`, of the experiment whence each of `sliced` came.

    They come experiment by experiment. Boxes may reach beyond the images. Reflections of no experiment are left out.
    """
    source = range(len(sliced)) if source is None else source
    z, old = table["xyzobs.px.value"][:, 2], np.asarray(table["id"])
    ids = np.full(table.n_rows, -1, np.int32)
    for number, (experiment, origin) in enumerate(zip(sliced, source, strict=True)):
        within = old == origin
        if experiment.scan is not None:
            first, end = experiment.scan.array_range
            within &= (z >= first) & (z < end)
        ids[within] = number
    rows = np.argsort(ids, kind="stable")[np.count_nonzero(ids < 0) :]
    return of_experiments(table.select(rows), ids[rows], sliced)


def _slice(experiment: Experiment, number: int, images: Range, known: dict[tuple[int, Range], Any]) -> Experiment:
    scan = experiment.scan
    if scan is None:
        raise MismatchError(f"Experiment {number} has no scan, so it cannot be sliced.")
    (first, last), (begin, end) = images, scan.image_range
    if not begin <= first <= last <= end:
        raise ParameterError(
            f"image_range={first},{last} is not within the images {begin} to {end} of experiment {number}."
        )
    n_images = len(scan)
    at = slice(first - begin, last - begin + 1)
    points = slice(at.start, at.stop + 1)

    def once(model: Any, make: Any) -> Any:
        """The slice of a model, made once, so that experiments that share the model share its slice."""
        key = (id(model), images)
        if key not in known:
            known[key] = make(model)
        return known[key]

    def along_scan(*names: str) -> Any:
        """Cut the values of a model at the boundaries of images."""

        def make(model: Any) -> Any:
            if model is None:
                return None
            values = {name: getattr(model, name) for name in names}
            changing = {n: v[points] for n, v in values.items() if v is not None and len(v) == n_images + 1}
            return replace(model, **changing) if changing else model

        return make

    return replace(
        experiment,
        scan=once(scan, lambda s: _valid_within(s.sliced(first, last))),
        beam=once(experiment.beam, along_scan("s0_at_scan_points")),
        goniometer=once(experiment.goniometer, along_scan("setting_rotation_at_scan_points")),
        crystal=once(experiment.crystal, along_scan("A_at_scan_points", "B_covariance_at_scan_points")),
        profile=once(experiment.profile, lambda p: _profile(p, at, n_images)),
        imageset=once(experiment.imageset, lambda i: _imageset(i, at, n_images)),
    )


def _valid_within(scan: Scan) -> Scan:
    """The valid image ranges cut to the images of the scan; a name whose ranges are all outside keeps none."""
    first, last = scan.image_range
    valid = {
        name: [[max(a, first), min(b, last)] for a, b in ranges if a <= last and b >= first]
        for name, ranges in scan.valid_image_ranges.items()
    }
    return replace(scan, valid_image_ranges=valid)


def _profile(profile: Profile | None, at: slice, n_images: int) -> Profile | None:
    if profile is None:
        return None
    values = {name: np.asarray(getattr(profile, name)) for name in ("sigma_b", "sigma_m")}
    changing = {name: v[at] for name, v in values.items() if v.ndim == 1 and len(v) == n_images}
    return replace(profile, **changing) if changing else profile


def _imageset(images: ImageSet | None, at: slice, n_images: int) -> ImageSet | None:
    """Frames within a file and names of files are cut; a template with the scan's numbers stays."""
    if images is None:
        return None
    cut: dict[str, Any] = {}
    if images.single_file_indices is not None and len(images.single_file_indices) == n_images:
        cut["single_file_indices"] = images.single_file_indices[at]
    if len(images.images) == n_images:
        cut["images"] = images.images[at]
    # Always another object: each slice is an image set of its own.
    return replace(images, **cut)
