"""The compiled loops of the simulator."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from puredials.kernels.byte_offset import decode_byte_offset
from puredials.kernels.painting import encode_byte_offset, paint_image


@given(arrays(np.int32, st.integers(1, 40), elements=st.integers(-(2**31), 2**31 - 1)))
@example(np.array([-(2**30), 2**30, -(2**31), 2**31 - 1], np.int32))
def test_decoding_undoes_byte_offset_encoding(values):
    target = np.empty(15 * len(values), dtype=np.uint8)
    n = encode_byte_offset(values, target)
    decoded = np.empty_like(values)
    assert decode_byte_offset(target[:n], decoded)
    np.testing.assert_array_equal(decoded, values)


def paint(spots, *, background=0.0, state=None, hot=None, seed=1, saturation=10**6, dtype=np.int32):
    """Counts and painted photons of spots (x, y, cxx, cxy, cyy, photons) on 30 x 40 pixels."""
    shape = (30, 40)
    columns = np.array(spots, dtype=np.float64).reshape(-1, 6).T.copy()
    state = np.ones(shape, np.uint8) if state is None else state
    hot = np.zeros(shape, np.float32) if hot is None else hot
    out, painted = np.empty(shape, dtype), np.empty(columns.shape[1])
    mean = np.full(shape, background, np.float32)
    paint_image(out, mean, 1.0, *columns, state, hot, seed, saturation, saturation + 1, -1, painted)
    return out, painted


def test_a_spot_within_the_image_gets_all_its_photons():
    out, painted = paint([(20.3, 15.8, 1.2, 0.3, 0.9, 5000.0)])
    np.testing.assert_allclose(painted, 5000, rtol=2e-3)
    assert abs(out.sum() - 5000) < 5 * np.sqrt(5000)
    y, x = np.mgrid[:30, :40] + 0.5
    centroid = np.array([(out * x).sum(), (out * y).sum()]) / out.sum()
    np.testing.assert_allclose(centroid, [20.3, 15.8], atol=5 * np.sqrt(1.2 / 5000))
    covariance = (out * (x - centroid[0]) * (y - centroid[1])).sum() / out.sum()
    assert abs(covariance - 0.3) < 0.08


def test_a_spot_at_the_edge_gets_half_its_photons():
    _, painted = paint([(0.0, 15.5, 1.0, 0.0, 1.0, 1000.0)])
    np.testing.assert_allclose(painted, 500, rtol=2e-3)


def test_shadows_gaps_and_dead_pixels_see_no_spots():
    state = np.ones((30, 40), np.uint8)
    state[:10], state[10:20], state[20:] = 0, 2, 3
    out, painted = paint([(20.0, 15.0, 9.0, 0.0, 9.0, 1e5)], background=2.0, state=state)
    assert painted == 0
    assert (out[10:20] == -1).all()
    assert (out[20:] == 0).all()
    np.testing.assert_allclose(out[:10].mean(), 2, atol=0.4)


def test_counts_beyond_saturation_become_the_overload_value():
    out, _ = paint([(20.0, 15.0, 1.0, 0.0, 1.0, 1e6)], saturation=1000)
    assert out.max() == 1001


@pytest.mark.parametrize("mean", [0.3, 4.0, 11.9, 12.1, 300.0])
def test_counts_are_poisson_distributed(mean):
    counts = np.concatenate([paint([], background=mean, seed=s)[0].ravel() for s in range(20)])
    n = counts.size
    assert abs(counts.mean() - mean) < 5 * np.sqrt(mean / n)
    assert abs(counts.var() / mean - 1) < 5 * np.sqrt((2 + 1 / mean) / n)


def test_the_same_seed_gives_the_same_counts():
    first, other = (paint([], background=3.0, seed=s)[0] for s in (7, 8))
    np.testing.assert_array_equal(first, paint([], background=3.0, seed=7)[0])
    assert (first != other).any()


def test_hot_pixels_add_to_the_background():
    hot = np.zeros((30, 40), np.float32)
    hot[3, 4] = 500.0
    out, _ = paint([], hot=hot)
    assert abs(out[3, 4] - 500) < 120
    assert out.sum() == out[3, 4]
