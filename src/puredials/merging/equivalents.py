"""Which observations are of the same unique reflection, and their merged intensities.

Unique reflections are those of the asymmetric unit of reciprocal space (the one of gemmi and CCP4), Friedel mates
joined. An observation belongs to the plus half if a proper operation takes it to the unique index, and to the minus
half if only its Friedel mate gets there. Centric reflections are all plus.
"""

from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Bool, Float64, Int, Int32, Int64

from puredials.kernels.representative import representatives

__all__ = ["Equivalents", "Merged", "find_equivalents", "merge", "operations_of"]


@dataclass(frozen=True, eq=False)
class Equivalents:
    """n observations of m unique reflections.

    Attributes:
        hkl: (m, 3) unique indices, in ascending order; group: (n,) number of each observation's unique reflection.
        plus: (n,) True for the plus half.
        centric, epsilon, absent: (m,) of the unique reflections; epsilon leaves out the centring.
    """

    hkl: Int32[np.ndarray, "m 3"]
    group: Int64[np.ndarray, " n"]
    plus: Bool[np.ndarray, " n"]
    centric: Bool[np.ndarray, " m"]
    epsilon: Int[np.ndarray, " m"]
    absent: Bool[np.ndarray, " m"]

    def __len__(self) -> int:
        return len(self.hkl)

    @property
    def half(self) -> Int64[np.ndarray, " n"]:
        """(n,) 2 group for the plus half, 2 group + 1 for the minus half: the group that keeps Friedel mates apart."""
        return 2 * self.group + ~self.plus


@dataclass(frozen=True, eq=False)
class Merged:
    """Weighted means of groups of observations; NaN where a group has none.

    Attributes:
        value, sigma: (m,) mean with weights 1 / variance, and 1 / sqrt(sum of the weights).
        count: (m,) observations.
    """

    value: Float64[np.ndarray, " m"]
    sigma: Float64[np.ndarray, " m"]
    count: Int64[np.ndarray, " m"]


def operations_of(group: gemmi.SpaceGroup | gemmi.GroupOps) -> gemmi.GroupOps:
    return group.operations() if isinstance(group, gemmi.SpaceGroup) else group


def find_equivalents(hkl: Int32[np.ndarray, "n 3"], symmetry: gemmi.SpaceGroup | gemmi.GroupOps) -> Equivalents:
    """Group observations `hkl` into unique reflections of `symmetry` (settings that no table lists are fine)."""
    operations = operations_of(symmetry)
    rotations = np.array([op.rot for op in operations.sym_ops], dtype=np.int32) // 24  # gemmi counts in 1/24
    key, plus = np.empty(len(hkl), np.int64), np.empty(len(hkl), np.bool_)
    representatives(np.ascontiguousarray(hkl, np.int32), rotations, key, plus)
    keys, group = np.unique(key, return_inverse=True)
    unique, turned = _into_asu(_unpack(keys), operations)
    order = np.lexsort(unique.T[::-1])
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    unique, group = unique[order], rank[group]
    centric = np.asarray(operations.centric_flag_array(unique), dtype=bool)
    epsilon = np.asarray(operations.epsilon_factor_without_centering_array(unique))
    absent = np.asarray(operations.systematic_absences(unique), dtype=bool)
    plus = (plus ^ turned[order][group]) | centric[group]
    return Equivalents(unique, group, plus, centric, epsilon, absent)


def merge(
    values: Float64[np.ndarray, " n"], variances: Float64[np.ndarray, " n"], group: Int64[np.ndarray, " n"], m: int
) -> Merged:
    """Means of the observations of each of m groups, each weighted by 1 / variance."""
    weight = 1 / variances
    count = np.bincount(group, minlength=m)
    total = np.bincount(group, weight, m)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Merged(
            np.bincount(group, weight * values, m) / total, 1 / np.sqrt(np.where(count, total, np.nan)), count
        )


def _unpack(keys: Int64[np.ndarray, " m"]) -> Int32[np.ndarray, "m 3"]:
    mask, middle = (1 << 21) - 1, 1 << 20
    return (np.stack([keys >> 42, keys >> 21 & mask, keys & mask], axis=1) - middle).astype(np.int32)


def _into_asu(
    hkl: Int32[np.ndarray, "m 3"], operations: gemmi.GroupOps
) -> tuple[Int32[np.ndarray, "m 3"], Bool[np.ndarray, " m"]]:
    """The indices in the asymmetric unit, and where that took a Friedel mate; unchanged if no table has the group."""
    group = gemmi.find_spacegroup_by_ops(operations)
    turned = np.zeros(len(hkl), dtype=bool)
    if group is None:
        return hkl, turned
    asu = gemmi.ReciprocalAsu(group)
    inside = np.empty_like(hkl)
    for i, index in enumerate(hkl.tolist()):
        inside[i], isym = asu.to_asu(index, operations)
        turned[i] = isym % 2 == 0
    return inside, turned
