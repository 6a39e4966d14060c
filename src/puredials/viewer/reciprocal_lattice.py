"""The data of the reciprocal lattice viewer: spots as positions on the detector and angles, which the page turns into
reciprocal space by itself, so that points follow a beam centre that is moved."""

import colorsys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from puredials.errors import MismatchError, NoSpotsError, ParameterError
from puredials.geometry import px_to_mm, ray_on_plane, s1_to_rlp
from puredials.io.expt import write_experiments
from puredials.model import Experiment, Experiments, Flags, ReflectionTable
from puredials.viewer.saving import save
from puredials.viewer.server import Action, Reply, Route, arrays_reply, json_reply

__all__ = ["LATTICE_COLUMNS", "LATTICE_STATIC", "MOST_POINTS", "LatticeView", "moved_experiments"]

LATTICE_STATIC = (
    *("reciprocal_lattice.html", "reciprocal_lattice.js", "common.js", "lattice_space.js", "lattice_points.js"),
    *("lattice_lines.js", "lattice_projection.js", "viewer.css", "reciprocal_lattice.css"),
)
MOST_POINTS = 2_000_000
_COUNTS = ("n_signal", "num_pixels.foreground")
# What is looked at of the reflections: their pixels, which are most of the bytes of a file, are not.
LATTICE_COLUMNS = (
    *("id", "imageset_id", "panel", "flags", "miller_index", "xyzobs.px.value", "xyzcal.px", "partiality"),
    *_COUNTS,
)
_INDEXED, _INTEGRATED, _OUTLIER = 1, 2, 4
# Told apart by people with any colour vision (after Wong 2011, Nat. Methods 8, 441), light enough for a black ground.
_COLOURS = (
    *("#56b4e9", "#e69f00", "#00c08b", "#f0e442", "#cc79a7", "#ff7f50"),
    *("#9a8cff", "#b0d45a", "#ff9ebb", "#6fd3d3", "#d9b38c", "#ffffff"),
)
_OF_NONE = "#9aa3ad"
_GOLDEN = (5**0.5 - 1) / 2
_WHOLE = 65535


@dataclass(frozen=True, eq=False)
class _Points:
    """Spots in the order of the page: those of one experiment, or of none on its images, follow each other.

    Attributes:
        row: in the table; position: (n, 3) mm, laboratory; phi: rad; xyz: (n, 3) px, px, image.
        batches: (experiment, whose geometry counts; id of the spots, -1 for none; first point; points).
    """

    row: Int64[np.ndarray, " n"]
    position: Float64[np.ndarray, "n 3"]
    phi: Float64[np.ndarray, " n"]
    xyz: Float64[np.ndarray, "n 3"]
    batches: list[tuple[int, int, int, int]]


@dataclass(frozen=True, eq=False)
class Shown:
    """Points that pass filters: number, place (1/Angstrom), and colour by experiment (RGB)."""

    number: Int64[np.ndarray, " n"]
    rlp: Float64[np.ndarray, "n 3"]
    colours: UInt8[np.ndarray, "n 3"]


