"""Merging, exports and resolution limits from scaled tables: truth, invariances, and stored DIALS files."""

from pathlib import Path

import gemmi
import numpy as np
import pytest
import reciprocalspaceship as rs

from puredials.errors import MismatchError, TooFewReflectionsError
from puredials.io.expt import read_experiments
from puredials.io.mtz import MtzDataset, read_free_flags, space_group_of, write_merged_mtz, write_unmerged_mtz
from puredials.io.mtz_batches import batch_headers, cambridge_frame
from puredials.io.refl import read_reflections
from puredials.merging import (
    combine_partials,
    estimate_resolution,
    merge_data,
    merging_statistics,
    merging_summary,
    merging_table,
    unmerged_data,
)
from puredials.merging.params import MergeParams, ResolutionParams, UnmergedParams
from puredials.merging.unmerged import batch_offsets
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

GROUP = gemmi.SpaceGroup("P 41 21 2")
HALL = GROUP.hall
A = np.diag([1 / 40.0, 1 / 40.0, 1 / 60.0])


def experiment(**changes) -> Experiment:
    models = {
        "beam": Beam([0, 0, 1], 1.0),
        "detector": Detector((Panel([1, 0, 0], [0, -1, 0], [-50, 50, -100], (1000, 1000), (0.1, 0.1)),)),
        "goniometer": Goniometer([[1, 0, 0]]),
        "scan": Scan((1, 90), (0.0, 1.0)),
        "crystal": Crystal(A, HALL),
    }
    return Experiment(**{**models, **changes})


def scaled_table(d_min: float = 2.5, noise: float = 1.0, seed: int = 0) -> tuple[ReflectionTable, np.ndarray]:
    """Symmetry mates of all reflections with Wilson intensities; and the true intensity of each row."""
    rng = np.random.default_rng(seed)
    cell = gemmi.UnitCell(40, 40, 60, 90, 90, 90)
    unique = np.asarray(gemmi.make_miller_array(cell, GROUP, d_min), dtype=np.int32)
    d = np.asarray(cell.calculate_d_array(unique))
    true = rng.exponential(1, len(unique)) * 300 * np.exp(-10 / d**2)
    mates = np.concatenate([[op.apply_to_hkl(h) for h in unique.tolist()] for op in GROUP.operations().sym_ops])
    truth, n = np.tile(true, 8), len(mates)
    g, sigma = rng.uniform(0.5, 2, n), noise * np.sqrt(truth + 4)
    table = ReflectionTable(
        {
            "id": np.zeros(n, np.int32),
            "miller_index": mates.astype(np.int32),
            "flags": np.full(n, Flags.SCALED | Flags.INTEGRATED_SUM, np.uint64),
            "intensity.scale.value": g * (truth + sigma * rng.normal(size=n)),
            "intensity.scale.variance": (g * sigma) ** 2,
            "inverse_scale_factor": g,
            "inverse_scale_factor_variance": np.full(n, 1e-4),
            "partiality": np.ones(n),
            "partial_id": np.arange(n, dtype=np.uint64),
            "xyzobs.px.value": rng.uniform(0, 90, (n, 3)),
            "xyzcal.mm": rng.uniform(0, 1.5, (n, 3)),
            "background.sum.value": rng.uniform(1, 9, n),
            "background.sum.variance": rng.uniform(1, 9, n),
            "lp": np.ones(n),
            "qe": np.ones(n),
        }
    )
    return table, truth


EXPERIMENTS = Experiments((experiment(),))


def test_merged_intensities_and_errors_agree_with_the_truth() -> None:
    table, truth = scaled_table()
    result = merge_data(EXPERIMENTS, table)
    expected = np.zeros(len(result.hkl))
    expected[result.equivalents.group] = truth
    z = (result.mean.value - expected) / result.mean.sigma
    assert abs(z.std() - 1) < 0.05
    assert (result.mean.count == 8).mean() > 0.9
    assert result.F is not None
    assert np.corrcoef(result.F.F, np.sqrt(expected))[0, 1] > 0.98


def test_merging_does_not_depend_on_the_order_of_observations() -> None:
    table, _ = scaled_table()
    other = table.select(np.random.default_rng(1).permutation(table.n_rows))
    one, two = merge_data(EXPERIMENTS, table), merge_data(EXPERIMENTS, other)
    np.testing.assert_array_equal(one.hkl, two.hkl)
    for name in ("mean", "plus", "minus"):
        np.testing.assert_allclose(getattr(one, name).value, getattr(two, name).value, rtol=1e-9)
    np.testing.assert_array_equal(one.free, two.free)


