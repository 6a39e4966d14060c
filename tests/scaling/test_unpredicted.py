"""Rows of strong spots without a prediction, as integration by other programs leaves them."""

import numpy as np

from puredials.model import Flags, ReflectionTable
from puredials.scaling import scale
from scaling_synthetic import sweeps


def test_spots_without_a_prediction_change_nothing() -> None:
    data = sweeps(d_min=3.0)
    result = scale(data.experiments, data.table)
    n = 40
    spots = data.table.select(np.arange(n))
    nothing = {
        name: np.zeros_like(spots[name])
        for name in ("s1", "lp", "partiality", "intensity.prf.value", "intensity.prf.variance", "xyzcal.px")
    }
    flags = np.full(n, int(Flags.INDEXED | Flags.STRONG), np.uint64)
    both = ReflectionTable.concatenate([data.table, spots.with_columns({**nothing, "flags": flags})])
    ids = np.concatenate([1 + np.arange(data.table.n_rows), np.zeros(n)]).astype(np.uint64)
    other = scale(data.experiments, both.with_columns({"partial_id": ids}))
    assert other.table.n_rows == both.n_rows
    assert not other.table.has(Flags.SCALED)[-n:].any()
    np.testing.assert_array_equal(other.table["inverse_scale_factor"][:-n], result.table["inverse_scale_factor"])
    np.testing.assert_array_equal(other.table.has(Flags.SCALED)[:-n], result.table.has(Flags.SCALED))
