"""Smaller images keep the largest valid value of each block."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puredials.kernels.reduction import largest_of_blocks


def plain(values, usable, low, high, size):
    """The definition, block by block."""
    shape = [-(-n // size) for n in values.shape]
    largest, known = np.zeros(shape, values.dtype), np.zeros(shape, bool)
    for j, i in np.ndindex(*shape):
        block = np.s_[j * size : (j + 1) * size, i * size : (i + 1) * size]
        some = usable[block] & ~np.isnan(values[block].astype(float))
        valid = some & (low <= values[block]) & (values[block] <= high)
        known[j, i] = some.any()
        if some.any():
            largest[j, i] = values[block][valid if valid.any() else some].max()
    return largest, known


def least(dtype):
    return dtype(-np.inf) if np.dtype(dtype).kind == "f" else np.iinfo(dtype).min


@given(st.data())
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_it_does_what_its_definition_says(dtype, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shape, size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9))), data.draw(st.sampled_from([1, 2, 4]))
    values = rng.integers(0, 8, shape).astype(dtype)
    if dtype is np.float32:
        values[rng.random(shape) < 0.1] = np.nan
    usable = rng.random(shape) < data.draw(st.sampled_from([0.1, 0.9]))
    expected = plain(values, usable, 2, 5, size)
    found = np.empty_like(expected[0]), np.empty_like(expected[1])
    bounds = dtype(2), dtype(5), dtype(least(dtype))
    largest_of_blocks(values, usable, *bounds, size, *found)
    np.testing.assert_array_equal(found, expected)
