"""How well merged intensities agree with the true ones of a simulation."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float64, Int

from puredials.simulate.config import SimulationConfig
from puredials.simulate.protein import Protein, lattice_rotation_outside, make_protein

__all__ = ["Agreement", "agreement_with_truth"]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Per shell of resolution and overall.

    Attributes:
        d_max, d_min: (Angstrom) of each shell; count: reflections; cc: Pearson correlation with the true intensities.
        cc_all: over all reflections. reindexed: whether indices were those of the alternative setting of the lattice.
    """

    d_max: Float64[np.ndarray, " shells"]
    d_min: Float64[np.ndarray, " shells"]
    count: Int[np.ndarray, " shells"]
    cc: Float64[np.ndarray, " shells"]
    cc_all: float
    reindexed: bool


def agreement_with_truth(
    truth: Path, hkl: Int[np.ndarray, "n 3"], intensity: Float64[np.ndarray, " n"], *, n_shells: int = 10
) -> Agreement:
    """Compare merged intensities with those that a simulation started from.

    Where the lattice has rotations that the structure lacks, indices are right up to one of them: the better is taken.
    """
    with h5py.File(truth) as file:
        config = SimulationConfig.model_validate_json(str(file.attrs["config"]))
    protein = make_protein(config.protein)
    extra = lattice_rotation_outside(protein)
    changes = [np.eye(3, dtype=int)] + ([extra] if extra is not None else [])
    candidates = [_true_intensity(protein, hkl @ change) for change in changes]
    scores = [_correlation(intensity, true) for true in candidates]
    best = int(np.argmax(scores))
    true, d = candidates[best], protein.cell.calculate_d_array(hkl.astype(np.int32))
    known = np.flatnonzero(np.isfinite(true))
    shells = np.array_split(known[np.argsort(-d[known])], n_shells)
    return Agreement(
        d_max=np.array([d[shell].max() for shell in shells]),
        d_min=np.array([d[shell].min() for shell in shells]),
        count=np.array([len(shell) for shell in shells]),
        cc=np.array([_correlation(intensity[shell], true[shell]) for shell in shells]),
        cc_all=scores[best],
        reindexed=best > 0,
    )


def _true_intensity(protein: Protein, hkl: np.ndarray) -> np.ndarray:
    """The mean intensity of Bijvoet mates of each reflection; NaN beyond the limit of the structure factors."""
    lookup = {tuple(h): row for h, row in zip(protein.p1_hkl.tolist(), protein.p1_id.tolist(), strict=True)}
    rows = np.array([lookup.get(tuple(h), -1) for h in hkl.tolist()])
    return np.where(rows >= 0, protein.intensity[rows], np.nan)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    known = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[known], b[known])[0, 1]) if known.sum() > 2 else float("nan")
