"""Pixels of image files, and the sources that steps read them from."""

import bz2
import gzip
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import fabio
import h5py
import hdf5plugin
import numpy as np
import pytest

from image_files import SHAPE, minicbf, minicbf_sweep, nxmx, pixels, smv
from puredials.errors import FileError, MismatchError
from puredials.io.formats import open_images
from puredials.io.formats.hdf5_images import Hdf5Images, settle
from puredials.io.importing import import_files
from puredials.model import ImageSet


def source_of(*paths):
    (experiment,) = import_files(paths).experiments
    return open_images(experiment)


@pytest.mark.parametrize("layout", ["virtual", "links", "inside"])
@pytest.mark.parametrize("filters", ["bitshuffle-lz4", "bitshuffle-zstd", "gzip", "none"])
def test_all_layouts_and_filters_give_the_frames(tmp_path, layout, filters):
    how = {
        "bitshuffle-lz4": dict(hdf5plugin.Bitshuffle(cname="lz4")),
        "bitshuffle-zstd": dict(hdf5plugin.Bitshuffle(cname="zstd")),
        "gzip": {"compression": "gzip", "shuffle": True},
        "none": {},
    }[filters]
    images = pixels(7)
    path = nxmx(tmp_path / "x.nxs", images, files=1 if layout == "inside" else 3, layout=layout, filters=how)
    source = source_of(path)
    assert len(source) == 7
    for k in (0, 3, 6, 2):
        np.testing.assert_array_equal(source.read(k)[0], images[k])


def test_frames_of_a_virtual_dataset_behind_an_external_link_are_found(tmp_path):
    images = pixels(5)
    nxmx(tmp_path / "real.nxs", images, files=2)
    with h5py.File(tmp_path / "real.nxs") as real, h5py.File(tmp_path / "outer.nxs", "w") as outer:
        for name in ("instrument", "sample"):
            real.copy(f"entry/{name}", outer.require_group("entry"))
        outer["entry/data/data"] = h5py.ExternalLink("real.nxs", "/entry/data/data")
    source = source_of(tmp_path / "outer.nxs")
    np.testing.assert_array_equal(source.read(4)[0], images[4])


def test_frames_of_a_file_opened_by_a_link_are_found_beside_what_it_links_to(tmp_path):
    images = pixels(5)
    (tmp_path / "visit").mkdir()
    nxmx(tmp_path / "visit" / "real.nxs", images, files=2)
    (tmp_path / "mine.nxs").symlink_to(tmp_path / "visit" / "real.nxs")
    np.testing.assert_array_equal(source_of(tmp_path / "mine.nxs").read(4)[0], images[4])


def test_a_virtual_dataset_may_stack_parts_of_virtual_datasets(tmp_path):
    images = pixels(6)
    nxmx(tmp_path / "inner.nxs", images, files=2)
    with h5py.File(tmp_path / "inner.nxs") as inner, h5py.File(tmp_path / "outer.nxs", "w") as outer:
        for name in ("instrument", "sample"):
            inner.copy(f"entry/{name}", outer.require_group("entry"))
        layout = h5py.VirtualLayout((3, *SHAPE), images.dtype)
        layout[:] = h5py.VirtualSource("inner.nxs", "entry/data/data", images.shape)[2:5]
        outer.create_virtual_dataset("entry/data/data", layout)
    stack = Hdf5Images(str(tmp_path / "outer.nxs"))
    for k in range(3):
        np.testing.assert_array_equal(stack.read(k), images[2 + k])


def test_a_mosaic_of_modules_is_put_together(tmp_path):
    images = pixels(3)
    path = nxmx(tmp_path / "x.nxs", images, layout="inside")
    with h5py.File(path, "a") as file:
        del file["entry/data/data"]
        layout = h5py.VirtualLayout(images.shape, images.dtype)
        for k in (0, 1):
            with h5py.File(tmp_path / f"half{k}.h5", "w") as half:
                half["data"] = images[:, 20 * k : 20 * k + 20]
            layout[:, 20 * k : 20 * k + 20] = h5py.VirtualSource(f"half{k}.h5", "data", (3, 20, 60))
        file.create_virtual_dataset("entry/data/data", layout)
    np.testing.assert_array_equal(source_of(path).read(2)[0], images[2])


def test_masked_and_overloaded_pixels_lie_outside_the_valid_range(tmp_path):
    for dtype in ("u1", "u2", "u4"):
        images = pixels(2).clip(0, 200).astype(dtype)
        top = np.iinfo(dtype).max
        images[:, 0, 0], images[:, 0, 1] = top, top - 1
        (tmp_path / dtype).mkdir()
        path = nxmx(tmp_path / dtype / "x.nxs", images)
        with h5py.File(path, "a") as file:
            del file["entry/instrument/detector/saturation_value"]
        (experiment,) = import_files([path]).experiments
        low, high = experiment.detector[0].valid_range
        image = open_images(experiment).read(1)[0]
        assert image.dtype in (np.uint16, np.int32)
        valid = (image >= low) & (image <= high)
        assert not valid[0, :2].any()
        assert valid.sum() == image.size - 2
        np.testing.assert_array_equal(image[1:], images[1, 1:])


