"""Why so little is indexed: other geometries that files get wrong are tried, and the evidence for each is given."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from puredials.errors import PuredialsError
from puredials.indexing.known_symmetry import Known
from puredials.indexing.lattices import Model
from puredials.indexing.max_cell import estimate_max_cell
from puredials.indexing.params import IndexParams
from puredials.indexing.reciprocal import map_spots, with_observations
from puredials.indexing.search import find_lattice
from puredials.model import Detector, Experiment, Experiments, Panel, ReflectionTable

__all__ = ["POOR", "advice"]

# Diagnosis is worth its time when less than this share of the spots is indexed.
POOR = 0.5
# Another geometry is spoken of if it indexes this much more of the spots.
CLEARLY_BETTER = 0.2


def advice(
    experiments: Experiments, table: ReflectionTable, share: float, known: Known, params: IndexParams, workers: int
) -> tuple[str, ...]:
    """Sentences about geometries (of image sets indexed together) that explain more spots than `share`."""
    found = []
    for what, remedy, changed in _alternatives(experiments):
        model = Model(changed.with_items(replace(e, crystal=None) for e in changed), ())
        spots = map_spots(changed, table)
        view = with_observations(changed, table.without(["shoebox"]), spots)
        everything = np.ones(table.n_rows, dtype=bool)
        try:
            max_cell = params.indexing.max_cell or estimate_max_cell(spots, params.indexing.max_cell_estimation)
            best = find_lattice(model, spots, view, everything, max_cell, known, params, workers).candidates[0]
        except PuredialsError:
            continue
        if best.share_indexed > share + CLEARLY_BETTER:
            found.append((best.share_indexed, what, remedy))
    found.sort(reverse=True)
    return tuple(
        f"With {what} {100 * better:.0f} % of the spots are indexed: import again with {remedy}."
        for better, what, remedy in found
    )


def _alternatives(experiments: Experiments) -> Iterator[tuple[str, str, Experiments]]:
    """What is different, how to bring it about, and the experiments."""
    if all(not e.is_still for e in experiments):
        yield (
            "the rotation axis inverted",
            "geometry.goniometer.invert_rotation_axis=True",
            experiments.with_items(_inverted_axis(e) for e in experiments),
        )
    if all(len(e.detector) == 1 for e in experiments):
        swapped = _with_panels(experiments, _swapped_centre)
        x, y = _centre(swapped[0].detector[0], swapped[0])
        yield (
            "the coordinates of the beam centre exchanged",
            f"geometry.detector.fast_slow_beam_centre={x:.1f},{y:.1f}",
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


def _centre(panel: Panel, e: Experiment) -> tuple[float, float]:
    """Where the beam meets the panel's plane, px."""
    s0 = e.beam.s0
    at = panel.distance / (s0 @ panel.normal) * s0 - panel.origin
    return float(at @ panel.fast) / panel.pixel_size[0], float(at @ panel.slow) / panel.pixel_size[1]


def _swapped_centre(panel: Panel, e: Experiment) -> Panel:
    x, y = _centre(panel, e)
    shift = (x - y) * panel.pixel_size[0] * panel.fast + (y - x) * panel.pixel_size[1] * panel.slow
    return replace(panel, origin=panel.origin + shift)
