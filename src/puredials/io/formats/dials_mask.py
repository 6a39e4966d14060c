"""The byte stream in which DIALS keeps masks, written and read without the machinery that runs what a stream says.

DIALS serialises its arrays of booleans as Python pickles. Unpickling a file runs whatever the file asks for, so it is
not done here: a stream is split into tokens, and only integers and strings of bytes are looked at. One array is the
shape of its grid, and bytes: the length of the number that follows (itself included), the number of pixels as a
little-endian integer, and "1" (may be used) or "0" for each pixel.
"""

import pickletools
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["mask_of_stream", "stream_of_mask"]

_ARRAYS = "scitbx_array_family_flex_ext"
_NUMBERS = {"BININT", "BININT1", "BININT2"}
_BYTES = {"BINBYTES", "BINBYTES8", "SHORT_BINBYTES"}
_PROTO, _MARK, _TUPLE, _STOP = b"\x80\x04", b"(", b"t", b"."
_EMPTY_TUPLE, _TUPLE1, _TUPLE2, _TUPLE3, _TRUE = b")", b"\x85", b"\x86", b"\x87", b"\x88"
_CALL, _SET_STATE = b"R", b"b"


def mask_of_stream(stream: bytes) -> list[NDArray[np.bool_]] | None:
    """One (slow, fast) array a panel, True where a pixel may be used; None if the stream holds anything else."""
    masks, numbers, names = [], [], set[str]()
    try:
        for token, argument, _ in pickletools.genops(stream):
            if token.name == "SHORT_BINUNICODE":
                names.add(str(argument))
            elif token.name in _NUMBERS:
                numbers.append(argument)
            elif token.name in _BYTES:
                assert isinstance(argument, bytes)
                pixels = np.frombuffer(argument, np.uint8)[argument[0] :]
                if (pixels >> 1 != ord("0") >> 1).any():
                    return None
                masks.append(pixels.reshape(numbers[-2:]) == ord("1"))
    except (ValueError, IndexError):
        return None
    return masks if masks and names == {_ARRAYS, "bool", "grid"} else None


def stream_of_mask(masks: Sequence[NDArray[np.bool_]]) -> bytes:
    """The stream of one (slow, fast) array a panel, True where a pixel may be used.

    It tells the reader to decompress the pixels with `zlib`, or it would be as large as the uncompressed mask.
    """
    return _PROTO + _MARK + b"".join(_array(mask) for mask in masks) + _TUPLE + _STOP


def _array(mask: NDArray[np.bool_]) -> bytes:
    height, width = mask.shape
    shape = _number(height) + _number(width) + _TUPLE2
    count = mask.size.to_bytes((mask.size.bit_length() + 7) // 8, "little")
    pixels = bytes([len(count) + 1]) + count + (mask.astype(np.uint8) + ord("0")).tobytes()
    packed = zlib.compress(pixels, 1)
    content = _name("zlib", "decompress") + b"B" + len(packed).to_bytes(4, "little") + packed + _TUPLE1 + _CALL
    origin = _number(0) + _number(0) + _TUPLE2
    grid = _name(_ARRAYS, "grid") + origin + shape + _TRUE + _TUPLE3 + _CALL + shape + _SET_STATE
    return _name(_ARRAYS, "bool") + _EMPTY_TUPLE + _CALL + grid + content + _TUPLE2 + _SET_STATE


def _name(module: str, name: str) -> bytes:
    return b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)) + b"\x93"


def _number(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)
