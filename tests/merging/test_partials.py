"""Parts of one reflection, and rows that are none."""

import numpy as np

from puredials.merging.observations import combine_partials
from puredials.model import ReflectionTable


def test_rows_of_which_nothing_was_recorded_are_no_parts() -> None:
    """Strong spots without a prediction, as integration by other programs leaves them: all numbers are 0."""
    table = ReflectionTable(
        {
            "id": np.array([0, 0, -1, -1, 0, 0], np.int32),
            "miller_index": np.array([[1, 2, 3], [1, 2, 3], [0, 0, 0], [0, 0, 0], [2, 2, 2], [2, 2, 2]], np.int32),
            "partial_id": np.array([0, 0, 0, 0, 5, 5], np.uint64),
            "partiality": np.array([0.0, 0.0, 0.0, 0.0, 0.4, 0.6]),
            "intensity.sum.value": np.array([10.0, 20.0, 3.0, 4.0, 4.0, 6.0]),
            "intensity.sum.variance": np.array([10.0, 20.0, 3.0, 4.0, 4.0, 6.0]),
            "intensity.prf.value": np.zeros(6),
            "intensity.prf.variance": np.zeros(6),
            "xyzobs.px.value": np.arange(18.0).reshape(6, 3),
        }
    )
    joined = combine_partials(table)
    np.testing.assert_array_equal(joined["intensity.sum.value"], [10, 20, 3, 4, 10])
    np.testing.assert_array_equal(joined["xyzobs.px.value"][:4], table["xyzobs.px.value"][:4])
    # Joined parts that were not fitted have no fitted intensity either.
    np.testing.assert_array_equal(joined["intensity.prf.variance"], np.zeros(5))
