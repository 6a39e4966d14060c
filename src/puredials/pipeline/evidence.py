"""What is measured of data for the decisions between the programs."""

from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float64

from puredials.indexing.lattices import OTHER_LATTICE, misorientation
from puredials.merging import find_equivalents
from puredials.merging.observations import image_numbers
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.statistics import Correlation, equal_volume_shells, shell_numbers

__all__ = ["LatticeAgreement", "lattice_agreement", "lattices_on_the_same_images", "rejected_shares", "turns"]

_SHELLS = 10


@dataclass(frozen=True, eq=False)
class LatticeAgreement:
    """Of the lattices of one set of images.

    Attributes:
        strength: mean I/σ of each.
        correlation: of each with the strongest over their common reflections, mean over shells of resolution.
    """

    strength: Float64[np.ndarray, " n"]
    correlation: Float64[np.ndarray, " n"]


def lattices_on_the_same_images(experiments: Experiments) -> list[list[int]]:
    """Experiments that share their images, for each set of images with several."""
    sets: dict[object, list[int]] = {}
    for number, (experiment, images) in enumerate(zip(experiments, experiments.imageset_ids(), strict=True)):
        if experiment.imageset is not None:
            sets.setdefault((images, experiment.scan and experiment.scan.image_range), []).append(number)
    return [members for members in sets.values() if len(members) > 1]


def lattice_agreement(
    table: ReflectionTable, lattices: list[int], cell: gemmi.UnitCell, symmetry: gemmi.GroupOps
) -> LatticeAgreement:
    """How well the integrated intensities of lattices in one setting agree."""
    profile = Flags.INTEGRATED_PRF if table.has(Flags.INTEGRATED_PRF).any() else Flags.INTEGRATED_SUM
    name = "intensity.prf" if profile == Flags.INTEGRATED_PRF else "intensity.sum"
    good = table.has(profile) & (table[f"{name}.variance"] > 0) & np.isin(table["id"], lattices)
    if "partiality" in table:
        good &= table["partiality"] > 0.99
    rows = np.flatnonzero(good)
    lorentz = table["lp"][rows] if "lp" in table else 1.0
    value, sigma = table[f"{name}.value"][rows] * lorentz, np.sqrt(table[f"{name}.variance"][rows]) * lorentz
    equivalents = find_equivalents(np.ascontiguousarray(table["miller_index"][rows], dtype=np.int32), symmetry)
    m = len(equivalents)
    owner = np.searchsorted(lattices, table["id"][rows])
    place = owner * m + equivalents.group
    n = np.bincount(place, minlength=len(lattices) * m).reshape(-1, m)
    mean = np.bincount(place, value, len(lattices) * m).reshape(-1, m) / np.maximum(n, 1)
    strength = np.array([np.mean(value[owner == k] / sigma[owner == k]) for k in range(len(lattices))])
    d = np.asarray(cell.calculate_d_array(equivalents.hkl), dtype=np.float64)
    shell = shell_numbers(d, equal_volume_shells(float(d.max()), float(d.min()), _SHELLS))
    main = int(np.argmax(strength))
    correlation = np.ones(len(lattices))
    for k in range(len(lattices)):
        both = (n[k] > 0) & (n[main] > 0)
        shells = Correlation.of(mean[main][both], mean[k][both], shell[both], _SHELLS)
        if k != main:
            known = np.isfinite(shells.coefficient) & (shells.n >= 10)
            correlation[k] = np.average(shells.coefficient[known], weights=shells.n[known]) if known.any() else 0.0
    return LatticeAgreement(strength, correlation)


def turns(experiments: Experiments) -> list[float | None]:
    """By how many degrees the crystals are turned from the first to each of the others, symmetry of the lattice aside,
    if the goniometer angles are as recorded; None to another lattice."""
    crystals = [e.crystal for e in experiments if e.crystal is not None]
    angles = [misorientation(crystals[0], other) for other in crystals[1:]]
    return [None if angle == OTHER_LATTICE else angle for angle in angles]


def rejected_shares(
    experiments: Experiments, table: ReflectionTable, groups: Sequence[tuple[int, int, int]]
) -> tuple[list[float], list[int]]:
    """The share of the scaled observations that scaling rejected, and their number, of each group of images
    (experiment, first, last)."""
    image = image_numbers(experiments, table)
    outlier = table.has(Flags.OUTLIER_IN_SCALING)
    judged = outlier | table.has(Flags.SCALED)
    shares, counts = [], []
    for number, first, last in groups:
        own = judged & (table["id"] == number) & (image >= first) & (image <= last)
        counts.append(int(own.sum()))
        shares.append(float(outlier[own].mean()) if own.any() else 0.0)
    return shares, counts
