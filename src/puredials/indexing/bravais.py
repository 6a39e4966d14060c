"""Which Bravais lattices a crystal's cell is compatible with.

Every subgroup of the lattice's symmetry (Le Page 1982) that demands something of the cell is imposed on the crystal,
which is then refined against the same spots: the true constraints leave the residuals as they are. Correlations of
spot intensities that each rotation makes equivalent tell more, as a cell may look more symmetric than its contents.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
from jaxtyping import Float64, Int64

from puredials.errors import MismatchError, ParameterError, ProcessingError, PuredialsError, TooFewReflectionsError
from puredials.execute import SERIAL, Executor, map_blocks
from puredials.indexing.bravais_params import BravaisParams
from puredials.model import Crystal, Experiments, Flags, ReflectionTable
from puredials.refinement import RefinementResult, refine_experiments
from puredials.refinement.params import OutlierParams, RefineParams
from puredials.sets import select_experiments
from puredials.symmetry import LatticeSetting, basis_text, lattice_settings, primitive_reduced_basis
from puredials.symmetry.reindex import reindex_experiments, reindex_table

__all__ = ["BravaisResult", "BravaisSetting", "Correlation", "chiral_groups", "refine_bravais_settings"]

DEFAULTS = BravaisParams()
# Rotations of a crystal system that demand nothing more of a cell than their subgroup does are not looked at.
HOLOHEDRIES = ("1", "1 2 1", "2 2 2", "4 2 2", "3 2:H", "6 2 2", "4 3 2")
FEWEST_SPOTS = 20
LARGEST_RMSD = 5.0  # px: nodes of large cells are as far apart
FEWEST_PAIRS = 10  # a correlation of fewer pairs says nothing


@dataclass(frozen=True)
class Correlation:
    """Of intensities (in units of their standard deviations) that a rotation makes equivalent, from `n` pairs."""

    value: float
    n: int


@dataclass(frozen=True, eq=False)
class BravaisSetting:
    """A lattice, and the crystal refined under its constraints.

    Attributes:
        number: from 1, the triclinic one; higher numbers have higher symmetry.
        bravais: symbol such as cI.
        space_group: the first of the chiral space groups of the lattice.
        delta: Le Page's angle, degrees.
        rmsd: of the spots from their predictions on the detector, mm.
        n_spots: refined against.
        basis: columns are the cell vectors in the basis of the input; `cb_op` is its text.
        correlations: of the rotations of `space_group`, the identity left out: no lattice can do without these.
    """

    number: int
    experiments: Experiments
    bravais: str
    space_group: gemmi.SpaceGroup
    delta: float
    rmsd: float
    n_spots: int
    basis: Float64[np.ndarray, "3 3"]
    correlations: tuple[Correlation, ...]
    recommended: bool

    @property
    def cb_op(self) -> str:
        return basis_text(self.basis)

    @property
    def crystal(self) -> Crystal:
        crystal = self.experiments[0].crystal
        assert crystal is not None
        return crystal

    @property
    def cc_range(self) -> tuple[float, float] | None:
        """Lowest and highest correlation; None if no rotation relates enough spots."""
        values = [c.value for c in self.correlations if c.n > FEWEST_PAIRS]
        return (min(values), max(values)) if values else None


@dataclass(frozen=True, eq=False)
class BravaisResult:
    """The settings, the most symmetric first; `failures`: sentences on those that could not be refined."""

    settings: tuple[BravaisSetting, ...]
    failures: tuple[str, ...] = ()

    @property
    def recommended(self) -> BravaisSetting:
        """The most symmetric one of those that fit (the triclinic one always does)."""
        return next(s for s in self.settings if s.recommended)


def refine_bravais_settings(
    experiments: Experiments,
    reflections: ReflectionTable,
    *,
    params: BravaisParams = DEFAULTS,
    executor: Executor = SERIAL,
    progress: Callable[[int, int], None] | None = None,
) -> BravaisResult:
    """Refine one crystal under the constraints of each lattice that it may have.

    The triclinic refinement decides which spots are sound; all others are refined against those.

    Raises:
        ParameterError, MismatchError: there are several crystals, and `crystal_id` does not name one of them.
        TooFewReflectionsError: the crystal has too few indexed reflections.
        ProcessingError: the triclinic lattice itself does not fit.
    """
    experiments, reflections = _one_crystal(experiments, reflections, params.crystal_id)
    crystal = experiments[0].crystal
    assert crystal is not None
    reduced = primitive_reduced_basis(crystal.unit_cell, crystal.operations.find_centering())
    triclinic = _in_basis(experiments, reduced, gemmi.SpaceGroup("P 1"))
    minimum_crystal = triclinic[0].crystal
    assert minimum_crystal is not None
    settings = lattice_settings(
        minimum_crystal.unit_cell,
        max_delta=params.lepage_max_delta,
        best_monoclinic_beta=params.best_monoclinic_beta,
    )
    settings = [s for s in settings if s.space_group[2:] in HOLOHEDRIES and s.delta <= params.lepage_max_delta]
    if progress:
        progress(0, len(settings))
    full = params.refinement.full()
    first = refine_experiments(triclinic, reindex_table(reflections, reduced), params=full)
    _check(first)
    spots = first.table.select(first.table.has(Flags.USED_IN_REFINEMENT))
    same = _all_spots(full)

    def refined(setting: LatticeSetting) -> RefinementResult | str:
        if len(setting.rotations) == 1:
            return first
        symmetric = _in_basis(first.experiments, setting.basis, chiral_groups(setting.bravais)[0])
        try:
            return refine_experiments(symmetric, reindex_table(spots, setting.basis), params=same)
        except PuredialsError as error:
            text = basis_text(reduced @ setting.basis)
            return f"The {setting.bravais} setting {text} could not be refined: {error}"

    compare = _Comparison.of(reflections, reduced, minimum_crystal, params.cc_n_bins)
    found: list[BravaisSetting] = []
    failures: list[str] = []
    for i, (setting, result) in enumerate(zip(settings, map_blocks(refined, settings, executor), strict=True)):
        if isinstance(result, str):
            failures.append(result)
        else:
            rmsd, n = _rmsd(result)
            found.append(
                BravaisSetting(
                    number=len(settings) - i,
                    experiments=result.experiments,
                    bravais=setting.bravais,
                    space_group=chiral_groups(setting.bravais)[0],
                    delta=setting.delta,
                    rmsd=rmsd,
                    n_spots=n,
                    basis=reduced @ setting.basis,
                    correlations=tuple(map(compare.correlation, _rotations(setting))),
                    recommended=False,
                )
            )
        if progress:
            progress(i + 1, len(settings))
    reference, _ = _rmsd(first)
    return BravaisResult(tuple(replace(s, recommended=_fits(s, reference)) for s in found), tuple(failures))


def _check(triclinic: RefinementResult) -> None:
    """Refuse spots that say nothing of the lattice: all others are compared with the triclinic refinement."""
    n = sum(r.n for r in triclinic.rmsds)
    if n < FEWEST_SPOTS:
        raise TooFewReflectionsError(
            f"Only {n} reflections are left in the triclinic refinement: too few to tell one lattice from another; "
            "index more spots."
        )
    worst = max(max(r.x, r.y) for r in triclinic.rmsds)
    if worst > LARGEST_RMSD:
        raise ProcessingError(
            f"Without any symmetry the RMSD is {worst:.1f} px already: the indices or the geometry are wrong, and say "
            "nothing of the lattice; look at the advice of dials.index, and index again."
        )


def _rotations(setting: LatticeSetting) -> list[Int64[np.ndarray, "3 3"]]:
    """Those of the lowest group of the lattice but the identity, in the reduced basis."""
    basis, inverse = setting.basis, np.linalg.inv(setting.basis)
    conventional = [np.array(op.rot) / op.DEN for op in chiral_groups(setting.bravais)[0].operations().sym_ops]
    return [np.rint(basis @ r @ inverse).astype(np.int64) for r in conventional if np.trace(r) < 2.5]


def _fits(setting: BravaisSetting, reference: float) -> bool:
    """Whether residuals and intensities speak for the lattice; `reference` is the RMSD without constraints."""
    lowest = setting.cc_range[0] if setting.cc_range else None
    if setting.delta < 0.5:
        return lowest is None or lowest >= 0.5 or setting.rmsd <= 1.5 * reference
    return not ((lowest is not None and lowest < 0.7 and setting.rmsd > 2 * reference) or setting.rmsd > 3 * reference)


def _one_crystal(
    experiments: Experiments, reflections: ReflectionTable, number: int | None
) -> tuple[Experiments, ReflectionTable]:
    """The experiments of one crystal, and their indexed reflections, numbered alike."""
    crystals = list({id(e.crystal): e.crystal for e in experiments if e.crystal is not None})
    if not crystals:
        raise MismatchError("The experiments have no crystal: run dials.index first.")
    if number is None and len(crystals) > 1:
        raise ParameterError(
            f"There are {len(crystals)} crystals: choose one by crystal_id=0 to crystal_id={len(crystals) - 1}."
        )
    if number is not None and number >= len(crystals):
        raise ParameterError(f"crystal_id={number} is not there: crystals are numbered 0 to {len(crystals) - 1}.")
    chosen = [i for i, e in enumerate(experiments) if id(e.crystal) == crystals[number or 0]]
    indexed = (reflections["miller_index"] != 0).any(axis=1) & (reflections["id"] < len(experiments))
    own, table = select_experiments(experiments, reflections.select(indexed), chosen)
    if table is None or table.n_rows == 0:
        raise TooFewReflectionsError("No reflection of the crystal is indexed: give indexed reflections.")
    return own, table


def _in_basis(experiments: Experiments, basis: Float64[np.ndarray, "3 3"], group: gemmi.SpaceGroup) -> Experiments:
    """The static crystal in another basis, with the symmetry of the group."""
    moved = reindex_experiments(experiments, basis, group)
    static = {id(e.crystal): replace(e.crystal, A_at_scan_points=None) for e in moved if e.crystal is not None}
    return moved.with_items(replace(e, crystal=static[id(e.crystal)]) for e in moved)


def _all_spots(params: RefineParams) -> RefineParams:
    """Parameters that leave out none of the spots given."""
    reflections = params.reflections.model_copy(
        update={
            "outlier": OutlierParams(algorithm="null"),
            "reflections_per_degree": None,
            "maximum_sample_size": None,
            "close_to_spindle_cutoff": 0.0,
            "minimum_sample_size": 10**9,
        }
    )
    return params.model_copy(update={"reflections": reflections})


def _rmsd(result: RefinementResult) -> tuple[float, int]:
    """Root mean square distance on the detector, mm, and the number of spots."""
    total, n = 0.0, 0
    for r in result.rmsds:
        width, height = result.experiments[r.number].detector[0].pixel_size
        total += r.n * ((r.x * width) ** 2 + (r.y * height) ** 2)
        n += r.n
    return (float(np.sqrt(total / n)) if n else 0.0), n


# ------------------------------------------------------------------------------------------- intensities of the spots


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Mean intensities of Friedel-unique reflections in the reduced primitive basis, by sorted `keys` of `hkl`."""

    hkl: Int64[np.ndarray, "n 3"]
    keys: Int64[np.ndarray, " n"]
    intensity: Float64[np.ndarray, " n"]
    bin: Int64[np.ndarray, " n"]

    @classmethod
    def of(
        cls, table: ReflectionTable, basis: Float64[np.ndarray, "3 3"], crystal: Crystal, n_bins: int | None
    ) -> "_Comparison":
        if "intensity.sum.value" not in table or "intensity.sum.variance" not in table:
            none = np.zeros(0, dtype=np.int64)
            return cls(np.zeros((0, 3), dtype=np.int64), none, np.zeros(0), none)
        variance = table["intensity.sum.variance"]
        good = variance > 0
        value = table["intensity.sum.value"][good] / np.sqrt(variance[good])
        hkl = np.rint(table["miller_index"][good] @ basis).astype(np.int64)
        keys, first, inverse = np.unique(_keys(hkl), return_index=True, return_inverse=True)
        mean = np.bincount(inverse, value) / np.bincount(inverse)
        unique = hkl[first]
        length = np.linalg.norm(unique @ crystal.A.T, axis=1)
        rank = np.empty(len(unique), dtype=np.int64)
        rank[np.argsort(length, kind="stable")] = np.arange(len(unique))
        return cls(unique, keys, mean, rank * (n_bins or 1) // max(len(unique), 1))

    def correlation(self, rotation: Int64[np.ndarray, "3 3"]) -> Correlation:
        """Between the reflections hkl and hkl R; the mean over bins of resolution, weighted by their pairs."""
        keys = _keys(self.hkl @ rotation)
        at = np.minimum(np.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
        paired = np.flatnonzero((self.keys[at] == keys) & (keys != self.keys)) if len(keys) else keys
        x, y, bin = self.intensity[paired], self.intensity[at[paired]], self.bin[paired]
        total, n = 0.0, 0
        for number in np.unique(bin):
            here = bin == number
            if here.sum() > 2 and x[here].std() > 0 and y[here].std() > 0:
                total += int(here.sum()) * float(np.corrcoef(x[here], y[here])[0, 1])
                n += int(here.sum())
        return Correlation(total / n if n else 0.0, n)


def _keys(hkl: Int64[np.ndarray, "n 3"]) -> Int64[np.ndarray, " n"]:
    """A number for each index that is the same for Friedel mates."""
    h, k, m = hkl.T
    positive = (h > 0) | ((h == 0) & ((k > 0) | ((k == 0) & (m >= 0))))
    sign = np.where(positive, 1, -1)
    base = 1 << 20
    return ((sign * h + base // 2) * base + sign * k + base // 2) * base + sign * m + base // 2


# ------------------------------------------------------------------------------------------------------ space groups


def chiral_groups(bravais: str) -> Sequence[gemmi.SpaceGroup]:
    """The space groups of chiral molecules in a Bravais lattice, in the standard setting (I2 for mI)."""
    if bravais == "mI":
        return [gemmi.SpaceGroup("I 1 2 1")]
    family = {"a": "triclinic", "m": "monoclinic", "o": "orthorhombic", "t": "tetragonal", "h": "hexagonal",
              "c": "cubic"}[bravais[0]]  # fmt: skip
    groups = []
    for number in range(1, 231):
        group = gemmi.find_spacegroup_by_number(number)
        if group is None or not group.is_sohncke() or group.centring_type() != bravais[1]:
            continue
        system = group.crystal_system_str()
        if system == family or (family == "hexagonal" and system == "trigonal"):
            groups.append(group)
    return groups
