"""From the images of several crystals, indexed each by itself, to one setting of known structure factors."""

import gemmi
import numpy as np
import pytest

from puredials.indexing import index
from puredials.integration import integrate
from puredials.io.formats import open_images
from puredials.io.importing import import_files
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.refinement import refine
from puredials.simulate import SimulationConfig, simulate
from puredials.simulate.protein import make_protein
from puredials.spots import find_spots
from puredials.symmetry import cosym, lattice_settings


def four_crystals(symbol: str, cell: tuple[float, ...], seed: int) -> SimulationConfig:
    return SimulationConfig.model_validate(
        {
            "seed": seed,
            "protein": {"space_group": symbol, "cell": cell, "seed": seed, "d_min": 2.3, "photons_at_4A": 1500},
            "detector": {"type": "eiger_500k", "distance_mm": 90},
            "goniometer": {"type": "single"},
            "crystals": [
                {"orientation_seed": 40 + k, "cell_variation": 0.001, "alternative_setting": k in (1, 3)}
                for k in range(4)
            ],
            "sweeps": [{"crystal": k, "n_images": 40, "width_deg": 0.5, "start_deg": 30.0 * k} for k in range(4)],
            "background": {"mean": 0.5},
        }
    )  # fmt: skip


def processed(files: list[str]) -> tuple[Experiments, ReflectionTable]:
    """Each sweep by itself, as with joint=false."""
    items, tables = [], []
    for number, file in enumerate(files):
        experiments = import_files([file]).experiments
        images = open_images(experiments[0])
        indexed = index(experiments, find_spots(images, experiments[0]).table)
        refined = refine(indexed.experiments, indexed.table)
        integrated = integrate(images, refined.experiments[0], refined.table)
        ids = np.full(integrated.table.n_rows, number, np.int32)
        name = integrated.experiment.identifier
        items.append(integrated.experiment)
        tables.append(integrated.table.with_columns({"id": ids}).with_identifiers({number: name}))
    return Experiments(tuple(items)), ReflectionTable.concatenate(tables)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("symbol", "cell", "seed"), [("P 3", (47, 47, 61, 90, 90, 120), 5), ("P 4", (49, 49, 37, 90, 90, 90), 6)]
)
def test_four_crystals_from_images_come_to_one_setting(symbol, cell, seed, tmp_path):
    config = four_crystals(symbol, cell, seed)
    made = simulate(config, tmp_path)
    result = cosym(*processed([str(sweep.path) for sweep in made.sweeps]))
    assert not result.excluded
    assert result.space_group.hm == symbol
    protein = make_protein(config.protein)
    true = {tuple(h): i for h, i in zip(protein.p1_hkl.tolist(), protein.p1_intensity, strict=True)}
    rotations = lattice_settings(gemmi.UnitCell(*cell))[0].rotations
    best = []
    for k in range(4):
        table = result.reflections.select(
            (result.reflections["id"] == k) & result.reflections.has(Flags.INTEGRATED_PRF)
        )
        measured = table["intensity.prf.value"] * table["lp"]
        cc = []
        for rotation in rotations:
            expected = np.array([true.get(tuple(h), np.nan) for h in (table["miller_index"] @ rotation).tolist()])
            known = np.isfinite(expected)
            cc.append(np.corrcoef(measured[known], expected[known])[0, 1])
        best.append(set(np.flatnonzero(np.array(cc) > 0.98).tolist()))
    assert len(best[0]) == len(protein.rotations)
    assert best == [best[0]] * 4
