"""The stages of puredials process: the single programs, run one after the other, and the evidence they leave."""

import contextlib
import io
import json
import shutil
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from puredials import __version__
from puredials.cli.process import Options
from puredials.cli.program import Job
from puredials.errors import InputError, ProcessingError
from puredials.execute import available_processors
from puredials.indexing import IndexParams
from puredials.indexing.diagnosis import diagnose
from puredials.indexing.known_symmetry import known_symmetry
from puredials.indexing.reciprocal import strong_spots
from puredials.io.expt import read_experiments
from puredials.io.refl import read_reflections
from puredials.io.refl_part import read_columns
from puredials.merging import MergeResult, merge_data
from puredials.model import Experiment, Flags
from puredials.pipeline import (
    Decision,
    Record,
    choose_beam_search,
    choose_cut,
    choose_joint,
    choose_minimum,
    choose_scan_varying,
    choose_symmetry,
    enough_equivalents,
    enough_indexed,
    is_rotation,
)

__all__ = ["Stages"]

_FEWER = ("profile.gaussian_rs.min_spots.overall=10", "profile.gaussian_rs.min_spots.per_degree=1")


class Stages:
    """Runs the programs in the current folder.

    Attributes:
        decisions: what was chosen; times: the seconds that each program took in this run.
        merged: the merged data, once there are any.
    """

    merged: MergeResult

    def __init__(self, job: Job) -> None:
        params: Options = job.params
        self._job, self._params = job, params
        self._record = Record(Path(params.output.record), __version__, resume=params.resume)
        self.decisions: list[Decision] = []
        self.times: list[tuple[str, float]] = []
        self._integrated = ["integrated.expt", "integrated.refl"]

    def measure(self) -> None:
        """From images to integrated intensities."""
        if not self._job.paths:
            raise InputError("puredials process needs images, or integrated .expt and .refl files.")
        self._import()
        self._index()
        spots, degrees = _evidence("indexed")
        static = self._decide(choose_scan_varying(spots, degrees)).choice == "static"
        words = ["indexed.expt", "indexed.refl", *(["scan_varying=False"] if static else [])]
        self._run("refine", words, ["refined.expt", "refined.refl"])
        fewer = self._decide(choose_minimum(spots, degrees)).choice != "default"
        self._run("integrate", ["refined.expt", "refined.refl", *(_FEWER if fewer else ())], self._integrated)

    def start_from_integrated(self) -> None:
        """Take the files of integrated data that were given."""
        if self._job.paths:
            raise InputError("Images and integrated data cannot be processed together: give one or the other.")
        if not self._job.reflection_paths:
            raise InputError("The experiments need their integrated reflections (.refl) beside them.")
        self._integrated = [str(path) for path in (*self._job.experiment_paths, *self._job.reflection_paths)]

    def merge(self) -> None:
        """From integrated intensities to merged ones."""
        crystals = sum(len(_crystals(Path(name))) for name in self._integrated if name.endswith(".expt"))
        program = self._decide(choose_symmetry(crystals)).choice
        self._run(program, self._integrated, ["symmetrized.expt", "symmetrized.refl"])
        anomalous = ["anomalous=True"] if self._params.anomalous else []
        scaled = ["scaled.expt", "scaled.refl"]
        words = ["symmetrized.expt", "symmetrized.refl", *anomalous]
        self._run("scale", words, scaled)
        self._run("estimate_resolution", scaled, ["dials.estimate_resolution.json"], inputs=[])
        limit = json.loads(Path("dials.estimate_resolution.json").read_text())["limits"].get("cc_half", {})
        cut = self._decide(
            choose_cut(limit.get("d_min"), bool(limit.get("within_data")), _d_min(), self._params.d_min)
        ).choice
        if cut != "all":
            self._run("scale", [*words, f"d_min={cut}"], scaled, stage="scale to the limit")
        self._run("merge", [*scaled, *anomalous], ["merged.mtz"])
        self.merged = merge_data(read_experiments(Path(scaled[0])), read_reflections(Path(scaled[1])))
        self._decide(enough_equivalents(len(self.merged.observations.hkl), len(self.merged.hkl)))
        self._run("export", scaled, ["scaled_unmerged.mtz"])

    def _import(self) -> None:
        self._run("import_", [str(path) for path in self._job.paths], ["imported.expt"])
        experiments = read_experiments(Path("imported.expt"))
        images = sum(1 if e.scan is None else len(e.scan) for e in experiments)
        if self._decide(is_rotation(images, [_degrees(e) for e in experiments])).choice == "stop":
            raise ProcessingError(
                "Stopped after import: the headers tell of no rotation; if the crystal was turned, type dials.import "
                "with geometry.scan.oscillation=0,WIDTH (and geometry.goniometer.axis=X,Y,Z) and the single programs."
            )
        self._run("find_spots", ["imported.expt"], ["strong.refl"])

    def _index(self) -> None:
        sweeps = len(read_experiments(Path("imported.expt")))
        shares = self._index_sweeps("imported.expt", sweeps)
        if self._decide(choose_beam_search(_mean(shares))).choice == "search":
            shares = self._mend(sweeps, shares)
        if self._decide(enough_indexed(_mean(shares))).choice == "stop":
            raise ProcessingError(
                f"Stopped after indexing: only {100 * _mean(shares):.1f} % of the spots are indexed; look at the spots "
                "for a wrong geometry, several lattices or too few spots, and see dials.index.log."
            )

    def _mend(self, sweeps: int, shares: Sequence[float]) -> Sequence[float]:
        """Index with the geometry that the diagnosis names, or else with another beam centre."""
        experiments = read_experiments(Path("imported.expt"))
        spots = strong_spots(experiments, read_reflections(Path("strong.refl")))
        params = IndexParams()
        known = known_symmetry(params.indexing.known_symmetry)
        found = diagnose(experiments, spots, _mean(shares), known, params, available_processors())
        if found and found[0].parameters:
            words = [f"{name}={value}" for name, value in found[0].parameters]
            self._decide(Decision("Geometry", " ".join(words), found[0].sentence))
            self._run("modify_geometry", ["imported.expt", *words], ["modified.expt"])
            return self._index_sweeps("modified.expt", sweeps)
        self._run("search_beam_position", ["imported.expt", "strong.refl"], ["optimised.expt"])
        return self._index_sweeps("optimised.expt", sweeps)

    def _index_sweeps(self, experiments: str, sweeps: int) -> Sequence[float]:
        """Index together or apart; the share indexed of each sweep."""
        files = [experiments, "strong.refl"]
        if sweeps == 1:
            return self._try_index(files, "indexed")
        wanted = self._params.joint
        joint = [] if wanted is False else self._try_index(files, "indexed_joint")
        apart = None
        if wanted is False or (wanted is None and (not joint or min(joint) < 0.5)):
            apart = self._try_index([*files, "joint=false"], "indexed_separate")
        if wanted is None:
            choice = self._decide(choose_joint(joint, apart)).choice
        else:
            choice = "joint" if wanted else "separate"
        shares = joint if choice == "joint" else apart or []
        if shares:
            for suffix in ("expt", "refl"):
                _copy(Path(f"indexed_{choice}.{suffix}"), Path(f"indexed.{suffix}"))
        return shares

    def _try_index(self, words: list[str], stem: str) -> list[float]:
        """The share indexed of each sweep; empty if no lattice was found."""
        names = [f"{stem}.expt", f"{stem}.refl"]
        options = [] if stem == "indexed" else [f"output.experiments={names[0]}", f"output.reflections={names[1]}"]
        try:
            self._run("index", [*words, *options], names, stage=f"index to {stem} from {words[0]}")
        except ProcessingError as error:
            self._job.say(str(error))
            return []
        return _shares(Path(names[1]))

    def _decide(self, decision: Decision) -> Decision:
        self.decisions.append(decision)
        self._job.say(f"  {decision}")
        return decision

    def _run(
        self, program: str, words: Sequence[str], outputs: Sequence[str], *, stage: str = "",
        inputs: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        """Run a program unless the record says that it is done; its own output goes to its log."""
        name = f"dials.{program.rstrip('_')}"
        read = [Path(word) for word in (words if inputs is None else inputs) if "=" not in word]
        stage = stage or program
        if self._record.is_done(stage, words, read, [Path(output) for output in outputs]):
            self._job.say(f"{name}: done before")
            return
        self._job.say(f"{name} {' '.join(words[:4])}{' ...' if len(words) > 4 else ''}")
        start = time.perf_counter()
        said, sorry = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(sorry):
            code = import_module(f"puredials.cli.{program}").main(list(words))
        if code in (130, 143):
            raise KeyboardInterrupt
        if code != 0:
            why = sorry.getvalue().strip().removeprefix("Sorry: ")
            raise ProcessingError(f"{name} could not go on: {why}")
        self.times.append((name, time.perf_counter() - start))
        self._record.finish(stage, words, read)


def _evidence(stem: str) -> tuple[list[int], list[float]]:
    """Indexed spots and degrees of each experiment."""
    experiments = read_experiments(Path(f"{stem}.expt"))
    table = read_columns(Path(f"{stem}.refl"), ("id", "flags"), boxes=0)
    counts = np.bincount(table["id"][table.has(Flags.INDEXED)], minlength=len(experiments))
    degrees = [_degrees(e) for e in experiments]
    return counts.tolist(), degrees


def _degrees(experiment: Experiment) -> float:
    scan = experiment.scan
    return 0.0 if scan is None or scan.is_still else abs(scan.oscillation[1]) * len(scan)


def _shares(path: Path) -> list[float]:
    """The share of the spots indexed, of each image set."""
    table = read_columns(path, ("imageset_id", "flags"), boxes=0)
    of = table["imageset_id"]
    return (np.bincount(of, weights=table.has(Flags.INDEXED)) / np.maximum(np.bincount(of), 1)).tolist()


def _mean(shares: Sequence[float]) -> float:
    return float(np.mean(shares)) if len(shares) else 0.0


def _crystals(path: Path) -> set[int]:
    """Crystals that were indexed apart: sweeps of one crystal keep almost the same orientation in refinement."""
    kept: list[tuple[int, np.ndarray]] = []
    for number, experiment in enumerate(read_experiments(path)):
        if experiment.crystal is not None:
            A = np.asarray(experiment.crystal.A)
            if not any(np.linalg.norm(A - B) < 0.05 * np.linalg.norm(B) for _, B in kept):
                kept.append((number, A))
    return {number for number, _ in kept}


def _d_min() -> float:
    table = read_columns(Path("scaled.refl"), ("d", "flags"), boxes=0)
    return float(table["d"][table.has(Flags.SCALED)].min())


def _copy(source: Path, target: Path) -> None:
    """Copy a file with its time, so that the next stage sees whether it has changed."""
    temporary = target.with_name(f".{target.name}.new")
    shutil.copy2(source, temporary)
    temporary.replace(target)
