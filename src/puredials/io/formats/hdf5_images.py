"""The images of an HDF5 file: where each frame is stored, and how to decode it quickly.

Frames live in one dataset, in a virtual dataset that maps frames of other files, or behind links ``data_000001`` and
on. h5py takes one lock for all its work, so reading through it does not gain from threads. Chunks that hold one
bitshuffle + LZ4 compressed frame are therefore fetched as they are, which is cheap, and decoded by a kernel outside of
all locks.
"""

import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the compression filters
import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError
from puredials.io.formats.hdf5_items import dataset, find_entry, group, open_hdf5, reason, text
from puredials.kernels.bitshuffle import SLACK, decode_bitshuffle_lz4

__all__ = ["Block", "Hdf5Images", "frame_blocks", "image_files", "pixel_mask", "settle"]

_BITSHUFFLE, _LZ4 = 32008, 2


@dataclass(frozen=True)
class Block:
    """Consecutive frames of one dataset: file, dataset, the first frame there, and how many."""

    file: str
    dataset: str
    first: int
    n: int


def frame_blocks(file: h5py.File, entry: h5py.Group) -> tuple[tuple[Block, ...], np.dtype[Any], tuple[int, ...]]:
    """Where the frames of an NXentry are, their data type, and their shape (slow, fast)."""
    path = Path(file.filename)
    data = group(entry, "data")
    if data is None:
        raise FileError(f"{path} has no group {entry.name}/data, so it holds no images.")
    links = sorted(str(name) for name in data if re.fullmatch(r"data_\d+", str(name)))
    signal = text(data.attrs.get("signal"), "data")
    for name in dict.fromkeys((signal, "data")):
        if name in links or data.get(name, getlink=True) is None:
            continue
        stack = _stack(data, name, path)
        return tuple(_blocks(stack)), stack.dtype, stack.shape[1:]
    if not links:
        raise FileError(f"{path} has no data set of images in {data.name}.")
    stacks = [_stack(data, name, path) for name in links]
    return tuple(b for stack in stacks for b in _blocks(stack)), stacks[0].dtype, stacks[0].shape[1:]


def image_files(path: Path) -> tuple[Path, ...]:
    """The files that hold the frames of an HDF5 file: itself, or those that it refers to.

    Raises:
        FileError: it cannot be read, has no images, or refers to files that are not there.
    """
    with open_hdf5(path) as file:
        blocks, _, _ = frame_blocks(file, find_entry(file))
    return tuple(dict.fromkeys(Path(block.file) for block in blocks))


def _stack(data: h5py.Group, name: str, path: Path) -> h5py.Dataset:
    try:
        found = data[name]
    except (KeyError, OSError):
        link = data.get(name, getlink=True)
        raise _gone(path, getattr(link, "filename", None) or getattr(link, "path", name)) from None
    if not isinstance(found, h5py.Dataset) or found.ndim != 3:
        raise FileError(f"{data.name}/{name} in {path} is not a stack of images (frame, slow, fast).")
    return found


def _gone(path: Path, name: str) -> FileError:
    return FileError(f"{path} refers to images in {name}, which is not there; put it beside {path.name}.")


def _blocks(stack: h5py.Dataset) -> list[Block]:
    """The blocks of a dataset in order: itself, or of a virtual one those that it stacks."""
    path, frame = Path(stack.file.filename), stack.shape[1:]
    if not stack.is_virtual:
        return [Block(str(path), str(stack.name), 0, stack.shape[0])]
    found: list[tuple[int, list[Block]]] = []
    mosaic = False
    for source in stack.virtual_sources():
        lower, upper = source.vspace.get_select_bounds()
        n = int(upper[0] - lower[0] + 1)
        parts = _source_blocks(path, source, n)
        whole = tuple(lower[1:]) == (0, 0) and tuple(u + 1 for u in upper[1:]) == frame
        mosaic |= not whole or source.vspace.get_select_npoints() != n * frame[0] * frame[1]
        found.append((int(lower[0]), parts))
    if mosaic:  # of modules or strides: the HDF5 library puts it together
        return [Block(str(path), str(stack.name), 0, stack.shape[0])]
    found.sort(key=lambda item: item[0])
    position = 0
    for start, parts in found:
        if start != position:
            raise FileError(f"{path} maps no file to its images {position + 1} to {start}.")
        position += sum(block.n for block in parts)
    return [block for _, parts in found for block in parts]


def _source_blocks(path: Path, source: Any, n: int) -> list[Block]:
    """The blocks that hold the n frames of one source of a virtual dataset."""
    # As in HDF5: beside the name by which the file was opened, or beside the file which that name links to.
    places = [path.parent / source.file_name, path.resolve().parent / source.file_name]
    file = path if source.file_name == "." else next((place for place in places if place.exists()), None)
    if file is None:
        raise _gone(path, source.file_name)
    first = 0
    if source.src_space.get_select_type() != h5py.h5s.SEL_ALL:
        first = int(source.src_space.get_select_bounds()[0][0])
    with open_hdf5(file) as opened:
        stack = dataset(opened, source.dset_name)
        if stack is None:
            raise FileError(f"{file} has no data set {source.dset_name}, to which {path} refers; is it complete?")
        blocks = _blocks(stack)
    parts: list[Block] = []
    for block in blocks:  # the part of each that lies within first .. first + n
        skip, take = max(first, 0), min(first + n, block.n)
        if take > skip:
            parts.append(Block(block.file, block.dataset, block.first + skip, take - skip))
        first -= block.n
    if sum(part.n for part in parts) < n:
        raise FileError(f"{file} holds fewer images than the {n} that {path} expects there; is it complete?")
    return parts


