"""The kernels of indexing against their definitions in numpy."""

import numpy as np
import pytest

from puredials.kernels.lattice_points import blur_mixture, nearest_nodes
from puredials.kernels.reciprocal_grid import fill_grid, find_peaks, fit_vectors


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.4, 0.4, (300, 3))


def test_the_grid_holds_the_weight_of_the_last_point_in_each_cell(points):
    n, spacing = 32, 0.02
    grid = np.zeros((n, n, n), dtype=np.float32)
    weights = np.arange(1.0, 301)
    fill_grid(points, weights, spacing, grid)
    expected = np.zeros_like(grid)
    for r, w in zip(np.rint(points / spacing).astype(int), weights, strict=True):
        if np.abs(r).max() < n // 2:
            expected[tuple(r % n)] = w
    np.testing.assert_array_equal(grid, expected)


def test_peaks_are_the_local_maxima_of_half_the_transform():
    n = 24
    # Two waves: |F|^2 has peaks at their wave vectors and the negatives of these.
    x = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"))
    values = np.cos(2 * np.pi * np.tensordot([3, -5, 4], x, 1) / n) + 2 * np.cos(2 * np.pi * 6 * x[0] / n)
    values *= np.exp(-((x - n / 2) ** 2).sum(axis=0) / 60)  # finite, so that the peaks are more than one point wide
    transform = np.fft.rfftn(values.astype(np.float32)).astype(np.complex64)
    positions, heights = np.zeros((50, 3)), np.zeros(50)
    found = find_peaks(transform, 0.05 * np.abs(transform).max() ** 2, 2.0, 12.0, positions, heights)
    assert found == 2
    ordered = positions[:2][np.argsort(heights[:2])]
    np.testing.assert_allclose(ordered * np.sign(ordered[:, :1]), [[3, -5, 4], [6, 0, 0]], atol=0.05)


def test_no_more_peaks_are_stored_than_there_is_room_for():
    noise = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    transform = np.fft.rfftn(noise).astype(np.complex64)
    positions, heights = np.zeros((3, 3)), np.zeros(3)
    assert find_peaks(transform, 0.0, 1.0, 20.0, positions, heights) > 3


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_vectors_move_to_the_period_of_the_points_whatever_their_origin(offset):
    rng = np.random.default_rng(2)
    a = np.array([11.0, 3.0, -4.0])
    direction = a / (a @ a)
    across = np.linalg.svd(a[None])[2][1:]
    k = rng.integers(-9, 10, 400)
    points = (k + offset)[:, None] * direction + rng.uniform(-0.3, 0.3, (400, 2)) @ across
    vectors, amplitudes = a[None] + [[0.15, -0.1, 0.2]], np.zeros(1)
    fit_vectors(points, np.ones(400), vectors, 8, 0.5, amplitudes)
    np.testing.assert_allclose(vectors[0], a, atol=1e-3)
    assert amplitudes[0] > 0.9999
    wave = np.exp(2j * np.pi * points @ vectors[0])
    assert amplitudes[0] == pytest.approx(abs(wave.mean()), abs=1e-12)


def test_the_nearest_node_of_several_lattices_is_taken(points):
    settings = np.random.default_rng(3).normal(size=(3, 3, 3)) * 0.05
    inverse = np.linalg.inv(settings)
    n = len(points)
    lattice, index, misfit2 = np.empty(n, np.int32), np.zeros((n, 3), np.int32), np.empty(n)
    nearest_nodes(points, inverse, lattice, index, misfit2)
    x = np.einsum("mij,nj->nmi", inverse, points)
    h = np.rint(x)
    total = ((x - h) ** 2).sum(axis=2)
    total[~h.any(axis=2)] = np.inf
    np.testing.assert_array_equal(lattice, total.argmin(axis=1))
    np.testing.assert_array_equal(index, h[np.arange(n), lattice])
    np.testing.assert_allclose(misfit2, total.min(axis=1))


def test_the_mixture_is_that_of_expectation_maximisation(points):
    A = np.diag([0.02, 0.03, 0.025])
    index = np.rint(points @ np.linalg.inv(A).T).astype(np.int32)
    e2, member = np.empty(len(points)), np.empty(len(points))
    share, width, bits = blur_mixture(points, A, index, 5, 0.004, 1e-5, e2, member)
    squares = ((points - index @ A.T) ** 2).sum(axis=1)
    squares[~index.any(axis=1)] = np.inf
    p, s, volume = 0.5, 0.004, 1 / np.linalg.det(A)
    for _ in range(5):
        near = p / volume / (2 * np.pi * s**2) ** 1.5 * np.exp(-0.5 * squares / s**2)
        ratio = 1 - p + near
        m = near / ratio
        finite = np.isfinite(squares)
        p, s = m.mean(), np.sqrt((m[finite] * squares[finite]).sum() / (3 * m.sum()))
    np.testing.assert_allclose([share, width, bits], [p, s, np.log2(ratio).mean()], rtol=1e-9)
    np.testing.assert_allclose(member, m, atol=1e-12)