def test_outliers_excluded_and_unscaled_rows_are_left_out() -> None:
    table, _ = scaled_table()
    flags = table["flags"].copy()
    flags[::10] |= np.uint64(Flags.OUTLIER_IN_SCALING)
    flags[1::10] = np.uint64(Flags.INTEGRATED_SUM)
    kept = merge_data(EXPERIMENTS, table.with_columns({"flags": flags})).observations
    assert len(kept.hkl) == table.n_rows - len(flags[::10]) - len(flags[1::10])


def test_limits_of_resolution_apply() -> None:
    table, _ = scaled_table()
    result = merge_data(EXPERIMENTS, table, params=MergeParams(d_min=3.0, d_max=10.0))
    assert result.d.min() >= 3.0
    assert result.d.max() <= 10.0
    with pytest.raises(TooFewReflectionsError):
        merge_data(EXPERIMENTS, table, params=MergeParams(d_min=30.0, d_max=31.0))


def test_unscaled_tables_and_mixed_symmetries_are_refused() -> None:
    table, _ = scaled_table()
    with pytest.raises(MismatchError, match=r"dials\.scale"):
        merge_data(EXPERIMENTS, table.without(["inverse_scale_factor"]))
    with pytest.raises(MismatchError, match="different space groups"):
        merge_data(Experiments((experiment(), experiment(crystal=Crystal(A, "P 1")))), table)


def test_partials_of_one_reflection_become_one_row() -> None:
    table = ReflectionTable(
        {
            "id": np.zeros(3, np.int32),
            "miller_index": np.array([[1, 2, 3], [1, 2, 3], [1, 2, 4]], np.int32),
            "partial_id": np.array([7, 7, 8], np.uint64),
            "partiality": np.array([0.25, 0.75, 1.0]),
            "intensity.sum.value": np.array([25.0, 75.0, 5.0]),
            "intensity.sum.variance": np.array([30.0, 80.0, 9.0]),
            "intensity.prf.value": np.array([100.0, 104.0, 5.0]),
            "intensity.prf.variance": np.array([4.0, 4.0, 9.0]),
            "xyzobs.px.value": np.array([[1.0, 1, 1], [1, 1, 2], [5, 5, 5]]),
        }
    )
    joined = combine_partials(table)
    np.testing.assert_allclose(joined["partiality"], [1.0, 1.0])
    np.testing.assert_allclose(joined["intensity.sum.value"], [100, 5])
    np.testing.assert_allclose(joined["intensity.sum.variance"], [110, 9])
    np.testing.assert_allclose(joined["intensity.prf.value"], [103, 5])
    np.testing.assert_allclose(joined["intensity.prf.variance"], [2.5, 9])
    np.testing.assert_allclose(joined["xyzobs.px.value"][0], [1, 1, 1.75])


def test_merged_files_are_read_by_gemmi_with_all_columns(tmp_path: Path) -> None:
    table, _ = scaled_table()
    result = merge_data(EXPERIMENTS, table)
    write_merged_mtz(
        tmp_path / "m.mtz", result.hkl, [MtzDataset(result.columns(), 1.0)], cell=result.cell,
        space_group=space_group_of(result.symmetry),
    )  # fmt: skip
    mtz = gemmi.read_mtz_file(str(tmp_path / "m.mtz"))
    assert mtz.spacegroup.hm == "P 41 21 2"
    assert mtz.column_labels()[:6] == ["H", "K", "L", "IMEAN", "SIGIMEAN", "N"]
    assert {"F", "SIGF", "F(+)", "F(-)", "DANO", "SIGDANO", "FreeR_flag"} <= set(mtz.column_labels())
    np.testing.assert_allclose(mtz.column_with_label("IMEAN").array, result.mean.value, rtol=1e-6)
    hkl, free = read_free_flags(tmp_path / "m.mtz")
    np.testing.assert_array_equal(hkl, result.hkl)
    np.testing.assert_array_equal(free, result.free)


