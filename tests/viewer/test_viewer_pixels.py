"""Counts survive the way to the page, in few bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puredials.model import Panel
from puredials.viewer.pixels import coded, corrected

COUNTS = st.one_of(st.integers(-3, 300), st.integers(65500, 65600), st.just(2**31 - 1))


def decoded(arrays):
    codes = arrays["codes"].astype(np.int64)
    values = np.where(codes > 255, codes - 2, codes)
    values[arrays["at"]] = arrays["large"]
    return values


@given(st.lists(COUNTS, min_size=1, max_size=60), st.data())
def test_each_usable_count_comes_back(counts, data):
    image = np.array([counts], np.int32)
    usable = np.array([data.draw(st.lists(st.booleans(), min_size=len(counts), max_size=len(counts)))])
    arrays, _ = coded([image], [usable])
    np.testing.assert_array_equal(decoded(arrays)[usable[0]], image[usable])
    assert (arrays["codes"][~usable[0]] == 255).all()
    assert (arrays["codes"][usable[0]] != 255).all()


@pytest.mark.parametrize(("high", "size"), [(20, 1), (5000, 2)])
def test_small_counts_take_a_byte_and_large_ones_two(high, size):
    image = np.random.default_rng(0).integers(0, high, (100, 100)).astype(np.uint16)
    arrays, about = coded([image], [np.ones((100, 100), bool)])
    assert arrays["codes"].itemsize == size
    np.testing.assert_array_equal(decoded(arrays), image.ravel())
    assert about["high"] == pytest.approx(3 * high, rel=0.1)


def test_panels_follow_each_other():
    images = [np.full((2, 3), 1, np.int32), np.full((1, 2), 2, np.int32)]
    arrays, _ = coded(images, [np.ones(i.shape, bool) for i in images])
    assert arrays["codes"].tolist() == [1] * 6 + [2] * 2


def test_corrected_counts_are_photons():
    x, y = np.array([1.0, 0, 0]), np.array([0, -1.0, 0])
    panel = Panel(x, y, np.array([0, 0, -10.0]), (3, 2), (0.1, 0.1), gain=2.0, pedestal=100.0)
    (values,) = corrected([np.full((2, 3), 110, np.int32)], [panel])
    assert (values == 5).all()
