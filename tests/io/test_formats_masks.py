"""Lookup masks."""

import fabio
import h5py
import numpy as np
import pytest

from puredials.errors import FileError, MismatchError
from puredials.io.formats import read_mask
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