def test_unmerged_files_keep_the_measured_indices_and_batches(tmp_path: Path) -> None:
    table, _ = scaled_table()
    data = unmerged_data(EXPERIMENTS, table)
    headers = batch_headers(EXPERIMENTS[0])
    write_unmerged_mtz(
        tmp_path / "u.mtz", data.hkl, data.batch, data.columns(), headers,
        cell=data.cell, space_group=GROUP, wavelengths=[1.0],
    )  # fmt: skip
    mtz = gemmi.read_mtz_file(str(tmp_path / "u.mtz"))
    assert len(mtz.batches) == 90
    assert {b.dataset_id for b in mtz.batches} == {1}
    asu = gemmi.ReciprocalAsu(GROUP)
    assert all(asu.is_in(h) for h in mtz.make_miller_array().tolist())
    assert mtz.switch_to_original_hkl()
    np.testing.assert_array_equal(mtz.make_miller_array(), data.hkl)
    np.testing.assert_array_equal(mtz.column_with_label("BATCH").array, np.floor(table["xyzobs.px.value"][:, 2]) + 1)
    intensity = table["intensity.scale.value"] / table["inverse_scale_factor"]
    np.testing.assert_allclose(mtz.column_with_label("I").array, intensity, rtol=1e-6)


def test_reciprocalspaceship_reads_merged_and_unmerged_files(tmp_path: Path) -> None:
    table, _ = scaled_table()
    result, data = merge_data(EXPERIMENTS, table), unmerged_data(EXPERIMENTS, table)
    write_merged_mtz(
        tmp_path / "m.mtz", result.hkl, [MtzDataset(result.columns(), 1.0)], cell=result.cell,
        space_group=space_group_of(result.symmetry),
    )  # fmt: skip
    write_unmerged_mtz(
        tmp_path / "u.mtz", data.hkl, data.batch, data.columns(), batch_headers(EXPERIMENTS[0]),
        cell=data.cell, space_group=GROUP, wavelengths=[1.0],
    )  # fmt: skip
    merged, unmerged = rs.read_mtz(str(tmp_path / "m.mtz")), rs.read_mtz(str(tmp_path / "u.mtz"))
    assert merged.merged
    assert not unmerged.merged
    for dataset in (merged, unmerged):
        assert dataset.spacegroup.hm == "P 41 21 2"
        np.testing.assert_allclose(dataset.cell.parameters, data.cell.parameters, rtol=1e-6)
    np.testing.assert_array_equal(merged.get_hkls(), result.hkl)
    np.testing.assert_allclose(merged["IMEAN"].to_numpy(), result.mean.value, rtol=1e-6)
    assert isinstance(merged["I(+)"].dtype, rs.FriedelIntensityDtype)
    # It gives each observation the index that was measured, as the table has it.
    np.testing.assert_array_equal(unmerged.get_hkls(), data.hkl)
    np.testing.assert_array_equal(unmerged["BATCH"].to_numpy(), data.batch)


def test_reflections_centred_beyond_the_scan_belong_to_its_end_images() -> None:
    table, _ = scaled_table()
    xyz = table["xyzobs.px.value"].copy()
    xyz[:3, 2] = -0.7, 90.2, 89.9
    data = unmerged_data(EXPERIMENTS, table.with_columns({"xyzobs.px.value": xyz}))
    assert data.batch[:3].tolist() == [1, 90, 90]


def test_batch_headers_hold_the_orientation_in_the_cambridge_frame() -> None:
    rotation = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    triclinic = np.array([[0.03, 0.004, 0.002], [0, 0.025, 0.003], [0, 0, 0.02]])
    setting = rotation @ triclinic * np.linalg.det(rotation)
    goniometer = Goniometer([[0, 0, 1], [1, 0, 0]], [40, 0], names=("phi", "omega"), scan_axis=1, multi_axis=True)
    one = experiment(crystal=Crystal(setting), goniometer=goniometer, beam=Beam([0.01, 0.02, 1], 1.0))
    frame = cambridge_frame(one)
    np.testing.assert_allclose(frame @ goniometer.rotation_axis, [0, 0, 1], atol=1e-12)
    assert abs((frame @ one.beam.direction)[1]) < 1e-12
    header = batch_headers(one, offset=100)[4]
    assert header.number == 105
    np.testing.assert_allclose(header.floats[36:38], [4, 5])
    U = header.floats[6:15].reshape(3, 3, order="F")
    B = U.T @ frame @ goniometer.fixed_rotation @ setting
    np.testing.assert_allclose(B, np.triu(B), atol=1e-12)  # Busing & Levy's B, so that U B is the setting there
    np.testing.assert_allclose(np.linalg.det(U), 1)


def test_batch_numbers_of_sweeps_do_not_clash() -> None:
    two = Experiments((experiment(), experiment()))
    assert batch_offsets(two) == (0, 100)
    given = experiment(scan=Scan((1, 90), (0, 1), batch_offset=1000))
    assert batch_offsets(Experiments((experiment(), given))) == (0, 1000)


