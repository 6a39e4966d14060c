"""True structure-factor intensities, random but obeying the space group and Wilson's statistics."""

from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

from puredials.simulate.config import ProteinConfig

__all__ = ["Protein", "lattice_rotation_outside", "make_protein", "strained_cell"]


@dataclass(frozen=True, eq=False)
class Protein:
    """Intensities on a scale where their mean at 4 Angstrom is `photons_at_4A`.

    Attributes:
        hkl, d, centric, epsilon: of the unique reflections.
        intensity: |F|^2; i_plus, i_minus: with the Bijvoet difference.
        rotations: (k, 3, 3) of the point group, acting on indices from the right.
        p1_hkl, p1_id, p1_minus, p1_intensity: all reflections; which unique one each is, and whether as its mate.
    """

    space_group: gemmi.SpaceGroup
    cell: gemmi.UnitCell
    d_min: float
    hkl: Int64[np.ndarray, "n 3"]
    d: Float64[np.ndarray, " n"]
    centric: Bool[np.ndarray, " n"]
    epsilon: Int[np.ndarray, " n"]
    intensity: Float64[np.ndarray, " n"]
    i_plus: Float64[np.ndarray, " n"]
    i_minus: Float64[np.ndarray, " n"]
    rotations: Int[np.ndarray, "k 3 3"]
    p1_hkl: Int64[np.ndarray, "m 3"]
    p1_id: Int64[np.ndarray, " m"]
    p1_minus: Bool[np.ndarray, " m"]
    p1_intensity: Float64[np.ndarray, " m"]


def make_protein(config: ProteinConfig) -> Protein:
    """Draw the structure factors of a configuration."""
    group, cell = gemmi.SpaceGroup(config.space_group), gemmi.UnitCell(*config.cell)
    ops = group.operations()
    hkl = gemmi.make_miller_array(cell, group, config.d_min)
    hkl = hkl[np.lexsort(hkl.T)]
    d = cell.calculate_d_array(hkl)
    hkl = hkl.astype(np.int64)
    centric = np.array([ops.is_reflection_centric(list(h)) for h in hkl])
    epsilon = np.array([ops.epsilon_factor_without_centering(list(h)) for h in hkl])
    rng = np.random.default_rng(config.seed)
    n = len(hkl)
    # Wilson (1949), Acta Cryst. 2, 318: exponential for acentric, chi^2 of one degree of freedom for centric ones.
    wilson = np.where(centric, rng.normal(size=n) ** 2, rng.exponential(size=n))
    mean, mean_at_4A = _mean_intensity(1 / d, config), _mean_intensity(np.array([0.25]), config)
    intensity = config.photons_at_4A * mean / mean_at_4A * epsilon * wilson
    delta = np.where(centric, 0.0, np.clip(config.anomalous_rms * rng.normal(size=n), -0.5, 0.5))
    i_plus, i_minus = intensity * (1 + delta), intensity * (1 - delta)
    rotations = np.unique([np.array(op.rot) // 24 for op in ops.sym_ops], axis=0)
    p1_hkl, p1_id, p1_minus = _expand(hkl, rotations)
    p1_intensity = np.where(p1_minus, i_minus[p1_id], i_plus[p1_id])
    return Protein(
        group, cell, config.d_min, hkl, d, centric, epsilon, intensity, i_plus, i_minus, rotations,
        p1_hkl, p1_id, p1_minus, p1_intensity,
    )  # fmt: skip


def _mean_intensity(s: np.ndarray, config: ProteinConfig) -> np.ndarray:
    """Mean of |F|^2 at s = 1/d: B factor times a form factor times the features of proteins in solvent."""
    mean = np.exp(-0.5 * config.B * s**2) * (7 * np.exp(-4.5 * s**2) + 0.8) ** 2
    if config.protein_shape:
        mean = mean * _protein_features(s)
    return mean


def _protein_features(s: np.ndarray) -> np.ndarray:
    return (
        1
        - 0.55 * np.exp(-(((s - 0.16) / 0.035) ** 2))
        + 0.6 * np.exp(-(((s - 0.23) / 0.04) ** 2))
        - 0.2 * np.exp(-(((s - 0.34) / 0.05) ** 2))
        + 0.15 * np.exp(-(((s - 0.48) / 0.06) ** 2))
    )


def _expand(hkl: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All equivalents: indices, row of the unique reflection, and whether it is reached through its Bijvoet mate."""
    plus = np.concatenate([hkl @ rotation for rotation in rotations])
    every = np.concatenate([plus, -plus])
    rows = np.tile(np.arange(len(hkl)), 2 * len(rotations))
    minus = np.repeat([False, True], len(plus))
    _, first = np.unique(_packed(every), return_index=True)
    return every[first], rows[first], minus[first]


def _packed(hkl: np.ndarray) -> np.ndarray:
    h = np.asarray(hkl, np.int64) + 512
    return (h[..., 0] << 20) | (h[..., 1] << 10) | h[..., 2]


def lattice_rotation_outside(protein: Protein) -> np.ndarray | None:
    """A proper rotation of the lattice (matrix on the cell) that is no symmetry of the structure, or None."""
    lattice = gemmi.find_lattice_symmetry(protein.cell, protein.space_group.centring_type(), 0.1)
    known = {tuple(r.ravel()) for r in protein.rotations}
    for op in lattice.sym_ops:
        r = np.array(op.rot) // 24
        r = r * round(np.linalg.det(r))
        if tuple(r.ravel()) not in known:
            return r
    return None


def strained_cell(protein: Protein, rms: float, rng: np.random.Generator) -> gemmi.UnitCell:
    """The cell randomly strained by rms, with the symmetry of the lattice kept."""
    orth = np.array(protein.cell.orth.mat)
    metric = orth.T @ orth
    noise = rng.normal(size=(3, 3)) * 2 * rms
    strained = metric * (1 + (noise + noise.T) / 2)
    strained = np.mean([r.T @ strained @ r for r in protein.rotations], axis=0)
    a, b, c = np.sqrt(np.diag(strained))
    angles = np.degrees(np.arccos([strained[1, 2] / b / c, strained[0, 2] / a / c, strained[0, 1] / a / b]))
    return gemmi.UnitCell(a, b, c, *angles)
