"""Which reflections are refined against: sound centroids, well-placed, a sample of them if they are very many."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.errors import MismatchError, TooFewReflectionsError
from puredials.execute import SERIAL, Executor
from puredials.geometry import entering, mm_to_px, px_to_s1
from puredials.model import Experiment, Experiments, Flags, ReflectionTable
from puredials.prediction import Predicted, observed_mm, predict_indexed
from puredials.refinement.outliers import find_outliers
from puredials.refinement.params import ReflectionParams
from puredials.refinement.problem import Observations

__all__ = ["Matches", "choose", "match", "predict_table", "with_pixels"]

FULL_TURN = 360.0
REFLECTIONS_PER_DEGREE = 100.0  # kept at least when a scan of several turns is thinned out


@dataclass(frozen=True, eq=False)
class Matches:
    """Indexed reflections beside their predictions by the current models.

    Attributes:
        rows: (n,) in the table; `observations` of them.
        residuals: (n, 3) calculated - observed: mm, mm, rad (delpsi for stills).
        angle: (n,) observed rotation angle, degrees.
        suitable: (n,) False for those that must not be refined against.
    """

    rows: Int64[np.ndarray, " n"]
    observations: Observations
    residuals: Float64[np.ndarray, "n 3"]
    angle: Float64[np.ndarray, " n"]
    suitable: Bool[np.ndarray, " n"]


def predict_table(experiments: Experiments, table: ReflectionTable, rows: Int64[np.ndarray, " n"]) -> Predicted:
    """Predictions of indexed reflections, each by its own experiment, in the order of `rows`.

    Which of its two crossings of the Ewald sphere a reflection is, the observed position says: the rays of the two are
    mirror images, so this is safer than the nearest angle or a column that may be stale. A scan-varying crystal is
    taken as it was when the spot was recorded.
    """
    id = table["id"][rows]
    parts: list[tuple[np.ndarray, Predicted]] = []
    for i, experiment in enumerate(experiments):
        here = np.flatnonzero(id == i)
        own = rows[here]
        observed, panel = table["xyzobs.px.value"][own], table["panel"][own].astype(np.int64)
        enters = None
        if experiment.goniometer is not None:
            s1 = px_to_s1(np.ascontiguousarray(observed[:, :2]), panel, experiment.detector, experiment.beam)
            enters = entering(s1, experiment.beam.s0, experiment.goniometer.rotation_axis)
        parts.append(
            (
                here,
                predict_indexed(
                    experiment,
                    table["miller_index"][own],
                    entering=enters,
                    z_guess=observed[:, 2],
                    panel=panel,
                    crystal_at_guess=True,
                ),
            )
        )
    order = np.argsort(np.concatenate([here for here, _ in parts]), kind="stable")
    names = ("s1", "panel", "xyz_mm", "xyz_px", "entering", "delpsi", "valid")
    return Predicted(**{name: np.concatenate([getattr(p, name) for _, p in parts])[order] for name in names})


def match(experiments: Experiments, table: ReflectionTable, params: ReflectionParams) -> Matches:
    """All indexed reflections, their residuals under the current models, and whether they suit."""
    # By its index rather than its flag: files of other origin have all flags unset.
    indexed = (table["id"] >= 0) & (table["id"] < len(experiments)) & (table["miller_index"] != 0).any(axis=1)
    rows = np.flatnonzero(indexed)
    if len(rows) == 0:
        raise TooFewReflectionsError("No reflection is indexed: run dials.index before refinement.")
    predicted = predict_table(experiments, table, rows)
    id, panel = table["id"][rows].astype(np.int64), table["panel"][rows].astype(np.int64)
    z = np.ascontiguousarray(table["xyzobs.px.value"][rows, 2])
    mm, variance = np.empty((len(rows), 3)), np.empty((len(rows), 3))
    still = np.array([e.is_still for e in experiments])[id]
    suitable = predicted.valid.copy()
    for i, experiment in enumerate(experiments):
        own = np.flatnonzero(id == i)
        px, px_variance = table["xyzobs.px.value"][rows[own]], table["xyzobs.px.variance"][rows[own]]
        mm[own], variance[own] = observed_mm(experiment, px, px_variance, panel[own])
        scan, goniometer = experiment.scan, experiment.goniometer
        if experiment.is_still or scan is None or goniometer is None:
            continue
        volume = predicted.s1[own] @ np.cross(experiment.beam.s0, goniometer.rotation_axis)
        suitable[own] &= np.abs(volume) >= params.close_to_spindle_cutoff
        margin = params.scan_margin / abs(scan.oscillation[1])
        first, last = scan.array_range
        if last - first > 1:
            first, last = first + 0.5 + margin, last - 0.5 - margin
        suitable[own] &= (z[own] >= first) & (z[own] <= last)
    weight = _weights(variance, still, params)
    suitable &= ~table.has(Flags.OVERLOADED)[rows]
    suitable &= np.isfinite(weight).all(axis=1) & (weight > 0).all(axis=1)
    residuals = predicted.xyz_mm - mm
    residuals[still, 2] = predicted.delpsi[still]
    observations = Observations(
        id=id,
        h=table["miller_index"][rows].astype(np.float64),
        panel=panel,
        entering=predicted.entering,
        z=z,
        xyz_mm=mm,
        weight=weight,
    )
    return Matches(rows, observations, residuals, np.degrees(mm[:, 2]), suitable)


def with_pixels(experiments: Experiments, table: ReflectionTable) -> ReflectionTable:
    """The table with observed centroids in px, derived from those in mm by the given models where they are missing."""
    if "xyzobs.px.value" in table and "xyzobs.px.variance" in table:
        return table
    if "xyzobs.mm.value" not in table or "xyzobs.mm.variance" not in table:
        raise MismatchError("The reflections have no observed centroids (xyzobs): give indexed reflections.")
    mm, variance_mm = table["xyzobs.mm.value"], table["xyzobs.mm.variance"]
    px, variance = np.zeros_like(mm), np.zeros_like(mm)
    for i, experiment in enumerate(experiments):
        scan = experiment.scan
        for number, panel in enumerate(experiment.detector.panels):
            own = (table["id"] == i) & (table["panel"] == number)
            px[own, :2] = mm_to_px(mm[own, :2], panel)
            variance[own, :2] = variance_mm[own, :2] / np.array(panel.pixel_size) ** 2
        own = table["id"] == i
        px[own, 2] = 0.5 if scan is None else sum(scan.array_range) / 2 if scan.is_still else scan.z(mm[own, 2])
        width = 1.0 if scan is None or scan.is_still else np.radians(scan.oscillation[1])
        variance[own, 2] = variance_mm[own, 2] / width**2
    return table.with_columns({"xyzobs.px.value": px, "xyzobs.px.variance": variance})


def _weights(
    variance: Float64[np.ndarray, "n 3"], still: Bool[np.ndarray, " n"], params: ReflectionParams
) -> Float64[np.ndarray, "n 3"]:
    strategy = params.weighting_strategy
    if strategy.override == "constant":
        return np.tile(np.array(strategy.constants), (len(variance), 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = 1 / variance
    weight[still, 2] = strategy.delpsi_constant
    return weight


def choose(
    matches: Matches, experiments: Experiments, params: ReflectionParams, executor: Executor = SERIAL
) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """(sample, outliers): the suitable reflections that are looked at, and the outliers among them."""
    sample = matches.suitable.copy()
    order = np.lexsort((*matches.residuals.T, matches.observations.z, matches.observations.id))
    rng = np.random.default_rng(params.random_seed)
    for i, experiment in enumerate(experiments):
        own = order[(matches.observations.id[order] == i) & matches.suitable[order]]
        wanted = _sample_size(len(own), experiment, params)
        if wanted < len(own):
            sample[own] = False
            sample[rng.choice(own, wanted, replace=False)] = True
    if params.maximum_sample_size is not None and sample.sum() > params.maximum_sample_size:
        kept = rng.choice(order[sample[order]], params.maximum_sample_size, replace=False)
        sample[:] = False
        sample[kept] = True
    outliers = np.zeros(len(sample), dtype=bool)
    o = matches.observations
    outliers[sample] = find_outliers(
        matches.residuals[sample], o.id[sample], o.panel[sample], matches.angle[sample],
        params=params.outlier, executor=executor,
    )  # fmt: skip
    return sample, outliers


def _sample_size(n: int, experiment: Experiment, params: ReflectionParams) -> int:
    """How many of an experiment's `n` suitable reflections to use."""
    if experiment.is_still or experiment.scan is None:
        return n
    degrees = len(experiment.scan) * abs(experiment.scan.oscillation[1])
    if params.reflections_per_degree is not None:
        wanted = params.reflections_per_degree * degrees
    elif degrees > FULL_TURN:
        wanted = max(n * FULL_TURN / degrees, REFLECTIONS_PER_DEGREE * degrees)
    else:
        return n
    return min(n, max(round(wanted), params.minimum_sample_size))
