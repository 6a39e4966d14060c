"""Experiment lists in .expt files (JSON).

The file holds one list for each kind of model and, for each experiment, the numbers of its models; a model that several
experiments name is one object here too. Relative names of image files start from the folder of the .expt file.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from puredials.errors import FileError
from puredials.io.expt_models import READERS, WRITERS
from puredials.model import Experiment, Experiments, ImageSet, Profile

__all__ = ["read_experiments", "write_experiments"]

Json = dict[str, Any]
_KINDS = (*READERS, "imageset")
# What must be numbers, as JSON and those who write it allow NaN; None: all. Uncertainties may be unknown.
_GEOMETRY = {
    "beam": ("direction", "wavelength"),
    "detector": ("panels", "hierarchy"),
    "goniometer": None,
    "scan": ("oscillation",),
    "crystal": ("real_space_a", "real_space_b", "real_space_c", "A_at_scan_points"),
}
_LOOKUPS = ("mask", "gain", "pedestal", "dx", "dy")


def read_experiments(path: Path | str) -> Experiments:
    """Read an .expt file; image files need not exist."""
    path = Path(path)
    content = _json(path)
    base = str(path.absolute().parent)
    models: dict[str, list[Any]] = {}
    for kind in _KINDS:
        models[kind] = []
        for number, stored in enumerate(content.get(kind) or ()):
            try:
                # The angles of a scan are among its properties; so are times, which may be unknown.
                geometry = {**stored, **(stored.get("properties") or {})} if kind == "scan" else stored
                if kind in _GEOMETRY and not _finite(geometry, _GEOMETRY[kind]):
                    raise FileError(
                        f"{path}: {kind} {number} has values that are no numbers (NaN); make the file anew."
                    )
                model = _read_imageset(stored, base) if kind == "imageset" else READERS[kind](stored)
            except KeyError as error:
                raise FileError(f"{path}: {kind} {number} lacks {error}.") from error
            except (TypeError, ValueError, IndexError, AttributeError) as error:
                raise FileError(f"{path}: {kind} {number} cannot be understood ({error}).") from error
            models[kind].append(model)
    items = [_experiment(stored, models, number, path) for number, stored in enumerate(content["experiment"])]
    extra = {k: v for k, v in content.items() if k not in ("__id__", "experiment", "history", *_KINDS)}
    return Experiments(tuple(items), tuple(content.get("history") or ()), extra)


def write_experiments(experiments: Experiments, path: Path | str) -> None:
    """Write an .expt file that every release of DIALS since 2 reads."""
    folder = str(Path(path).absolute().parent)
    numbers: dict[str, dict[int, int]] = {kind: {} for kind in _KINDS}
    lists: dict[str, list[Json]] = {kind: [] for kind in ("imageset", *READERS)}
    entries: list[Json] = []
    for experiment in experiments:
        entry: Json = {"__id__": "Experiment", "identifier": experiment.identifier}
        for kind in _KINDS:
            model: Any = getattr(experiment, kind)
            if kind == "profile" and model is None:
                model = experiment.foreign_profile
            if model is None:
                continue
            if id(model) not in numbers[kind]:
                numbers[kind][id(model)] = len(lists[kind])
                written = _write_imageset(model, folder) if kind == "imageset" else WRITERS[kind](model)
                lists[kind].append(written)
            entry[kind] = numbers[kind][id(model)]
        entries.append({**entry, **experiment.extra})
    content: Json = {"__id__": "ExperimentList", "experiment": entries}
    if experiments.history:
        content["history"] = list(experiments.history)
    content |= {**lists, **experiments.extra}
    text = json.dumps(content, indent=2)
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}.") from error


def _finite(stored: Any, keys: tuple[str, ...] | None = None) -> bool:
    """Whether none of the numbers in a JSON value (of an object: under these keys) is NaN or infinite."""
    match stored:
        case dict():
            return all(_finite(value) for key, value in stored.items() if keys is None or key in keys)
        case list():
            return all(_finite(value) for value in stored)
        case _:
            return not isinstance(stored, float) or math.isfinite(stored)


def _json(path: Path) -> Json:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not an experiment list (.expt) file.") from error
    if not text.strip():
        raise FileError(f"{path} is empty.")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(f"{path} is not an experiment list (.expt) file, or it is truncated: {error}.") from error
    if not isinstance(content, dict) or content.get("__id__") != "ExperimentList":
        raise FileError(f"{path} is not an experiment list (.expt) file.")
    if not isinstance(content.get("experiment"), list):
        raise FileError(f"{path} is a damaged experiment list: it has no list of experiments.")
    return content


def _experiment(stored: Mapping[str, Any], models: Mapping[str, list[Any]], number: int, path: Path) -> Experiment:
    chosen: Json = {}
    for kind in _KINDS:
        index = stored.get(kind)
        if index is None:
            continue
        if not (isinstance(index, int) and 0 <= index < len(models[kind])):
            raise FileError(f"{path}: experiment {number} names {kind} {index}, which is not in the file.")
        chosen[kind] = models[kind][index]
    for kind in ("beam", "detector"):
        if kind not in chosen:
            raise FileError(f"{path}: experiment {number} has no {kind}.")
    profile = chosen.get("profile")
    if profile is not None and not isinstance(profile, Profile):
        chosen["foreign_profile"] = chosen.pop("profile")
    extra = {k: v for k, v in stored.items() if k not in ("__id__", "identifier", *_KINDS)}
    return Experiment(**chosen, identifier=stored.get("identifier", ""), extra=extra)


def _read_imageset(stored: Mapping[str, Any], base: str) -> ImageSet:
    kind = stored.get("__id__", "ImageSequence")
    indices = stored.get("single_file_indices")
    known = ("__id__", "template", "images", "single_file_indices", "params", *_LOOKUPS)
    return ImageSet(
        template=stored.get("template") or "",
        images=tuple(stored.get("images") or ()),
        single_file_indices=None if indices is None else tuple(int(i) for i in indices),
        **{name: stored.get(name) or None for name in _LOOKUPS},
        params=dict(stored.get("params") or {}),
        kind="ImageSequence" if kind == "ImageSweep" else kind,
        base=base,
        extra={k: v for k, v in stored.items() if k not in known},
    )


def _write_imageset(images: ImageSet, folder: str) -> Json:
    if os.path.abspath(images.base) != folder:
        images = _absolute(images)
    written: Json = {"__id__": images.kind}
    if images.template or not images.images:
        written["template"] = images.template
    if images.images:
        written["images"] = list(images.images)
    if images.single_file_indices is not None:
        written["single_file_indices"] = list(images.single_file_indices)
    written |= {name: getattr(images, name) for name in _LOOKUPS}
    return {**written, "params": dict(images.params), **images.extra}


def _absolute(images: ImageSet) -> ImageSet:
    """The same files, named independently of where the .expt file is."""

    def full(name: str) -> str:
        return os.path.abspath(os.path.join(images.base, name)) if name else name

    lookups = {name: full(value) for name in _LOOKUPS if (value := getattr(images, name))}
    return replace(images, template=full(images.template), images=tuple(full(n) for n in images.images), **lookups)
