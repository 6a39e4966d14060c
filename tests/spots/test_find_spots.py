"""Spots in small images."""

from dataclasses import replace

import numpy as np
import pytest
from spot_images import Stack, experiment, panel, spots

from puredials.errors import NoSpotsError, ParameterError, ProcessingError
from puredials.execute import SERIAL, Processes, Threads
from puredials.model import Flags
from puredials.spots import SpotParams, find_spots, image_statistics, spot_counts, spots_per_image

CENTRES = [(20.3, 30.6, 3.2), (60.0, 41.5, 7.5), (75.8, 12.1, 5.0), (12.5, 60.5, 8.9)]


@pytest.fixture(scope="module")
def sweep():
    return spots((12, 70, 90), CENTRES, 800.0)


def found(images, expt=None, executor=SERIAL, masks=None, **params):
    source = Stack.of(images, masks=masks)
    expt = expt or experiment(panel(images.shape[2], images.shape[1]), n_images=len(images))
    return find_spots(source, expt, params=SpotParams.model_validate(params), executor=executor)


def centroids(result):
    return result.table["xyzobs.px.value"]


def test_spots_are_found_where_they_are(sweep):
    result = found(sweep)
    assert result.table.n_rows == len(CENTRES)
    true = np.array(sorted(CENTRES, key=lambda c: c[2]))
    at = centroids(result)[np.argsort(centroids(result)[:, 2])]
    assert np.abs(at - true).max() < 0.15
    assert (result.table["flags"] == Flags.STRONG).all()
    assert (result.table["intensity.sum.value"] > 600).all()


def test_shoeboxes_hold_the_strong_pixels_and_nothing_else(sweep):
    table = found(sweep).table
    for i in range(table.n_rows):
        data, mask, background = table["shoebox"].box(i)
        x0, x1, y0, y1, z0, z1 = table["bbox"][i]
        raw = sweep[z0:z1, y0:y1, x0:x1]
        np.testing.assert_array_equal(data, np.where(mask == 5, raw, 0))
        assert (mask > 0).sum() == table["n_signal"][i]
        assert data.sum() == table["intensity.sum.value"][i]
        assert not background.any()


@pytest.mark.parametrize("algorithm", ["dispersion", "dispersion_extended", "radial_profile"])
def test_the_answer_does_not_depend_on_the_number_of_workers(algorithm):
    images = spots((35, 40, 50), [(12.0, 11.0, 9.9), (33.0, 25.0, 20.1), (40.0, 8.0, 30.0)], 500.0)
    one = found(images, threshold={"algorithm": algorithm})
    with Threads(3) as many:
        other = found(images, executor=many, threshold={"algorithm": algorithm})
    assert one.counts == other.counts
    for name in one.table:
        if name != "shoebox":
            np.testing.assert_array_equal(one.table[name], other.table[name])
    np.testing.assert_array_equal(one.table["shoebox"].data, other.table["shoebox"].data)


@pytest.mark.slow
def test_processes_give_the_answer_of_threads(sweep):
    with Processes(2) as workers:
        other = found(sweep, executor=workers)
    np.testing.assert_array_equal(centroids(found(sweep)), centroids(other))


def test_a_shift_of_the_images_shifts_the_spots(sweep):
    moved = found(np.roll(sweep, (1, 2, 3), axis=(0, 1, 2)))
    here = found(sweep)
    order, other = (np.lexsort(centroids(r).T) for r in (here, moved))
    np.testing.assert_allclose(centroids(moved)[other], centroids(here)[order] + [3, 2, 1])


def test_images_count_from_the_start_of_the_scan(sweep):
    later = found(sweep, experiment(panel(90, 70), n_images=12, first=101))
    np.testing.assert_allclose(centroids(later)[:, 2], centroids(found(sweep))[:, 2] + 100)
    assert later.image_numbers.tolist() == list(range(101, 113))


