"""Merging scaled observations into unique intensities, amplitudes, anomalous differences and free flags."""

from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float64, Int32

from puredials.errors import MismatchError
from puredials.merging.cross_validation import extend_free_flags, free_flags
from puredials.merging.equivalents import Equivalents, Merged, find_equivalents, merge
from puredials.merging.french_wilson import Amplitudes, amplitudes, flat_prior_amplitudes, local_mean_intensity
from puredials.merging.observations import Observations, median_cell, scaled_observations, symmetry_of
from puredials.merging.params import MergeParams
from puredials.merging.wilson import WilsonPlot, wilson_plot
from puredials.model import Experiments, ReflectionTable

__all__ = ["MergeResult", "merge_data"]

FreeReference = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class MergeResult:
    """Merged data of m unique reflections.

    Attributes:
        hkl: (m, 3) in the asymmetric unit; d: (m,) Angstrom; cell, symmetry, wavelength (Angstrom).
        observations, equivalents: what was merged, and its groups.
        mean, plus, minus: merged intensities of all observations and of the Friedel halves (centric ones are plus).
        F, F_plus, F_minus: amplitudes; None if there are none.
        free: (m,) flags, or None.
        wilson: the Wilson plot, or None if there are too few reflections.
    """

    hkl: Int32[np.ndarray, "m 3"]
    d: Float64[np.ndarray, " m"]
    cell: gemmi.UnitCell
    symmetry: gemmi.GroupOps
    wavelength: float
    observations: Observations
    equivalents: Equivalents
    mean: Merged
    plus: Merged
    minus: Merged
    F: Amplitudes | None
    F_plus: Amplitudes | None
    F_minus: Amplitudes | None
    free: Int32[np.ndarray, " m"] | None
    wilson: WilsonPlot | None

    def anomalous_difference(self) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
        """F(+) - F(-) and its error; NaN where a half is missing."""
        if self.F_plus is None or self.F_minus is None:
            raise ValueError("no amplitudes were worked out")
        return self.F_plus.F - self.F_minus.F, np.hypot(self.F_plus.sigma_F, self.F_minus.sigma_F)

    def columns(self, *, anomalous: bool = True) -> dict[str, tuple[str, np.ndarray]]:
        """Columns of a merged MTZ file after H K L: label -> (type, values; NaN: missing)."""
        columns: dict[str, tuple[str, np.ndarray]] = {
            "IMEAN": ("J", self.mean.value),
            "SIGIMEAN": ("Q", self.mean.sigma),
            "N": ("I", self.mean.count),
        }
        if anomalous:
            for side, merged in (("(+)", self.plus), ("(-)", self.minus)):
                columns |= {f"I{side}": ("K", merged.value), f"SIGI{side}": ("M", merged.sigma)}
            for side, merged in (("(+)", self.plus), ("(-)", self.minus)):
                columns[f"N{side}"] = ("I", np.where(merged.count > 0, merged.count, np.nan))
        if self.F is not None:
            columns |= {"F": ("F", self.F.F), "SIGF": ("Q", self.F.sigma_F)}
        if self.F_plus is not None and self.F_minus is not None and anomalous:
            for side, F in (("(+)", self.F_plus), ("(-)", self.F_minus)):
                columns |= {f"F{side}": ("G", F.F), f"SIGF{side}": ("L", F.sigma_F)}
            difference, sigma = self.anomalous_difference()
            columns |= {"DANO": ("D", difference), "SIGDANO": ("Q", sigma)}
        if self.free is not None:
            columns["FreeR_flag"] = ("I", self.free)
        return columns


def merge_data(
    experiments: Experiments,
    table: ReflectionTable,
    *,
    params: MergeParams | None = None,
    free_reference: FreeReference | None = None,
    symmetry: gemmi.GroupOps | None = None,
) -> MergeResult:
    """Merge the scaled observations of all experiments.

    `free_reference`, indices and flags, is what ``r_free_flags.reference`` names; `symmetry` overrules the crystals'.
    """
    params = params or MergeParams()
    symmetry = symmetry or symmetry_of(experiments)
    cell = gemmi.UnitCell(*params.best_unit_cell) if params.best_unit_cell else median_cell(experiments)
    observations = scaled_observations(
        table,
        cell,
        join_partials=params.combine_partials,
        partiality_threshold=params.partiality_threshold,
        d_min=params.d_min,
        d_max=params.d_max,
    )
    equivalents = find_equivalents(observations.hkl, symmetry)
    mean, plus, minus = _merged(observations, equivalents)
    hkl = equivalents.hkl
    d = np.asarray(cell.calculate_d_array(hkl), dtype=np.float64)
    F = F_plus = F_minus = wilson = None
    enough = len(hkl) >= params.french_wilson.min_reflections
    if params.truncate and (enough or params.french_wilson.fallback_to_flat_prior):
        F, F_plus, F_minus = _amplitudes((mean, plus, minus), equivalents, d, enough)
    if enough:
        n_operations = len(symmetry.sym_ops) * len(symmetry.cen_ops)
        there = ~equivalents.absent
        wilson = wilson_plot(
            mean.value[there],
            equivalents.epsilon[there],
            1 / d[there] ** 2,
            n_operations=n_operations,
            n_residues=params.n_residues,
        )
    free = _flags(hkl, cell, symmetry, params, free_reference)
    wavelength = float(np.median([e.beam.wavelength for e in experiments]))
    return MergeResult(
        hkl, d, cell, symmetry, wavelength, observations, equivalents,
        mean, plus, minus, F, F_plus, F_minus, free, wilson,
    )  # fmt: skip


def _merged(observations: Observations, equivalents: Equivalents) -> tuple[Merged, Merged, Merged]:
    m = len(equivalents)
    mean = merge(observations.value, observations.variance, equivalents.group, m)
    halves = merge(observations.value, observations.variance, equivalents.half, 2 * m)
    plus, minus = (Merged(halves.value[i::2], halves.sigma[i::2], halves.count[i::2]) for i in (0, 1))
    return mean, plus, minus


def _amplitudes(
    merged: tuple[Merged, Merged, Merged], equivalents: Equivalents, d: Float64[np.ndarray, " m"], enough: bool
) -> tuple[Amplitudes, Amplitudes, Amplitudes]:
    # Wilson's prior does not hold for systematic absences, whose amplitude is known to be zero: they get none.
    there = ~equivalents.absent
    values = [np.where(there, m.value, np.nan) for m in merged]
    if not enough:
        first, second, third = (flat_prior_amplitudes(v, m.sigma) for v, m in zip(values, merged, strict=True))
        return first, second, third
    epsilon, centric, mean = equivalents.epsilon, equivalents.centric, merged[0]
    S = np.full(len(d), np.nan)
    S[there] = epsilon[there] * local_mean_intensity(
        mean.value[there], mean.sigma[there], 1 / d[there] ** 2, epsilon[there], centric[there]
    )
    first, second, third = (amplitudes(v, m.sigma, S, centric) for v, m in zip(values, merged, strict=True))
    return first, second, third


def _flags(
    hkl: Int32[np.ndarray, "m 3"],
    cell: gemmi.UnitCell,
    symmetry: gemmi.GroupOps,
    params: MergeParams,
    reference: FreeReference | None,
) -> Int32[np.ndarray, " m"] | None:
    wanted = params.r_free_flags
    if wanted.reference is not None and reference is None:
        raise MismatchError("r_free_flags.reference is given, but not the flags that it holds.")
    if reference is not None:
        return extend_free_flags(hkl, cell, symmetry, reference=reference, params=wanted)
    return free_flags(hkl, cell, symmetry, params=wanted) if wanted.generate else None
