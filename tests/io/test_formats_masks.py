"""Lookup masks."""

import contextlib
import pickle
import zlib
from dataclasses import replace

import fabio
import h5py
import numpy as np
import pytest

from puredials.errors import FileError, MismatchError
from puredials.io.formats import open_images, read_mask, write_mask
from puredials.model import Beam, Detector, Experiment, ImageSet, Panel


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


def test_a_part_of_a_detector_takes_its_part_of_a_raster(tmp_path):
    np.save(tmp_path / "raster.npy", np.pad(usable(), ((5, 3), (2, 9))))
    part = Detector((replace(detector()[0], raw_image_offset=(2, 5)),))
    np.testing.assert_array_equal(read_mask(tmp_path / "raster.npy", part)[0], usable())


def test_masks_of_another_shape_or_kind_are_refused(tmp_path):
    np.save(tmp_path / "m.npy", usable())
    with pytest.raises(MismatchError, match="not that of the detector"):
        read_mask(tmp_path / "m.npy", detector(2))
    np.save(tmp_path / "larger.npy", np.ones((8, 12)))
    with pytest.raises(MismatchError, match="not that of the detector"):
        read_mask(tmp_path / "larger.npy", detector())
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


@pytest.mark.parametrize("kind", ["gain", "pedestal", "dx", "dy"])
def test_corrections_that_would_be_left_out_are_refused(kind):
    imageset = ImageSet("a_####.cbf", **{kind: "map.pickle"})
    experiment = Experiment(Beam((0, 0, 1), 1.0), detector(), imageset=imageset)
    with pytest.raises(FileError, match=rf"by the {kind} in map\.pickle"):
        open_images(experiment)


@pytest.mark.parametrize("values", [np.array(1), np.ones(24), np.full((4, 6), "a"), np.zeros((4, 6), [("a", "i4")])])
def test_arrays_that_are_no_image_are_refused(tmp_path, values):
    np.save(tmp_path / "m.npy", values)
    with pytest.raises(FileError, match="are no image"):
        read_mask(tmp_path / "m.npy", detector())


def test_damaged_files_are_refused_or_read(tmp_path):
    path = tmp_path / "pixels.mask"
    write_mask(path, [usable()])
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for end in range(0, len(whole), 200):
        path.write_bytes(whole[:end])
        with pytest.raises(FileError):
            read_mask(path, detector())
    for _ in range(100):
        spoilt = np.frombuffer(whole, np.uint8).copy()
        spoilt[rng.integers(len(spoilt), size=4)] = rng.integers(256, size=4)
        path.write_bytes(spoilt.tobytes())
        with contextlib.suppress(FileError, MismatchError):
            read_mask(path, detector())


def test_a_folder_is_no_mask(tmp_path):
    with pytest.raises(FileError, match="is a folder"):
        read_mask(tmp_path, detector())


class Recorded:
    """Stands for the arrays of DIALS: keeps what a stream tells them."""

    def __init__(self, *arguments):
        self.arguments, self.state = arguments, None

    def __setstate__(self, state):
        self.state = state


class Reader(pickle.Unpickler):
    """Unpickles as DIALS does, but for its classes."""

    def find_class(self, module_name, global_name):
        if (module_name, global_name) == ("zlib", "decompress"):
            return zlib.decompress
        assert module_name == "scitbx_array_family_flex_ext"
        return {"bool": Recorded, "grid": Recorded}[global_name]


def test_a_mask_file_begins_with_what_an_unpickler_takes_for_arrays_of_booleans(tmp_path):
    masks = [np.random.default_rng(n).random(size) < 0.5 for n, size in enumerate([(4, 6), (300, 7)])]
    write_mask(tmp_path / "pixels.mask", masks)
    with (tmp_path / "pixels.mask").open("rb") as file:
        arrays = Reader(file).load()
    assert len(arrays) == 2
    for mask, array in zip(masks, arrays, strict=True):
        grid, pixels = array.state
        assert (grid.arguments, grid.state) == (((0, 0), mask.shape, True), mask.shape)
        assert int.from_bytes(pixels[1 : pixels[0]], "little") == mask.size
        assert pixels[pixels[0] :].decode() == "".join("01"[int(m)] for m in mask.ravel())


# Of 2 x 3 pixels, as dials.generate_mask 3.12 serialises its arrays.
OF_DIALS = (
    b"\x80\x04\x95R\0\0\0\0\0\0\0\x8c\x1cscitbx_array_family_flex_ext\x94\x8c\x04bool\x94\x93\x94)R\x94h\0\x8c\x04grid\x94"
    b"\x93\x94K\0K\0\x86\x94K\x02K\x03\x86\x94\x88\x87\x94R\x94K\x02K\x03\x86\x94bC\x08\x02\x06%b\x94\x86\x94b\x85\x94."
)


def test_masks_of_dials_are_read_without_unpickling(tmp_path):
    (tmp_path / "pixels.mask").write_bytes(OF_DIALS % b"101011")
    (mask,) = read_mask(tmp_path / "pixels.mask", panels((3, 2)))
    np.testing.assert_array_equal(mask, [[True, False, True], [False, True, True]])


@pytest.mark.parametrize(
    "stream",
    [
        OF_DIALS % b"10101",
        OF_DIALS % b"10121x",
        (OF_DIALS % b"101011")[:-8],
        (OF_DIALS % b"101011").replace(b"bool", b"none"),
        pickle.dumps(print),
        b"\x80",
    ],
)
def test_other_pickles_are_refused(tmp_path, stream):
    (tmp_path / "pixels.mask").write_bytes(stream)
    with pytest.raises(FileError, match="pickled mask can be made anew"):
        read_mask(tmp_path / "pixels.mask", panels((3, 2)))
