"""Lookup masks."""

import fabio
import h5py
import numpy as np
import pytest

from puredials.errors import FileError, MismatchError
from puredials.io.formats import read_mask, write_mask
from puredials.model import Detector, Panel


def detector(n: int = 1) -> Detector:
    panels = [
        Panel((1, 0, 0), (0, -1, 0), (0, 0, -100), (6, 4), (0.1, 0.1), raw_image_offset=(0, 4 * k)) for k in range(n)
    ]
    return Detector(tuple(panels))


def usable(n: int = 1) -> np.ndarray:
    mask = np.ones((4 * n, 6), bool)
    mask[1, 2] = False
    return mask


def test_masks_of_all_kinds_of_files_agree(tmp_path):
    mask = usable()
    np.save(tmp_path / "m.npy", mask)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["mask"] = mask
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["entry/instrument/detector/pixel_mask"] = (~mask).astype("u4")
    fabio.tifimage.TifImage(data=mask.astype("u1")).write(str(tmp_path / "m.tif"))
    for name in ("m.npy", "a.h5", "b.h5", "m.tif"):
        np.testing.assert_array_equal(read_mask(tmp_path / name, detector())[0], mask)


def test_a_raster_or_a_stack_serves_several_panels(tmp_path):
    np.save(tmp_path / "raster.npy", usable(2))
    np.save(tmp_path / "stack.npy", usable(2).reshape(2, 4, 6))
    for name in ("raster.npy", "stack.npy"):
        first, second = read_mask(tmp_path / name, detector(2))
        assert not first[1, 2]
        assert second.all()


def test_masks_of_another_shape_or_kind_are_refused(tmp_path):
    np.save(tmp_path / "m.npy", usable())
    with pytest.raises(MismatchError, match="not that of the detector"):
        read_mask(tmp_path / "m.npy", detector(2))
    (tmp_path / "m.pickle").write_bytes(b"\x80\x02cflex")
    with pytest.raises(FileError, match=r"not a NumPy .* pickled mask"):
        read_mask(tmp_path / "m.pickle", detector())
    with pytest.raises(FileError, match="does not exist"):
        read_mask(tmp_path / "none.npy", detector())
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(FileError, match='no dataset "mask"'):
        read_mask(tmp_path / "c.h5", detector())


def panels(*sizes: tuple[int, int]) -> Detector:
    return Detector(tuple(Panel((1, 0, 0), (0, -1, 0), (0, 0, -100), size, (0.1, 0.1)) for size in sizes))


@pytest.mark.parametrize("name", ["m.npy", "pixels.mask", "m.h5"])
@pytest.mark.parametrize("sizes", [((6, 4),), ((6, 4), (6, 4))], ids=str)
def test_masks_come_back_as_they_were_written(tmp_path, name, sizes):
    masks = [np.random.default_rng(n).random(size[::-1]) < 0.5 for n, size in enumerate(sizes)]
    write_mask(tmp_path / name, masks)
    for mask, read in zip(masks, read_mask(tmp_path / name, panels(*sizes)), strict=True):
        np.testing.assert_array_equal(read, mask)


def test_panels_of_different_sizes_need_hdf5(tmp_path):
    masks = [np.eye(4, 6) > 0, np.eye(5, 3) == 0]
    write_mask(tmp_path / "m.h5", masks)
    for mask, read in zip(masks, read_mask(tmp_path / "m.h5", panels((6, 4), (3, 5))), strict=True):
        np.testing.assert_array_equal(read, mask)
    with pytest.raises(FileError, match="different sizes"):
        write_mask(tmp_path / "m.npy", masks)
    with pytest.raises(MismatchError, match="shape"):
        read_mask(tmp_path / "m.h5", panels((3, 5), (6, 4)))


def test_a_folder_is_no_mask(tmp_path):
    with pytest.raises(FileError, match="is a folder"):
        read_mask(tmp_path, detector())
