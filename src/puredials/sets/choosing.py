"""Some of the experiments, and some of the images of each.

Images that are left out are written into the scans, as the valid image ranges of an experiment: every later step sees
them there.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from puredials.errors import MismatchError, ParameterError
from puredials.merging.observations import image_numbers
from puredials.model import Experiments, ReflectionTable, Scan
from puredials.sets.splitting import select_experiments

__all__ = [
    "choose_datasets",
    "exclude_images",
    "experiment_number",
    "on_valid_images",
    "without_images",
]

# (experiment, first image, last image)
ImageRange = tuple[int, int, int]


def experiment_number(experiments: Experiments, name: int | str, parameter: str) -> int:
    """The number of the experiment that is named by its number, counted from 0, or by its identifier."""
    text = str(name).strip()
    if text and text in experiments.identifiers:
        return experiments.identifiers.index(text)
    if text.isdecimal() and int(text) < len(experiments):
        return int(text)
    numbers = f"0 to {len(experiments) - 1}" if len(experiments) > 1 else "0 only"
    known = ", ".join(filter(None, experiments.identifiers[:20])) or "none"
    more = f" and {len(experiments) - 20} more" if len(experiments) > 20 and known != "none" else ""
    raise ParameterError(
        f"{parameter}={name}: there is no data set {name}; numbers are {numbers}, identifiers are {known}{more}."
    )


def choose_datasets(
    experiments: Experiments,
    table: ReflectionTable,
    use: Sequence[int | str] | None,
    exclude: Sequence[int | str] | None,
) -> tuple[Experiments, ReflectionTable]:
    """The data sets that the user wants, by number or identifier."""
    used = {experiment_number(experiments, name, "use_datasets") for name in use or ()}
    excluded = {experiment_number(experiments, name, "exclude_datasets") for name in exclude or ()}
    keep = [n for n in range(len(experiments)) if (not used or n in used) and n not in excluded]
    if not keep:
        raise ParameterError(
            f"use_datasets and exclude_datasets leave none of the {len(experiments)} data sets: name fewer of them."
        )
    if len(keep) == len(experiments):
        return experiments, table
    chosen, rows = select_experiments(experiments, table, keep)
    assert rows is not None
    return chosen, rows


def exclude_images(experiments: Experiments, words: Sequence[str] | None) -> Experiments:
    """Experiments without the images that each word, ``experiment:first:last``, names.

    The experiment is given by number or identifier; several words may be joined by commas or spaces.

    Raises:
        ParameterError: a word is not of that form, or names no experiment, or no images of it, or all of them.
    """
    ranges = [_image_range(word, experiments) for text in words or () for word in text.replace(",", " ").split()]
    return without_images(experiments, ranges) if ranges else experiments


def _image_range(word: str, experiments: Experiments) -> ImageRange:
    name, *ends = word.rsplit(":", 2)
    if len(ends) != 2 or not all(end.isdecimal() for end in ends):
        raise ParameterError(
            f"exclude_images={word} is not of the form experiment:first:last, with the number or identifier of an "
            "experiment and two image numbers, such as 0:150:200."
        )
    number = experiment_number(experiments, name, "exclude_images")
    first, last = int(ends[0]), int(ends[1])
    scan = experiments[number].scan
    if scan is None:
        raise ParameterError(f"exclude_images={word}: data set {number} has no scan; leave it out as a whole.")
    low, high = scan.image_range
    if last < first or last < low or first > high:
        raise ParameterError(
            f"exclude_images={word}: data set {number} has the images {low} to {high}, "
            "and the first image must not come after the last."
        )
    return number, first, last


def without_images(experiments: Experiments, ranges: Sequence[ImageRange]) -> Experiments:
    """Experiments whose valid image ranges lack those given. Scans that were shared still are."""
    scans: dict[int, Scan] = {}
    for number in sorted({number for number, _, _ in ranges}):
        experiment = experiments[number]
        scan = experiment.scan
        if scan is None:
            continue
        valid = experiment.valid_images
        for own, first, last in ranges:
            if own == number:
                valid[max(first - scan.image_range[0], 0) : last + 1 - scan.image_range[0]] = False
        if not valid.any():
            raise ParameterError(f"No image of data set {number} is left: leave out the data set as a whole.")
        if not experiment.identifier and sum(e.scan is scan for e in experiments) > 1:
            raise MismatchError(
                f"Data set {number} shares its scan and has no identifier, so its images cannot be left out: run "
                "dials.assign_experiment_identifiers before."
            )
        known = scans.get(id(scan), scan)
        runs = {**known.valid_image_ranges, experiment.identifier: _runs(valid, scan.image_range[0])}
        scans[id(scan)] = replace(known, valid_image_ranges=runs)
    return experiments.with_items(replace(e, scan=scans.get(id(e.scan), e.scan)) for e in experiments)


def _runs(valid: Bool[np.ndarray, " n_images"], first: int) -> list[list[int]]:
    """First and last image of each run of valid ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], valid, [False]]).astype(np.int8)))
    return [[int(a) + first, int(b) + first - 1] for a, b in edges.reshape(-1, 2)]


def on_valid_images(experiments: Experiments, table: ReflectionTable) -> Bool[np.ndarray, " n"]:
    """(n,) False for reflections that are centred on an image that is left out."""
    keep = np.ones(table.n_rows, dtype=bool)
    valid = [experiment.valid_images for experiment in experiments]
    if all(v.all() for v in valid):
        return keep
    image = image_numbers(experiments, table)
    for number, experiment in enumerate(experiments):
        if experiment.scan is not None and not valid[number].all():
            own = table["id"] == number
            keep[own] = valid[number][image[own] - experiment.scan.image_range[0]]
    return keep
