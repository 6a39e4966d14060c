"""Counts survive the way to the page, in few bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puredials.errors import ParameterError
from puredials.model import Panel
from puredials.viewer.pixels import LARGEST, Picture, coded, corrected, stacked_panels

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
    arrays = coded([image], [usable])
    np.testing.assert_array_equal(decoded(arrays)[usable[0]], image[usable])
    assert (arrays["codes"][~usable[0]] == 255).all()
    assert (arrays["codes"][usable[0]] != 255).all()


@pytest.mark.parametrize(("high", "size"), [(20, 1), (5000, 2)])
def test_small_counts_take_a_byte_and_large_ones_two(high, size):
    image = np.random.default_rng(0).integers(0, high, (100, 100)).astype(np.uint16)
    arrays = coded([image], [np.ones((100, 100), bool)])
    assert arrays["codes"].itemsize == size
    np.testing.assert_array_equal(decoded(arrays), image.ravel())


def test_panels_follow_each_other():
    images = [np.full((2, 3), 1, np.int32), np.full((1, 2), 2, np.int32)]
    arrays = coded(images, [np.ones(i.shape, bool) for i in images])
    assert arrays["codes"].tolist() == [1] * 6 + [2] * 2


def test_corrected_counts_are_photons():
    x, y = np.array([1.0, 0, 0]), np.array([0, -1.0, 0])
    panel = Panel(x, y, np.array([0, 0, -10.0]), (3, 2), (0.1, 0.1), gain=2.0, pedestal=100.0)
    (values,) = corrected([np.full((2, 3), 110, np.int32)], [panel])
    assert (values == 5).all()


def picture(values, usable=None, limits=(0, 100)):
    return Picture((values,), (np.ones(values.shape, bool) if usable is None else usable,), (limits,))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_one_bright_pixel_is_in_each_smaller_picture(dtype):
    values = np.zeros((37, 53), dtype)
    values[17, 50] = 99
    values[17, 51] = 60000  # not valid: it does not hide its neighbour
    for size in (1, 2, 4, 8, 16):
        part, usable = picture(values).part(0, (0, 0, 53, 37), size)
        assert part.shape == usable.shape == (-(-37 // size), -(-53 // size))
        assert (part == 99).sum() == 1
        assert usable.all()


def test_blocks_without_a_usable_pixel_are_unusable():
    values, usable = np.full((8, 8), 7, np.int32), np.ones((8, 8), bool)
    usable[:4, :4] = False
    _, known = picture(values, usable).part(0, (0, 0, 8, 8), 4)
    assert known.tolist() == [[False, True], [True, True]]


def test_values_out_of_range_show_where_there_is_no_other():
    part, known = picture(np.full((4, 4), 65535, np.uint16)).part(0, (0, 0, 4, 4), 2)
    assert (part == 65535).all()
    assert known.all()


@pytest.mark.parametrize("area", [(0, 0, 9, 4), (-1, 0, 4, 4), (2, 0, 2, 4), (3, 0, 2, 4), (0, 0, 4, 5)])
def test_areas_beyond_a_panel_are_refused(area):
    with pytest.raises(ParameterError, match="area"):
        picture(np.zeros((4, 8), np.int32)).part(0, area, 1)


def test_values_that_are_no_numbers_are_not_usable():
    values = np.array([[1.5, np.nan, np.inf]], np.float32)
    (found,) = coded([values], [np.ones((1, 3), bool)]).values()
    assert found[0] == 1.5
    assert found[1] == np.finfo(np.float32).min
    assert 2e38 < found[2] < np.inf


def test_the_brightest_is_above_the_background():
    values = np.random.default_rng(0).poisson(5.0, (300, 300)).astype(np.uint16)
    values[0, :10] = 65535
    assert 25 < picture(values).high < 45
    assert picture(values, np.zeros(values.shape, bool)).high == 1


def test_sums_of_images_have_pedestals_and_limits_of_their_own():
    x, y = np.array([1.0, 0, 0]), np.array([0, -1.0, 0])
    panel = Panel(x, y, np.array([0, 0, -10.0]), (3, 2), (0.1, 0.1), pedestal=100.0, trusted_range=(-10.5, 1000.5))
    (added,), (mean,) = (stacked_panels([panel], 4, how) for how in ("sum", "mean"))
    assert (added.pedestal, added.valid_range[0]) == (400, -42)
    assert (mean.pedestal, mean.valid_range[0]) == (100, -10.5)
    assert added.valid_range[1] == LARGEST
    assert stacked_panels([panel], 1, "sum") == (panel,)
