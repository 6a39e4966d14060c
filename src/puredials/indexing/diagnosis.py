"""Why so little is indexed: other geometries that files get wrong are tried, and the evidence for each is given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from puredials.errors import PuredialsError
from puredials.execute import SERIAL, Threads
from puredials.indexing.beam_search import beam_centre, search_beam_position
from puredials.indexing.known_symmetry import Known
from puredials.indexing.lattices import Model
from puredials.indexing.max_cell import estimate_max_cell
from puredials.indexing.params import IndexParams
from puredials.indexing.reciprocal import map_spots, with_observations
from puredials.indexing.search import find_lattice
from puredials.model import Detector, Experiment, Experiments, Panel, ReflectionTable

__all__ = ["POOR", "Diagnosis", "advice", "diagnose"]

# Diagnosis is worth its time when less than this share of the spots is indexed.
POOR = 0.5
# Another geometry is spoken of if it indexes this much more of the spots.
CLEARLY_BETTER = 0.2
INVERTED = "the rotation axis inverted"
# A beam centre found this near (px) to the exchanged one was exchanged.
EXCHANGED_WITHIN = 5.0


@dataclass(frozen=True)
class Diagnosis:
    """A likely cause, the share of the spots that index without it, and how to mend it.

    `command` is what to type next; `parameters` are the words (name, value) of the geometry to change, if it takes any.
    """

    cause: str
    share: float
    command: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def sentence(self) -> str:
        return f"With {self.cause} {100 * self.share:.0f} % of the spots are indexed: {self.command}."


def advice(
    experiments: Experiments, table: ReflectionTable, share: float, known: Known, params: IndexParams, workers: int
) -> tuple[str, ...]:
    """Sentences about geometries (of image sets indexed together) that explain more spots than `share`."""
    return tuple(d.sentence for d in diagnose(experiments, table, share, known, params, workers))


def diagnose(
    experiments: Experiments, table: ReflectionTable, share: float, known: Known, params: IndexParams, workers: int
) -> tuple[Diagnosis, ...]:
    """Geometries (of image sets indexed together) that explain clearly more spots than `share`, the best first."""
    found = []
    for what, (name, value), changed in _alternatives(experiments):
        better = _share(changed, table, known, params, workers)
        if better > share + CLEARLY_BETTER:
            found.append(Diagnosis(what, better, f"import again with {name}={value}", ((name, value),)))
    if all(not e.is_still for e in experiments) and not any(d.cause == INVERTED for d in found):
        moved = _beam_centre(experiments, table, share, known, params, workers)
        # Indexing forgives some error of the beam centre: an exchange that only comes nearer to it is not the cause.
        found = moved or found
    return tuple(sorted(found, key=lambda d: -d.share))


def _beam_centre(
    experiments: Experiments, table: ReflectionTable, share: float, known: Known, params: IndexParams, workers: int
) -> list[Diagnosis]:
    """Whether another beam centre explains clearly more spots."""
    own = table.with_columns({"id": table["imageset_id"].astype(np.int32)})  # there is one experiment to an image set
    try:
        result = search_beam_position(experiments, own, executor=Threads(workers) if workers > 1 else SERIAL)
    except PuredialsError:
        return []
    better = _share(result.experiments, table, known, params, workers)
    if better <= share + CLEARLY_BETTER:
        return []
    shift = max(result.shifts, key=lambda s: float(np.hypot(*s.px)))
    if np.abs(np.array(shift.new) - shift.old[::-1]).max() < EXCHANGED_WITHIN:
        return []
    off = float(np.hypot(*shift.px))
    command = "type dials.search_beam_position imported.expt strong.refl, and index optimised.expt"
    return [Diagnosis(f"the beam centre moved by {off:.1f} px", better, command)]


def _share(changed: Experiments, table: ReflectionTable, known: Known, params: IndexParams, workers: int) -> float:
    """The share of the spots that the best lattice indexes, 0 if there is none."""
    model = Model(changed.with_items(replace(e, crystal=None) for e in changed), ())
    spots = map_spots(changed, table)
    view = with_observations(changed, table.without(["shoebox"]), spots)
    everything = np.ones(table.n_rows, dtype=bool)
    try:
        max_cell = params.indexing.max_cell or estimate_max_cell(spots, params.indexing.max_cell_estimation)
        return (
            find_lattice(model, spots, view, everything, max_cell, known, params, workers).candidates[0].share_indexed
        )
    except PuredialsError:
        return 0.0


def _alternatives(experiments: Experiments) -> Iterator[tuple[str, tuple[str, str], Experiments]]:
    """What is different, how to bring it about, and the experiments."""
    if all(not e.is_still for e in experiments):
        yield (
            INVERTED,
            ("geometry.goniometer.invert_rotation_axis", "True"),
            experiments.with_items(_inverted_axis(e) for e in experiments),
        )
    if all(len(e.detector) == 1 for e in experiments):
        swapped = _with_panels(experiments, _swapped_centre)
        x, y = beam_centre(swapped[0])
        yield (
            "the coordinates of the beam centre exchanged",
            ("geometry.detector.fast_slow_beam_centre", f"{x:.1f},{y:.1f}"),
            swapped,
        )


def _inverted_axis(e: Experiment) -> Experiment:
    assert e.goniometer is not None
    axes = e.goniometer.axes.copy()
    axes[e.goniometer.scan_axis] *= -1
    return replace(e, goniometer=replace(e.goniometer, axes=axes))


def _with_panels(experiments: Experiments, change: Callable[[Panel, Experiment], Panel]) -> Experiments:
    """The experiments with changed panels; detectors that are shared stay shared."""
    done: dict[int, Detector] = {}
    items = []
    for e in experiments:
        if id(e.detector) not in done:
            done[id(e.detector)] = replace(e.detector, panels=tuple(change(p, e) for p in e.detector.panels))
        items.append(replace(e, detector=done[id(e.detector)]))
    return experiments.with_items(items)


def _swapped_centre(panel: Panel, e: Experiment) -> Panel:
    x, y = beam_centre(e)
    shift = (x - y) * panel.pixel_size[0] * panel.fast + (y - x) * panel.pixel_size[1] * panel.slow
    return replace(panel, origin=panel.origin + shift)
