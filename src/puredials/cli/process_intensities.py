"""puredials process from integrated intensities to merged ones."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from puredials.cli.process_stages import Stages
from puredials.errors import InputError, ProcessingError
from puredials.io.expt import read_experiments
from puredials.io.refl import read_reflections
from puredials.io.refl_part import read_columns
from puredials.merging import MergeResult, find_equivalents, merge_data, merging_statistics
from puredials.merging.observations import median_cell, symmetry_of
from puredials.merging.params import MergeParams
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.pipeline import (
    Decision,
    choose_anomalous,
    choose_cells,
    choose_cut,
    choose_exclusions,
    choose_merged_lattices,
    choose_scaling,
    choose_sets,
    choose_symmetry,
    explain_space_group,
    judge_merged,
    keep_cut,
    keep_scaled,
    keep_symmetrized,
    lattice_agreement,
    lattices_on_the_same_images,
    rejected_shares,
    with_names,
)
from puredials.scaling.tables import anomalous_measures
from puredials.sets import image_names

__all__ = ["given_intensities", "merge_intensities"]

_SYMMETRIZED = ["symmetrized.expt", "symmetrized.refl"]
_SCALED = ["scaled.expt", "scaled.refl"]
# Images that are left out together, and the fewest groups of which one can stand out.
_GROUP_SIZE, _FEWEST_GROUPS = 10, 3
_SHELLS = 10
# Cells are alike whose squared edges differ by about this share: some 3 % in length.
_CELL_TOLERANCE = 0.1
_ONE_SCALE = ("model=KB", "KB.decay_correction=False")


def given_intensities(stages: Stages) -> list[str]:
    """The files of integrated data on the command line."""
    job = stages.job
    if job.paths:
        raise InputError("Images and integrated data cannot be processed together: give one or the other.")
    if not job.reflection_paths:
        raise InputError("The experiments need their integrated reflections (.refl) beside them.")
    return [str(path) for path in (*job.experiment_paths, *job.reflection_paths)]


def merge_intensities(stages: Stages, integrated: Sequence[str]) -> MergeResult:
    """Run the programs from symmetry to export; the merged data."""
    words = [*_SYMMETRIZED, *_settle_symmetry(stages, integrated)]
    stages.run("scale", words, _SCALED)
    by_hand = stages.is_replaced(_SCALED)
    more = _what_was_scaled(stages) if by_hand else _scale_further(stages, words)
    d_min = stages.params.d_min if by_hand else None
    limit = [f"d_min={d_min}"] if d_min else []
    apart = ["merging.anomalous=True"] if "anomalous=True" in more else []
    stages.run("merge", [*_SCALED, *apart, *limit], ["merged.mtz"])
    stages.run("export", [*_SCALED, *limit], ["scaled_unmerged.mtz"])
    merged = _merged(d_min)
    inner = merging_statistics(merged, _SHELLS).shells
    stages.decide(judge_merged(float(inner.r_meas[0]), float(inner.cc_half[0])))
    return merged


def _scale_further(stages: Stages, words: list[str]) -> list[str]:
    """Scale without bad data, and as far as the scaled data are worth it; the words for the latter."""
    stage = "scale"
    bad = _bad_data(stages)
    if bad:
        stages.copy_log("dials.scale.log", "dials.scale.all_data.log")
        words, stage = [*words, *bad], "scale without bad data"
        stages.run("scale", words, _SCALED, stage=stage)
    more = _what_scaling_shows(stages)
    if more:
        stages.copy_log("dials.scale.log", "dials.scale.to_the_end.log")
        words, stage = [*words, *more], "scale again"
        stages.run("scale", words, _SCALED, stage=stage)
    stages.settle("scale", words, _SCALED, stage=stage)
    return more


def _what_was_scaled(stages: Stages) -> list[str]:
    """Decide what concerns merging, of data that were scaled by hand and stay so; its words as those for scaling."""
    found = stages.find("what scaling by hand shows", _SCALED, _measures)
    stages.decide(keep_scaled(found["sets"], found["observations"], found["d_min"]))
    wanted = stages.params.d_min
    if wanted is None:
        reason = f"The data that were scaled by hand end at {found['d_min']:.2f} Å."
        stages.decide(Decision("Resolution", "as scaled by hand", reason))
    else:
        stages.decide(keep_cut(wanted, found["d_min"]))
    return _anomalous(stages, found)


def _settle_symmetry(stages: Stages, integrated: Sequence[str]) -> list[str]:
    """Bring all crystals to one setting of one space group; the words that scaling needs."""
    if _crystals(integrated) > 1:
        integrated = _alike(stages, integrated)
    program = stages.decide(choose_symmetry(_crystals(integrated)))
    stages.run(program, integrated, _SYMMETRIZED)
    by_hand = stages.is_replaced(_SYMMETRIZED)
    kept, n_experiments = ([], 0) if by_hand else _lattices_to_merge(stages, program)
    if len(kept) < n_experiments:
        words = [f"experiment_ids={','.join(map(str, kept))}", f"output.chunk_size={len(kept)}"]
        words += ["output.experiments_prefix=merged_lattices", "output.reflections_prefix=merged_lattices"]
        chosen = ["merged_lattices_0.expt", "merged_lattices_0.refl"]
        stages.run("split_experiments", [*integrated, *words], chosen)
        stages.copy_log(f"dials.{program}.log", f"dials.{program}.all_lattices.log")
        program, integrated = "cosym" if len(kept) > 1 else "symmetry", chosen
        stages.run(program, chosen, _SYMMETRIZED, stage=f"{program} of the chosen lattices")
    if by_hand:
        stages.decide(keep_symmetrized(*_space_group()))
    else:
        summary = json.loads(Path(f"dials.{program}.json").read_text(encoding="utf-8"))
        if program == "cosym":
            stages.decide(choose_sets(summary, _set_names(integrated)))
        stages.decide(explain_space_group(summary))
    observations, unique, sweeps = _multiplicity()
    choice = stages.decide(choose_scaling(observations, unique, sweeps))
    if choice == "stop":
        stages.run("export", _SYMMETRIZED, ["integrated.mtz"], stage="export without scales")
        raise ProcessingError(
            f"Stopped before scaling: {observations} observations of {unique} reflections repeat too little to "
            f"determine the scales of {sweeps} sweep{'s' if sweeps > 1 else ''}. integrated.mtz holds the intensities "
            "as integrated; for merged ones collect wider sweeps, or process these together with others."
        )
    return list(_ONE_SCALE) if choice == "one scale a sweep" else []


def _lattices_to_merge(stages: Stages, program: str) -> tuple[list[int], int]:
    """The experiments to go on with (of those on the same images all that agree, or the strongest), as numbered before
    any were left out, and how many there are."""
    found = stages.find("agreement of sets", [], lambda: _agreement(program))
    sets = found["sets"]
    kept = list(range(len(sets)))
    for group in found["groups"]:
        choice = stages.decide(choose_merged_lattices(group["correlation"], group["strength"]))
        if choice != "all":
            lattices = group["lattices"]
            kept = [k for k in kept if k not in lattices or k == lattices[int(choice)]]
    return [sets[k] for k in kept], len(sets)


def _alike(stages: Stages, integrated: Sequence[str]) -> Sequence[str]:
    """The files of the crystals of the most frequent unit cell."""
    names = [Path(name) for name in integrated if name.endswith(".expt")]
    cells = [e.crystal.unit_cell for name in names for e in read_experiments(name) if e.crystal is not None]
    threshold = _CELL_TOLERANCE * np.median([[c.a**2, c.b**2, c.c**2] for c in cells])
    words = ["output.clusters=True", f"threshold={threshold:.0f}"]
    stages.run("cluster_unit_cell", [*integrated, *words], ["cluster_1.expt", "cluster_1.refl"])
    clusters = json.loads(Path("cluster_unit_cell.json").read_text(encoding="utf-8"))["clusters"]
    members = [len(cluster["experiments"]) for cluster in clusters]
    all_names = _set_names(integrated)
    others = [f"{k} ({all_names[k]})" for cluster in clusters[1:] for k in cluster["experiments"]]
    choice = stages.decide(choose_cells(members, others))
    return integrated if choice == "all" else ["cluster_1.expt", "cluster_1.refl"]


def _bad_data(stages: Stages) -> list[str]:
    """Words that leave out data sets, or groups of images of one or two sets, without which the others agree better."""
    size = stages.find("size of the data", [], _size)
    sets, images = size["sets"] >= _FEWEST_GROUPS, size["images"]
    if not sets and images < _FEWEST_GROUPS * _GROUP_SIZE:
        return []
    mode = ["mode=dataset"] if sets else ["mode=image_group", f"group_size={_GROUP_SIZE}"]
    stages.run("compute_delta_cchalf", [*_SCALED, *mode], ["compute_delta_cchalf.json"], inputs=[])
    groups = json.loads(Path("compute_delta_cchalf.json").read_text(encoding="utf-8"))["groups"]
    names = [str(g["dataset"]) if sets else "{dataset}:{first_image}:{last_image}".format_map(g) for g in groups]
    places = [(g["dataset"], g["first_image"], g["last_image"]) for g in groups]
    rejected, counts = stages.find("outliers of groups", [], lambda: rejected_shares(*_scaled(), places))
    gains, bad = [-g["delta_cc_half"] for g in groups], [g["bad"] for g in groups]
    cc_half = [(g["cc_half_including"], g["cc_half_excluding"]) for g in groups]
    unit = "sets" if sets else "images"
    decision = choose_exclusions(unit, names, gains, cc_half, bad, rejected, counts)
    choice = stages.decide(with_names(decision, _set_names(_SYMMETRIZED)))
    if choice == "none":
        return []
    return [f"exclude_{'datasets' if sets else 'images'}={','.join(choice.split())}"]


def _what_scaling_shows(stages: Stages) -> list[str]:
    """Words to scale again with."""
    params = stages.params
    stages.run("estimate_resolution", _SCALED, ["dials.estimate_resolution.json"], inputs=[])
    limits = json.loads(Path("dials.estimate_resolution.json").read_text(encoding="utf-8"))["limits"]
    curve = limits.get("cc_half", {})
    limit, significant = curve.get("passes", {}), curve.get("significant", {}).get("d_min")
    found = stages.find("what scaling shows", [], lambda: _measures(limit.get("d_min", 0.0)))
    anomalous = _anomalous(stages, found)
    within, left, d_min = bool(limit.get("within_data")), found["within_limit"], found["d_min"]
    decision = choose_cut(limit.get("d_min"), within, left, d_min, significant)
    cut = stages.decide(decision if params.d_min is None else keep_cut(params.d_min, d_min))
    return [*anomalous, *([f"d_min={cut}"] if cut != "all" else [])]


def _anomalous(stages: Stages, found: dict[str, Any]) -> list[str]:
    """The word for Friedel mates that stay apart."""
    anomalous = stages.params.anomalous
    if anomalous is None:
        decision = choose_anomalous(found["cc_anom"], found["pairs"], found["slope"])
        anomalous = stages.decide(decision) == "apart"
    return ["anomalous=True"] if anomalous else []


# What later stages change is measured once, and kept in the record.


def _agreement(program: str) -> dict[str, Any]:
    """How the lattices on the same images agree, of the experiments symmetrized together, and which of all they are."""
    experiments = read_experiments(Path(_SYMMETRIZED[0]))
    sets = list(range(len(experiments)))
    if program == "cosym":
        sets = [s["set"] for s in json.loads(Path("dials.cosym.json").read_text(encoding="utf-8"))["sets"]]
    shared = lattices_on_the_same_images(experiments)
    groups: list[dict[str, Any]] = []
    if shared:
        table = read_reflections(Path(_SYMMETRIZED[1]))
        cell, symmetry = median_cell(experiments), symmetry_of(experiments)
        for lattices in shared:
            found = lattice_agreement(table, lattices, cell, symmetry)
            strengths = {"correlation": found.correlation.tolist(), "strength": found.strength.tolist()}
            groups.append({"lattices": list(map(int, lattices)), **strengths})
    return {"sets": sets, "groups": groups}


def _size() -> dict[str, int]:
    experiments = read_experiments(Path(_SCALED[0]))
    return {"sets": len(experiments), "images": sum(0 if e.scan is None else len(e.scan) for e in experiments)}


def _measures(limit: float = 0.0) -> dict[str, float]:
    """What decides on the last scaling; "within_limit": the unique reflections to a resolution."""
    merged = _merged()
    differences = merging_statistics(merged, 1).overall
    return {
        "sets": len(read_experiments(Path(_SCALED[0]))),
        "observations": int(differences.n_obs[0]),
        "cc_anom": float(differences.cc_anom[0]),
        "pairs": int(differences.half_anomalous.n[0]),
        "slope": float(anomalous_measures(merged)["Anomalous slope"]),
        "d_min": float(merged.d.min()),
        "within_limit": int((merged.d >= limit).sum()),
    }


def _scaled() -> tuple[Experiments, ReflectionTable]:
    return read_experiments(Path(_SCALED[0])), read_reflections(Path(_SCALED[1]))


def _space_group() -> tuple[str, int]:
    """Of the symmetrized data, and the number of sets."""
    experiments = read_experiments(Path(_SYMMETRIZED[0]))
    crystal = next((e.crystal for e in experiments if e.crystal is not None), None)
    group = crystal and crystal.space_group
    return group.hm if group else "not tabulated", len(experiments)


def _merged(d_min: float | None = None) -> MergeResult:
    return merge_data(*_scaled(), params=MergeParams(d_min=d_min))


def _set_names(files: Sequence[str]) -> list[str]:
    """What tells each set: its file, if there are several, and else, or if that holds several sets, its images."""
    paths = [Path(name) for name in files if name.endswith(".expt")]
    names: list[str] = []
    for path in paths:
        experiments = read_experiments(path)
        images = [name or path.name for name in image_names(experiments)]
        if len(paths) == 1:
            names += images
        else:
            names += [str(path)] if len(images) == 1 else [f"{path}: {name}" for name in images]
    return names


def _multiplicity() -> tuple[int, int, int]:
    """Integrated observations, the reflections that they are of, and sweeps."""
    experiments = read_experiments(Path(_SYMMETRIZED[0]))
    table = read_columns(Path(_SYMMETRIZED[1]), ("miller_index", "flags"), boxes=0)
    used = table["miller_index"][table.has(Flags.INTEGRATED)]
    return len(used), len(find_equivalents(used, symmetry_of(experiments))), len(experiments)


def _crystals(files: Sequence[str]) -> int:
    """Crystals that were indexed apart: sweeps of one crystal keep almost the same orientation in refinement."""
    number = 0
    for path in (Path(name) for name in files if name.endswith(".expt")):
        kept: list[np.ndarray] = []
        for experiment in read_experiments(path):
            if experiment.crystal is not None:
                A = np.asarray(experiment.crystal.A)
                if not any(np.linalg.norm(A - B) < 0.05 * np.linalg.norm(B) for B in kept):
                    kept.append(A)
        number += len(kept)
    return number
