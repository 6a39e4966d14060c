"""puredials process from images to integrated intensities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from puredials.cli.params import changed_words
from puredials.cli.process_stages import Stages
from puredials.errors import FileError, InputError, ProcessingError
from puredials.execute import available_processors
from puredials.indexing.finding import Diagnosis
from puredials.indexing.geometry_diagnosis import diagnose
from puredials.indexing.known_symmetry import known_symmetry
from puredials.indexing.reciprocal import strong_spots
from puredials.indexing.unrecorded import diagnose_stills
from puredials.io.expt import read_experiments
from puredials.io.formats.hdf5_images import image_files
from puredials.io.formats.recognise import is_hdf5
from puredials.io.refl import read_reflections
from puredials.io.refl_part import read_columns
from puredials.model import Experiment, Flags
from puredials.pipeline import (
    Decision,
    choose_beam_search,
    choose_joint,
    choose_lattices,
    choose_minimum,
    choose_scan_varying,
    choose_sweeps,
    enough_indexed,
    is_rotation,
    may_hold_another_lattice,
    turns,
)
from puredials.sets import image_names

__all__ = ["integrate_images"]

_FEWER = ("profile.gaussian_rs.min_spots.overall=10", "profile.gaussian_rs.min_spots.per_degree=1")
_INDEXED = ["indexed.expt", "indexed.refl"]


def integrate_images(stages: Stages) -> list[str]:
    """Run the programs from import to integrate; the files of integrated data."""
    if not stages.job.paths:
        raise InputError("puredials process needs images, or integrated .expt and .refl files.")
    _import(stages)
    _index(stages)
    spots, degrees = _evidence()
    static = stages.decide(choose_scan_varying(spots, degrees)) == "static"
    words = [*_INDEXED, *(["scan_varying=False"] if static else [])]
    stages.run("refine", words, ["refined.expt", "refined.refl"])
    fewer = stages.decide(choose_minimum(spots, degrees)) != "default"
    integrated = ["integrated.expt", "integrated.refl"]
    stages.run("integrate", ["refined.expt", "refined.refl", *(_FEWER if fewer else ())], integrated)
    return integrated


def _import(stages: Stages) -> None:
    words = _import_words(stages)
    stages.run("import_", words, ["imported.expt"], inputs=_images_and_mask(stages))
    found = stages.find("what was imported", [], _imported)
    if stages.decide(is_rotation(found["images"], found["degrees"])) == "none recorded":
        _import_as_rotation(stages)
    stages.run("find_spots", ["imported.expt"], ["strong.refl"])


def _imported() -> dict[str, Any]:
    """The number of images, and the degrees of each scan."""
    experiments = read_experiments(Path("imported.expt"))
    images = sum(1 if e.scan is None else len(e.scan) for e in experiments)
    return {"images": images, "degrees": [_degrees(e) for e in experiments]}


def _import_as_rotation(stages: Stages) -> None:
    """Import stills as the rotation that their crystals tell of."""
    stages.copy("imported.expt", "stills.expt")
    stages.copy_log("dials.import.log", "dials.import.stills.log")
    words = ["stills.expt", "output.reflections=stills.refl", "output.log=dials.find_spots.stills.log"]
    stages.run("find_spots", words, ["stills.refl"], stage="find spots of stills")
    _try_index(stages, ["stills.expt", "stills.refl"], "indexed_stills", 1)
    found = None
    if Path("indexed_stills.refl").exists():
        files = ["indexed_stills.expt", "indexed_stills.refl"]
        found = stages.find("look for a rotation", files, lambda: _rotation(stages))
    if found is None:
        raise ProcessingError(
            "Stopped after import: the headers tell of no rotation, and nor do the images, indexed one by one. If the "
            "crystal was turned, give the start and width of an image, as in geometry.scan.oscillation=0,1 (and "
            "geometry.goniometer.axis=X,Y,Z)."
        )
    stages.decide(Decision("Remedy", " ".join(found["words"]), found["sentence"]))
    words = [*_import_words(stages), *found["words"]]
    stages.run("import_", words, ["imported.expt"], stage="import as a rotation", inputs=_images_and_mask(stages))


def _import_words(stages: Stages) -> list[str]:
    mask = [] if stages.params.mask is None else [f"mask={stages.params.mask}"]
    return [*map(str, stages.job.paths), *changed_words(stages.params.geometry, "geometry"), *mask]


def _images_and_mask(stages: Stages) -> list[str]:
    """The files that import reads, and those that hold the frames of an HDF5 file."""
    behind = [file for path in stages.job.paths if path.is_file() and is_hdf5(path) for file in _frames_behind(path)]
    return [*map(str, [*stages.job.paths, *behind]), *([stages.params.mask] if stages.params.mask else [])]


def _frames_behind(path: Path) -> tuple[Path, ...]:
    try:
        return image_files(path)
    except FileError:  # import says so
        return ()


def _rotation(stages: Stages) -> dict[str, Any] | None:
    """By how much, and about which axis, crystals of stills turn from one to the next."""
    experiments, table = read_experiments(Path("indexed_stills.expt")), read_reflections(Path("indexed_stills.refl"))
    params = stages.params_for("index")
    known = known_symmetry(params.indexing.known_symmetry)
    found = diagnose_stills(experiments, table, known, params, available_processors())
    return _as_json(found[0]) if found else None


def _index(stages: Stages) -> None:
    """Index with the recorded geometry, or with a better one; leaves indexed.expt and indexed.refl."""
    geometry = "imported.expt"
    chosen, shares = _index_sweeps(stages, geometry)
    if stages.decide(choose_beam_search(_mean(shares))) == "doubted":
        geometry = _mend(stages, geometry, _mean(shares))
        if geometry != "imported.expt":
            chosen, shares = _index_sweeps(stages, geometry, "_mended")
    if stages.decide(enough_indexed(_mean(shares))) == "stop":
        raise ProcessingError(
            f"Stopped after indexing: only {100 * _mean(shares):.1f} % of the spots are indexed; look at the spots "
            f"for a wrong geometry, several lattices or too few spots, and see {_log_of(chosen)}."
        )
    chosen = _look_for_another_lattice(stages, geometry, chosen)
    for suffix in ("expt", "refl"):
        stages.copy(f"{chosen}.{suffix}", f"indexed.{suffix}")
    stages.copy_log(_log_of(chosen), "dials.index.log")
    _tell_sweeps(stages, geometry)


def _tell_sweeps(stages: Stages, geometry: str) -> None:
    """Tell which sweeps have a lattice, if there are several."""
    names = image_names(read_experiments(Path(geometry)))
    if len(names) > 1:
        table = read_columns(Path("indexed.refl"), ("imageset_id", "flags"), boxes=0)
        spots = np.bincount(table["imageset_id"], minlength=len(names))
        indexed = np.bincount(table["imageset_id"][table.has(Flags.INDEXED)], minlength=len(names))
        stages.decide(choose_sweeps(names, indexed.tolist(), spots.tolist()))


def _mend(stages: Stages, geometry: str, share: float) -> str:
    """The experiments with the geometry that the diagnosis names, or else with another beam centre if one is found."""
    files = [geometry, "strong.refl"]
    found = stages.find("diagnose the geometry", files, lambda: _diagnosis(stages, share))
    if found is None:
        found = {"words": [], "search_beam": True, "sentence": "Nothing else that was tried explains more."}
    steps = [*found["words"], *(["search the beam centre"] if found["search_beam"] else [])]
    stages.decide(Decision("Remedy", " ".join(steps) or "none", found["sentence"]))
    if found["words"]:
        stages.run("modify_geometry", [geometry, *found["words"]], ["modified.expt"])
        geometry = "modified.expt"
    if found["search_beam"]:
        try:
            stages.run("search_beam_position", [geometry, "strong.refl"], ["optimised.expt"])
            geometry = "optimised.expt"
        except ProcessingError as error:
            stages.job.say(str(error))
    return geometry


def _diagnosis(stages: Stages, share: float) -> dict[str, Any] | None:
    """The geometry that explains most spots, if any does clearly better."""
    experiments = read_experiments(Path("imported.expt"))
    spots = strong_spots(experiments, read_reflections(Path("strong.refl")))
    params = stages.params_for("index")
    known = known_symmetry(params.indexing.known_symmetry)
    found = diagnose(experiments, spots, share, known, params, available_processors())
    return _as_json(found[0]) if found else None


def _as_json(found: Diagnosis) -> dict[str, Any]:
    words = [f"{name}={value}" for name, value in found.parameters]
    return {"words": words, "search_beam": found.search_beam, "sentence": found.sentence}


def _index_sweeps(stages: Stages, experiments: str, end: str = "") -> tuple[str, Sequence[float]]:
    """Index together or apart: the stem of the files chosen, with this `end`, and the share indexed of each sweep."""
    files = [experiments, "strong.refl"]
    together, separate = f"indexed_joint{end}", f"indexed_separate{end}"
    n = len(read_experiments(Path(experiments)))
    if n == 1:
        return together, _try_index(stages, files, together, n)
    wanted = stages.params.joint
    joint = [] if wanted is False else _try_index(stages, files, together, n)
    apart = None
    if wanted is False or (wanted is None and (not joint or min(joint) < 0.5)):
        apart = _try_index(stages, [*files, "joint=false"], separate, n)
    turned = turns(read_experiments(Path(f"{separate}.expt"))) if apart else []
    choice = stages.decide(choose_joint(joint, apart, turned)) if wanted is None else "joint" if wanted else "separate"
    return (together, joint) if choice == "joint" else (separate, apart or [])


def _try_index(stages: Stages, words: Sequence[str], stem: str, sweeps: int) -> list[float]:
    """The share indexed of each of the sweeps; empty if no lattice was found."""
    names = [f"{stem}.expt", f"{stem}.refl"]
    options = [f"output.experiments={names[0]}", f"output.reflections={names[1]}", f"output.log={_log_of(stem)}"]
    try:
        stages.run("index", [*words, *options], names, stage=f"index to {stem}")
    except ProcessingError as error:
        stages.job.say(str(error))
        return []
    return _shares(names[1], sweeps)


def _log_of(stem: str) -> str:
    """The log of a run of dials.index that writes files of this stem."""
    return f"dials.index.{stem.removeprefix('indexed_')}.log"


def _look_for_another_lattice(stages: Stages, geometry: str, chosen: str) -> str:
    """The stem of the files with as many lattices as explain the spots."""
    found, unindexed = _counts(f"{chosen}.refl")
    most = stages.params.max_lattices
    if most == 1 or (most is None and not may_hold_another_lattice(1 - unindexed / found, unindexed)):
        return chosen
    stem = "indexed_lattices"
    joint = ["joint=false"] if chosen.startswith("indexed_separate") else []
    sweeps = len(read_experiments(Path(geometry)))
    shares = _try_index(stages, [geometry, "strong.refl", *joint, f"max_lattices={most or 2}"], stem, sweeps)
    further: list[int] = []
    if shares and len(read_experiments(Path(f"{stem}.expt"))) > len(read_experiments(Path(f"{chosen}.expt"))):
        further = [unindexed - _counts(f"{stem}.refl")[1]]
    return chosen if stages.decide(choose_lattices(unindexed, further, found)) == "1" else stem


def _counts(name: str) -> tuple[int, int]:
    """Spots, and those without index."""
    table = read_columns(Path(name), ("id", "flags"), boxes=0)
    return table.n_rows, int((~table.has(Flags.INDEXED)).sum())


def _evidence() -> tuple[list[int], list[float]]:
    """Indexed spots and degrees of each experiment."""
    experiments = read_experiments(Path("indexed.expt"))
    table = read_columns(Path("indexed.refl"), ("id", "flags"), boxes=0)
    counts = np.bincount(table["id"][table.has(Flags.INDEXED)], minlength=len(experiments))
    return counts.tolist(), [_degrees(e) for e in experiments]


def _degrees(experiment: Experiment) -> float:
    scan = experiment.scan
    return 0.0 if scan is None or scan.is_still else abs(scan.oscillation[1]) * len(scan)


def _shares(name: str, sweeps: int) -> list[float]:
    """The share of the spots indexed, of each sweep."""
    table = read_columns(Path(name), ("imageset_id", "flags"), boxes=0)
    of = table["imageset_id"]
    indexed = np.bincount(of, weights=table.has(Flags.INDEXED), minlength=sweeps)
    return (indexed / np.maximum(np.bincount(of, minlength=sweeps), 1)).tolist()


def _mean(shares: Sequence[float]) -> float:
    return float(np.mean(shares)) if len(shares) else 0.0
