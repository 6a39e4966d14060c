"""Screw axes from systematic absences.

Every space group with the rotations and the centring of the Laue group is judged by all reflections that some of
them forbid: a forbidden intensity is noise about zero, an allowed one follows Wilson's (1949) distribution, both
with the measured sigma. The probabilities of the groups follow from Bayes' rule.

A priori an axis is far more often a screw axis than a pure rotation axis, about which molecules do not pack closely
(Kitaigorodskii, 1973, Molecular Crystals and Molecules), and in proteins have less freedom to meet (Wukovitz & Yeates,
1995, Nat. Struct. Biol. 2, 1062). That decides about the other axes where one of them is known, and without certainty;
a few forbidden reflections outweigh it. Where nothing at all that a group forbids was measured, all groups are equally
likely, and the first, of pure rotations, stands for them, as is customary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import erfinv

from puredials.symmetry.lattice import rotation_axis, rotation_order
from puredials.symmetry.observations import Observations, pack

__all__ = ["SCREW_ODDS", "AbsenceAnalysis", "ScrewAxisScore", "SpaceGroupScore", "analyse_absences"]

# How many times as often an axis is a screw axis as a pure rotation axis: of the order of ten, as P 21 21 21 is to each
# of the three settings of P 21 21 2.
SCREW_ODDS = 10.0
# Share of forbidden reflections that are contaminated (multiple scattering, neighbours, hot pixels), and noise about
# zero beyond sigma, in units of the mean intensity.
_CONTAMINATED = 0.02
_EXTRA_NOISE = 0.02
# Orders of reflections along an axis in which the absences of all screw axes repeat.
_ORDERS = 12


@dataclass(frozen=True)
class ScrewAxisScore:
    """Reflections along one axis that a screw axis would allow and forbid; means of E^2 and I/sigma.

    The probability is that all it forbids is forbidden, by it or by an axis that forbids more (42 by 41). Where no
    forbidden one was measured (`n_absent` 0), it is that a priori.
    """

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
    """Space groups (extended symbols) with the same absences, how many of these were measured, and their common
    probability."""

    space_groups: tuple[str, ...]
    n_absent: int
    probability: float


@dataclass(frozen=True)
class AbsenceAnalysis:
    """Scores, and the group chosen (extended symbol) with those that no intensities can tell from it.

    Attributes:
        alternatives: other groups that have to be thought of, too, if the one chosen is not significant.
    """

    axes: tuple[ScrewAxisScore, ...]
    groups: tuple[SpaceGroupScore, ...]
    best: str
    equivalent: tuple[str, ...]
    alternatives: tuple[SpaceGroupScore, ...]

    @property
    def measured(self) -> bool:
        """Whether any reflection was measured that one of the groups forbids."""
        return any(g.n_absent for g in self.groups)


def analyse_absences(data: Observations, space_group: gemmi.SpaceGroup, *, significance: float) -> AbsenceAnalysis:
    """Choose the likeliest space group among those with the Laue group and centring of `space_group`.

    Args:
        data: normalised intensities (mean 1), indices in the setting of `space_group`.
        significance: the probability from which the chosen group needs no alternatives.
    """
    classes: dict[bytes, list[gemmi.SpaceGroup]] = {}
    for group in _candidates(space_group):
        classes.setdefault(_forbidden_orders(group).tobytes(), []).append(group)
    groups = list(classes.values())
    orders = np.array([_forbidden_orders(members[0]) for members in groups])
    directions = _directions(space_group.operations())
    axial = _merged_axial(data, space_group.operations())
    masks = [_absent(members[0], axial) for members in groups]
    log_absent, log_present = _log_likelihoods(axial, space_group.operations())
    # An axis that may be a screw axis in one group and not in another tells them apart.
    open_directions = [k for k in directions if (orders[:, k] != orders[0, k]).any()]
    logs = np.array([np.where(m, log_absent, log_present).sum() for m in masks])
    if any(m.any() for m in masks):
        pure = np.array([sum(not _is_screw(members[0], k) for k in open_directions) for members in groups])
        logs -= np.log(SCREW_ODDS) * pure
    probability = np.exp(logs - logs.max())
    probability /= probability.sum()
    scores = [
        SpaceGroupScore(tuple(g.xhm() for g in members), int(m.sum()), float(p))
        for members, m, p in zip(groups, masks, probability, strict=True)
    ]
    ranked = sorted(scores, key=lambda s: -s.probability)
    needed = 1 + int(np.searchsorted(np.cumsum([s.probability for s in ranked[:-1]]), significance))
    axes = [
        _score_axis(name, axial, direction, period, float(probability[holds].sum()))
        for name, direction, period, holds in _screw_axes(orders, open_directions, space_group.operations())
    ]
    first = ranked[0].space_groups
    return AbsenceAnalysis(tuple(axes), tuple(ranked), first[0], first[1:], tuple(ranked[1:needed]))


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
    unique: dict[tuple[int, bytes], gemmi.SpaceGroup] = {}
    for sg in sorted(found, key=lambda sg: (sg.number, not sg.is_reference_setting())):
        unique.setdefault((sg.number, _forbidden_orders(sg).tobytes()), sg)
    return list(unique.values())


def _forbidden_orders(space_group: gemmi.SpaceGroup) -> Bool[np.ndarray, "3 orders"]:
    """Which of the reflections along a, b and c a group forbids."""
    operations = space_group.operations()
    line = np.arange(1, _ORDERS + 1)[:, None] * np.eye(3, dtype=np.int32)[:, None]
    absent = operations.systematic_absences(line.reshape(-1, 3).astype(np.int32))
    return np.asarray(absent, dtype=bool).reshape(3, _ORDERS)


def _is_screw(space_group: gemmi.SpaceGroup, direction: int) -> bool:
    """Whether an axis along a, b or c shifts by a part of the cell as it turns."""
    operations = space_group.operations()
    for op in operations.sym_ops:
        rotation = np.array(op.rot) // op.DEN
        if np.cross(rotation_axis(rotation), np.eye(3)[direction]).any() or rotation_order(rotation) == 1:
            continue
        # The part of the translation along the axis is that along its cell edge: no other edge is turned into it.
        shifts = [(op.tran[direction] + centre[direction]) % op.DEN for centre in operations.cen_ops]
        if any(shifts):
            return True
    return False


def _directions(operations: gemmi.GroupOps) -> list[int]:
    """Of a, b and c those that stand for all that rotations turn into one another."""
    edges = np.eye(3, dtype=np.int64)
    return [k for k in range(3) if (_standard(edges[k : k + 1], operations)[0][0] == edges[k]).all()]


def _standard(
    hkl: Int64[np.ndarray, "n 3"], operations: gemmi.GroupOps
) -> tuple[Int64[np.ndarray, "n 3"], Int64[np.ndarray, " n"]]:
    """Of the equivalents of reflections one that stands for all, and its key."""
    images = np.stack([hkl @ (np.array(op.rot) // op.DEN) for op in operations.sym_ops])
    keys = np.stack([pack(image) for image in images])
    choice, rows = keys.argmax(axis=0), np.arange(len(hkl))
    return images[choice, rows], keys[choice, rows]


def _absent(space_group: gemmi.SpaceGroup, data: Observations) -> Bool[np.ndarray, " n"]:
    return np.asarray(space_group.operations().systematic_absences(data.hkl.astype(np.int32)), dtype=bool)


def _merged_axial(data: Observations, operations: gemmi.GroupOps) -> Observations:
    """Reflections along the axes, merged over equivalents."""
    line = data.select((data.hkl != 0).sum(axis=1) == 1)
    standard, keys = _standard(line.hkl, operations)
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
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


def _screw_axes(
    orders: Bool[np.ndarray, "classes 3 orders"], directions: Sequence[int], operations: gemmi.GroupOps
) -> list[tuple[str, int, int, Bool[np.ndarray, " classes"]]]:
    """Of the screws possible along some directions: name, direction, period of the orders that it allows, and the
    classes of groups that forbid at least what it forbids: those with 41 are among those of 42."""
    rotations = [np.array(op.rot) // op.DEN for op in operations.sym_ops]
    centring = np.asarray(orders.all(axis=0))
    found = []
    for k in directions:
        edge = np.arange(3) == k
        own = [rotation_order(r) for r in rotations if not np.cross(rotation_axis(r), edge).any()]
        for screw, period in _SCREWS.get(max(own), ()):
            forbidden = (np.arange(1, _ORDERS + 1) % period != 0) & ~centring[k]
            holds = orders[:, k, forbidden].all(axis=1)
            if forbidden.any() and holds.any():
                found.append((f"{screw}{'abc'[k]}", k, period, holds))
    return found


def _score_axis(name: str, data: Observations, direction: int, period: int, probability: float) -> ScrewAxisScore:
    on_axis = data.hkl[:, direction] != 0
    forbidden = on_axis & (data.hkl[:, direction] % period != 0)
    present = on_axis & ~forbidden
    ratio = data.intensity / data.sigma

    def mean(values: np.ndarray, which: np.ndarray) -> float:
        return float(values[which].mean()) if which.any() else 0.0

    return ScrewAxisScore(
        name, probability, int(present.sum()), int(forbidden.sum()), mean(data.intensity, present),
        mean(data.intensity, forbidden), mean(ratio, present), mean(ratio, forbidden),
    )  # fmt: skip
