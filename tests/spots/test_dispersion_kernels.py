"""The compiled loops against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from puredials.kernels.components import fill_boxes, label, measure
from puredials.kernels.dispersion import dispersed, erode, strong_pixels, valid_pixels


def window_sum(image, kx, ky):
    """Sums over windows clipped at the edges."""
    padded = np.pad(image.astype(np.float64), ((ky, ky), (kx, kx)))
    return np.lib.stride_tricks.sliding_window_view(padded, (2 * ky + 1, 2 * kx + 1)).sum(axis=(2, 3))


def noisy(seed, shape=(23, 31), scale=3.0):
    rng = np.random.default_rng(seed)
    values = rng.poisson(scale, shape).astype(np.float32)
    values[rng.random(shape) < 0.02] += 40
    valid = (rng.random(shape) > 0.1).astype(np.uint8)
    return values * valid, valid


@pytest.mark.parametrize("kernel", [(3, 3), (1, 2), (5, 3), (0, 0)])
@pytest.mark.parametrize("gain", [1.0, 1.7])
def test_dispersed_windows_are_those_of_the_definition(kernel, gain):
    kx, ky = kernel
    values, valid = noisy(1)
    flags = np.empty_like(valid)
    dispersed(values, valid, kx, ky, 2.0, 2, gain, flags)
    m, x, y = (window_sum(a, kx, ky) for a in (valid, values, values.astype(np.float64) ** 2))
    limit = gain * x * (m - 1 + 2.0 * np.sqrt(2 * np.maximum(m - 1, 0)))
    expected = (valid == 0) | ((m >= 2) & (x >= 0) & (m * y - x**2 > limit))
    np.testing.assert_array_equal(flags, expected)


@given(st.integers(0, 3), st.integers(0, 1000))
@settings(max_examples=30)
def test_erosion_keeps_pixels_without_a_clear_neighbour(radius, seed):
    flags = (np.random.default_rng(seed).random((12, 17)) < 0.9).astype(np.uint8)
    region, scratch = np.empty_like(flags), np.empty_like(flags)
    erode(flags, radius, scratch, region)
    # Beyond the edges of the image nothing is clear.
    expected = ndimage.minimum_filter(flags, size=2 * radius + 1, mode="constant", cval=1)
    np.testing.assert_array_equal(region, expected)


@pytest.mark.parametrize("strict", [True, False])
def test_strong_pixels_are_those_of_the_definition(strict):
    values, valid = noisy(2)
    rng = np.random.default_rng(3)
    candidates = (rng.random(values.shape) < 0.4).astype(np.uint8) & valid
    background = valid & (1 - candidates)
    index = np.empty(values.size, dtype=np.int32)
    n = strong_pixels(values, candidates, background, 5, 4, 3.0, 1.0, 1.3, strict, index)
    count, total = window_sum(background, 5, 4), window_sum(values * background, 5, 4)
    mean = np.where(count >= 2, total / np.maximum(count, 1), 0)
    limit = mean + 3 * np.sqrt(1.3 * mean)
    above = values > limit if strict else values >= limit
    np.testing.assert_array_equal(index[:n], np.flatnonzero(candidates.astype(bool) & (values > 1.0) & above))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_pixels_outside_the_trusted_range_or_the_mask_are_invalid(dtype):
    raw = np.array([[0, 5, 100, 101, 7]], dtype=dtype)
    usable = np.array([[True, True, True, True, False]])
    values, valid = np.empty(raw.shape, np.float32), np.empty(raw.shape, np.uint8)
    valid_pixels(raw, usable, -0.5, 100.0, 0.0, 1.0, values, valid)
    assert valid.tolist() == [[1, 1, 1, 0, 0]]
    assert values.tolist() == [[0, 5, 100, 0, 0]]
    valid_pixels(raw, usable, -0.5, 100.0, 1.0, 2.0, values, valid)
    assert values.tolist() == [[-0.5, 2, 49.5, 0, 0]]


def sparse(dense):
    """starts, index, values of the pixels of a (z, y, x) stack that are not 0."""
    per_frame = [np.flatnonzero(frame).astype(np.int32) for frame in dense]
    starts = np.cumsum([0] + [len(p) for p in per_frame]).astype(np.int64)
    values = np.concatenate([frame.ravel()[p] for frame, p in zip(dense, per_frame, strict=True)])
    return starts, np.concatenate(per_frame), values.astype(np.float32)


@given(st.integers(0, 10_000), st.floats(0.05, 0.7), st.booleans())
@settings(max_examples=60)
def test_components_are_those_of_a_dense_labelling(seed, density, join):
    dense = np.random.default_rng(seed).random((4, 6, 7)) < density
    starts, index, _ = sparse(dense)
    labels = np.empty(len(index), dtype=np.int32)
    n = label(starts, index, 7, join, labels)
    structure = ndimage.generate_binary_structure(3, 1)
    if not join:
        structure[0] = structure[2] = False
    expected, n_expected = ndimage.label(dense, structure)
    assert n == n_expected
    np.testing.assert_array_equal(labels, expected[dense] - 1)


def test_moments_and_boxes_are_those_of_the_definition():
    rng = np.random.default_rng(5)
    dense = np.zeros((5, 9, 8))
    dense[1:3, 2:5, 3:6] = rng.poisson(50, (2, 3, 3)) + 1
    dense[0, 7, 0] = 3.0
    starts, index, values = sparse(dense)
    labels = np.empty(len(index), dtype=np.int32)
    n = label(starts, index, 8, True, labels)
    assert n == 2
    size, total, bbox = np.empty(n, np.int32), np.empty(n), np.empty((n, 6), np.int32)
    peak, centroid, variance = np.empty((n, 3)), np.empty((n, 3)), np.empty((n, 3))
    measure(starts, index, values, 8, 10, labels, size, total, bbox, peak, centroid, variance)
    assert size.tolist() == [1, 18]
    assert bbox.tolist() == [[0, 1, 7, 8, 10, 11], [3, 6, 2, 5, 11, 13]]
    np.testing.assert_allclose(centroid[0], [0.5, 7.5, 10.5])
    np.testing.assert_allclose(variance[0], 1 / 12)
    w = dense[1:3, 2:5, 3:6]
    z, y, x = np.mgrid[11:13, 2:5, 3:6] + 0.5
    for k, axis in enumerate((x, y, z)):
        mean = (w * axis).sum() / w.sum()
        error = (w * (axis - mean) ** 2).sum() / (w.sum() - (w**2).sum() / w.sum()) / w.sum()
        np.testing.assert_allclose([centroid[1, k], variance[1, k]], [mean, error + 1 / 12])
        assert peak[1, k] == axis.ravel()[w.argmax()]
    data, mask = np.empty(18, np.float32), np.empty(18, np.uint8)
    rows, offsets = np.array([-1, 0], dtype=np.int32), np.array([0, 18])
    fill_boxes(starts, index, values, 8, 10, labels, rows, bbox[1:], offsets, 5, data, mask)
    np.testing.assert_array_equal(data.reshape(w.shape), w)
    assert (mask == 5).all()
