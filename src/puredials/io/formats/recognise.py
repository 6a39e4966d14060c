"""Which kind of file holds an image, and its pixels."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from puredials.errors import FileError
from puredials.io.formats.cbf import decode_cbf
from puredials.io.formats.compressed import read_bytes, read_head
from puredials.io.formats.marccd import decode_marccd, is_marccd

__all__ = ["is_hdf5", "kind_of_image", "read_raster"]

_HDF5 = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """True for an HDF5 file."""
    return read_head(path, 8) == _HDF5


def kind_of_image(path: Path, head: bytes) -> str:
    """ "hdf5", "cbf", "smv", "marccd" or "other", from the first bytes (2 kB or more)."""
    if not head:
        raise FileError(f"The image file {path} is empty.")
    if head.startswith(_HDF5):
        return "hdf5"
    if head.startswith(b"###CBF") or head.lstrip()[:5] == b"data_":
        return "cbf"
    if head.startswith(b"{") and b"HEADER_BYTES" in head[:64]:
        return "smv"
    return "marccd" if is_marccd(head) else "other"


def read_raster(path: Path) -> NDArray[Any]:
    """The pixels (slow, fast) of a file with one image, as uint16, int32 or float32."""
    data = read_bytes(path)
    match kind_of_image(path, data[:2048]):
        case "cbf":
            return decode_cbf(data, path)
        case "smv":
            from puredials.io.formats.smv import decode_smv

            return decode_smv(data, path)
        case "marccd":
            return decode_marccd(data, path)
        case "hdf5":
            raise FileError(f"{path} is an HDF5 file where a file with a single image was expected.")
        case _:
            from puredials.io.formats.other import read_other

            return read_other(path)
