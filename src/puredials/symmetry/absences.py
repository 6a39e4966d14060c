"""Screw axes from systematic absences.

Every space group with the rotations and the centring of the Laue group is judged by all reflections that some of
them forbid: a forbidden intensity is noise about zero, an allowed one follows Wilson's (1949) distribution, both
with the measured sigma. The probabilities of the groups follow from Bayes' rule with equal priors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import erfinv

from puredials.symmetry.lattice import rotation_axis, rotation_order
from puredials.symmetry.observations import Observations, pack

__all__ = ["AbsenceAnalysis", "ScrewAxisScore", "SpaceGroupScore", "analyse_absences"]

# Share of forbidden reflections that are contaminated (multiple scattering, neighbours, hot pixels), and noise about
# zero beyond sigma, in units of the mean intensity.
_CONTAMINATED = 0.02
_EXTRA_NOISE = 0.02


@dataclass(frozen=True)
class ScrewAxisScore:
    """Reflections along one axis that a screw axis would allow and forbid; means of E^2 and I/sigma."""

    name: str
    probability: float
    n_present: int
    n_absent: int
    mean_present: float
    mean_absent: float
    i_over_sigma_present: float
    i_over_sigma_absent: float


@dataclass(frozen=True)
class SpaceGroupScore:
    """Space groups (extended symbols) that forbid the same reflections, and their common probability."""

    space_groups: tuple[str, ...]
    n_absent: int
    probability: float


@dataclass(frozen=True)
class AbsenceAnalysis:
    """Scores, and the group chosen (extended symbol) with those that the intensities cannot tell from it."""

    axes: tuple[ScrewAxisScore, ...]
    groups: tuple[SpaceGroupScore, ...]
    best: str
    equivalent: tuple[str, ...]


def analyse_absences(data: Observations, space_group: gemmi.SpaceGroup, *, significance: float) -> AbsenceAnalysis:
    """Choose the space group among those with the Laue group and centring of `space_group`.

    Args:
        data: normalised intensities (mean 1), indices in the setting of `space_group`.
        significance: the chosen group's absences must hold with at least this probability.
    """
    candidates = _candidates(space_group)
    axial = _merged_axial(data, candidates)
    absent = {sg.xhm(): _absent(sg, axial) for sg in candidates}
    log_absent, log_present = _log_likelihoods(axial, space_group.operations())
    classes: dict[bytes, list[str]] = {}
    for symbol, mask in absent.items():
        classes.setdefault(mask.tobytes(), []).append(symbol)
    masks = [absent[symbols[0]] for symbols in classes.values()]
    logs = np.array([np.where(m, log_absent, log_present).sum() for m in masks])
    probability = np.exp(logs - logs.max())
    probability /= probability.sum()
    scores = [
        SpaceGroupScore(tuple(symbols), int(m.sum()), float(p))
        for symbols, m, p in zip(classes.values(), masks, probability, strict=True)
    ]

    def holds(mask: Bool[np.ndarray, " n"]) -> float:
        """Probability that all reflections of the mask are forbidden."""
        return float(sum(p for m, p in zip(masks, probability, strict=True) if not (mask & ~m).any()))

    certain = [i for i, m in enumerate(masks) if holds(m) >= significance]
    best = max(certain, key=lambda i: (int(masks[i].sum()), probability[i]))
    axes = [
        _score_axis(name, axial, on_axis, forbidden, holds(forbidden))
        for name, on_axis, forbidden in _screw_axes(axial, space_group.operations())
    ]
    return AbsenceAnalysis(
        tuple(axes),
        tuple(sorted(scores, key=lambda s: -s.probability)),
        scores[best].space_groups[0],
        scores[best].space_groups[1:],
    )


def _candidates(space_group: gemmi.SpaceGroup) -> list[gemmi.SpaceGroup]:
    """Chiral groups with the same rotations and centring, standard settings and low numbers first."""
    operations = space_group.operations()
    found = [
        sg
        for sg in gemmi.spacegroup_table()
        if sg.is_sohncke()
        and sg.operations().has_same_rotations(operations)
        and sg.operations().has_same_centring(operations)
        and sg.centring_type() == space_group.centring_type()
    ]
    # Settings with another origin have the same absences and add nothing.
    unique: dict[tuple[int, str], gemmi.SpaceGroup] = {}
    for sg in sorted(found, key=lambda sg: (sg.number, not sg.is_reference_setting())):
        unique.setdefault((sg.number, _absent_key(sg)), sg)
    return list(unique.values())


def _absent_key(space_group: gemmi.SpaceGroup) -> str:
    """Which axial reflections a group forbids, as text."""
    operations = space_group.operations()
    lines = [(k, 0, 0) for k in range(1, 13)], [(0, k, 0) for k in range(1, 13)], [(0, 0, k) for k in range(1, 13)]
    return "".join("01"[operations.is_systematically_absent(list(h))] for line in lines for h in line)


def _absent(space_group: gemmi.SpaceGroup, data: Observations) -> Bool[np.ndarray, " n"]:
    return np.asarray(space_group.operations().systematic_absences(data.hkl.astype(np.int32)), dtype=bool)


def _merged_axial(data: Observations, candidates: Sequence[gemmi.SpaceGroup]) -> Observations:
    """Reflections that at least one candidate forbids or might (on an axis), merged over equivalents."""
    on_axis = (data.hkl != 0).sum(axis=1) == 1
    line = data.select(on_axis)
    rotations = [np.array(op.rot) // op.DEN for op in candidates[0].operations().sym_ops]
    images = np.stack([line.hkl @ r for r in rotations])
    keys = np.stack([pack(image) for image in images])
    choice, rows = keys.argmax(axis=0), np.arange(len(line.hkl))
    standard = images[choice, rows]  # equivalent axes become the first of them
    _, first, group = np.unique(keys[choice, rows], return_index=True, return_inverse=True)
    weight = 1 / np.maximum(line.sigma, 1e-6) ** 2
    total = np.bincount(group, weight, minlength=len(first))
    mean = np.bincount(group, weight * line.intensity, minlength=len(first)) / total
    return Observations(standard[first], mean, 1 / np.sqrt(total), line.d[first], line.cell)


def _log_likelihoods(
    data: Observations, operations: gemmi.GroupOps
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """ln p(I | forbidden) and ln p(I | allowed) of each reflection.

    Allowed: Wilson's distribution with mean epsilon (axial reflections are stronger by that factor) convolved with
    the error, integrated over quantiles of the distribution.
    """
    hkl = data.hkl.astype(np.int32)
    epsilon = operations.epsilon_factor_without_centering_array(hkl).astype(float)
    centric = np.asarray(operations.centric_flag_array(hkl), dtype=bool)
    sigma = np.sqrt(data.sigma**2 + _EXTRA_NOISE**2)[:, None]
    quantile = (np.arange(400) + 0.5) / 400
    acentric_value = -np.log1p(-quantile)
    centric_value = 2 * erfinv(quantile) ** 2
    true = epsilon[:, None] * np.where(centric[:, None], centric_value, acentric_value)
    # Quantiles are coarse at the strong end; their spacing keeps the sum from falling between them.
    width = np.hypot(sigma, np.gradient(true, axis=1))

    def normal(x: np.ndarray, s: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * (x / s) ** 2) / (s * np.sqrt(2 * np.pi))

    allowed = normal(data.intensity[:, None] - true, width).mean(axis=1) + 1e-12
    noise = normal(data.intensity[:, None], sigma)[:, 0]
    forbidden = (1 - _CONTAMINATED) * noise + _CONTAMINATED * allowed
    return np.log(forbidden), np.log(allowed)


_SCREWS = {2: (("21", 2),), 3: (("31", 3),), 4: (("41", 4), ("42", 2)), 6: (("61", 6), ("62", 3), ("63", 2))}


def _screw_axes(data: Observations, operations: gemmi.GroupOps) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, all reflections on the axis, those that the screw forbids) of the screws possible along a, b and c."""
    rotations = [np.array(op.rot) // op.DEN for op in operations.sym_ops]
    found = []
    for number, letter in enumerate("abc"):
        on_axis = data.hkl[:, number] != 0
        direction = np.eye(3, dtype=np.int64)[number]
        orders = [rotation_order(r) for r in rotations if not np.cross(rotation_axis(r), direction).any()]
        for screw, period in _SCREWS.get(max(orders), ()):
            forbidden = on_axis & (data.hkl[:, number] % period != 0)
            if forbidden.any():
                found.append((f"{screw}{letter}", on_axis, forbidden))
    return found


def _score_axis(
    name: str, data: Observations, on_axis: np.ndarray, forbidden: np.ndarray, probability: float
) -> ScrewAxisScore:
    present = on_axis & ~forbidden
    ratio = data.intensity / data.sigma

    def mean(values: np.ndarray, which: np.ndarray) -> float:
        return float(values[which].mean()) if which.any() else 0.0

    return ScrewAxisScore(
        name, probability, int(present.sum()), int(forbidden.sum()), mean(data.intensity, present),
        mean(data.intensity, forbidden), mean(ratio, present), mean(ratio, forbidden),
    )  # fmt: skip