def test_masked_pixels_do_not_suppress_neighbours():
    images = spots((1, 40, 40), [(20.5, 20.5, 0.5)], 600.0)
    mask = np.ones((40, 40), dtype=np.bool_)
    mask[:, 23:] = False
    whole, part = found(images), found(images, masks=(mask,))
    strong = whole.table["shoebox"].box(0)[1][0] > 0
    x0, x1 = whole.table["bbox"][0][:2]
    assert x0 < 23 < x1
    assert part.table["bbox"][0].tolist()[:2] == [x0, 23]
    assert part.table["n_signal"][0] >= strong[:, : 23 - x0].sum()


def test_a_detector_with_gain_and_pedestal_shows_the_same_spots(sweep):
    ideal = found(sweep)
    amplified = found(10 + 3 * sweep, experiment(panel(90, 70, gain=3.0, pedestal=10.0), n_images=12))
    np.testing.assert_allclose(centroids(amplified), centroids(ideal))
    np.testing.assert_allclose(amplified.table["intensity.sum.value"], ideal.table["intensity.sum.value"])


def test_overloaded_pixels_are_no_part_of_a_spot():
    images = spots((1, 40, 40), [(20.5, 20.5, 0.5)], 600.0)
    images[0, 20, 20] = 99999
    expt = experiment(panel(40, 40, trusted_range=(-0.5, 60000.0)))
    data, mask, _ = found(images, expt).table["shoebox"].box(0)
    assert data.max() < 60000
    x0, _, y0, _ = found(images, expt).table["bbox"][0][:4]
    assert mask[0, 20 - y0, 20 - x0] == 0


def test_background_alone_gives_hardly_any_spots():
    images = np.random.default_rng(1).poisson(5.0, (3, 200, 200)).astype(np.uint16)
    with pytest.raises(NoSpotsError, match="no spots"):
        found(images)


def test_stills_and_force_2d_do_not_join_images():
    images = spots((3, 40, 40), [(20.5, 20.5, 1.5)], 3000.0)
    assert found(images).table.n_rows == 1
    flat = found(images, force_2d=True)
    assert flat.table.n_rows == 3
    assert (np.diff(flat.table["bbox"][:, 4:]) == 1).all()
    still = found(images, experiment(panel(40, 40), n_images=3, width=0.0))
    np.testing.assert_array_equal(centroids(still), centroids(flat))


def test_panels_are_searched_one_by_one():
    images = spots((2, 40, 80), [(15.2, 20.5, 1.0), (60.7, 10.5, 1.0)], 900.0)
    left, right = images[:, :, :40], images[:, :, 40:]
    expt = experiment(panel(40, 40, x=-2.0), panel(40, 40, x=2.0), n_images=2)
    split = find_spots(Stack.of(left, right), expt).table
    whole = found(images).table
    assert split["panel"].tolist() == [0, 1]
    assert split["shoebox"].panel.tolist() == [0, 1]
    order = np.argsort(whole["xyzobs.px.value"][:, 0])
    shifted = split["xyzobs.px.value"] + np.outer([0, 40], [1, 0, 0])
    np.testing.assert_allclose(shifted, whole["xyzobs.px.value"][order])


def test_small_large_and_lopsided_spots_are_filtered(sweep):
    counts = found(sweep).counts
    assert counts.kept == 4
    sizes = np.sort(found(sweep).table["n_signal"])
    assert found(sweep, filter={"min_spot_size": sizes[-1]}).table.n_rows == (sizes == sizes[-1]).sum()
    assert found(sweep, filter={"max_spot_size": sizes[-1] - 1}).table.n_rows == (sizes < sizes[-1]).sum()
    with pytest.raises(NoSpotsError):
        found(sweep, filter={"max_separation": 0.0})


def test_detectors_that_smear_photons_need_larger_spots(sweep):
    expt = experiment(panel(90, 70, type="SENSOR_CCD"), n_images=12)
    smallest = found(sweep, expt).table["n_signal"].min()
    assert smallest >= 6