def test_tables_print_the_numbers_of_the_statistics() -> None:
    table, _ = scaled_table()
    result = merge_data(EXPERIMENTS, table)
    statistics = merging_statistics(result, 5)
    lines = merging_table(statistics).splitlines()
    assert len(lines) == 7
    assert int(lines[-1].split()[2]) == len(result.observations.hkl)
    assert 0.97 < float(statistics.overall.completeness[0]) <= 1  # but for screw axes
    assert "Wilson B factor" in merging_summary(statistics, result)


def test_the_wilson_plot_finds_the_B_factor_of_its_own_model() -> None:
    table, _ = scaled_table(d_min=1.8, noise=0.1)
    result = merge_data(EXPERIMENTS, table)
    assert result.wilson is not None
    # exp(-10 / d^2) alone is B = 20 for point atoms; the fall of scattering factors is explained by less of it.
    assert 5 < result.wilson.B < 20


@pytest.mark.parametrize("method", ["half_dataset", "sigma_tau"])
def test_the_limit_is_where_the_correlation_falls(method: str) -> None:
    limits = []
    for noise in (4.0, 8.0, 16.0):
        table, _ = scaled_table(d_min=1.8, noise=noise)
        params = ResolutionParams(cc_half_method=method, misigma=2.0)
        result = estimate_resolution(EXPERIMENTS, table, params=params)
        limits.append(result.d_min)
        assert [c.metric for c in result.curves] == ["cc_half", "misigma"]
    assert limits[0] < limits[1] < limits[2]


def test_complete_and_good_data_reach_to_their_end() -> None:
    table, _ = scaled_table(d_min=3.0, noise=0.3)
    params = ResolutionParams(completeness=0.5, rmerge=0.5, isigma=0.5, i_mean_over_sigma_mean=0.5)
    for curve in estimate_resolution(EXPERIMENTS, table, params=params).curves:
        assert curve.limit is not None
        assert not curve.limit.within_data, curve.metric
        assert curve.limit.d_min == pytest.approx(3.0, abs=0.02)


def test_where_few_reflections_are_repeated_the_limit_is_not_that_of_the_curve() -> None:
    table, _ = scaled_table(d_min=3.0, noise=1.0)
    d = np.asarray(gemmi.UnitCell(40, 40, 60, 90, 90, 90).calculate_d_array(table["miller_index"]))
    n = table.n_rows // 8
    kept = d > 3.4
    kept[:n] = True  # beyond, all once, and every tenth once more
    kept[n : 2 * n : 10] = True
    curve = estimate_resolution(EXPERIMENTS, table.select(kept), params=ResolutionParams()).curves[0]
    assert curve.is_uncertain
    assert curve.limit == curve.significant
    assert curve.passes is not None
    assert not curve.passes.within_data
    assert curve.limit is not None
    assert 3.0 < curve.limit.d_min < 3.4


def test_a_reference_of_the_truth_correlates() -> None:
    table, truth = scaled_table()
    reference = (table["miller_index"][: len(truth) // 8], truth[: len(truth) // 8])
    result = estimate_resolution(EXPERIMENTS, table, params=ResolutionParams(), reference=reference)
    curve = next(c for c in result.curves if c.metric == "cc_ref")
    assert np.nanmean(curve.value) > 0.9


def test_stored_scaled_files_merge_and_export(shared: Path) -> None:
    stem = shared / "data/dials_files"
    for name, unique in (("quartz_scaled", 293), ("l_cysteine_scaled_20_25", 1495)):
        experiments, table = read_experiments(stem / f"{name}.expt"), read_reflections(stem / f"{name}.refl")
        result = merge_data(experiments, table)
        assert abs(len(result.hkl) / unique - 1) < 0.2
        assert len(unmerged_data(experiments, table).hkl) == len(result.observations.hkl)


def test_integrated_files_export_summed_and_fitted_intensities(shared: Path) -> None:
    stem = shared / "data/dials_files/quartz_integrated"
    experiments, table = read_experiments(f"{stem}.expt"), read_reflections(f"{stem}.refl")
    data = unmerged_data(experiments, table)
    assert list(data.columns())[:4] == ["IPR", "SIGIPR", "I", "SIGI"]
    only = unmerged_data(experiments, table, params=UnmergedParams(intensity="sum"))
    assert list(only.columns())[:2] == ["I", "SIGI"]
    with pytest.raises(MismatchError, match="not scaled"):
        unmerged_data(experiments, table, params=UnmergedParams(intensity="scale"))
