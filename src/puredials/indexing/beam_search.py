"""The beam centre, from the periods of the spots.

After Sauter, Grosse-Kunstleve & Adams (2004), J. Appl. Cryst. 37, 399.

An error of the beam centre moves all points of reciprocal space by one vector in the laboratory. Its part along the
rotation axis is the same vector for the crystal: the lattice stays sharp, but its nodes miss the origin. The part at
right angles turns with the crystal and blurs the lattice. So the detector is moved, step by step, across the axis, and
for each trial the strength of the periods, whatever their phases, is measured in a Fourier transform of the inner
spots. The most periodic trials are indexed; which node is the origin is settled in refinement (`origin`), along the
axis as far as the search goes. The refined geometry that explains the spots best says where the beam is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from puredials.errors import NoLatticeError
from puredials.execute import SERIAL, Executor
from puredials.geometry import ray_on_plane
from puredials.indexing.beam_params import BeamSearchParams
from puredials.indexing.known_symmetry import known_symmetry
from puredials.indexing.max_cell import estimate_max_cell
from puredials.indexing.params import IndexingParams, IndexParams
from puredials.indexing.reciprocal import Spots, map_spots, one_per_set, strong_spots
from puredials.indexing.trials import MAX_CELL, Trial, periodicity, trial_lattice
from puredials.model import Detector, Experiment, Experiments, ReflectionTable

__all__ = ["BeamSearchResult", "Shift", "beam_centre", "search_beam_position"]

DEFAULTS = BeamSearchParams()
# Of a period, in which the detector is moved from trial to trial: the phases of half a turn then differ by 1/4 or less.
STEP = 0.3
MAX_STEPS = 40  # to either side
LATTICE_SPOTS = 12000
# A trial that explains this share of the spots has no rival.
CONVINCING_SHARE = 0.97
FEW_SPOTS = 200  # of fewer it is no wonder that they show no lattice
CANDIDATES = 3  # trials, the most periodic ones, that are indexed and refined


@dataclass(frozen=True, eq=False)
class Shift:
    """Where the beam meets a panel (its number), in px (fast, slow), before and after; the difference in px and mm.

    `experiments` are the numbers of those with this detector; `share` of the spots fit the lattice after the shift.
    """

    experiments: tuple[int, ...]
    panel: int
    old: tuple[float, float]
    new: tuple[float, float]
    px: tuple[float, float]
    mm: tuple[float, float]
    share: float


@dataclass(frozen=True, eq=False)
class BeamSearchResult:
    """Experiments with moved detectors, and the shift of each detector."""

    experiments: Experiments
    shifts: tuple[Shift, ...]

    @property
    def tables(self) -> str:
        """Old and new beam centres and the shifts, in words."""
        lines = []
        for s in self.shifts:
            lines += [
                f"Detector of experiment{'s' if len(s.experiments) > 1 else ''} {', '.join(map(str, s.experiments))}: "
                f"{100 * s.share:.0f} % of the spots fit a lattice",
                f"Old beam centre, panel {s.panel} (fast, slow): {s.old[0]:.2f}, {s.old[1]:.2f} px",
                f"New beam centre, panel {s.panel} (fast, slow): {s.new[0]:.2f}, {s.new[1]:.2f} px",
                f"Shift: {s.mm[0]:.3f}, {s.mm[1]:.3f} mm ({s.px[0]:.2f}, {s.px[1]:.2f} px)",
            ]
        return "\n".join(lines)


def search_beam_position(
    experiments: Experiments,
    reflections: ReflectionTable,
    *,
    params: BeamSearchParams = DEFAULTS,
    clearer: float = 0.0,
    executor: Executor = SERIAL,
    progress: Callable[[int, int], None] | None = None,
) -> BeamSearchResult:
    """Find where the beam meets each detector; each is moved in its plane by what was found.

    Raises NoLatticeError if no trial shows a lattice, or none makes the spots `clearer` times as periodic as they are.
    """
    geometry = one_per_set(experiments)
    spots = strong_spots(experiments, reflections.without(["shoebox"]), params.image_range)
    counts = np.bincount(spots["imageset_id"], minlength=len(geometry))
    detectors = list({id(e.detector): e.detector for e in experiments}.values())
    moved: dict[int, Detector] = {}
    shifts = []
    for done, detector in enumerate(detectors):
        # Sweeps may be of several crystals: the one with the most spots speaks for the detector that they share.
        number = max((n for n, e in enumerate(geometry) if e.detector is detector), key=lambda n: counts[n])
        own = spots.select(np.flatnonzero(spots["imageset_id"] == number))
        own = own.with_columns({"imageset_id": np.zeros(own.n_rows, dtype=np.int32)})
        experiment = replace(geometry[number], crystal=None)
        refined, share = _search(experiments.with_items([experiment]), own, params, clearer, executor.workers)
        panel = _beam_panel(experiment)
        old, new = beam_centre(experiment, panel), beam_centre(refined, panel)
        p = detector[panel]
        mm = (new - old) * p.pixel_size
        moved[id(detector)] = detector.moved(np.eye(3), -mm[0] * p.fast - mm[1] * p.slow)
        users = tuple(i for i, e in enumerate(experiments) if e.detector is detector)
        shifts.append(Shift(users, panel, _pair(old), _pair(new), _pair(new - old), _pair(mm), share))
        if progress:
            progress(done + 1, len(detectors))
    items = (replace(e, detector=moved[id(e.detector)]) for e in experiments)
    return BeamSearchResult(experiments.with_items(items), tuple(shifts))


def beam_centre(experiment: Experiment, panel: int = 0) -> Float64[np.ndarray, "2"]:
    """Where the beam meets the plane of a panel, px (fast, slow)."""
    p = experiment.detector[panel]
    return ray_on_plane(experiment.beam.s0[None], p)[0][0] / p.pixel_size


def _pair(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _beam_panel(experiment: Experiment) -> int:
    """The panel that the beam meets, or passes by the nearest."""
    misses = []
    for number, panel in enumerate(experiment.detector.panels):
        size = np.array(panel.image_size)
        misses.append(np.abs(beam_centre(experiment, number) / size - 0.5).max())
    return int(np.argmin(misses))


def _search(
    start: Experiments, table: ReflectionTable, params: BeamSearchParams, clearer: float, workers: int
) -> tuple[Experiment, float]:
    """The experiment with the refined geometry that explains its spots best, and the share explained."""
    experiment = start[0]
    if experiment.is_still or experiment.goniometer is None:
        raise NoLatticeError("The search for the beam centre needs a rotation: these are stills.")
    table = table.select(np.arange(0, table.n_rows, max(table.n_rows // LATTICE_SPOTS, 1)))
    across = np.cross(experiment.goniometer.rotation_axis, experiment.beam.s0)
    normal = experiment.detector[0].normal
    across = across - (across @ normal) * normal
    across /= np.linalg.norm(across)
    trials = [start.with_items([_moved(experiment, across * t)]) for t in _offsets(start, table, params)]
    own = params.default
    strength = np.array(
        [periodicity(t, table, max_cell=own.max_cell, d_min=own.d_min, workers=workers) for t in trials]
    )
    if strength.max() < clearer * strength[len(trials) // 2]:
        raise NoLatticeError("No other beam centre makes the spots clearly more periodic.")
    indexing = IndexParams(indexing=IndexingParams(max_cell=own.max_cell))
    known = known_symmetry(indexing.indexing.known_symmetry)
    best: Trial | None = None
    for k in _peaks(strength)[:CANDIDATES]:
        found = trial_lattice(trials[k], table, known=known, params=indexing, workers=workers)
        if found is not None and (best is None or found.bits > best.bits):
            best = found
        if best is not None and best.share > CONVINCING_SHARE:
            break
    if best is None:
        if table.n_rows < FEW_SPOTS:
            raise NoLatticeError(
                f"There are only {table.n_rows} spots of a sweep: too few for the search, though dials.index may find "
                "their lattice, from all sweeps together; use more images, or weaker spots (a lower "
                "threshold.dispersion.sigma_strong of dials.find_spots)."
            )
        raise NoLatticeError(
            f"No beam centre within {params.default.mm_search_scope:g} mm of the present one shows a lattice; check "
            "the rotation axis, distance and wavelength, or widen mm_search_scope."
        )
    return best.model.experiments[0], best.share


def _moved(experiment: Experiment, shift: np.ndarray) -> Experiment:
    return replace(experiment, detector=experiment.detector.moved(np.eye(3), shift))


def _longest(spots: Spots, params: BeamSearchParams) -> float:
    return params.default.max_cell or estimate_max_cell(spots, MAX_CELL)


def _offsets(start: Experiments, table: ReflectionTable, params: BeamSearchParams) -> np.ndarray:
    """Trial shifts (mm) across the axis."""
    e = start[0]
    # The longest edge that counts is that of the lattice, without the margin of its estimate.
    edge = _longest(map_spots(start, table), params) / MAX_CELL.multiplier
    scope = params.default.mm_search_scope
    step = max(STEP * abs(e.detector[0].distance) * e.beam.wavelength / edge, scope / MAX_STEPS)
    n = int(np.ceil(scope / step))
    return np.linspace(-scope, scope, 2 * n + 1)


def _peaks(strength: np.ndarray) -> np.ndarray:
    """Numbers of the trials that are as good as their neighbours, the strongest first."""
    padded = np.concatenate([[-np.inf], strength, [-np.inf]])
    top = np.flatnonzero((strength > 0) & (strength >= padded[:-2]) & (strength >= padded[2:]))
    return top[np.argsort(-strength[top], kind="stable")]