def test_ranges_of_images_are_searched_apart(sweep):
    result = found(sweep, scan_range=((1, 4), (7, 12)))
    assert result.image_numbers.tolist() == [1, 2, 3, 4, 7, 8, 9, 10, 11, 12]
    z0, z1 = result.table["bbox"][:, 4], result.table["bbox"][:, 5]
    assert ((z1 <= 4) | (z0 >= 6)).all()
    with pytest.raises(ParameterError, match="scan_range=5,13"):
        found(sweep, scan_range=((5, 13),))


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"untrusted": [{"rectangle": ((10, 30, 20, 40),)}]}, 3),
        ({"untrusted": [{"circle": ((60.0, 41.5, 9.0),)}]}, 3),
        ({"untrusted": [{"polygon": (65.0, 0.0, 90.0, 0.0, 90.0, 25.0, 65.0, 25.0)}]}, 3),
        ({"border": 17}, 2),
        ({"d_min": 30.0}, 2),
        ({"d_max": 30.0}, 2),
        ({"resolution_range": ((1.0, 30.0),)}, 2),
        ({"resolution_range": ((1.0, 30.0), (30.0, 1000.0))}, 0),
    ],
)
def test_regions_that_are_excluded_have_no_spots(sweep, filters, left):
    if left == 0:
        with pytest.raises(NoSpotsError):
            found(sweep, filter=filters)
    else:
        assert found(sweep, filter=filters).table.n_rows == left


def test_a_region_of_interest_limits_the_search(sweep):
    assert found(sweep, region_of_interest=(0, 90, 0, 35)).table.n_rows == 2
    with pytest.raises(ParameterError, match="region_of_interest"):
        found(sweep, region_of_interest=(0, 91, 0, 35))


def test_untrusted_panels_and_pixels(sweep):
    with pytest.raises(NoSpotsError):
        found(sweep, filter={"untrusted": [{"panel": 0}]})
    with pytest.raises(ParameterError, match=r"untrusted\.panel=1"):
        found(sweep, filter={"untrusted": [{"panel": 1}]})
    row, column = 30, 20
    masked = found(sweep, filter={"untrusted": [{"pixel": ((row, column),)}]})
    assert masked.table.n_rows == 4
    assert masked.table["intensity.sum.value"].sum() < found(sweep).table["intensity.sum.value"].sum()


def test_powder_rings_of_ice_can_be_left_out():
    wide = experiment(replace(panel(90, 70), origin=np.array([20.0, 3.5, -100.0])), n_images=12)
    images = spots((12, 70, 90), [(x + 0.5, 35.5, 6.0) for x in range(5, 90, 12)], 800.0)
    every, rest = found(images, wide), found(images, wide, filter={"ice_rings": {"filter": True, "width": 0.02}})
    assert 0 < rest.table.n_rows < every.table.n_rows


def test_an_image_full_of_strong_pixels_is_refused(sweep):
    with pytest.raises(ProcessingError, match="image 103 are strong"):
        found(
            sweep,
            experiment(panel(90, 70), n_images=12, first=101),
            filter={"max_strong_pixel_fraction": 1e-4},
            threshold={"dispersion": {"sigma_strong": 0.1}},
        )


def test_a_steep_radial_background_hides_no_spot_from_the_radial_profile():
    y, x = np.mgrid[:120, :120] + 0.5
    radius = np.hypot(x - 60, y - 60)
    images = spots((2, 120, 120), [(90.5, 62.5, 1.0), (60.5, 20.5, 1.0)], 2500.0, background=0.0)
    images = images + np.random.default_rng(3).poisson(2000 * np.exp(-radius / 10), images.shape)
    result = found(images, threshold={"algorithm": "radial_profile"})
    for x, y in ((90.5, 62.5), (60.5, 20.5)):
        assert np.hypot(*(centroids(result)[:, :2] - [x, y]).T).min() < 0.5


def test_the_log_counts_spots(sweep):
    result = found(sweep)
    text = spot_counts(result, min_size=3, max_size=1000)
    assert "Filtered 4 of 4 spots by peak-centroid distance" in text
    lines = spots_per_image(result).splitlines()
    assert lines[1] == "4 spots found on 12 images (max 1 / bin)"
    assert len(lines) == 13
    assert lines[-1].startswith("1 ")
    assert lines[-1].endswith(" 12")
    assert len(image_statistics(result).splitlines()) == 2 + 12


def test_counts_of_panels_add():
    result = found(spots((1, 40, 40), [(20.5, 20.5, 0.5)], 600.0))
    total = result.counts + result.counts
    assert total.kept == 2 * result.counts.kept
