"""The lattices a crystal may have, by its cell, the fit of its spots and the intensities of equivalent ones."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from synthetic_spots import crystal, instrument, spots_of

from parameter_flips import without_effect
from puredials.cli import refine_bravais_settings as program
from puredials.errors import ParameterError, ProcessingError, PuredialsError, TooFewReflectionsError
from puredials.execute import Threads
from puredials.indexing import BravaisParams, bravais_summary, bravais_text, refine_bravais_settings
from puredials.indexing.bravais import chiral_groups
from puredials.io.expt import write_experiments
from puredials.io.refl import write_reflections
from puredials.model import Experiments, ReflectionTable, cell_parameters
from puredials.symmetry import primitive_reduced_basis, reindex_crystal, reindex_table


def triclinic_data(cell, symbol: str, *, n: int = 1500, seed: int = 1) -> tuple[Experiments, ReflectionTable]:
    """Spots with intensities of a crystal that obeys `symbol`, described in its reduced primitive cell."""
    group = gemmi.SpaceGroup(symbol)
    true = crystal(cell, symbol, seed)
    experiment = instrument(degrees=60)
    table, hkl = spots_of(experiment, true, n=n, seed=seed)
    allowed = ~np.array([group.operations().is_systematically_absent(list(map(int, h))) for h in hkl])
    rng = np.random.default_rng(0)
    strength: dict[tuple[int, ...], float] = {}
    asu = gemmi.ReciprocalAsu(group)
    unique = [tuple(asu.to_asu(list(map(int, h)), group.operations())[0]) for h in hkl]
    for h in unique:
        strength.setdefault(h, float(rng.exponential(100)))
    value = np.array([strength[h] for h in unique]) * rng.normal(1, 0.05, len(unique))
    table = table.with_columns(
        {
            "miller_index": hkl.astype(np.int32),
            "intensity.sum.value": value,
            "intensity.sum.variance": np.full(len(value), 25.0),
        }
    ).select(allowed)
    reduced = primitive_reduced_basis(true.unit_cell, group.centring_type())
    primitive = replace(experiment, crystal=reindex_crystal(true, reduced, gemmi.SpaceGroup("P 1")))
    return Experiments((primitive,)), reindex_table(table, reduced)


@pytest.mark.parametrize(
    ("cell", "symbol", "bravais", "n_settings"),
    [
        ((41, 52, 63, 81, 83, 76), "P 1", "aP", 1),
        ((41, 52, 63, 90, 97, 90), "P 1 21 1", "mP", 2),
        ((95, 41, 71, 90, 111.5, 90), "C 1 2 1", "mC", 2),
        ((41, 52, 63, 90, 90, 90), "P 21 21 21", "oP", 5),
        ((60, 60, 38, 90, 90, 90), "P 43 21 2", "tP", 9),
        ((62, 62, 91, 90, 90, 120), "P 31 2 1", "hP", 12),
        ((80, 80, 110, 90, 90, 120), "R 3 2:H", "hR", 5),
        ((78, 78, 78, 90, 90, 90), "I 21 3", "cI", 22),
    ],
)
def test_the_lattice_of_a_crystal_is_recommended(cell, symbol, bravais, n_settings):
    result = refine_bravais_settings(*triclinic_data(cell, symbol))
    best = result.recommended
    assert not result.failures
    assert best.bravais == bravais
    assert best is result.settings[0]
    assert len(result.settings) == n_settings
    assert best.crystal.unit_cell.approx(gemmi.UnitCell(*cell), 0.1)
    assert best.rmsd < 1.1 * result.settings[-1].rmsd
    if best.cc_range:
        assert best.cc_range[0] > 0.9
    assert [s.number for s in result.settings] == list(range(n_settings, 0, -1))


def test_a_cell_of_too_high_symmetry_by_chance_is_told_by_its_intensities():
    experiments, table = triclinic_data((50, 50, 63, 90, 90, 90), "P 21 21 21")
    settings = refine_bravais_settings(experiments, table).settings
    tetragonal = next(s for s in settings if s.bravais == "tP")
    orthorhombic = next(s for s in settings if s.bravais == "oP")
    assert tetragonal.cc_range
    assert orthorhombic.cc_range
    assert tetragonal.cc_range[0] < 0.3
    assert orthorhombic.cc_range[0] > 0.9


def test_a_lattice_that_spots_contradict_is_listed_but_not_recommended():
    experiments, table = triclinic_data((41, 52, 63, 90, 92, 90), "P 1 21 1")
    result = refine_bravais_settings(experiments, table)
    assert result.settings[0].bravais == "oP"
    assert not result.settings[0].recommended
    assert result.recommended.bravais == "mP"


def test_spots_that_fit_no_lattice_or_are_too_few_are_refused():
    experiments, table = triclinic_data((41.0, 52.0, 63.0, 81.0, 97.0, 104.0), "P 1", n=600)
    rng = np.random.default_rng(0)
    lost = table.with_columns({"miller_index": rng.permutation(table["miller_index"])})
    with pytest.raises(ProcessingError, match="px already"):
        refine_bravais_settings(experiments, lost)
    with pytest.raises(TooFewReflectionsError):
        refine_bravais_settings(experiments, table.select(np.arange(15)))


def test_operators_and_spots_belong_together():
    experiments, table = triclinic_data((95, 41, 71, 90, 111.5, 90), "C 1 2 1")
    best = refine_bravais_settings(experiments, table).recommended
    found = np.array(cell_parameters(experiments[0].crystal.A @ np.linalg.inv(best.basis).T))
    np.testing.assert_allclose(found, best.crystal.unit_cell.parameters, rtol=2e-3)
    assert not np.mod(reindex_table(table, best.basis)["miller_index"][:, :2].sum(axis=1), 2).any()


def test_no_lattice_is_listed_that_fits_worse_than_the_limit():
    experiments, table = triclinic_data((77.90, 77.95, 78.01, 90.03, 89.98, 90.02), "I 1")
    every = refine_bravais_settings(experiments, table)
    fits = sorted(s.delta for s in every.settings)
    assert len(fits) == 22
    limit = (fits[6] + fits[7]) / 2
    few = refine_bravais_settings(experiments, table, params=BravaisParams(lepage_max_delta=limit))
    assert sorted(s.delta for s in few.settings) == pytest.approx([d for d in fits if d <= limit])
    assert [s.number for s in few.settings] == list(range(len(few.settings), 0, -1))


def test_the_number_of_workers_does_not_matter():
    data = triclinic_data((60, 60, 38, 90, 90, 90), "P 43 21 2")
    with Threads(2) as threads:
        together = refine_bravais_settings(*data, executor=threads)
    assert bravais_summary(refine_bravais_settings(*data)) == bravais_summary(together)


def test_sweeps_of_one_crystal_are_refined_together_and_one_of_several_crystals_is_chosen():
    experiments, table = triclinic_data((60, 60, 38, 90, 90, 90), "P 43 21 2")
    other = replace(experiments[0], identifier="two")
    both = ReflectionTable.concatenate([table, table.with_columns({"id": table["id"] + 1})])
    shared = refine_bravais_settings(experiments.with_items((experiments[0], other)), both)
    assert shared.recommended.bravais == "tP"
    assert shared.recommended.n_spots > 1.5 * table.n_rows
    assert len({id(e.crystal) for e in shared.recommended.experiments}) == 1

    separate = experiments.with_items((experiments[0], replace(other, crystal=replace(other.crystal))))
    with pytest.raises(ParameterError, match="crystal_id=0 to crystal_id=1"):
        refine_bravais_settings(separate, both)
    second = refine_bravais_settings(separate, both, params=BravaisParams(crystal_id=1))
    assert second.recommended.experiments.identifiers == ("two",)
    assert second.recommended.bravais == "tP"


def test_the_table_is_laid_out_as_users_know_it():
    text = bravais_text(refine_bravais_settings(*triclinic_data((95, 41, 71, 90, 111.5, 90), "C 1 2 1")))
    lines = text.splitlines()
    assert lines[:3] == ["Chiral space groups corresponding to each Bravais lattice:", "aP: P1", "mC: C2"]
    assert lines[4].startswith("|   Solution |   Metric fit |   rmsd | min/max cc   |   #spots | lattice   | unit_cell")
    assert lines[6].startswith("|   *      2 | ")
    assert "-/-" in lines[7]
    assert lines[-1] == "* = recommended solution"
    assert len({len(line) for line in lines[3:-1]}) == 1


def test_each_lattice_has_its_chiral_groups():
    assert [g.short_name() for g in chiral_groups("cI")] == ["I23", "I213", "I432", "I4132"]
    assert [g.xhm() for g in chiral_groups("hR")] == ["R 3:H", "R 3 2:H"]
    lattices = ("aP", "mP", "mC", "oP", "oC", "oF", "oI", "tP", "tI", "hP", "hR", "cP", "cF", "cI")
    assert sum(len(chiral_groups(b)) for b in lattices) == 65


CONTEXTS: dict[str, tuple[list[str], str | None]] = {
    "lepage_max_delta": ([], "0.01"),
    "crystal_id": ([], "1"),
    "cc_n_bins": ([], "5"),
    "refinement.parameterisation.auto_reduction.min_nref_per_parameter": (["action=fail"], "1000"),
    "refinement.parameterisation.auto_reduction.action": (["min_nref_per_parameter=1000"], "fail"),
    "refinement.parameterisation.beam.fix": ([], "wavelength"),
    "refinement.parameterisation.crystal.fix": ([], "cell"),
    "refinement.parameterisation.detector.fix": ([], "orientation"),
    "refinement.refinery.max_iterations": ([], "1"),
    "refinement.reflections.reflections_per_degree": (["minimum_sample_size=100"], "3"),
    "refinement.reflections.minimum_sample_size": (["reflections_per_degree=3"], "900"),
    "refinement.reflections.maximum_sample_size": ([], "300"),
    "refinement.reflections.random_seed": (["maximum_sample_size=300"], "7"),
    "refinement.reflections.close_to_spindle_cutoff": ([], "0.3"),
    "refinement.reflections.scan_margin": ([], "5"),
    "refinement.reflections.weighting_strategy.override": ([], "constant"),
    "refinement.reflections.weighting_strategy.constants": (["override=constant"], "1 1 100"),
    "refinement.reflections.outlier.algorithm": ([], "null"),
    "refinement.reflections.outlier.minimum_number_of_reflections": ([], "500"),
    "refinement.reflections.outlier.block_width": ([], "60"),
    "refinement.reflections.outlier.mcd.alpha": (["outlier.algorithm=mcd"], "0.9"),
    "refinement.reflections.outlier.mcd.threshold_probability": (["outlier.algorithm=mcd"], "0.9"),
}
# nproc is about time alone; the rest concern stills, several panels or several experiments, as in indexing's own test.
ELSEWHERE = {
    "nproc",
    "refinement.reflections.weighting_strategy.delpsi_constant",
    "refinement.reflections.outlier.separate_panels",
    "refinement.reflections.outlier.separate_experiments",
}


def test_every_parameter_changes_the_summary():
    experiments, table = triclinic_data((90, 42, 60, 90, 125, 90), "C 1 2 1")
    # About a degree from two-fold, so that the tolerance decides.
    strain = np.eye(3) + np.array([[0, 0.01, 0.01], [0, 0, 0.01], [0, 0, 0]])
    bent = replace(experiments[0].crystal, A=strain @ experiments[0].crystal.A)
    experiments = experiments.with_items((replace(experiments[0], crystal=bent),))

    def outcome(params) -> str:
        try:
            return str(bravais_summary(refine_bravais_settings(experiments, table, params=params)))
        except PuredialsError as error:
            return str(error)

    assert without_effect(program.PROGRAM, outcome, CONTEXTS, skip=ELSEWHERE) == []


def test_the_program_writes_a_summary_and_a_file_for_each_setting(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    experiments, table = triclinic_data((60, 60, 38, 90, 90, 90), "P 43 21 2")
    write_experiments(experiments, "indexed.expt")
    write_reflections(table, "indexed.refl")
    assert program.main(["indexed.expt", "indexed.refl"]) == 0
    assert "Saving solution 9 as bravais_setting_9.expt" in capsys.readouterr().out
    assert len(list(tmp_path.glob("bravais_setting_*.expt"))) == 9
    assert program.main(["indexed.expt", "indexed.refl", "prefix=mine", "nproc=1"]) == 0
    assert tmp_path.joinpath("mine_bravais_summary.json").read_bytes() == (
        tmp_path.joinpath("bravais_summary.json").read_bytes()
    )
