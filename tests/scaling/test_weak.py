"""Data that hold hardly anything but noise."""

import numpy as np

from puredials.model import Flags
from puredials.scaling import scale
from scaling_synthetic import sweeps


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
