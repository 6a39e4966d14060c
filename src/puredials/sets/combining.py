"""Experiments put together, with models that they should have in common."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from puredials.errors import MismatchError, ParameterError
from puredials.io.same_models import same_beam, same_detector, same_goniometer
from puredials.model import Crystal, Detector, Experiments, ReflectionTable, Scan
from puredials.sets.params import CombineParams

__all__ = ["combine_experiments", "merge_equal_imagesets", "named"]

# A crystal is the same if its setting matrix is, to this share of the longest reciprocal axis.
_CRYSTAL_TOLERANCE = 1e-3
_ANGLE_TOLERANCE = 1e-4  # degrees
_FRAME = ("origin", "fast", "slow")

DEFAULTS = CombineParams()


def combine_experiments(
    experiments: Experiments, table: ReflectionTable | None = None, *, params: CombineParams = DEFAULTS
) -> tuple[Experiments, ReflectionTable | None]:
    """The experiments with the reference models in place of their own, and with identifiers where they had none.

    The reflections get the identifiers, and the numbers of image sets, which are one where they are equal.
    """
    combined = named(_with_references(experiments, params))
    merged = merge_equal_imagesets(combined)
    if table is None:
        return merged, None
    if "imageset_id" in table:
        before, after = combined.imageset_ids(), merged.imageset_ids()
        new = dict(zip(before, after, strict=True))
        numbers = np.asarray(table["imageset_id"])
        columns = {"imageset_id": np.array([new.get(int(n), int(n)) for n in np.unique(numbers)], np.int32)}
        columns["imageset_id"] = columns["imageset_id"][np.searchsorted(np.unique(numbers), numbers)]
        table = table.with_columns(columns)
    return merged, table.with_identifiers(dict(enumerate(merged.identifiers)))


def named(experiments: Experiments) -> Experiments:
    """The experiments, those without an identifier given one."""
    return experiments.with_items(e if e.identifier else replace(e, identifier=str(uuid.uuid4())) for e in experiments)


def merge_equal_imagesets(experiments: Experiments) -> Experiments:
    """The experiments, with image sets of the same files and frames as one object each."""
    known: dict[str, Any] = {}
    return experiments.with_items(
        e if e.imageset is None else replace(e, imageset=known.setdefault(repr(e.imageset), e.imageset))
        for e in experiments
    )


def _with_references(experiments: Experiments, params: CombineParams) -> Experiments:
    references = params.reference_from_experiment
    same: dict[str, Callable[[Any, Any], bool]] = {
        "beam": same_beam,
        "detector": same_detector,
        "goniometer": same_goniometer,
        "scan": _same_scan,
        "crystal": _same_crystal,
    }
    models: dict[str, Any] = {}
    if references.average_detector and references.detector is not None:
        raise ParameterError("Give reference_from_experiment.detector or average_detector, not both.")
    for kind, compare in same.items():
        number = getattr(references, kind)
        if kind == "detector" and references.average_detector:
            models[kind] = _average_detector(experiments)
        if number is None:
            continue
        if number >= len(experiments):
            raise ParameterError(
                f"reference_from_experiment.{kind}={number} does not exist; there are experiments 0 to "
                f"{len(experiments) - 1}."
            )
        models[kind] = getattr(experiments[number], kind)
        differing = [n for n, e in enumerate(experiments) if not compare(models[kind], getattr(e, kind))]
        if references.compare_models and differing:
            raise MismatchError(
                f"The {kind} of experiment {differing[0]} differs from that of experiment {number}, which is to "
                "replace it; compare_models=False replaces it nevertheless."
            )
    return experiments.with_items(replace(e, **models) for e in experiments)


def _average_detector(experiments: Experiments) -> Detector:
    """The detector whose panels have the mean origins and directions of those of all detectors."""
    detectors = list({id(e.detector): e.detector for e in experiments}.values())
    first = detectors[0]
    for number, e in enumerate(experiments):
        if [(p.image_size, p.pixel_size) for p in e.detector.panels] != [
            (p.image_size, p.pixel_size) for p in first.panels
        ]:
            raise MismatchError(f"The panels of experiment {number} are not those of experiment 0: they have no mean.")
    panels = []
    for several in zip(*(detector.panels for detector in detectors), strict=True):
        origin, fast, slow = (np.mean([getattr(p, name) for p in several], axis=0) for name in _FRAME)
        fast /= np.linalg.norm(fast)
        slow -= (slow @ fast) * fast
        panels.append(replace(several[0], origin=origin, fast=fast, slow=slow / np.linalg.norm(slow)))
    return first.with_panels(panels)


def _same_scan(a: Scan | None, b: Scan | None) -> bool:
    if a is None or b is None or a is b:
        return a is b
    return a.image_range == b.image_range and np.allclose(a.oscillation, b.oscillation, rtol=0, atol=_ANGLE_TOLERANCE)


def _same_crystal(a: Crystal | None, b: Crystal | None) -> bool:
    if a is None or b is None or a is b:
        return a is b
    tolerance = _CRYSTAL_TOLERANCE * float(np.linalg.norm(a.A, axis=0).max())
    return a.hall == b.hall and np.allclose(a.A, b.A, rtol=0, atol=tolerance)