class LatticeView:
    """Reflections in reciprocal space. `folder` is where changed experiments are saved, under `name` at first."""

    def __init__(
        self,
        experiments: Experiments,
        reflections: ReflectionTable,
        *,
        folder: Path | None = None,
        name: str = "bc_corrected.expt",
    ) -> None:
        if reflections.n_rows == 0:
            raise NoSpotsError("There are no reflections to show: the file is empty.")
        self.experiments, self.reflections = experiments, reflections
        self.folder, self.name = folder or Path.cwd(), name
        self.points = _placed(experiments, reflections)
        self.furthest = max(
            float(np.linalg.norm(s1 - self.experiments[number].beam.s0, axis=1).max()) for number, _, s1 in self._rays()
        )

    @property
    def _n_ids(self) -> int:
        """One more than the highest id of points, or the experiments, if these are more."""
        return max(len(self.experiments), *(id_ + 1 for _, id_, _, _ in self.points.batches))

    @property
    def routes(self) -> Mapping[str, Route]:
        return {"points.bin": self._points, "point.json": self._point}

    @property
    def actions(self) -> Mapping[str, Action]:
        return {"save": self._save}

    def rlp(self, *, invert: bool = False, crystal_frame: bool = False) -> Float64[np.ndarray, "n 3"]:
        """Points as the page shows them at first, 1/Angstrom, at the goniometer's datum; `invert`: about the opposite
        scan axis; `crystal_frame`: in the frames of their crystals."""
        found = np.empty((len(self.points.row), 3))
        for number, part, s1 in self._rays():
            experiment = self.experiments[number]
            phi = self.points.phi[part] * (-1 if invert else 1)
            found[part] = s1_to_rlp(s1, phi, experiment.beam, experiment.goniometer)
            if crystal_frame and experiment.crystal is not None:
                found[part] = found[part] @ experiment.crystal.U
        return found

    def _rays(self) -> Iterator[tuple[int, slice, Float64[np.ndarray, "n 3"]]]:
        """Of each batch the experiment whose geometry counts, the points, and their diffracted rays (1/Angstrom)."""
        for number, _, first, count in self.points.batches:
            direction = self.points.position[first : first + count]
            length = np.linalg.norm(direction, axis=1)[:, None] * self.experiments[number].beam.wavelength
            yield number, slice(first, first + count), direction / length

    def shown(
        self,
        *,
        display: str = "all",
        outlier_display: str | None = None,
        experiment_ids: Collection[int] = (),
        d_min: float | None = None,
        z_min: float | None = None,
        z_max: float | None = None,
        invert: bool = False,
        crystal_frame: bool = False,
    ) -> Shown:
        """The points that pass the filters, which are those of the page."""
        rlp, z, status = self.rlp(invert=invert, crystal_frame=crystal_frame), self.points.xyz[:, 2], self._status()
        keep = np.ones(len(rlp), dtype=np.bool_)
        if display != "all":
            bit = _INTEGRATED if display == "integrated" else _INDEXED
            keep &= ((status & bit) != 0) == (display != "unindexed")
        if outlier_display is not None:
            keep &= ((status & _OUTLIER) != 0) == (outlier_display == "outliers")
        if d_min is not None:
            keep &= np.linalg.norm(rlp, axis=1) <= 1 / d_min
        keep &= (z >= (-np.inf if z_min is None else z_min)) & (z <= (np.inf if z_max is None else z_max))
        colours, names = np.empty((len(rlp), 3), np.uint8), _colours(self._n_ids)
        for _, id_, first, count in self.points.batches:
            part = slice(first, first + count)
            hexadecimal = _OF_NONE if id_ < 0 else names[id_]
            colours[part] = np.frombuffer(bytes.fromhex(hexadecimal[1:]), np.uint8)
            if experiment_ids and id_ not in experiment_ids:
                keep[part] = False
        return Shown(np.flatnonzero(keep), rlp[keep], colours[keep])

    def directions(
        self, *, crystal_frame: bool = False
    ) -> Iterator[tuple[str, Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]]:
        """Names of directions to look down, these, and what is upwards: of the first experiment, and cell edges a, b, c
        of the first crystal."""
        first = self.experiments[0]
        fixed, setting, axis = _rotations(first)
        crystal = next((e.crystal for e in self.experiments if e.crystal is not None), None)
        turn = np.eye(3)
        if crystal_frame and first.crystal is not None:
            turn = first.crystal.U.T
        scan_axis = turn @ fixed.T @ axis
        beam = turn @ fixed.T @ setting.T @ (first.beam.s0 * first.beam.wavelength)
        yield "rotation_axis", scan_axis, beam
        yield "beam_vector", -beam, scan_axis
        yield "e3", np.cross(scan_axis, beam), scan_axis
        if crystal is not None:
            real = crystal.real_space @ crystal.U if crystal_frame else crystal.real_space
            for k, name in enumerate("abc"):
                yield name, real[k], real[(k + 2) % 3]

    def _status(self) -> UInt8[np.ndarray, " n"]:
        rows, table = self.points.row, self.reflections
        status = np.zeros(len(rows), np.uint8)
        for bit, flag in ((_INDEXED, Flags.INDEXED), (_INTEGRATED, Flags.INTEGRATED)):
            status[table.has(flag)[rows]] |= bit
        status[(table.has(Flags.CENTROID_OUTLIER) | table.has(Flags.OUTLIER_IN_SCALING))[rows]] |= _OUTLIER
        return status

    def _points(self, _: Mapping[str, str]) -> Reply:
        p, table = self.points, self.reflections
        arrays: dict[str, Any] = {"position": p.position.astype(np.float32), "phi": p.phi.astype(np.float32)}
        arrays["status"] = self._status()
        counts = _pixels(table)
        if counts is not None:
            arrays["pixels"] = np.minimum(counts[p.row], _WHOLE).astype(np.uint16)
        if "partiality" in table:
            arrays["partiality"] = np.rint(np.clip(table["partiality"][p.row], 0, 1) * _WHOLE).astype(np.uint16)
        return arrays_reply(arrays, self._about(), compress=False)

    def _about(self) -> dict[str, Any]:
        crystals: dict[int, int] = {}
        models = [_model(e, crystals) for e in self.experiments]
        z = self.points.xyz[:, 2]
        return {
            "models": models,
            "batches": [
                {"model": m, "id": k, "first": first, "count": count} for m, k, first, count in self.points.batches
            ],
            "rows": self.reflections.n_rows,
            "furthest": self.furthest,
            "z": [float(np.floor(z.min())), float(np.ceil(z.max()))],
            "name": self.name,
            "colours": _colours(self._n_ids),
            "colour_of_none": _OF_NONE,
        }

    def _point(self, query: Mapping[str, str]) -> Reply:
        """What the table says of a point."""
        number = int(query["n"])
        if not 0 <= number < len(self.points.row):
            raise ParameterError(f"There is no point {number}.")
        row, xyz = int(self.points.row[number]), self.points.xyz[number]
        table = self.reflections
        indexed = "miller_index" in table and bool(table["miller_index"][row].any())
        found = {
            "row": row,
            "xyz": [round(float(v), 2) for v in xyz],
            "image": int(np.floor(xyz[2])) + 1,
            "panel": int(table["panel"][row]),
            "hkl": table["miller_index"][row].tolist() if indexed else None,
        }
        return json_reply(found)

    def _save(self, value: Any) -> Reply:
        moved = moved_experiments(
            self.experiments, int(value["panel"]), (float(value["x"]), float(value["y"])), bool(value["invert"])
        )
        return json_reply(save(self.folder, value["name"], ".expt", lambda path: write_experiments(moved, path)))


