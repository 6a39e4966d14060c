"""Image files as bytes, whether or not they are compressed by bzip2 or gzip."""

import bz2
import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from puredials.errors import FileError

__all__ = ["open_binary", "read_bytes", "read_head"]

_MAGIC: tuple[tuple[bytes, Callable[[BinaryIO], BinaryIO]], ...] = (
    (b"BZh", lambda raw: bz2.BZ2File(raw)),  # type: ignore[return-value]
    (b"\x1f\x8b", lambda raw: gzip.GzipFile(fileobj=raw)),  # type: ignore[return-value]
)


def open_binary(path: Path) -> BinaryIO:
    """The file opened for reading, decompressed on the way where its first bytes say so."""
    try:
        raw = open(path, "rb")  # noqa: SIM115 - the caller closes it
    except FileNotFoundError:
        raise FileError(f"The image file {path} does not exist.") from None
    except OSError as error:
        raise FileError(f"The image file {path} cannot be read: {error.strerror}.") from None
    start = raw.peek(3)[:3]
    for magic, wrap in _MAGIC:
        if start.startswith(magic):
            return _Owner(wrap(raw), raw)  # type: ignore[return-value]
    return raw


class _Owner:
    """A decompressing reader that closes the file below it, too."""

    def __init__(self, reader: BinaryIO, raw: BinaryIO) -> None:
        self._reader, self._raw = reader, raw

    def read(self, n: int = -1) -> bytes:
        return self._reader.read(n)

    def __enter__(self) -> "_Owner":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._raw.close()


def read_head(path: Path, size: int) -> bytes:
    """The first `size` bytes of the (decompressed) file, or fewer if it is shorter."""
    return _read(path, size)


def read_bytes(path: Path) -> bytes:
    """The whole (decompressed) file."""
    return _read(path, -1)


def _read(path: Path, size: int) -> bytes:
    try:
        with open_binary(path) as stream:
            return stream.read(size)
    except (EOFError, zlib.error, OSError) as error:
        raise FileError(f"The image file {path} is truncated or damaged ({error}); copy it again.") from None
