"""Statistics of each data set, by itself and against the others."""

import numpy as np
import pytest
from jaxtyping import Float64

from puredials.merging import merge_data, merging_statistics
from puredials.merging.by_sweep import statistics_by_sweep, sweep_summary, sweep_table
from puredials.merging.params import FreeFlagParams, MergeParams
from puredials.model import Flags, ReflectionTable
from puredials.report.sweeps import sweep_sections
from puredials.sets import select_experiments
from scaling_synthetic import sweeps

PARAMS = MergeParams(truncate=False, r_free_flags=FreeFlagParams(generate=False))


def scaled(n_sweeps: int) -> tuple:
    data = sweeps(n_sweeps=n_sweeps, images=30, d_min=4.0)
    table = data.table
    lp = table["lp"]
    columns = {
        "intensity.scale.value": table["intensity.prf.value"] * lp,
        "intensity.scale.variance": table["intensity.prf.variance"] * lp**2,
        "inverse_scale_factor": data.scale,
        "flags": table["flags"] | np.uint64(Flags.SCALED),
    }
    return data.experiments, table.with_columns(columns)


def by_sweep(experiments, table: ReflectionTable) -> tuple:
    merged = merge_data(experiments, table, params=PARAMS)
    return merged, statistics_by_sweep(merged, experiments, merging_statistics(merged, 5))


def test_each_data_set_has_the_statistics_that_it_has_alone():
    experiments, table = scaled(3)
    _, found = by_sweep(experiments, table)
    assert [s.number for s in found] == [0, 1, 2]
    for s in found:
        chosen, rows = select_experiments(experiments, table, [s.number])
        alone = merge_data(chosen, rows, params=PARAMS)
        sums = merging_statistics(alone, 1).overall
        for name in ("n_obs", "n_unique", "r_meas", "i_over_sigma", "cc_half", "multiplicity"):
            assert getattr(s.sums, name)[0] == pytest.approx(getattr(sums, name)[0], rel=1e-9), name


def test_the_correlation_is_with_the_means_of_the_others():
    experiments, table = scaled(3)
    merged, found = by_sweep(experiments, table)
    _, rest = select_experiments(experiments, table, [0, 2])
    _, own = select_experiments(experiments, table, [1])

    def means(rows: ReflectionTable) -> dict[tuple[int, ...], Float64[np.ndarray, ""]]:
        part = merge_data(experiments, rows, params=PARAMS)
        return dict(zip(map(tuple, part.hkl.tolist()), part.mean.value, strict=True))

    a, b = means(own), means(rest)
    both = sorted(a.keys() & b.keys())
    assert found[1].cc_others == pytest.approx(np.corrcoef([a[h] for h in both], [b[h] for h in both])[0, 1], abs=1e-9)
    assert merged.observations.experiment.max() == 2


def test_a_data_set_of_another_crystal_stands_out_in_the_table():
    experiments, table = scaled(3)
    order = np.arange(table.n_rows)
    rows = order[table["id"] == 2]
    order[rows] = np.random.default_rng(1).permutation(rows)
    columns = {f"intensity.scale.{what}": table[f"intensity.scale.{what}"][order] for what in ("value", "variance")}
    _, found = by_sweep(experiments, table.with_columns(columns))
    assert found[2].cc_others < 0.5 < 0.9 < found[0].sums.cc_half[0]
    assert found[2].r_merge_all > found[0].r_merge_all
    assert sweep_table(found).count("1-30") == 3
    assert [s["identifier"] for s in sweep_summary(found)] == ["sweep-0", "sweep-1", "sweep-2"]
    assert len(sweep_sections(found)) == 1
    assert sweep_sections(found[:1]) == []