def _colours(n: int) -> list[str]:
    """Colours of `n` experiments; those beyond the first have hues that are spread by the golden ratio, so that
    neighbours differ."""
    further = (
        colorsys.hls_to_rgb(k * _GOLDEN % 1, (0.62, 0.75)[k % 2], (1.0, 0.7, 0.45)[k % 3])
        for k in range(max(n - len(_COLOURS), 0))
    )
    return [*_COLOURS, *("#" + "".join(f"{round(255 * v):02x}" for v in rgb) for rgb in further)]


def moved_experiments(experiments: Experiments, panel: int, shift: tuple[float, float], invert: bool) -> Experiments:
    """Experiments whose beam meets the detector `shift` (mm along fast and slow of a panel) from where it did, and
    whose scan axis points the other way if `invert`."""
    detectors: dict[int, Any] = {}
    goniometers: dict[int, Any] = {}
    items = []
    for experiment in experiments:
        detector, goniometer = experiment.detector, experiment.goniometer
        if not 0 <= panel < len(detector):
            raise ParameterError(f"There is no panel {panel}.")
        if id(detector) not in detectors:
            along = -shift[0] * detector[panel].fast - shift[1] * detector[panel].slow
            detectors[id(detector)] = detector.moved(np.eye(3), along)
        if goniometer is not None and id(goniometer) not in goniometers:
            axes = goniometer.axes.copy()
            axes[goniometer.scan_axis] *= -1 if invert else 1
            goniometers[id(goniometer)] = replace(goniometer, axes=axes) if invert else goniometer
        items.append(
            replace(
                experiment,
                detector=detectors[id(detector)],
                goniometer=None if goniometer is None else goniometers[id(goniometer)],
            )
        )
    return experiments.with_items(items)