class Hdf5Images:
    """Frames of an HDF5 file by number (0 for the first); picklable, and safe for threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open_hdf5(path) as file:
            entry = find_entry(file)
            self.blocks, self.dtype, self.shape = frame_blocks(file, entry)
            self.file_mask = pixel_mask(entry, self.shape)
        self._ends = np.cumsum([block.n for block in self.blocks])
        self._reset()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[h5py.Dataset, bool]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_open")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        with self._lock:
            for stack, _ in self._open.values():
                stack.file.close()
            self._open.clear()

    def read(self, frame: int) -> NDArray[Any]:
        """The frame (slow, fast) as uint16, int32 or float32; masked and overloaded pixels as `settle` says."""
        if not 0 <= frame < len(self):
            raise FileError(f"{self.path} holds {len(self)} images; there is no image {frame + 1}.")
        number = int(np.searchsorted(self._ends, frame, side="right"))
        block = self.blocks[number]
        within = frame - int(self._ends[number]) + block.n + block.first
        stack, direct = self._dataset(block)
        try:
            if direct:
                filters, raw = stack.id.read_direct_chunk((within, 0, 0))
                return settle(self._decode(raw, stack.dtype, packed=filters == 0, frame=frame))
            return settle(stack[within])
        except (OSError, RuntimeError, ValueError) as error:
            text = f"Image {frame + 1} of {self.path} cannot be read: it was never written, or {block.file} is damaged"
            raise FileError(f"{text} ({reason(error)}).") from None

    def _dataset(self, block: Block) -> tuple[h5py.Dataset, bool]:
        key = f"{block.file}:{block.dataset}"
        with self._lock:
            if key not in self._open:
                found = dataset(open_hdf5(block.file), block.dataset)
                if found is None:
                    raise FileError(f"{block.file} has no data set {block.dataset} of images; is it complete?")
                self._open[key] = found, self._is_direct(found)
            return self._open[key]

    @staticmethod
    def _is_direct(stack: h5py.Dataset) -> bool:
        """True if each chunk is one bitshuffle + LZ4 compressed frame of unsigned integers."""
        if stack.chunks != (1, *stack.shape[1:]) or stack.dtype.str not in ("|u1", "<u2", "<u4"):
            return False
        plist = stack.id.get_create_plist()
        if plist.get_nfilters() != 1:
            return False
        code, _, values, _ = plist.get_filter(0)
        return code == _BITSHUFFLE and len(values) >= 5 and values[4] == _LZ4

    def _decode(self, raw: bytes, dtype: np.dtype[Any], *, packed: bool, frame: int) -> NDArray[Any]:
        if not packed:
            return np.frombuffer(raw, dtype).reshape(self.shape)
        image = np.empty(self.shape, dtype)
        size = int.from_bytes(raw[8:12], "big")
        intact = len(raw) > 12 and int.from_bytes(raw[:8], "big") == image.nbytes and 0 < size <= 1 << 24
        if intact:
            block = np.empty((size + 7) // 8 * 8 + SLACK, np.uint8)
            words = np.empty((size + 7) // 8, np.uint64)
            intact = decode_bitshuffle_lz4(np.frombuffer(raw, np.uint8), block, words, image.reshape(-1))
        if not intact:
            raise FileError(f"Image {frame + 1} of {self.path} is damaged: it cannot be decompressed.")
        return image


def settle(image: NDArray[Any]) -> NDArray[Any]:
    """A type that a comparison with the trusted range can decide.

    Eiger detectors mark masked pixels by the highest value of their unsigned type and overloaded ones by the one below.
    Of 16 bits both stay, since they are above any limit; of 8 bits they are raised to those of 16; of 32 bits they
    become -1 and 2^31 - 1.
    """
    match image.dtype.kind, image.dtype.itemsize:
        case "u", 1:
            wide = image.astype(np.uint16)
            wide[image >= 254] += 65535 - 255
            return wide
        case "u", 2:
            return image if image.dtype.isnative else image.astype(np.uint16)
        case "u", 4:
            signed = image.astype(np.uint32, copy=False).view(np.int32)
            if (signed.min(initial=0)) < -1:
                signed = np.where(signed < -1, np.int32(2**31 - 1), signed)
            return signed
        case "u", 8:
            top = np.where(image == np.iinfo(np.uint64).max, -1, np.minimum(image, 2**31 - 1).astype(np.int64))
            return top.astype(np.int32)
        case "i", 8:
            return np.clip(image, -(2**31), 2**31 - 1).astype(np.int32)
        case "i", _:
            return image.astype(np.int32, copy=False)
        case _:
            return image.astype(np.float32, copy=False)


def pixel_mask(entry: h5py.Group, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """(slow, fast) True where the file's pixel mask is 0; None without a mask of that shape."""
    for name in ("pixel_mask", "detectorSpecific/pixel_mask"):
        found = dataset(entry, f"instrument/detector/{name}")
        if found is not None and found.shape[-2:] == tuple(shape):
            mask = found[(0,) * (found.ndim - 2)] if found.ndim > 2 else found[()]
            return np.asarray(mask) == 0
    return None
