"""Spots in reciprocal space."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.errors import MismatchError, NoSpotsError, ParameterError
from puredials.geometry import entering, px_to_s1, s1_to_rlp
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.prediction import observed_mm

__all__ = ["Spots", "map_spots", "one_per_set", "set_numbers", "strong_spots", "with_observations"]


@dataclass(frozen=True, eq=False)
class Spots:
    """Spots as points of reciprocal space, by the present geometry.

    Attributes:
        rlp: (n, 3) at the goniometer's datum, 1/Angstrom; d_star: their lengths.
        s1: (n, 3) diffracted wave vectors; entering: sense of the crossing of the Ewald sphere.
        imageset: number of the image set; phi: rotation angle, rad.
    """

    rlp: Float64[np.ndarray, "n 3"]
    d_star: Float64[np.ndarray, " n"]
    s1: Float64[np.ndarray, "n 3"]
    entering: Bool[np.ndarray, " n"]
    imageset: Int64[np.ndarray, " n"]
    phi: Float64[np.ndarray, " n"]

    def select(self, which: np.ndarray) -> "Spots":
        """The spots of a boolean mask or of indices."""
        return Spots(
            self.rlp[which],
            self.d_star[which],
            self.s1[which],
            self.entering[which],
            self.imageset[which],
            self.phi[which],
        )


def set_numbers(experiments: Experiments) -> tuple[int, ...]:
    """For each experiment the number of its images, in order of first appearance: a sweep, or a still of many."""
    seen: dict[tuple[object, ...], int] = {}
    keys = [
        (number, e.scan and e.scan.image_range)
        for number, e in zip(experiments.imageset_ids(), experiments, strict=True)
    ]
    return tuple(seen.setdefault(key, len(seen)) for key in keys)


def one_per_set(experiments: Experiments) -> Experiments:
    """The first experiment of each set of images."""
    first: dict[int, int] = {}
    for i, number in enumerate(set_numbers(experiments)):
        first.setdefault(number, i)
    return experiments.with_items(experiments[i] for i in first.values())


def strong_spots(
    experiments: Experiments, table: ReflectionTable, image_range: tuple[int, int] | None = None
) -> ReflectionTable:
    """The strong spots, none with an ``id``; ``imageset_id`` has the number of their set of images (`set_numbers`).

    `image_range` (j0, j1) keeps spots with centroids on the images j0 to j1, numbered as in the scan: the image j spans
    j - 1 <= z < j.
    """
    if table.n_rows == 0:
        raise NoSpotsError("There are no spots to index: the reflection file is empty.")
    if "xyzobs.px.value" not in table:
        raise MismatchError("The reflections have no observed centroids (xyzobs.px.value): give strong.refl.")
    keep = table.has(Flags.STRONG)
    if not keep.any():
        keep[:] = True  # tables of other origin
    keep &= np.isfinite(table["xyzobs.px.value"]).all(axis=1)  # as damaged or foreign tables may hold
    if image_range is not None:
        first, last = image_range
        if last < first:
            raise ParameterError(f"image_range={first},{last} holds no images: give the first and the last one.")
        z = table["xyzobs.px.value"][:, 2]
        keep &= (z >= first - 1) & (z < last)
    columns = {
        "imageset_id": _sets_of_spots(experiments, table),
        "id": np.full(table.n_rows, -1, dtype=np.int32),
        "miller_index": np.zeros((table.n_rows, 3), dtype=np.int32),
        "flags": table["flags"] & ~np.uint64(Flags.INDEXED | Flags.USED_IN_REFINEMENT | Flags.CENTROID_OUTLIER),
    }
    spots = table.with_columns(columns)
    spots = spots if keep.all() else spots.select(keep)
    if spots.n_rows == 0:
        if image_range is None:
            raise NoSpotsError("No spot has a position: find spots again.")
        first, last = image_range
        raise NoSpotsError(f"There are no strong spots in the images {first} to {last}; choose another image_range.")
    return spots


def _sets_of_spots(experiments: Experiments, table: ReflectionTable) -> np.ndarray:
    """The set of images of each spot: that of its experiment, or for spots without one by image set and image."""
    ids = table["id"]
    numbers = np.array(set_numbers(experiments), dtype=np.int32)
    if ids.max(initial=0) >= len(experiments) or (ids.min(initial=0) < 0 and "imageset_id" not in table):
        raise MismatchError("The spots belong to experiments that the experiment file does not have.")
    found = np.where(ids >= 0, numbers[ids], -1).astype(np.int32)
    z = table["xyzobs.px.value"][:, 2]
    for number, imageset, e in zip(numbers, experiments.imageset_ids(), experiments, strict=True):
        first, last = (-np.inf, np.inf) if e.scan is None else e.scan.array_range
        homeless = found < 0
        if homeless.any():
            found[homeless & (table["imageset_id"] == imageset) & (z >= first) & (z <= last)] = number
    if (found < 0).any():
        raise MismatchError("Some spots belong to no image set of the experiment file.")
    return found


def map_spots(experiments: Experiments, table: ReflectionTable) -> Spots:
    """Each spot by the geometry of its image set (`experiments` has one for each)."""
    n = table.n_rows
    xyz, panel, imageset = table["xyzobs.px.value"], table["panel"].astype(np.int64), table["imageset_id"]
    rlp, s1, phi = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros(n)
    enters = np.zeros(n, dtype=bool)
    for number, experiment in enumerate(experiments):
        here = np.flatnonzero(imageset == number)
        beam, goniometer, scan = experiment.beam, experiment.goniometer, experiment.scan
        s1[here] = px_to_s1(np.ascontiguousarray(xyz[here, :2]), panel[here], experiment.detector, beam)
        if scan is not None:
            phi[here] = scan.phi(xyz[here, 2])
        rlp[here] = s1_to_rlp(s1[here], phi[here], beam, goniometer)
        if goniometer is not None:
            enters[here] = entering(s1[here], beam.s0, goniometer.rotation_axis)
    return Spots(rlp, np.linalg.norm(rlp, axis=1), s1, enters, imageset.astype(np.int64), phi)


def with_observations(experiments: Experiments, table: ReflectionTable, spots: Spots) -> ReflectionTable:
    """The table with what follows from the positions alone: centroids in mm, s1, rlp and the sense of the crossing."""
    mm, variance = np.zeros((table.n_rows, 3)), np.zeros((table.n_rows, 3))
    panel = table["panel"].astype(np.int64)
    for number, experiment in enumerate(experiments):
        here = spots.imageset == number
        px, px_variance = table["xyzobs.px.value"][here], table["xyzobs.px.variance"][here]
        mm[here], variance[here] = observed_mm(experiment, px, px_variance, panel[here])
    zeros = np.zeros((table.n_rows, 3))
    return table.with_columns(
        {
            "xyzobs.mm.value": mm,
            "xyzobs.mm.variance": variance,
            "xyzcal.mm": zeros,
            "xyzcal.px": zeros.copy(),
            "s1": spots.s1,
            "rlp": spots.rlp,
            "entering": spots.entering,
        }
    )