def _placed(experiments: Experiments, table: ReflectionTable) -> _Points:
    """All spots, or of too many every second, third and so on."""
    if "xyzobs.px.value" not in table:
        raise MismatchError("The reflections have no observed centroids (xyzobs.px.value): there is nothing to show.")
    xyz = table["xyzobs.px.value"].astype(np.float64)
    if "xyzcal.px" in table:
        xyz = np.where((xyz == 0).all(axis=1)[:, None], table["xyzcal.px"], xyz)
    id_ = table["id"].astype(np.int64)
    models = _models_of(experiments, table, id_, xyz[:, 2])
    rows = np.flatnonzero(np.isfinite(xyz).all(axis=1) & (models >= 0))
    if not len(rows):
        raise MismatchError("No reflection belongs to an experiment of the file.")
    rows = rows[:: -(-len(rows) // MOST_POINTS)]
    rows = rows[np.lexsort((id_[rows], models[rows]))]
    xyz, panel = xyz[rows], table["panel"][rows].astype(np.int64)
    key = np.column_stack([models[rows], id_[rows]])
    starts = np.flatnonzero((np.diff(key, axis=0, prepend=key[:1] - 1) != 0).any(axis=1))
    position, phi = np.empty((len(rows), 3)), np.zeros(len(rows))
    batches = []
    for first, last in zip(starts, [*starts[1:], len(rows)], strict=True):
        number, own = int(key[first, 0]), slice(first, last)
        experiment = experiments[number]
        for k, p in enumerate(experiment.detector.panels):
            here = first + np.flatnonzero(panel[own] == k)
            mm = px_to_mm(np.ascontiguousarray(xyz[here, :2]), p)
            position[here] = p.origin + mm[:, :1] * p.fast + mm[:, 1:] * p.slow
        if experiment.scan is not None:
            phi[own] = experiment.scan.phi(xyz[own, 2])
        batches.append((number, int(key[first, 1]), int(first), int(last - first)))
    return _Points(rows, position, phi, xyz, batches)


def _models_of(
    experiments: Experiments, table: ReflectionTable, id_: Int64[np.ndarray, " n"], z: Float64[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """The experiment whose geometry counts for each spot: its own, or for spots without one the first of its images."""
    models = np.where((id_ >= 0) & (id_ < len(experiments)), id_, -1)
    if not (models < 0).any():
        return models
    sets = experiments.imageset_ids()
    of = table["imageset_id"] if "imageset_id" in table else np.zeros(len(id_))
    for number in reversed(range(len(experiments))):
        scan = experiments[number].scan
        first, last = (-np.inf, np.inf) if scan is None else scan.array_range
        models[(id_ < 0) & (of == sets[number]) & (z >= first) & (z <= last)] = number
    return models


def _pixels(table: ReflectionTable) -> Int64[np.ndarray, " n"] | None:
    """Pixels of each spot: strong ones, else those of its foreground; None if the table does not tell."""
    return next((table[name].astype(np.int64) for name in _COUNTS if name in table), None)


def _rotations(experiment: Experiment) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fixed rotation, setting rotation and scan axis; the x axis if nothing turns."""
    goniometer = experiment.goniometer
    if goniometer is None:
        return np.eye(3), np.eye(3), np.array([1.0, 0, 0])
    return goniometer.fixed_rotation, goniometer.setting_rotation, goniometer.axis


def _model(experiment: Experiment, crystals: dict[int, int]) -> dict[str, Any]:
    """The geometry of an experiment, for the page; matrices are row by row."""
    beam, goniometer, scan, crystal = experiment.beam, experiment.goniometer, experiment.scan, experiment.crystal
    fixed, setting, axis = _rotations(experiment)
    images = experiment.imageset
    panels = []
    for panel in experiment.detector.panels:
        mm, _ = ray_on_plane(beam.s0[None], panel)
        panels.append({"fast": panel.fast.tolist(), "slow": panel.slow.tolist(), "beam": np.nan_to_num(mm[0]).tolist()})
    return {
        "name": "" if images is None else (images.template or ", ".join(images.images[:1])),
        "s0": beam.s0.tolist(),
        "wavelength": beam.wavelength,
        "fixed": fixed.ravel().tolist(),
        "setting": setting.ravel().tolist(),
        "axis": axis.tolist(),
        "rotates": goniometer is not None and scan is not None and not scan.is_still,
        "scan": None if scan is None else [*scan.array_range, *np.radians(scan.oscillation).tolist()],
        "panels": panels,
        "A": None if crystal is None else crystal.A.ravel().tolist(),
        "U": None if crystal is None else crystal.U.ravel().tolist(),
        "cell": None if crystal is None else [round(v, 3) for v in crystal.unit_cell.parameters],
        "crystal": -1 if crystal is None else crystals.setdefault(id(crystal), len(crystals)),
    }
