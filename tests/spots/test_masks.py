"""Masks: each shape to the pixel, each panel by itself."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spot_images import experiment, panel

from puredials.errors import ParameterError
from puredials.spots import Masking, generate_mask
from puredials.spots.mask import powder_rings, resolution_map

WIDTH, HEIGHT = 30, 20
ONE = experiment(panel(WIDTH, HEIGHT))
Y, X = np.mgrid[:HEIGHT, :WIDTH]


def masked(of=ONE, **values) -> np.ndarray:
    """True where the first panel may not be used."""
    return ~generate_mask(of, params=Masking(**values))[0]


def test_without_parameters_all_pixels_are_used():
    assert not masked().any()


@given(st.integers(0, WIDTH), st.integers(0, WIDTH), st.integers(0, HEIGHT), st.integers(0, HEIGHT))
def test_rectangles_are_half_open_and_equal_to_their_polygons(x0, x1, y0, y1):
    rectangle = masked(untrusted=[{"rectangle": [(x0, x1, y0, y1)]}])
    np.testing.assert_array_equal(rectangle, (x0 <= X) & (x1 > X) & (y0 <= Y) & (y1 > Y))
    if x0 < x1 and y0 < y1:
        polygon = masked(untrusted=[{"polygon": (x0, y0, x1, y0, x1, y1, x0, y1)}])
        np.testing.assert_array_equal(polygon, rectangle)


@given(st.floats(-5, 35), st.floats(-5, 25), st.floats(0, 15))
def test_circles_hold_the_pixels_whose_centres_they_hold(x, y, r):
    circle = masked(untrusted=[{"circle": [(x, y, r)]}])
    np.testing.assert_array_equal(circle, (X + 0.5 - x) ** 2 + (Y + 0.5 - y) ** 2 <= r**2)


corner = st.tuples(st.floats(-5, 35), st.floats(-5, 25))


@given(corner, corner, corner)
def test_triangles_hold_the_pixels_whose_centres_are_on_one_side_of_all_edges(a, b, c):
    triangle = masked(untrusted=[{"polygon": (*a, *b, *c)}])

    def side(p, q):
        return (q[0] - p[0]) * (Y + 0.5 - p[1]) - (q[1] - p[1]) * (X + 0.5 - p[0])

    sides = np.array([side(a, b), side(b, c), side(c, a)])
    within = (sides > 0).all(axis=0) | (sides < 0).all(axis=0)
    on_edge = (np.abs(sides) < 1e-9).any(axis=0)
    np.testing.assert_array_equal(triangle[~on_edge], within[~on_edge])


def test_an_outline_that_crosses_itself_encloses_by_the_even_odd_rule():
    star = [(15 + 9 * np.sin(a), 10 - 9 * np.cos(a)) for a in np.arange(5) * 4 * np.pi / 5]
    inside = masked(untrusted=[{"polygon": tuple(np.ravel(star))}])
    assert not inside[10, 15]
    assert inside[3, 15]


def test_borders_are_those_of_each_panel_and_shapes_those_of_their_own():
    two = experiment(panel(WIDTH, HEIGHT), panel(WIDTH, HEIGHT, x=5.0))
    shapes = [{"panel": 1, "rectangle": [(5, 7, 3, 4)]}, {"pixel": [(8, 9)]}, {"circle": [(20.0, 10.0, 1.0)]}]
    first, second = generate_mask(two, params=Masking(border=2, untrusted=shapes))
    border = (X < 2) | (Y < 2) | (X >= WIDTH - 2) | (Y >= HEIGHT - 2)
    assert set(zip(*np.nonzero(~second & ~border), strict=True)) == {(3, 5), (3, 6)}
    assert set(zip(*np.nonzero(~first & ~border), strict=True)) == {(8, 9), (9, 19), (9, 20), (10, 19), (10, 20)}
    whole = generate_mask(two, params=Masking(untrusted=[{"panel": 0}]))
    assert [mask.any() for mask in whole] == [False, True]
    with pytest.raises(ParameterError, match=r"untrusted\.panel=2 does not exist"):
        generate_mask(two, params=Masking(untrusted=[{"panel": 2}]))


@pytest.mark.parametrize("polygon", [(1, 2, 3, 4), (1, 2, 3, 4, 5, 6, 7)])
def test_polygons_need_the_coordinates_of_three_corners(polygon):
    with pytest.raises(ParameterError, match="at least 3 corners"):
        masked(untrusted=[{"polygon": polygon}])


def test_limits_of_resolution_are_exact_to_the_pixel():
    wide = experiment(replace(panel(WIDTH, HEIGHT), origin=np.array([10.0, 1.0, -100.0])))
    d = 1 / np.sqrt(resolution_map(wide, 0))
    np.testing.assert_array_equal(masked(wide, d_min=8.5), d < 8.5)
    np.testing.assert_array_equal(masked(wide, d_max=8.5), d > 8.5)
    ranges = masked(wide, resolution_range=[(9.0, 8.5), (8.0, 8.2)])
    np.testing.assert_array_equal(ranges, ((d >= 8.5) & (d <= 9)) | ((d >= 8) & (d <= 8.2)))


def test_ice_rings_are_bands_about_the_powder_lines_of_ice():
    wide = experiment(replace(panel(90, 70), origin=np.array([20.0, 3.5, -100.0])))
    rings = {"filter": True, "width": 0.004}
    params = Masking(ice_rings=rings)
    lines = powder_rings(params.ice_rings, 2.5)
    np.testing.assert_allclose(1 / np.sqrt(lines[:3]), [3.895, 3.669, 3.441], atol=2e-3)
    near = np.abs(resolution_map(wide, 0)[..., None] - lines).min(axis=-1) <= 0.002
    np.testing.assert_array_equal(masked(wide, ice_rings=rings | {"d_min": 2.5}), near)
    assert 0 < near.sum() < near.size