def test_integers_of_all_widths_become_types_that_steps_take():
    for dtype in ("u1", "u2", ">u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"):
        settled = settle(np.array([[0, 1, 100]], dtype=dtype))
        assert settled.dtype in (np.uint16, np.int32, np.float32)
        assert settled.tolist() == [[0, 1, 100]]


def test_sources_can_be_pickled_and_read_by_many_threads(tmp_path):
    images = pixels(16)
    source = source_of(nxmx(tmp_path / "x.nxs", images, files=4))
    source.read(0)
    again = pickle.loads(pickle.dumps(source))
    with ThreadPoolExecutor(4) as pool:
        for k, parts in enumerate(pool.map(again.read, list(range(16)) * 3)):
            np.testing.assert_array_equal(parts[0], images[k % 16])


def test_the_static_mask_joins_pixel_mask_gaps_and_lookup(tmp_path):
    mask = np.zeros(SHAPE, "u4")
    mask[3, 4] = 1
    path = nxmx(tmp_path / "x.nxs", pixels(2), mask=mask)
    (experiment,) = import_files([path]).experiments
    lookup = np.ones(SHAPE, bool)
    lookup[9, 9] = False
    np.save(tmp_path / "mask.npy", lookup)
    panel = replace(experiment.detector[0], mask=((10, 0, 12, 40),))
    experiment = replace(
        experiment,
        detector=experiment.detector.with_panels([panel]),
        imageset=replace(experiment.imageset, mask="mask.npy"),
    )
    expected = (mask == 0) & lookup
    expected[:, 10:12] = False
    np.testing.assert_array_equal(open_images(experiment, tmp_path).static_mask()[0], expected)


def test_a_detector_in_several_panels_cuts_the_raster(tmp_path):
    images = pixels(3)
    source = source_of(nxmx(tmp_path / "x.nxs", images, modules=2))
    upper, lower = source.read(2)
    np.testing.assert_array_equal(np.vstack([upper, lower]), images[2])
    assert [mask.shape for mask in source.static_mask()] == [(20, 60), (20, 60)]


def test_an_image_smaller_than_the_detector_is_refused(tmp_path):
    paths = minicbf_sweep(tmp_path, 2)
    (experiment,) = import_files(paths).experiments
    minicbf(paths[1], pixels(shape=(30, 60))[0])
    with pytest.raises(MismatchError, match="60 x 30 pixels, fewer"):
        open_images(experiment).read(1)


def test_cbf_pixels_equal_those_of_fabio(tmp_path):
    image = pixels(dtype="i4")[0]
    image[0, :5] = -1, -2, 70000, 2**31 - 1, -(2**31)
    path = minicbf(tmp_path / "x_0001.cbf", image)
    read = source_of(path).read(0)[0]
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, image)
    np.testing.assert_array_equal(read, fabio.open(str(path)).data)


@pytest.mark.parametrize("order", ["little_endian", "big_endian"])
@pytest.mark.parametrize("pack", [None, bz2.compress, gzip.compress])
def test_smv_pixels_of_either_byte_order_plain_or_compressed(tmp_path, order, pack):
    image = pixels()[0]
    path = smv(tmp_path / "x_001.img", image, BYTE_ORDER=order)
    if pack:
        packed = tmp_path / "x_001.img.zz"
        packed.write_bytes(pack(path.read_bytes()))
        path = packed
    np.testing.assert_array_equal(source_of(path).read(0)[0], image)


def test_part_of_a_stack_is_read_from_its_place(tmp_path):
    images = pixels(8)
    path = nxmx(tmp_path / "x.nxs", images)
    (experiment,) = import_files([path]).experiments
    part = replace(experiment, scan=experiment.scan.sliced(4, 6))
    for indices in ((3, 4, 5), (0, 1, 2), None):  # ours, as DIALS 3.12 writes, none
        imageset = ImageSet(template=str(path), single_file_indices=indices)
        source = open_images(replace(part, imageset=imageset))
        assert len(source) == 3
        np.testing.assert_array_equal(source.read(1)[0], images[4])


def test_lost_damaged_and_unwritten_images_are_told_in_a_sentence(tmp_path):
    images = pixels(6)
    path = nxmx(tmp_path / "x.nxs", images, files=2)
    (experiment,) = import_files([path]).experiments
    with h5py.File(tmp_path / "x_000002.h5", "a") as file:
        del file["data"]
        file.create_dataset("data", (3, *SHAPE), "u2", chunks=(1, *SHAPE), **hdf5plugin.Bitshuffle(cname="lz4"))
        file["data"].id.write_direct_chunk((1, 0, 0), bytes(100))
    source = open_images(experiment)
    with pytest.raises(FileError, match=r"Image 4 of .* cannot be read: it was never written"):
        source.read(3)
    with pytest.raises(FileError, match=r"Image 5 of .* is damaged"):
        source.read(4)
    source.stack.close()
    (tmp_path / "x_000002.h5").unlink()
    with pytest.raises(FileError, match=r"refers to images in x_000002.h5, which is not there"):
        open_images(experiment)
    path.unlink()
    with pytest.raises(FileError, match="does not exist"):
        open_images(experiment)
