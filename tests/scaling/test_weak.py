"""Data that hold hardly anything but noise."""

import numpy as np

from puredials.model import Flags
from puredials.scaling import scale
from scaling_synthetic import sweeps


def test_a_wild_intensity_without_equivalents_is_an_outlier_whatever_the_error_model() -> None:
    data = sweeps(b=0.25, share=0.2)
    index = data.table["miller_index"]
    _, which, count = np.unique(np.abs(index), axis=0, return_inverse=True, return_counts=True)
    row = int(np.flatnonzero(count[which.ravel()] == 1)[0])
    value = data.table["intensity.prf.value"].copy()
    value[row] = 1000 * value.mean()
    variance = data.table["intensity.prf.variance"].copy()
    variance[row] += value[row]
    changed = {"intensity.prf.value": value, "intensity.prf.variance": variance}
    changed |= {name.replace("prf", "sum"): column for name, column in changed.items()}
    result = scale(data.experiments, data.table.with_columns(changed))
    assert result.table.has(Flags.OUTLIER_IN_SCALING)[row]


def test_noise_where_nothing_is_diffracted_is_no_outlier() -> None:
    """Were it judged by its mean alone, which is next to 0, only what came out high would be left out."""
    data = sweeps(level=2.0, d_min=2.8, absorption=0.0, decay=0.0, b=0.0)
    result = scale(data.experiments, data.table)
    outlier = result.table.has(Flags.OUTLIER_IN_SCALING)
    assert outlier.mean() < 1e-3
    used = ~outlier
    value, variance = result.table["intensity.scale.value"][used], result.table["intensity.scale.variance"][used]
    off = (value - data.true[used] * data.scale[used]) / np.sqrt(variance)
    assert abs(off.mean()) < 4 / np.sqrt(used.sum())
