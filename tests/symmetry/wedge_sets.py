"""Integrated wedges of crystals in random orientations and settings, by the geometry and physics of `simulate`.

Which reflections a wedge records, and what they are worth there, is what `simulate` would paint on images; counting
errors stand for the step from images to integrated intensities.
"""

from dataclasses import dataclass

import gemmi
import numpy as np
from test_determine import CELLS

from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Flags,
    Goniometer,
    Panel,
    ReflectionTable,
    Scan,
)
from puredials.simulate.config import SimulationConfig
from puredials.simulate.crystal import make_crystal
from puredials.simulate.detector import make_detector
from puredials.simulate.diffraction import Sweep
from puredials.simulate.goniometer import make_goniometer
from puredials.simulate.observations import observe
from puredials.simulate.protein import make_protein
from puredials.symmetry import CosymResult, lattice_settings, primitive_reduced_basis

__all__ = ["Wedges", "assert_one_true_setting", "integrated_wedges"]


@dataclass(frozen=True)
class Wedges:
    """Wedges, each with P 1 indices of a reduced cell; `bases`: P from the true cell to that of each wedge."""

    experiments: Experiments
    table: ReflectionTable
    space_group: gemmi.SpaceGroup
    bases: list[np.ndarray]


def integrated_wedges(
    symbol: str,
    *,
    seed: int,
    n_wedges: int | None = None,
    degrees: tuple[float, float] = (10, 30),
    cell: tuple[float, ...] | None = None,
    d_min: float = 2.6,
    photons_at_4A: float = 400.0,
    background: float = 40.0,
    settings_within: float = 2.0,
) -> Wedges:
    """Three to twelve wedges (or `n_wedges`) of a random structure.

    Each has its orientation, scale, damage, absorption, cell, and an indexing that any symmetry of the lattice (within
    `settings_within` degrees) may have turned, as indexing without intensities must.
    """
    rng = np.random.default_rng([seed, 3])
    group = gemmi.SpaceGroup(symbol)
    n_wedges = n_wedges or int(rng.integers(3, 13))
    width = 0.5
    config = SimulationConfig.model_validate(
        {
            "seed": seed,
            "protein": {
                "space_group": symbol,
                "cell": cell or CELLS[group.crystal_system_str()],
                "seed": seed + 1000,
                "d_min": d_min,
                "photons_at_4A": photons_at_4A,
            },
            "detector": {"type": "eiger2_1m", "distance_mm": 120},
            "goniometer": {"type": "single"},
            "crystals": [
                {"orientation_seed": k, "cell_variation": 0.001, "strength": float(rng.uniform(0.3, 2)),
                 "B_per_degree": float(rng.uniform(0, 0.3)), "decay_per_degree": float(rng.uniform(0, 0.01))}
                for k in range(n_wedges)
            ],
            "sweeps": [
                {"crystal": k, "width_deg": width, "start_deg": float(rng.uniform(0, 360)),
                 "n_images": int(rng.uniform(*degrees) / width)}
                for k in range(n_wedges)
            ],
        }
    )  # fmt: skip
    protein = make_protein(config.protein)
    detector = make_detector(config.detector, config.beam.wavelength, rng)
    goniometer = make_goniometer(config.goniometer, rng)
    primitive = primitive_reduced_basis(protein.cell, group.centring_type())
    panel = Panel([1, 0, 0], [0, -1, 0], [-80, 80, -120], (1000, 1000), (0.16, 0.16))
    beam = Beam(np.array([0, 0, 1.0]), config.beam.wavelength)
    items, tables, bases = [], [], []
    for k, settings in enumerate(config.sweeps):
        crystal = make_crystal(config.crystals[k], protein, seed)
        sweep = Sweep(settings, goniometer.setting({}, rng), 0.0)
        seen, _ = observe(config, protein, crystal, detector, sweep, rng)
        counts = seen["photons_recorded"] * seen["multiplicative_error"]
        counts = rng.poisson(counts + background).astype(float) - background
        basis = primitive @ _turn(crystal.cell, primitive, settings_within, rng)
        n = len(counts)
        lp = 1 / (seen["lorentz"] * seen["polarization"])
        tables.append(
            ReflectionTable(
                {
                    "miller_index": np.rint(seen["hkl"] @ basis).astype(np.int32),
                    "intensity.prf.value": counts / seen["partiality"],
                    "intensity.prf.variance": (np.maximum(counts, 0) + 1.5 * background) / seen["partiality"] ** 2,
                    "lp": lp,
                    "partiality": seen["partiality"],
                    "d": seen["d"],
                    "flags": np.full(n, int(Flags.INTEGRATED), dtype=np.uint64),
                    "id": np.full(n, k, dtype=np.int32),
                }
            ).with_identifiers({k: f"wedge-{k}"})
        )
        scan = Scan((1, settings.n_images), (settings.start_deg, width))
        A = crystal.A @ np.linalg.inv(basis).T
        items.append(
            Experiment(
                beam, Detector((panel,)), Goniometer(np.array([1.0, 0, 0])), scan, Crystal(A), identifier=f"wedge-{k}"
            )
        )
        bases.append(basis)
    return Wedges(Experiments(tuple(items)), ReflectionTable.concatenate(tables), group, bases)


def _turn(cell: gemmi.UnitCell, primitive: np.ndarray, within: float, rng: np.random.Generator) -> np.ndarray:
    """A symmetry of the primitive lattice, and on to the reduced cell that errors of the cell would lead to."""
    metric = primitive.T @ np.array(cell.orth.mat.tolist()).T @ np.array(cell.orth.mat.tolist()) @ primitive
    a, b, c = np.sqrt(np.diag(metric))
    cosines = metric[1, 2] / (b * c), metric[0, 2] / (a * c), metric[0, 1] / (a * b)
    reduced = gemmi.UnitCell(a, b, c, *np.degrees(np.arccos(cosines)))
    rotations = lattice_settings(reduced, max_delta=within)[0].rotations
    return rotations[rng.integers(len(rotations))] @ primitive_reduced_basis(reduced, "P")


def assert_one_true_setting(wedges: Wedges, result: CosymResult) -> None:
    """The Laue group is that of the crystal, along the right axes, and all sets that were kept are in one setting."""
    truth = [np.array(op.rot) / op.DEN for op in wedges.space_group.operations().sym_ops]
    paths = [wedges.bases[number] @ basis for number, basis in result.cb_ops.items()]
    for path in paths:
        between = np.linalg.inv(paths[0] @ np.linalg.inv(path))
        assert min(np.abs(between - r).max() for r in truth) < 1e-6, "two settings"
    # x' = P^-1 x: rotations of the true cell as the final one sees them.
    moved = {_whole(np.linalg.inv(paths[0]) @ r @ paths[0]) for r in truth}
    found = {_whole(np.array(op.rot) / op.DEN) for op in result.space_group.operations().sym_ops}
    assert found == moved, f"{result.space_group.xhm()} for {wedges.space_group.xhm()}"


def _whole(rotation: np.ndarray) -> tuple[int, ...]:
    return tuple(np.rint(rotation).astype(int).ravel().tolist())
