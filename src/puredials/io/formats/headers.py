"""The header of an image file of any kind."""

from pathlib import Path

from puredials.errors import FileError
from puredials.io.formats.cbf import binary_length, read_frame, split_header
from puredials.io.formats.compressed import check_complete, read_head
from puredials.io.formats.frames import Cache, Frame, Stack
from puredials.io.formats.recognise import kind_of_image

__all__ = ["read_header"]


def read_header(path: Path, cache: Cache) -> Frame | Stack:
    """What the file tells of its image or images; equal headers share models through `cache`."""
    if path.is_dir():
        raise FileError(f"{path} is a folder; name the image files in it, or give directory={path}.")
    head = read_head(path, 16384)
    match kind_of_image(path, head):
        case "hdf5":
            from puredials.io.formats.hdf5_headers import read_stack

            return read_stack(path)
        case "cbf":
            text = split_header(path, head)
            check_complete(path, len(text) + binary_length(text))
            if "_axis.id" in text and "_diffrn_measurement_axis" in text:
                from puredials.io.formats.imgcif import read_imgcif

                return read_imgcif(path, text, cache)
            return read_frame(path, text, cache)
        case "smv":
            from puredials.io.formats.smv import read_smv_frame

            return read_smv_frame(path, head, cache)
        case "marccd":
            from puredials.io.formats.marccd import read_marccd_frame

            return read_marccd_frame(path, head, cache)
        case _:
            from puredials.io.formats.other import refuse_header

            raise refuse_header(path)
