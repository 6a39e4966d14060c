"""Kernels of integration against plain numpy, limits and symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puredials.integration.learn import gaussian_profile
from puredials.kernels import background, boxes, profiles

VALID, BACKGROUND, FOREGROUND, OVERLAPPED = 1, 2, 4, 32


def test_pixels_are_cut_and_bad_ones_marked():
    image = np.arange(48, dtype=np.uint16).reshape(6, 8)
    usable = np.ones((6, 8), bool)
    usable[2, 3] = False
    bbox = np.array([[-1, 4, 1, 4, 5, 7]], np.int32)
    counts = np.zeros(30, np.float32)
    boxes.cut_boxes(image, usable, 9.0, 25.0, 1.0, 2.0, np.array([0]), bbox, np.array([0, 30]), 6, counts)
    assert (counts[:15] == 0).all()  # image 5 has not been read
    expected = (image[1:4, :4] - 1.0) / 2
    expected[image[1:4, :4] > 25] = np.inf
    expected[image[1:4, :4] < 9] = np.nan
    expected[1, 3] = np.nan
    np.testing.assert_array_equal(counts[15:].reshape(3, 5), np.column_stack([[np.nan] * 3, expected]))


def test_the_foreground_is_a_disc_that_follows_the_spot():
    bbox = np.array([[0, 20, 0, 20, 0, 3]], np.int32)
    offsets, counts, mask = np.array([0, 1200]), np.zeros(1200, np.float32), np.zeros(1200, np.uint8)
    centre, slide = np.array([[10.0, 10.0, 1.5]]), np.array([[2.0, 0.0]])
    boxes.mark_boxes(np.array([0]), bbox, offsets, centre, np.array([[1.0, 0, 0, 1.0]]), slide, np.array([1.0]), 3.0,
                     np.array([0, 0]), np.empty(0, np.int64), counts, mask)  # fmt: skip
    layers = mask.reshape(3, 20, 20)
    y, x = np.mgrid[:20, :20]
    for z in range(3):
        corners = [(x + a - 10 - 2 * (z - 1)) ** 2 + (y + b - 10) ** 2 for a in (0, 1) for b in (0, 1)]
        inside = np.min(corners, axis=0) <= 9
        np.testing.assert_array_equal(layers[z] & FOREGROUND != 0, inside)
        np.testing.assert_array_equal(layers[z] & BACKGROUND != 0, ~inside)
    assert (mask & VALID != 0).all()


def test_overlapping_pixels_belong_to_the_nearer_reflection():
    bbox = np.array([[0, 12, 0, 8, 0, 1], [4, 16, 0, 8, 0, 1]], np.int32)
    offsets = np.array([0, 96, 192])
    counts, mask = np.zeros(192, np.float32), np.zeros(192, np.uint8)
    centre = np.array([[6.0, 4.0, 0.5], [10.0, 4.0, 0.5]])
    reach = np.array([[2, 10, 0, 8], [6, 14, 0, 8]], np.int32)
    first, partner = np.zeros(3, np.int64), np.zeros(8, np.int64)
    n = boxes.neighbours(np.array([[0, 0], [1, 0]]), bbox, reach, 64, np.array([0, 2]), np.array([0, 1]),
                         np.array([1, 1]), first, partner)  # fmt: skip
    assert n == 2
    assert partner[:2].tolist() == [1, 0]
    jacobian = np.repeat([[1.0, 0, 0, 1.0]], 2, axis=0)
    boxes.mark_boxes(np.array([0, 1]), bbox, offsets, centre, jacobian, np.zeros((2, 2)), np.ones(2), 3.0,
                     first, partner, counts, mask)  # fmt: skip
    a, b = mask[:96].reshape(8, 12), mask[96:].reshape(8, 12)
    np.testing.assert_array_equal(a, b[:, ::-1])  # the two are mirror images
    assert a[4, 8] & OVERLAPPED
    assert not a[4, 7] & OVERLAPPED
    assert not a[4, 10] & (BACKGROUND | FOREGROUND)


def test_sums_are_those_of_numpy():
    rng = np.random.default_rng(1)
    counts = rng.poisson(5, 60).astype(np.float32)
    mask = rng.choice([VALID | FOREGROUND, VALID | BACKGROUND, FOREGROUND, BACKGROUND], 60).astype(np.uint8)
    level = np.array([[1.0, 2.0, 3.0]])
    intensity, under, pixels = np.zeros(1), np.zeros(1), np.zeros((1, 7), np.int64)
    centroid, spread = np.zeros((1, 3)), np.zeros((1, 3))
    bbox = np.array([[3, 8, 2, 6, 7, 10]], np.int32)
    boxes.sum_boxes(
        np.array([0]), bbox, np.array([0, 60]), level, counts, mask, intensity, under, centroid, spread, pixels
    )
    inside = mask == VALID | FOREGROUND
    b = np.repeat(level[0], 20)
    assert intensity[0] == pytest.approx((counts - b)[inside].sum())
    assert under[0] == pytest.approx(b[inside].sum())
    z, y, x = (
        a.ravel()[inside] for a in np.meshgrid(np.arange(7, 10), np.arange(2, 6), np.arange(3, 8), indexing="ij")
    )
    weights = (counts - b)[inside]
    np.testing.assert_allclose(centroid[0], [np.average(a + 0.5, weights=weights) for a in (x, y, z)])
    assert pixels[0, :4].tolist() == [
        (mask & VALID != 0).sum(), (mask == VALID | BACKGROUND).sum(), (mask & FOREGROUND != 0).sum(), inside.sum()
    ]  # fmt: skip


@pytest.mark.parametrize("mean", [0.03, 0.3, 2.0, 30.0, 800.0])
def test_the_robust_mean_of_poisson_counts_is_unbiased(mean):
    values = np.random.default_rng(2).poisson(mean, (400, 500)).astype(np.float64)
    found = np.array([background.poisson_mean(v, len(v), 1.345) for v in values])
    error = np.sqrt(mean / values.size)
    assert abs(found.mean() - mean) < 5 * error
    assert found.std() < 1.15 * np.sqrt(mean / 500)


def test_the_robust_mean_forgets_outliers():
    values = np.random.default_rng(3).poisson(3.0, 500).astype(np.float64)
    clean = background.poisson_mean(values, 500, 1.345)
    values[:10] = 5000
    assert background.poisson_mean(values, 500, 1.345) == pytest.approx(clean, rel=0.05)
    assert background.poisson_mean(values, 500, 0.0) == pytest.approx(values.mean())
    assert background.poisson_mean(np.zeros(20), 20, 1.345) == 0


def _projection(jacobian, slide, drift, centre=(10.0, 10.0, 10.0), box=(0, 21, 0, 21, 0, 21), grid=5):
    profile = gaussian_profile(grid, 4.5 / grid)
    shares, slab = np.empty((2 * grid + 1, 40)), np.empty((2 * grid + 1,) * 2)
    out = np.empty((box[5] - box[4]) * (box[3] - box[2]) * (box[1] - box[0]))
    profiles.project(profile, np.array(box, np.int32), np.array(centre), np.array(jacobian), np.array(slide), drift,
                     4.5 / grid, 6.5, shares, slab, out)  # fmt: skip
    return out.reshape(box[5] - box[4], box[3] - box[2], box[1] - box[0])


@settings(max_examples=25)
@given(
    st.floats(0, 6.3), st.floats(0.6, 1.6), st.floats(0.6, 1.6), st.floats(0.6, 3.0), st.floats(-0.3, 0.3),
    st.floats(9.5, 10.5),
)  # fmt: skip
def test_projection_conserves_the_intensity(angle, a, b, drift, slide, x):
    c, s = np.cos(angle), np.sin(angle)
    out = _projection([a * c, a * s, -b * s, b * c], [slide, -slide], drift, centre=(x, 10.3, 10.2))
    assert out.sum() == pytest.approx(1.0, abs=0.01)
    assert (out >= 0).all()


def test_projection_has_the_moments_of_the_profile():
    out = _projection([0.9, 0, 0, 0.9], [0.0, 0.0], 0.8)
    z, y, x = np.meshgrid(*[np.arange(21) + 0.5 - 10] * 3, indexing="ij")
    # Unit variance, that of the tents (step^2 / 6) and that of a pixel (size^2 / 12).
    for axis, scale in ((x, 0.9), (y, 0.9), (z, 0.8)):
        assert np.sum(out * axis) == pytest.approx(0, abs=1e-3)
        expected = (1 + 0.9**2 / 6) / scale**2 + 1 / 12
        assert np.sum(out * axis**2) == pytest.approx(expected, rel=0.02)


def _fit(intensity, level, seed, *, fitted_level=None, used=10**9):
    """Fits of the same Gaussian spot on a flat background, drawn many times."""
    truth = _projection([1.0, 0, 0, 1.0], [0.1, 0.0], 1.0, box=(2, 18, 2, 18, 5, 15))
    rng, n = np.random.default_rng(seed), 400
    counts = rng.poisson(intensity * truth.ravel() + level, (n, truth.size)).astype(np.float32).ravel()
    bbox = np.repeat([[2, 18, 2, 18, 5, 15]], n, axis=0).astype(np.int32)
    offsets = np.arange(n + 1) * truth.size
    mask = np.full(len(counts), VALID | FOREGROUND, np.uint8)
    profile = gaussian_profile(5, 0.9)[None]
    out = [np.zeros(n) for _ in range(7)]
    ok = np.zeros(n, bool)
    profiles.fit_boxes(np.arange(n), bbox, offsets, np.repeat([[10.0] * 3], n, axis=0),
                       np.repeat([[1.0, 0, 0, 1.0]], n, axis=0), np.repeat([[0.1, 0.0]], n, axis=0), np.ones(n),
                       np.full((n, 10), fitted_level or level), np.full(n, used), counts, mask, 6.5, profile,
                       np.zeros((n, 1), np.int32), np.ones((n, 1)), 0.9, *out, ok)  # fmt: skip
    return *out[:3], ok


@pytest.mark.parametrize(("intensity", "level"), [(0, 0.5), (20, 0.2), (300, 1.0), (20000, 3.0)])
def test_fitted_intensities_are_unbiased_with_the_right_variance(intensity, level):
    value, variance, _, ok = _fit(intensity, level, seed=4)
    assert ok.all()
    z = (value - intensity) / np.sqrt(variance)
    assert abs(z.mean()) < 0.2
    assert 0.85 < z.std() < 1.2


def test_what_an_uncertain_background_adds_is_left_to_its_slope():
    _, variance, slope, _ = _fit(20, 0.5, seed=4)
    np.testing.assert_array_equal(_fit(20, 0.5, seed=4, used=100)[1], variance)
    higher, lower = (_fit(20, 0.5, seed=4, fitted_level=0.5 + d)[0] for d in (0.005, -0.005))
    np.testing.assert_allclose((lower - higher).mean() / 0.01, slope.mean(), rtol=0.02)


def test_learning_recovers_a_profile_that_is_no_gaussian():
    rng, n = np.random.default_rng(5), 120
    box = (3, 17, 3, 17, 5, 15)
    narrow, shifted = (
        _projection([1.4, 0, 0, 1.0], [0.0, 0.0], 1.0, centre=(c, 10.0, 10.0), box=box).ravel() for c in (9.5, 11.0)
    )
    truth = 0.6 * narrow + 0.4 * shifted
    counts = rng.poisson(3000 * truth + 0.3, (n, len(truth))).astype(np.float32).ravel()
    bbox, offsets = np.repeat([box], n, axis=0).astype(np.int32), np.arange(n + 1) * len(truth)
    geometry = (
        bbox,
        offsets,
        np.full((n, 3), 10.0),
        np.repeat([[1.0, 0, 0, 1.0]], n, axis=0),
        np.zeros((n, 2)),
        np.ones(n),
    )
    mask = np.full(len(counts), VALID | FOREGROUND, np.uint8)
    profile, level = gaussian_profile(5, 0.9)[None], np.full((n, 10), 0.3)
    for _ in range(15):
        gain, sensitivity = np.zeros_like(profile), np.zeros_like(profile)
        used = profiles.learn_boxes(np.arange(n), *geometry, level, counts, mask, 4.5, profile,
                                    np.zeros((n, 1), np.int32), np.ones((n, 1)), 0.9, 1e9, gain,
                                    sensitivity)  # fmt: skip
        assert used == n
        profile = profile * np.divide(gain, sensitivity, out=np.ones_like(gain), where=sensitivity > 0)
        profile /= profile.sum()
    shares, slab, out = np.empty((11, 10)), np.empty((11, 11)), np.empty(len(truth))
    profiles.project(profile[0], bbox[0], *(g[0] for g in geometry[2:5]), 1.0, 0.9, 4.5, shares, slab, out)
    start = _projection([1.0, 0, 0, 1.0], [0.0, 0.0], 1.0, box=box).ravel()
    assert np.sqrt(np.mean((out - truth) ** 2)) < 0.25 * np.sqrt(np.mean((start - truth) ** 2))


def test_second_moments_are_those_of_the_profile():
    level = 0.0
    out = _projection([1.0, 0, 0, 1.0], [0.2, 0.0], 1.0)
    moments = np.zeros((1, 4))
    profiles.second_moments(np.array([0]), np.array([[0, 21, 0, 21, 0, 21]], np.int32), np.array([0, out.size]),
                            np.array([[10.0] * 3]), np.array([[1.0, 0, 0, 1.0]]), np.array([[0.2, 0.0]]), np.ones(1),
                            np.full((1, 21), level), (out.ravel() * 1000).astype(np.float32),
                            np.full(out.size, VALID, np.uint8), 8.0, moments)  # fmt: skip
    np.testing.assert_allclose(moments[0, :3], 1 + 0.9**2 / 6, rtol=0.03)
    assert moments[0, 3] == pytest.approx(1000, rel=0.01)
