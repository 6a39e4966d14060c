"""Free flags: which reflections are kept out of refinement, to test it (Brünger 1992, Nature 355, 472).

As in CCP4, a flag is one of the numbers 0 .. n-1 and each marks one set of the same size; 0 is the test set. A flag is
worked out from the reflection's index alone, by a hash, after taking it to the asymmetric unit of the LATTICE's
symmetry: equal data sets get equal flags, and twin laws within the lattice's symmetry never relate a test reflection to
a working one.
"""

from typing import Any

import gemmi
import numpy as np
from jaxtyping import Int, Int32, Int64
from numpy.typing import NDArray

from puredials.errors import MismatchError
from puredials.kernels.representative import representatives
from puredials.merging.params import FreeFlagParams

__all__ = ["extend_free_flags", "free_flags", "lattice_rotations"]


def free_flags(
    hkl: Int32[np.ndarray, "m 3"],
    cell: gemmi.UnitCell,
    symmetry: gemmi.GroupOps,
    *,
    params: FreeFlagParams,
    n_sets: int | None = None,
) -> Int32[np.ndarray, " m"]:
    """Flags of unique reflections; `n_sets` overrules the share of test reflections in `params`."""
    if n_sets is None:
        fraction = params.fraction
        if params.max_free is not None:
            fraction = min(fraction, params.max_free / max(len(hkl), 1))
        n_sets = max(round(1 / fraction), 2)
    uniform = _hash(_families(hkl, cell, symmetry, params), params.seed)
    return np.minimum((uniform * n_sets).astype(np.int32), n_sets - 1)


def extend_free_flags(
    hkl: Int32[np.ndarray, "m 3"],
    cell: gemmi.UnitCell,
    symmetry: gemmi.GroupOps,
    *,
    reference: tuple[Int32[np.ndarray, "k 3"], Int[np.ndarray, " k"]],
    params: FreeFlagParams,
) -> Int32[np.ndarray, " m"]:
    """Flags copied from `reference` (indices and flags) for its reflections, and for those that a symmetry of the
    lattice relates to one of them; the others get flags of the same kind in the same shares."""
    old_hkl, old_flags = reference
    if len(old_hkl) == 0:
        raise MismatchError("The reference file has no free flags to copy.")
    known = dict(zip(_keys(old_hkl, _rotations(symmetry)).tolist(), old_flags.tolist(), strict=True))
    families = dict(zip(_families(old_hkl, cell, symmetry, params).tolist(), old_flags.tolist(), strict=True))
    values, counts = np.unique(old_flags, return_counts=True)
    edges = np.cumsum(counts) / counts.sum()
    mine = _families(hkl, cell, symmetry, params)
    new = values[np.minimum(np.searchsorted(edges, _hash(mine, params.seed), side="right"), len(values) - 1)]
    exact = _keys(hkl, _rotations(symmetry)).tolist()
    choice = [known.get(k, families.get(f, n)) for k, f, n in zip(exact, mine.tolist(), new.tolist(), strict=True)]
    return np.array(choice, dtype=np.int32)


def lattice_rotations(cell: gemmi.UnitCell, symmetry: gemmi.GroupOps, max_delta: float) -> Int32[np.ndarray, "n 3 3"]:
    """Rotations of the lattice (as they act on Miller indices); the crystal's, if they are not among them."""
    lattice = _rotations(gemmi.find_lattice_symmetry(cell, symmetry.find_centering(), max_delta))
    crystal = _rotations(symmetry)
    among = {r.tobytes() for r in lattice}
    return lattice if all(r.tobytes() in among for r in crystal) else crystal


def _families(
    hkl: Int32[np.ndarray, "m 3"], cell: gemmi.UnitCell, symmetry: gemmi.GroupOps, params: FreeFlagParams
) -> Int64[np.ndarray, " m"]:
    if not params.use_lattice_symmetry:
        return _keys(hkl, _rotations(symmetry))
    return _keys(hkl, lattice_rotations(cell, symmetry, params.lattice_symmetry_max_delta))


def _rotations(operations: gemmi.GroupOps) -> NDArray[Any]:
    return np.array([op.rot for op in operations.sym_ops], dtype=np.int32) // 24


def _keys(hkl: Int32[np.ndarray, "m 3"], rotations: Int32[np.ndarray, "n 3 3"]) -> Int64[np.ndarray, " m"]:
    key, plus = np.empty(len(hkl), np.int64), np.empty(len(hkl), np.bool_)
    representatives(np.ascontiguousarray(hkl, np.int32), np.ascontiguousarray(rotations), key, plus)
    return key


def _hash(key: Int64[np.ndarray, " m"], seed: int) -> NDArray[np.float64]:
    """Uniform in [0, 1): the mixing function of SplitMix64 (Steele, Lea & Flood 2014, OOPSLA, fig. 17)."""
    z = key.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15 * (seed + 1) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))).astype(np.float64) / 2.0**64
